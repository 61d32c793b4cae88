//! Everything that is specific to operating systems, one subject a file.

#[cfg(feature = "security")]
pub(crate) mod append;
mod clock;
#[cfg(all(unix, feature = "http"))]
pub(crate) mod connect;
#[cfg(all(unix, feature = "security"))]
pub(crate) mod fork;
pub mod lock;
#[cfg(all(unix, feature = "agent"))]
pub(crate) mod pipe;
#[cfg(all(unix, feature = "agent"))]
pub(crate) mod process;

#[cfg(all(unix, feature = "recovery"))]
pub(crate) mod signal;

pub(crate) use clock::{coarse_nanos, fine_nanos, tick_nanos};
