//! What a signal does in this process.
//!
//! Why `unsafe`: only `sigaction` says so.
#![allow(unsafe_code, reason = "one function of the C library; see the module's second paragraph")]

/// Whether a signal has its default effect.
pub(crate) fn is_default(signal: i32) -> bool {
    let mut present = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: no action is set, and there is room for the present one; all zeros is a valid value.
    let present = unsafe {
        if libc::sigaction(signal, std::ptr::null(), present.as_mut_ptr()) != 0 {
            return true;
        }
        present.assume_init()
    };
    present.sa_sigaction == libc::SIG_DFL
}
