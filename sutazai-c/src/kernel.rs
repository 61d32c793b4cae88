//! The kernel: make, start, stop, free.

use std::ffi::c_char;
use std::time::Duration;

use sutazai_core::kernel::Kernel;
use sutazai_core::surface::Surface;

use crate::boundary::{Handle, borrow, fallible, give, output, release};
use crate::config;
use crate::error::sutazai_error;
use crate::fork::Home;
use crate::text::text;

/// One operations kernel. Several may live in a process; each has threads, agents and state of its
/// own.
pub struct sutazai_kernel {
    home: Home,
    pub(crate) kernel: Kernel,
    pub(crate) surface: Surface,
}

impl Handle for sutazai_kernel {
    const NAME: &'static str = "kernel";
    fn home(&self) -> Home {
        self.home
    }
}

impl Drop for sutazai_kernel {
    /// Stops the kernel here, whoever else has a handle for a moment yet. For a virtual one no thread
    /// may wait, so the core would stop it on one made for that, which may outlive the program; and
    /// what still stands in its queue runs to its end: undone it would hold the kernel.
    fn drop(&mut self) {
        if self.kernel.runtime().virtual_time().is_some() {
            let _ = self.kernel.stop(Duration::ZERO);
            let _ = self.kernel.advance(Duration::ZERO);
        } else {
            self.kernel.close();
        }
    }
}

/// Makes a kernel; starts no thread. `config` is JSON, each field optional (an empty text is fine):
///
/// - `manifest`: the path of a `sutazai.toml`, or `manifest_text`: its text; what it says goes before
///   `limits` and `log` here
/// - `data_dir`: where state is kept, owned by one kernel at a time; without it, in memory
/// - `seed`: number from which identifiers and everything drawn by chance follow
/// - `clock`: `"real"` (default), or `"virtual"`: time moves by `sutazai_kernel_advance` only
/// - `log`: `filter` (`"info"`; a level, and rules by target: `"info,app=debug"`), `terminal`
///   (readable text on standard error; false), `file` (JSON lines)
/// - `limits`: `calls`, `depth` (of calls within calls; 32), `timeout_ms` (of a call that names none; 0 for as
///   long as it likes), `pool` (threads), `queue`, `spans`, `records`
/// - `security`: how logins, tokens, policies, keys and the audit log are set up, as `[security]` of a manifest says
///   it, durations in milliseconds: `{"authorise": true, "policies": [{"file": "team.cedar"}], "tokens":
///   {"access_ms": 300000}}`. `name`, `master` (`{"file": path}`, `{"env": name}`, `{"passphrase_env": name}`,
///   `{"keyring": description}`), `authorise`, `trust_inside`, `record_allowed`, `record_actions`, `passwords`,
///   `totp`, `logins`, `tokens`, `risk`, `audit`, `policies`, `schema`, `entities`, `roles`. What each holds the operation
///   `config.schema` describes. Not together with a manifest that has the section
///
/// # Errors
/// `SUTAZAI_BASE_INVALID` for a configuration that is not one, and what the store says of the data
/// directory: `SUTAZAI_STORE_LOCKED` when another kernel owns it, for example.
///
/// # Safety
/// `config` is good for reading `config_len` bytes; `out` is NULL or good for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_kernel_new(
    config: *const c_char,
    config_len: usize,
    out: *mut *mut sutazai_kernel,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let (text, out) = unsafe { (text(config, config_len, "config")?, output(out, "out")?) };
        let kernel = config::build(text)?;
        let surface = Surface::new(&kernel);
        out.write(give(sutazai_kernel { home: Home::here(), kernel, surface }));
        Ok(())
    })
}

/// Starts the kernel's threads, components and agents, and blocks until all are ready. Does nothing
/// when it runs already.
///
/// # Errors
/// What failed to start; everything else is stopped again, and so is the kernel: make another to try again.
/// `SUTAZAI_BASE_NOT_RUNNING` after `sutazai_kernel_stop`: a kernel starts once. What is wrong with
/// the values that were provided, as `sutazai_kernel_get` says: nothing has started then, and once
/// it is mended the kernel may be.
///
/// # Safety
/// `kernel` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_kernel_start(kernel: *mut sutazai_kernel) -> *mut sutazai_error {
    // SAFETY: the caller's promise.
    fallible(|| unsafe { borrow(kernel) }?.kernel.start())
}

/// Stops the kernel: no new calls; those under way may finish within `grace_ms` milliseconds, the
/// rest are answered `SUTAZAI_BASE_CANCELLED`; agents, components and threads end. Blocks for at
/// most about twice `grace_ms`. At the end the values are let go of that were provided, in the
/// reverse order of their building. Does nothing when it is stopped already; while another thread is
/// in it, it returns at once and leaves the calls under way no longer than its own `grace_ms`. Handles
/// stay good: what needs a running kernel answers `SUTAZAI_BASE_NOT_RUNNING`.
///
/// # Errors
/// `SUTAZAI_BASE_WOULD_DEADLOCK`, and nothing is stopped, in a worker's callback: have another thread stop it,
/// and return. `SUTAZAI_KERNEL_COMPONENT_STOP` when a component did not stop in time; all the others have.
/// `SUTAZAI_STORE_HANGS` when a write of the store has not returned after `grace_ms`, or 5 s when that
/// is less: the data directory stays locked until it does.
///
/// # Safety
/// `kernel` is NULL or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_kernel_stop(
    kernel: *mut sutazai_kernel,
    grace_ms: u64,
) -> *mut sutazai_error {
    // SAFETY: the caller's promise.
    fallible(|| unsafe { borrow(kernel) }?.kernel.stop(Duration::from_millis(grace_ms)))
}

/// Moves the clock of a kernel with `"clock": "virtual"` on by `ms` milliseconds, running on this
/// thread what falls due on the way. `ran` (may be NULL) gets how many pieces of work ran.
///
/// # Errors
/// `SUTAZAI_BASE_UNSUPPORTED` when the kernel's clock is the real one.
///
/// # Safety
/// `kernel` is NULL or live; `ran` is NULL or good for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_kernel_advance(
    kernel: *mut sutazai_kernel,
    ms: u64,
    ran: *mut usize,
) -> *mut sutazai_error {
    fallible(|| {
        // SAFETY: the caller's promise.
        let pieces = unsafe { borrow(kernel) }?.kernel.advance(Duration::from_millis(ms))?;
        if !ran.is_null() {
            // SAFETY: the caller's promise.
            unsafe { ran.write(pieces) };
        }
        Ok(())
    })
}

/// Frees a kernel, and stops it first, with two seconds of grace, when it runs. Tickets, replies,
/// subscriptions, scopes and values of it stay good and are freed on their own; all but values
/// answer errors. May be called on any thread, a callback's included. NULL is allowed.
///
/// # Safety
/// `kernel` is NULL or live, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_kernel_free(kernel: *mut sutazai_kernel) {
    // SAFETY: the caller's promise.
    unsafe { release(kernel) }
}
