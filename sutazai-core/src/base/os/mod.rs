//! Everything that is specific to operating systems, one subject a file.

#[cfg(unix)]
pub(crate) mod pipe;
#[cfg(unix)]
pub(crate) mod process;
