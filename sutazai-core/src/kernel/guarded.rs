//! Whether a guard's policy may be put in force, and which of its parts belong to calls, and which to agents.

use super::guards::{CallsTo, name};
#[cfg(feature = "agent")]
use super::handle::Kernel;
#[cfg(feature = "agent")]
use crate::port::Candidate as _;
use crate::recovery::{GuardPolicy, Share};
use crate::{Code, Error, Result};

/// Whether the policy is one for these calls that may be put in force.
pub(super) fn check(calls: &CallsTo, policy: &GuardPolicy) -> Result<()> {
    policy.check_anew()?;
    valid(calls, policy)
}

/// As much, of one in which a knob was set since.
pub(super) fn valid(calls: &CallsTo, policy: &GuardPolicy) -> Result<()> {
    policy.check()?;
    if matches!(calls, CallsTo::Agent(_)) && of_call(policy) != GuardPolicy::default() {
        let what =
            "timeout, retry, budget and hedge belong to calls, and this policy is for an agent";
        return Err(Error::new(Code::INVALID, what)
            .operation("kernel.guard")
            .with("calls", name(calls))
            .advice("set them for the agent's skill, or for all calls"));
    }
    Ok(())
}

#[cfg(feature = "agent")]
impl Kernel {
    /// Whether the limit that adapts fits an agent that takes fewer calls at once than the bulkhead says.
    pub(super) fn fits_agent(&self, calls: &CallsTo, policy: &GuardPolicy) -> Result<()> {
        let (CallsTo::Agent(agent), Some(bulkhead), None) =
            (calls, &policy.bulkhead, &policy.share.bulkhead)
        else {
            return Ok(());
        };
        let Some(most) = self.shared.agents.get(agent).and_then(|one| one.card().concurrency)
        else {
            return Ok(());
        };
        let mut own = bulkhead.clone();
        own.concurrency = own.concurrency.min(most.max(1));
        own.check_anew().map_err(|error| {
            error
                .with("part", "bulkhead")
                .with("agent", agent)
                .advice("lower it: the agent itself takes no more calls at once (concurrency)")
        })
    }
}

/// The parts of a policy that belong to the call.
pub(super) fn of_call(policy: &GuardPolicy) -> GuardPolicy {
    GuardPolicy {
        timeout_ms: policy.timeout_ms,
        retry: policy.retry.clone(),
        budget: policy.budget.clone(),
        hedge: policy.hedge.clone(),
        share: Share { budget: policy.share.budget.clone(), ..Share::default() },
        ..GuardPolicy::default()
    }
}

/// The parts of a policy that belong to the agent, which takes so many tasks at once: no more are let in,
/// so that the others wait.
pub(super) fn of_agent(policy: &GuardPolicy, most: Option<u32>) -> GuardPolicy {
    let mut bulkhead = policy.bulkhead.clone();
    if let Some(bulkhead) = &mut bulkhead {
        let own = most.filter(|_| policy.share.bulkhead.is_none());
        bulkhead.at_most(own.unwrap_or(u32::MAX));
    }
    GuardPolicy {
        attempt_timeout_ms: policy.attempt_timeout_ms,
        breaker: policy.breaker.clone(),
        bulkhead,
        rate: policy.rate.clone(),
        share: Share { budget: None, ..policy.share.clone() },
        ..GuardPolicy::default()
    }
}
