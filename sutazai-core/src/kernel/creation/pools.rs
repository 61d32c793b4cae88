//! The kernel's pools: their load is measured, and what the state machine says is done.
//!
//! One timer serves all pools, and none runs without them.

#[cfg(feature = "tune")]
mod figures;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Map, Value};

use super::super::Change;
use super::api::{Created, Waits};
use super::attempt::Creating;
use crate::agent::create::{Kept, Pool, PoolChange, PoolLoad, PoolPolicy, Want};
use crate::agent::{AgentState, Entry};
use crate::base::ticket;
use crate::kernel::handle::Kernel;
use crate::kernel::shared::{Phase, Shared};
use crate::observe::Level;
use crate::port::Candidate as _;
use crate::{Code, Error, Result};

/// How often pools are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long an agent of a pool may take to be made.
const WITHIN: Duration = Duration::from_secs(120);
/// Pools, at most.
const MOST: usize = 100;

/// A kernel's pools, by name.
#[derive(Default)]
pub(in crate::kernel) struct Pools {
    all: Mutex<BTreeMap<Arc<str>, Arc<Running>>>,
    /// How many; changed under the lock only.
    len: AtomicUsize,
    /// Whether a timer is set.
    ticks: AtomicBool,
}

/// One pool.
struct Running {
    name: Arc<str>,
    kept: Arc<Kept>,
    parameters: Map<String, Value>,
    state: Mutex<State>,
}

struct State {
    pool: Pool,
    /// Agents that are being made.
    starting: u32,
    /// Calls that found no agent free since it was looked last.
    refused: u32,
    /// Calls that were turned away for want of a free agent, ever. Each counts once, however often its guard tried it.
    turned_away: u64,
    /// What was done last, and why.
    last: Option<PoolChange>,
    /// What went wrong last.
    trouble: Option<Error>,
    /// It is being removed, and makes none any more.
    closed: bool,
}

/// A pool as hosts see it.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct PoolView {
    /// Its name.
    pub name: Arc<str>,
    /// The template of its agents.
    pub template: String,
    /// What its agents are made with.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// Its policy.
    pub policy: PoolPolicy,
    /// Its agents, by name.
    pub agents: Vec<Arc<str>>,
    /// Agents that are being made.
    pub starting: u32,
    /// How many it is to have.
    pub target: u32,
    /// Tasks that its agents have.
    pub in_flight: u32,
    /// Calls that wait for one of them.
    pub waiting: u32,
    /// Why it has as many as it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What went wrong last when an agent was made; `None` where nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub trouble: Option<Error>,
}

impl Kernel {
    /// Keeps between so many and so many agents of a template, as their load needs; see [`PoolPolicy`]. Its agents
    /// are made and probed as any that are created, and called as any that are registered. What changes is told by
    /// the event `agent.pool`.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] for a template that there is not; [`Code::INVALID`] for a policy or parameters that
    /// cannot be; [`Code::ALREADY_EXISTS`]; [`Code::OVERLOADED`] beyond a hundred; [`Code::NOT_RUNNING`] and
    /// [`Code::DRAINING`].
    pub fn add_pool(
        &self,
        name: &str,
        template: &str,
        parameters: Map<String, Value>,
        policy: PoolPolicy,
    ) -> Result<()> {
        let change = Change::deployment("agent.pool_add", name).with("template", template);
        let add = || self.shared.add_pool(name, template, parameters, policy);
        let added = self.shared.changes(change, add);
        added.map_err(|error| error.operation("agent.pool_add").with("pool", shown(name)))
    }

    /// Gives a pool another policy.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`]; [`Code::INVALID`] for a policy that cannot be.
    pub fn set_pool(&self, name: &str, policy: PoolPolicy) -> Result<()> {
        let set = || self.shared.creation.pools.set(name, policy);
        let set = self.shared.changes(Change::deployment("agent.pool_set", name), set);
        set.map_err(|error: Error| error.operation("agent.pool_set").with("pool", shown(name)))
    }

    /// Removes a pool and its agents, which have as long to finish as its policy says. May block.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`].
    pub fn remove_pool(&self, name: &str) -> Result<()> {
        let shared = &self.shared;
        let take = || shared.creation.pools.take(name);
        let pool = shared.changes(Change::deployment("agent.pool_remove", name), take);
        let pool = pool.map_err(|error| error.operation("agent.pool_remove"))?;
        let grace = {
            let mut state = pool.state.lock();
            state.closed = true;
            Duration::from_millis(state.pool.policy().grace_ms)
        };
        let deadline = shared.runtime.now() + grace;
        for entry in shared.members(&pool.name) {
            let left = deadline.since(shared.runtime.now());
            shared.remove_entry(&entry, left, "its pool is removed");
        }
        Ok(())
    }

    /// The pools, sorted by name.
    pub fn pools(&self) -> Vec<PoolView> {
        let shared = &self.shared;
        let all: Vec<_> = shared.creation.pools.all.lock().values().cloned().collect();
        all.iter().map(|pool| shared.pool_view(pool)).collect()
    }
}

impl Pools {
    fn get(&self, name: &str) -> Result<Arc<Running>> {
        self.all.lock().get(name).cloned().ok_or_else(none)
    }

    fn take(&self, name: &str) -> Result<Arc<Running>> {
        let mut all = self.all.lock();
        let taken = all.remove(name).ok_or_else(|| none().with("pool", shown(name)));
        self.len.store(all.len(), Ordering::SeqCst);
        taken
    }

    pub(in crate::kernel) fn set(&self, name: &str, policy: PoolPolicy) -> Result<()> {
        self.update(name, |_| Ok(policy))
    }

    /// Changes the policy in force: nobody else's change comes in between.
    pub(in crate::kernel) fn update(
        &self,
        name: &str,
        change: impl FnOnce(&PoolPolicy) -> Result<PoolPolicy>,
    ) -> Result<()> {
        let pool = self.get(name)?;
        let mut state = pool.state.lock();
        let policy = change(state.pool.policy())?;
        policy.check()?;
        state.pool.set_policy(policy, pool.kept.template().concurrency);
        Ok(())
    }

    /// The policies in force, sorted by name.
    #[cfg(feature = "tune")]
    pub(in crate::kernel) fn policies(&self) -> Vec<(Arc<str>, PoolPolicy)> {
        let all: Vec<_> = self.all.lock().values().cloned().collect();
        all.iter().map(|pool| (Arc::clone(&pool.name), *pool.state.lock().pool.policy())).collect()
    }

    /// Has a pool be so large, or as large as its own rule says. One that is gone needs nothing.
    #[cfg(feature = "tune")]
    pub(in crate::kernel) fn steer(&self, name: &str, to: Option<(u32, String)>) {
        if let Ok(pool) = self.get(name) {
            pool.state.lock().pool.steer(to);
        }
    }

    /// A call for this skill has found no agent free, or none at all; says whether a pool makes some.
    pub(in crate::kernel) fn refused(&self, skill: &str) -> bool {
        if self.len.load(Ordering::SeqCst) == 0 {
            return false;
        }
        let all: Vec<_> = self.all.lock().values().cloned().collect();
        let mut some = false;
        for pool in all {
            if pool.kept.template().skills.iter().any(|own| own == skill) {
                let mut state = pool.state.lock();
                state.refused = state.refused.saturating_add(1);
                some |= !state.closed && state.pool.policy().max > 0;
            }
        }
        some
    }

    /// A call for this skill has ended without an agent, because none was free.
    pub(in crate::kernel) fn turned_away(&self, skill: &str) {
        if self.len.load(Ordering::SeqCst) == 0 {
            return;
        }
        let all: Vec<_> = self.all.lock().values().cloned().collect();
        for pool in all {
            if pool.kept.template().skills.iter().any(|own| own == skill) {
                let mut state = pool.state.lock();
                state.turned_away = state.turned_away.saturating_add(1);
            }
        }
    }

    /// The kernel stops: no agent is made any more.
    pub(super) fn close(&self) {
        let all = std::mem::take(&mut *self.all.lock());
        self.len.store(0, Ordering::SeqCst);
        for pool in all.values() {
            pool.state.lock().closed = true;
        }
    }
}

fn none() -> Error {
    Error::new(Code::NOT_FOUND, "there is no pool of this name")
}

fn shown(name: &str) -> String {
    name.chars().take(128).collect()
}

impl Shared {
    pub(super) fn add_pool(
        self: &Arc<Self>,
        name: &str,
        template: &str,
        parameters: Map<String, Value>,
        policy: PoolPolicy,
    ) -> Result<()> {
        policy.check()?;
        self.makes_agents()?;
        let kept = self.creation.templates.get(template)?;
        kept.values(&parameters)?;
        if !crate::agent::is_name(name) {
            return Err(Error::new(Code::INVALID, "not a name for a pool")
                .advice("use 1 to 128 letters, digits, '_', '-', '/', ':' and '.'"));
        }
        let pools = &self.creation.pools;
        let name: Arc<str> = Arc::from(name);
        let pool = Arc::new(Running {
            name: Arc::clone(&name),
            parameters,
            state: Mutex::new(State {
                pool: Pool::new(policy, kept.template().concurrency),
                starting: 0,
                refused: 0,
                turned_away: 0,
                last: None,
                trouble: None,
                closed: false,
            }),
            kept,
        });
        {
            let mut all = pools.all.lock();
            if all.contains_key(&name) {
                return Err(Error::new(Code::ALREADY_EXISTS, "there is a pool of this name"));
            }
            if all.len() >= MOST {
                return Err(Error::new(
                    Code::OVERLOADED,
                    "there are as many pools as there may be",
                ));
            }
            all.insert(name, Arc::clone(&pool));
            pools.len.store(all.len(), Ordering::SeqCst);
        }
        self.look_at_pool(&pool);
        self.tick();
        Ok(())
    }

    /// Has the pools looked at soon, and then again and again.
    fn tick(self: &Arc<Self>) {
        if self.creation.pools.ticks.swap(true, Ordering::SeqCst) {
            return;
        }
        let weak = Arc::downgrade(self);
        let job = Box::new(move || {
            let Some(shared) = weak.upgrade() else { return };
            let pools = &shared.creation.pools;
            pools.ticks.store(false, Ordering::SeqCst);
            if shared.phase() != Phase::Running {
                return;
            }
            let all: Vec<_> = pools.all.lock().values().cloned().collect();
            if all.is_empty() {
                return;
            }
            all.iter().for_each(|pool| shared.look_at_pool(pool));
            shared.tick();
        });
        self.runtime.spawn_at(self.runtime.now() + LOOK, job);
    }

    /// The agents of a pool that are registered.
    fn members(&self, pool: &str) -> Vec<Arc<Entry>> {
        let mut all = self.agents.all();
        all.retain(|entry| {
            let of = entry.origin().and_then(|origin| origin.pool.as_deref());
            of == Some(pool)
        });
        all
    }

    /// Calls that wait for an agent with one of the pool's skills.
    fn waiting(&self, kept: &Kept) -> usize {
        #[cfg(feature = "recovery")]
        return kept.template().skills.iter().map(|skill| self.queues.waiting(skill)).sum();
        #[cfg(not(feature = "recovery"))]
        {
            let _ = kept;
            0
        }
    }

    fn look_at_pool(self: &Arc<Self>, pool: &Arc<Running>) {
        let now = self.runtime.now();
        let members = self.members(&pool.name);
        let (dead, rest): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|entry| is_dead(entry.state()));
        // Those that cannot be reached do nothing, and may come back.
        let (mut away, alive): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|entry| entry.state() == AgentState::Unreachable);
        let ready = count(alive.len());
        let in_flight = alive.iter().map(|entry| entry.in_flight()).fold(0, u32::saturating_add);
        let waiting = count(self.waiting(&pool.kept));
        let change = {
            let mut state = pool.state.lock();
            if state.closed {
                return;
            }
            dead.iter().for_each(|_| state.pool.failed(now));
            let refused = std::mem::take(&mut state.refused);
            let waiting = waiting.saturating_add(refused);
            let load = PoolLoad { ready, starting: state.starting, in_flight, waiting };
            let change = state.pool.look(now, load);
            if let Some(change) = &change {
                state.starting += change.to.saturating_sub(change.from);
                state.last = Some(change.clone());
            }
            // They make room for others in their places.
            let room = state.pool.policy().max.saturating_sub(ready + state.starting);
            away.truncate(away.len().saturating_sub(room as usize));
            away.iter().for_each(|_| state.pool.failed(now));
            change
        };
        for entry in dead {
            self.retire_member(pool, &entry, "it is dead");
        }
        for entry in away {
            self.retire_member(pool, &entry, "it cannot be reached, and another one is made");
        }
        let Some(change) = change else { return };
        self.publish(
            "agent.pool",
            serde_json::json!({
                "pool": &*pool.name, "from": change.from, "to": change.to, "why": change.why,
            }),
        );
        for _ in change.from..change.to {
            self.make_member(pool);
        }
        let mut idle_first = alive;
        // The newest of those that have least to do.
        idle_first.reverse();
        idle_first.sort_by_key(|entry| entry.in_flight());
        for entry in idle_first.iter().take(change.from.saturating_sub(change.to) as usize) {
            self.retire_member(pool, entry, &change.why);
        }
    }

    fn make_member(self: &Arc<Self>, pool: &Arc<Running>) {
        let skill = pool.kept.template().skills.first().cloned().unwrap_or_default();
        let mut want = Want::new(skill);
        want.parameters = pool.parameters.clone();
        let (ticket, reply) = ticket::pair_with::<Created>(Box::new(Waits(Arc::clone(self))));
        let name = Some(Arc::clone(&pool.name));
        Creating::new(self, want, WITHIN, name, reply).begin_with(Arc::clone(&pool.kept));
        let (shared, pool) = (Arc::clone(self), Arc::clone(pool));
        ticket.on_done(move |created| {
            let now = shared.runtime.now();
            let unwanted = {
                let mut state = pool.state.lock();
                state.starting = state.starting.saturating_sub(1);
                match &created {
                    Ok(_) => state.trouble = None,
                    Err(error) => {
                        state.pool.failed(now);
                        state.trouble = Some(error.clone());
                    }
                }
                state.closed
            };
            match created {
                Ok(created) if unwanted => {
                    if let Some(entry) = shared.agents.get(&created.agent) {
                        shared.retire_member(&pool, &entry, "its pool is removed");
                    }
                }
                Ok(_) => {}
                Err(error) => shared.complain_of(&pool, &error),
            }
        });
    }

    fn complain_of(&self, pool: &Running, error: &Error) {
        let fields = [("pool", pool.name.to_string()), ("error", format!("{error:#}"))];
        let log = self.kept.log();
        log.record(Level::Warn, "sutazai.agent", "an agent of a pool could not be made", fields);
    }

    /// Removes an agent of a pool, which finishes what it has.
    fn retire_member(self: &Arc<Self>, pool: &Running, entry: &Arc<Entry>, why: &str) {
        // At once, so that it is not among the pool's any more, and gets no calls.
        let taken = self.take_out(entry);
        let grace = Duration::from_millis(pool.state.lock().pool.policy().grace_ms);
        let (shared, why, entry) = (Arc::clone(self), why.to_owned(), Arc::clone(entry));
        self.aside(Box::new(move || shared.end_taken(taken, &entry, grace, why)));
    }

    fn pool_view(&self, pool: &Running) -> PoolView {
        let members = self.members(&pool.name);
        let in_flight = members.iter().map(|entry| entry.in_flight()).fold(0, u32::saturating_add);
        let queued = count(self.waiting(&pool.kept));
        let state = pool.state.lock();
        PoolView {
            name: Arc::clone(&pool.name),
            template: pool.kept.template().name.clone(),
            parameters: pool.parameters.clone(),
            policy: *state.pool.policy(),
            agents: members.iter().map(|entry| Arc::clone(entry.name())).collect(),
            starting: state.starting,
            target: state.pool.target(),
            in_flight,
            waiting: queued.saturating_add(state.refused),
            why: state.last.as_ref().map(|change| change.why.clone()),
            trouble: state.trouble.clone(),
        }
    }
}

fn is_dead(state: AgentState) -> bool {
    matches!(state, AgentState::Failed | AgentState::Stopped)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
