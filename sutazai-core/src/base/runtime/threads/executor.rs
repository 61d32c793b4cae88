//! Drives futures on a few threads: one queue, one flag a task.
//!
//! Each start has a queue of its own, so that a thread which foreign code keeps beyond a stop ends
//! by itself later, and takes nothing from the next start.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};
use parking_lot::{Mutex, RwLock};

use super::super::place;
use super::{BoxFuture, FULL, NOT_RUNNING, Refused, join};
use crate::Result;
use crate::base::contain;
use crate::base::time::Moment;

/// Locks among which the list of living tasks is divided.
const SHARDS: usize = 16;

pub(super) struct Executor {
    executors: usize,
    most: usize,
    under_way: AtomicUsize,
    refused: AtomicU64,
    next: AtomicUsize,
    /// The queue of the present start. Spawning holds it for reading, so that a stop finds every
    /// task in the list of the living.
    queue: RwLock<Option<Sender<Message>>>,
    living: [Mutex<HashMap<usize, Weak<Task>>>; SHARDS],
    threads: Mutex<Vec<JoinHandle<()>>>,
}

enum Message {
    Poll(Arc<Task>),
    End,
}

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const POLLING: u8 = 2;
/// Woken while it was being polled: poll again.
const AGAIN: u8 = 3;
/// Done, or ended by a stop: never polled again.
const ENDED: u8 = 4;

struct Task {
    id: usize,
    state: AtomicU8,
    /// Taken out once; whoever takes it gives the task's place back.
    future: Mutex<Option<BoxFuture>>,
    queue: Sender<Message>,
    executor: Weak<Executor>,
}

impl Executor {
    pub(super) fn new(executors: usize, most: usize) -> Self {
        Self {
            executors,
            most,
            under_way: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            queue: RwLock::default(),
            living: Default::default(),
            threads: Mutex::default(),
        }
    }

    pub(super) fn start(&self) -> Result<()> {
        let mut queue = self.queue.write();
        if queue.is_some() {
            return Ok(());
        }
        // It holds each task at most once, and tasks are bounded by `most`.
        let (sender, source) = crossbeam_channel::unbounded();
        let mut threads = Vec::with_capacity(self.executors);
        for n in 1..=self.executors {
            let name = format!("sutazai-async-{n}");
            let source = source.clone();
            // On failure those that did start end by themselves: nobody sends to them.
            let thread = std::thread::Builder::new()
                .name(name.clone())
                .spawn(move || place::forbidden(|| drive(&source)))
                .map_err(|e| super::cannot_start(&name, e))?;
            threads.push(thread);
        }
        *self.threads.lock() = threads;
        *queue = Some(sender);
        Ok(())
    }

    pub(super) fn spawn(this: &Arc<Self>, future: BoxFuture) -> Result<(), Refused<BoxFuture>> {
        let queue = this.queue.read();
        let Some(queue) = &*queue else {
            return Err(Refused { error: (&NOT_RUNNING).into(), work: future });
        };
        if this.under_way.fetch_add(1, Ordering::AcqRel) >= this.most {
            this.under_way.fetch_sub(1, Ordering::AcqRel);
            this.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Refused { error: (&FULL).into(), work: future });
        }
        let task = Arc::new(Task {
            id: this.next.fetch_add(1, Ordering::Relaxed),
            state: AtomicU8::new(QUEUED),
            future: Mutex::new(Some(future)),
            queue: queue.clone(),
            executor: Arc::downgrade(this),
        });
        this.shard(task.id).lock().insert(task.id, Arc::downgrade(&task));
        let _ = queue.send(Message::Poll(task));
        Ok(())
    }

    /// Refuses new futures, polls those under way until `end`, and drops what is left; its replies
    /// answer that they were abandoned.
    pub(super) fn stop(&self, end: Moment) {
        let Some(queue) = self.queue.write().take() else { return };
        while self.under_way.load(Ordering::Acquire) > 0 && Moment::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        for shard in &self.living {
            // Collected first: futures are foreign code and must not be dropped under the lock.
            let tasks: Vec<_> = shard.lock().values().filter_map(Weak::upgrade).collect();
            tasks.iter().for_each(|task| task.end());
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        for _ in &threads {
            let _ = queue.send(Message::End);
        }
        join(threads, end);
    }

    pub(super) fn threads(&self) -> usize {
        self.threads.lock().len()
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn shard(&self, id: usize) -> &Mutex<HashMap<usize, Weak<Task>>> {
        &self.living[id % SHARDS]
    }
}

fn drive(source: &Receiver<Message>) {
    while let Ok(Message::Poll(task)) = source.recv() {
        poll(task);
    }
}

fn poll(task: Arc<Task>) {
    if !task.turn(QUEUED, POLLING) {
        return;
    }
    let waker = Waker::from(Arc::clone(&task));
    let mut slot = task.future.lock();
    let Some(future) = slot.as_mut() else { return };
    let done = contain::catch(|| future.as_mut().poll(&mut Context::from_waker(&waker)));
    drop(slot);
    if matches!(done, Ok(Poll::Pending)) {
        if task.turn(POLLING, IDLE) {
            return;
        }
        if task.turn(AGAIN, QUEUED) {
            let _ = task.queue.send(Message::Poll(Arc::clone(&task)));
            return;
        }
        // A stop ended it meanwhile, and left the rest to this thread.
    }
    // Ready, ended, or it panicked (its reply, dropped with it, answers).
    task.state.store(ENDED, Ordering::Release);
    task.finish();
}

impl Task {
    fn turn(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Drops the future, now or when the poll that is under way returns.
    fn end(&self) {
        if matches!(self.state.swap(ENDED, Ordering::AcqRel), IDLE | QUEUED) {
            self.finish();
        }
    }

    fn finish(&self) {
        let future = self.future.lock().take();
        self.leave(future);
    }

    fn leave(&self, future: Option<BoxFuture>) {
        if future.is_none() {
            return;
        }
        let _ = contain::catch(move || drop(future));
        if let Some(executor) = self.executor.upgrade() {
            executor.shard(self.id).lock().remove(&self.id);
            executor.under_way.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Task {
    /// A future that nobody can wake any more has its place given back too.
    fn drop(&mut self) {
        let future = self.future.get_mut().take();
        self.leave(future);
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        loop {
            match self.state.load(Ordering::Acquire) {
                IDLE => {
                    if self.turn(IDLE, QUEUED) {
                        let _ = self.queue.send(Message::Poll(Arc::clone(self)));
                        return;
                    }
                }
                POLLING => {
                    if self.turn(POLLING, AGAIN) {
                        return;
                    }
                }
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Code;
    use crate::base::ticket;

    const HANG: Duration = Duration::from_secs(600);

    /// A stop with time to spare waits for what is under way, so that the second one ends only if
    /// the first gave every place back.
    #[test]
    fn a_stop_drops_what_pends_and_the_next_start_has_the_whole_bound() {
        let executor = Arc::new(Executor::new(1, 3));
        executor.start().unwrap();
        let tickets: Vec<_> = (0..3)
            .map(|_| {
                let (ticket, reply) = ticket::pair::<()>();
                let (mut begun, began) = ticket::pair();
                let (waits, kept) = ticket::pair::<()>();
                let future = async move {
                    let _reply = reply;
                    let _ = began.send(());
                    let _ = waits.await;
                };
                Executor::spawn(&executor, Box::pin(future)).unwrap();
                begun.wait().unwrap();
                (ticket, kept)
            })
            .collect();
        let refused = Executor::spawn(&executor, Box::pin(async {})).unwrap_err();
        assert_eq!(refused.error.code(), Code::OVERLOADED);
        executor.stop(Moment::now());
        for (mut ticket, kept) in tickets {
            assert_eq!(ticket.wait().unwrap_err().code(), Code::ABANDONED);
            // Waking what a stop has ended does nothing.
            drop(kept);
        }
        until_free(&executor);

        executor.start().unwrap();
        let tickets: Vec<_> = (0..3)
            .map(|n| {
                let (ticket, reply) = ticket::pair();
                let future = Box::pin(async move { drop(reply.send(n)) });
                Executor::spawn(&executor, future).unwrap();
                ticket
            })
            .collect();
        for (n, mut ticket) in tickets.into_iter().enumerate() {
            assert_eq!(ticket.wait().unwrap(), n);
        }
        executor.stop(Moment::now() + HANG);
        assert_eq!(executor.under_way.load(Ordering::Acquire), 0);
        assert_eq!(executor.threads(), 0);
    }

    #[test]
    fn a_future_that_nobody_can_wake_gives_its_place_back() {
        let executor = Arc::new(Executor::new(1, 1));
        executor.start().unwrap();
        let (mut ticket, reply) = ticket::pair::<()>();
        let future = async move {
            let _reply = reply;
            std::future::pending::<()>().await;
        };
        Executor::spawn(&executor, Box::pin(future)).unwrap();
        assert_eq!(ticket.wait().unwrap_err().code(), Code::ABANDONED);
        until_free(&executor);
        assert!(executor.living.iter().all(|shard| shard.lock().is_empty()));
        executor.stop(Moment::now() + HANG);
    }

    /// The thread that ended a future gives its place back right after.
    fn until_free(executor: &Executor) {
        let end = Moment::now() + HANG;
        while executor.under_way.load(Ordering::Acquire) > 0 {
            assert!(Moment::now() < end, "a place was lost");
            std::thread::yield_now();
        }
    }
}
