//! The kernel's own stages on the way to the safe state.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::super::shared::Shared;
use crate::base::payload::Payload;
use crate::port::{FailsafeStage, SafeContext};
use crate::recovery::FailsafePolicy;
use crate::store::Durability;
use crate::{Code, Error, Result};

/// The kernel's first stage, which a host's come before.
pub(super) const FIRST: &str = "stop_admitting";

type Run = fn(&Arc<Shared>, &SafeContext<'_>) -> Result<()>;

struct Stage {
    name: &'static str,
    within: Duration,
    run: Run,
    shared: Weak<Shared>,
}

/// Adds the kernel's stages; they hold it weakly.
pub(super) fn add(shared: &Arc<Shared>) -> Result<()> {
    let failsafe = &shared.heal.failsafe;
    let policy = failsafe.policy();
    let runs: [Run; 4] = [stop_admitting, drain, flush, super::bundle::dump];
    for ((name, within), run) in times(&policy).into_iter().zip(runs) {
        failsafe.add(Arc::new(Stage { name, within, run, shared: Arc::downgrade(shared) }))?;
    }
    Ok(())
}

/// The kernel's stages in order, and the time that each has.
pub(super) fn times(policy: &FailsafePolicy) -> [(&'static str, Duration); 4] {
    [
        (FIRST, policy.admit_ms),
        ("drain", policy.drain_ms),
        ("flush", policy.flush_ms),
        ("dump", policy.dump_ms),
    ]
    .map(|(name, ms)| (name, Duration::from_millis(ms)))
}

impl FailsafeStage for Stage {
    fn name(&self) -> &str {
        self.name
    }

    fn within(&self) -> Duration {
        self.within
    }

    fn run(&self, context: &SafeContext<'_>) -> Result<()> {
        // A kernel that is gone is as safe as can be.
        self.shared.upgrade().map_or(Ok(()), |shared| (self.run)(&shared, context))
    }
}

/// From here on a call answers `recovery.safe_state`.
fn stop_admitting(shared: &Arc<Shared>, _: &SafeContext<'_>) -> Result<()> {
    shared.heal.shut.store(true, Ordering::Release);
    // Before the end of a thousand calls fills the log.
    let seen = super::bundle::Seen::now(shared);
    *shared.heal.seen.lock() = seen;
    Ok(())
}

/// Gives the calls under way most of the time that there is, and answers what is left.
fn drain(shared: &Arc<Shared>, context: &SafeContext<'_>) -> Result<()> {
    // In virtual time nothing goes on by itself, so there is nothing to wait for.
    if shared.runtime.virtual_time().is_none() {
        shared.load.wait_idle(context.within / 4 * 3);
    }
    shared.heal.drained.store(true, Ordering::Release);
    #[cfg(feature = "agent")]
    for (id, settler) in shared.in_flight.take_all() {
        let error = Error::new(Code::SAFE_STATE, "the kernel took its safe state first")
            .operation("kernel.call")
            .with("call", id);
        settler.settle(Err(error));
    }
    Ok(())
}

/// Writes out the log and the store; that the safe state was taken, and why, is the last thing in it.
fn flush(shared: &Arc<Shared>, context: &SafeContext<'_>) -> Result<()> {
    shared.kept.log().flush();
    let note = serde_json::json!({
        "trigger": context.trigger,
        "reason": context.reason,
        "at": shared.runtime.timestamp(),
    });
    let (note, at) = (Payload::from(note), shared.runtime.timestamp());
    // The store's writes are in order: what was given to it before is on the disk when this is.
    let mut written = shared.store.put("recovery", "safe_state", &note, at, Durability::Fsync);
    match written.wait_timeout(context.within) {
        Some(answer) => answer.map(drop),
        None => Err(Error::new(Code::TIMEOUT, "the store did not write in time")),
    }
}
