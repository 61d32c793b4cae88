//! Virtual time: nothing happens until the test says so, and then in a fixed order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use super::{BoxFuture, Job, Refused, Runtime, RuntimeStats, place};
use crate::Result;
use crate::base::contain;
use crate::base::id::TimerId;
use crate::base::time::{Moment, Timestamp};

/// A runtime whose clock moves only by [`advance`](Manual::advance). Cheap to clone; clones are the
/// same runtime. Blocking jobs, futures and timers run on the thread that calls `advance` or
/// [`run`](Manual::run), in the order in which they were given, timers in order of their moments.
///
/// Waiting for a ticket on it is refused with
/// [`Code::WOULD_DEADLOCK`](crate::Code::WOULD_DEADLOCK): advance first, then take the answer.
///
/// ```
/// use sutazai_core::base::runtime::{Manual, Runtime};
/// use std::time::Duration;
///
/// let runtime = Manual::new();
/// let (mut ticket, reply) = sutazai_core::base::ticket::pair();
/// let at = runtime.now() + Duration::from_secs(3600);
/// runtime.spawn_at(at, Box::new(move || drop(reply.send("an hour later"))));
/// assert!(ticket.try_take().is_none());
/// runtime.advance(Duration::from_secs(3600));
/// assert_eq!(ticket.try_take().unwrap()?, "an hour later");
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Manual {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    now: Moment,
    next: u64,
    ready: VecDeque<Work>,
    timers: BTreeMap<(Moment, u64), Job>,
    moments: BTreeMap<u64, Moment>,
}

enum Work {
    Job(Job),
    Poll(Arc<Task>),
}

struct Task {
    shared: std::sync::Weak<Shared>,
    queued: AtomicBool,
    future: Mutex<Option<BoxFuture>>,
}

/// The wall clock of a virtual runtime starts here: 2026-01-01T00:00:00Z.
const WALL_ORIGIN: Timestamp = Timestamp::from_nanos(1_767_225_600_000_000_000);
/// More rounds than this at one moment is a loop, and the test hears of it by time standing still.
const MOST_ROUNDS: usize = 1_000_000;

impl Manual {
    /// A runtime at [`Moment::ZERO`], 2026-01-01T00:00:00Z.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs everything that is ready, and moves the clock on by `duration`, stopping at each timer
    /// on the way. Returns how many pieces of work ran.
    pub fn advance(&self, duration: Duration) -> usize {
        let end = self.now() + duration;
        let mut ran = self.run();
        loop {
            let due = {
                let mut state = self.shared.state.lock();
                let first = state.timers.first_key_value().map(|(key, _)| *key);
                match first {
                    Some(key) if key.0 <= end => {
                        state.now = state.now.max(key.0);
                        state.moments.remove(&key.1);
                        state.timers.remove(&key)
                    }
                    _ => None,
                }
            };
            let Some(job) = due else { break };
            run_quietly(job);
            ran += 1 + self.run();
        }
        let mut state = self.shared.state.lock();
        state.now = state.now.max(end);
        ran
    }

    /// Runs everything that is ready now, without moving the clock. Returns how many pieces ran.
    pub fn run(&self) -> usize {
        let mut ran = 0;
        while ran < MOST_ROUNDS {
            let Some(work) = self.shared.state.lock().ready.pop_front() else { break };
            match work {
                Work::Job(job) => run_quietly(job),
                Work::Poll(task) => poll(&task),
            }
            ran += 1;
        }
        ran
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Option<Moment> {
        self.shared.state.lock().timers.first_key_value().map(|((at, _), _)| *at)
    }
}

fn run_quietly(job: Job) {
    let _ = contain::catch(|| place::forbidden(job));
}

fn poll(task: &Arc<Task>) {
    task.queued.store(false, Ordering::Release);
    let waker = Waker::from(Arc::clone(task));
    let mut slot = task.future.lock();
    let Some(future) = slot.as_mut() else { return };
    let outcome = contain::catch(|| {
        place::forbidden(|| future.as_mut().poll(&mut Context::from_waker(&waker)))
    });
    if !matches!(outcome, Ok(Poll::Pending)) {
        let finished = slot.take();
        drop(slot);
        let _ = contain::catch(move || drop(finished));
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel)
            && let Some(shared) = self.shared.upgrade()
        {
            shared.state.lock().ready.push_back(Work::Poll(self));
        }
    }
}

impl Runtime for Manual {
    fn name(&self) -> &'static str {
        "manual"
    }

    fn now(&self) -> Moment {
        self.shared.state.lock().now
    }

    fn timestamp(&self) -> Timestamp {
        WALL_ORIGIN + self.now().since(Moment::ZERO)
    }

    fn spawn(&self, future: BoxFuture) -> Result<(), Refused<BoxFuture>> {
        let task = Arc::new(Task {
            shared: Arc::downgrade(&self.shared),
            queued: AtomicBool::new(true),
            future: Mutex::new(Some(future)),
        });
        self.shared.state.lock().ready.push_back(Work::Poll(task));
        Ok(())
    }

    fn spawn_blocking(&self, job: Job) -> Result<(), Refused<Job>> {
        self.shared.state.lock().ready.push_back(Work::Job(job));
        Ok(())
    }

    fn spawn_at(&self, at: Moment, job: Job) -> TimerId {
        let mut state = self.shared.state.lock();
        state.next += 1;
        let id = state.next;
        state.timers.insert((at, id), job);
        state.moments.insert(id, at);
        TimerId(id)
    }

    fn cancel(&self, timer: TimerId) -> bool {
        let job = {
            let mut state = self.shared.state.lock();
            state.moments.remove(&timer.0).and_then(|at| state.timers.remove(&(at, timer.0)))
        };
        job.is_some()
    }

    fn may_block(&self) -> bool {
        false
    }

    fn virtual_time(&self) -> Option<&Self> {
        Some(self)
    }

    fn stats(&self) -> RuntimeStats {
        let state = self.shared.state.lock();
        RuntimeStats { queued: state.ready.len(), timers: state.timers.len(), ..Default::default() }
    }
}

impl std::fmt::Debug for Manual {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manual").field("now", &self.now()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;
    use crate::base::ticket;

    #[test]
    fn timers_run_in_order_of_their_moments() {
        let runtime = Manual::new();
        let seen = Arc::new(Mutex::new(Vec::new()));
        for ms in [30_u64, 10, 20, 10] {
            let (seen, clock) = (Arc::clone(&seen), runtime.clone());
            runtime.spawn_at(
                Moment::ZERO + Duration::from_millis(ms),
                Box::new(move || seen.lock().push((ms, clock.now().as_nanos() / 1_000_000))),
            );
        }
        runtime.advance(Duration::from_millis(25));
        assert_eq!(*seen.lock(), [(10, 10), (10, 10), (20, 20)]);
        assert_eq!(runtime.now(), Moment::ZERO + Duration::from_millis(25));
        assert_eq!(runtime.next_timer(), Some(Moment::ZERO + Duration::from_millis(30)));
    }

    #[test]
    fn waiting_is_refused_and_the_ticket_stays_good() {
        let runtime = Manual::new();
        let (mut ticket, reply) = ticket::pair();
        runtime
            .spawn_blocking(Box::new(move || {
                let (mut inner, _reply) = ticket::pair::<()>();
                let _ = reply.send(inner.wait().unwrap_err().code());
            }))
            .unwrap();
        runtime.run();
        assert_eq!(ticket.try_take().unwrap().unwrap(), Code::WOULD_DEADLOCK);
    }

    #[test]
    fn cancelled_timers_do_not_run() {
        let runtime = Manual::new();
        let (ticket, reply) = ticket::pair();
        let timer = runtime.spawn_at(
            Moment::ZERO + Duration::from_secs(1),
            Box::new(move || drop(reply.send(()))),
        );
        assert!(runtime.cancel(timer));
        assert!(!runtime.cancel(timer));
        assert_eq!(runtime.advance(Duration::from_secs(2)), 0);
        // The job was dropped with its reply, which answers.
        assert!(ticket.is_done());
    }

    #[test]
    fn futures_are_polled_when_woken() {
        let runtime = Manual::new();
        let (inner, reply) = ticket::pair::<u8>();
        let (mut outer, done) = ticket::pair::<u8>();
        runtime
            .spawn(Box::pin(async move {
                let _ = done.answer(inner.await);
            }))
            .unwrap();
        runtime.run();
        assert!(!outer.is_done());
        reply.send(9).unwrap();
        runtime.run();
        assert_eq!(outer.try_take().unwrap().unwrap(), 9);
    }
}
