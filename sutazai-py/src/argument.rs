//! What callers hand in: taken as it is, and checked here, so that an error names the argument, what
//! it has to be and what it was.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDelta, PyDeltaAccess as _, PyFloat, PyInt, PyMapping, PyString};

/// What was handed in.
type Given<'a, 'py> = &'a Bound<'py, PyAny>;

/// Longer values are cut in messages.
const LONGEST: usize = 60;
const A_DURATION: &str = "a number of seconds or a datetime.timedelta";

/// How long: a number of seconds, 0 or more, or a `datetime.timedelta`. `math.inf` is the longest
/// duration, which ends never.
pub(crate) fn duration(name: &str, given: Given<'_, '_>) -> PyResult<Duration> {
    if given.cast::<PyBool>().is_ok() {
        return Err(wrong_type(name, A_DURATION, given));
    }
    if given.cast::<PyFloat>().is_ok() || given.cast::<PyDelta>().is_err() {
        // Whatever has a float in it: int, and what numpy and the like call numbers.
        let seconds = match given.extract::<f64>() {
            Ok(seconds) => seconds,
            // An int that no float is as large as.
            Err(_) if given.cast::<PyInt>().is_ok() => {
                if given.lt(0)? {
                    -f64::INFINITY
                } else {
                    f64::INFINITY
                }
            }
            Err(_) => return Err(wrong_type(name, A_DURATION, given)),
        };
        if seconds.is_nan() || seconds < 0.0 {
            return Err(wrong_value(name, "0 seconds or more", given));
        }
        return Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    }
    let delta = given.cast::<PyDelta>()?;
    // All parts but the days are positive.
    let (Ok(days), Ok(seconds), Ok(micros)) = (
        u64::try_from(delta.get_days()),
        u64::try_from(delta.get_seconds()),
        u64::try_from(delta.get_microseconds()),
    ) else {
        return Err(wrong_value(name, "0 seconds or more", given));
    };
    Ok(Duration::from_secs(days * 86_400 + seconds) + Duration::from_micros(micros))
}

/// As [`duration`], which has to end.
pub(crate) fn finite_duration(name: &str, given: Given<'_, '_>) -> PyResult<Duration> {
    match duration(name, given)? {
        Duration::MAX => Err(wrong_value(name, "finite", given)),
        finite => Ok(finite),
    }
}

/// The seconds of a [`duration`], for the Python half; where there is a most, of one that is no longer.
#[pyfunction]
#[pyo3(name = "_seconds", signature = (name, given, most = None))]
pub(crate) fn seconds(name: &str, given: Given<'_, '_>, most: Option<f64>) -> PyResult<f64> {
    let seconds = duration(name, given)?.as_secs_f64();
    match most.filter(|most| seconds > *most) {
        Some(most) => Err(wrong_value(name, &format!("at most {most} seconds"), given)),
        None => Ok(seconds),
    }
}

/// As [`duration`], where `None` is none.
pub(crate) fn some_duration(
    name: &str,
    given: Option<Given<'_, '_>>,
) -> PyResult<Option<Duration>> {
    given.map(|given| duration(name, given)).transpose()
}

/// An `int` of 64 bits, `least` or more.
pub(crate) fn number(name: &str, least: u64, given: Given<'_, '_>) -> PyResult<u64> {
    match int(name, given)?.extract::<u64>() {
        Ok(number) if number >= least => Ok(number),
        _ => Err(wrong_value(name, &format!("from {least} to 2**64 - 1"), given)),
    }
}

/// How urgent: 1 to 255.
pub(crate) fn priority(name: &str, given: Given<'_, '_>) -> PyResult<u8> {
    match int(name, given)?.extract::<u8>() {
        Ok(urgency) if urgency > 0 => Ok(urgency),
        _ => Err(wrong_value(name, "from 1 to 255", given)),
    }
}

/// How many, 1 or more.
pub(crate) fn count(name: &str, given: Given<'_, '_>) -> PyResult<usize> {
    number(name, 1, given).map(|count| usize::try_from(count).unwrap_or(usize::MAX))
}

/// A `str`.
pub(crate) fn text<'a>(name: &str, given: Given<'a, '_>) -> PyResult<&'a str> {
    given.cast::<PyString>().map_err(|_| wrong_type(name, "a str", given))?.to_str()
}

/// As [`text`], where `None` is none.
pub(crate) fn some_text<'a>(name: &str, given: Option<Given<'a, '_>>) -> PyResult<Option<&'a str>> {
    given.map(|given| text(name, given)).transpose()
}

/// Several `str`.
pub(crate) fn texts(name: &str, given: Given<'_, '_>) -> PyResult<Vec<String>> {
    let wrong = || wrong_type(name, "a sequence of str", given);
    if given.cast::<PyString>().is_ok() {
        return Err(wrong());
    }
    given.extract::<Vec<String>>().map_err(|_| wrong())
}

/// Text by name.
pub(crate) fn labels(name: &str, given: Given<'_, '_>) -> PyResult<BTreeMap<String, String>> {
    let mapping = given.cast::<PyMapping>().ok().and_then(|mapping| mapping.items().ok());
    let pairs = mapping.and_then(|items| items.extract::<Vec<(String, String)>>().ok());
    pairs
        .map(|pairs| pairs.into_iter().collect())
        .ok_or_else(|| wrong_type(name, "a mapping of str to str", given))
}

/// A `bool`.
pub(crate) fn flag(name: &str, given: Given<'_, '_>) -> PyResult<bool> {
    given.extract::<bool>().map_err(|_| wrong_type(name, "a bool", given))
}

/// A `str` or an `os.PathLike`.
pub(crate) fn path(name: &str, given: Given<'_, '_>) -> PyResult<PathBuf> {
    given.extract::<PathBuf>().map_err(|_| wrong_type(name, "a str or an os.PathLike", given))
}

/// One of a few words.
pub(crate) fn choice<T: Copy>(
    name: &str,
    choices: &[(&str, T)],
    given: Given<'_, '_>,
) -> PyResult<T> {
    let word = text(name, given)?;
    let found = choices.iter().find(|(choice, _)| *choice == word);
    found.map(|(_, chosen)| *chosen).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(choice, _)| format!("'{choice}'")).collect();
        wrong_value(name, &format!("one of {}", names.join(", ")), given)
    })
}

fn int<'a, 'py>(name: &str, given: Given<'a, 'py>) -> PyResult<&'a Bound<'py, PyInt>> {
    match given.cast::<PyInt>() {
        Ok(int) if given.cast::<PyBool>().is_err() => Ok(int),
        _ => Err(wrong_type(name, "an int", given)),
    }
}

fn wrong_type(name: &str, wanted: &str, given: Given<'_, '_>) -> PyErr {
    let kind = given.get_type().name().map_or_else(|_| "?".to_owned(), |kind| kind.to_string());
    let shown = if given.is_none() { kind } else { format!("{kind} {}", shown(given)) };
    PyTypeError::new_err(format!("{name} must be {wanted}, not {shown}"))
}

fn wrong_value(name: &str, wanted: &str, given: Given<'_, '_>) -> PyErr {
    PyValueError::new_err(format!("{name} must be {wanted}, not {}", shown(given)))
}

/// Its `repr`, cut.
fn shown(given: Given<'_, '_>) -> String {
    let whole = given.repr().map_or_else(|_| "…".to_owned(), |text| text.to_string());
    match whole.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", whole.get(..end).unwrap_or_default()),
        None => whole,
    }
}
