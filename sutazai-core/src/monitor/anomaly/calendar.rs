//! What is usual at this time of the week.

use super::centre::Centre;
use super::tuning::SPAN;
use crate::base::time::Timestamp;

const HOUR: i64 = 3_600_000_000_000;
const HOURS: i64 = 168;

/// Values that an hour's usual one is taken over.
const HOUR_SPAN: f64 = 20.0;

/// Values that an hour must have seen.
const LEAST: f64 = 3.0;

/// How much of the scale is the hour's own; the rest is that of all.
const OWN: f64 = 0.3;

/// The hours of the week (UTC), each of which has its own usual value.
#[derive(Clone, Debug)]
pub(super) struct Week {
    hours: Box<[Centre]>,
    all: Centre,
}

impl Week {
    pub(super) fn new() -> Self {
        let hours = vec![Centre::new(HOUR_SPAN); HOURS as usize].into_boxed_slice();
        Self { hours, all: Centre::new(SPAN) }
    }

    /// How far the value is from the usual one of its hour, in deviations; nothing while that is not known. What
    /// is not above `grain` is rounding.
    pub(super) fn feed(&mut self, at: Timestamp, value: f64, grain: f64) -> Option<f64> {
        let hour = at.as_nanos().div_euclid(HOUR).rem_euclid(HOURS);
        let hour = self.hours.get_mut(usize::try_from(hour).unwrap_or(0))?;
        let mut far = None;
        if hour.count() >= LEAST {
            let rest = value - hour.mean();
            let rest = if rest.abs() > grain { rest } else { 0.0 };
            let scale = OWN * hour.deviation() + (1.0 - OWN) * self.all.deviation();
            far = (scale > grain).then(|| rest / scale);
            self.all.add(rest);
        }
        hour.add(value);
        far
    }
}
