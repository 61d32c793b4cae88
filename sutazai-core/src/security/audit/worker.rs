//! The two threads of a log: one syncs, one moves records into the tree.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use super::core::Core;
use crate::base::contain;
use crate::base::time::Timestamp;
use crate::base::wait::Mutex;
use crate::{Code, Error, Result};

/// The threads, to be ended.
#[derive(Default)]
pub(super) struct Workers(Mutex<Option<Running>>);

struct Running {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `sutazai-audit` and `sutazai-audit-tree`, unless they run.
    pub(super) fn start(&self, core: &Arc<Core>) -> Result<()> {
        let mut running = self.0.lock();
        if running.is_some() {
            return Ok(());
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        core.queue.attended.store(true, Ordering::Release);
        for (name, work) in
            [("sutazai-audit", sync as fn(&Core, &AtomicBool)), ("sutazai-audit-tree", grow)]
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
        let _waiting = core.queue.waiting.lock();
        running.stop.store(true, Ordering::Release);
        core.queue.attended.store(false, Ordering::Release);
    }
    core.queue.woken.notify_all();
    core.growth.nudge();
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
fn sync(core: &Core, stop: &AtomicBool) {
    let mut due = Instant::now() + core.sync_every;
    loop {
        let batch = {
            let mut waiting = core.queue.waiting.lock();
            if waiting.is_empty() && !stop.load(Ordering::Acquire) {
                waiting = core.queue.woken.wait_until(waiting, Some(due)).0;
            }
            std::mem::take(&mut *waiting)
        };
        if !batch.is_empty() {
            let all = batch.iter().map(|(index, _)| index + 1).max().unwrap_or(0);
            let result = core.commit.reach(&core.journal, all);
            core.queue.answer(batch, &result);
        }
        if stop.load(Ordering::Acquire) {
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
fn grow(core: &Core, stop: &AtomicBool) {
    let mut due = Instant::now() + core.checkpoint_every;
    loop {
        if core.journal.wants_spare() {
            // Whoever needs it tries again, and is told.
            let _ = core.journal.prepare();
        }
        core.growth.wait(due);
        if stop.load(Ordering::Acquire) {
            return;
        }
        if Instant::now() >= due || core.journal.is_half_full() {
            // A signer or a witness that panics must not end the thread; the status tells of an error.
            let _ = contain::catch(|| core.integrate(Timestamp::now()));
            due = Instant::now() + core.checkpoint_every;
        }
    }
}
