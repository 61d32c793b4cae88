//! Ctrl-C: the first drains, the second ends at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What a shell reports of a program that Ctrl-C ended.
pub const EXIT_CODE: u8 = 130;

/// Signals this close together are one: `timeout`, for one, sends its own to the process and to the
/// group that it is in.
const ONE: Duration = Duration::from_millis(300);

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
            let mut began = None;
            for _ in signals.forever() {
                match began {
                    None => {
                        began = Some(Instant::now());
                        seen.0.store(true, Ordering::SeqCst);
                        first();
                    }
                    Some(began) if began.elapsed() < ONE => {}
                    // The agents' processes see their stdin end, and end too.
                    Some(_) => std::process::exit(EXIT_CODE.into()),
                }
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
