//! What of a kernel's recovery is saved in checkpoints and restored from them: the policies, and the
//! level of degradation.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use serde::{Deserialize, Serialize};

use super::guards::CallsTo;
use super::shared::Shared;
use crate::base::payload::Payload;
use crate::port::Checkpointed;
use crate::recovery::{ClassifyPolicy, DegradePolicy, GuardPolicy, IsolatePolicy, PlaybookPolicy};
use crate::{Code, Error, Result};

/// Registers both; they hold the kernel weakly.
pub(super) fn register(shared: &Arc<Shared>) -> Result<()> {
    let checkpoints = shared.rollback.checkpoints();
    checkpoints.register(Arc::new(Policies(Arc::downgrade(shared))))?;
    checkpoints.register(Arc::new(Level(Arc::downgrade(shared))))?;
    // With those of the host's: everything that one needs must be there.
    checkpoints.registered().map(drop)
}

const POLICIES: &str = "recovery.policies";

/// The policies that can be changed while the kernel runs.
struct Policies(Weak<Shared>);

#[derive(Serialize, Deserialize)]
struct Saved {
    guards: Vec<(CallsTo, GuardPolicy)>,
    classification: ClassifyPolicy,
    degradation: DegradePolicy,
    /// None while nobody has given one.
    isolation: Option<IsolatePolicy>,
    playbooks: PlaybookPolicy,
}

impl Checkpointed for Policies {
    fn name(&self) -> &str {
        POLICIES
    }

    fn save(&self) -> Result<Payload> {
        let shared = alive(&self.0)?;
        let heal = &shared.heal;
        let watches = heal.watches.load(Ordering::Relaxed);
        Payload::json(&Saved {
            guards: shared.guards.policies(),
            classification: shared.judge.policy(),
            degradation: DegradePolicy::clone(&heal.degradation.policy()),
            isolation: watches.then(|| heal.isolation.policy()),
            playbooks: heal.playbooks.policy(),
        })
    }

    fn restore(&self, state: &Payload) -> Result<()> {
        let shared = alive(&self.0)?;
        let saved: Saved = state.to()?;
        let heal = &shared.heal;
        for (calls, _) in shared.guards.policies() {
            if !saved.guards.iter().any(|(kept, _)| *kept == calls) {
                shared.guards.set(calls, None)?;
            }
        }
        for (calls, policy) in saved.guards {
            shared.guards.set(calls, Some(policy))?;
        }
        shared.judge.set_policy(saved.classification)?;
        heal.degradation.set_policy(saved.degradation, shared.runtime.now())?;
        heal.watches.store(saved.isolation.is_some(), Ordering::Relaxed);
        if let Some(policy) = saved.isolation {
            heal.isolation.set_policy(policy)?;
        }
        if heal.playbooks.policy() != saved.playbooks {
            heal.playbooks.set_policy(saved.playbooks)?;
            heal.listen(&shared)?;
        }
        shared.arm();
        Ok(())
    }
}

/// The level that degradation is forced to; null when the rules decide.
struct Level(Weak<Shared>);

impl Checkpointed for Level {
    fn name(&self) -> &str {
        "recovery.level"
    }

    /// The policies say which levels there are.
    fn needs(&self) -> Vec<String> {
        vec![POLICIES.to_owned()]
    }

    fn save(&self) -> Result<Payload> {
        let shared = alive(&self.0)?;
        let status = shared.heal.degradation.status(shared.runtime.now());
        Payload::json(&status.forced.then(|| status.level.to_string()))
    }

    fn restore(&self, state: &Payload) -> Result<()> {
        let shared = alive(&self.0)?;
        let level: Option<String> = state.to()?;
        let now = shared.runtime.now();
        let before = shared.heal.degradation.status(now);
        let forced = before.forced.then(|| before.level.to_string());
        if forced != level {
            shared.heal.degradation.force(level.as_deref(), "a checkpoint", now)?;
            shared.arm();
        }
        Ok(())
    }
}

fn alive(shared: &Weak<Shared>) -> Result<Arc<Shared>> {
    shared.upgrade().ok_or_else(|| Error::new(Code::NOT_RUNNING, "the kernel is gone"))
}
