//! Which library this is.

use std::ffi::c_char;

/// The version of the binary interface that this header describes. Functions and the ends of
/// callback tables may be added without a new number; anything else gets one, and a new SONAME.
pub const SUTAZAI_ABI_VERSION: u32 = 0;

/// Wait without end.
pub const SUTAZAI_FOREVER: u64 = 0xffff_ffff_ffff_ffff;

/// The `SUTAZAI_ABI_VERSION` that the library was built with; compare it with the header's.
#[unsafe(no_mangle)]
pub extern "C" fn sutazai_abi_version() -> u32 {
    SUTAZAI_ABI_VERSION
}

/// The library's version, such as "0.1.0". Static; never freed.
#[unsafe(no_mangle)]
pub extern "C" fn sutazai_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
