//! What of a kernel is saved in checkpoints and restored from them besides its log's filter: the policies
//! of its recovery, the level of degradation, and which versions of its agents are in charge.

#[cfg(feature = "agent")]
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use serde::{Deserialize, Serialize};

use super::guards::CallsTo;
use super::heal::KeptPolicies;
use super::shared::Shared;
#[cfg(feature = "agent")]
use crate::agent::Entry;
use crate::base::payload::Payload;
#[cfg(feature = "agent")]
use crate::port::Candidate as _;
use crate::port::Checkpointed;
use crate::recovery::GuardPolicy;
use crate::{Code, Error, Result};

/// Registers them; they hold the kernel weakly.
pub(super) fn register(shared: &Arc<Shared>) -> Result<()> {
    let checkpoints = shared.rollback.checkpoints();
    checkpoints.register(Arc::new(Policies(Arc::downgrade(shared))))?;
    checkpoints.register(Arc::new(Level(Arc::downgrade(shared))))?;
    #[cfg(feature = "agent")]
    checkpoints.register(Arc::new(Versions(Arc::downgrade(shared))))?;
    // With those of the host's: everything that one needs must be there.
    checkpoints.registered().map(drop)
}

const POLICIES: &str = "recovery.policies";

/// The policies that can be changed while the kernel runs.
struct Policies(Weak<Shared>);

#[derive(Serialize, Deserialize)]
struct Saved {
    guards: Vec<(CallsTo, GuardPolicy)>,
    #[serde(flatten)]
    kept: KeptPolicies,
}

impl Checkpointed for Policies {
    fn name(&self) -> &str {
        POLICIES
    }

    fn save(&self) -> Result<Payload> {
        let shared = alive(&self.0)?;
        Payload::json(&Saved { guards: shared.guards.policies(), kept: KeptPolicies::of(&shared) })
    }

    fn restore(&self, state: &Payload) -> Result<()> {
        let shared = alive(&self.0)?;
        let saved: Saved = state.to()?;
        for (calls, _) in shared.guards.policies() {
            if !saved.guards.iter().any(|(kept, _)| *kept == calls) {
                shared.guards.set(calls, None)?;
            }
        }
        for (calls, policy) in saved.guards {
            shared.guards.set(calls, Some(policy))?;
        }
        saved.kept.set(&shared)
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

/// The version of each agent that is in charge. Agents that are not there any more, or were not there
/// yet, are left alone: which agents there are is the host's to say.
#[cfg(feature = "agent")]
struct Versions(Weak<Shared>);

#[cfg(feature = "agent")]
impl Versions {
    /// The agents that are there and had another version, with that version.
    fn others(shared: &Shared, state: &Payload) -> Result<Vec<(String, String)>> {
        let saved: BTreeMap<String, String> = state.to()?;
        let other = |(name, version): &(String, String)| {
            shared.agents.get(name).is_some_and(|entry| entry.card().version != *version)
        };
        Ok(saved.into_iter().filter(other).collect())
    }
}

#[cfg(feature = "agent")]
impl Checkpointed for Versions {
    fn name(&self) -> &str {
        "agent.versions"
    }

    /// The guards of agents are made anew with their versions, by the policies.
    fn needs(&self) -> Vec<String> {
        vec![POLICIES.to_owned()]
    }

    fn save(&self) -> Result<Payload> {
        let shared = alive(&self.0)?;
        let agents = shared.agents.all();
        let version = |entry: &Arc<Entry>| (entry.name().to_string(), entry.card().version.clone());
        Payload::json(&agents.iter().map(version).collect::<BTreeMap<_, _>>())
    }

    fn restore(&self, state: &Payload) -> Result<()> {
        let shared = alive(&self.0)?;
        for (name, version) in Self::others(&shared, state)? {
            shared.switch_agent(&name, &version)?;
        }
        Ok(())
    }

    fn has(&self, state: &Payload) -> Result<bool> {
        Ok(Self::others(&*alive(&self.0)?, state)?.is_empty())
    }
}

fn alive(shared: &Weak<Shared>) -> Result<Arc<Shared>> {
    shared.upgrade().ok_or_else(|| Error::new(Code::NOT_RUNNING, "the kernel is gone"))
}
