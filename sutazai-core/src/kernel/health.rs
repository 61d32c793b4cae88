//! How healthy the kernel is, from what was measured and from how its agents' calls went.

use std::time::Duration;

use super::handle::Kernel;
use crate::Result;
#[cfg(feature = "agent")]
use crate::agent::{AgentState, AgentView};
use crate::base::time::Timestamp;
use crate::monitor::series::{Aggregate, Query, Reading};
use crate::monitor::{
    ComponentState, Direction, ExhaustionPolicy, Health, HealthPolicy, Outlook, Watch, health,
};

/// What figures are the mean of, how old the newest may be, and how long an anomaly is one of the present.
const PRESENT: Duration = Duration::from_secs(60);
/// Where samples are taken more seldom, so many times between two.
const SELDOM: u32 = 3;
/// Calls of late before an agent's failures are a share.
#[cfg(feature = "agent")]
const CALLS: f64 = 5.0;

impl Kernel {
    /// How healthy the machine, this process and the agents are, from 1 to 0, and why not better. Of a resource counts how much is in
    /// use, what waits for it, whether its figures were unusual within the last minute, and whether it will be used up; of an
    /// agent, whether it is there and what share of its calls of late has failed. What was not measured within the last minute (or, where
    /// samples are taken more seldom, the time of three) costs nothing, and its component is not `known`. May take a second where the history is long.
    ///
    /// # Errors
    /// [`Code::NOT_RUNNING`](crate::Code::NOT_RUNNING) before the start, [`Code::INVALID`](crate::Code::INVALID) for a policy
    /// that makes no sense.
    pub fn health(&self, policy: &HealthPolicy) -> Result<Health> {
        let now = self.shared.runtime.timestamp();
        let every = self.shared.sampled_every().unwrap_or_default();
        let present = Present { watch: self.watch()?, now, old: PRESENT.max(every * SELDOM) };
        #[cfg_attr(not(feature = "agent"), allow(unused_mut, reason = "agents are added"))]
        let mut states = present.resources();
        #[cfg(feature = "agent")]
        states.extend(self.agents().iter().map(agent));
        health(&states, policy)
    }
}

struct Present<'a> {
    watch: &'a Watch,
    now: Timestamp,
    /// What is older is not of the present.
    old: Duration,
}

impl Present<'_> {
    fn resources(&self) -> Vec<ComponentState> {
        let since = Timestamp::from_nanos(self.now.as_nanos().saturating_sub(nanos(PRESENT)));
        // Not of the future: a time that was told may be any.
        let anomalies = self.watch.anomalies_between(since, self.now);
        let odd = |prefixes: &[&str]| {
            let of = |series: &str| prefixes.iter().any(|prefix| series.starts_with(prefix));
            let found = anomalies.iter().filter(|one| of(&one.series));
            found.map(|one| one.score).reduce(f64::max)
        };
        let mut cpu = ComponentState::new("cpu");
        cpu.utilisation = self.mean("cpu_used_ratio");
        cpu.saturation = self.mean("pressure_cpu_some_ratio");
        cpu.anomaly = odd(&["cpu_", "load", "pressure_cpu_", "process_cpu_"]);

        let mut memory = ComponentState::new("memory");
        memory.utilisation = self.last("memory_limit_used_ratio");
        memory.saturation = self.mean("pressure_memory_some_ratio");
        memory.anomaly = odd(&[
            "memory_",
            "swap_",
            "pressure_memory_",
            "process_resident_",
            "container_memory_",
        ]);
        memory.exhausted_in_s = self.ends("memory_limit_used_ratio", 1.0, Direction::Fills);

        let mut disk = ComponentState::new("disk");
        disk.utilisation = self.last("disk_free_ratio").map(|free| 1.0 - free);
        disk.saturation = self.mean("pressure_io_some_ratio");
        disk.anomaly = odd(&["disk_", "pressure_io_"]);
        disk.exhausted_in_s = self.ends("disk_free_ratio", 0.0, Direction::RunsDown);

        let mut files = ComponentState::new("files");
        let most = self.last("process_max_fds").filter(|most| *most > 0.0);
        files.utilisation = most.and_then(|most| Some(self.last("process_open_fds")? / most));
        files.anomaly = odd(&["process_open_fds"]);
        files.exhausted_in_s =
            most.and_then(|most| self.ends("process_open_fds", most, Direction::Fills));

        let mut network = ComponentState::new("network");
        network.anomaly = odd(&["network_"]);
        vec![cpu, memory, disk, files, network]
    }

    fn last(&self, series: &str) -> Option<f64> {
        self.newest(series).map(|reading| reading.value)
    }

    fn newest(&self, series: &str) -> Option<Reading> {
        let newest = self.watch.history().points(series, 1).pop()?;
        let age = self.now.as_nanos().saturating_sub(newest.at.as_nanos());
        (age <= nanos(self.old)).then_some(newest)
    }

    /// Over the last minute that was measured.
    fn mean(&self, series: &str) -> Option<f64> {
        let newest = self.newest(series)?.at;
        let from = Timestamp::from_nanos(newest.as_nanos().saturating_sub(nanos(PRESENT)));
        let to = Timestamp::from_nanos(newest.as_nanos().saturating_add(1));
        let answer =
            self.watch.history().query(&Query::new(series, from, to, Aggregate::Mean)).ok()?;
        answer.windows.first().map(|reading| reading.value)
    }

    /// Seconds until it is used up; nothing where it is not seen to be.
    fn ends(&self, series: &str, limit: f64, direction: Direction) -> Option<f64> {
        self.newest(series)?;
        let policy = ExhaustionPolicy::new(limit, direction);
        match self.watch.exhaustion(series, policy, self.now).ok()?.outlook {
            Outlook::RunsOut { at, .. } => {
                let left = at.as_nanos().saturating_sub(self.now.as_nanos()).max(0);
                #[allow(clippy::cast_precision_loss, reason = "it is an estimate")]
                let seconds = left as f64 / 1e9;
                Some(seconds)
            }
            Outlook::Exhausted => Some(0.0),
            Outlook::Unknown | Outlook::Stable => None,
        }
    }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(feature = "agent")]
fn agent(view: &AgentView) -> ComponentState {
    let mut state = ComponentState::new(format!("agent {}", view.card.name));
    let gone = [AgentState::Unreachable, AgentState::Quarantined, AgentState::Failed];
    state.errors = match gone.contains(&view.state) {
        true => Some(1.0),
        false => {
            let recent = view.stats.recent.filter(|recent| recent.calls >= CALLS);
            recent.map(|recent| recent.failed)
        }
    };
    // The others may do the work of one.
    state.weight = 0.5;
    state
}
