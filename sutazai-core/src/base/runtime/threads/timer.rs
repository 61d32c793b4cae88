//! One thread that runs timers: a heap of moments, and the jobs by id so that cancelling one frees
//! it at once.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::super::place;
use super::{Job, join};
use crate::Result;
use crate::base::contain;
use crate::base::id::TimerId;
use crate::base::time::Moment;
use crate::base::wait::{Condvar, Mutex};

pub(super) struct Timer {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    running: bool,
    /// Stopped, and not started again: what is added is dropped, for it would never run.
    stopped: bool,
    /// Counts the starts; a thread of an earlier one ends.
    start: u64,
    next: u64,
    heap: BinaryHeap<Reverse<(Moment, u64)>>,
    jobs: HashMap<u64, Job>,
    thread: Option<JoinHandle<()>>,
}

impl Timer {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), changed: Condvar::new() }
    }

    pub(super) fn start(this: &Arc<Self>) -> Result<()> {
        let mut state = this.state.lock();
        if state.running {
            return Ok(());
        }
        let (timer, start) = (Arc::clone(this), state.start + 1);
        let thread = std::thread::Builder::new()
            .name("sutazai-timer".into())
            .spawn(move || place::forbidden(|| timer.run(start)))
            .map_err(|e| super::cannot_start("sutazai-timer", e))?;
        state.thread = Some(thread);
        state.running = true;
        state.stopped = false;
        state.start = start;
        Ok(())
    }

    /// Before the start, jobs wait for it; after a stop they are dropped.
    pub(super) fn add(&self, at: Moment, job: Job) -> TimerId {
        let mut state = self.state.lock();
        state.next += 1;
        let id = state.next;
        if state.stopped {
            drop(state);
            drop(job);
            return TimerId(id);
        }
        let earliest = state.heap.peek().is_none_or(|Reverse((first, _))| at < *first);
        state.heap.push(Reverse((at, id)));
        state.jobs.insert(id, job);
        if earliest {
            self.changed.notify_one();
        }
        TimerId(id)
    }

    pub(super) fn cancel(&self, timer: TimerId) -> bool {
        let mut state = self.state.lock();
        let job = state.jobs.remove(&timer.0);
        // Cancelled entries leave the heap when their moment comes, or here when they are most of it.
        if state.heap.len() > 64 && state.heap.len() > 2 * state.jobs.len() {
            let State { heap, jobs, .. } = &mut *state;
            heap.retain(|Reverse((_, id))| jobs.contains_key(id));
        }
        drop(state);
        job.is_some()
    }

    fn run(&self, start: u64) {
        let mut state = self.state.lock();
        while state.running && state.start == start {
            let Some(&Reverse((at, id))) = state.heap.peek() else {
                state = self.changed.wait(state);
                continue;
            };
            if !state.jobs.contains_key(&id) {
                state.heap.pop();
                continue;
            }
            let left = at.since(Moment::now());
            if !left.is_zero() {
                (state, _) = self.changed.wait_for(state, left);
                continue;
            }
            state.heap.pop();
            let job = state.jobs.remove(&id);
            drop(state);
            if let Some(job) = job {
                let _ = contain::catch(job);
            }
            state = self.state.lock();
        }
    }

    /// Ends the thread; timers that wait are dropped.
    pub(super) fn stop(&self, end: Moment) {
        let (thread, jobs) = {
            let mut state = self.state.lock();
            state.running = false;
            state.stopped = true;
            state.heap.clear();
            self.changed.notify_all();
            (state.thread.take(), std::mem::take(&mut state.jobs))
        };
        drop(jobs);
        join(thread.into_iter().collect(), end);
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().jobs.len()
    }

    pub(super) fn threads(&self) -> usize {
        usize::from(self.state.lock().thread.is_some())
    }
}
