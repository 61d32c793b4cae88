//! What is asked of a history, and what it answers.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, Sum, bounded};
use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

/// Windows of an answer, at most.
pub const WINDOWS_MAX: u64 = 100_000;

/// Asks for one series in windows of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// The series.
    pub series: String,
    /// The beginning.
    pub from: Timestamp,
    /// The end; not part of it.
    pub to: Timestamp,
    /// Milliseconds of a window, 1 or more; the first begins at `from`. At most [`WINDOWS_MAX`] windows. Without it all is one window.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub step_ms: Option<u64>,
    /// What is told of a window.
    #[serde(default)]
    pub aggregate: Aggregate,
}

/// What is told of the points of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// Their arithmetic mean.
    #[default]
    Mean,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// Their sum; beyond what a float holds, the largest one.
    Sum,
    /// How many there are.
    Count,
    /// The last.
    Last,
    /// For counters: by how much they grow in a second. What is counted from one point to the next is of the
    /// later one's window, and so is the time in between. A value that falls was reset to zero. In buckets this is
    /// exact for series whose names say that they are counters; for others, one that was reset within a
    /// bucket and passed its old value again is not seen to have been.
    Rate,
    /// A quantile of them, 0 to 1, linear between two points (definition 7 of R. J. Hyndman, Y. Fan: Sample
    /// Quantiles in Statistical Packages, The American Statistician 50, 1996). Only where the points
    /// themselves are kept.
    Quantile(f64),
}

/// The answer to a [`Query`].
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Answer {
    /// Seconds of the buckets that it was made of; 0 when it was made of the points themselves.
    pub resolution_s: u32,
    /// The oldest time for which there is anything in this resolution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The windows that have points, in order of time.
    pub windows: Vec<Reading>,
    /// Blocks that were damaged, and are missing in it.
    pub damaged: u64,
}

/// A value at a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Reading {
    /// The time; of a window, its beginning.
    pub at: Timestamp,
    /// The value, always finite.
    pub value: f64,
}

impl Query {
    /// Everything from `from` and before `to` as one window; set the other fields as needed.
    pub fn new(series: &str, from: Timestamp, to: Timestamp, aggregate: Aggregate) -> Self {
        Self { series: series.to_owned(), from, to, step_ms: None, aggregate }
    }

    /// In windows of so many milliseconds.
    #[must_use]
    pub fn step_ms(mut self, step_ms: u64) -> Self {
        self.step_ms = Some(step_ms);
        self
    }

    /// Whether it makes sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        let invalid = |field: &'static str, rule: Cow<'static, str>| {
            Error::new(Code::INVALID, "the query is not valid")
                .operation("monitor.query")
                .with("field", field)
                .with("rule", rule)
        };
        if self.to <= self.from {
            return Err(invalid("to", "must be after from".into()));
        }
        let span = i128::from(self.to.as_nanos()) - i128::from(self.from.as_nanos());
        let step = self.step_ms.map(|ms| i128::from(ms) * 1_000_000);
        if step == Some(0) {
            return Err(invalid(
                "step_ms",
                "must be at least 1; leave it out for one window".into(),
            ));
        }
        if step.is_some_and(|step| span > step * i128::from(WINDOWS_MAX)) {
            return Err(invalid("step_ms", format!("more than {WINDOWS_MAX} windows").into()));
        }
        match self.aggregate {
            Aggregate::Quantile(q) if !(0.0..=1.0).contains(&q) => {
                Err(invalid("aggregate.quantile", "must be between 0 and 1".into()))
            }
            _ => Ok(()),
        }
    }
}

/// Gathers rows into windows. In nanoseconds.
#[derive(Debug)]
pub(super) struct Windows {
    from: i64,
    to: i64,
    step: i128,
    aggregate: Aggregate,
    before: Option<(i64, f64)>,
    open: Option<Window>,
    readings: Vec<Reading>,
}

/// What a window has.
#[derive(Debug)]
struct Window {
    index: i128,
    min: f64,
    max: f64,
    sum: Sum,
    count: f64,
    last: f64,
    grown: Sum,
    seconds: f64,
    values: Vec<f64>,
}

impl Windows {
    pub(super) fn new(query: &Query) -> Self {
        Self {
            from: query.from.as_nanos(),
            to: query.to.as_nanos(),
            step: i128::from(query.step_ms.unwrap_or(0)) * 1_000_000,
            aggregate: query.aggregate,
            before: None,
            open: None,
            readings: Vec::new(),
        }
    }

    /// Adds a row; those outside are let go of, but for what was counted since the one before.
    pub(super) fn add(&mut self, at: i64, bucket: &Bucket) {
        let before = self.before.replace((at, bucket.last));
        if at < self.from || at >= self.to {
            return;
        }
        let index = (i128::from(at) - i128::from(self.from)).checked_div(self.step).unwrap_or(0);
        if self.open.as_ref().is_some_and(|open| open.index != index) {
            self.end();
        }
        let window = self.open.get_or_insert_with(|| Window::new(index));
        window.add(bucket);
        if let Some((time, value)) = before {
            let grown = bucket.last - value + bucket.carry;
            // Reset, and not seen when it came.
            let grown = if grown < 0.0 { bucket.last.max(0.0) } else { grown };
            window.grown.add(bounded(grown));
            window.seconds += (at as f64 - time as f64).max(1.0) / 1e9;
        }
        if matches!(self.aggregate, Aggregate::Quantile(_)) {
            window.values.push(bucket.last);
        }
    }

    /// The windows that had points.
    pub(super) fn finish(mut self) -> Vec<Reading> {
        self.end();
        self.readings
    }

    fn end(&mut self) {
        let Some(window) = self.open.take() else { return };
        let start = i128::from(self.from) + window.index * self.step;
        if let (Some(value), Ok(at)) = (window.value(self.aggregate), i64::try_from(start)) {
            self.readings.push(Reading { at: Timestamp::from_nanos(at), value });
        }
    }
}

impl Window {
    fn new(index: i128) -> Self {
        Self {
            index,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            sum: Sum::default(),
            count: 0.0,
            last: 0.0,
            grown: Sum::default(),
            seconds: 0.0,
            values: Vec::new(),
        }
    }

    fn add(&mut self, bucket: &Bucket) {
        self.min = self.min.min(bucket.min);
        self.max = self.max.max(bucket.max);
        self.sum.add(bucket.sum);
        self.count += bucket.count;
        self.last = bucket.last;
    }

    fn value(mut self, aggregate: Aggregate) -> Option<f64> {
        let value = match aggregate {
            // Rounding must not bring it outside.
            Aggregate::Mean => (self.sum.value() / self.count).clamp(self.min, self.max),
            Aggregate::Min => self.min,
            Aggregate::Max => self.max,
            Aggregate::Sum => self.sum.value(),
            Aggregate::Count => self.count,
            Aggregate::Last => self.last,
            Aggregate::Rate if self.seconds > 0.0 => self.grown.value() / self.seconds,
            Aggregate::Rate => return None,
            Aggregate::Quantile(q) => quantile(&mut self.values, q)?,
        };
        Some(bounded(value))
    }
}

fn quantile(values: &mut [f64], q: f64) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let place = q * values.len().checked_sub(1)? as f64;
    let low = *values.get(place.floor() as usize)?;
    let high = *values.get(place.ceil() as usize)?;
    let share = place.fract();
    // The difference of two finite values may not be finite.
    Some(if share == 0.0 { low } else { low * (1.0 - share) + high * share })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(aggregate: Aggregate, points: &[(i64, f64)]) -> Vec<(i64, f64)> {
        let seconds = |s: i64| Timestamp::from_nanos(s * 1_000_000_000);
        let query = Query::new("s", seconds(10), seconds(30), aggregate).step_ms(10_000);
        query.check().unwrap();
        let mut windows = Windows::new(&query);
        for &(time, value) in points {
            windows.add(time * 1_000_000_000, &Bucket::point(value, 0.0));
        }
        windows.finish().iter().map(|r| (r.at.as_nanos() / 1_000_000_000, r.value)).collect()
    }

    #[test]
    fn windows_tell_what_is_asked() {
        let points = [(8, 1.0), (12, 4.0), (14, 2.0), (19, 9.0), (20, 3.0), (30, 7.0)];
        let cases = [
            (Aggregate::Mean, [5.0, 3.0]),
            (Aggregate::Min, [2.0, 3.0]),
            (Aggregate::Max, [9.0, 3.0]),
            (Aggregate::Sum, [15.0, 3.0]),
            (Aggregate::Count, [3.0, 1.0]),
            (Aggregate::Last, [9.0, 3.0]),
            (Aggregate::Quantile(0.5), [4.0, 3.0]),
            (Aggregate::Quantile(0.75), [6.5, 3.0]),
            // 3 + 2 (reset) + 7 in 4 + 2 + 5 seconds; 3 (reset) in 1 second.
            (Aggregate::Rate, [12.0 / 11.0, 3.0]),
        ];
        for (aggregate, [a, b]) in cases {
            assert_eq!(ask(aggregate, &points), [(10, a), (20, b)], "{aggregate:?}");
        }
        assert_eq!(ask(Aggregate::Rate, &[(12, 1.0), (25, 1.0)]), [(20, 0.0)], "no point before");
        assert_eq!(ask(Aggregate::Mean, &[]), [], "a gap is a gap");
    }

    #[test]
    fn answers_are_finite() {
        let points = [(11, f64::MAX), (12, f64::MIN), (13, f64::MAX), (14, f64::MAX), (15, -0.0)];
        for aggregate in [
            Aggregate::Mean,
            Aggregate::Sum,
            Aggregate::Rate,
            Aggregate::Quantile(0.3),
            Aggregate::Quantile(0.9),
        ] {
            assert!(ask(aggregate, &points).iter().all(|(_, value)| value.is_finite()));
        }
    }

    #[test]
    fn queries_are_checked() {
        let t = Timestamp::from_nanos;
        let wrong = [
            Query::new("s", t(5), t(5), Aggregate::Mean),
            Query::new("s", t(0), t(i64::MAX), Aggregate::Mean).step_ms(1),
            Query::new("s", t(0), t(100_000_000_001), Aggregate::Mean).step_ms(1),
            Query::new("s", t(0), t(5), Aggregate::Mean).step_ms(0),
            Query::new("s", t(0), t(5), Aggregate::Quantile(1.5)),
            Query::new("s", t(0), t(5), Aggregate::Quantile(f64::NAN)),
        ];
        for query in wrong {
            assert_eq!(query.check().unwrap_err().code(), Code::INVALID, "{query:?}");
        }
        Query::new("s", t(0), t(100_000_000_000), Aggregate::Mean).step_ms(1).check().unwrap();
        Query::new("s", t(i64::MIN), t(i64::MAX), Aggregate::Sum).check().unwrap();
    }
}
