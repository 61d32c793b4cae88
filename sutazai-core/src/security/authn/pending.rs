//! What was asked and waits for its answer: in memory, bounded, for a short time, and taken once.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::time::Timestamp;

/// Challenges of one kind, by a name that cannot be guessed. No I/O, no clock.
pub(super) struct Pending<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    waiting: HashMap<String, Waiting<T>>,
    evicted: u64,
}

struct Waiting<T> {
    what: T,
    since: Timestamp,
    ends: Timestamp,
}

impl<T> Waiting<T> {
    /// A clock set back does not make it last longer.
    fn is_over(&self, now: Timestamp) -> bool {
        now < self.since || now >= self.ends
    }
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State { waiting: HashMap::new(), evicted: 0 }) }
    }
}

impl<T> Pending<T> {
    /// Keeps it under this name for `lasts`, and answers until when. Of more than `most` what is over goes first, and
    /// then the oldest.
    pub(super) fn put(
        &self,
        name: String,
        what: T,
        lasts: Duration,
        most: usize,
        now: Timestamp,
    ) -> Timestamp {
        let ends = now + lasts;
        let mut state = self.state.lock();
        if state.waiting.len() >= most.max(1) {
            state.waiting.retain(|_, one| !one.is_over(now));
            while state.waiting.len() >= most.max(1) {
                let oldest = state.waiting.iter().min_by_key(|(_, one)| one.since);
                let Some(oldest) = oldest.map(|(name, _)| name.clone()) else { break };
                state.waiting.remove(&oldest);
                state.evicted += 1;
            }
        }
        state.waiting.insert(name, Waiting { what, since: now, ends });
        ends
    }

    /// Takes it, if it is there and not over. Of threads that ask at once, one gets it.
    pub(super) fn take(&self, name: &str, now: Timestamp) -> Option<T> {
        let one = self.state.lock().waiting.remove(name)?;
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

    #[test]
    fn it_is_taken_once_and_in_time() {
        let pending = Pending::default();
        assert_eq!(pending.put("a".into(), 1, LASTS, 9, at(0)), at(10));
        assert_eq!(pending.take("b", at(1)), None);
        assert_eq!((pending.take("a", at(9)), pending.take("a", at(9))), (Some(1), None));
        pending.put("a".into(), 2, LASTS, 9, at(0));
        assert_eq!(pending.take("a", at(10)), None, "over");
        pending.put("a".into(), 3, LASTS, 9, at(5));
        assert_eq!(pending.take("a", at(4)), None, "a clock set back");
    }

    #[test]
    fn it_is_bounded_and_the_oldest_goes() {
        let pending = Pending::default();
        for n in 0..5_i64 {
            pending.put(n.to_string(), n, LASTS, 3, at(n));
        }
        assert_eq!(pending.counts(), (3, 2));
        assert_eq!(pending.take("1", at(5)), None);
        assert_eq!(pending.take("2", at(5)), Some(2));
        pending.put("late".into(), 9, LASTS, 2, at(100));
        assert_eq!(pending.counts(), (1, 2), "what was over has made room");
    }
}
