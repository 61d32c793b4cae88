//! Checkpoints: the state of named things, saved together and restored together.
//!
//! **Invariants.** A checkpoint is in the store whole or not at all. What is restored is what was saved:
//! its SHA-256 is compared before anything is touched. After a restore everything that was chosen has the
//! state of the checkpoint, or the one it had before; where neither could be reached the error says so,
//! and is critical. A crash in the middle of a restore is not undone: restore again.

mod digest;
mod order;
mod records;
mod restore;
#[cfg(test)]
mod tests;
mod view;

pub use view::{
    CheckpointDetail, CheckpointDiff, CheckpointId, CheckpointNews, CheckpointPartView,
    CheckpointView, Restored,
};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use records::{Draft, Part, Records};
use restore::Wanted;

use super::caught::caught;
use crate::base::nearest::nearest;
use crate::base::payload::Payload;
use crate::base::runtime::Runtime;
use crate::event::Bus;
use crate::port::Checkpointed;
use crate::store::Store;
use crate::{Code, Error, Result};

/// The longest label, in characters.
const LABEL_MAX: usize = 200;
/// Things that are checkpointed together, at most.
const THINGS_MAX: usize = 1_000;

/// Saves and restores what is registered. Cheap to clone; clones are the same. Every method but those of
/// registering blocks, and is refused where nothing may block.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
/// use sutazai_core::Result;
/// use sutazai_core::base::payload::Payload;
/// use sutazai_core::base::runtime::Threads;
/// use sutazai_core::port::Checkpointed;
/// use sutazai_core::recovery::{CheckpointConfig, Checkpoints, MIGRATIONS};
/// use sutazai_core::store::Store;
///
/// struct Level(AtomicU64);
/// impl Checkpointed for Level {
///     fn name(&self) -> &str { "level" }
///     fn save(&self) -> Result<Payload> { Ok(self.0.load(Relaxed).into()) }
///     fn restore(&self, state: &Payload) -> Result<()> { Ok(self.0.store(state.to()?, Relaxed)) }
/// }
///
/// let store = Store::memory(&[MIGRATIONS])?;
/// let runtime = Arc::new(Threads::default());
/// let checkpoints =
///     Checkpoints::new(runtime, store, CheckpointConfig::default(), Arc::new(|_| ()))?;
/// let level = Arc::new(Level(AtomicU64::new(3)));
/// checkpoints.register(level.clone())?;
/// let good = checkpoints.create("before the change", None)?;
/// level.0.store(9, Relaxed);
/// assert_eq!(checkpoints.diff(good.id, None)?.changed, ["level"]);
/// checkpoints.restore(good.id, None)?;
/// assert_eq!(level.0.load(Relaxed), 3);
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Checkpoints(Arc<Inner>);

/// The bounds of checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct CheckpointConfig {
    /// Checkpoints that are kept, 1 to 1,000; beyond it the oldest goes. Default 32.
    pub keep: usize,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { keep: 32 }
    }
}

/// Hears of what is done with checkpoints. Must be quick and not block.
pub type CheckpointObserver = Arc<dyn Fn(&CheckpointNews<'_>) + Send + Sync>;

struct Inner {
    runtime: Arc<dyn Runtime>,
    records: Records,
    config: CheckpointConfig,
    observer: CheckpointObserver,
    /// In the order they were registered.
    things: Mutex<Vec<Thing>>,
    /// Somebody saves or restores.
    busy: AtomicBool,
}

#[derive(Clone)]
struct Thing {
    name: String,
    needs: Vec<String>,
    thing: Arc<dyn Checkpointed>,
}

impl Checkpoints {
    /// Checkpoints in `store`, which was opened with [`MIGRATIONS`](super::MIGRATIONS); `runtime` says what
    /// time it is, and where nothing may block.
    ///
    /// # Errors
    /// [`Code::INVALID`] for bounds that are not.
    pub fn new(
        runtime: Arc<dyn Runtime>,
        store: Store,
        config: CheckpointConfig,
        observer: CheckpointObserver,
    ) -> Result<Self> {
        if !(1..=1_000).contains(&config.keep) {
            return Err(Error::new(Code::INVALID, "the bounds of checkpoints are not valid")
                .operation("recovery.checkpoint")
                .with("field", "keep")
                .with("rule", "must be between 1 and 1,000"));
        }
        Ok(Self(Arc::new(Inner {
            runtime,
            records: Records(store),
            config,
            observer,
            things: Mutex::default(),
            busy: AtomicBool::new(false),
        })))
    }

    /// Adds something to save and restore. What it needs may be added later.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a name that is empty, longer than 128 characters or has control characters;
    /// [`Code::ALREADY_EXISTS`]; [`Code::OVERLOADED`] beyond 1,000.
    pub fn register(&self, thing: Arc<dyn Checkpointed>) -> Result<()> {
        let (name, needs) = (thing.name().to_owned(), thing.needs());
        let refused = |code, what: &'static str| {
            Err(Error::new(code, what)
                .operation("recovery.checkpoint")
                .with("name", name.chars().take(128).collect::<String>()))
        };
        if name.is_empty() || name.chars().count() > 128 || name.chars().any(char::is_control) {
            return refused(Code::INVALID, "a name has 1 to 128 characters, none of control");
        }
        let mut things = self.0.things.lock();
        if things.iter().any(|other| other.name == name) {
            return refused(Code::ALREADY_EXISTS, "something of this name is checkpointed");
        }
        if things.len() >= THINGS_MAX {
            return refused(Code::OVERLOADED, "too many things are checkpointed together");
        }
        things.push(Thing { name, needs, thing });
        Ok(())
    }

    /// The names of what is registered, in the order they are restored in.
    ///
    /// # Errors
    /// [`Code::INVALID`] when one needs what is not there, or itself in a circle.
    pub fn registered(&self) -> Result<Vec<String>> {
        Ok(self.0.ordered()?.into_iter().map(|thing| thing.name).collect())
    }

    /// Saves everything, or what is named in `only`, in one checkpoint.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] for a name that is not registered; [`Code::INVALID`] for a label of more than
    /// 200 characters or a state of more than 4 MiB (64 KiB without the feature `store`); what saving
    /// or the store says, and then there is no checkpoint; [`Code::OVERLOADED`] while another one is
    /// taken or restored.
    pub fn create(&self, label: &str, only: Option<&[String]>) -> Result<CheckpointView> {
        let operation = "recovery.checkpoint_create";
        if label.chars().count() > LABEL_MAX {
            return Err(Error::new(Code::INVALID, "a label has at most 200 characters")
                .operation(operation));
        }
        let _turn = self.0.turn(operation)?;
        let things = self.0.chosen(only, operation)?;
        let parts = things.iter().map(|thing| Part::new(&thing.name, &thing.save(operation)?));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let new = Draft::new(label, self.0.runtime.timestamp(), parts);
        let view = self.0.records.add(new, self.0.config.keep).wait()?;
        self.0.observe(&CheckpointNews::Created(&view));
        Ok(view)
    }

    /// The checkpoints, newest first.
    ///
    /// # Errors
    /// What the store says.
    pub fn list(&self) -> Result<Vec<CheckpointView>> {
        self.0.records.list()
    }

    /// One with the states it holds.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`]; [`Code::STORE_CORRUPT`] when it is not what was saved.
    pub fn get(&self, id: CheckpointId) -> Result<CheckpointDetail> {
        self.0.records.get(id)
    }

    /// In what the second differs from the first; without a second, in what the present state does, of
    /// the things that are registered.
    ///
    /// # Errors
    /// As [`get`](Self::get); what saving says.
    pub fn diff(
        &self,
        first: CheckpointId,
        second: Option<CheckpointId>,
    ) -> Result<CheckpointDiff> {
        let operation = "recovery.checkpoint_diff";
        let before = self.0.records.get(first)?.states;
        let after = match second {
            Some(id) => self.0.records.get(id)?.states,
            None => {
                let things = self.0.chosen(None, operation)?;
                let state = |thing: &Thing| Ok((thing.name.clone(), thing.save(operation)?));
                things.iter().map(state).collect::<Result<_>>()?
            }
        };
        Ok(differences(&before, &after))
    }

    /// Restores a checkpoint, or what of it is named in `only`, in the order of needs. Looks of each
    /// thing whether it has taken its state on; when one fails, it and those before it are given back
    /// what they had.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] when there is no such checkpoint, or it has or holds something that is not
    /// registered; [`Code::STORE_CORRUPT`]; nothing was touched then. [`Code::RESTORE_FAILED`] with the
    /// way it went (`path`, `failed`, `put_back`, `not_put_back`): persistent when everything is as it
    /// was before, critical when something is not. [`Code::OVERLOADED`] as [`create`](Self::create).
    pub fn restore(&self, id: CheckpointId, only: Option<&[String]>) -> Result<Restored> {
        let operation = "recovery.checkpoint_restore";
        let _turn = self.0.turn(operation)?;
        let detail = self.0.records.get(id)?;
        let held: Vec<String> = detail.view.parts.iter().map(|part| part.name.clone()).collect();
        if let Some(name) = only.unwrap_or_default().iter().find(|name| !held.contains(name)) {
            return Err(unknown("the checkpoint holds nothing of this name", name, &held)
                .operation(operation));
        }
        let things = self.0.chosen(Some(only.unwrap_or(&held)), operation)?;
        let mut wanted = Vec::with_capacity(things.len());
        for thing in &things {
            let state = detail.states.iter().find(|(name, _)| *name == thing.name);
            if let Some((name, state)) = state {
                wanted.push(Wanted { thing: &*thing.thing, name, state });
            }
        }
        match restore::restore(&wanted) {
            Ok(()) => {
                let restored = wanted.iter().map(|want| want.name.to_owned()).collect();
                let restored = Restored { checkpoint: id, restored };
                self.0.observe(&CheckpointNews::Restored(&restored));
                Ok(restored)
            }
            Err(error) => {
                let error = error.with("checkpoint", id);
                let news = CheckpointNews::RestoreFailed { checkpoint: id, error: &error };
                self.0.observe(&news);
                Err(error)
            }
        }
    }

    /// Deletes a checkpoint; whether it was there.
    ///
    /// # Errors
    /// What the store says.
    pub fn delete(&self, id: CheckpointId) -> Result<bool> {
        let deleted = self.0.records.delete(id).wait()?;
        if deleted {
            self.0.observe(&CheckpointNews::Deleted { checkpoint: id });
        }
        Ok(deleted)
    }
}

impl Inner {
    fn ordered(&self) -> Result<Vec<Thing>> {
        let things = self.things.lock().clone();
        let names: Vec<_> =
            things.iter().map(|thing| (thing.name.clone(), thing.needs.clone())).collect();
        let order = order::of_names(&names)?;
        Ok(order.into_iter().filter_map(|place| things.get(place).cloned()).collect())
    }

    /// What is registered, or what of it is named, in order.
    fn chosen(&self, only: Option<&[String]>, operation: &'static str) -> Result<Vec<Thing>> {
        let mut things = self.ordered()?;
        let Some(only) = only else { return Ok(things) };
        let names: Vec<_> = things.iter().map(|thing| thing.name.clone()).collect();
        if let Some(name) = only.iter().find(|name| !names.contains(name)) {
            return Err(
                unknown("nothing of this name is checkpointed", name, &names).operation(operation)
            );
        }
        things.retain(|thing| only.contains(&thing.name));
        Ok(things)
    }

    /// One at a time saves or restores: what is saved while something is restored would be neither the
    /// one nor the other.
    fn turn(&self, operation: &'static str) -> Result<Turn<'_>> {
        if self.busy.swap(true, Ordering::Acquire) {
            return Err(Error::new(Code::OVERLOADED, "a checkpoint is being taken or restored")
                .operation(operation)
                .advice("try again when it is done"));
        }
        Ok(Turn(&self.busy))
    }

    fn observe(&self, news: &CheckpointNews<'_>) {
        let _ = caught(|| {
            (self.observer)(news);
            Ok(())
        });
    }
}

impl Thing {
    fn save(&self, operation: &'static str) -> Result<Payload> {
        caught(|| self.thing.save()).map_err(|error| {
            let error = error.with("name", &self.name);
            if error.failed_operation().is_some() { error } else { error.operation(operation) }
        })
    }
}

struct Turn<'a>(&'a AtomicBool);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn differences(before: &[(String, Payload)], after: &[(String, Payload)]) -> CheckpointDiff {
    let of = |states: &[(String, Payload)], name: &str| {
        states.iter().find(|(other, _)| other == name).map(|(_, state)| state.clone())
    };
    let mut diff = CheckpointDiff::default();
    for (name, state) in before {
        match of(after, name) {
            None => diff.removed.push(name.clone()),
            Some(other) if other != *state => diff.changed.push(name.clone()),
            Some(_) => {}
        }
    }
    let added = after.iter().filter(|(name, _)| of(before, name).is_none());
    diff.added = added.map(|(name, _)| name.clone()).collect();
    diff
}

fn unknown(what: &'static str, name: &str, names: &[String]) -> Error {
    let error =
        Error::new(Code::NOT_FOUND, what).with("name", name.chars().take(128).collect::<String>());
    match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => error.advice(format!("did you mean '{near}'?")),
        None => error,
    }
}

/// Publishes the news on the bus: `recovery.checkpoint.created`, `.restored`, `.restore_failed` and
/// `.deleted`, with [`CheckpointNews`] as the payload.
pub fn publish_checkpoints(bus: &Bus) -> CheckpointObserver {
    let bus = bus.clone();
    Arc::new(move |news| {
        // The subject is well-formed.
        let _ = bus.publish(
            format!("recovery.checkpoint.{}", news.name()),
            Payload::json(news).unwrap_or_default(),
        );
    })
}

impl std::fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let things = self.0.things.lock();
        let names: Vec<_> = things.iter().map(|thing| thing.name.clone()).collect();
        drop(things);
        f.debug_struct("Checkpoints").field("registered", &names).finish_non_exhaustive()
    }
}
