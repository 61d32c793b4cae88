//! Times, as C has them.

use sutazai_core::base::time::Timestamp;

/// Milliseconds since 1970.
pub(crate) fn milliseconds(now: Timestamp) -> i64 {
    now.as_nanos().div_euclid(1_000_000)
}
