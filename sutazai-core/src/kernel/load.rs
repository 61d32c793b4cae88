//! How many calls a kernel has, its bound, and waiting for them to finish.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::base::error::Fixed;
use crate::base::wait::{Condvar, Mutex};
use crate::{Code, Result};

/// Counts unfinished calls. A call is unfinished until its agent lets go of the reply.
pub(super) struct Load {
    most: AtomicUsize,
    now: AtomicUsize,
    /// Of these, the ones whose callers have an answer: nobody waits for them any more.
    settled: AtomicUsize,
    /// Calls that are tried, as often as it takes, and have no answer yet; their tries are calls besides.
    pursued: AtomicUsize,
    watched: AtomicBool,
    /// How much longer to wait for them, and until when, once somebody is in a hurry.
    gate: Mutex<Option<(Duration, Instant)>>,
    idle: Condvar,
}

/// One unfinished call; dropped when it is finished.
pub(super) struct Place(Arc<Load>);

/// One call that is tried, until it has its answer.
#[cfg(feature = "recovery")]
pub(super) struct Pursued(Arc<Load>);

impl Load {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most: AtomicUsize::new(most),
            now: AtomicUsize::new(0),
            settled: AtomicUsize::new(0),
            pursued: AtomicUsize::new(0),
            watched: AtomicBool::new(false),
            gate: Mutex::new(None),
            idle: Condvar::new(),
        })
    }

    /// A place for one call.
    #[inline]
    pub(super) fn enter(self: &Arc<Self>) -> Result<Place> {
        static FULL: Fixed = Fixed {
            code: Code::OVERLOADED,
            message: "the kernel has as many calls in flight as its limits allow",
        };
        if self.now.fetch_add(1, Ordering::SeqCst) >= self.most.load(Ordering::Relaxed) {
            self.leave();
            return Err((&FULL).into());
        }
        Ok(Place(Arc::clone(self)))
    }

    /// The bound.
    #[cfg(any(feature = "tune", all(feature = "agent", feature = "monitor")))]
    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// Sets the bound. Calls that are in flight already stay so.
    #[cfg(feature = "tune")]
    pub(super) fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }

    #[inline]
    fn leave(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
        self.tell();
    }

    /// Whoever waits looks again.
    #[inline]
    fn tell(&self) {
        if self.watched.load(Ordering::SeqCst) {
            let _gate = self.gate.lock();
            self.idle.notify_all();
        }
    }

    /// Counts a call among those that are waited for, whether an agent has it at present or not.
    #[cfg(feature = "recovery")]
    pub(super) fn pursued(self: &Arc<Self>) -> Pursued {
        self.pursued.fetch_add(1, Ordering::SeqCst);
        Pursued(Arc::clone(self))
    }

    /// A call was answered in its agent's stead, and the agent has not let go of it.
    pub(super) fn settle(&self) {
        self.settled.fetch_add(1, Ordering::SeqCst);
        self.tell();
    }

    /// The agent let go of a call that [`settle`](Self::settle) was told of.
    pub(super) fn unsettle(&self) {
        self.settled.fetch_sub(1, Ordering::SeqCst);
    }

    /// Calls whose callers wait for an answer; those that are tried twice over.
    pub(super) fn awaited(&self) -> usize {
        let with_agents = self.now().saturating_sub(self.settled.load(Ordering::SeqCst));
        with_agents + self.pursued.load(Ordering::SeqCst)
    }

    /// Blocks until no caller waits for an answer, for at most `timeout`; says whether that was
    /// reached. A call that its agent keeps although it was answered for it holds nothing up.
    pub(super) fn wait_idle(&self, timeout: Duration) -> bool {
        self.watched.store(true, Ordering::SeqCst);
        let end = Instant::now().checked_add(timeout);
        let mut gate = self.gate.lock();
        while self.awaited() > 0 {
            let hurried = gate.map(|(_, end)| end);
            let (waited, timed_out) =
                self.idle.wait_until(gate, end.into_iter().chain(hurried).min());
            gate = waited;
            if timed_out {
                break;
            }
        }
        self.awaited() == 0
    }

    /// Has whoever waits, now or later, do so for at most `timeout` from here on.
    pub(super) fn hurry(&self, timeout: Duration) {
        // A timeout too long for the clock is no hurry.
        let Some(end) = Instant::now().checked_add(timeout) else { return };
        let mut gate = self.gate.lock();
        if gate.is_none_or(|(_, before)| end < before) {
            *gate = Some((timeout, end));
            self.idle.notify_all();
        }
    }

    /// What [`hurry`](Self::hurry) was told, if it was.
    pub(super) fn hurried(&self) -> Option<Duration> {
        self.gate.lock().map(|(timeout, _)| timeout)
    }
}

impl Drop for Place {
    #[inline]
    fn drop(&mut self) {
        self.0.leave();
    }
}

#[cfg(feature = "recovery")]
impl Drop for Pursued {
    fn drop(&mut self) {
        self.0.pursued.fetch_sub(1, Ordering::SeqCst);
        self.0.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_and_places_come_back() {
        let load = Load::new(1);
        let place = load.enter().unwrap();
        assert_eq!(load.enter().err().map(|e| e.code()), Some(Code::OVERLOADED));
        drop(place);
        assert!(load.enter().is_ok());
        assert_eq!(load.now(), 0);
    }

    #[test]
    fn a_call_that_was_answered_for_its_agent_holds_nothing_up() {
        let load = Load::new(10);
        let place = load.enter().unwrap();
        load.settle();
        assert!(load.wait_idle(Duration::ZERO));
        assert_eq!(load.now(), 1);
        load.unsettle();
        drop(place);
        assert!(load.wait_idle(Duration::ZERO));
    }

    #[test]
    fn waiting_ends_with_the_last_call() {
        let load = Load::new(10);
        let place = load.enter().unwrap();
        assert!(!load.wait_idle(Duration::from_millis(1)));
        let waiter = std::thread::spawn({
            let load = Arc::clone(&load);
            move || load.wait_idle(Duration::from_secs(60))
        });
        drop(place);
        assert!(waiter.join().unwrap());
    }

    #[test]
    fn waiting_ends_when_somebody_is_in_a_hurry() {
        let load = Load::new(10);
        let _place = load.enter().unwrap();
        let waiter = std::thread::spawn({
            let load = Arc::clone(&load);
            move || load.wait_idle(Duration::MAX)
        });
        load.hurry(Duration::MAX);
        assert_eq!(load.hurried(), None);
        load.hurry(Duration::ZERO);
        load.hurry(Duration::from_secs(60));
        assert!(!waiter.join().unwrap(), "it waited in vain");
        assert_eq!(load.hurried(), Some(Duration::ZERO), "the shortest counts");
    }
}
