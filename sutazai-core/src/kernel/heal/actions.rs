//! What playbooks can do with a kernel.

use std::sync::{Arc, Weak};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::shared::Shared;
use crate::base::payload::Payload;
use crate::base::reading::from_value;
use crate::port::{ActionContext, PlaybookAction};
use crate::recovery::{CheckpointId, Trigger};
use crate::{Code, Error, Result};

/// Registers the kernel's own actions; they hold it weakly.
pub(super) fn register(shared: &Arc<Shared>) -> Result<()> {
    let weak = || Arc::downgrade(shared);
    for action in [
        Action::boxed("degrade", degrade, schema::<Degrade>, weak()),
        Action::boxed("quarantine", quarantine, schema::<Quarantine>, weak()),
        Action::boxed("release", release, schema::<Release>, weak()),
        Action::boxed("publish", publish, schema::<Publish>, weak()),
        Action::boxed("restart", restart, schema::<Restart>, weak()),
        Action::boxed("roll_back", roll_back, schema::<RollBack>, weak()),
        Action::boxed("failsafe", failsafe, schema::<Failsafe>, weak()),
    ] {
        shared.heal.playbooks.register(action)?;
    }
    Ok(())
}

type Run = fn(&Arc<Shared>, &ActionContext<'_>, &Payload, bool) -> Result<()>;

struct Action {
    name: &'static str,
    run: Run,
    schema: fn() -> Value,
    shared: Weak<Shared>,
}

impl Action {
    fn boxed(
        name: &'static str,
        run: Run,
        schema: fn() -> Value,
        shared: Weak<Shared>,
    ) -> Arc<dyn PlaybookAction> {
        Arc::new(Self { name, run, schema, shared })
    }
}

impl PlaybookAction for Action {
    fn name(&self) -> &str {
        self.name
    }

    fn schema(&self) -> Value {
        (self.schema)()
    }

    fn run(&self, context: &ActionContext<'_>, params: &Payload, dry: bool) -> Result<Payload> {
        let gone = || Error::new(Code::NOT_RUNNING, "the kernel is gone");
        let shared = self.shared.upgrade().ok_or_else(gone)?;
        (self.run)(&shared, context, params, dry)?;
        shared.arm();
        let verb = if dry { "would" } else { "did" };
        Ok(json!({ verb: self.name, "params": params }).into())
    }
}

fn schema<T: JsonSchema>() -> Value {
    schemars::SchemaGenerator::default().into_root_schema_for::<T>().to_value()
}

/// The parameters, which somebody wrote into a playbook.
fn read<T: DeserializeOwned + JsonSchema>(params: &Payload) -> Result<T> {
    from_value("recovery.playbook", "params", &*params.value()?)
}

/// Who an action acts for, in reasons.
fn by(context: &ActionContext<'_>) -> String {
    format!("playbook {}", context.playbook)
}

/// Forces a level.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Degrade {
    /// The level; null gives it back to the rules.
    level: Option<String>,
}

fn degrade(
    shared: &Arc<Shared>,
    context: &ActionContext<'_>,
    params: &Payload,
    dry: bool,
) -> Result<()> {
    let Degrade { level } = read(params)?;
    let degradation = &shared.heal.degradation;
    if dry {
        let known = degradation.policy().levels;
        return match level.filter(|level| !known.contains(level)) {
            Some(level) => {
                Err(Error::new(Code::NOT_FOUND, "there is no level of this name")
                    .with("level", level))
            }
            None => Ok(()),
        };
    }
    degradation.force(level.as_deref(), &by(context), context.now)
}

/// Sets a target apart.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Quarantine {
    /// The target: an agent's name, mostly.
    target: String,
    /// For so many milliseconds; until it is released without this.
    for_ms: Option<u64>,
}

fn quarantine(
    shared: &Arc<Shared>,
    context: &ActionContext<'_>,
    params: &Payload,
    dry: bool,
) -> Result<()> {
    let Quarantine { target, for_ms } = read(params)?;
    if dry {
        return Ok(());
    }
    let length = for_ms.map(Duration::from_millis);
    shared.heal.isolation.quarantine(&target, length, &by(context), context.now)
}

/// Lets a target in again.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Release {
    /// The target.
    target: String,
}

fn release(
    shared: &Arc<Shared>,
    context: &ActionContext<'_>,
    params: &Payload,
    dry: bool,
) -> Result<()> {
    let Release { target } = read(params)?;
    if dry {
        return Ok(());
    }
    shared.heal.isolation.release(&target, &by(context), context.now)
}

/// Publishes an event, for whoever does the rest.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Publish {
    /// Its subject.
    subject: String,
    /// Its payload.
    #[serde(default)]
    payload: Payload,
}

fn publish(shared: &Arc<Shared>, _: &ActionContext<'_>, params: &Payload, dry: bool) -> Result<()> {
    let Publish { subject, payload } = read(params)?;
    if dry {
        return crate::event::Subject::new(&subject).map(drop);
    }
    shared.bus.publish(&subject, payload).map(drop)
}

/// Stops a supervised child, if it lives, and starts it again.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Restart {
    /// Its path: `main>workers>reviewer`.
    child: String,
}

fn restart(shared: &Arc<Shared>, _: &ActionContext<'_>, params: &Payload, dry: bool) -> Result<()> {
    let Restart { child } = read(params)?;
    if dry { shared.has_tree(&child) } else { shared.restart_child(&child) }
}

/// Restores a checkpoint.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RollBack {
    /// Which; the newest without it.
    checkpoint: Option<CheckpointId>,
    /// What of it; everything without it.
    only: Option<Vec<String>>,
}

fn roll_back(
    shared: &Arc<Shared>,
    _: &ActionContext<'_>,
    params: &Payload,
    dry: bool,
) -> Result<()> {
    let RollBack { checkpoint, only } =
        if params.is_null() { RollBack { checkpoint: None, only: None } } else { read(params)? };
    let checkpoints = shared.rollback.checkpoints();
    let id = match checkpoint {
        Some(id) => id,
        None => {
            let newest = checkpoints.list()?.into_iter().next();
            newest.map(|view| view.id).ok_or_else(|| {
                Error::new(Code::NOT_FOUND, "there is no checkpoint to roll back to")
                    .operation("recovery.checkpoint")
                    .advice("take one while all is well: recovery.checkpoint_create")
            })?
        }
    };
    if dry {
        return checkpoints.get(id).map(drop);
    }
    checkpoints.restore(id, only.as_deref()).map(drop)
}

/// Takes the safe state.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Failsafe {
    /// Why.
    reason: String,
}

fn failsafe(
    shared: &Arc<Shared>,
    context: &ActionContext<'_>,
    params: &Payload,
    dry: bool,
) -> Result<()> {
    let Failsafe { reason } = read(params)?;
    if !dry {
        shared.heal.failsafe.trigger(Trigger::host(format!("{}: {reason}", by(context))));
    }
    Ok(())
}
