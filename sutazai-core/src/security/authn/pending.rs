//! What was asked and waits for its answer: in memory, bounded, for a short time, and taken once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::time::Timestamp;

/// Challenges of one kind, by a name that cannot be guessed. No I/O, no clock.
///
/// When there are too many, the oldest goes of the origin that has the most: whoever floods it from one place makes
/// room by what is theirs.
pub(super) struct Pending<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    waiting: HashMap<Arc<str>, Waiting<T>>,
    /// All of them, oldest first.
    order: BTreeMap<u64, Arc<str>>,
    /// Those of each origin, oldest first.
    origins: HashMap<Arc<str>, BTreeSet<u64>>,
    /// The origins, by how many they have, and of the same number whose oldest is older is later.
    crowds: BTreeSet<(usize, Reverse<u64>, Arc<str>)>,
    next: u64,
    evicted: u64,
}

struct Waiting<T> {
    what: T,
    origin: Arc<str>,
    number: u64,
    since: Timestamp,
    ends: Timestamp,
}

impl<T> Waiting<T> {
    /// A clock set back does not make it last longer.
    fn is_over(&self, now: Timestamp) -> bool {
        now < self.since || now >= self.ends
    }
}

/// Where an origin stands among the others.
fn crowd(origin: &Arc<str>, numbers: &BTreeSet<u64>) -> Option<(usize, Reverse<u64>, Arc<str>)> {
    numbers.first().map(|oldest| (numbers.len(), Reverse(*oldest), origin.clone()))
}

impl<T> State<T> {
    fn insert(&mut self, name: Arc<str>, what: T, origin: &str, since: Timestamp, ends: Timestamp) {
        let number = self.next;
        self.next += 1;
        let known = self.origins.get_key_value(origin).map(|(origin, _)| origin.clone());
        let origin = known.unwrap_or_else(|| origin.into());
        self.order.insert(number, name.clone());
        let numbers = self.origins.entry(origin.clone()).or_default();
        crowd(&origin, numbers).map(|crowd| self.crowds.remove(&crowd));
        numbers.insert(number);
        self.crowds.extend(crowd(&origin, numbers));
        self.waiting.insert(name, Waiting { what, origin, number, since, ends });
    }

    fn remove(&mut self, name: &str) -> Option<Waiting<T>> {
        let one = self.waiting.remove(name)?;
        self.order.remove(&one.number);
        if let Some(numbers) = self.origins.get_mut(&one.origin) {
            crowd(&one.origin, numbers).map(|crowd| self.crowds.remove(&crowd));
            numbers.remove(&one.number);
            match crowd(&one.origin, numbers) {
                Some(crowd) => _ = self.crowds.insert(crowd),
                None => _ = self.origins.remove(&one.origin),
            }
        }
        Some(one)
    }

    /// The name of the oldest one that is over.
    fn over(&self, now: Timestamp) -> Option<Arc<str>> {
        let (_, name) = self.order.first_key_value()?;
        self.waiting.get(name).is_some_and(|one| one.is_over(now)).then(|| name.clone())
    }

    /// The name of the one that has to go.
    fn least(&self) -> Option<Arc<str>> {
        let (_, Reverse(oldest), _) = self.crowds.last()?;
        self.order.get(oldest).cloned()
    }
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        let state = State {
            waiting: HashMap::new(),
            order: BTreeMap::new(),
            origins: HashMap::new(),
            crowds: BTreeSet::new(),
            next: 0,
            evicted: 0,
        };
        Self { state: Mutex::new(state) }
    }
}

impl<T> Pending<T> {
    /// Keeps it under this name for `lasts`, and answers until when. Of more than `most` what is over goes first, and
    /// then the oldest of the origin that has the most.
    pub(super) fn put(
        &self,
        name: String,
        what: T,
        origin: &str,
        (lasts, most): (Duration, usize),
        now: Timestamp,
    ) -> Timestamp {
        let ends = now + lasts;
        let mut state = self.state.lock();
        state.remove(&name);
        while let Some(over) = state.over(now) {
            state.remove(&over);
        }
        while state.waiting.len() >= most.max(1) {
            let Some(least) = state.least() else { break };
            state.remove(&least);
            state.evicted += 1;
        }
        state.insert(name.into(), what, origin, now, ends);
        ends
    }

    /// Takes it, if it is there and not over. Of threads that ask at once, one gets it.
    pub(super) fn take(&self, name: &str, now: Timestamp) -> Option<T> {
        let one = self.state.lock().remove(name)?;
        (!one.is_over(now)).then_some(one.what)
    }

    /// Looks at it, if it is there and not over.
    #[cfg(feature = "webauthn")]
    pub(super) fn peek<R>(
        &self,
        name: &str,
        now: Timestamp,
        look: impl FnOnce(&T) -> R,
    ) -> Option<R> {
        let state = self.state.lock();
        state.waiting.get(name).filter(|one| !one.is_over(now)).map(|one| look(&one.what))
    }

    /// How many wait, and how many had to go for others.
    pub(super) fn counts(&self) -> (usize, u64) {
        let state = self.state.lock();
        (state.waiting.len(), state.evicted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTS: Duration = Duration::from_millis(10);

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_nanos(ms * 1_000_000)
    }

    fn put(
        pending: &Pending<i64>,
        name: &str,
        what: i64,
        origin: &str,
        most: usize,
        ms: i64,
    ) -> Timestamp {
        pending.put(name.to_owned(), what, origin, (LASTS, most), at(ms))
    }

    #[test]
    fn it_is_taken_once_and_in_time() {
        let pending = Pending::default();
        assert_eq!(put(&pending, "a", 1, "", 9, 0), at(10));
        assert_eq!(pending.take("b", at(1)), None);
        assert_eq!((pending.take("a", at(9)), pending.take("a", at(9))), (Some(1), None));
        put(&pending, "a", 2, "", 9, 0);
        assert_eq!(pending.take("a", at(10)), None, "over");
        put(&pending, "a", 3, "", 9, 5);
        assert_eq!(pending.take("a", at(4)), None, "a clock set back");
    }

    #[test]
    fn it_is_bounded_and_the_oldest_goes() {
        let pending = Pending::default();
        for n in 0..5_i64 {
            put(&pending, &n.to_string(), n, "", 3, n);
        }
        assert_eq!(pending.counts(), (3, 2));
        assert_eq!(pending.take("1", at(5)), None);
        assert_eq!(pending.take("2", at(5)), Some(2));
        put(&pending, "late", 9, "", 2, 100);
        assert_eq!(pending.counts(), (1, 2), "what was over has made room");
        // Each from a place of its own: the oldest of all.
        for n in 0..5_i64 {
            put(&pending, &n.to_string(), n, &n.to_string(), 3, 100 + n);
        }
        assert_eq!((pending.take("late", at(105)), pending.take("1", at(105))), (None, None));
        assert_eq!(pending.take("2", at(105)), Some(2));
    }

    #[test]
    fn who_floods_it_makes_room_by_their_own() {
        let pending = Pending::default();
        put(&pending, "ann's", -1, "ann's home", 100, 0);
        for n in 0..1_000_i64 {
            put(&pending, &n.to_string(), n, "a flood", 100, 1);
        }
        put(&pending, "bob's", -2, "bob's home", 100, 2);
        assert_eq!(pending.counts(), (100, 902));
        assert_eq!(pending.take("ann's", at(3)), Some(-1));
        assert_eq!(pending.take("bob's", at(3)), Some(-2));
        assert_eq!(pending.take("901", at(3)), None);
        assert_eq!(pending.take("902", at(3)), Some(902));
        let state = pending.state.lock();
        let known = (state.order.len(), state.origins.len(), state.crowds.len());
        assert_eq!((state.waiting.len(), known), (97, (97, 1, 1)));
    }

    #[test]
    fn the_same_name_replaces() {
        let pending = Pending::default();
        put(&pending, "a", 1, "x", 9, 0);
        put(&pending, "a", 2, "y", 9, 1);
        assert_eq!(pending.counts(), (1, 0));
        assert_eq!(pending.take("a", at(2)), Some(2));
        assert_eq!(pending.counts(), (0, 0));
    }
}
