//! Everything that is specific to operating systems, one subject a file.

pub mod lock;
#[cfg(all(unix, feature = "agent"))]
pub(crate) mod pipe;
#[cfg(all(unix, feature = "agent"))]
pub(crate) mod process;
