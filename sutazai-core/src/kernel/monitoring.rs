//! The room `monitor` in the kernel: a watch, and the samples that it takes by itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::failing::Failing;
use super::figures::Figures;
use super::handle::Kernel;
use super::shared::{Phase, Shared};
use crate::base::time::Timestamp;
#[cfg(not(target_os = "linux"))]
use crate::monitor::sample::Portable;
#[cfg(target_os = "linux")]
use crate::monitor::sample::{System, SystemOptions};
use crate::monitor::series::{Forget, Shelf, StoreShelf};
use crate::monitor::{
    Anomaly, Sampled, SeriesChange, Watch, WatchPolicy, WatchStatus, check_monitor,
};
use crate::observe::Level;
use crate::port::Monitor;
use crate::store::DataDir;
use crate::{Code, Error, Result};

/// How often what was measured is put in order, and written down where there is a data directory.
const TIDY: Duration = Duration::from_secs(60);

/// Milliseconds between samples, at least and at most.
const EVERY_LEAST: Duration = Duration::from_millis(10);
const EVERY_MOST: Duration = Duration::from_secs(24 * 3600);

/// What to do where the kernel has stopped.
const GONE_FOR_GOOD: &str = "what was measured can still be read; another kernel goes on measuring";

/// The room, once the kernel has started.
pub(super) struct Monitoring {
    policy: WatchPolicy,
    every: AtomicU64,
    /// Counts how often that has been said anew: what was planned before is not done any more.
    round: AtomicU64,
    /// Those that wait for the start; nothing from then on.
    waiting: Mutex<Option<Vec<Arc<dyn Monitor>>>>,
    watch: OnceLock<Watch>,
    failing: Mutex<Failing>,
    /// The last change of level that was told.
    told: Mutex<u64>,
}

impl Monitoring {
    pub(super) fn new(
        policy: Option<WatchPolicy>,
        every: Option<Duration>,
        monitors: Vec<Arc<dyn Monitor>>,
    ) -> Result<Self> {
        let policy = policy.unwrap_or_default();
        policy.check()?;
        Ok(Self {
            policy,
            every: AtomicU64::new(millis(every)?),
            round: AtomicU64::new(0),
            waiting: Mutex::new(Some(monitors)),
            watch: OnceLock::new(),
            failing: Mutex::default(),
            told: Mutex::default(),
        })
    }

    fn add(&self, monitor: Arc<dyn Monitor>) -> Result<()> {
        if let Some(watch) = self.watch.get() {
            return watch.add(monitor);
        }
        check_monitor(&*monitor)?;
        match self.waiting.lock().as_mut() {
            Some(waiting) if waiting.iter().any(|one| one.name() == monitor.name()) => {
                Err(Error::new(Code::ALREADY_EXISTS, "there is a monitor of this name")
                    .with("monitor", monitor.name()))
            }
            Some(waiting) => {
                waiting.push(monitor);
                Ok(())
            }
            None => Err(Error::new(Code::NOT_RUNNING, "the kernel is starting, or has failed to")
                .advice("add monitors before the start, or once it has returned")),
        }
    }

    fn open(&self) -> Result<&Watch> {
        self.watch.get().ok_or_else(|| {
            Error::new(Code::NOT_RUNNING, "the kernel has not started, and measures nothing yet")
                .operation("monitor")
                .advice("start it first")
        })
    }
}

/// 0 is never.
pub(super) fn millis(every: Option<Duration>) -> Result<u64> {
    let Some(every) = every else { return Ok(0) };
    if !(EVERY_LEAST..=EVERY_MOST).contains(&every) {
        return Err(Error::new(
            Code::INVALID,
            "samples are taken every 10 milliseconds to 24 hours",
        )
        .operation("monitor.configure")
        .with("every_ms", every.as_millis()));
    }
    Ok(u64::try_from(every.as_millis()).unwrap_or(u64::MAX))
}

/// What measures this machine; of the file systems the one that the kernel writes to.
#[cfg_attr(not(target_os = "linux"), allow(unused_variables, reason = "no space is told of"))]
fn system(data_dir: Option<&Path>) -> Option<Arc<dyn Monitor>> {
    #[cfg(target_os = "linux")]
    {
        let mut options = SystemOptions::default();
        if let Some(path) = data_dir {
            options.disk = path.to_owned();
        }
        Some(Arc::new(System::new(options)))
    }
    #[cfg(not(target_os = "linux"))]
    return Portable::new().ok().map(|portable| Arc::new(portable) as _);
}

impl Shared {
    /// Opens the room: reads what was kept.
    pub(super) fn start_monitoring(self: &Arc<Self>) -> Result<()> {
        let room = &self.monitoring;
        let shelf = self.data_dir.is_some().then(|| {
            let shelf: Box<dyn Shelf> = Box::new(StoreShelf::new(self.store.clone()));
            shelf
        });
        let watch = Watch::new(room.policy.clone(), shelf)?;
        let data_dir = self.data_dir.as_ref().map(DataDir::path);
        system(data_dir).into_iter().try_for_each(|one| watch.add_own(one))?;
        watch.add_own(Arc::new(Figures::new(self.kept.metrics().clone())))?;
        #[cfg(all(target_os = "linux", feature = "agent"))]
        watch.add_own(Arc::new(super::agent_processes::AgentProcesses::new(self)))?;
        #[cfg(feature = "nvml")]
        match crate::monitor::sample::Gpus::new() {
            Ok(gpus) => watch.add_own(Arc::new(gpus))?,
            // Most machines have none: it is told to those who want to know.
            Err(error) => {
                let fields = [("reason", error.to_string())];
                let what = "no graphics processors are measured";
                self.kept.log().record(Level::Debug, "sutazai.monitor", what, fields);
            }
        }
        // What was told before the last stop is not told again.
        *room.told.lock() = watch.changes(0, usize::MAX).last().map_or(0, |last| last.number);
        let waiting = room.waiting.lock().take().unwrap_or_default();
        waiting.into_iter().try_for_each(|one| watch.add(one))?;
        // It is started once.
        let _ = room.watch.set(watch);
        self.sample_later();
        self.tidy_later();
        Ok(())
    }

    /// Lets go of the monitors, and puts what was measured in order, that of a sample under way too.
    pub(super) fn stop_monitoring(&self) {
        self.monitoring.round.fetch_add(1, Ordering::AcqRel);
        self.monitoring.waiting.lock().take();
        self.monitoring.watch.get().map(Watch::release);
        self.tidy_measurements();
    }

    /// Compresses what is full, lets go of what is too old, and writes what is new where there is a data directory.
    fn tidy_measurements(&self) {
        let Some(watch) = self.monitoring.watch.get() else { return };
        if let Err(error) = watch.flush(self.runtime.timestamp()) {
            self.say("what was measured could not be written", &error);
        }
    }

    /// Plans the next sample, where they are taken.
    fn sample_later(self: &Arc<Self>) {
        let every = self.monitoring.every.load(Ordering::Acquire);
        let round = self.monitoring.round.load(Ordering::Acquire);
        if every == 0 {
            return;
        }
        let weak = Arc::downgrade(self);
        let at = self.runtime.now() + Duration::from_millis(every);
        self.runtime.spawn_at(at, Box::new(move || take_aside(&weak, round)));
    }

    /// What is measured, once the room is open.
    #[cfg(any(feature = "agent", feature = "tune"))]
    pub(super) fn watched(&self) -> Option<&Watch> {
        self.monitoring.watch.get()
    }

    pub(super) fn sampled_every(&self) -> Option<Duration> {
        match self.monitoring.every.load(Ordering::Acquire) {
            0 => None,
            every => Some(Duration::from_millis(every)),
        }
    }

    pub(super) fn take_samples_every(self: &Arc<Self>, every: Option<Duration>) -> Result<()> {
        let room = &self.monitoring;
        room.open()?;
        room.every.store(millis(every)?, Ordering::Release);
        room.round.fetch_add(1, Ordering::AcqRel);
        self.sample_later();
        Ok(())
    }

    fn tidy_later(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        let job = Box::new(move || {
            let Some(shared) = weak.upgrade().filter(|shared| shared.lives()) else { return };
            let tidies = Arc::clone(&shared);
            // Where the pool is full it is done the next time.
            let _ = shared.runtime.spawn_blocking(Box::new(move || tidies.tidy_measurements()));
            shared.tidy_later();
        });
        self.runtime.spawn_at(self.runtime.now() + TIDY, job);
    }

    fn lives(&self) -> bool {
        matches!(self.phase(), Phase::Starting | Phase::Running | Phase::Draining)
    }

    /// Takes a sample, and tells of what is odd in it and of what failed.
    fn take_sample(&self, now: Timestamp) -> Result<Sampled> {
        let watch = self.monitoring.open()?;
        if self.phase() == Phase::Stopped {
            return Err(Error::new(
                Code::NOT_RUNNING,
                "the kernel has stopped, and measures nothing",
            )
            .operation("monitor.sample")
            .advice(GONE_FOR_GOOD));
        }
        let sampled = watch.sample_at(now, self.runtime.now(), self.sampled_every())?;
        self.tell_of_failures(&sampled);
        sampled.anomalies.iter().for_each(|anomaly| self.tell_of_anomaly(anomaly));
        self.tell_of_changes(watch);
        Ok(sampled)
    }

    /// Changes of level since the last time.
    fn tell_of_changes(&self, watch: &Watch) {
        let changes = {
            let mut told = self.monitoring.told.lock();
            let changes = watch.changes(*told, usize::MAX);
            *told = changes.last().map_or(*told, |last| last.number);
            changes
        };
        for SeriesChange { series, change, .. } in &changes {
            let fields = [
                ("series", series.clone()),
                ("before", change.before.to_string()),
                ("after", change.after.to_string()),
                ("since", change.at.to_string()),
            ];
            self.kept.log().record(Level::Info, "sutazai.monitor", "a level has changed", fields);
        }
        for change in changes {
            if let Ok(event) = serde_json::to_value(&change) {
                self.publish("monitor.change", event);
            }
        }
    }

    /// Once when a monitor begins to fail, or fails otherwise, and once when it measures again.
    fn tell_of_failures(&self, sampled: &Sampled) {
        let room = &self.monitoring;
        let there = || room.watch.get().map(|watch| watch.names()).unwrap_or_default();
        let news = room.failing.lock().see(sampled, there);
        for (monitor, error) in news.failed {
            self.say("a monitor failed", &error.with("monitor", monitor));
        }
        for monitor in news.again {
            let fields = [("monitor", monitor)];
            self.kept.log().record(Level::Info, "sutazai.monitor", "it measures again", fields);
        }
    }

    fn tell_of_anomaly(&self, anomaly: &Anomaly) {
        let kind = anomaly.kind.and_then(|kind| serde_json::to_value(kind).ok());
        let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or("unknown");
        let fields = [
            ("series", anomaly.series.clone()),
            ("kind", kind.to_owned()),
            ("value", anomaly.value.to_string()),
            ("usual", anomaly.usual.to_string()),
        ];
        self.kept.log().record(Level::Warn, "sutazai.monitor", "something is unusual", fields);
        if let Ok(event) = serde_json::to_value(anomaly) {
            self.publish("monitor.anomaly", event);
        }
    }

    fn say(&self, what: &'static str, error: &Error) {
        let fields = [("error", error.to_string())];
        self.kept.log().record(Level::Warn, "sutazai.monitor", what, fields);
    }
}

/// A sample on the pool, and the next one when it is done: they do not pile up behind a slow monitor.
fn take_aside(weak: &Weak<Shared>, round: u64) {
    let current = move |shared: &Arc<Shared>| {
        shared.lives() && shared.monitoring.round.load(Ordering::Acquire) == round
    };
    let Some(shared) = weak.upgrade().filter(current) else { return };
    let takes = Arc::clone(&shared);
    let aside = shared.runtime.spawn_blocking(Box::new(move || {
        if let Err(error) = takes.take_sample(takes.runtime.timestamp())
            && error.code() != Code::NOT_RUNNING
        {
            takes.say("no sample was taken", &error);
        }
        if current(&takes) {
            takes.sample_later();
        }
    }));
    if aside.is_err() {
        shared.sample_later();
    }
}

impl Kernel {
    /// What is measured, kept and found to be odd: the machine, this process, the kernel's own metrics, and what the host
    /// measures. Samples are taken where [`Builder::sample_every`](super::Builder::sample_every) or
    /// [`sample_every`](Self::sample_every) says so, or [one by one](Self::sample).
    ///
    /// # Errors
    /// [`Code::NOT_RUNNING`] before the start.
    pub fn watch(&self) -> Result<&Watch> {
        self.shared.monitoring.open()
    }

    /// Takes a sample now. Waits for monitors as long as a sample has [patience](crate::monitor::WatchPolicy::patience_ms), and
    /// goes on without those that have not returned. What is odd is an event of the bus, `monitor.anomaly`, and a line
    /// of the log; so is a level that has changed for good, `monitor.change`.
    ///
    /// # Errors
    /// [`Code::NOT_RUNNING`] before the start, and after the stop; [`Code::WOULD_DEADLOCK`] within a monitor;
    /// [`Code::OVERLOADED`] where other samples are under way for ten seconds.
    pub fn sample(&self) -> Result<Sampled> {
        self.shared.take_sample(self.shared.runtime.timestamp())
    }

    /// What is measured, what that costs and how much is kept, with the monitors that have not returned.
    ///
    /// # Errors
    /// [`Code::NOT_RUNNING`] before the start.
    pub fn watch_status(&self) -> Result<WatchStatus> {
        let shared = &self.shared;
        Ok(self.watch()?.status_at(shared.runtime.now(), shared.sampled_every()))
    }

    /// Lets series go, with all that is kept of them, on disk too: one, or all whose names begin with what stands before a `*`, and of
    /// these those that have the labels. Answers which. One that is measured again begins anew.
    ///
    /// # Errors
    /// [`Code::INVALID`] for what names no series, [`Code::NOT_RUNNING`] before the start, and once it has stopped; what the store
    /// answers: do it again, until then some of it may be there.
    pub fn forget_series(
        &self,
        series: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<Arc<str>>> {
        let watch = self.watch()?;
        if self.phase() == Phase::Stopped {
            let stopped = "the kernel has stopped, and lets nothing go that it has written";
            return Err(Error::new(Code::NOT_RUNNING, stopped)
                .operation("monitor.forget")
                .advice(GONE_FOR_GOOD));
        }
        watch.forget(&Forget { series, labels })
    }

    /// Keeps a measurement of the host's, and looks whether it is odd, where its series is watched. Its time is now, if it says none.
    ///
    /// # Errors
    /// What [`Watch::record`] says, and without a time [`Watch::record_now`]; [`Code::NOT_RUNNING`] before the start, and once
    /// it has stopped.
    pub fn measured(
        &self,
        series: &str,
        value: f64,
        at: Option<Timestamp>,
    ) -> Result<Option<Anomaly>> {
        let watch = self.watch()?;
        if self.phase() == Phase::Stopped {
            let stopped = "the kernel has stopped, and keeps no measurements";
            return Err(Error::new(Code::NOT_RUNNING, stopped)
                .operation("monitor.record")
                .advice(GONE_FOR_GOOD));
        }
        let found = match at {
            Some(at) => watch.record(series, at, value)?,
            None => watch.record_now(series, self.shared.runtime.timestamp(), value)?,
        };
        found.iter().for_each(|anomaly| self.shared.tell_of_anomaly(anomaly));
        self.shared.tell_of_changes(watch);
        Ok(found)
    }

    /// Adds something that takes measurements, before the start or while the kernel runs: they are part of each sample from then
    /// on. It is asked on a thread of the kernel that asks others too, and not again while it has not returned; where it hangs, a warning says
    /// so once, and the others go on ([`WatchPolicy`]). It is let go of when it is [removed](Self::remove_monitor), and when the kernel has
    /// stopped, neither of which waits for it.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use sutazai_core::base::time::Timestamp;
    /// use sutazai_core::kernel::Kernel;
    /// use sutazai_core::port::{Monitor, Samples};
    ///
    /// struct Queue;
    /// impl Monitor for Queue {
    ///     fn name(&self) -> &str {
    ///         "queue"
    ///     }
    ///     fn sample(&self, _: Timestamp, out: &mut Samples) -> sutazai_core::Result<()> {
    ///         out.add("queue_length", 17.0);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let kernel = Kernel::builder().build()?;
    /// kernel.add_monitor(Queue)?;
    /// kernel.start()?;
    /// let sampled = kernel.sample()?;
    /// assert!(sampled.values.iter().any(|one| &*one.series == "queue_length" && one.value == 17.0));
    /// kernel.stop(std::time::Duration::ZERO)?;
    /// # Ok::<(), sutazai_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Code::INVALID`] for a name that is none, [`Code::ALREADY_EXISTS`] for a second monitor of a name,
    /// [`Code::OVERLOADED`] beyond 256, [`Code::NOT_RUNNING`] while the kernel starts and after its stop.
    pub fn add_monitor(&self, monitor: impl Monitor) -> Result<()> {
        self.add_shared_monitor(Arc::new(monitor))
    }

    /// As [`add_monitor`](Self::add_monitor), for one that is shared.
    ///
    /// # Errors
    /// As there.
    pub fn add_shared_monitor(&self, monitor: Arc<dyn Monitor>) -> Result<()> {
        let name = monitor.name().to_owned();
        let add = || match self.shared.phase() {
            Phase::Stopped => {
                Err(Error::new(Code::NOT_RUNNING, "the kernel has stopped").advice(GONE_FOR_GOOD))
            }
            _ => self.shared.monitoring.add(monitor),
        };
        add().map_err(|error| error.operation("monitor.add").with("monitor", name.escape_debug()))
    }

    /// Takes a monitor away, also one of the kernel's own, and one that hangs: its name is free at once. Its series are kept. Whether
    /// there was one.
    ///
    /// # Errors
    /// [`Code::NOT_RUNNING`] before the start.
    pub fn remove_monitor(&self, name: &str) -> Result<bool> {
        let removed = self.watch()?.remove(name);
        if removed {
            self.shared.monitoring.failing.lock().forget(name);
        }
        Ok(removed)
    }

    /// A picture of a series: what was measured, what was odd in it and, if wanted, how it goes on;
    /// [`Plot::to_svg`](crate::monitor::plot::Plot::to_svg) and [`to_png`](crate::monitor::plot::Plot::to_png) draw it.
    ///
    /// # Errors
    /// What [`Watch::plot`] says; [`Code::NOT_RUNNING`] before the start.
    #[cfg(feature = "plot")]
    pub fn plot(&self, query: &crate::monitor::PlotQuery) -> Result<crate::monitor::plot::Plot> {
        self.watch()?.plot(query, self.shared.runtime.timestamp())
    }

    /// Takes a sample every so often from here on, 10 milliseconds to 24 hours; never again, without. The first comes after that
    /// time.
    ///
    /// # Errors
    /// [`Code::INVALID`] for another length of time, [`Code::NOT_RUNNING`] before the start.
    pub fn sample_every(&self, every: Option<Duration>) -> Result<()> {
        self.shared.take_samples_every(every)
    }

    /// How often samples are taken, where they are.
    pub fn sampled_every(&self) -> Option<Duration> {
        self.shared.sampled_every()
    }
}
