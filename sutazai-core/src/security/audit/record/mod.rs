//! What one record looks like, as bytes and as a value.
//!
//! A record is a JSON object in the canonical form of RFC 8785, so that the same record is the same
//! bytes everywhere:
//!
//! | field | |
//! |---|---|
//! | `action` | what was done |
//! | `at` | when: nanoseconds since 1970, as text (a JSON number is not exact beyond 2⁵³) |
//! | `class`, `outcome` | the names of [`AuditClass`] and [`AuditOutcome`] |
//! | `cut` | details that were longer than is kept, and how many bytes they had; left out when there are none |
//! | `details` | what else is worth keeping: texts, whole numbers (beyond ±2⁵³ as text), yes or no; left out when there is nothing |
//! | `object` | to what; left out when there is nothing to name |
//! | `personal` | details about a person, sealed: `{"sealed", "subject"}`, or how many were withheld because there is nowhere to keep the subject's key: `{"subject", "withheld"}` |
//! | `principal` | who |
//! | `span`, `trace` | where in a distributed trace, in hexadecimal; left out when it is not known |
//! | `v` | 1 |

mod encode;
mod parse;
mod text;

pub(super) use encode::{Personal, View, encode, encode_details};
pub(super) use parse::Skim;
pub use parse::{Detail, Record, Sealed};

use crate::base::error::Fixed;
use crate::{Code, Error};

/// The longest action, in bytes.
pub const ACTION_MAX: usize = 128;
/// The longest name of a principal, an object or a subject, in bytes.
pub const NAME_MAX: usize = 2048;
/// The longest name of a detail, in bytes.
pub const KEY_MAX: usize = 128;
/// The longest detail, in bytes: what is longer is cut, and the record says so.
pub const DETAIL_MAX: usize = 4096;
/// The most details, and the most personal ones.
pub const DETAILS_MAX: usize = 64;
/// The longest record, in bytes: entry bundles of tlog-tiles have two bytes for a length.
pub const RECORD_MAX: usize = 65_535;

static TOO_LONG: Fixed = Fixed { code: Code::INVALID, message: "the audit record is too long" };

/// What a record that is too long is refused with.
#[cold]
fn too_long(what: &'static str, bytes: usize, most: usize) -> Error {
    Error::from(&TOO_LONG)
        .operation("audit.record")
        .with("what", what)
        .with("bytes", bytes)
        .with("most", most)
        .advice("name things by an identifier, and keep long texts elsewhere")
}
