//! Everything that is specific to operating systems, one subject a file.

pub mod lock;
#[cfg(unix)]
pub(crate) mod pipe;
#[cfg(unix)]
pub(crate) mod process;
