//! How each agent did: a row of the report.

use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;
use sutazai_core::agent::{AgentState, AgentView};

use super::board::Lane;
use super::fleet::Member;

/// How one agent did.
#[derive(Serialize)]
pub struct Row {
    /// Who.
    pub agent: &'static str,
    /// How many agents of the kernel that is: several processes do the work of one.
    pub processes: usize,
    /// Calls that were answered.
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
    /// Why it was not there, or not all of it to the end.
    pub missing: Option<String>,
}

impl Row {
    /// The row of a member of the fleet, from what the kernel kept of its agents.
    pub fn new(member: &Member, lane: &Lane, all: &[AgentView]) -> Self {
        let mine = |view: &&AgentView| member.agents.iter().any(|name| **name == *view.card.name);
        let views: Vec<_> = all.iter().filter(mine).collect();
        let sum = |of: fn(&AgentView) -> u64| views.iter().map(|view| of(view)).sum();
        let latencies = || views.iter().filter_map(|view| view.stats.latency.as_ref());
        let lost = views.iter().filter(|view| view.state != AgentState::Ready).count();
        let missing = match member.unavailable.as_ref().or(member.incomplete.as_ref()) {
            Some(error) => Some(format!("{error:#}")),
            None if lost == 0 => None,
            None if views.len() == 1 => Some("it did not last to the end".to_owned()),
            None => Some(format!("{lost} of {} processes did not last to the end", views.len())),
        };
        Self {
            agent: member.name,
            processes: member.agents.len(),
            calls: sum(|view| view.stats.calls),
            failed: sum(|view| view.stats.failures.total()),
            dropped: lane.dropped.load(Relaxed),
            p50_ns: latencies().map(|latency| latency.p50_ns).max(),
            p99_ns: latencies().map(|latency| latency.p99_ns).max(),
            restarts: sum(|view| view.restarts),
            missing,
        }
    }
}
