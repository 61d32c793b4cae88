//! How each agent did: a row of the report.

use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;
use sutazai_core::agent::{AgentState, AgentView};
use sutazai_core::kernel::Kernel;
use sutazai_core::recovery::{BreakerStatus, EntryState, IsolateState};

use super::board::Lane;
use super::fleet::Member;

/// How one agent did.
#[derive(Serialize)]
pub struct Row {
    /// Who.
    pub agent: &'static str,
    /// How many agents of the kernel that is: several processes do the work of one.
    pub processes: usize,
    /// Files that it was called for and that have their answer.
    pub answered: u64,
    /// Calls that were made for that, those that were tried again included.
    pub calls: u64,
    /// Of these, failed.
    pub failed: u64,
    /// Files that it was not given any more, because of an interruption.
    pub dropped: u64,
    /// How long callers waited, in nanoseconds: the median; of several processes, the slowest one's.
    pub p50_ns: Option<u64>,
    /// And the 99th percentile.
    pub p99_ns: Option<u64>,
    /// How often it was started again.
    pub restarts: u64,
    /// Calls of its skill that were tried again, if they are.
    pub retries: Option<u64>,
    /// Its circuit breaker, if it has one.
    pub breaker: Option<BreakerStatus>,
    /// How often it was set apart, and where it stands, if it ever was.
    pub isolation: Option<Isolation>,
    /// Why it was not there, or not all of it to the end.
    pub missing: Option<String>,
}

/// An agent that was set apart.
#[derive(Serialize)]
pub struct Isolation {
    /// How often.
    pub quarantined: usize,
    /// Where it stands now.
    pub state: IsolateState,
}

impl Isolation {
    fn of(agent: &str, kernel: &Kernel) -> Option<Self> {
        let recovery = kernel.recovery();
        let targets = recovery.targets();
        let state = targets.iter().find(|target| &*target.target == agent)?.state;
        let done = recovery.playbooks().record(usize::MAX);
        let quarantined = done
            .iter()
            .filter(|entry| matches!(entry.state, EntryState::Done { .. }))
            .filter(|entry| &*entry.action == "quarantine")
            .filter(|entry| entry.params.value().is_ok_and(|params| params["target"] == agent))
            .count();
        (quarantined > 0).then_some(Self { quarantined, state })
    }
}

impl Row {
    /// The row of a member of the fleet, from what the kernel kept of its agents before and by now.
    pub fn new(
        member: &Member,
        lane: &Lane,
        kernel: &Kernel,
        [before, all]: [&[AgentView]; 2],
    ) -> Self {
        let mine = |view: &&AgentView| member.agents.iter().any(|name| **name == *view.card.name);
        let views: Vec<_> = all.iter().filter(mine).collect();
        let sum = |of: fn(&AgentView) -> u64| views.iter().map(|view| of(view)).sum::<u64>();
        let sum_before =
            |of: fn(&AgentView) -> u64| before.iter().filter(mine).map(of).sum::<u64>();
        let latencies = || views.iter().filter_map(|view| view.stats.latency.as_ref());
        let lost = views.iter().filter(|view| !takes_tasks(view.state)).count();
        let missing = match member.unavailable.as_ref().or(member.incomplete.as_ref()) {
            Some(error) => Some(format!("{error:#}")),
            None if lost == 0 => None,
            None if views.len() == 1 => Some("it did not last to the end".to_owned()),
            None => Some(format!("{lost} of {} processes did not last to the end", views.len())),
        };
        Self {
            agent: member.name,
            processes: member.agents.len(),
            answered: lane.done.load(Relaxed),
            // An agent's figures are kept from run to run.
            calls: sum(|view| view.stats.calls) - sum_before(|view| view.stats.calls),
            failed: sum(|view| view.stats.failures.total())
                - sum_before(|view| view.stats.failures.total()),
            dropped: lane.dropped.load(Relaxed),
            p50_ns: latencies().map(|latency| latency.p50_ns).max(),
            p99_ns: latencies().map(|latency| latency.p99_ns).max(),
            restarts: sum(|view| view.restarts),
            retries: if member.stands_in { None } else { retries(member, kernel) },
            isolation: Isolation::of(member.name, kernel),
            breaker: kernel.guard_of(member.name).and_then(|guard| guard.status().breaker),
            missing,
        }
    }
}

/// How often calls of the member's skill were tried again.
fn retries(member: &Member, kernel: &Kernel) -> Option<u64> {
    let calls = format!("skill:{}", member.skill);
    let guard = kernel.guards().into_iter().find(|guard| guard.calls == calls)?;
    Some(guard.status.retries)
}

/// Whether an agent in this state takes tasks; one that is set apart takes its probes.
fn takes_tasks(state: AgentState) -> bool {
    matches!(state, AgentState::Ready | AgentState::Quarantined)
}
