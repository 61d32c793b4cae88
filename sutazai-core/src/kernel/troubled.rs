//! Agents whose breakers are not closed: they are let in again by calls that probe them, which a router that
//! knows how they did would not send.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::base::payload::Payload;
#[cfg(feature = "agent")]
use crate::base::time::Moment;
use crate::event::Bus;
use crate::recovery::{Breaker, BreakerState, Change, Guard};

/// The agents whose breakers are not closed, by name.
#[derive(Default)]
pub(super) struct Troubled {
    /// How many there are: where there is none, a call pays for one load.
    count: AtomicUsize,
    agents: Mutex<HashMap<Arc<str>, Weak<Breaker>>>,
}

impl Troubled {
    /// Makes events of the changes of an agent's breaker, or of one that several share, and knows who is in
    /// trouble.
    pub(super) fn hear(self: &Arc<Self>, bus: &Bus, agent: Option<&Arc<str>>, guard: &Guard) {
        let (bus, agent) = (bus.clone(), agent.cloned());
        let (troubled, own) = (Arc::clone(self), guard.weak_breaker());
        guard.on_breaker_change(Arc::new(move |breaker: &str, change: &Change| {
            match (&agent, change.to) {
                (Some(agent), BreakerState::Closed) => troubled.works(agent),
                (Some(agent), _) => troubled.fails(agent, &own),
                (None, _) => {}
            }
            let mut event = serde_json::json!({
                "breaker": breaker,
                "from": change.from,
                "to": change.to,
                "why": change.why,
            });
            if let (Some(agent), Some(event)) = (&agent, event.as_object_mut()) {
                event.insert("agent".to_owned(), (&**agent).into());
            }
            // The subject is well-formed.
            let payload = Payload::json(&event).unwrap_or_default();
            let _ = bus.publish("recovery.breaker.changed", payload);
        }));
    }

    /// An agent's breaker has opened, or lets probes in.
    fn fails(&self, agent: &Arc<str>, breaker: &Weak<Breaker>) {
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

    /// Whether this agent's breaker is not closed.
    #[cfg(feature = "agent")]
    pub(super) fn is_in_trouble(&self, agent: &str) -> bool {
        !self.is_empty() && self.agents.lock().contains_key(agent)
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
