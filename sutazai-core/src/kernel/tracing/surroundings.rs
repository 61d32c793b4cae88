//! What is known of the kernel and the machine beside what calls did: how much agents can do at once, and how much resources are used.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::time::Timestamp;
use crate::kernel::shared::Shared;
use crate::monitor::series::{Aggregate, Query};
use crate::monitor::{ResourceFigures, Surroundings, Watch};
use crate::port::Candidate as _;

/// Share that counts of a limit as well.
#[allow(clippy::cast_precision_loss, reason = "counts of things that are in memory")]
fn share(part: usize, of: usize) -> Option<f64> {
    (of > 0).then(|| (part as f64 / of as f64).min(1.0))
}

impl Shared {
    pub(super) fn surroundings(&self, window: Duration) -> Surroundings {
        let mut around = Surroundings {
            cores: std::thread::available_parallelism()
                .map_or(0.0, |cores| f64::from(u32::try_from(cores.get()).unwrap_or(1))),
            capacity: HashMap::new(),
            resources: Vec::new(),
        };
        self.agents_room(&mut around);
        self.own_resources(&mut around);
        if let Some(watch) = self.watched() {
            let measured = Measured { watch, now: self.runtime.timestamp(), window };
            measured.resources(&mut around.resources);
        }
        around
    }

    fn agents_room(&self, around: &mut Surroundings) {
        for entry in self.agents.everything() {
            let name = entry.name();
            #[cfg_attr(not(feature = "recovery"), allow(unused_mut, reason = "no guard says less"))]
            let mut most = entry.card().concurrency.map(f64::from);
            #[cfg(feature = "recovery")]
            if let Some(bulkhead) = self.guards.known(name).and_then(|guard| guard.bulkhead()) {
                let status = bulkhead.status();
                let room = f64::from(status.concurrency);
                most = Some(most.map_or(room, |most| most.min(room)));
                let mut places = ResourceFigures::new(format!("places of {name}"));
                places.utilisation = share(status.running as usize, status.concurrency as usize);
                places.shared = true;
                around.resources.push(places);
            }
            if let Some(most) = most {
                around.capacity.insert(Arc::clone(name), most);
            }
        }
        if self.runtime.name() == "threads" {
            let own = crate::base::runtime::ThreadsConfig::default().blocking;
            let most = self.limits.pool.unwrap_or(own);
            if let Ok(most) = u32::try_from(most) {
                around.capacity.insert("pool".into(), f64::from(most));
            }
        }
    }

    /// What is bounded in the kernel itself, at this moment.
    fn own_resources(&self, around: &mut Surroundings) {
        let stats = self.runtime.stats();
        let mut add = |name: &str, used: Option<f64>| {
            let mut figures = ResourceFigures::new(name);
            (figures.utilisation, figures.shared) = (used, true);
            around.resources.push(figures);
        };
        if let Some(most) = around.capacity.get("pool").copied() {
            let running = f64::from(u32::try_from(stats.running).unwrap_or(u32::MAX));
            add("pool", Some((running / most.max(1.0)).min(1.0)));
        }
        add("calls", share(self.load.now(), self.load.most()));
    }
}

struct Measured<'a> {
    watch: &'a Watch,
    now: Timestamp,
    window: Duration,
}

impl Measured<'_> {
    /// The USE method over what is measured of the machine. Its figures are everybody's: they are shown, and cost the tasks what
    /// these were seen to wait.
    fn resources(&self, all: &mut Vec<ResourceFigures>) {
        let mut add = |name: &str, used: Option<f64>, waits: Option<f64>| {
            if used.is_some() || waits.is_some() {
                let mut figures = ResourceFigures::new(name);
                (figures.utilisation, figures.saturation) = (sane(used), sane(waits));
                figures.shared = true;
                all.push(figures);
            }
        };
        add("cpu", self.mean("cpu_used_ratio"), self.mean("pressure_cpu_some_ratio"));
        for number in 0..CORES {
            let used = self.mean(&format!("cpu{number}_used_ratio"));
            if used.is_none() {
                break;
            }
            add(&format!("cpu{number}"), used, None);
        }
        add("stolen processor time", self.mean("cpu_steal_ratio"), None);
        let memory =
            self.mean("memory_limit_used_ratio").or_else(|| self.mean("memory_used_ratio"));
        add("memory", memory, self.mean("pressure_memory_some_ratio"));
        let swap = self.mean("swap_total_bytes").filter(|total| *total > 0.0);
        let swap = swap.and_then(|total| Some(self.mean("swap_used_bytes")? / total));
        add("swap", swap, None);
        let free = self.mean("disk_free_ratio");
        add("disk", free.map(|free| 1.0 - free), self.mean("pressure_io_some_ratio"));
        let files = self.mean("process_max_fds").filter(|most| *most > 0.0);
        let files = files.and_then(|most| Some(self.mean("process_open_fds")? / most));
        add("file descriptors", files, None);
        // What the container is held back for holds up its own work alone.
        if let Some(throttled) = self.rate("container_cpu_throttled_seconds_total") {
            let mut quota = ResourceFigures::new("processor quota");
            quota.saturation = sane(Some(throttled));
            all.push(quota);
        }
    }

    fn mean(&self, series: &str) -> Option<f64> {
        self.ask(series, Aggregate::Mean)
    }

    fn rate(&self, series: &str) -> Option<f64> {
        self.ask(series, Aggregate::Rate).filter(|rate| *rate > 0.0)
    }

    fn ask(&self, series: &str, aggregate: Aggregate) -> Option<f64> {
        let window = i64::try_from(self.window.as_nanos()).unwrap_or(i64::MAX);
        let from = Timestamp::from_nanos(self.now.as_nanos().saturating_sub(window));
        let to = Timestamp::from_nanos(self.now.as_nanos().saturating_add(1));
        let answer = self.watch.history().query(&Query::new(series, from, to, aggregate)).ok()?;
        answer.windows.last().map(|reading| reading.value)
    }
}

/// Processors that are shown each, at most.
const CORES: usize = 256;

fn sane(share: Option<f64>) -> Option<f64> {
    share.filter(|share| share.is_finite()).map(|share| share.clamp(0.0, 1.0))
}
