//! One registered agent: its card, whether it takes tasks, and its places.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use serde::Serialize;

use super::state::AgentState;
use crate::agent::create::Origin;
use crate::agent::ledger::{AgentStats, Ledger, SkillStats};
use crate::agent::liveness::LivenessView;
use crate::base::contain;
use crate::base::runtime::Runtime;
use crate::base::time::Moment;
use crate::port::{Agent, AgentCard, CallEnd, Candidate, Router, Task};

/// One registered agent.
pub struct Entry {
    card: AgentCard,
    /// Let go of when it is removed: it may hold replies, and they hold this entry.
    agent: ArcSwapOption<Arc<dyn Agent>>,
    /// How often it had been started again by then.
    restarts: AtomicU64,
    in_flight: AtomicU32,
    state: AtomicU8,
    /// The path of its child, where a supervisor starts it, and again when it has ended.
    supervised: OnceLock<Arc<str>>,
    /// It has ended and is started again: tasks may wait for that.
    holds: AtomicBool,
    /// When a call was answered last, in nanoseconds; 0 before the first.
    heard: AtomicU64,
    changes: Mutex<Changes>,
    ledger: Ledger,
    /// What it was made from, if it was made from a template.
    origin: OnceLock<Origin>,
}

/// Why an agent is in its state, or came into it.
pub type Why = Cow<'static, str>;

/// An agent has come into another state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Its state before.
    pub from: AgentState,
    /// Its state since.
    pub to: AgentState,
    /// Why.
    pub why: Why,
}

/// The changes of an entry's state: they are told in the order in which they happened, whichever threads
/// brought them about.
#[derive(Default)]
struct Changes {
    /// Why it is in its state; nothing before the first change.
    why: Option<Why>,
    /// What has not been told yet. Empty but for the moment that it takes to tell.
    untold: VecDeque<StateChange>,
    /// Somebody is telling, and goes on until everything is told.
    telling: bool,
}

/// An agent as hosts see it.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct AgentView {
    /// Its card.
    pub card: AgentCard,
    /// Whether it takes tasks.
    pub state: AgentState,
    /// Why it is in this state; nothing before it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
    /// Whether it lives, as far as is known; nothing where that is not watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<LivenessView>,
    /// The path of its child in a tree of supervisors; nothing where it is not supervised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervised: Option<Arc<str>>,
    /// Other versions of it that may take over again; the one that was in charge last comes last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standby: Vec<String>,
    /// The template that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Tasks under way.
    pub in_flight: u32,
    /// How often it had to be started again.
    pub restarts: u64,
    /// How its calls went.
    pub stats: AgentStats,
}

impl Entry {
    pub(super) fn new(card: AgentCard, agent: Arc<dyn Agent>) -> Self {
        Self {
            card,
            agent: ArcSwapOption::from_pointee(agent),
            restarts: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            state: AtomicU8::new(AgentState::Registered as u8),
            supervised: OnceLock::new(),
            holds: AtomicBool::new(false),
            heard: AtomicU64::new(0),
            changes: Mutex::default(),
            ledger: Ledger::default(),
            origin: OnceLock::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.card.name
    }

    /// Runs `f` with the agent itself; `None` once it has been let go of.
    #[inline]
    pub fn with_agent<R>(&self, f: impl FnOnce(&dyn Agent) -> R) -> Option<R> {
        self.agent.load().as_deref().map(|agent| f(&**agent))
    }

    /// The process of its own that the agent runs in; one that panics has none.
    #[cfg(all(target_os = "linux", feature = "monitor"))]
    pub(crate) fn process(&self) -> Option<u32> {
        self.with_agent(|agent| contain::catch(|| agent.process()).unwrap_or_default()).flatten()
    }

    /// Lets go of the agent: it has been stopped, and gets no more tasks.
    pub fn release(&self) {
        let agent = self.agent.swap(None);
        if let Some(agent) = &agent {
            self.restarts.store(restarts(&***agent), Ordering::Relaxed);
        }
        drop(agent);
    }

    /// Says what it was made from; once.
    pub fn made_from(&self, origin: Origin) {
        let _ = self.origin.set(origin);
    }

    /// What it was made from, if it was made from a template.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.get()
    }

    /// Whether it takes tasks.
    pub fn state(&self) -> AgentState {
        AgentState::of(self.state.load(Ordering::SeqCst))
    }

    /// Why it is in its state; nothing before it was started.
    pub fn why(&self) -> Option<Why> {
        self.changes.lock().why.clone()
    }

    /// Says more of why it is in its state.
    pub fn explain(&self, why: impl Into<Why>) {
        self.changes.lock().why = Some(why.into());
    }

    /// Moves it to another state for a reason, which is kept for whoever asks, and says which it was in;
    /// `None` where the state does not follow from that one, and nothing changes. The change is told by
    /// [`tell`](Self::tell).
    pub fn turn(&self, to: AgentState, why: impl Into<Why>) -> Option<AgentState> {
        self.turn_when(|_| true, to, why.into())
    }

    /// As [`turn`](Self::turn), from some states alone; says whether it was in one of those.
    pub fn turn_from(&self, from: &[AgentState], to: AgentState, why: impl Into<Why>) -> bool {
        self.turn_when(|state| from.contains(&state), to, why.into()).is_some()
    }

    fn turn_when(
        &self,
        may: impl Fn(AgentState) -> bool,
        to: AgentState,
        why: Why,
    ) -> Option<AgentState> {
        let mut changes = self.changes.lock();
        let from = self.state();
        if !may(from) || !from.may_become(to) {
            return None;
        }
        self.state.store(to as u8, Ordering::SeqCst);
        changes.why = Some(why.clone());
        changes.untold.push_back(StateChange { from, to, why });
        Some(from)
    }

    /// Hands the changes that have not been told to `f`, in the order in which they happened, and with no
    /// lock held; where another thread is at it they are left to that one.
    pub fn tell(&self, mut f: impl FnMut(&StateChange)) {
        let mut first = true;
        loop {
            let change = {
                let mut changes = self.changes.lock();
                if first && changes.telling {
                    return;
                }
                first = false;
                let next = changes.untold.pop_front();
                changes.telling = next.is_some();
                if next.is_none() {
                    // An idle entry keeps no room for what is rare.
                    changes.untold = VecDeque::new();
                }
                next
            };
            match change {
                Some(change) => f(&change),
                None => return,
            }
        }
    }

    /// Takes a place for one task, if it takes tasks and has one.
    #[inline]
    pub fn reserve(self: &Arc<Self>) -> Option<Reservation> {
        if !self.takes_tasks() {
            return None;
        }
        // Who lets go of it turns its state and then looks for calls; here it is the other way round, and all four in one order
        // (SeqCst), so that one of the two sees the other.
        self.occupy().filter(|_| self.takes_tasks())
    }

    /// Takes a place, whether it takes tasks or not: for who asks the agent itself.
    #[inline]
    pub fn occupy(self: &Arc<Self>) -> Option<Reservation> {
        let most = self.card.concurrency.unwrap_or(u32::MAX);
        // Never more than there are, not even for a moment: a place that is free is not refused.
        let one_more = |tasks| (tasks < most).then_some(tasks + 1);
        self.in_flight.fetch_update(Ordering::SeqCst, Ordering::Acquire, one_more).ok()?;
        Some(Reservation { entry: Arc::clone(self), decided: None })
    }

    /// It has answered a call: a sign of life.
    #[inline]
    pub fn heard(&self, now: Moment) {
        self.heard.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// When it answered a call last.
    pub fn last_heard(&self) -> Option<Moment> {
        let nanos = self.heard.load(Ordering::Relaxed);
        (nanos != 0).then(|| Moment::from_nanos(nanos))
    }

    /// Whether it is in a state in which it takes tasks. Where it is quarantined, that is so for its probes:
    /// which calls those are is not decided here.
    #[inline]
    pub fn takes_tasks(&self) -> bool {
        let state = self.state.load(Ordering::SeqCst);
        state == AgentState::Ready as u8 || state == AgentState::Quarantined as u8
    }

    /// Takes a place for one task that waits until it has been started again, if it is to be.
    pub fn reserve_waiting(self: &Arc<Self>) -> Option<Reservation> {
        let between = matches!(self.state(), AgentState::Failed | AgentState::Starting);
        if !between || !self.holds.load(Ordering::Acquire) {
            return None;
        }
        let still = || {
            let state = self.state();
            matches!(state, AgentState::Failed | AgentState::Starting) || self.takes_tasks()
        };
        self.occupy().filter(|_| still())
    }

    /// Says whether tasks may wait for it while it does not live.
    pub fn set_holds(&self, holds: bool) {
        self.holds.store(holds, Ordering::Release);
    }

    /// Whether tasks may wait for it while it does not live.
    pub fn holds(&self) -> bool {
        self.holds.load(Ordering::Acquire)
    }

    /// A supervisor starts it from here on, as the child of this path.
    pub fn set_supervised(&self, path: Arc<str>) {
        let _ = self.supervised.set(path);
    }

    /// The path of its child, where a supervisor starts it.
    pub fn supervised(&self) -> Option<&Arc<str>> {
        self.supervised.get()
    }

    /// What is kept of its calls.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Blocks until it has no task under way, or until `deadline`; does nothing on a thread that
    /// must not block.
    pub fn drain(&self, runtime: &dyn Runtime, deadline: Moment) {
        while self.in_flight.load(Ordering::Acquire) > 0
            && runtime.may_block()
            && runtime.now() < deadline
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The number of a skill, as its card lists them.
    pub fn skill_index(&self, skill: &str) -> Option<usize> {
        self.card.skills.iter().position(|own| own == skill)
    }

    /// What a call for this skill is expected to cost: what calls have cost, or else what its card says.
    pub fn cost_of(&self, skill: &str, now: Moment) -> Option<f64> {
        self.ledger.mean_cost(self.skill_index(skill), now).or(self.card.cost)
    }

    /// How the calls for each of its skills went.
    pub fn skill_stats(&self, now: Moment) -> Vec<SkillStats> {
        let skills = self.card.skills.iter().enumerate();
        let stats = |(index, skill): (usize, &String)| SkillStats {
            skill: skill.clone(),
            stats: self.ledger.stats_of(index, now),
        };
        skills.map(stats).collect()
    }

    /// As hosts see it.
    pub fn view(&self, now: Moment) -> AgentView {
        AgentView {
            card: self.card.clone(),
            state: self.state(),
            why: self.why(),
            liveness: None,
            supervised: self.supervised.get().cloned(),
            standby: Vec::new(),
            template: self.origin.get().map(|origin| origin.kept.template().name.clone()),
            in_flight: self.in_flight.load(Ordering::Acquire),
            restarts: self
                .with_agent(restarts)
                .unwrap_or_else(|| self.restarts.load(Ordering::Relaxed)),
            stats: self.ledger.stats(now),
        }
    }
}

/// How often an agent says that it had to be started again; one that panics says nothing.
fn restarts(agent: &dyn Agent) -> u64 {
    contain::catch(|| agent.restarts()).unwrap_or_default()
}

impl Candidate for Entry {
    fn card(&self) -> &AgentCard {
        &self.card
    }

    #[inline]
    fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn expected_cost(&self, task: &Task, now: Moment) -> Option<f64> {
        self.cost_of(task.skill(), now)
    }

    #[inline]
    fn available(&self) -> bool {
        self.takes_tasks() && self.card.concurrency.is_none_or(|most| self.in_flight() < most)
    }
}

/// A place for one task with an agent, given back when dropped.
pub struct Reservation {
    entry: Arc<Entry>,
    decided: Option<Decided>,
}

/// A router's decision for an agent: it is told what comes of it, and that nothing did where nobody says so.
pub struct Decided {
    router: Arc<dyn Router>,
    number: Option<u64>,
}

impl Reservation {
    /// The agent.
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// By whose decision it is.
    #[must_use]
    pub fn decided(mut self, by: Option<Decided>) -> Self {
        self.decided = by;
        self
    }

    /// The decision, for whoever tells what comes of it.
    pub fn take_decided(&mut self) -> Option<Decided> {
        self.decided.take()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.entry.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Decided {
    /// A decision of a router that wants to hear what comes of it.
    pub fn new(router: &Arc<dyn Router>, number: u64) -> Self {
        Self { router: Arc::clone(router), number: Some(number) }
    }

    /// The router's number for it.
    pub fn number(&self) -> Option<u64> {
        self.number
    }

    /// The call has ended.
    pub fn ended(mut self, now: Moment, end: CallEnd) {
        if let Some(number) = self.number.take() {
            self.router.settled(number, now, end);
        }
    }
}

impl Drop for Decided {
    fn drop(&mut self) {
        if let Some(number) = self.number.take() {
            self.router.settled(number, Moment::ZERO, CallEnd::Cancelled);
        }
    }
}
