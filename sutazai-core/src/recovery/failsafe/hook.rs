//! The panic hook: a panic that nobody catches takes the safe state.

use std::sync::Arc;

use super::run::{Failsafe, Trigger, TriggerKind};
use crate::base::contain;

impl Failsafe {
    /// From here on a panic that nobody catches takes the safe state. The hook that was there runs first;
    /// this one stays installed for as long as the process lives, and does nothing once the last handle
    /// on this failsafe is gone.
    ///
    /// Panics that the library catches (an agent's, a callback's, an action's) are no reason: they end
    /// as the error of a call.
    pub fn install_panic_hook(&self) {
        let inner = Arc::downgrade(&self.0);
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            if is_contained() {
                return;
            }
            if let Some(inner) = inner.upgrade() {
                // The words of a panic are for people; the place is in them.
                Failsafe(inner).trigger(Trigger::new(TriggerKind::Panic, panic.to_string()));
            }
        }));
    }
}

/// Whether the panic of this thread ends where somebody waits for it. The library's own threads catch
/// whatever runs on them.
fn is_contained() -> bool {
    contain::is_caught()
        || std::thread::current().name().is_some_and(|name| name.starts_with("sutazai-"))
}
