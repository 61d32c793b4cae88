//! What a state is known again by: SHA-256.

use std::fmt::Write as _;

use ring::digest::{Context, SHA256};

/// SHA-256 of a text, in hexadecimal digits.
pub(super) fn of_text(text: &str) -> String {
    let mut context = Context::new(&SHA256);
    context.update(text.as_bytes());
    hexadecimal(context)
}

/// SHA-256 of the names and digests of parts, in their order.
pub(super) fn of_parts<'p>(parts: impl Iterator<Item = (&'p str, &'p str)>) -> String {
    let mut context = Context::new(&SHA256);
    for (name, digest) in parts {
        // Neither has a line break or a NUL in it, so no two lists give one text.
        context.update(name.as_bytes());
        context.update(b"\0");
        context.update(digest.as_bytes());
        context.update(b"\n");
    }
    hexadecimal(context)
}

fn hexadecimal(context: Context) -> String {
    context.finish().as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_sha_256() {
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(super::of_text("abc"), abc);
    }
}
