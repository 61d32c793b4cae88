//! What was, in the less detail the longer ago: [`Past`].

use std::collections::VecDeque;

/// Spans of one length that are kept before pairs of them become longer ones.
const EACH: usize = 32;

/// Lengths: the last are means of 4,096 points. What is older than about a quarter of a million points is forgotten.
const LENGTHS: usize = 13;

/// A mean over some points.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Span {
    /// The mean of the times, in seconds.
    pub at: f64,
    /// The mean of the values.
    pub value: f64,
    /// How many points.
    pub count: f64,
    /// The lowest value.
    pub low: f64,
    /// The highest.
    pub high: f64,
}

impl Span {
    fn and(self, other: Self) -> Self {
        let count = self.count + other.count;
        let mean = |a: f64, b: f64| (a * self.count + b * other.count) / count;
        Self {
            at: mean(self.at, other.at),
            value: mean(self.value, other.value),
            count,
            low: self.low.min(other.low),
            high: self.high.max(other.high),
        }
    }
}

/// A series in spans whose length is in proportion to their age. Needs 20 KB at most.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    lengths: Vec<VecDeque<Span>>,
    /// The highest value but for the newest.
    highest: Option<f64>,
}

impl Past {
    pub(super) fn push(&mut self, at: f64, value: f64) {
        let mut span = Span { at, value, count: 1.0, low: value, high: value };
        for i in 0..LENGTHS {
            if self.lengths.len() <= i {
                self.lengths.push(VecDeque::with_capacity(EACH + 1));
            }
            let Some(spans) = self.lengths.get_mut(i) else { return };
            spans.push_back(span);
            if spans.len() <= EACH {
                return;
            }
            let (Some(first), Some(second)) = (spans.pop_front(), spans.pop_front()) else {
                return;
            };
            span = first.and(second);
            self.highest = Some(self.highest.map_or(span.high, |high| high.max(span.high)));
        }
    }

    /// Whether a value is above all that were before the newest.
    pub(super) fn is_record(&self, value: f64) -> bool {
        self.highest.is_some_and(|highest| value > highest)
    }

    /// The spans, oldest first.
    pub(super) fn spans(&self) -> Vec<Span> {
        self.lengths.iter().rev().flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_order_is_kept() {
        let mut past = Past::default();
        for i in 0..2_000_000 {
            past.push(f64::from(i), f64::from(i));
        }
        let spans = past.spans();
        assert!(spans.len() <= LENGTHS * EACH);
        assert!(spans.windows(2).all(|pair| pair[0].at < pair[1].at));
        assert!(spans.iter().all(|span| (span.at - span.value).abs() < 1e-6));
        let (first, last) = (spans[0], spans[spans.len() - 1]);
        assert_eq!((last.at, last.count), (1_999_999.0, 1.0));
        assert!((200_000.0..350_000.0).contains(&(last.at - first.at)), "{first:?}");
    }

    #[test]
    fn spans_are_short_for_their_age() {
        let mut past = Past::default();
        for i in 0..100_000 {
            past.push(f64::from(i), 0.0);
        }
        let old = past.spans().into_iter().filter(|span| span.count > 1.0);
        assert!(old.into_iter().all(|span| span.count <= (100_000.0 - span.at) / 16.0));
    }
}
