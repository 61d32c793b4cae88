//! State that can be saved and put back: [`Checkpointed`].

use crate::Result;
use crate::base::payload::Payload;

/// Something whose state is saved in checkpoints and restored from them: configuration, the versions
/// of agents, a level of degradation.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use sutazai_core::Result;
/// use sutazai_core::base::payload::Payload;
/// use sutazai_core::port::Checkpointed;
///
/// struct Level(AtomicU64);
///
/// impl Checkpointed for Level {
///     fn name(&self) -> &str { "level" }
///     fn save(&self) -> Result<Payload> { Ok(self.0.load(Ordering::Relaxed).into()) }
///     fn restore(&self, state: &Payload) -> Result<()> {
///         self.0.store(state.to()?, Ordering::Relaxed);
///         Ok(())
///     }
/// }
/// ```
pub trait Checkpointed: Send + Sync + 'static {
    /// Unique among what is checkpointed together. Asked once, when it is registered.
    fn name(&self) -> &str;

    /// The names of those that are restored before this one. Asked once, when it is registered.
    fn needs(&self) -> Vec<String> {
        Vec::new()
    }

    /// The whole state. May block.
    ///
    /// # Errors
    /// Anything; the checkpoint is not taken then.
    fn save(&self) -> Result<Payload>;

    /// Takes on a state that [`save`](Self::save) gave, now or in an earlier process. May block. Called
    /// with the state that it has already, it succeeds. It [has](Self::has) that state afterwards.
    ///
    /// # Errors
    /// Anything; what was restored before it is put back.
    fn restore(&self, state: &Payload) -> Result<()>;

    /// Whether it has this state: a save gives the same. For what has parts that come and go, whether those
    /// that are there have it.
    ///
    /// # Errors
    /// Anything; it counts as not having it.
    fn has(&self, state: &Payload) -> Result<bool> {
        Ok(self.save()? == *state)
    }
}
