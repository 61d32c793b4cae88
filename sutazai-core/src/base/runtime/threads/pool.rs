//! The bounded pool for blocking jobs. Threads come with the work and leave when idle; a worker
//! that waits for a ticket lends out its slot, so that jobs that wait for jobs do not starve. What waits is
//! [fair](crate::base::fair): the more urgent first, then each caller in its turn.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::super::place::{self, Lend};
use super::{FULL, Job, NOT_RUNNING, Refused, join};
use crate::base::fair::{Joined, Queue};
use crate::base::time::Moment;
use crate::base::wait::{Condvar, Mutex};
use crate::base::{contain, lineage, priority};

/// Substitutes for waiting workers, at most: a chain of calls deeper than this is a loop.
const MOST_LENT: usize = 1024;

pub(super) struct Pool {
    most: usize,
    queue_bound: usize,
    idle_for: Duration,
    state: Mutex<State>,
    work: Condvar,
    me: Weak<Self>,
}

#[derive(Default)]
struct State {
    running: bool,
    queue: Queue<Job>,
    /// Threads alive.
    alive: usize,
    /// Threads that wait for work.
    idle: usize,
    /// Workers that wait for a ticket.
    lent: usize,
    refused: u64,
    named: u64,
    handles: Vec<JoinHandle<()>>,
}

impl Pool {
    pub(super) fn new(most: usize, queue_bound: usize, idle_for: Duration) -> Arc<Self> {
        // It is asked whether there is room before anything joins: what was taken on stays.
        let queue = Queue::without_bound();
        Arc::new_cyclic(|me| Self {
            most,
            queue_bound,
            idle_for,
            state: Mutex::new(State { queue, ..State::default() }),
            work: Condvar::new(),
            me: me.clone(),
        })
    }

    pub(super) fn start(&self) {
        self.state.lock().running = true;
    }

    pub(super) fn submit(this: &Arc<Self>, job: Job) -> Result<(), Refused<Job>> {
        let mut state = this.state.lock();
        if !state.running {
            return Err(Refused { error: (&NOT_RUNNING).into(), work: job });
        }
        if state.queue.len() >= this.queue_bound {
            state.refused += 1;
            return Err(Refused { error: (&FULL).into(), work: job });
        }
        let mut place = None;
        let joined = state.queue.join(priority::current(), lineage::caller(), |key| {
            place = Some(key);
            job
        });
        debug_assert!(matches!(joined, Joined::Waits(None)), "there is no bound but ours");
        // Whoever idles is told even where a thread more is wanted: at the bound none comes.
        if state.idle > 0 {
            this.work.notify_one();
        }
        if state.idle >= state.queue.len() {
            return Ok(());
        }
        match this.grow(&mut state) {
            Ok(()) => Ok(()),
            // Somebody will come to it.
            Err(_) if state.alive > 0 => Ok(()),
            Err(error) => {
                state.refused += 1;
                match place.and_then(|place| state.queue.leave(&place)) {
                    Some(work) => {
                        Err(Refused { error: super::cannot_start("sutazai-pool", error), work })
                    }
                    None => Ok(()),
                }
            }
        }
    }

    /// One more thread, if the bound allows.
    fn grow(&self, state: &mut State) -> std::io::Result<()> {
        if state.alive >= self.most + state.lent.min(MOST_LENT) {
            return Ok(());
        }
        let Some(me) = self.me.upgrade() else { return Ok(()) };
        state.named += 1;
        let handle = std::thread::Builder::new()
            .name(format!("sutazai-pool-{}", state.named))
            .spawn(move || me.work())?;
        state.alive += 1;
        // Threads that left are forgotten here, so that the list does not grow with uptime.
        state.handles.retain(|h| !h.is_finished());
        state.handles.push(handle);
        Ok(())
    }

    fn work(self: Arc<Self>) {
        let lender: Arc<dyn Lend> = Arc::<Self>::clone(&self);
        place::as_worker(lender, || {
            while let Some(job) = self.next() {
                let _ = contain::catch(job);
            }
        });
    }

    /// The next job, or `None` when this thread should end (and is no longer counted).
    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            let too_many = state.alive > self.most + state.lent.min(MOST_LENT);
            if !too_many && let Some(job) = state.queue.pop() {
                return Some(job);
            }
            if too_many || !state.running {
                break;
            }
            state.idle += 1;
            let (again, timed_out) = self.work.wait_for(state, self.idle_for);
            state = again;
            state.idle -= 1;
            if timed_out && state.queue.is_empty() {
                break;
            }
        }
        state.alive -= 1;
        // One too many leaves its wake-up to another; the job that it was for still waits.
        if state.idle > 0 && !state.queue.is_empty() {
            self.work.notify_one();
        }
        None
    }

    /// Refuses new jobs, lets the queued ones run until `end`, then drops what is left.
    pub(super) fn stop(&self, end: Moment) {
        let handles = {
            let mut state = self.state.lock();
            state.running = false;
            self.work.notify_all();
            std::mem::take(&mut state.handles)
        };
        join(handles, end);
        let left = {
            let mut state = self.state.lock();
            std::mem::replace(&mut state.queue, Queue::without_bound())
        };
        drop(left);
    }

    pub(super) fn sizes(&self) -> (usize, usize, usize, u64) {
        let state = self.state.lock();
        (state.alive, state.queue.len(), state.alive - state.idle, state.refused)
    }
}

impl Lend for Pool {
    fn lend(&self) {
        let mut state = self.state.lock();
        state.lent += 1;
        if state.queue.is_empty() {
            return;
        }
        if state.idle > 0 {
            self.work.notify_one();
        }
        if state.idle < state.queue.len() {
            // No thread to be had: the job waits for a worker, as it would without lending.
            let _ = self.grow(&mut state);
        }
    }

    fn give_back(&self) {
        self.state.lock().lent -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, mpsc};

    use super::*;

    const HANG: Duration = Duration::from_secs(60);

    /// Of three workers, one too many: the one that a job's wake-up reaches leaves, and the other
    /// must hear of the job, for none of them looks by itself within the hour.
    #[test]
    fn a_worker_that_leaves_passes_its_wake_up_on() {
        let pool = Pool::new(2, 16, Duration::from_secs(3600));
        pool.start();
        let (wait_over, waits) = mpsc::channel::<()>();
        let (job_over, runs) = mpsc::channel::<()>();
        let (back, given_back) = mpsc::channel();
        let lender = move || {
            place::block(|| waits.recv()).unwrap().unwrap();
            back.send(()).unwrap();
            runs.recv().unwrap();
        };
        Pool::submit(&pool, Box::new(lender)).unwrap();
        until(&pool, |state| state.lent == 1);
        let both = Arc::new(Barrier::new(2));
        for _ in 0..2 {
            let both = Arc::clone(&both);
            let meet = move || {
                both.wait();
            };
            Pool::submit(&pool, Box::new(meet)).unwrap();
        }
        until(&pool, |state| state.alive == 3 && state.idle == 2);
        wait_over.send(()).unwrap();
        given_back.recv_timeout(HANG).unwrap();

        let (ran, hears) = mpsc::channel();
        Pool::submit(&pool, Box::new(move || ran.send(()).unwrap())).unwrap();
        hears.recv_timeout(HANG).expect("the other idle worker runs the job");
        job_over.send(()).unwrap();
        pool.stop(Moment::now() + HANG);
    }

    fn until(pool: &Pool, reached: impl Fn(&State) -> bool) {
        let end = Moment::now() + HANG;
        while !reached(&pool.state.lock()) {
            assert!(Moment::now() < end, "the pool does not come to that");
            std::thread::yield_now();
        }
    }
}
