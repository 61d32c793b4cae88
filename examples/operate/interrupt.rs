//! Ctrl-C: the first drains, the second ends at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What a shell reports of a program that Ctrl-C ended.
pub const EXIT_CODE: u8 = 130;

/// Whether the run is to end early. Cheap to clone.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from here on; `first` runs at the first signal.
    ///
    /// # Errors
    /// When the system refuses a handler or a thread.
    pub fn listen(first: impl Fn() + Send + 'static) -> io::Result<Self> {
        let interrupt = Self::default();
        let seen = interrupt.clone();
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let body = move || {
            for _ in signals.forever() {
                if seen.0.swap(true, Ordering::SeqCst) {
                    // The agents' processes see their stdin end, and end too.
                    std::process::exit(EXIT_CODE.into());
                }
                first();
            }
        };
        std::thread::Builder::new().name("operate-signals".to_owned()).spawn(body)?;
        Ok(interrupt)
    }

    /// Whether a signal came.
    pub fn came(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
