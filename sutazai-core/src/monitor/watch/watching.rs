//! [`Watch`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;

use super::ahead::Outlooks;
use super::asking::{Asker, Member, Out, Round};
use super::found::{Anomaly, SeriesChange};
use super::judges::Judges;
use super::latest::Latest;
use super::policy::{WatchPolicy, check_pattern, fits};
use super::refused::{check_monitor, refused_by};
use super::remembered;
use crate::base::contain;
use crate::base::time::{Moment, Timestamp};
use crate::monitor::series::{Appended, History, HistoryStatus, Room, Shelf};
use crate::port::Monitor;
use crate::{Code, Error, Result};

/// Monitors of one watch, at most; those that were taken away while they hung count until they return.
pub const MONITORS_MAX: usize = 256;

/// What is kept beside the history.
const ANOMALIES: &str = "anomalies";
const CHANGES: &str = "changes";

/// Watches that were made, so that each has a number.
static WATCHES: AtomicU64 = AtomicU64::new(0);

/// Takes measurements, keeps and judges them. It has [monitors](crate::port::Monitor), a
/// [history](crate::monitor::series::History) of what they measure, and an [anomaly detector](crate::monitor::AnomalyDetector) and a
/// [detector of changes](crate::monitor::ChangeDetector) for each series that is watched. It owns no clock: whoever has
/// it says when a [sample](Watch::sample) is taken. Its monitors are asked on a thread of its own, in turn, so that one that hangs
/// keeps a sample waiting no longer than its [patience](WatchPolicy::patience_ms); that thread is left to it, and another one goes on. A kernel has one ([`Kernel::watch`](crate::kernel::Kernel::watch)) and
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
/// let sampled = watch.sample(Timestamp::now())?;
/// assert!(sampled.values.iter().any(|one| &*one.series == "memory_total_bytes"));
/// // What else is measured is told.
/// watch.record("queue_length", Timestamp::now(), 17.0)?;
/// assert_eq!(watch.history().points("queue_length", 1)[0].value, 17.0);
/// # Ok::<(), sutazai_core::Error>(())
/// ```
///
/// All methods may be called from any thread at once; samples are taken one after another.
pub struct Watch {
    pub(super) history: History,
    pub(super) policy: WatchPolicy,
    pub(super) number: u64,
    pub(super) members: Mutex<Members>,
    /// Held while a sample is taken.
    pub(super) sampling: Mutex<Asker>,
    /// What others' monitors are asked at the moment.
    pub(super) round: Mutex<Option<Arc<Round>>>,
    pub(super) judges: Mutex<Judges>,
    pub(super) latest: Mutex<Latest<Anomaly>>,
    pub(super) changes: Mutex<Latest<SeriesChange>>,
    /// Held while these are written.
    noting: Mutex<()>,
    pub(super) figures: Mutex<Figures>,
    pub(super) outlooks: Mutex<Outlooks>,
}

#[derive(Default)]
pub(super) struct Members {
    pub(super) present: Vec<Arc<Member>>,
    /// Taken away before they had returned.
    pub(super) gone: Vec<Weak<Member>>,
}

#[derive(Default)]
pub(super) struct Figures {
    pub(super) samples: u64,
    pub(super) failures: u64,
    pub(super) last: Option<Timestamp>,
    pub(super) seconds: f64,
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
    /// Monitors that failed, and how. What the others measured is kept. One that hangs is among them in each sample.
    pub failures: Vec<(String, Error)>,
    /// Monitors that were not asked, as those before them used the patience up: in the next sample they come first. From the third sample in
    /// a row on that is a failure.
    pub unasked: Vec<String>,
    /// Monitors that have not returned yet, from this sample or one before. What they measure is kept when they return, under the time
    /// at which they were asked.
    pub away: Vec<String>,
}

/// A monitor that was asked, and has not returned.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Away {
    /// The monitor.
    pub monitor: String,
    /// The time of the sample that asked it.
    pub asked: Timestamp,
    /// Seconds since then.
    pub seconds: f64,
    /// Whether that is so long that it hangs: it is told of, and counted as a failure, once.
    pub hangs: bool,
}

/// A watch's figures; what is counted is counted since it was made, unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct WatchStatus {
    /// The monitors.
    pub monitors: Vec<String>,
    /// Those that a sample has left as they did not return. They are asked again once they have.
    pub away: Vec<Away>,
    /// Those that were taken away before they had returned, and have not since. Each keeps a thread, and counts among the monitors that there may
    /// be, until it does.
    pub removed: Vec<Away>,
    /// Samples that were taken.
    pub samples: u64,
    /// When the last one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// Seconds that it took.
    pub seconds: f64,
    /// How often a monitor failed; one that hangs counts once, until it returns.
    pub failures: u64,
    /// Anomalies that were found, those before a restart too, as far as they were written.
    pub anomalies: u64,
    /// Changes of level that were found, those before a restart too, as far as they were written.
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
        let most = policy.remembered as usize;
        let now = Timestamp::now();
        let latest = Mutex::new(remembered::read(&history, ANOMALIES, most, now));
        let changes = Mutex::new(remembered::read(&history, CHANGES, most, now));
        let watch = Self {
            history,
            policy,
            number: WATCHES.fetch_add(1, Ordering::Relaxed),
            members: Mutex::default(),
            sampling: Mutex::default(),
            round: Mutex::default(),
            judges: Mutex::new(judges),
            latest,
            changes,
            noting: Mutex::default(),
            figures: Mutex::default(),
            outlooks: Mutex::default(),
        };
        // Which numbers are left out: what cannot be written is tried again with the next flush.
        let _ = watch.write_found();
        Ok(watch)
    }

    /// Adds what takes measurements.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a name that is none (1 to 64 bytes without control characters), [`Code::ALREADY_EXISTS`] for a second one of a name, [`Code::OVERLOADED`] beyond [`MONITORS_MAX`].
    pub fn add(&self, monitor: Arc<dyn Monitor>) -> Result<()> {
        self.add_member(monitor, false)
    }

    /// As [`add`](Self::add), for one of the kernel's, which is asked before the others, and whose series have the
    /// [room](WatchPolicy::own_series) that is kept for them.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn add_own(&self, monitor: Arc<dyn Monitor>) -> Result<()> {
        self.add_member(monitor, true)
    }

    pub(super) fn add_member(&self, monitor: Arc<dyn Monitor>, own: bool) -> Result<()> {
        check_monitor(&*monitor)?;
        let member = Arc::new(Member::new(self.number, monitor, own));
        let mut members = self.members.lock();
        if members.present.iter().any(|one| one.name == member.name) {
            return Err(Error::new(Code::ALREADY_EXISTS, "there is a monitor of this name")
                .operation("monitor.add")
                .with("monitor", &member.name));
        }
        members.gone.retain(|one| one.strong_count() > 0);
        if members.present.len() + members.gone.len() >= MONITORS_MAX {
            return Err(Error::new(Code::OVERLOADED, "there are as many monitors as there may be")
                .operation("monitor.add")
                .with("monitor", &member.name)
                .with("most", MONITORS_MAX)
                .with("removed_but_hanging", members.gone.len()));
        }
        members.present.push(member);
        Ok(())
    }

    /// Takes the monitor of this name away, also while it hangs: its name is free at once. Whether there was one.
    pub fn remove(&self, name: &str) -> bool {
        let mut members = self.members.lock();
        let Some(at) = members.present.iter().position(|one| &*one.name == name) else {
            return false;
        };
        let member = members.present.remove(at);
        if member.leave() {
            members.gone.push(Arc::downgrade(&member));
        }
        drop(members);
        drop(member);
        true
    }

    /// The monitors' names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.members.lock().present.iter().map(|one| one.name.to_string()).collect()
    }

    /// Takes all monitors away, and waits for none of them; what was measured is kept.
    pub fn release(&self) {
        let monitors = {
            let mut members = self.members.lock();
            let present = std::mem::take(&mut members.present);
            let out = present.iter().filter(|one| one.leave());
            members.gone.extend(out.map(Arc::downgrade));
            present
        };
        let round = self.round.lock().take();
        round.iter().for_each(|round| round.end());
        drop((monitors, round));
        if let Some(mut asker) = self.sampling.try_lock_for(Duration::from_secs(1)) {
            asker.end();
        }
    }

    /// `clock`: the time is that of a clock.
    pub(super) fn append(
        &self,
        own: bool,
        series: &str,
        at: Timestamp,
        value: f64,
        clock: bool,
    ) -> Appended {
        let room = Room { most: if own { usize::MAX } else { self.room() }, own };
        self.history.append_within(series, at, value, clock, room)
    }

    /// Series that there may be before others than the kernel's own are refused.
    pub(super) fn room(&self) -> usize {
        self.policy.others_series()
    }

    /// Keeps and judges a measurement that somebody else has taken, with its time; answers what is odd in it.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a value that is not finite, a name that is none, and a time that is not after the series' newest, however
    /// many such come; [`Code::OVERLOADED`] for a new series where there are as many as there may be.
    pub fn record(&self, series: &str, at: Timestamp, value: f64) -> Result<Option<Anomaly>> {
        self.recorded(self.append(false, series, at, value, false), series, at, value)
    }

    /// As [`record`](Self::record), for a measurement of now: where the clock stands behind the series' newest for
    /// [several](crate::monitor::series::HistoryPolicy::set_back_after) of them in a row, it was set back, and what was kept of later
    /// times is let go of.
    ///
    /// # Errors
    /// As there.
    pub fn record_now(&self, series: &str, now: Timestamp, value: f64) -> Result<Option<Anomaly>> {
        self.recorded(self.append(false, series, now, value, true), series, now, value)
    }

    fn recorded(
        &self,
        appended: Appended,
        series: &str,
        at: Timestamp,
        value: f64,
    ) -> Result<Option<Anomaly>> {
        match refused_by(appended, series, &self.history, self.room()) {
            None => Ok(self.judge(at, [(series, value)]).pop()),
            Some(refused) => Err(refused.operation("monitor.record")),
        }
    }

    /// What is odd in these values.
    pub(super) fn judge<'a>(
        &self,
        now: Timestamp,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Vec<Anomaly> {
        let (mut anomalies, mut changes, mut clearer) = (Vec::new(), Vec::new(), Vec::new());
        {
            let mut judges = self.judges.lock();
            for (series, value) in values {
                let found = judges.look(series, now, value, &self.policy);
                clearer.extend(found.clearer.map(|kind| (series, kind)));
                anomalies.extend(found.anomaly);
                changes.extend(found.change);
            }
        }
        if !changes.is_empty() {
            let most = self.policy.remembered as usize;
            let mut latest = self.changes.lock();
            changes.into_iter().for_each(|one| drop(latest.add(one, most)));
        }
        if !clearer.is_empty() {
            let mut latest = self.latest.lock();
            for (series, kind) in clearer {
                latest.mend(series, |one| one.kind = Some(kind));
            }
        }
        self.remember(anomalies)
    }

    /// Gives them their numbers.
    pub(super) fn remember(&self, anomalies: Vec<Anomaly>) -> Vec<Anomaly> {
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
        let flushed = self.history.flush(now);
        flushed.and(self.write_found())
    }

    /// Writes what was found, where that is new.
    pub(super) fn write_found(&self) -> Result<()> {
        let _alone = self.noting.lock();
        remembered::write(&self.history, ANOMALIES, &self.latest)
            .and_then(|()| remembered::write(&self.history, CHANGES, &self.changes))
    }

    /// The figures.
    pub fn status(&self) -> WatchStatus {
        self.status_at(Moment::now(), None)
    }

    /// As [`status`](Self::status), by the clock and the time between samples that [`sample_at`](Self::sample_at) was told.
    pub(crate) fn status_at(&self, moment: Moment, every: Option<Duration>) -> WatchStatus {
        let deadline = self.policy.hangs_after(every);
        let (present, gone) = {
            let members = self.members.lock();
            let gone: Vec<_> = members.gone.iter().filter_map(Weak::upgrade).collect();
            (members.present.clone(), gone)
        };
        let removed = gone.iter().filter_map(|one| Some(away(one, one.out()?, moment, deadline)));
        let removed = removed.collect();
        // They may have returned, and this may be the last that has them.
        gone.into_iter().for_each(|one| drop(contain::catch(move || drop(one))));
        let monitors = present.iter().map(|one| one.name.to_string()).collect();
        let left = present.iter().filter_map(|one| Some((one, one.out().filter(|out| out.left)?)));
        let away = left.map(|(one, out)| away(one, out, moment, deadline)).collect();
        let (anomalies, changes) = (self.latest.lock().count(), self.changes.lock().count());
        let (watched, watching, left_out) = {
            let judges = self.judges.lock();
            (judges.patterns.clone(), judges.watched.len(), judges.left_out)
        };
        let figures = self.figures.lock();
        WatchStatus {
            monitors,
            away,
            removed,
            samples: figures.samples,
            last: figures.last,
            seconds: figures.seconds,
            failures: figures.failures,
            anomalies,
            changes,
            watched,
            watching,
            left_out,
            history: HistoryStatus { others_most: self.room(), ..self.history.status() },
        }
    }
}

fn away(one: &Member, out: Out, moment: Moment, deadline: Duration) -> Away {
    let long = moment.since(out.since);
    let monitor = one.name.to_string();
    Away { monitor, asked: out.asked, seconds: long.as_secs_f64(), hangs: long >= deadline }
}

#[cfg(test)]
#[path = "watching_tests.rs"]
mod tests;
