//! Agents whose breakers are not closed: they are let in again by calls that probe them, which a router that
//! knows how they did would not send.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

#[cfg(feature = "agent")]
use crate::base::time::Moment;
use crate::recovery::Breaker;

/// The agents whose breakers are not closed, by name.
#[derive(Default)]
pub(super) struct Troubled {
    /// How many there are: where there is none, a call pays for one load.
    count: AtomicUsize,
    agents: Mutex<HashMap<Arc<str>, Weak<Breaker>>>,
}

impl Troubled {
    /// An agent's breaker has opened, or lets probes in.
    pub(super) fn fails(&self, agent: &Arc<str>, breaker: &Weak<Breaker>) {
        let mut agents = self.agents.lock();
        agents.insert(Arc::clone(agent), Weak::clone(breaker));
        self.count.store(agents.len(), Ordering::Release);
    }

    /// An agent's breaker has closed, or is there no more.
    pub(super) fn works(&self, agent: &str) {
        let mut agents = self.agents.lock();
        agents.remove(agent);
        self.count.store(agents.len(), Ordering::Release);
    }

    /// Whether there is none.
    #[cfg(feature = "agent")]
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Whether a call to this agent would probe it.
    #[cfg(feature = "agent")]
    pub(super) fn would_probe(&self, agent: &str, now: Moment) -> bool {
        if self.is_empty() {
            return false;
        }
        let breaker = self.agents.lock().get(agent).and_then(Weak::upgrade);
        breaker.is_some_and(|breaker| breaker.would_probe(now))
    }
}
