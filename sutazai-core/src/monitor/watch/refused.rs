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

/// Whether a measurement can be kept under this name, where there is room for it. Hosts whose monitors hand over one measurement at a time say so at
/// once, to whoever made the mistake.
///
/// # Errors
/// [`Code::INVALID`] for a name that is none, and for a value that is not finite.
pub fn check_measurement(series: &str, value: f64) -> Result<()> {
    check_name(series)?;
    match value.is_finite() {
        true => Ok(()),
        false => Err(not_finite().with("series", shown(series))),
    }
}

fn not_finite() -> Error {
    Error::new(Code::INVALID, "a measurement is a finite number")
}

fn shown(series: &str) -> String {
    series.chars().take(200).flat_map(char::escape_debug).collect()
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
        Appended::NotFinite => not_finite(),
        Appended::BadName => return check_name(series).err(),
        Appended::NoRoom => history.full(most),
    };
    Some(error.with("series", shown(series)))
}
