//! [`Watch`].

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;

use super::ahead::Outlooks;
use super::found::Anomaly;
use super::latest::Latest;
use super::policy::{WatchPolicy, check_pattern, fits};
use super::watched::Watched;
use crate::base::contain;
use crate::base::time::Timestamp;
use crate::monitor::series::{Appended, History, HistoryStatus, Shelf};
use crate::port::{Monitor, Samples};
use crate::{Code, Error, Result};

/// Monitors of one watch, at most.
pub const MONITORS_MAX: usize = 256;

/// Takes measurements, keeps and judges them. It has [monitors](crate::port::Monitor), a
/// [history](crate::monitor::series::History) of what they measure, and an [anomaly detector](crate::monitor::AnomalyDetector) for each series that is watched. It owns no thread and no clock: whoever has
/// it says when a [sample](Watch::sample) is taken. A kernel has one ([`Kernel::watch`](crate::kernel::Kernel::watch)) and
/// takes samples by itself where it is told to.
///
/// Of a counter (a name in `_total`) the detector sees how much it grows in a second, and nothing where it was reset.
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
    latest: Mutex<Latest>,
    figures: Mutex<Figures>,
    pub(super) outlooks: Mutex<Outlooks>,
}

#[derive(Default)]
struct Judges {
    patterns: Vec<String>,
    watched: HashMap<Arc<str>, Watched>,
    /// Series that no pattern fits, or that had no room: not looked at again until patterns change.
    others: HashMap<Arc<str>, bool>,
    /// Series that had no room.
    left_out: u64,
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
            figures: Mutex::default(),
            outlooks: Mutex::default(),
        })
    }

    /// Adds what takes measurements.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`] for a second one of a name, [`Code::OVERLOADED`] beyond [`MONITORS_MAX`].
    pub fn add(&self, monitor: Arc<dyn Monitor>) -> Result<()> {
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

    /// Takes a measurement from each monitor, keeps it and judges it. May block as long as a monitor does. One that fails or
    /// panics takes its own figures away.
    pub fn sample(&self, now: Timestamp) -> Sampled {
        let began = std::time::Instant::now();
        let monitors = self.monitors.lock().clone();
        let mut buffer = self.sampling.lock();
        let (mut values, mut failures) = (Vec::new(), Vec::new());
        for monitor in &monitors {
            buffer.clear();
            let sampled = contain::run("a monitor panicked", || monitor.sample(now, &mut buffer));
            if let Err(error) = sampled.flatten() {
                failures.push((monitor.name().to_owned(), error));
            }
            values.extend(
                buffer
                    .iter()
                    .filter(|one| one.value.is_finite())
                    .map(|one| Measured { series: Arc::clone(&one.series), value: one.value }),
            );
        }
        drop(buffer);
        for one in &values {
            self.history.append(&one.series, now, one.value);
        }
        let anomalies = self.judge(now, values.iter().map(|one| (&*one.series, one.value)));
        let mut figures = self.figures.lock();
        figures.samples += 1;
        figures.failures += failures.len() as u64;
        figures.last = Some(now);
        figures.seconds = began.elapsed().as_secs_f64();
        Sampled { values, anomalies, failures }
    }

    /// Keeps and judges a measurement that somebody else has taken; answers what is odd in it.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a value that is not finite, a name that is none, and a time that is not after the series' newest;
    /// [`Code::OVERLOADED`] for a new series where there are as many as there may be.
    pub fn record(&self, series: &str, now: Timestamp, value: f64) -> Result<Option<Anomaly>> {
        let refused = |code, problem| {
            Err(Error::new(code, problem)
                .operation("monitor.record")
                .with("series", series.escape_debug()))
        };
        match self.history.append(series, now, value) {
            Appended::Kept | Appended::SetBack => Ok(self.judge(now, [(series, value)]).pop()),
            Appended::Late => {
                refused(Code::INVALID, "the series has this time already, or a later one")
            }
            Appended::NotFinite => refused(Code::INVALID, "a measurement is a finite number"),
            Appended::BadName => refused(
                Code::INVALID,
                "a series' name has 1 to 200 bytes and no control characters",
            ),
            Appended::NoRoom => {
                refused(Code::OVERLOADED, "there are as many series as there may be")
            }
        }
    }

    /// What is odd in these values.
    fn judge<'a>(
        &self,
        now: Timestamp,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Vec<Anomaly> {
        let mut judges = self.judges.lock();
        let look = |(series, value)| judges.look(series, now, value, &self.policy);
        let mut found: Vec<Anomaly> = values.into_iter().filter_map(look).collect();
        drop(judges);
        if !found.is_empty() {
            let (mut latest, most) = (self.latest.lock(), self.policy.remembered as usize);
            found = found.into_iter().map(|one| latest.add(one, most)).collect();
        }
        found
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

    /// What was measured.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Writes what is new to the shelf, where there is one, and lets go of what is too old. May block.
    ///
    /// # Errors
    /// What the shelf answers; what could not be written is tried again the next time.
    pub fn flush(&self, now: Timestamp) -> Result<()> {
        self.history.flush(now)
    }

    /// The figures.
    pub fn status(&self) -> WatchStatus {
        let monitors = self.monitors.lock().iter().map(|one| one.name().to_owned()).collect();
        let anomalies = self.latest.lock().count();
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
            watched,
            watching,
            left_out,
            history: self.history.status(),
        }
    }
}

impl Judges {
    /// Names of series that are remembered as not watched, at most.
    const OTHERS_MAX: usize = 16_384;

    fn look(
        &mut self,
        series: &str,
        now: Timestamp,
        value: f64,
        policy: &WatchPolicy,
    ) -> Option<Anomaly> {
        if let Some(watched) = self.watched.get_mut(series) {
            return watched.look(series, now, value);
        }
        if self.others.contains_key(series) {
            return None;
        }
        let wanted = self.patterns.iter().any(|one| fits(one, series));
        let room = self.watched.len() < policy.watched_most as usize;
        let detector = (wanted && room).then(|| Watched::new(policy.anomaly.clone(), series).ok());
        let Some(mut watched) = detector.flatten() else {
            self.left_out += u64::from(wanted);
            if self.others.len() >= Self::OTHERS_MAX {
                self.others.clear();
            }
            self.others.insert(series.into(), wanted);
            return None;
        };
        let found = watched.look(series, now, value);
        self.watched.insert(series.into(), watched);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    struct Fixed(&'static str, f64);
    impl Monitor for Fixed {
        fn name(&self) -> &str {
            self.0
        }
        fn sample(&self, _: Timestamp, out: &mut Samples) -> Result<()> {
            out.add(self.0, self.1);
            Ok(())
        }
    }

    struct Broken(bool);
    impl Monitor for Broken {
        fn name(&self) -> &str {
            "broken"
        }
        fn sample(&self, _: Timestamp, out: &mut Samples) -> Result<()> {
            out.add("before", 1.0);
            out.add("not_a_number", f64::NAN);
            match self.0 {
                true => panic!("on purpose"),
                false => Err(Error::new(Code::IO, "nothing there")),
            }
        }
    }

    fn at(s: u64) -> Timestamp {
        Timestamp::EPOCH + Duration::from_secs(s)
    }

    fn policy(watched: &[&str]) -> WatchPolicy {
        let watched = watched.iter().map(|one| (*one).to_owned()).collect();
        WatchPolicy { watched, ..WatchPolicy::default() }
    }

    #[test]
    fn a_monitor_that_fails_takes_its_own_figures_away() {
        for panics in [false, true] {
            let watch = Watch::new(policy(&[]), None).unwrap();
            watch.add(Arc::new(Broken(panics))).unwrap();
            watch.add(Arc::new(Fixed("good", 3.0))).unwrap();
            let sampled = watch.sample(at(1));
            let names: Vec<&str> = sampled.values.iter().map(|one| &*one.series).collect();
            assert_eq!(names, ["before", "good"]);
            assert_eq!(sampled.failures.len(), 1);
            assert_eq!(sampled.failures[0].0, "broken");
            assert_eq!(watch.history().points("good", 9).len(), 1);
            let status = watch.status();
            assert_eq!((status.samples, status.failures, status.last), (1, 1, Some(at(1))));
        }
    }

    #[test]
    fn names_of_monitors_are_one_monitors() {
        let watch = Watch::new(policy(&[]), None).unwrap();
        watch.add(Arc::new(Fixed("x", 1.0))).unwrap();
        let error = watch.add(Arc::new(Fixed("x", 2.0))).unwrap_err();
        assert_eq!(error.code(), Code::ALREADY_EXISTS);
        assert!(watch.remove("x") && !watch.remove("x"));
        assert!(watch.sample(at(1)).values.is_empty());
    }

    #[test]
    fn what_is_odd_is_found_where_it_is_looked_for() {
        let watch = Watch::new(policy(&["queue*"]), None).unwrap();
        let noise = |i: u64| (i * 37 % 101) as f64;
        for i in 1..600 {
            for series in ["queue_length", "other"] {
                assert_eq!(watch.record(series, at(i), noise(i)).unwrap(), None);
            }
        }
        let found = watch.record("queue_length", at(600), 5_000.0).unwrap().unwrap();
        assert_eq!((found.number, found.value), (1, 5_000.0));
        assert!(found.usual > 20.0 && found.usual < 80.0, "{found:?}");
        assert_eq!(watch.record("other", at(600), 5_000.0).unwrap(), None);
        assert_eq!(watch.anomalies(0, 10), [found]);
        assert!(watch.anomalies(1, 10).is_empty());
        // What is not watched any more is forgotten, and begins anew.
        assert!(watch.unwatch("queue*") && !watch.unwatch("queue*"));
        assert_eq!(watch.status().watching, 0);
        assert!(watch.watch("queue*").unwrap() && !watch.watch("queue*").unwrap());
        assert_eq!(watch.record("queue_length", at(601), 9_000.0).unwrap(), None);
        assert_eq!(watch.status().watching, 1);
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_a_reason() {
        let watch = Watch::new(policy(&["*"]), None).unwrap();
        watch.record("x", at(5), 1.0).unwrap();
        for (series, when, value) in
            [("x", at(5), 2.0), ("x", at(6), f64::NAN), ("", at(6), 1.0), ("a\nb", at(6), 1.0)]
        {
            let error = watch.record(series, when, value).unwrap_err();
            assert_eq!(error.code(), Code::INVALID, "{series}");
        }
    }

    #[test]
    fn detectors_and_memories_have_bounds() {
        let bounded = WatchPolicy { watched_most: 2, remembered: 1, ..policy(&["*"]) };
        let watch = Watch::new(bounded, None).unwrap();
        for series in ["a", "b", "c", "c"] {
            watch.record(series, at(watch.history().status().points + 1), 1.0).unwrap();
        }
        let status = watch.status();
        assert_eq!((status.watching, status.left_out), (2, 1));
    }
}
