//! The policies of a kernel's recovery that are in force.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::handle::Recovery;
use crate::kernel::shared::Shared;
use crate::recovery::{
    ClassifyPolicy, DegradePolicy, FailsafePolicy, IsolatePolicy, PlaybookPolicy,
};
use crate::{Error, Result};

/// What a kernel goes by, besides its [guards](crate::kernel::Kernel::guard_policies). Each part is what
/// the operation that sets it takes.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct RecoveryPolicies {
    /// What failures are, and when they become worse by coming back, and more that a checkpoint holds.
    #[serde(flatten)]
    pub kept: KeptPolicies,
    /// The safe state.
    pub failsafe: FailsafePolicy,
}

/// Those that a checkpoint holds besides the guards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct KeptPolicies {
    /// What failures are.
    pub classification: ClassifyPolicy,
    /// Levels, and what leads from one to another.
    pub degradation: DegradePolicy,
    /// When agents are set apart; `None` while nobody has said.
    pub isolation: Option<IsolatePolicy>,
    /// What is done about what happens.
    pub playbooks: PlaybookPolicy,
}

impl Recovery {
    /// The policies in force.
    pub fn policies(&self) -> RecoveryPolicies {
        let failsafe = FailsafePolicy::clone(&self.failsafe().policy());
        RecoveryPolicies { kept: KeptPolicies::of(self.shared()), failsafe }
    }
}

impl KeptPolicies {
    pub(in crate::kernel) fn of(shared: &Shared) -> Self {
        let heal = &shared.heal;
        let watches = heal.watches.load(Ordering::Relaxed);
        Self {
            classification: shared.judge.policy(),
            degradation: heal.degradation.policy(),
            isolation: watches.then(|| heal.isolation.policy()),
            playbooks: heal.playbooks.policy(),
        }
    }

    /// Goes by them from here on.
    pub(in crate::kernel) fn set(self, shared: &Arc<Shared>) -> Result<(), Error> {
        let heal = &shared.heal;
        shared.judge.set_policy(self.classification)?;
        heal.degradation.set_policy(self.degradation, shared.runtime.now())?;
        heal.watches.store(self.isolation.is_some(), Ordering::Relaxed);
        if let Some(policy) = self.isolation {
            heal.isolation.set_policy(policy)?;
        }
        if heal.playbooks.policy() != self.playbooks {
            heal.playbooks.set_policy(self.playbooks)?;
            heal.listen(shared)?;
        }
        shared.arm();
        Ok(())
    }
}
