//! The two threads of a log: one syncs, one moves records into the tree.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use super::core::Core;
use crate::base::contain;
use crate::base::time::Timestamp;
use crate::base::wait::{Condvar, Mutex};
use crate::{Code, Error, Result};

/// The threads, to be ended.
#[derive(Default)]
pub(super) struct Workers(Mutex<Option<Running>>);

struct Running {
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Stop {
    now: AtomicBool,
    lock: Mutex<()>,
    told: Condvar,
}

impl Workers {
    /// Starts `sutazai-audit` and `sutazai-audit-tree`, unless they run.
    pub(super) fn start(&self, core: &Arc<Core>) -> Result<()> {
        let mut running = self.0.lock();
        if running.is_some() {
            return Ok(());
        }
        let stop = Arc::new(Stop::default());
        let mut threads = Vec::new();
        core.queue.attended.store(true, Ordering::Release);
        for (name, work) in
            [("sutazai-audit", sync as fn(&Core, &Stop)), ("sutazai-audit-tree", grow)]
        {
            let (shared, told) = (Arc::clone(core), Arc::clone(&stop));
            let spawned = std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || work(&shared, &told))
                .map_err(|e| {
                    Error::new(Code::IO, "the audit log's thread could not be started").because(e)
                });
            match spawned {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    drop(running);
                    end(core, Running { stop, threads });
                    return Err(error);
                }
            }
        }
        *running = Some(Running { stop, threads });
        Ok(())
    }

    /// Ends the threads; whoever waits for the disk is answered first.
    pub(super) fn stop(&self, core: &Core) {
        let running = self.0.lock().take();
        // A child has the parent's handles, but not its threads.
        let running = running.filter(|_| !core.is_forked());
        if let Some(running) = running {
            end(core, running);
        }
    }
}

fn end(core: &Core, running: Running) {
    {
        let _told = running.stop.lock.lock();
        let _waiting = core.queue.waiting.lock();
        running.stop.now.store(true, Ordering::Release);
        core.queue.attended.store(false, Ordering::Release);
    }
    core.queue.woken.notify_all();
    running.stop.told.notify_all();
    let me = std::thread::current().id();
    for thread in running.threads.into_iter().filter(|thread| thread.thread().id() != me) {
        // What it panicked with was reported by the panic hook.
        let _ = thread.join();
    }
    let batch = std::mem::take(&mut *core.queue.waiting.lock());
    if !batch.is_empty() {
        let all = batch.iter().map(|(index, _)| index + 1).max().unwrap_or(0);
        core.queue.answer(batch, &core.commit.reach(&core.journal, all));
    }
}

/// Syncs for those who wait, at once, and for those who do not, at the interval.
fn sync(core: &Core, stop: &Stop) {
    let mut due = Instant::now() + core.sync_every;
    loop {
        let batch = {
            let mut waiting = core.queue.waiting.lock();
            if waiting.is_empty() && !stop.now.load(Ordering::Acquire) {
                waiting = core.queue.woken.wait_until(waiting, Some(due)).0;
            }
            std::mem::take(&mut *waiting)
        };
        if !batch.is_empty() {
            let all = batch.iter().map(|(index, _)| index + 1).max().unwrap_or(0);
            let result = core.commit.reach(&core.journal, all);
            core.queue.answer(batch, &result);
        }
        if stop.now.load(Ordering::Acquire) {
            return;
        }
        if Instant::now() >= due {
            due = Instant::now() + core.sync_every;
            // Whoever records next hears of a failure.
            let _ = core.commit.reach(&core.journal, core.journal.next());
        }
    }
}

/// Makes the next segment ready, and moves records into the tree at the interval or when the journal is
/// half full.
fn grow(core: &Core, stop: &Stop) {
    let mut due = Instant::now() + core.checkpoint_every;
    // A log in memory is not emptied any sooner; whoever finds it full does that.
    let look = match core.keep {
        Some(_) => core.checkpoint_every,
        None => core.checkpoint_every.min(std::time::Duration::from_millis(100)),
    };
    loop {
        {
            let lock = stop.lock.lock();
            if stop.now.load(Ordering::Acquire) {
                return;
            }
            drop(stop.told.wait_until(lock, Some(due.min(Instant::now() + look))));
        }
        if stop.now.load(Ordering::Acquire) {
            return;
        }
        if core.journal.wants_spare() {
            // Whoever needs it tries again, and is told.
            let _ = core.journal.prepare();
        }
        if Instant::now() >= due || core.journal.is_half_full() {
            // A signer or a witness that panics must not end the thread; the status tells of an error.
            let _ = contain::catch(|| core.integrate(Timestamp::now()));
            due = Instant::now() + core.checkpoint_every;
        }
    }
}
