//! What is usual at this time of the day, and of the week.

use super::centre::Centre;
use super::tuning::SPAN;
use crate::base::time::Timestamp;

const DAY: i64 = 86_400_000_000_000;

/// A cycle of the calendar, in parts that each have their own usual value.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    /// Nanoseconds of a round.
    round: i64,
    parts: Box<[Centre]>,
    /// Values that a part must have seen.
    least: f64,
    /// How much of the scale is the part's own; the rest is that of all.
    own: f64,
    all: Centre,
}

impl Calendar {
    /// Half hours of the day (UTC); each needs four values.
    pub(super) fn day() -> Self {
        Self::new(DAY, 48, 56.0, 4.0, 0.5)
    }

    /// Hours of the week; each needs three values.
    pub(super) fn week() -> Self {
        Self::new(7 * DAY, 168, 20.0, 3.0, 0.3)
    }

    fn new(round: i64, parts: usize, span: f64, least: f64, own: f64) -> Self {
        let parts = vec![Centre::new(span); parts].into_boxed_slice();
        Self { round, parts, least, own, all: Centre::new(SPAN) }
    }

    /// How far the value is from the usual one of its time, in deviations; nothing while that is not known. What
    /// is not above `grain` is rounding.
    pub(super) fn feed(&mut self, at: Timestamp, value: f64, grain: f64) -> Option<f64> {
        let count = self.parts.len() as i64;
        let part = (at.as_nanos().rem_euclid(self.round) / (self.round / count)).min(count - 1);
        let part = self.parts.get_mut(usize::try_from(part).unwrap_or(0))?;
        let mut far = None;
        if part.count() >= self.least {
            let rest = value - part.mean();
            let rest = if rest.abs() > grain { rest } else { 0.0 };
            let scale = self.own * part.deviation() + (1.0 - self.own) * self.all.deviation();
            far = (scale > grain).then(|| rest / scale);
            self.all.add(rest);
        }
        part.add(value);
        far
    }
}
