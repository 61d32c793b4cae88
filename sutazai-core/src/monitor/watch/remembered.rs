//! Anomalies and changes of level over restarts: the newest are kept beside the history, written when it is.

use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::found::Numbered;
use super::latest::Latest;
use crate::monitor::series::History;
use crate::{Code, Error, Result};

/// How many of each are kept over a restart.
const MOST: usize = 1_000;
/// Bytes that they may take.
const BYTES_MAX: usize = 400 * 1024;
/// The form in which they are written.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Kept<T> {
    version: u32,
    /// The number of the last one.
    number: u64,
    found: Vec<T>,
}

/// Writes what is new.
///
/// # Errors
/// Those of the shelf; it is tried again the next time.
pub(super) fn write<T: Numbered + Serialize>(
    history: &History,
    what: &'static str,
    latest: &Mutex<Latest<T>>,
) -> Result<()> {
    if !history.is_kept() {
        return Ok(());
    }
    let Some((number, found)) = latest.lock().news(MOST) else { return Ok(()) };
    let mut kept = Kept { version: VERSION, number, found };
    let bytes = loop {
        let bytes = serde_json::to_vec(&kept).map_err(|error| {
            Error::new(Code::INTERNAL, "what was found could not be written down")
                .operation("monitor.flush")
                .because(error)
        })?;
        if bytes.len() <= BYTES_MAX || kept.found.is_empty() {
            break bytes;
        }
        let half = kept.found.len().div_ceil(2);
        kept.found.drain(..half);
    };
    history.note(what, &bytes)?;
    latest.lock().kept(number);
    Ok(())
}

/// Reads what was written. What cannot be read is as if it had not been.
pub(super) fn read<T: Numbered + DeserializeOwned>(
    history: &History,
    what: &'static str,
    most: usize,
) -> Latest<T> {
    let mut latest = Latest::default();
    let kept = history.noted(what).and_then(|bytes| serde_json::from_slice::<Kept<T>>(&bytes).ok());
    if let Some(kept) = kept.filter(|kept| kept.version == VERSION) {
        latest.restore(kept.number, kept.found, most);
    }
    latest
}
