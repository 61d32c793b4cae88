//! What a host says of healing before the kernel is built.

use std::sync::Arc;

use crate::kernel::Builder;
use crate::port::{FailsafeStage, PlaybookAction};
use crate::recovery::{DegradePolicy, FailsafePolicy, IsolatePolicy, PlaybookPolicy};

/// What a builder has been told.
#[derive(Default)]
pub(crate) struct Plan {
    pub(super) degradation: DegradePolicy,
    pub(super) isolation: Option<IsolatePolicy>,
    pub(super) playbooks: PlaybookPolicy,
    pub(super) actions: Vec<Arc<dyn PlaybookAction>>,
    failsafe: Option<FailsafePolicy>,
    pub(super) stages: Vec<Arc<dyn FailsafeStage>>,
}

impl Plan {
    /// Unless the host asks for it, only the host takes the safe state.
    pub(super) fn failsafe(&self) -> FailsafePolicy {
        self.failsafe
            .clone()
            .unwrap_or_else(|| FailsafePolicy { on_critical: false, ..FailsafePolicy::default() })
    }
}

impl Builder {
    /// Says which levels of degradation there are, what leads to them, and what features and agents (by
    /// their names) do at each. An agent that is off gets no calls; what is reduced or falls back asks
    /// itself ([`Recovery::check`](super::Recovery::check)). Default: three levels, changed by hand only.
    pub fn degradation(mut self, policy: DegradePolicy) -> Self {
        self.heal.degradation = policy;
        self
    }

    /// Sets agents apart that harm the rest: how their calls go is evidence, and the router passes over
    /// those that are quarantined. Without this it happens by hand only.
    pub fn isolation(mut self, policy: IsolatePolicy) -> Self {
        self.heal.isolation = Some(policy);
        self
    }

    /// Says what is done by itself on which events and signals.
    pub fn playbooks(mut self, policy: PlaybookPolicy) -> Self {
        self.heal.playbooks = policy;
        self
    }

    /// Adds something that playbooks can do, beside the kernel's own `degrade`, `quarantine`, `release`,
    /// `publish`, `restart`, `roll_back` and `failsafe`.
    pub fn playbook_action(mut self, action: impl PlaybookAction) -> Self {
        self.heal.actions.push(Arc::new(action));
        self
    }

    /// Has the safe state taken by critical errors and whatever else the policy names. Without this only
    /// [`Recovery::take_safe_state`](super::Recovery::take_safe_state) does.
    pub fn failsafe(mut self, policy: FailsafePolicy) -> Self {
        self.heal.failsafe = Some(policy);
        self
    }

    /// Adds a stage of the host's on the way to the safe state, before the kernel's own
    /// (`stop_admitting`, `drain`, `flush`, `dump`).
    pub fn failsafe_stage(mut self, stage: impl FailsafeStage) -> Self {
        self.heal.stages.push(Arc::new(stage));
        self
    }
}
