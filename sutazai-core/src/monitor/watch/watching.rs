//! [`Watch`].

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;

use super::ahead::Outlooks;
use super::found::{Anomaly, SeriesChange};
use super::judges::Judges;
use super::latest::Latest;
use super::policy::{WatchPolicy, check_pattern, fits};
use super::refused::{check_monitor, refused_by};
use crate::base::contain;
use crate::base::time::Timestamp;
use crate::monitor::series::{Appended, History, HistoryStatus, Shelf};
use crate::port::{Monitor, Samples};
use crate::{Code, Error, Result};

/// Monitors of one watch, at most.
pub const MONITORS_MAX: usize = 256;

/// How long a sample waits for another one.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes measurements, keeps and judges them. It has [monitors](crate::port::Monitor), a
/// [history](crate::monitor::series::History) of what they measure, and an [anomaly detector](crate::monitor::AnomalyDetector) and a
/// [detector of changes](crate::monitor::ChangeDetector) for each series that is watched. It owns no thread and no clock: whoever has
/// it says when a [sample](Watch::sample) is taken. A kernel has one ([`Kernel::watch`](crate::kernel::Kernel::watch)) and
/// takes samples by itself where it is told to.
///
/// Of a counter (a name in `_total`) the detector sees how much it grows in a second, and nothing where it was reset. That a series
/// has no values any more is seen when a sample is taken, once.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use sutazai_core::base::time::Timestamp;
/// use sutazai_core::monitor::{Watch, WatchPolicy};
/// use sutazai_core::monitor::sample::Portable;
///
/// let watch = Watch::new(WatchPolicy::default(), None)?;
/// watch.add(Arc::new(Portable::new()?))?;
/// let sampled = watch.sample(Timestamp::now());
/// assert!(sampled.values.iter().any(|one| &*one.series == "memory_total_bytes"));
/// // What else is measured is told.
/// watch.record("queue_length", Timestamp::now(), 17.0)?;
/// assert_eq!(watch.history().points("queue_length", 1)[0].value, 17.0);
/// # Ok::<(), sutazai_core::Error>(())
/// ```
///
/// All methods may be called from any thread at once; samples are taken one after another.
pub struct Watch {
    history: History,
    policy: WatchPolicy,
    monitors: Mutex<Vec<Arc<dyn Monitor>>>,
    /// Held while a sample is taken.
    sampling: Mutex<Samples>,
    judges: Mutex<Judges>,
    latest: Mutex<Latest<Anomaly>>,
    changes: Mutex<Latest<SeriesChange>>,
    figures: Mutex<Figures>,
    pub(super) outlooks: Mutex<Outlooks>,
}

#[derive(Default)]
struct Figures {
    samples: u64,
    failures: u64,
    last: Option<Timestamp>,
    seconds: f64,
}

/// A measurement.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Measured {
    /// The series.
    pub series: Arc<str>,
    /// Its value, in the unit that the name says.
    pub value: f64,
}

/// What one sample came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Sampled {
    /// What was measured; what is not finite is left out.
    pub values: Vec<Measured>,
    /// What is odd in it.
    pub anomalies: Vec<Anomaly>,
    /// Monitors that failed, and how. What the others measured is kept.
    pub failures: Vec<(String, Error)>,
}

/// A watch's figures, since it was made.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct WatchStatus {
    /// The monitors.
    pub monitors: Vec<String>,
    /// Samples that were taken.
    pub samples: u64,
    /// When the last one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// Seconds that it took.
    pub seconds: f64,
    /// How often a monitor failed.
    pub failures: u64,
    /// Anomalies that were found.
    pub anomalies: u64,
    /// Changes of level that were found.
    pub changes: u64,
    /// The series in which they are looked for, as names or how these begin.
    pub watched: Vec<String>,
    /// How many of them there are.
    pub watching: usize,
    /// Series that are not watched because there is no room.
    pub left_out: u64,
    /// What is kept.
    pub history: HistoryStatus,
}

impl Watch {
    /// One without monitors. What a shelf has is read.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that makes no sense; what the shelf answers.
    pub fn new(policy: WatchPolicy, shelf: Option<Box<dyn Shelf>>) -> Result<Self> {
        policy.check()?;
        let history = match shelf {
            Some(shelf) => History::open(policy.history.clone(), shelf)?,
            None => History::new(policy.history.clone())?,
        };
        let judges = Judges { patterns: policy.watched.clone(), ..Judges::default() };
        Ok(Self {
            history,
            policy,
            monitors: Mutex::default(),
            sampling: Mutex::default(),
            judges: Mutex::new(judges),
            latest: Mutex::default(),
            changes: Mutex::default(),
            figures: Mutex::default(),
            outlooks: Mutex::default(),
        })
    }

    /// Adds what takes measurements.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a name that is none (1 to 64 bytes without control characters), [`Code::ALREADY_EXISTS`] for a second one of a name, [`Code::OVERLOADED`] beyond [`MONITORS_MAX`].
    pub fn add(&self, monitor: Arc<dyn Monitor>) -> Result<()> {
        check_monitor(&*monitor)?;
        let name = monitor.name().to_owned();
        let mut monitors = self.monitors.lock();
        if monitors.iter().any(|one| one.name() == name) {
            return Err(Error::new(Code::ALREADY_EXISTS, "there is a monitor of this name")
                .operation("monitor.add")
                .with("monitor", name));
        }
        if monitors.len() >= MONITORS_MAX {
            return Err(Error::new(Code::OVERLOADED, "there are as many monitors as there may be")
                .operation("monitor.add")
                .with("most", MONITORS_MAX));
        }
        monitors.push(monitor);
        Ok(())
    }

    /// Takes the monitor of this name away; whether there was one.
    pub fn remove(&self, name: &str) -> bool {
        let mut monitors = self.monitors.lock();
        let before = monitors.len();
        monitors.retain(|one| one.name() != name);
        monitors.len() < before
    }

    /// Takes all monitors away; what was measured is kept.
    pub fn release(&self) {
        let monitors = std::mem::take(&mut *self.monitors.lock());
        drop(monitors);
    }

    /// Takes a measurement from each monitor, keeps it and judges it. May block as long as a monitor does. One that fails or
    /// panics takes its own figures away; so does a series that cannot be kept, by its name or for want of room.
    pub fn sample(&self, now: Timestamp) -> Sampled {
        let began = std::time::Instant::now();
        let monitors = self.monitors.lock().clone();
        let (mut values, mut failures) = (Vec::new(), Vec::new());
        // A monitor that takes a sample itself would wait for its own end.
        let Some(mut buffer) = self.sampling.try_lock_for(PATIENCE) else {
            let busy = Error::new(Code::OVERLOADED, "another sample is under way for too long")
                .advice("a monitor must not take samples itself");
            failures.push(("sample".to_owned(), busy));
            return Sampled { values, anomalies: Vec::new(), failures };
        };
        for monitor in &monitors {
            buffer.clear();
            let sampled = contain::run("a monitor panicked", || monitor.sample(now, &mut buffer));
            let mut failure = sampled.flatten().err();
            for one in buffer.iter().filter(|one| one.value.is_finite()) {
                match self.history.append(&one.series, now, one.value) {
                    // The clock stands, or was set back: the series has this time.
                    Appended::Kept | Appended::SetBack | Appended::Late => {
                        let series = Arc::clone(&one.series);
                        values.push(Measured { series, value: one.value });
                    }
                    refused => {
                        failure = failure.or_else(|| refused_by(refused, &one.series));
                    }
                }
            }
            failures.extend(failure.map(|error| (monitor.name().to_owned(), error)));
        }
        drop(buffer);
        let mut anomalies = self.judge(now, values.iter().map(|one| (&*one.series, one.value)));
        let mut missing = self.judges.lock().wait(now);
        missing.sort_by(|a, b| a.series.cmp(&b.series));
        anomalies.extend(self.remember(missing));
        let mut figures = self.figures.lock();
        figures.samples += 1;
        figures.failures += failures.len() as u64;
        figures.last = Some(now);
        figures.seconds = began.elapsed().as_secs_f64();
        Sampled { values, anomalies, failures }
    }

    /// Keeps and judges a measurement that somebody else has taken, with its time; answers what is odd in it.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a value that is not finite, a name that is none, and a time that is not after the series' newest, however
    /// many such come; [`Code::OVERLOADED`] for a new series where there are as many as there may be.
    pub fn record(&self, series: &str, at: Timestamp, value: f64) -> Result<Option<Anomaly>> {
        self.recorded(self.history.append_at(series, at, value), series, at, value)
    }

    /// As [`record`](Self::record), for a measurement of now: where the clock stands behind the series' newest for
    /// [several](crate::monitor::series::HistoryPolicy::set_back_after) of them in a row, it was set back, and what was kept of later
    /// times is let go of.
    ///
    /// # Errors
    /// As there.
    pub fn record_now(&self, series: &str, now: Timestamp, value: f64) -> Result<Option<Anomaly>> {
        self.recorded(self.history.append(series, now, value), series, now, value)
    }

    fn recorded(
        &self,
        appended: Appended,
        series: &str,
        at: Timestamp,
        value: f64,
    ) -> Result<Option<Anomaly>> {
        match refused_by(appended, series) {
            None => Ok(self.judge(at, [(series, value)]).pop()),
            Some(refused) => Err(refused.operation("monitor.record")),
        }
    }

    /// What is odd in these values.
    fn judge<'a>(
        &self,
        now: Timestamp,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Vec<Anomaly> {
        let (mut anomalies, mut changes) = (Vec::new(), Vec::new());
        {
            let mut judges = self.judges.lock();
            for (series, value) in values {
                let found = judges.look(series, now, value, &self.policy);
                anomalies.extend(found.anomaly);
                changes.extend(found.change);
            }
        }
        if !changes.is_empty() {
            let most = self.policy.remembered as usize;
            let mut latest = self.changes.lock();
            changes.into_iter().for_each(|one| drop(latest.add(one, most)));
        }
        self.remember(anomalies)
    }

    /// Gives them their numbers.
    fn remember(&self, anomalies: Vec<Anomaly>) -> Vec<Anomaly> {
        if anomalies.is_empty() {
            return anomalies;
        }
        let most = self.policy.remembered as usize;
        let mut latest = self.latest.lock();
        anomalies.into_iter().map(|one| latest.add(one, most)).collect()
    }

    /// Also looks for anomalies in this series, or in those whose names begin with what stands before a `*`. Whether that is new.
    ///
    /// # Errors
    /// [`Code::INVALID`] for what names no series, or one pattern too many.
    pub fn watch(&self, pattern: &str) -> Result<bool> {
        check_pattern(pattern)?;
        let mut judges = self.judges.lock();
        if judges.patterns.iter().any(|one| one == pattern) {
            return Ok(false);
        }
        let mut policy = self.policy.clone();
        policy.watched = judges.patterns.clone();
        policy.watched.push(pattern.to_owned());
        policy.check()?;
        judges.patterns = policy.watched;
        judges.others.clear();
        Ok(true)
    }

    /// Looks for no anomalies there any more; what detectors have learned of it is forgotten. Whether it was watched.
    pub fn unwatch(&self, pattern: &str) -> bool {
        let mut judges = self.judges.lock();
        let before = judges.patterns.len();
        judges.patterns.retain(|one| one != pattern);
        let patterns = std::mem::take(&mut judges.patterns);
        judges.watched.retain(|series, _| patterns.iter().any(|one| fits(one, series)));
        judges.patterns = patterns;
        judges.others.clear();
        judges.patterns.len() < before
    }

    /// The anomalies that are remembered with numbers above this one, the oldest first.
    pub fn anomalies(&self, after: u64, most: usize) -> Vec<Anomaly> {
        self.latest.lock().after(after, most)
    }

    /// The anomalies that are remembered of these times, both included.
    pub fn anomalies_between(&self, from: Timestamp, to: Timestamp) -> Vec<Anomaly> {
        self.latest.lock().select(|one| (from..=to).contains(&one.at))
    }

    /// The changes of level that are remembered with numbers above this one, the oldest first.
    pub fn changes(&self, after: u64, most: usize) -> Vec<SeriesChange> {
        self.changes.lock().after(after, most)
    }

    /// What was measured.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Compresses what is full, lets go of what is too old, and writes what is new to the shelf, where there is one. May block.
    ///
    /// # Errors
    /// What the shelf answers; what could not be written is tried again the next time.
    pub fn flush(&self, now: Timestamp) -> Result<()> {
        self.judges.lock().rest(now);
        self.history.flush(now)
    }

    /// The figures.
    pub fn status(&self) -> WatchStatus {
        let monitors = self.monitors.lock().iter().map(|one| one.name().to_owned()).collect();
        let (anomalies, changes) = (self.latest.lock().count(), self.changes.lock().count());
        let (watched, watching, left_out) = {
            let judges = self.judges.lock();
            (judges.patterns.clone(), judges.watched.len(), judges.left_out)
        };
        let figures = self.figures.lock();
        WatchStatus {
            monitors,
            samples: figures.samples,
            last: figures.last,
            seconds: figures.seconds,
            failures: figures.failures,
            anomalies,
            changes,
            watched,
            watching,
            left_out,
            history: self.history.status(),
        }
    }
}

#[cfg(test)]
#[path = "watching_tests.rs"]
mod tests;
