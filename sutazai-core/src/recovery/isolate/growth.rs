//! How fast something grows, by a slope that single samples do not move.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::time::Moment;

/// Samples that are kept of one target, at most.
pub(super) const MOST: usize = 32;

/// The samples of a window, thinned out to [`MOST`].
#[derive(Debug, Default)]
pub(super) struct Growth {
    samples: VecDeque<(Moment, u64)>,
}

impl Growth {
    /// Adds a sample. One that comes sooner after the last than the window has room for takes the last
    /// one's place, so that a quick sampler does not shorten the window.
    pub(super) fn add(&mut self, bytes: u64, window: Duration, now: Moment) {
        let spacing = window / MOST as u32;
        while self.samples.front().is_some_and(|(at, _)| now.since(*at) > window) {
            self.samples.pop_front();
        }
        let before = self.samples.len().checked_sub(2).and_then(|at| self.samples.get(at));
        if before.is_some_and(|(at, _)| now.since(*at) < spacing) {
            self.samples.pop_back();
        }
        self.samples.push_back((now, bytes));
        if self.samples.len() > MOST {
            self.samples.pop_front();
        }
    }

    pub(super) fn clear(&mut self) {
        self.samples.clear();
    }

    /// Bytes a minute: the median of the slopes between any two samples (Theil and Sen); `None` with fewer
    /// samples than `minimum`.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(super) fn per_minute(&self, minimum: u32) -> Option<f64> {
        if self.samples.len() < minimum as usize {
            return None;
        }
        let mut slopes = Vec::with_capacity(self.samples.len() * self.samples.len() / 2);
        for (index, (from, before)) in self.samples.iter().enumerate() {
            for (to, after) in self.samples.iter().skip(index + 1) {
                let minutes = to.since(*from).as_secs_f64() / 60.0;
                if minutes > 0.0 {
                    slopes.push((*after as f64 - *before as f64) / minutes);
                }
            }
        }
        let middle = slopes.len() / 2;
        (!slopes.is_empty()).then(|| *slopes.select_nth_unstable_by(middle, f64::total_cmp).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW: Duration = Duration::from_secs(300);

    fn feed(samples: impl IntoIterator<Item = (u64, u64)>) -> Growth {
        let mut growth = Growth::default();
        for (ms, bytes) in samples {
            growth.add(bytes, WINDOW, Moment::ZERO + Duration::from_millis(ms));
        }
        growth
    }

    #[test]
    fn a_quick_sampler_does_not_shorten_the_window() {
        let growth = feed((0..30_000).map(|n| (n * 10, n)));
        assert!(growth.samples.len() <= MOST);
        let span = growth.samples.back().unwrap().0.since(growth.samples.front().unwrap().0);
        assert!(span > WINDOW * 8 / 10, "{span:?}");
        let slope = growth.per_minute(8).unwrap();
        assert!((slope - 6_000.0).abs() < 1.0, "{slope}");
    }

    #[test]
    fn few_samples_say_nothing() {
        assert_eq!(feed([(0, 1), (60_000, 2)]).per_minute(3), None);
        assert_eq!(feed([(0, 1), (0, 2), (0, 3)]).per_minute(3), None, "no time has passed");
    }

    proptest! {
        /// A quarter of the samples may be anything.
        #[test]
        fn outliers_do_not_move_the_slope(
            wild in proptest::collection::vec(any::<u32>(), 5), slope in 0_u64..1_000,
        ) {
            let bytes = |n: u64| match wild.get((n / 4) as usize) {
                Some(wild) if n % 4 == 3 => u64::from(*wild),
                _ => (1 << 20) + n * slope,
            };
            let growth = feed((0..20).map(|n| (n * 10_000, bytes(n))));
            let found = growth.per_minute(8).unwrap();
            prop_assert!((found - slope as f64 * 6.0).abs() < 1e-6, "{found}");
        }
    }
}
