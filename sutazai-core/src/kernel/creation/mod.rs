//! Agents that are made when they are wanted: the room's templates meet the machine, the registry and the clock.
//!
//! `api` is what a host sees; `surroundings` looks at the machine; `attempt` makes an agent, one template after
//! the other; `pools` drives the pools.

mod api;
mod attempt;
mod pools;
mod surroundings;

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

pub use api::{CreateOptions, Created, FailedTemplate};
pub use pools::PoolView;

use serde_json::{Map, Value};

use super::shared::Shared;
use crate::Result;
use crate::agent::Entry;
use crate::agent::create::{Kept, PoolPolicy, Template, Templates};
use crate::observe::Level;

/// What a kernel is to make agents with.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) templates: Vec<Template>,
    pub(super) pools: Vec<PlannedPool>,
}

/// A pool that begins with the kernel: its name, its template, what its agents are made with, its policy.
pub(super) type PlannedPool = (String, String, Map<String, Value>, PoolPolicy);

/// What a kernel makes agents with.
#[derive(Default)]
pub(super) struct Creation {
    pub(super) templates: Arc<Templates>,
    pub(super) pools: pools::Pools,
    /// Agents that are being made: in no table of the registry yet.
    making: Mutex<Vec<Weak<Entry>>>,
    /// Pools that begin with the kernel.
    planned: Mutex<Vec<PlannedPool>>,
}

impl Creation {
    /// # Errors
    /// What is wrong with its templates.
    pub(super) fn new(plan: Plan) -> Result<Self> {
        let creation = Self { planned: Mutex::new(plan.pools), ..Self::default() };
        plan.templates.into_iter().try_for_each(|it| creation.templates.add(it, false))?;
        Ok(creation)
    }

    /// The agents that are being made.
    pub(super) fn making(&self) -> Vec<Arc<Entry>> {
        self.making.lock().iter().filter_map(Weak::upgrade).collect()
    }

    fn make_known(&self, entry: &Arc<Entry>) {
        let mut making = self.making.lock();
        making.retain(|other| other.strong_count() > 0);
        making.push(Arc::downgrade(entry));
    }

    fn made(&self, entry: &Arc<Entry>) {
        self.making.lock().retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(entry)));
    }

    /// The kernel stops: nothing more is made.
    pub(super) fn close(&self) {
        self.pools.close();
        self.templates.close();
    }
}

impl Shared {
    /// Begins the pools that begin with the kernel.
    pub(super) fn start_pools(self: &Arc<Self>) {
        let planned = std::mem::take(&mut *self.creation.planned.lock());
        for (name, template, parameters, policy) in planned {
            if let Err(error) = self.add_pool(&name, &template, parameters, policy) {
                let fields = [("pool", name), ("error", format!("{error:#}"))];
                let log = self.kept.log();
                log.record(Level::Error, "sutazai.agent", "a pool could not begin", fields);
            }
        }
    }

    /// How many agents there are of a template.
    pub(super) fn living(&self, kept: &Arc<Kept>) -> u32 {
        let all = self.agents.everything();
        let of_it = |entry: &&Arc<Entry>| {
            entry.origin().is_some_and(|origin| Arc::ptr_eq(&origin.kept, kept))
        };
        u32::try_from(all.iter().filter(of_it).count()).unwrap_or(u32::MAX)
    }
}
