//! [`Routes`]: which subscriptions a subject reaches, remembered; and one event's way to them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use super::queue::{Offered, Queue};
use super::trie::Trie;
use super::{Delivered, Event, Subject};
use crate::base::payload::Payload;

/// How many subjects are remembered; a power of two.
const SLOTS: usize = 512;

/// How many places a subject may take.
const PROBES: usize = 4;

/// After so many misses the memory is thrown away: the subjects in use have changed.
const MAX_MISSES: usize = 8 * SLOTS;

/// The routes of the subjects published lately, for one state of the subscriptions.
///
/// A slot is written once, so finding a route takes no lock and writes to nothing shared. Whoever
/// changes the subscriptions replaces the whole.
pub(super) struct Routes {
    slots: Box<[OnceLock<Arc<Route>>]>,
    misses: AtomicUsize,
}

/// The subscriptions that one subject reaches.
pub(super) struct Route {
    hash: u64,
    subject: Subject,
    each: Box<[Arc<Queue>]>,
    groups: Box<[Group]>,
}

/// The members of one queue group that want the subject; never empty.
type Group = Box<[Arc<Queue>]>;

/// Where an event could not go for want of room.
pub(super) enum Full<'r> {
    Each(&'r Queue),
    Group(&'r [Arc<Queue>]),
}

impl Routes {
    pub(super) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| OnceLock::new()).collect(), misses: AtomicUsize::new(0) }
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, subject: &str) -> Option<&Route> {
        for place in places(hash) {
            let route = self.slots.get(place)?.get()?;
            if route.hash == hash && route.subject.as_bytes() == subject.as_bytes() {
                return Some(route);
            }
        }
        None
    }

    /// Remembers a route if there is a place for it.
    pub(super) fn keep(&self, route: &Arc<Route>) {
        for place in places(route.hash) {
            if self.slots.get(place).is_some_and(|slot| slot.set(Arc::clone(route)).is_ok()) {
                return;
            }
        }
    }

    /// Counts a miss; true when it is time for a new memory.
    pub(super) fn count_miss(&self) -> bool {
        self.misses.fetch_add(1, Ordering::Relaxed) == MAX_MISSES
    }
}

fn places(hash: u64) -> impl Iterator<Item = usize> {
    // The high half: multiplication mixes upwards.
    let start = (hash >> 32) as usize;
    (0..PROBES).map(move |i| (start + i) & (SLOTS - 1))
}

/// Eight bytes a step, multiply and rotate. Chosen collisions cost a miss, never a wrong route.
#[inline]
pub(super) fn hash(subject: &str) -> u64 {
    const K: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut hash = subject.len() as u64;
    let mut chunks = subject.as_bytes().chunks_exact(8);
    for chunk in &mut chunks {
        let word = chunk.try_into().map_or(0, u64::from_le_bytes);
        hash = (hash.rotate_left(23) ^ word).wrapping_mul(K);
    }
    let mut last = [0; 8];
    let rest = chunks.remainder();
    if let Some(place) = last.get_mut(..rest.len()) {
        place.copy_from_slice(rest);
    }
    (hash.rotate_left(23) ^ u64::from_le_bytes(last)).wrapping_mul(K)
}

impl Route {
    pub(super) fn new(hash: u64, subject: Subject, trie: &Trie) -> Self {
        let (mut each, mut groups) = (Vec::new(), BTreeMap::<Arc<str>, Vec<_>>::new());
        for queue in trie.collect(subject.as_str()) {
            match &queue.group {
                Some(name) => groups.entry(Arc::clone(name)).or_default().push(queue),
                None => each.push(queue),
            }
        }
        Self {
            hash,
            subject,
            each: each.into(),
            groups: groups.into_values().map(Vec::into_boxed_slice).collect(),
        }
    }

    pub(super) fn subject(&self) -> &Subject {
        &self.subject
    }

    /// An event for this route.
    #[inline]
    pub(super) fn event(&self, payload: Payload) -> Arc<Event> {
        Arc::new(Event { subject: self.subject.clone(), payload })
    }

    /// Gives the event to every subscription and to one member of every group, now.
    #[inline]
    pub(super) fn publish(&self, event: Arc<Event>, turn: &AtomicUsize) -> Delivered {
        let mut report = Delivered::default();
        if self.groups.is_empty() {
            // The last takes the event itself: one subscriber costs no second reference.
            if let Some((last, others)) = self.each.split_last() {
                for queue in others {
                    report.count(queue.offer(|| Arc::clone(&event)));
                }
                report.count(last.offer(|| event));
            }
            return report;
        }
        for queue in &self.each {
            report.count(queue.offer(|| Arc::clone(&event)));
        }
        for group in &self.groups {
            let Err(event) = offer_to_one(group, Arc::clone(&event), next_start(turn), None) else {
                report.count(Offered::Queued);
                continue;
            };
            report.count(force_on_one(group, event, next_start(turn)));
        }
        report
    }

    /// Gives the event to those that have room; the others are left in `full`, each with the event.
    #[inline]
    pub(super) fn publish_if_room<'r>(
        &'r self,
        event: Arc<Event>,
        turn: &AtomicUsize,
        full: &mut Vec<(Full<'r>, Arc<Event>)>,
    ) -> Delivered {
        let mut report = Delivered::default();
        let mut give = |place: Full<'r>, event| match place.offer(event, turn, None) {
            Ok(offered) => report.count(offered),
            Err(event) => full.push((place, event)),
        };
        let last = match (self.each.split_last(), self.groups.split_last()) {
            (Some((last, others)), None) => {
                others.iter().for_each(|queue| give(Full::Each(queue), Arc::clone(&event)));
                Full::Each(last)
            }
            (_, Some((last, others))) => {
                self.each.iter().for_each(|queue| give(Full::Each(queue), Arc::clone(&event)));
                others.iter().for_each(|group| give(Full::Group(group), Arc::clone(&event)));
                Full::Group(last)
            }
            (None, None) => return report,
        };
        give(last, event);
        report
    }
}

impl Full<'_> {
    /// Offers the event once; when it comes back, the waker is called when there may be room.
    pub(super) fn offer(
        &self,
        event: Arc<Event>,
        turn: &AtomicUsize,
        waker: Option<&Waker>,
    ) -> Result<Offered, Arc<Event>> {
        let left = match self {
            Self::Each(queue) => queue.offer_if_room(event, waker),
            Self::Group(group) => offer_to_one(group, event, next_start(turn), waker),
        };
        match left {
            Ok(()) => Ok(Offered::Queued),
            // A closed queue never has room: let it count what it misses.
            Err(event) if self.is_closed() => Ok(self.force(event, turn)),
            Err(event) => Err(event),
        }
    }

    /// Takes the waker back from wherever [`offer`](Self::offer) left it.
    pub(super) fn forget(&self, waker: &Waker) {
        match self {
            Self::Each(queue) => queue.forget(waker),
            Self::Group(group) => group.iter().for_each(|queue| queue.forget(waker)),
        }
    }

    /// Lets the overflow policy decide.
    pub(super) fn force(&self, event: Arc<Event>, turn: &AtomicUsize) -> Offered {
        match self {
            Self::Each(queue) => queue.offer(|| event),
            Self::Group(group) => force_on_one(group, event, next_start(turn)),
        }
    }

    /// Whether there may be room, without locking.
    pub(super) fn may_have_room(&self) -> bool {
        match self {
            Self::Each(queue) => queue.may_have_room() || queue.is_closed(),
            Self::Group(group) => group.iter().any(|q| q.may_have_room()) || self.is_closed(),
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::Each(queue) => queue.is_closed(),
            Self::Group(group) => group.iter().all(|queue| queue.is_closed()),
        }
    }
}

/// The first member with room, from a start that spreads the load.
fn offer_to_one(
    group: &[Arc<Queue>],
    mut event: Arc<Event>,
    start: usize,
    waker: Option<&Waker>,
) -> Result<(), Arc<Event>> {
    for queue in from(group, start) {
        match queue.offer_if_room(event, waker) {
            Ok(()) => return Ok(()),
            Err(back) => event = back,
        }
    }
    Err(event)
}

/// No member has room: an open one applies its policy; if all are closed, one counts the loss.
fn force_on_one(group: &[Arc<Queue>], event: Arc<Event>, start: usize) -> Offered {
    for queue in from(group, start).filter(|queue| !queue.is_closed()) {
        match queue.offer(|| Arc::clone(&event)) {
            Offered::Gone => {}
            offered => return offered,
        }
    }
    from(group, start)
        .map(|queue| queue.offer(|| Arc::clone(&event)))
        .find(|offered| *offered != Offered::Gone)
        .unwrap_or(Offered::Gone)
}

fn from(group: &[Arc<Queue>], start: usize) -> impl Iterator<Item = &Arc<Queue>> {
    group.iter().cycle().skip(start % group.len().max(1)).take(group.len())
}

/// Pseudo-random, because a plain round would lock step with publishers that alternate subjects.
fn next_start(turn: &AtomicUsize) -> usize {
    let mut z = (turn.fetch_add(1, Ordering::Relaxed) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((z ^ (z >> 27)) >> 16) as usize
}
