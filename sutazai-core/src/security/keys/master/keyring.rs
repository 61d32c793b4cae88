//! The master key in the kernel's keyring of the user: `keyrings(7)`.
#![allow(unsafe_code, reason = "the C library has no functions for these system calls")]

use std::ffi::CString;

use libc::c_long;

use crate::security::keys::Secret;
use crate::{Code, Error, Result};

/// `KEY_SPEC_USER_KEYRING` of `linux/keyctl.h`: of the user, whatever the session.
const USER_KEYRING: c_long = -4;
/// `KEYCTL_SEARCH`, `KEYCTL_READ`.
const SEARCH: c_long = 10;
const READ: c_long = 11;

pub(super) fn find_or_make(description: &str) -> Result<Secret> {
    let name = CString::new(description)
        .map_err(|_| Error::new(Code::INVALID, "a key's description has no zero byte"))?;
    if let Some(key) = find(&name)? {
        return Ok(key);
    }
    add(&name, &Secret::random(32)?)?;
    // Of two who made one at a time, one replaced the other's: what is there now counts.
    find(&name)?.ok_or_else(|| failed("find", std::io::Error::from_raw_os_error(libc::ENOKEY)))
}

fn find(name: &CString) -> Result<Option<Secret>> {
    // SAFETY: both strings end with a zero byte and live through the call, which only reads them.
    let id = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            SEARCH,
            USER_KEYRING,
            c"user".as_ptr(),
            name.as_ptr(),
            0 as c_long,
        )
    };
    if id < 0 {
        let error = std::io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ENOKEY | libc::EKEYEXPIRED | libc::EKEYREVOKED) => Ok(None),
            _ => Err(failed("search", error)),
        };
    }
    let mut key = Secret::new(vec![0; 64]);
    let place = key.expose_mut();
    // SAFETY: the kernel writes at most `len` bytes to the buffer, which lives through the call.
    let len = unsafe {
        libc::syscall(libc::SYS_keyctl, READ, id, place.as_mut_ptr(), place.len(), 0 as c_long)
    };
    match usize::try_from(len) {
        Ok(32) => Ok(Some(Secret::new(key.expose().iter().take(32).copied().collect()))),
        Ok(_) => Err(super::malformed("the key in the keyring")),
        Err(_) => Err(failed("read", std::io::Error::last_os_error())),
    }
}

fn add(name: &CString, key: &Secret) -> Result<()> {
    let bytes = key.expose();
    // SAFETY: the strings end with a zero byte, the buffer has `len` bytes, and all live through the
    // call, which only reads them.
    let id = unsafe {
        libc::syscall(
            libc::SYS_add_key,
            c"user".as_ptr(),
            name.as_ptr(),
            bytes.as_ptr(),
            bytes.len(),
            USER_KEYRING,
        )
    };
    if id < 0 { Err(failed("add", std::io::Error::last_os_error())) } else { Ok(()) }
}

fn failed(what: &str, error: std::io::Error) -> Error {
    Error::new(Code::MASTER_KEY, "the kernel's keyring cannot be used")
        .with("call", what)
        .because(error)
        .advice("containers often forbid it; take a file, or a wrapper")
}
