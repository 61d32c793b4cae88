//! Ground types: errors, ids, time, payloads, tickets and the runtime they run on.
//!
//! **Invariant.** Nothing here knows what an agent, an event or a kernel is; nothing here starts a
//! thread unless asked ([`runtime::Threads`]), and nothing reads the clock behind a caller's back
//! where a `now` can be passed in.

pub mod contain;
pub(crate) mod context;
pub mod deadline;
pub mod error;
pub(crate) mod fair;
pub mod id;
#[cfg(feature = "tune")]
pub(crate) mod limit;
pub mod lineage;
pub(crate) mod nearest;
pub mod os;
pub mod payload;
pub mod priority;
#[cfg(any(feature = "agent", feature = "recovery", feature = "tune", test))]
pub(crate) mod random;
pub mod reading;
pub mod runtime;
pub mod stats;
mod sync;
pub mod ticket;
pub mod time;
pub(crate) mod wait;
#[cfg(any(feature = "security", feature = "plot"))]
pub(crate) mod whole;
