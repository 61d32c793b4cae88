//! Wakes awaited calls at their deadlines: one timer for all of them.
//!
//! A call stands here only while it waits; one that is ready when it is first polled never comes. The
//! timer is set for the earliest deadline and no more often than every [`TICK`], so that a deadline is
//! noticed within that time of passing. There is no timer a call.

use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::id::TimerId;
use crate::base::runtime::Runtime;
use crate::base::time::Moment;

/// Deadlines are noticed within this time of passing.
const TICK: Duration = Duration::from_millis(5);

/// The calls of one guard that wait.
#[derive(Clone)]
pub(super) struct Deadlines(Arc<Inner>);

struct Inner {
    runtime: Arc<dyn Runtime>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    slots: Vec<Option<(Moment, Waker)>>,
    free: Vec<usize>,
    /// The timer that is set, and for when.
    timer: Option<(Moment, TimerId)>,
}

/// A place in the table, given back when it is dropped.
pub(super) struct Waiting {
    of: Deadlines,
    slot: usize,
}

impl Deadlines {
    pub(super) fn new(runtime: Arc<dyn Runtime>) -> Self {
        Self(Arc::new(Inner { runtime, table: Mutex::default() }))
    }

    /// Wakes `waker` soon after `deadline`.
    pub(super) fn wait(&self, deadline: Moment, waker: Waker) -> Waiting {
        let mut table = self.0.table.lock();
        let slot = match table.free.pop() {
            Some(slot) => slot,
            None => {
                table.slots.push(None);
                table.slots.len() - 1
            }
        };
        if let Some(place) = table.slots.get_mut(slot) {
            *place = Some((deadline, waker));
        }
        drop(table);
        self.0.arm(deadline);
        Waiting { of: self.clone(), slot }
    }
}

impl Waiting {
    /// Another task waits for the call now, perhaps.
    pub(super) fn renew(&self, waker: &Waker) {
        let mut table = self.of.0.table.lock();
        let mut old = None;
        if let Some(Some((_, present))) = table.slots.get_mut(self.slot)
            && !present.will_wake(waker)
        {
            old = Some(std::mem::replace(present, waker.clone()));
        }
        drop(table);
        drop(old);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut table = self.of.0.table.lock();
        let gone = table.slots.get_mut(self.slot).and_then(Option::take);
        table.free.push(self.slot);
        drop(table);
        drop(gone);
    }
}

impl Inner {
    /// Sees to it that the timer is set for `deadline` at the latest.
    fn arm(self: &Arc<Self>, deadline: Moment) {
        let at = deadline.max(self.runtime.now() + TICK);
        if self.table.lock().timer.is_some_and(|(set, _)| set <= at) {
            return;
        }
        let weak = Arc::downgrade(self);
        let timer = self.runtime.spawn_at(at, Box::new(move || Self::fire(&weak, at)));
        let mut table = self.table.lock();
        let stale = match table.timer {
            // Somebody else has set an earlier one meanwhile.
            Some((set, _)) if set <= at => Some(timer),
            _ => table.timer.replace((at, timer)).map(|(_, old)| old),
        };
        drop(table);
        if let Some(stale) = stale {
            self.runtime.cancel(stale);
        }
    }

    fn fire(weak: &Weak<Self>, at: Moment) {
        let Some(this) = weak.upgrade() else { return };
        let now = this.runtime.now();
        let mut table = this.table.lock();
        if table.timer.is_some_and(|(set, _)| set == at) {
            table.timer = None;
        }
        let mut due = Vec::new();
        let mut earliest = Moment::FAR;
        for (deadline, waker) in table.slots.iter_mut().flatten() {
            if *deadline <= now {
                due.push(waker.clone());
                // It has been woken; it is not to be woken again and again until it comes.
                *deadline = Moment::FAR;
            } else {
                earliest = earliest.min(*deadline);
            }
        }
        drop(table);
        if earliest != Moment::FAR {
            this.arm(earliest);
        }
        due.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::base::runtime::Manual;

    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn each_is_woken_once_and_soon_after_its_deadline() {
        let runtime = Manual::new();
        let deadlines = Deadlines::new(Arc::new(runtime.clone()));
        let at = |ms| Moment::ZERO + Duration::from_millis(ms);
        let counts: Vec<_> = (0..4).map(|_| Arc::new(Count(AtomicUsize::new(0)))).collect();
        let mut waiting: Vec<_> = [300, 100, 200, 100]
            .into_iter()
            .zip(&counts)
            .map(|(ms, count)| Some(deadlines.wait(at(ms), Arc::clone(count).into())))
            .collect();
        let woken = || counts.iter().map(|c| c.0.load(Ordering::Relaxed)).collect::<Vec<_>>();
        waiting[3] = None;
        runtime.advance(Duration::from_millis(99));
        assert_eq!(woken(), [0, 0, 0, 0]);
        runtime.advance(Duration::from_millis(7));
        assert_eq!(woken(), [0, 1, 0, 0]);
        runtime.advance(Duration::from_millis(1_000));
        assert_eq!(woken(), [1, 1, 1, 0]);
        drop(waiting);
        assert_eq!(runtime.stats().timers, 0, "nothing is left behind");
    }
}
