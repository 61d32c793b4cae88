//! Playbooks at work: the engine's orders are run on a runtime.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use serde::Serialize;

use super::engine::{Effects, Engine, Order, When};
use super::policy::{Playbook, PlaybookPolicy};
use super::record::PlaybookEntry;
use crate::base::contain;
use crate::base::nearest::nearest;
use crate::base::payload::Payload;
use crate::base::runtime::Runtime;
use crate::base::time::Moment;
use crate::event::Pattern;
use crate::port::{ActionContext, PlaybookAction};
use crate::{Code, Error, Result};

/// Hears of every entry that is new or has changed. Called with no lock held.
pub type OnEntry = Arc<dyn Fn(&PlaybookEntry) + Send + Sync>;

/// The playbooks of a system. Cheap to clone; clones are the same. See the
/// [module's documentation](super).
#[derive(Clone)]
pub struct Playbooks(Arc<Inner>);

struct Inner {
    runtime: Arc<dyn Runtime>,
    engine: Mutex<Engine>,
    actions: Mutex<Actions>,
    on_entry: ArcSwapOption<OnEntry>,
}

/// An action that playbooks can name.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ActionView {
    /// Its name.
    pub name: Arc<str>,
    /// The JSON Schema of its parameters.
    pub schema: serde_json::Value,
}

/// A playbook and where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct PlaybookView {
    /// The playbook.
    pub playbook: Playbook,
    /// Actions of the present window.
    pub used: usize,
    /// The entry whose action is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub under_way: Option<u64>,
    /// The entry that waits for approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<u64>,
    /// Milliseconds until it may act again: cool-down and bounds.
    pub rests_ms: u64,
    /// Whether its actions are registered.
    pub known: bool,
}

/// An action that a playbook names and nobody has registered.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct UnknownAction {
    /// The playbook.
    pub playbook: String,
    /// Where the policy names it: `playbooks[0].action`, `playbooks[0].escalate.action`.
    pub field: String,
    /// The name.
    pub action: String,
    /// The registered one that is so near that it is probably meant.
    pub meant: Option<String>,
}

impl UnknownAction {
    /// As an error: [`Code::NOT_FOUND`].
    pub fn error(&self) -> Error {
        unknown(&self.action, self.meant.as_deref())
            .with("playbook", &self.playbook)
            .with("field", &self.field)
    }
}

fn unknown(action: &str, meant: Option<&str>) -> Error {
    let error = Error::new(Code::NOT_FOUND, "no action of this name is registered")
        .operation("recovery.playbook")
        .with("action", action);
    match meant {
        Some(near) => error.advice(format!("did you mean '{near}'?")),
        None => error.advice("register it; recovery.playbook_list has those that there are"),
    }
}

type Actions = BTreeMap<Arc<str>, Arc<dyn PlaybookAction>>;

fn near(actions: &Actions, action: &str) -> Option<String> {
    nearest(action, actions.keys().map(|name| &**name)).map(str::to_owned)
}

impl Playbooks {
    /// Playbooks whose actions run on `runtime`. Starts nothing.
    ///
    /// # Errors
    /// What [`PlaybookPolicy::check`] says.
    pub fn new(runtime: Arc<dyn Runtime>, policy: PlaybookPolicy) -> Result<Self> {
        Ok(Self(Arc::new(Inner {
            runtime,
            engine: Mutex::new(Engine::new(policy)?),
            actions: Mutex::default(),
            on_entry: ArcSwapOption::empty(),
        })))
    }

    /// Makes an action known by its name.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`] for a name that is taken, [`Code::INVALID`] for an empty one.
    pub fn register(&self, action: Arc<dyn PlaybookAction>) -> Result<()> {
        let name: Arc<str> = action.name().into();
        if name.is_empty() {
            return Err(
                Error::new(Code::INVALID, "an action needs a name").operation("recovery.playbook")
            );
        }
        let mut actions = self.0.actions.lock();
        if actions.contains_key(&name) {
            return Err(Error::new(Code::ALREADY_EXISTS, "an action of this name is registered")
                .operation("recovery.playbook")
                .with("action", name));
        }
        actions.insert(name, action);
        Ok(())
    }

    /// The actions, sorted by name.
    pub fn actions(&self) -> Vec<ActionView> {
        let actions: Vec<_> =
            self.0.actions.lock().iter().map(|(n, a)| (Arc::clone(n), Arc::clone(a))).collect();
        let view = |(name, action): (Arc<str>, Arc<dyn PlaybookAction>)| {
            let schema = contain::catch(|| action.schema()).unwrap_or_default();
            ActionView { name, schema }
        };
        actions.into_iter().map(view).collect()
    }

    /// An event came.
    pub fn event(&self, subject: &str, payload: &Payload) {
        let when = self.0.when();
        let effects = self.0.engine.lock().event(subject, payload, when);
        self.0.carry_out(effects);
    }

    /// Feeds a signal in; says whether any condition speaks of it.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a value that is not a number.
    pub fn signal(&self, name: &str, value: f64) -> Result<bool> {
        if value.is_nan() {
            return Err(Error::new(Code::INVALID, "the value of a signal must be a number")
                .operation("recovery.playbook")
                .with("signal", name));
        }
        let when = self.0.when();
        let (heard, effects) = self.0.engine.lock().signal(name, value, when);
        self.0.carry_out(effects);
        Ok(heard)
    }

    /// Does what is due by the time alone: conditions that have held for long enough, approvals that
    /// expire. Call it at [`next_tick`](Self::next_tick), or every now and then.
    pub fn tick(&self) {
        self.0.tick();
    }

    /// When the time alone may change something.
    pub fn next_tick(&self) -> Option<Moment> {
        self.0.engine.lock().next_tick()
    }

    /// Says yes to an entry that waits for approval; its action begins. `by` says who.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] for an entry that is not there; [`Code::ACTION_REFUSED`] for one that does not
    /// wait (any more), or that a bound is in the way of: it still waits then.
    pub fn approve(&self, entry: u64, by: &str) -> Result<()> {
        let when = self.0.when();
        let effects = self.0.engine.lock().approve(entry, by, when);
        effects.map(|effects| self.0.carry_out(effects))
    }

    /// Says no to an entry that waits for approval. `by` says who.
    ///
    /// # Errors
    /// As [`approve`](Self::approve).
    pub fn deny(&self, entry: u64, by: &str) -> Result<()> {
        let when = self.0.when();
        let effects = self.0.engine.lock().deny(entry, by, when);
        effects.map(|effects| self.0.carry_out(effects))
    }

    /// The playbooks and where they stand, in the policy's order.
    pub fn list(&self) -> Vec<PlaybookView> {
        let now = self.0.runtime.now();
        let known = |name: &str| self.0.actions.lock().contains_key(name);
        let standing: Vec<_> = {
            let engine = self.0.engine.lock();
            engine.standing().map(|(book, standing)| (book.clone(), standing)).collect()
        };
        let view = |(playbook, standing): (Playbook, super::engine::Standing)| PlaybookView {
            used: standing.used,
            under_way: standing.under_way,
            pending: standing.pending,
            rests_ms: u64::try_from(standing.free_at.since(now).as_millis()).unwrap_or(u64::MAX),
            known: known(&playbook.action)
                && playbook.escalate.as_ref().is_none_or(|e| known(&e.action)),
            playbook,
        };
        standing.into_iter().map(view).collect()
    }

    /// The newest `limit` entries of the record, oldest first.
    pub fn record(&self, limit: usize) -> Vec<PlaybookEntry> {
        self.0.engine.lock().record(limit)
    }

    /// The patterns of all events that some condition speaks of: what to subscribe to.
    pub fn patterns(&self) -> Vec<Pattern> {
        self.0.engine.lock().patterns()
    }

    /// The actions that the playbooks of a policy name and nobody has registered, each with where the
    /// policy names it. Not an error of [`set_policy`](Self::set_policy): an action may be registered
    /// later, and what is set off before fails then.
    pub fn unknown(&self, policy: &PlaybookPolicy) -> Vec<UnknownAction> {
        let actions = self.0.actions.lock();
        let mut unknown = Vec::new();
        for (index, book) in policy.playbooks.iter().enumerate() {
            let escalated = book.escalate.as_ref().map(|e| ("escalate.action", &e.action));
            for (field, action) in std::iter::once(("action", &book.action)).chain(escalated) {
                if !actions.contains_key(action.as_str()) {
                    unknown.push(UnknownAction {
                        playbook: book.name.clone(),
                        field: format!("playbooks[{index}].{field}"),
                        action: action.clone(),
                        meant: near(&actions, action),
                    });
                }
            }
        }
        unknown
    }

    /// Takes another policy from here on. What playbooks of the same names have done counts on; what
    /// waits for the approval of one that is gone expires; what is under way goes on.
    ///
    /// # Errors
    /// What [`PlaybookPolicy::check`] says; the old one stays.
    pub fn set_policy(&self, policy: PlaybookPolicy) -> Result<()> {
        let when = self.0.when();
        let effects = self.0.engine.lock().change_policy(policy, when);
        effects.map(|effects| self.0.carry_out(effects))
    }

    /// The policy.
    pub fn policy(&self) -> PlaybookPolicy {
        self.0.engine.lock().policy().clone()
    }

    /// Hears of entries from here on, in the place of who did before.
    pub fn on_entry(&self, told: OnEntry) {
        self.0.on_entry.store(Some(Arc::new(told)));
    }
}

impl Inner {
    fn when(&self) -> When {
        When { now: self.runtime.now(), at: self.runtime.timestamp() }
    }

    fn tick(self: &Arc<Self>) {
        let when = self.when();
        let effects = self.engine.lock().tick(when);
        self.carry_out(effects);
    }

    /// Tells of entries and runs orders, with no lock held.
    fn carry_out(self: &Arc<Self>, effects: Effects) {
        if let Some(told) = &*self.on_entry.load() {
            effects.notes.iter().for_each(|entry| told(entry));
        }
        for order in effects.orders {
            let run = Run { inner: Arc::clone(self), order: Some(order) };
            // Refused, the job is dropped, and the order in it has failed.
            let _ = self.runtime.spawn_blocking(Box::new(move || run.run()));
        }
    }

    fn finished(self: &Arc<Self>, id: u64, answer: Result<Payload>) {
        let when = self.when();
        let effects = self.engine.lock().finished(id, answer, when);
        self.carry_out(effects);
        // There is room for what waited for it.
        self.tick();
    }

    fn act(&self, order: &Order) -> Result<Payload> {
        let action = {
            let actions = self.actions.lock();
            let name: &str = &order.action;
            let found = actions.get(name).cloned();
            found.ok_or_else(|| unknown(name, near(&actions, name).as_deref()))?
        };
        let When { now, at } = self.when();
        let context = ActionContext::new(&order.playbook, order.id, &order.trigger, now, at);
        contain::catch(|| action.run(&context, &order.params, order.dry))
            .unwrap_or_else(|_| Err(Error::new(Code::PANIC, "the action panicked")))
    }
}

/// An order that has its end in any case, also when the runtime drops it.
struct Run {
    inner: Arc<Inner>,
    order: Option<Order>,
}

impl Run {
    fn run(mut self) {
        if let Some(order) = self.order.take() {
            let answer = self.inner.act(&order);
            self.inner.finished(order.id, answer);
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(order) = self.order.take() {
            let error = Error::new(Code::ABANDONED, "the runtime did not run the action");
            self.inner.finished(order.id, Err(error));
        }
    }
}

impl std::fmt::Debug for Playbooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.0.engine.lock().policy().playbooks.len();
        f.debug_struct("Playbooks").field("playbooks", &count).finish_non_exhaustive()
    }
}
