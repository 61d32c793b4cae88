//! What a principal may be called.

use crate::{Code, Error, Result};

/// The longest name of a principal, in bytes.
pub const PRINCIPAL_MAX: usize = 256;

/// Refuses what cannot be a principal: nothing, too much, and what has control characters.
pub(super) fn check_principal(name: &str, operation: &'static str) -> Result<()> {
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

pub(super) fn is_principal(name: &str) -> bool {
    (1..=PRINCIPAL_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        assert!(is_principal("ann") && is_principal("Ünal@example.org"));
        assert!(!is_principal("") && !is_principal("a\nb") && !is_principal(&"a".repeat(257)));
    }
}
