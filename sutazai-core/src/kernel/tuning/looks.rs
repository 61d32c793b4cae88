//! Looks at what is tuned, in turn: who hangs is left alone, and the others are looked at all the same.
//!
//! One job looks at all of them, one after another. When it has not got on from one timer's turn to the next, another job goes on in its
//! place, past whom it is at; it ends when it comes back. So there is one job where nobody hangs, and one more for each who does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::shared::{Phase, Shared};
use super::{LOOK, STUCK};
use crate::base::contain;
use crate::base::time::Moment;
use crate::observe::Level;

/// Who is looked at, and by which job.
#[derive(Default)]
pub(super) struct Looks {
    /// The number of the job that looks; those before it go no further.
    job: u64,
    under_way: bool,
    /// It has begun: what waits for a thread has not.
    begun: bool,
    /// Looks so far, and how many there had been when the timer last had its turn.
    looks: u64,
    then: u64,
    /// Who is being looked at, by where it is in memory: it stays there until then.
    at: BTreeMap<usize, At>,
}

struct At {
    name: String,
    since: Moment,
    told: bool,
}

impl Looks {
    /// The number of a job that is to begin now; none while the one under way gets on.
    fn begin(&mut self) -> Option<u64> {
        let gets_on = self.looks != self.then;
        self.then = self.looks;
        if self.under_way && (gets_on || !self.begun) {
            return None;
        }
        self.job = self.job.wrapping_add(1);
        (self.under_way, self.begun) = (true, false);
        Some(self.job)
    }

    /// Whether this job may look at it now.
    fn enter(&mut self, job: u64, key: usize, name: &str, now: Moment) -> bool {
        if self.job != job || self.at.contains_key(&key) {
            return false;
        }
        self.looks = self.looks.wrapping_add(1);
        self.at.insert(key, At { name: name.to_owned(), since: now, told: false });
        true
    }

    fn has_begun(&mut self, job: u64) {
        self.begun |= self.job == job;
    }

    fn leave(&mut self, key: usize) {
        self.at.remove(&key);
    }

    fn end(&mut self, job: u64) {
        if self.job == job {
            self.under_way = false;
        }
    }

    /// Those at whom a look has been for so long; each is named once.
    fn stuck(&mut self, within: Duration, now: Moment) -> Vec<String> {
        let stuck = |at: &&mut At| !at.told && now.since(at.since) >= within;
        let tell = |at: &mut At| {
            at.told = true;
            at.name.clone()
        };
        self.at.values_mut().filter(stuck).map(tell).collect()
    }
}

impl Shared {
    /// Has what is tuned looked at soon, and then again and again.
    pub(super) fn tune_later(self: &Arc<Self>) {
        if self.tuning.idle() || self.tuning.ticks.swap(true, Ordering::SeqCst) {
            return;
        }
        let weak = Arc::downgrade(self);
        let job = Box::new(move || {
            let Some(shared) = weak.upgrade() else { return };
            shared.tuning.ticks.store(false, Ordering::SeqCst);
            if shared.phase() != Phase::Running {
                return;
            }
            shared.tune_later();
            let Some(job) = shared.tuning.looks.lock().begin() else { return };
            // A suggestion takes a millisecond, and what is changed is written to the audit record: not on the timer.
            let aside = Arc::clone(&shared);
            let looks = shared.runtime.spawn_blocking(Box::new(move || {
                aside.look_at_tuned(job);
                aside.tuning.looks.lock().end(job);
            }));
            if looks.is_err() {
                shared.tuning.looks.lock().end(job);
            }
        });
        self.runtime.spawn_at(self.runtime.now() + LOOK, job);
    }

    fn look_at_tuned(self: &Arc<Self>, job: u64) {
        let stuck = {
            let mut looks = self.tuning.looks.lock();
            looks.has_begun(job);
            looks.stuck(STUCK, self.runtime.now())
        };
        for name in stuck {
            let what = "it is not tuned meanwhile: a knob of its hangs, or what it is measured by";
            self.kept.log().record(Level::Warn, "sutazai.tune", what, [("name", name)]);
        }
        let tuners: Vec<_> = self.tuning.tuners.lock().values().cloned().collect();
        for tuned in &tuners {
            self.look_at_one(job, tuned, &tuned.name, || self.look_at_tuner(tuned));
        }
        let divided: Vec<_> = self.tuning.divided.lock().values().cloned().collect();
        for divided in &divided {
            self.look_at_one(job, divided, &divided.name, || self.look_at_divided(divided));
        }
        #[cfg(feature = "agent")]
        {
            let pools: Vec<_> = self.tuning.pools.lock().values().cloned().collect();
            for pool in &pools {
                self.look_at_one(job, pool, &pool.pool, || self.look_at_scaled(pool));
            }
        }
    }

    /// One that panics leaves the others alone.
    fn look_at_one<T>(&self, job: u64, at: &Arc<T>, name: &str, look: impl FnOnce()) {
        let key = Arc::as_ptr(at) as usize;
        if !self.tuning.looks.lock().enter(job, key, name, self.runtime.now()) {
            return;
        }
        let looked = contain::run("a look panicked", look);
        self.tuning.looks.lock().leave(key);
        if let Err(error) = looked {
            let fields = [("name", name.to_owned()), ("error", format!("{error:#}"))];
            self.kept.log().record(Level::Error, "sutazai.tune", "it is not tuned", fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_hangs_is_left_alone_and_named_once() {
        let at = |seconds: u64| Moment::from_nanos(seconds * 1_000_000_000);
        let mut looks = Looks::default();
        let one = looks.begin().unwrap();
        assert_eq!(looks.begin(), None, "it has not begun");
        looks.has_begun(one);
        assert!(looks.enter(one, 1, "a", at(0)));
        assert_eq!(looks.begin(), None, "it gets on");
        let two = looks.begin().unwrap();
        assert!(!looks.enter(two, 1, "a", at(1)) && looks.enter(two, 2, "b", at(1)));
        looks.leave(2);
        looks.end(two);
        assert_eq!(looks.stuck(STUCK, at(1)), [""; 0]);
        assert_eq!(looks.stuck(STUCK, at(3)), ["a"]);
        assert_eq!(looks.stuck(STUCK, at(9)), [""; 0]);
        // The first one comes back, and goes no further.
        looks.leave(1);
        assert!(!looks.enter(one, 2, "b", at(9)));
        looks.end(one);
        let three = looks.begin().unwrap();
        assert!(looks.enter(three, 1, "a", at(9)));
    }
}
