//! What a principal may be called.

pub(super) use crate::port::is_principal;
use crate::{Code, Error, Result};

/// The longest that is said of where somebody is, in bytes.
const ORIGIN_MAX: usize = 256;

/// Refuses what cannot be a principal: nothing, too much, and what has control characters.
pub(in crate::security) fn check_principal(name: &str, operation: &'static str) -> Result<()> {
    if is_principal(name) {
        return Ok(());
    }
    Err(Error::new(
        Code::INVALID,
        "a principal's name has 1 to 256 bytes and no control characters",
    )
    .operation(operation)
    .with("bytes", name.len()))
}

/// The longest name of a scheme, in bytes.
const SCHEME_MAX: usize = 64;

/// Refuses what cannot be a scheme. Sessions name their factors with spaces between, policies with commas.
pub(super) fn check_scheme(scheme: &str) -> Result<()> {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=SCHEME_MAX).contains(&scheme.len()) && scheme.chars().all(letter) {
        return Ok(());
    }
    Err(Error::new(
        Code::INVALID,
        "a scheme has 1 to 64 letters, digits, dashes, dots and underscores",
    )
    .operation("security.provider")
    .with("scheme", scheme.escape_debug()))
}

/// Where somebody is, in whatever words the host has for it; nowhere, unless it says so.
pub(super) fn check_origin<'a>(
    origin: Option<&'a str>,
    operation: &'static str,
) -> Result<&'a str> {
    let origin = origin.unwrap_or_default();
    if origin.len() <= ORIGIN_MAX {
        return Ok(origin);
    }
    Err(Error::new(Code::INVALID, "an origin has 256 bytes at most")
        .operation(operation)
        .with("bytes", origin.len()))
}

/// What is wrong with whom somebody says they are, where they do, and with where they say they are.
pub(super) fn wrong_attempt(claimed: &str, origin: Option<&str>) -> Option<&'static str> {
    if origin.is_some_and(|origin| origin.len() > ORIGIN_MAX) {
        return Some("not an origin");
    }
    (!claimed.is_empty() && !is_principal(claimed)).then_some("not a name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_is_one_word() {
        assert!(check_scheme("badge").is_ok() && check_scheme("v4.public-2_x").is_ok());
        for wrong in ["", "two factors", "a,b", "é", &"a".repeat(65)] {
            assert_eq!(check_scheme(wrong).unwrap_err().code(), Code::INVALID, "{wrong}");
        }
    }

    #[test]
    fn names_are_bounded() {
        assert!(is_principal("ann") && is_principal("Ünal@example.org"));
        assert!(!is_principal("") && !is_principal("a\nb") && !is_principal(&"a".repeat(257)));
    }
}
