//! The panic hook: a panic that nobody catches takes the safe state.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::run::{Failsafe, Trigger};
use crate::base::contain;

/// Whether a failsafe hears of panics.
#[derive(Debug, Default)]
pub(super) struct Hook {
    /// A hook stays where it is for as long as the process lives.
    installed: AtomicBool,
    listens: AtomicBool,
}

impl Failsafe {
    /// From here on a panic that nobody catches takes the safe state. The hook that was there runs first;
    /// this one stays installed for as long as the process lives, once however often this is called, and
    /// does nothing after [`ignore_panics`](Self::ignore_panics) and once the last handle on this failsafe
    /// is gone.
    ///
    /// Panics that the library catches (an agent's, a callback's, an action's) are no reason: they end
    /// as the error of a call.
    pub fn install_panic_hook(&self) {
        let hook = &self.0.hook;
        hook.listens.store(true, Ordering::Release);
        if hook.installed.swap(true, Ordering::AcqRel) {
            return;
        }
        let inner = Arc::downgrade(&self.0);
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            if is_contained() {
                return;
            }
            if let Some(inner) = inner.upgrade()
                && inner.hook.listens.load(Ordering::Acquire)
            {
                // The words of a panic are for people; the place is in them.
                Failsafe(inner).trigger(Trigger::panic(panic.to_string()));
            }
        }));
    }

    /// From here on panics are no reason any more.
    pub fn ignore_panics(&self) {
        self.0.hook.listens.store(false, Ordering::Release);
    }
}

/// Whether the panic of this thread ends where somebody waits for it. The library's own threads catch
/// whatever runs on them.
fn is_contained() -> bool {
    contain::is_caught()
        || std::thread::current().name().is_some_and(|name| name.starts_with("sutazai-"))
}
