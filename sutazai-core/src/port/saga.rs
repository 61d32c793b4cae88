//! One step of a saga: what is done, and what undoes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Result;
use crate::base::payload::Payload;
use crate::base::time::Moment;
use crate::store::Store;

/// A step of a saga: an action and its compensation. Both may block.
///
/// Either may be called more than once: after a failure that is tried again, and after a crash whose
/// moment left it unknown whether the call before took effect. [`SagaContext::key`] is the same each
/// time, so that what stands outside (a payment service, a file, another database) can tell.
///
/// ```
/// use sutazai_core::Result;
/// use sutazai_core::base::payload::Payload;
/// use sutazai_core::port::{SagaContext, SagaStep};
/// # struct Hotel;
/// # impl Hotel {
/// #     fn reserve(&self, _: &str, room: u32) -> Result<u32> { Ok(room) }
/// #     fn release(&self, _: &str, _: Option<u32>) -> Result<()> { Ok(()) }
/// # }
///
/// struct Reserve(Hotel);
///
/// impl SagaStep for Reserve {
///     fn act(&self, ctx: &SagaContext<'_>) -> Result<Payload> {
///         Ok(self.0.reserve(ctx.key, ctx.input.to()?)?.into())
///     }
///     fn undo(&self, ctx: &SagaContext<'_>, gave: Option<&Payload>) -> Result<()> {
///         self.0.release(ctx.key, gave.map(|number| number.to()).transpose()?)
///     }
/// }
/// ```
pub trait SagaStep: Send + Sync + 'static {
    /// Does it. What it gives is kept, for the steps after it and for [`undo`](Self::undo).
    ///
    /// # Errors
    /// Anything. A transient one may be tried again; any other ends the saga, and what was done is
    /// undone.
    fn act(&self, ctx: &SagaContext<'_>) -> Result<Payload>;

    /// Undoes it. `gave` is what [`act`](Self::act) gave; `None` when it is not known whether it took
    /// effect, because it failed, or was interrupted: then there may be nothing to undo, which is no
    /// error.
    ///
    /// # Errors
    /// Anything. A transient one may be tried again; any other leaves the saga stuck.
    fn undo(&self, ctx: &SagaContext<'_>, gave: Option<&Payload>) -> Result<()>;
}

/// What a step may know of the saga that it is called by.
#[non_exhaustive]
pub struct SagaContext<'a> {
    /// The saga's identifier.
    pub saga: &'a str,
    /// The name of its definition.
    pub name: &'a str,
    /// The step's name.
    pub step: &'a str,
    /// The idempotency key: the same for every call of this step, in this direction, of this saga; and
    /// of nothing else, in no other process.
    pub key: &'a str,
    /// Which try this is, from 1. After a crash the try that was interrupted is counted once.
    pub attempt: u32,
    /// What the saga was begun with.
    pub input: &'a Payload,
    /// What the steps before this one gave, by name, in their order.
    pub gave: &'a [(Arc<str>, Payload)],
    /// When the saga is given up; [`Moment::FAR`] for never, and for compensations.
    pub deadline: Moment,
    /// The store that the saga's records are in.
    pub store: &'a Store,
    pub(crate) cancelled: &'a AtomicBool,
}

impl SagaContext<'_> {
    /// Whether the saga is to be given up: a long action does well to end early, with an error.
    pub fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// What the step of this name gave.
    pub fn given_by(&self, step: &str) -> Option<&Payload> {
        self.gave.iter().find(|(name, _)| &**name == step).map(|(_, gave)| gave)
    }
}

impl std::fmt::Debug for SagaContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SagaContext")
            .field("saga", &self.saga)
            .field("name", &self.name)
            .field("step", &self.step)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
