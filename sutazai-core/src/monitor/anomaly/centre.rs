//! Where values are mostly, and how far from there: exponentially weighted, and not moved much by outliers.

/// Values before outliers are known as such.
const LEAST: f64 = 20.0;

/// How far a value moves the mean, in mean deviations at most (P. J. Huber, "Robust Estimation of a Location
/// Parameter", 1964).
const FARTHEST: f64 = 6.0;

/// A robust mean and mean absolute deviation over about `span` values.
#[derive(Clone, Debug)]
pub(super) struct Centre {
    count: f64,
    span: f64,
    mean: f64,
    deviation: f64,
}

impl Centre {
    /// One that weights the last `span` values; all of them equally while there are fewer.
    pub(super) fn new(span: f64) -> Self {
        Self { count: 0.0, span, mean: 0.0, deviation: 0.0 }
    }

    pub(super) fn count(&self) -> f64 {
        self.count
    }

    pub(super) fn mean(&self) -> f64 {
        self.mean
    }

    pub(super) fn deviation(&self) -> f64 {
        self.deviation
    }

    pub(super) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.mean = value;
            return;
        }
        let share = 1.0 / self.count.min(self.span);
        let mut rest = value - self.mean;
        let farthest = FARTHEST * self.deviation;
        if self.count > LEAST && farthest > 0.0 {
            rest = rest.clamp(-farthest, farthest);
        }
        self.mean += share * rest;
        self.deviation += share * (rest.abs() - self.deviation);
    }
}

/// The last values, the newest first when asked by their age.
#[derive(Clone, Debug)]
pub(super) struct Recent {
    values: Box<[f64]>,
    next: usize,
}

impl Recent {
    /// Room for the last `count` values, which are zero at first.
    pub(super) fn new(count: usize) -> Self {
        Self { values: vec![0.0; count.max(1)].into_boxed_slice(), next: 0 }
    }

    /// Adds a value in the place of the oldest one, which is handed back.
    pub(super) fn push(&mut self, value: f64) -> f64 {
        let oldest = match self.values.get_mut(self.next) {
            Some(place) => std::mem::replace(place, value),
            None => 0.0,
        };
        self.next = if self.next + 1 >= self.values.len() { 0 } else { self.next + 1 };
        oldest
    }

    /// The value so many pushes ago: 0 is the last one; there must be room for as many.
    pub(super) fn back(&self, age: usize) -> f64 {
        let count = self.values.len();
        let place = (self.next + count).saturating_sub(1 + age);
        let place = if place >= count { place - count } else { place };
        self.values.get(place).copied().unwrap_or(0.0)
    }

    /// The sum of the last `count` values.
    pub(super) fn sum(&self, count: usize) -> f64 {
        (0..count.min(self.values.len())).map(|age| self.back(age)).sum()
    }
}

/// Hands figures on after a while.
#[derive(Clone, Debug)]
pub(super) struct Late {
    figures: Recent,
    count: usize,
    taken: usize,
}

impl Late {
    pub(super) fn new(count: usize) -> Self {
        Self { figures: Recent::new(count), count, taken: 0 }
    }

    /// Takes a figure, and hands on the one that came so many before it.
    pub(super) fn push(&mut self, figure: f64) -> Option<f64> {
        let oldest = self.figures.push(figure);
        self.taken = self.taken.saturating_add(1);
        (self.taken > self.count).then_some(oldest)
    }

    /// How long figures wait.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Figures that were handed on.
    pub(super) fn handed(&self) -> usize {
        self.taken.saturating_sub(self.count)
    }
}

/// Times what is usual from which on a value takes the places of the others in a sum.
const BLURS: f64 = 1e6;

/// The sum of the last values, kept as they come; made anew now and then, since differences gather errors, and when a value leaves that
/// was so large that little of the others is left.
#[derive(Clone, Debug)]
pub(super) struct Window {
    count: usize,
    sum: f64,
}

impl Window {
    pub(super) fn new(count: usize) -> Self {
        Self { count, sum: 0.0 }
    }

    /// Takes in the newest of `recent`, whose values are usually of this size, when `seen` have come in all; the mean once the
    /// window is full.
    pub(super) fn slide(&mut self, recent: &Recent, usual: f64, seen: usize) -> Option<f64> {
        let leaves = recent.back(self.count);
        if seen <= self.count || seen.is_multiple_of(64) || leaves.abs() > BLURS * usual {
            self.sum = recent.sum(self.count.min(seen));
        } else {
            self.sum += recent.back(0) - leaves;
        }
        (seen >= self.count).then_some(self.sum / self.count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outlier_moves_the_centre_no_more_than_a_far_value() {
        let mut centre = Centre::new(100.0);
        for i in 0..200 {
            centre.add(f64::from(i % 2));
        }
        centre.add(1e12);
        assert!((centre.mean() - 0.5).abs() < 0.1, "{}", centre.mean());
        assert!((centre.deviation() - 0.5).abs() < 0.1, "{}", centre.deviation());
    }

    #[test]
    fn figures_are_handed_on_later() {
        let mut late = Late::new(3);
        let handed: Vec<Option<f64>> = (1..6).map(|i| late.push(f64::from(i))).collect();
        assert_eq!(handed, [None, None, None, Some(1.0), Some(2.0)]);
    }

    #[test]
    fn windows_have_the_mean_of_the_last_values() {
        let mut recent = Recent::new(9);
        let mut window = Window::new(8);
        let mut mean = None;
        for i in 1..=1_000_usize {
            recent.push((i as f64) * 0.1);
            mean = window.slide(&recent, 100.0, i);
            assert_eq!(mean.is_some(), i >= 8);
        }
        assert!((mean.unwrap_or(0.0) - 99.65).abs() < 1e-9, "{mean:?}");
    }

    #[test]
    fn a_huge_value_leaves_no_trace_in_the_sum() {
        let mut recent = Recent::new(9);
        let mut window = Window::new(8);
        for i in 1..=63_usize {
            recent.push(if i == 30 { i64::MAX as f64 } else { 1_000.0 });
            let mean = window.slide(&recent, 1_000.0, i);
            if i >= 38 {
                assert_eq!(mean, Some(1_000.0), "{i}");
            }
        }
    }
}
