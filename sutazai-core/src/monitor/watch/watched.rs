//! A series with detectors.

use std::hash::{Hash as _, Hasher as _};

use super::found::{Anomaly, SeriesChange};
use super::policy::WatchPolicy;
use crate::Result;
use crate::base::time::Timestamp;
use crate::monitor::series::is_counter;
use crate::monitor::{AnomalyDetector, AnomalyKind, ChangeDetector, Detector as _, Verdict};

pub(super) struct Watched {
    detector: AnomalyDetector,
    levels: ChangeDetector,
    counter: bool,
    last: Option<(Timestamp, f64)>,
    /// What the detector was shown last.
    seen: f64,
    /// When its newest value was measured, and how long after the one before.
    newest: Option<Timestamp>,
    interval: i64,
    /// Its values were told to be missing, and have not come again.
    missing: bool,
    /// What the last anomaly was called.
    called: Option<AnomalyKind>,
}

/// Nanoseconds after which a series without values has gone, if it was not said before that they are missing.
const GONE: i64 = 3_600 * 1_000_000_000;
/// Or so many times as long as it took from one value to the next.
const SELDOM: i64 = 3;

impl Watched {
    pub(super) fn new(policy: &WatchPolicy, series: &str) -> Result<Self> {
        let share = share(series);
        Ok(Self {
            detector: AnomalyDetector::spread(policy.anomaly.clone(), share)?,
            levels: ChangeDetector::spread(policy.change.clone(), (share + 0.5).fract())?,
            counter: is_counter(series),
            last: None,
            seen: 0.0,
            newest: None,
            interval: 0,
            missing: false,
            called: None,
        })
    }

    /// What is odd in the next value, and the change of level that it makes sure.
    pub(super) fn look(&mut self, series: &str, at: Timestamp, value: f64) -> Found {
        let before = self.newest.replace(at).unwrap_or(at);
        self.interval = at.as_nanos().saturating_sub(before.as_nanos());
        self.missing = false;
        let value = match self.counter {
            false => Some(value),
            true => self.rate(at, value),
        };
        let Some(value) = value else { return Found::default() };
        let change = self.levels.look(at, value).map(|mut change| {
            for one in [&mut change.before, &mut change.after, &mut change.strength] {
                *one = finite(*one);
            }
            SeriesChange { number: 0, series: series.to_owned(), found: at, change }
        });
        self.seen = value;
        let verdict = self.detector.look(at, value);
        let clearer = verdict.kind.filter(|kind| !verdict.alarm && Some(*kind) != self.called);
        self.called = verdict.kind.or(self.called);
        Found { anomaly: self.anomaly(series, at, verdict), clearer, change }
    }

    /// That its values do not come any more; once.
    pub(super) fn wait(&mut self, series: &str, now: Timestamp) -> Option<Anomaly> {
        let verdict = self.detector.wait(now);
        self.missing |= verdict.alarm;
        self.called = verdict.kind.or(self.called);
        self.anomaly(series, now, verdict)
    }

    /// For how long it has had no values, in nanoseconds, if that is so long that it may have gone for good.
    pub(super) fn gone_for(&self, now: Timestamp) -> Option<i64> {
        let silent = now.as_nanos().saturating_sub(self.newest?.as_nanos());
        let long = GONE.max(self.interval.saturating_mul(SELDOM));
        (silent > 0 && (self.missing || silent > long)).then_some(silent)
    }

    fn anomaly(&self, series: &str, at: Timestamp, verdict: Verdict) -> Option<Anomaly> {
        verdict.alarm.then(|| {
            let view = self.detector.view();
            Anomaly {
                number: 0,
                series: series.to_owned(),
                at,
                value: self.seen,
                usual: finite(view.level),
                deviation: finite(view.deviation),
                score: verdict.score,
                kind: verdict.kind,
            }
        })
    }

    /// By how much a counter grows in a second; nothing of one that was reset, or has no time between.
    fn rate(&mut self, at: Timestamp, value: f64) -> Option<f64> {
        let (then, before) = self.last.replace((at, value))?;
        let nanos = at.as_nanos().saturating_sub(then.as_nanos());
        #[allow(clippy::cast_precision_loss, reason = "years in nanoseconds are near enough")]
        let seconds = nanos as f64 / 1e9;
        (seconds > 0.0 && value >= before).then(|| finite((value - before) / seconds))
    }
}

/// A number from 0 to 1 that goes with a name: what takes a while is not done for all at the same point.
fn share(series: &str) -> f64 {
    let mut hasher = std::hash::DefaultHasher::new();
    series.hash(&mut hasher);
    f64::from(hasher.finish() as u32) / f64::from(u32::MAX)
}

/// What JSON can say: it has no number that is none, or beyond all others.
fn finite(value: f64) -> f64 {
    match value.is_nan() {
        true => 0.0,
        false => value.clamp(f64::MIN, f64::MAX),
    }
}

/// What a value has shown.
#[derive(Default)]
pub(super) struct Found {
    pub(super) anomaly: Option<Anomaly>,
    /// What the anomaly before turns out to be.
    pub(super) clearer: Option<AnomalyKind>,
    pub(super) change: Option<SeriesChange>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn of_a_counter_its_growth_is_seen() {
        let mut watched = Watched::new(&WatchPolicy::default(), "bytes_total{of=\"x\"}").unwrap();
        let at = |s: u64| Timestamp::EPOCH + Duration::from_secs(s);
        assert_eq!(watched.rate(at(0), 5.0), None);
        assert_eq!(watched.rate(at(2), 15.0), Some(5.0));
        assert_eq!(watched.rate(at(3), 1.0), None);
        assert_eq!(watched.rate(at(3), 2.0), None);
        assert_eq!(watched.rate(at(4), 4.0), Some(2.0));
        assert_eq!(watched.rate(at(5), f64::MIN), None);
        assert_eq!(watched.rate(at(6), f64::MAX), Some(f64::MAX), "what JSON can say");
    }
}
