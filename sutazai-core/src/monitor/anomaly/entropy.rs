//! Whether the last values are distributed as those of the past.

use super::centre::Recent;
use super::context::cell;
use super::tuning::SPAN;

/// Eight above the usual level, eight below, and that.
const CELLS: usize = 17;

/// Values of the window.
pub(super) const WINDOW: usize = 48;

/// What each cell is taken to have had beside what it has: half a value.
const BESIDE: f64 = 0.5;

/// The relative entropy of the last values' distribution over cells and that of the values before them (C. Wang et al.,
/// "Statistical Techniques for Online Anomaly Detection in Data Centers", IM 2011).
#[derive(Clone, Debug)]
pub(super) struct Entropy {
    recent: Recent,
    now: [f64; CELLS],
    past: [f64; CELLS],
    total: f64,
    seen: usize,
}

impl Entropy {
    pub(super) fn new() -> Self {
        let recent = Recent::new(WINDOW);
        Self { recent, now: [0.0; CELLS], past: [0.0; CELLS], total: 0.0, seen: 0 }
    }

    /// How far the last values are from those before, in nats times values; nothing before two windows are past. The
    /// value is in deviations.
    pub(super) fn feed(&mut self, deviations: f64) -> Option<f64> {
        let cell = cell::<CELLS>(deviations, 2.0);
        let oldest = self.recent.push(cell as f64) as usize;
        self.seen = self.seen.saturating_add(1);
        if let Some(now) = self.now.get_mut(cell) {
            *now += 1.0;
        }
        if self.seen > WINDOW {
            self.leave(oldest);
        }
        (self.seen >= 3 * WINDOW).then(|| self.distance())
    }

    /// The oldest value of the window becomes part of the past.
    fn leave(&mut self, cell: usize) {
        if self.total >= SPAN {
            let kept = 1.0 - 1.0 / SPAN;
            self.past.iter_mut().for_each(|count| *count *= kept);
            self.total *= kept;
        }
        if let Some((now, past)) = self.now.get_mut(cell).zip(self.past.get_mut(cell)) {
            *now -= 1.0;
            *past += 1.0;
            self.total += 1.0;
        }
    }

    fn distance(&self) -> f64 {
        let all = self.total + BESIDE * CELLS as f64;
        let pairs = self.now.iter().zip(&self.past).filter(|(now, _)| **now > 0.0);
        let parts =
            pairs.map(|(now, past)| now * (now / WINDOW as f64 * all / (past + BESIDE)).ln());
        parts.sum::<f64>().max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_distribution_is_far_and_the_same_is_near() {
        let mut entropy = Entropy::new();
        let mut usual = 0.0_f64;
        for i in 0..3_000_u32 {
            let far = entropy.feed(f64::from(i * 37 % 41) / 10.0 - 2.0);
            assert_eq!(far.is_some(), i + 1 >= 3 * WINDOW as u32);
            if i > 1_000 {
                usual = usual.max(far.unwrap_or(0.0));
            }
        }
        let mut far = 0.0;
        for i in 0..WINDOW as u32 {
            far = entropy.feed(f64::from(i * 37 % 41) / 40.0 - 0.5).unwrap_or(0.0);
        }
        assert!(far > 5.0 * usual, "{far} {usual}");
    }
}
