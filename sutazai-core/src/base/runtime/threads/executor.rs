//! Drives futures on a few threads: one queue, one flag a task.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;

use super::super::place;
use super::{BoxFuture, FULL, NOT_RUNNING, Refused, join};
use crate::Result;
use crate::base::time::Moment;

pub(super) struct Executor {
    executors: usize,
    most: usize,
    running: AtomicBool,
    under_way: AtomicUsize,
    refused: AtomicU64,
    queue: Sender<Message>,
    source: Receiver<Message>,
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

struct Task {
    state: AtomicU8,
    future: Mutex<Option<BoxFuture>>,
    executor: Weak<Executor>,
}

impl Executor {
    pub(super) fn new(executors: usize, most: usize) -> Self {
        // The queue holds each task at most once, and tasks are bounded by `most`.
        let (queue, source) = crossbeam_channel::unbounded();
        Self {
            executors,
            most,
            running: AtomicBool::new(false),
            under_way: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            queue,
            source,
            threads: Mutex::default(),
        }
    }

    pub(super) fn start(this: &Arc<Self>) -> Result<()> {
        if this.running.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let mut threads = this.threads.lock();
        for n in 1..=this.executors {
            let name = format!("sutazai-async-{n}");
            let source = this.source.clone();
            let thread = std::thread::Builder::new()
                .name(name.clone())
                .spawn(move || place::forbidden(|| drive(&source)))
                .map_err(|e| super::cannot_start(&name, e))?;
            threads.push(thread);
        }
        Ok(())
    }

    pub(super) fn spawn(this: &Arc<Self>, future: BoxFuture) -> Result<(), Refused<BoxFuture>> {
        if !this.running.load(Ordering::Acquire) {
            return Err(Refused { error: (&NOT_RUNNING).into(), work: future });
        }
        if this.under_way.fetch_add(1, Ordering::AcqRel) >= this.most {
            this.under_way.fetch_sub(1, Ordering::AcqRel);
            this.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Refused { error: (&FULL).into(), work: future });
        }
        let task = Arc::new(Task {
            state: AtomicU8::new(QUEUED),
            future: Mutex::new(Some(future)),
            executor: Arc::downgrade(this),
        });
        let _ = this.queue.send(Message::Poll(task));
        Ok(())
    }

    pub(super) fn stop(&self, end: Moment) {
        if !self.running.swap(false, Ordering::AcqRel) {
            return;
        }
        // Futures under way may finish within the grace; they are polled until then.
        while self.under_way.load(Ordering::Acquire) > 0 && Moment::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        for _ in &threads {
            let _ = self.queue.send(Message::End);
        }
        join(threads, end);
        // What is still queued is dropped; its replies answer that they were abandoned.
        while self.source.try_recv().is_ok() {}
    }

    pub(super) fn threads(&self) -> usize {
        self.threads.lock().len()
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

fn drive(source: &Receiver<Message>) {
    while let Ok(Message::Poll(task)) = source.recv() {
        poll(task);
    }
}

fn poll(task: Arc<Task>) {
    task.state.store(POLLING, Ordering::Release);
    let waker = Waker::from(Arc::clone(&task));
    let mut slot = task.future.lock();
    let Some(future) = slot.as_mut() else { return };
    let done =
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
    if matches!(done, Ok(Poll::Pending)) {
        drop(slot);
        if task.state.compare_exchange(POLLING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_err()
        {
            task.state.store(QUEUED, Ordering::Release);
            if let Some(executor) = task.executor.upgrade() {
                let _ = executor.queue.send(Message::Poll(Arc::clone(&task)));
            }
        }
        return;
    }
    // Ready, or it panicked (its reply, dropped with it, answers).
    let finished = slot.take();
    drop(slot);
    let _ = catch_unwind(AssertUnwindSafe(move || drop(finished)));
    if let Some(executor) = task.executor.upgrade() {
        executor.under_way.fetch_sub(1, Ordering::AcqRel);
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
                    if self
                        .state
                        .compare_exchange(IDLE, QUEUED, Ordering::AcqRel, Ordering::Acquire)
                        .is_ok()
                    {
                        if let Some(executor) = self.executor.upgrade() {
                            let _ = executor.queue.send(Message::Poll(Arc::clone(self)));
                        }
                        return;
                    }
                }
                POLLING => {
                    if self
                        .state
                        .compare_exchange(POLLING, AGAIN, Ordering::AcqRel, Ordering::Acquire)
                        .is_ok()
                    {
                        return;
                    }
                }
                _ => return,
            }
        }
    }
}
