//! The calls in flight: one sharded table for deadlines, cancel by id, and drain.
//!
//! A call enters it only when its agent did not answer at once. One timer serves all deadlines: it
//! is set for the earliest, and no more often than every [`TICK`], so that a deadline is noticed
//! within that time of passing.

use std::collections::HashMap;
#[cfg(feature = "recovery")]
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

#[cfg(feature = "recovery")]
use super::pursue::Pursuit;
use crate::base::error::Fixed;
use crate::base::id::{CallId, TimerId};
use crate::base::ticket::Settler;
use crate::base::time::Moment;
use crate::port::Outcome;
use crate::{Code, Error};

/// Deadlines are noticed within this time of passing.
pub(super) const TICK: Duration = Duration::from_millis(5);

const SHARDS: usize = 16;

/// Calls in flight, by number.
pub(super) struct InFlight {
    shards: [CachePadded<Shard>; SHARDS],
    /// When the timer is set for, in nanoseconds; `u64::MAX` when it is not set.
    next_sweep: AtomicU64,
    /// The timer that is set, and for when.
    timer: Mutex<Option<(Moment, TimerId)>>,
}

#[derive(Default)]
struct Shard {
    /// How many there are; changed under the lock only.
    len: AtomicUsize,
    calls: Mutex<HashMap<u64, Call>>,
}

struct Call {
    deadline: Moment,
    settler: Settler<Outcome>,
    what: What,
}

/// What is in flight.
#[derive(Clone)]
pub(super) enum What {
    /// A call that an agent has.
    Call,
    /// A call that waits to be approved.
    Asked,
    /// One of the tries of a call that is here itself.
    #[cfg(feature = "recovery")]
    Try,
    /// A call that is tried, as often as it takes.
    #[cfg(feature = "recovery")]
    Tried(Weak<Pursuit>),
}

/// A call whose time is up.
pub(super) struct Due {
    pub(super) id: CallId,
    pub(super) settler: Settler<Outcome>,
    what: What,
}

impl InFlight {
    pub(super) fn new() -> Self {
        Self {
            shards: Default::default(),
            next_sweep: AtomicU64::new(u64::MAX),
            timer: Mutex::new(None),
        }
    }

    fn shard(&self, id: CallId) -> &Shard {
        // The modulus keeps the index inside; `SHARDS` is not zero.
        let index = id.0 as usize % SHARDS;
        self.shards.get(index).unwrap_or(&self.shards[0])
    }

    /// Enters a call. Returns when the timer must be set for, if it has to be set anew.
    pub(super) fn enter(
        &self,
        id: CallId,
        deadline: Moment,
        settler: Settler<Outcome>,
        now: Moment,
        what: What,
    ) -> Option<Moment> {
        let shard = self.shard(id);
        {
            let mut calls = shard.calls.lock();
            calls.insert(id.0, Call { deadline, settler: settler.clone(), what });
            shard.len.store(calls.len(), Ordering::SeqCst);
        }
        if settler.is_settled_ordered() {
            // It was answered meanwhile, maybe before it could be found here.
            self.leave(id);
            return None;
        }
        if deadline == Moment::FAR {
            return None;
        }
        self.wants_sweep(deadline.max(now + TICK))
    }

    /// Takes a call out; nothing happens when it is not in.
    #[inline]
    pub(super) fn leave(&self, id: CallId) {
        let shard = self.shard(id);
        if shard.len.load(Ordering::SeqCst) == 0 {
            return;
        }
        let call = {
            let mut calls = shard.calls.lock();
            let call = calls.remove(&id.0);
            shard.len.store(calls.len(), Ordering::SeqCst);
            call
        };
        drop(call);
    }

    /// What answers this call in the agent's stead.
    pub(super) fn settler(&self, id: CallId) -> Option<Settler<Outcome>> {
        self.shard(id).calls.lock().get(&id.0).map(|call| call.settler.clone())
    }

    /// The numbers of all calls, sorted; tries are parts of theirs.
    pub(super) fn ids(&self) -> Vec<CallId> {
        let of_shard = |shard: &CachePadded<Shard>| {
            let calls = shard.calls.lock();
            let calls = calls.iter().filter(|(_, call)| !call.what.is_try());
            calls.map(|(id, _)| CallId(*id)).collect::<Vec<_>>()
        };
        let mut ids: Vec<_> = self.shards.iter().flat_map(of_shard).collect();
        ids.sort_unstable();
        ids
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|s| s.len.load(Ordering::Relaxed)).sum()
    }

    /// Notes the timer that was set for `at`; gives back one that is not needed any more: this one, when
    /// it has fired already or another moment is wanted by now, else the one before.
    pub(super) fn armed(&self, at: Moment, timer: TimerId) -> Option<TimerId> {
        let mut armed = self.timer.lock();
        if self.next_sweep.load(Ordering::SeqCst) != at.as_nanos() {
            return Some(timer);
        }
        armed.replace((at, timer)).map(|(_, old)| old)
    }

    /// The timer that was set for `at` fires: whether it is the one that counts. One that was
    /// replaced by an earlier one does nothing, so that there is one chain of timers.
    pub(super) fn fires(&self, at: Moment) -> bool {
        // Under the lock: whoever set this timer may not have noted it yet.
        let mut armed = self.timer.lock();
        if armed.is_some_and(|(when, _)| when == at) {
            *armed = None;
        }
        self.next_sweep
            .compare_exchange(at.as_nanos(), u64::MAX, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Takes out every call whose deadline has passed (and those that were answered meanwhile), and
    /// says when to sweep next. After [`fires`](Self::fires).
    pub(super) fn sweep(&self, now: Moment) -> (Vec<Due>, Option<Moment>) {
        let mut due = Vec::new();
        let mut earliest = Moment::FAR;
        for shard in &self.shards {
            if shard.len.load(Ordering::SeqCst) == 0 {
                continue;
            }
            let mut answered = Vec::new();
            let mut calls = shard.calls.lock();
            calls.retain(|id, call| {
                if call.settler.is_settled() {
                    answered.push(call.settler.clone());
                    return false;
                }
                if call.deadline <= now {
                    due.push(Due {
                        id: CallId(*id),
                        settler: call.settler.clone(),
                        what: call.what.clone(),
                    });
                    return false;
                }
                earliest = earliest.min(call.deadline);
                true
            });
            shard.len.store(calls.len(), Ordering::SeqCst);
            drop(calls);
            drop(answered);
        }
        let next =
            (earliest != Moment::FAR).then(|| self.wants_sweep(earliest.max(now + TICK))).flatten();
        (due, next)
    }

    /// Notes that a sweep is wanted at `at`; says whether the timer has to be set for it.
    fn wants_sweep(&self, at: Moment) -> Option<Moment> {
        let before = self.next_sweep.fetch_min(at.as_nanos(), Ordering::SeqCst);
        (at.as_nanos() < before).then_some(at)
    }

    /// Takes out everything.
    pub(super) fn take_all(&self) -> Vec<(CallId, Settler<Outcome>)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let calls = {
                let mut calls = shard.calls.lock();
                shard.len.store(0, Ordering::SeqCst);
                std::mem::take(&mut *calls)
            };
            all.extend(calls.into_iter().map(|(id, call)| (CallId(id), call.settler)));
        }
        all
    }
}

impl What {
    fn is_try(&self) -> bool {
        #[cfg(feature = "recovery")]
        return matches!(self, Self::Try);
        #[cfg(not(feature = "recovery"))]
        false
    }
}

impl Due {
    /// Why there is no answer.
    pub(super) fn error(&self) -> Error {
        static LATE: Fixed = Fixed {
            code: Code::DEADLINE_EXCEEDED,
            message: "the agent did not answer before the deadline",
        };
        if matches!(self.what, What::Asked) {
            return Error::new(Code::NOT_APPROVED, "nobody approved the call in time");
        }
        #[cfg(feature = "recovery")]
        if let What::Tried(pursuit) = &self.what
            && let Some(error) = pursuit.upgrade().and_then(|pursuit| pursuit.late())
        {
            return error;
        }
        Error::from(&LATE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ticket;

    fn at(ms: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn the_sweep_takes_what_is_due_and_names_the_next_moment() {
        let table = InFlight::new();
        let mut keep = Vec::new();
        for (id, deadline) in [(1, 10), (2, 30), (3, 20)] {
            let (ticket, reply) = ticket::pair();
            let settler = ticket.settler().unwrap();
            let set = table.enter(CallId(id), at(deadline), settler, at(0), What::Call);
            assert_eq!(set.is_some(), id == 1, "only an earlier deadline sets the timer anew");
            keep.push((ticket, reply));
        }
        assert!(!table.fires(at(30)), "not the one that is set");
        assert!(table.fires(at(10)));
        let (due, next) = table.sweep(at(20));
        let mut ids: Vec<_> = due.iter().map(|due| due.id.0).collect();
        ids.sort_unstable();
        assert_eq!(ids, [1, 3]);
        assert_eq!(next, Some(at(30)));
        assert_eq!(table.len(), 1);
        assert_eq!(table.ids(), [CallId(2)]);
    }

    #[test]
    fn an_earlier_timer_takes_the_place_of_a_later_one() {
        let table = InFlight::new();
        assert_eq!(table.wants_sweep(at(30)), Some(at(30)));
        assert_eq!(table.armed(at(30), TimerId(1)), None);
        assert_eq!(table.wants_sweep(at(10)), Some(at(10)));
        assert_eq!(table.armed(at(10), TimerId(2)), Some(TimerId(1)));
        assert_eq!(table.wants_sweep(at(20)), None);
        assert_eq!(table.armed(at(30), TimerId(3)), Some(TimerId(3)), "itself: not needed");
    }

    #[test]
    fn a_timer_that_fires_before_it_is_noted_does_not_take_the_next_ones_place() {
        let table = InFlight::new();
        assert_eq!(table.wants_sweep(at(50)), Some(at(50)));
        // Whoever wants it is set aside; meanwhile the timer fires, and the sweep sets the next.
        assert!(table.fires(at(50)));
        assert_eq!(table.wants_sweep(at(55)), Some(at(55)));
        assert_eq!(table.armed(at(55), TimerId(2)), None);
        assert_eq!(table.armed(at(50), TimerId(1)), Some(TimerId(1)));
        assert!(table.fires(at(55)), "the one that counts is still there");
    }

    #[test]
    fn calls_answered_before_they_enter_do_not_stay() {
        let table = InFlight::new();
        let (_ticket, reply) = ticket::pair();
        let settler = reply.settler().unwrap();
        reply.send(Outcome::default()).unwrap();
        assert!(table.enter(CallId(1), at(1), settler, at(0), What::Call).is_none());
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn the_length_counts_what_is_in() {
        let table = InFlight::new();
        let (ticket, _reply) = ticket::pair();
        table.enter(CallId(1), Moment::FAR, ticket.settler().unwrap(), at(0), What::Call);
        table.leave(CallId(1));
        table.leave(CallId(1));
        assert_eq!(table.len(), 0);
        table.enter(CallId(2), Moment::FAR, ticket.settler().unwrap(), at(0), What::Call);
        assert_eq!(table.take_all().len(), 1);
        assert_eq!(table.len(), 0);
    }
}
