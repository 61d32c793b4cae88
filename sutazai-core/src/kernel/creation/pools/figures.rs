//! What a pool has to do, for who decides how large it is to be.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{count, is_dead};
use crate::agent::AgentState;
use crate::kernel::shared::Shared;
use crate::kernel::tuning::PoolFigures;
use crate::port::Candidate as _;

impl Shared {
    /// What a pool has to do; `None` where there is none.
    pub(in crate::kernel) fn pool_figures(&self, name: &str) -> Option<PoolFigures> {
        let pool = self.creation.pools.get(name).ok()?;
        let (mut ready, mut in_flight, mut calls, mut took) = (0, 0_u32, 0.0, 0.0);
        let mut done = BTreeMap::new();
        for entry in self.members(&pool.name) {
            if !is_dead(entry.state()) && entry.state() != AgentState::Unreachable {
                ready += 1;
            }
            in_flight = in_flight.saturating_add(entry.in_flight());
            let stats = entry.ledger().stats(self.runtime.now());
            done.insert(Arc::clone(entry.name()), stats.calls);
            if let Some(recent) = stats.recent {
                calls += recent.calls;
                took += recent.calls * recent.mean_ns;
            }
        }
        let waiting = count(self.waiting(&pool.kept));
        let state = pool.state.lock();
        Some(PoolFigures {
            ready,
            starting: state.starting,
            in_flight,
            waiting,
            turned_away: state.turned_away,
            places: state.pool.places(),
            done,
            took_ms: if calls > 0.0 { took / calls / 1e6 } else { 0.0 },
            target: state.pool.target(),
            bounds: state.pool.bounds(),
        })
    }
}
