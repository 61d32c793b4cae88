//! Calls that wait in the queues of agents' bulkheads, for agents that have a place before theirs do.
//!
//! A try waits with one agent, the one whose queue was shortest. Where that one is slow, or hangs, and
//! another one with the skill has a place, the most urgent of those that wait goes there.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Pursuit;
use crate::agent::Entry;
use crate::base::id::CallId;
use crate::kernel::call::Refusal;
use crate::kernel::caught;
use crate::kernel::shared::Shared;
use crate::port::{Candidate as _, Candidates as _};
use crate::{Code, Error};

/// Who waits, by skill; those that ask for one agent by name are not here.
#[derive(Default)]
pub(in crate::kernel) struct Queues {
    /// How many; changed under the lock only.
    len: AtomicUsize,
    skills: Mutex<HashMap<Arc<str>, BTreeMap<Order, Waiter>>>,
}

/// The most urgent first; among equals, whoever came first: the numbers of tries grow.
type Order = (Reverse<u8>, CallId);

struct Waiter {
    pursuit: Weak<Pursuit>,
    /// The agent that it waits for.
    agent: Arc<str>,
}

/// A place in the list, left when dropped.
pub(super) struct Listed {
    queues: Arc<Queues>,
    skill: Arc<str>,
    order: Order,
}

impl Queues {
    /// The most urgent of those that wait for another agent than this, which has their skill.
    fn first_for(&self, entry: &Entry) -> Option<(CallId, Arc<Pursuit>)> {
        let skills = self.skills.lock();
        let of_skill = |skill: &String| {
            let waiting = skills.get(skill.as_str())?;
            waiting.iter().find(|(_, waiter)| waiter.agent != *entry.name())
        };
        let first = entry.card().skills.iter().filter_map(of_skill).min_by_key(|(order, _)| *order);
        first.and_then(|((_, id), waiter)| Some((*id, waiter.pursuit.upgrade()?)))
    }
}

impl Queues {
    /// How many calls for a skill wait.
    pub(in crate::kernel) fn waiting(&self, skill: &str) -> usize {
        if self.len.load(Ordering::SeqCst) == 0 {
            return 0;
        }
        self.skills.lock().get(skill).map_or(0, BTreeMap::len)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut skills = self.queues.skills.lock();
        let gone = skills.get_mut(&self.skill).and_then(|waiting| waiting.remove(&self.order));
        if gone.is_some() {
            self.queues.len.fetch_sub(1, Ordering::SeqCst);
        }
        if skills.get(&self.skill).is_some_and(BTreeMap::is_empty) {
            skills.remove(&self.skill);
        }
    }
}

impl Shared {
    /// An agent may have a place: somebody who waits for another one gets it.
    #[inline]
    pub(in crate::kernel) fn offer(self: &Arc<Self>, entry: &Arc<Entry>) {
        if self.queues.len.load(Ordering::SeqCst) != 0 {
            self.offer_to_the_first(entry);
        }
    }

    #[cold]
    fn offer_to_the_first(self: &Arc<Self>, entry: &Arc<Entry>) {
        if !self.has_room(entry) {
            return;
        }
        let Some((id, pursuit)) = self.queues.first_for(entry) else { return };
        let entry = Arc::clone(entry);
        // Whoever has given the place back has something else to do. Without room for it they wait on.
        let _ = self.runtime.spawn_blocking(Box::new(move || pursuit.moves(id, &entry)));
    }
}

impl Shared {
    /// Whether an agent looks as if it let a try in at once.
    fn has_room(&self, entry: &Entry) -> bool {
        let bulkhead = || self.guards.known(entry.name())?.bulkhead();
        entry.available()
            && bulkhead().is_none_or(|bulkhead| {
                let status = bulkhead.status();
                status.waiting == 0 && status.running < status.concurrency
            })
    }
}

impl Pursuit {
    /// Whoever got a place between the look for one and the begin of the wait gives it away now.
    pub(super) fn look_again(&self, not: &Arc<Entry>) {
        let Some(agents) = self.shared.agents.with_skill(self.task.skill()) else { return };
        let others = (0..agents.len()).filter_map(|index| agents.entry(index));
        let mut others = others.filter(|entry| !Arc::ptr_eq(entry, not));
        if let Some(free) = others.find(|entry| self.shared.has_room(entry)) {
            self.shared.offer(free);
        }
    }

    /// Waits where other agents see it, unless it is for one agent alone.
    pub(super) fn list(self: &Arc<Self>, id: CallId, entry: &Arc<Entry>) -> Option<Listed> {
        if self.task.wanted_agent().is_some() {
            return None;
        }
        let queues = Arc::clone(&self.shared.queues);
        let skill = Arc::clone(self.task.shared_skill());
        let order = (Reverse(self.task.given_priority()), id);
        let waiter = Waiter { pursuit: Arc::downgrade(self), agent: Arc::clone(entry.name()) };
        {
            let mut skills = queues.skills.lock();
            skills.entry(Arc::clone(&skill)).or_default().insert(order, waiter);
            queues.len.fetch_add(1, Ordering::SeqCst);
        }
        Some(Listed { queues, skill, order })
    }

    /// Leaves its queue for this agent, if that lets it in at once.
    fn moves(self: Arc<Self>, id: CallId, entry: &Arc<Entry>) {
        let shared = Arc::clone(&self.shared);
        let now = shared.runtime.now();
        let place = || Ok(self.task.in_its_stead(|| shared.has_place(&self.task, entry, now)));
        let Ok(Some((reservation, steps))) = caught(place) else { return };
        let waits = self.state.lock().of(id).and_then(|running| running.waits.take());
        let Some(waits) = waits else {
            // It has got in where it waited, or has ended; the place is another one's.
            drop((reservation, steps));
            shared.offer(entry);
            return;
        };
        waits.leave();
        let place = || Ok(shared.let_in(self.this(id, now), reservation, steps));
        let placed = caught(place).unwrap_or_else(|error| Err(Refusal::early(error)));
        Arc::clone(&self).follow_up(id, now, placed);
        self.watch();
        // It may have more than one.
        shared.offer(entry);
    }

    /// Why the call has no answer, now that its time is up; `None` when an agent has it.
    pub(in crate::kernel) fn late(&self) -> Option<Error> {
        let state = self.state.lock();
        let late = |message| Error::new(Code::DEADLINE_EXCEEDED, message);
        let Some(first) = &state.first else {
            let late = late("the call's time was up before it could be tried again");
            return state.failed_with.clone().map(|failed| late.because(failed));
        };
        let waits = first.waits.as_ref()?;
        let late = late("the call's time was up while it waited for a place with an agent");
        Some(late.with("skill", self.task.skill()).with("waited_for", &waits.agent))
    }
}
