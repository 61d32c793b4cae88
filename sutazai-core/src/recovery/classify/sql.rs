//! What SQLSTATEs say (ISO/IEC 9075, with PostgreSQL's additions).

use super::evidence::{BROAD, CERTAIN, EXACT, Evidence, VAGUE};
use crate::Class::{Critical, Persistent, Transient};

/// What a SQLSTATE says: five letters or digits, of which the first two are its class.
pub(super) fn state(given: &[u8]) -> Option<Evidence> {
    // Texts give it in words, which are lower case.
    let mut upper: [u8; 5] = given.try_into().ok()?;
    upper.make_ascii_uppercase();
    let state = std::str::from_utf8(&upper).ok()?;
    let (weight, class, reason) = match state {
        "57014" => (50, Transient, "the query was cancelled, most often by a timeout"),
        "57P01" | "57P02" | "57P03" | "57P05" => {
            (EXACT, Transient, "the server is stopping, starting or closing idle sessions")
        }
        "57P04" => (EXACT, Persistent, "the database was dropped"),
        "55P03" | "55006" => (EXACT, Transient, "a lock or object is held by somebody else"),
        "53100" => (CERTAIN, Critical, "the disk is full"),
        "53200" => (CERTAIN, Critical, "out of memory"),
        "58030" => (CERTAIN, Critical, "an I/O error of the server"),
        "XX001" | "XX002" => (CERTAIN, Critical, "data or an index is damaged"),
        "25P02" => (EXACT, Persistent, "the transaction failed before"),
        "40002" => (EXACT, Persistent, "the transaction breaks a constraint"),
        "08004" | "08P01" => (50, Persistent, "the server rejects the connection"),
        "HYT00" | "HYT01" => (EXACT, Transient, "timed out"),
        _ => match state.get(..2)? {
            "08" => (EXACT, Transient, "the connection failed (SQLSTATE class 08)"),
            "40" => (EXACT, Transient, "the transaction was rolled back (SQLSTATE class 40)"),
            "53" => (EXACT, Transient, "the server lacks resources (SQLSTATE class 53)"),
            "57" => (BROAD, Transient, "an operator intervened (SQLSTATE class 57)"),
            "58" => (BROAD, Critical, "an error of the server's system (SQLSTATE class 58)"),
            "XX" => (60, Critical, "an internal error of the server (SQLSTATE class XX)"),
            // The standard's class for anything else, which drivers fill in as they like.
            "HY" => (VAGUE, Persistent, "a general error (SQLSTATE class HY)"),
            "0A" | "0L" | "0P" | "20" | "21" | "22" | "23" | "24" | "25" | "26" | "27" | "28"
            | "2B" | "2D" | "2F" | "34" | "38" | "39" | "3B" | "3D" | "3F" | "42" | "44" | "54"
            | "55" | "72" | "F0" | "HV" | "P0" => {
                (EXACT, Persistent, "the statement or its data is at fault (SQLSTATE)")
            }
            _ => return None,
        },
    };
    Some(Evidence::new(weight, class, "sql.state", reason))
}
