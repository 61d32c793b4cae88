//! Monitoring: what the machine, this process and what it started use.
//!
//! [`sample`] measures. Whatever else measures something is a [`Monitor`](crate::port::Monitor) as well.

pub mod sample;
