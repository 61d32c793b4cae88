//! Everything that is specific to operating systems, one subject a file.

pub mod lock;
