//! How a kernel stops: when it is told to, or with its last handle.

use std::sync::Arc;
use std::time::Duration;

use super::inject::{Injector, Provided};
use super::shared::{Phase, Shared};
use crate::base::runtime::{block, may_block_here};
use crate::observe::Level;
use crate::{Code, Error, Result};

/// Stops the kernel when the last handle goes. Calls and callbacks hold [`Shared`] only.
pub(super) struct Owner {
    pub(super) shared: Arc<Shared>,
    pub(super) injector: Injector,
    pub(super) provided: Provided,
    pub(super) owns_runtime: bool,
    /// Whether it is to stop where it is dropped, whatever the thread.
    pub(super) in_place: bool,
}

/// What a stop gives each thing at least.
const LEAST_GRACE: Duration = Duration::from_millis(100);

/// What a stop gives the store at least: a disk may take seconds to write what is queued and to fold
/// in the log, and only what hangs takes longer.
const STORE_GRACE: Duration = Duration::from_secs(5);

/// How long a kernel whose last handle was dropped gives what it runs.
pub(super) const DROP_GRACE: Duration = Duration::from_secs(2);

impl Owner {
    pub(super) fn stop(&self, grace: Duration) -> Result<()> {
        let shared = &self.shared;
        if shared.move_phase(Phase::Built, Phase::Stopped) {
            #[cfg(feature = "security")]
            shared.secured.forget();
            return self.close_store(grace);
        }
        if !shared.move_phase(Phase::Running, Phase::Draining) {
            return match shared.phase() {
                Phase::Starting => {
                    Err(Error::new(Code::NOT_RUNNING, "the kernel is being started; stop it then")
                        .operation("kernel.stop"))
                }
                Phase::Draining => {
                    shared.load.hurry(grace);
                    Ok(())
                }
                _ => Ok(()),
            };
        }
        shared.publish("kernel.draining", serde_json::Value::Null);
        #[cfg(feature = "recovery")]
        let drained = shared.runtime.now() + grace;
        // No further step of a saga; those that are in a call are done with it or interrupted.
        #[cfg(feature = "recovery")]
        shared.rollback.stop(shared.runtime.now());
        let left = shared.load.awaited();
        if left > 0 {
            let fields = [("calls", left.to_string()), ("grace", format!("{grace:?}"))];
            let message = "stopping: waits for the calls under way";
            self.shared.kept.log().record(Level::Info, "sutazai.kernel", message, fields);
        }
        if shared.runtime.may_block() {
            // On a worker of the pool its slot is lent out: the calls may need it.
            let _ = block(|| shared.load.wait_idle(grace));
        }
        let end = shared.load.hurried().map_or(grace, |hurried| hurried.min(grace));
        #[cfg(feature = "recovery")]
        shared.rollback.stop(drained.min(shared.runtime.now() + end));
        self.end(end)
    }

    /// Ends what has started, in reverse order.
    pub(super) fn end(&self, grace: Duration) -> Result<()> {
        let shared = &self.shared;
        let deadline = shared.runtime.now() + grace.max(LEAST_GRACE);
        #[cfg(feature = "tune")]
        shared.stop_tuning();
        #[cfg(feature = "agent")]
        {
            shared.stop_discovery();
            shared.cancel_all();
            shared.liveness.stop(&*shared.runtime);
            shared.stop_agents(deadline);
            shared.keep_routes();
        }
        let stopped = shared.lifecycle.stop(deadline);
        shared.set_phase(Phase::Stopped);
        // Those that came in between; from here on a call sees the phase.
        #[cfg(feature = "agent")]
        shared.cancel_all();
        shared.publish("kernel.stopped", serde_json::Value::Null);
        #[cfg(feature = "recovery")]
        shared.heal.stop(&*shared.runtime);
        #[cfg(feature = "monitor")]
        shared.stop_monitoring();
        shared.kept.stop();
        shared.stopped();
        let left = || deadline.since(shared.runtime.now());
        #[cfg(feature = "security")]
        let sealed = shared.secured.close(shared.runtime.timestamp());
        #[cfg(not(feature = "security"))]
        let sealed = Ok(());
        let closed = self.close_store(left());
        if self.owns_runtime {
            shared.runtime.stop(left().max(LEAST_GRACE));
        }
        let failures = [stopped, sealed, closed].into_iter().filter_map(Result::err);
        let problems = failures.flat_map(|error| error.problems().to_vec()).collect();
        Error::join(problems).map_or(Ok(()), Err)
    }

    /// Closes the store, after which the data directory is free for another kernel, whoever still
    /// holds a handle on this one; and what the host provided goes, now that nothing runs that may use
    /// it. A store that hangs frees the directory itself.
    fn close_store(&self, grace: Duration) -> Result<()> {
        let closed = self.shared.store.close(grace.max(STORE_GRACE));
        self.provided.close();
        closed?;
        if let Some(dir) = &self.shared.data_dir {
            dir.release();
        }
        Ok(())
    }
}

impl Owner {
    /// Stops, if it runs, with two seconds of grace.
    pub(super) fn close(&self) {
        if self.shared.phase() != Phase::Running {
            // A scope may hold on to what was provided to a kernel that never started.
            self.provided.close();
            return;
        }
        // Where the runtime may not be waited for (virtual time, a host's only thread) stopping waits
        // for nothing; on a thread that drives futures, and on a child's, it goes to one of our own.
        #[cfg(feature = "recovery")]
        let child = self.shared.trees.may_stop_here().is_err();
        #[cfg(not(feature = "recovery"))]
        let child = false;
        if self.in_place || (may_block_here() && !child) {
            let _ = self.stop(DROP_GRACE);
            return;
        }
        let owner = Self {
            shared: Arc::clone(&self.shared),
            injector: self.injector.clone(),
            provided: self.provided.clone(),
            owns_runtime: self.owns_runtime,
            in_place: true,
        };
        // Without the thread the closure is dropped here, and the owner in it stops in place.
        let _ = std::thread::Builder::new().name("sutazai-stop".to_owned()).spawn(move || {
            drop(owner);
        });
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.close();
    }
}
