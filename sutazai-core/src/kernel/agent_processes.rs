//! What the processes of agents use, as a monitor.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::shared::Shared;
use crate::base::time::Timestamp;
use crate::monitor::sample::Processes;
use crate::port::{Monitor, Samples};
use crate::{Code, Result};

/// Follows the process of each agent that runs in one of its own ([`Agent::process`](crate::port::Agent::process)): of the
/// agent `x` as `agent.x.process.cpu_seconds_total`, `…resident_memory_bytes`, `…threads`, `…open_fds`,
/// `…read_bytes_total` and `…written_bytes_total`. One that was started again is followed from there on.
pub(super) struct AgentProcesses {
    kernel: Weak<Shared>,
    processes: Processes,
}

impl AgentProcesses {
    pub(super) fn new(kernel: &Arc<Shared>) -> Self {
        let processes =
            Processes::new().named(|agent, what| format!("agent.{agent}.process.{what}"));
        Self { kernel: Arc::downgrade(kernel), processes }
    }

    /// Follows those that there are, and no others.
    ///
    /// # Errors
    /// The first one that cannot be read, once the others are followed.
    fn look(&self, kernel: &Shared) -> Result<()> {
        let mut there: BTreeMap<Arc<str>, u32> = (kernel.agents.all().iter())
            .filter_map(|entry| Some((Arc::clone(entry.name()), entry.process()?)))
            .collect();
        for (name, pid) in self.processes.followed() {
            if there.get(&name) == Some(&pid) {
                there.remove(&name);
            } else {
                self.processes.leave(&name);
            }
        }
        let mut first = Ok(());
        for (name, pid) in there {
            let followed = self.processes.follow(&name, pid);
            // One that has ended since is looked for the next time.
            let unreadable = followed.err().filter(|error| error.code() != Code::NOT_FOUND);
            if let (Some(error), true) = (unreadable, first.is_ok()) {
                first = Err(error.with("agent", name));
            }
        }
        first
    }
}

impl Monitor for AgentProcesses {
    fn name(&self) -> &str {
        "agents"
    }

    fn sample(&self, now: Timestamp, out: &mut Samples) -> Result<()> {
        let looked = self.kernel.upgrade().map_or(Ok(()), |kernel| self.look(&kernel));
        self.processes.sample(now, out).and(looked)
    }
}
