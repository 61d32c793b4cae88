//! Where the kernel's agents are found: its sources, when they are looked at, and who asks.
//!
//! `look.rs` is a look at one source, and what follows from it; `slot.rs` what is known of it, and whose turn it is to look.

mod look;
mod slot;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::Change;
use super::handle::Kernel;
use super::shared::{Phase, Shared};
use crate::agent::discover::{
    DiscoveryPolicy, Look, ReadToml, SourceSpec, SourceView, side_by_side,
};
use crate::base::id::mix;
use crate::base::time::Moment;
use crate::observe::{Family, Gauge, Registry};
use crate::port::{DiscoverySource, Notify};
use crate::{Code, Error, Result};
pub(super) use slot::Slot;
use slot::inside;

/// How often a source is looked at of which nobody says.
const EVERY: Duration = Duration::from_secs(30);
/// Sources, at most.
const MOST: usize = 1_000;
/// Sources that are looked at side by side because somebody asks, at most.
const SIDE_BY_SIDE: usize = 4;
/// When a look is tried again that the runtime had no room for.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two looks, at least.
const LEAST: Duration = Duration::from_millis(10);

/// A kernel's sources.
pub(crate) struct Discovery {
    slots: Mutex<BTreeMap<Arc<str>, Arc<Slot>>>,
    seed: u64,
    /// By source and state.
    found: Family<Gauge, 2>,
}

/// A source that a builder was given, and how it is looked at.
pub(super) enum Planned {
    Source(Arc<dyn DiscoverySource>, DiscoveryPolicy),
    Spec(String, Box<SourceSpec>, DiscoveryPolicy),
}

impl Discovery {
    pub(super) fn new(seed: u64, metrics: &Registry) -> Result<Self> {
        let found = metrics.gauge_family(
            "sutazai_discovered_items",
            "What sources have, by source and by what became of it.",
            ["source", "state"],
        )?;
        Ok(Self { slots: Mutex::default(), seed: mix(seed), found })
    }
}

impl Kernel {
    /// Adds a source of agents: it is looked at as soon as the kernel runs, from then on at its intervals, and
    /// whenever somebody [asks](Self::discover). See [`discover`](crate::agent::discover) for what follows.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a name or a policy that is not in order; [`Code::ALREADY_EXISTS`] for a name that
    /// another source has; [`Code::OVERLOADED`] beyond 1,000 sources; [`Code::DRAINING`] when the kernel stops.
    pub fn add_source(&self, source: impl DiscoverySource, policy: DiscoveryPolicy) -> Result<()> {
        self.add_shared_source(Arc::new(source), policy)
    }

    /// As [`add_source`](Self::add_source), for one that is shared.
    ///
    /// # Errors
    /// As [`add_source`](Self::add_source).
    pub fn add_shared_source(
        &self,
        source: Arc<dyn DiscoverySource>,
        policy: DiscoveryPolicy,
    ) -> Result<()> {
        let name = source.name().to_owned();
        let change = Change::configuration("agent.source_add", &name);
        self.shared.changes(change, || self.shared.plan(Planned::Source(source, policy)))
    }

    /// As [`add_source`](Self::add_source), for one of those that are built in.
    ///
    /// # Errors
    /// As [`add_source`](Self::add_source), and [`Code::INVALID`] for a spec that is not in order.
    pub fn add_source_of(
        &self,
        name: impl Into<String>,
        spec: SourceSpec,
        policy: DiscoveryPolicy,
    ) -> Result<()> {
        let name = name.into();
        let change = Change::configuration("agent.source_add", &name);
        let plan = || self.shared.plan(Planned::Spec(name.clone(), Box::new(spec), policy));
        self.shared.changes(change, plan)
    }

    /// Takes a source out, and removes the agents that were found there, unless `keep_agents`: then they are
    /// the host's. Blocks while the source is being looked at, and for the grace of the agents.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] when there is none of this name; [`Code::WOULD_DEADLOCK`] within a look.
    pub fn remove_source(&self, name: &str, keep_agents: bool) -> Result<()> {
        let operation = |error: Error| error.operation("agent.source_remove");
        inside::refuse().map_err(operation)?;
        let change = Change::configuration("agent.source_remove", name);
        let slot = self.shared.changes(change, || self.shared.slot(name)).map_err(operation)?;
        self.shared.close(&slot);
        self.shared.discovery.slots.lock().retain(|_, other| !Arc::ptr_eq(other, &slot));
        let waits = self.shared.runtime.may_block();
        let found = self.shared.blocking(|| slot.end(waits))?;
        if !keep_agents {
            let why = format!("its source {name} was taken out");
            self.shared.let_all_go(&slot, found, &why);
        }
        self.shared.measure(&slot);
        Ok(())
    }

    /// The sources and what they have, sorted by name.
    pub fn sources(&self) -> Vec<SourceView> {
        self.shared.slots().iter().map(|slot| slot.view()).collect()
    }

    /// Whether this thread may wait for a look.
    ///
    /// # Errors
    /// [`Code::WOULD_DEADLOCK`] within one: on a thread that runs code of a source, or makes an agent for one.
    pub fn may_discover_here(&self) -> Result<()> {
        inside::refuse().map_err(|error| error.operation("agent.discover"))
    }

    /// Looks at a source now, or at all of them, and does what follows. What could not be made is tried again.
    /// Blocks until the agents that were found are registered or have failed; what is being written is waited
    /// for. On a thread that may not block it looks once.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] when there is no source of this name; [`Code::NOT_RUNNING`] while the kernel does
    /// not run; [`Code::WOULD_DEADLOCK`] within a look.
    pub fn discover(&self, source: Option<&str>) -> Result<Vec<Look>> {
        let operation = |error: Error| error.operation("agent.discover");
        inside::refuse().map_err(operation)?;
        let shared = &self.shared;
        let slots = match source {
            Some(name) => vec![shared.slot(name).map_err(operation)?],
            None => shared.slots(),
        };
        if shared.phase() != Phase::Running {
            return Err(operation(Error::new(Code::NOT_RUNNING, "the kernel does not run")));
        }
        let most = if shared.runtime.may_block() { SIDE_BY_SIDE } else { 1 };
        let look = |slot: Arc<Slot>| shared.look(&slot, true);
        let looks = shared.blocking(|| side_by_side(slots, most, look))?;
        let mut looks: Vec<Look> = looks.into_iter().flatten().collect();
        looks.sort_unstable_by(|one, other| one.source.cmp(&other.source));
        Ok(looks)
    }
}

impl Shared {
    /// Adds a source.
    pub(super) fn plan(self: &Arc<Self>, planned: Planned) -> Result<()> {
        let operation = |error: Error| error.operation("agent.source_add");
        let (source, policy, every) = match planned {
            Planned::Source(source, policy) => (source, policy, EVERY),
            Planned::Spec(name, spec, policy) => {
                policy.validate()?;
                let every = spec.every();
                (spec.build(&name, &policy, TOML).map_err(operation)?, policy, every)
            }
        };
        policy.validate()?;
        let name: Arc<str> = super::caught(|| Ok(Arc::from(source.name()))).map_err(operation)?;
        let well_named = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | ':' | '.');
        if name.is_empty() || name.len() > 128 || !name.chars().all(well_named) {
            return Err(operation(Error::new(Code::INVALID, "not a name of a source"))
                .with("field", "name")
                .with("source", name)
                .advice("use 1 to 128 letters, digits, '_', '-', '/', ':' and '.'"));
        }
        self.takes_agents()?;
        let interval = policy.interval().unwrap_or(every);
        let slot = Arc::new(Slot::new(Arc::clone(&name), source, policy, interval));
        {
            let mut slots = self.discovery.slots.lock();
            if slots.contains_key(&name) {
                drop(slots);
                return Err(operation(Error::new(
                    Code::ALREADY_EXISTS,
                    "there is a source of this name already",
                ))
                .with("source", name));
            }
            if slots.len() >= MOST {
                drop(slots);
                return Err(operation(Error::new(Code::OVERLOADED, "there are too many sources"))
                    .with("most", MOST));
            }
            slots.insert(name, Arc::clone(&slot));
        }
        if self.phase() == Phase::Running {
            self.look_at_source(&slot, self.runtime.now());
        }
        Ok(())
    }

    /// The kernel runs: its sources are looked at.
    pub(super) fn start_discovery(self: &Arc<Self>) {
        let now = self.runtime.now();
        self.slots().iter().for_each(|slot| self.look_at_source(slot, now));
    }

    /// No source is looked at any more, and all are let go of.
    pub(super) fn stop_discovery(&self) {
        self.slots().iter().for_each(|slot| self.close(slot));
    }

    /// A source is not looked at any more, and let go of.
    fn close(&self, slot: &Slot) {
        let held = slot.close();
        if let Some(timer) = held.timer {
            self.runtime.cancel(timer);
        }
    }

    /// Has a source looked at at a moment, if it would not be before.
    fn look_at_source(self: &Arc<Self>, slot: &Arc<Slot>, at: Moment) {
        if !slot.is_later(at) {
            return;
        }
        let (weak, its) = (Arc::downgrade(self), Arc::downgrade(slot));
        let job = Box::new(move || {
            if let (Some(shared), Some(slot)) = (weak.upgrade(), its.upgrade())
                && slot.fires(at)
            {
                shared.look_aside(&slot);
            }
        });
        let timer = self.runtime.spawn_at(at, job);
        if let Some(stale) = slot.armed(at, timer) {
            self.runtime.cancel(stale);
        }
    }

    /// Looks at a source on the pool.
    fn look_aside(self: &Arc<Self>, slot: &Arc<Slot>) {
        let (weak, its) = (Arc::downgrade(self), Arc::clone(slot));
        let job = Box::new(move || {
            if let Some(shared) = weak.upgrade() {
                let _ = shared.blocking(|| shared.look(&its, false));
            }
        });
        if self.runtime.spawn_blocking(job).is_err() && self.phase() == Phase::Running {
            self.look_at_source(slot, self.runtime.now() + AGAIN);
        }
    }

    /// When a source is looked at next: after its interval, a little longer or shorter, or sooner where
    /// something is awaited.
    fn next_look(&self, slot: &Slot, now: Moment, awaited: Option<Moment>, looks: u64) -> Moment {
        let chance = mix(self.discovery.seed ^ slot.number() ^ looks.wrapping_mul(0x9e37_79b9));
        // From −1 up to, but not including, 1.
        let drawn = (chance >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
        let interval = slot.interval().mul_f64((1.0 + slot.policy().jitter * drawn).max(0.0));
        let regular = now + interval.max(LEAST);
        awaited.map_or(regular, |at| at.max(now + LEAST).min(regular))
    }

    /// What a source calls when there may be something new.
    fn notify(self: &Arc<Self>, slot: &Arc<Slot>) -> Notify {
        let (weak, its) = (Arc::downgrade(self), Arc::downgrade(slot));
        Arc::new(move || {
            if let (Some(shared), Some(slot)) = (weak.upgrade(), Weak::upgrade(&its))
                && shared.phase() == Phase::Running
            {
                shared.look_at_source(&slot, shared.runtime.now() + slot.settle().max(LEAST));
            }
        })
    }

    fn slots(&self) -> Vec<Arc<Slot>> {
        self.discovery.slots.lock().values().cloned().collect()
    }

    fn slot(&self, name: &str) -> Result<Arc<Slot>> {
        let slots = self.discovery.slots.lock();
        if let Some(slot) = slots.get(name) {
            return Ok(Arc::clone(slot));
        }
        let near = super::nearest(name, slots.keys().map(|name| &**name));
        let error = Error::new(Code::NOT_FOUND, "there is no source of this name");
        let error = error.with("source", name);
        Err(match near {
            Some(near) => error.advice(format!("did you mean '{near}'?")),
            None => error,
        })
    }

    /// Does what may block; in place where the runtime may not be waited for.
    fn blocking<R>(&self, f: impl FnOnce() -> R) -> Result<R> {
        if self.runtime.may_block() { crate::base::runtime::block(f) } else { Ok(f()) }
    }
}

#[cfg(feature = "config")]
const TOML: Option<ReadToml> = Some(crate::config::document);
#[cfg(not(feature = "config"))]
const TOML: Option<ReadToml> = None;
