//! The texts, numbers and order of RFC 8785.

use std::cmp::Ordering;

/// A JSON string (RFC 8785, section 3.2.2.2).
#[inline]
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    // One pass without a branch a byte; nearly every text needs no escape.
    let plain = |&b: &u8| (b >= 0x20) & (b != b'"') & (b != b'\\');
    if bytes.iter().fold(true, |all, b| all & plain(b)) {
        out.extend_from_slice(bytes);
    } else {
        escaped(out, bytes);
    }
    out.push(b'"');
}

#[cold]
fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x09 => out.extend_from_slice(b"\\t"),
            0x0a => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            0x0d => out.extend_from_slice(b"\\r"),
            0x00..0x20 => {
                out.extend_from_slice(b"\\u00");
                hex(out, u128::from(byte), 2);
            }
            _ => out.push(byte),
        }
    }
}

/// A whole number in decimal.
#[inline]
pub(super) fn integer(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0; 20];
    let (mut rest, mut from) = (value.unsigned_abs(), digits.len());
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        from -= 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(digits.get(from..).unwrap_or_default());
}

/// The last `digits` hexadecimal digits, 32 at most.
#[inline]
pub(super) fn hex(out: &mut Vec<u8>, value: u128, digits: usize) {
    let digit = |half: u8| half + if half < 10 { b'0' } else { b'a' - 10 };
    let mut text = [0; 32];
    for ([high, low], byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(value.to_be_bytes()) {
        (*high, *low) = (digit(byte >> 4), digit(byte & 15));
    }
    let from = text.len() - digits.min(text.len());
    out.extend_from_slice(text.get(from..).unwrap_or_default());
}

/// The order of names in an object: by UTF-16 code units (RFC 8785, section 3.2.3).
#[inline]
pub(super) fn order(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() { a.cmp(b) } else { a.encode_utf16().cmp(b.encode_utf16()) }
}
