//! The state machine of a mailbox: which message is where. No clock, no lock, calls nothing. What is to
//! be dropped is given out, so that it can be dropped where no lock is held.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{
    Accepted, Ending, Kill, MailboxPolicy, MailboxStatus, MessageId, Overflow, Poison, Wake,
};
use crate::base::time::Timestamp;
use crate::port::{ChildLife, Generation};

pub(super) struct Letters<T> {
    policy: MailboxPolicy,
    /// By their places: the order in which they are handed out.
    waiting: BTreeMap<Place, Letter<T>>,
    in_hand: HashMap<Place, Letter<T>>,
    /// By the order in which they were set aside, and where each is in that.
    set_aside: BTreeMap<u64, Letter<T>>,
    aside_at: HashMap<MessageId, u64>,
    last_aside: u64,
    last: Place,
    consumer: Option<Consumer>,
    counts: MailboxStatus,
}

/// Where a message stands in its queue: its number, until it is retried.
pub(super) type Place = u64;

struct Letter<T> {
    id: MessageId,
    body: Arc<T>,
    kills: Vec<Kill>,
}

pub(super) struct Consumer {
    path: Arc<str>,
    generation: Generation,
    wake: Wake,
}

/// A message that was handed out.
pub(super) struct Taken<T> {
    pub(super) place: Place,
    pub(super) id: MessageId,
    pub(super) kills: u32,
    pub(super) body: Arc<T>,
}

/// What a life left behind.
pub(super) struct Detached<T> {
    pub(super) returned: usize,
    pub(super) set_aside: Vec<(Poison, Arc<T>)>,
    pub(super) forgotten: Vec<(Poison, Arc<T>)>,
    _consumer: Option<Consumer>,
}

impl<T> Letters<T> {
    pub(super) fn new(policy: MailboxPolicy) -> Self {
        Self {
            policy,
            waiting: BTreeMap::new(),
            in_hand: HashMap::new(),
            set_aside: BTreeMap::new(),
            aside_at: HashMap::new(),
            last_aside: 0,
            last: 0,
            consumer: None,
            counts: MailboxStatus::default(),
        }
    }

    pub(super) fn push(&mut self, body: T) -> Result<Accepted<T>, T> {
        let mut displaced = None;
        if self.is_full() {
            if self.policy.overflow == Overflow::DropOldest {
                displaced = self.waiting.pop_first();
            }
            if displaced.is_none() {
                self.counts.refused += 1;
                return Err(body);
            }
            self.counts.dropped += 1;
        }
        self.last += 1;
        let id = self.last;
        self.counts.accepted += 1;
        self.waiting.insert(id, Letter { id, body: Arc::new(body), kills: Vec::new() });
        Ok(Accepted { id, displaced: displaced.map(|(_, letter)| letter.body) })
    }

    pub(super) fn set_policy(&mut self, policy: MailboxPolicy) {
        self.policy = policy;
    }

    /// Gives out what is to be dropped: the consumer before, or the wake of one that comes too late.
    pub(super) fn attach(
        &mut self,
        life: &ChildLife,
        wake: Wake,
    ) -> Result<Option<Consumer>, Wake> {
        if self.consumer.as_ref().is_some_and(|now| now.generation > life.generation) {
            return Err(wake);
        }
        self.hand_back();
        let (path, generation) = (Arc::clone(&life.path), life.generation);
        Ok(self.consumer.replace(Consumer { path, generation, wake }))
    }

    pub(super) fn take(&mut self, generation: Generation) -> Option<Taken<T>> {
        if !self.is_consumer(generation) {
            return None;
        }
        let (place, letter) = self.waiting.pop_first()?;
        self.counts.delivered += 1;
        let kills = u32::try_from(letter.kills.len()).unwrap_or(u32::MAX);
        let taken = Taken { place, id: letter.id, kills, body: Arc::clone(&letter.body) };
        self.in_hand.insert(place, letter);
        Some(taken)
    }

    /// Gives out the body, to be dropped.
    pub(super) fn done(&mut self, generation: Generation, place: Place) -> Option<Arc<T>> {
        if !self.is_consumer(generation) {
            return None;
        }
        let letter = self.in_hand.remove(&place)?;
        self.counts.done += 1;
        Some(letter.body)
    }

    pub(super) fn put_back(&mut self, generation: Generation, place: Place) -> bool {
        if !self.is_consumer(generation) {
            return false;
        }
        let Some(letter) = self.in_hand.remove(&place) else { return false };
        self.counts.returned += 1;
        self.waiting.insert(place, letter);
        true
    }

    pub(super) fn detach(
        &mut self,
        generation: Generation,
        ending: Ending<'_>,
        at: Timestamp,
    ) -> Detached<T> {
        let mut detached =
            Detached { returned: 0, set_aside: Vec::new(), forgotten: Vec::new(), _consumer: None };
        if !self.is_consumer(generation) {
            return detached;
        }
        detached._consumer = self.consumer.take();
        let Some(consumer) = &detached._consumer else { return detached };
        if let Ending::Crashed(error) = ending {
            let in_hand = self.in_hand.len();
            for letter in self.in_hand.values_mut() {
                letter.kills.push(Kill {
                    child: Arc::clone(&consumer.path),
                    generation,
                    error: error.clone(),
                    at,
                    in_hand,
                });
            }
        }
        let most = self.policy.kills.max(1) as usize;
        let (poisoned, innocent): (Vec<_>, Vec<_>) =
            self.in_hand.drain().partition(|(_, letter)| letter.kills.len() >= most);
        detached.returned = innocent.len();
        self.counts.returned += innocent.len() as u64;
        self.waiting.extend(innocent);
        let poisoned: BTreeMap<_, _> = poisoned.into_iter().collect();
        for letter in poisoned.into_values() {
            detached.set_aside.push(letter.told());
            detached.forgotten.extend(self.set_aside(letter));
        }
        detached
    }

    /// Sets a message aside; another one may have to make room.
    fn set_aside(&mut self, letter: Letter<T>) -> Option<(Poison, Arc<T>)> {
        self.counts.poisoned += 1;
        let mut forgotten = None;
        if self.set_aside.len() >= self.policy.poison_capacity.max(1)
            && let Some((_, oldest)) = self.set_aside.pop_first()
        {
            self.aside_at.remove(&oldest.id);
            self.counts.forgotten += 1;
            forgotten = Some(oldest.told());
        }
        self.last_aside += 1;
        self.aside_at.insert(letter.id, self.last_aside);
        self.set_aside.insert(self.last_aside, letter);
        forgotten
    }

    pub(super) fn poison(&self) -> Vec<Poison> {
        self.set_aside.values().map(|letter| letter.told().0).collect()
    }

    /// None when there is no such message; false when there is no room for it.
    pub(super) fn retry(&mut self, id: MessageId) -> Option<bool> {
        let at = *self.aside_at.get(&id)?;
        if self.is_full() {
            return Some(false);
        }
        self.aside_at.remove(&id);
        let mut letter = self.set_aside.remove(&at)?;
        letter.kills.clear();
        self.counts.retried += 1;
        self.last += 1;
        self.waiting.insert(self.last, letter);
        Some(true)
    }

    pub(super) fn discard(&mut self, id: MessageId) -> Option<Arc<T>> {
        let at = self.aside_at.remove(&id)?;
        let letter = self.set_aside.remove(&at)?;
        self.counts.discarded += 1;
        Some(letter.body)
    }

    /// Whom to wake, when there is something to take.
    pub(super) fn wake(&self) -> Option<Wake> {
        let consumer = self.consumer.as_ref()?;
        (!self.waiting.is_empty()).then(|| Arc::clone(&consumer.wake))
    }

    pub(super) fn status(&self) -> MailboxStatus {
        MailboxStatus {
            waiting: self.waiting.len(),
            in_hand: self.in_hand.len(),
            set_aside: self.set_aside.len(),
            ..self.counts
        }
    }

    fn hand_back(&mut self) {
        self.counts.returned += self.in_hand.len() as u64;
        self.waiting.extend(self.in_hand.drain());
    }

    fn is_consumer(&self, generation: Generation) -> bool {
        self.consumer.as_ref().is_some_and(|consumer| consumer.generation == generation)
    }

    fn is_full(&self) -> bool {
        self.waiting.len() + self.in_hand.len() >= self.policy.capacity.max(1)
    }
}

impl<T> Letter<T> {
    fn told(&self) -> (Poison, Arc<T>) {
        (Poison { id: self.id, kills: self.kills.clone() }, Arc::clone(&self.body))
    }
}
