//! What is not measured, and why.

use crate::monitor::series::{Appended, History, check_name};
use crate::port::Monitor;
use crate::{Code, Error, Result};

/// Whether a monitor's name is one.
///
/// # Errors
/// [`Code::INVALID`].
pub(crate) fn check_monitor(monitor: &dyn Monitor) -> Result<()> {
    let name = monitor.name();
    if !name.is_empty() && name.len() <= 64 && !name.contains(char::is_control) {
        return Ok(());
    }
    Err(Error::new(Code::INVALID, "a monitor's name has 1 to 64 bytes and no control characters")
        .operation("monitor.add")
        .with("monitor", name.escape_debug()))
}

/// Why a value was not kept, where it was not.
pub(super) fn refused_by(
    appended: Appended,
    series: &str,
    history: &History,
    most: usize,
) -> Option<Error> {
    let error = match appended {
        Appended::Kept | Appended::SetBack => return None,
        Appended::Late => {
            Error::new(Code::INVALID, "the series has this time already, or a later one")
        }
        Appended::NotFinite => Error::new(Code::INVALID, "a measurement is a finite number"),
        Appended::BadName => return check_name(series).err(),
        Appended::NoRoom => history.full(most),
    };
    let shown: String = series.chars().take(200).collect();
    Some(error.with("series", shown.escape_debug()))
}
