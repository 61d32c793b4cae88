//! What is done on the way to the safe state: [`FailsafeStage`].

use std::time::Duration;

use crate::Result;

/// Why the safe state is taken, and how long there is.
#[derive(Debug)]
#[non_exhaustive]
pub struct SafeContext<'a> {
    /// What set it off: `critical`, `panic`, `signal` or `host`.
    pub trigger: &'a str,
    /// In words.
    pub reason: &'a str,
    /// The time that this stage has. It is left behind afterwards.
    pub within: Duration,
}

impl<'a> SafeContext<'a> {
    /// The context of one stage.
    pub fn new(trigger: &'a str, reason: &'a str, within: Duration) -> Self {
        Self { trigger, reason, within }
    }
}

/// A step of the way to the safe state: closing a valve, telling an operator, writing out a buffer.
///
/// It runs once, on a thread of its own, and may block; when its time is up the next stage begins
/// whatever this one does. A panic counts as a failure.
///
/// ```
/// use std::time::Duration;
/// use sutazai_core::Result;
/// use sutazai_core::port::{FailsafeStage, SafeContext};
///
/// struct CloseValve;
///
/// impl FailsafeStage for CloseValve {
///     fn name(&self) -> &str { "close_valve" }
///     fn within(&self) -> Duration { Duration::from_millis(500) }
///     fn run(&self, context: &SafeContext<'_>) -> Result<()> {
///         eprintln!("closing the valve: {}", context.reason);
///         Ok(())
///     }
/// }
/// ```
pub trait FailsafeStage: Send + Sync + 'static {
    /// Unique among the stages. Asked once, when it is added.
    fn name(&self) -> &str;

    /// The time that it may take. Asked once, when it is added.
    fn within(&self) -> Duration;

    /// Does it. Must not depend on stages that failed before.
    ///
    /// # Errors
    /// What went wrong; it is reported, and the next stage follows.
    fn run(&self, context: &SafeContext<'_>) -> Result<()>;
}
