//! Bytes that C owns.

use std::ffi::c_char;

use sutazai_core::base::payload::Payload;

/// Text that the library gave away: UTF-8 (JSON, mostly), `len` bytes. A NUL stands behind the last
/// one and is not counted. Freed by `sutazai_buffer_free`, whatever it came from.
#[repr(C)]
pub struct sutazai_buffer {
    /// The first byte; NULL in a buffer that was freed or never filled.
    pub data: *mut c_char,
    /// The number of bytes, the NUL not counted.
    pub len: usize,
}

impl sutazai_buffer {
    pub(crate) const EMPTY: Self = Self { data: std::ptr::null_mut(), len: 0 };

    pub(crate) fn of(text: &str) -> Self {
        let mut bytes = Vec::with_capacity(text.len() + 1);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        let data = Box::into_raw(bytes.into_boxed_slice());
        Self { data: data.cast(), len: text.len() }
    }

    pub(crate) fn of_json(payload: &Payload) -> Self {
        Self::of(&payload.to_text())
    }
}

/// Frees what a buffer holds and empties it, so that freeing it again does nothing. `buffer` itself
/// is the caller's; NULL is allowed.
///
/// # Safety
/// `buffer` is NULL, zeroed, or was filled by this library and not copied since it was freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sutazai_buffer_free(buffer: *mut sutazai_buffer) {
    // SAFETY: the caller's promise.
    let Some(buffer) = (unsafe { buffer.as_mut() }) else { return };
    let sutazai_buffer { data, len } = std::mem::replace(buffer, sutazai_buffer::EMPTY);
    if data.is_null() {
        return;
    }
    let slice = std::ptr::slice_from_raw_parts_mut(data.cast::<u8>(), len + 1);
    // SAFETY: `of` made it so, from a boxed slice of this length.
    drop(unsafe { Box::from_raw(slice) });
}
