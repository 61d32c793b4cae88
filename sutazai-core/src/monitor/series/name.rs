//! Names of series.

use crate::{Code, Error, Result};

/// The longest name of a series, in bytes.
pub const NAME_MAX: usize = 200;

/// Whether a series may be named so. What ends in `*` names all that begin so.
pub(super) fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && !name.ends_with('*')
        && !name.chars().any(char::is_control)
}

/// Whether a series may be named so.
///
/// # Errors
/// [`Code::INVALID`], with the name.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if is_name(name) {
        return Ok(());
    }
    let what =
        "a series' name has 1 to 200 bytes and no control characters, and does not end in `*`";
    let shown: String = name.chars().take(NAME_MAX).collect();
    Err(Error::new(Code::INVALID, what).with("series", shown.escape_debug()))
}
