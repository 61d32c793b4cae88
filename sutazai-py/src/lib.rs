//! The native module `_sutazai` below the Python package `sutazai`.
//!
//! Thin: each file wraps one thing of `sutazai-core`, and everything that can be said in Python is
//! said there (`python/sutazai`).
//!
//! **Invariants.** No lock is held while Python runs or while this thread waits for the GIL. A
//! thread of the kernel touches Python through [`exit::attach`] only. Every handle knows the
//! process it was made in ([`fork::Owned`]) and answers `Forked` in another.

mod agent;
mod argument;
mod auth;
mod bridge;
mod checkpointed;
mod component;
mod convert;
mod discover;
mod error;
mod event;
mod exit;
mod factory;
mod fork;
mod guard;
mod heal;
mod inject;
mod kernel;
mod keywords;
mod log;
mod monitor;
mod pending;
mod reply;
mod saga;
mod steps;
mod task;
mod ticket;
mod wait;
mod work;
mod worker;

use pyo3::prelude::*;

/// The native half of the package `sutazai`.
#[pymodule(gil_used = false)]
mod _sutazai {
    #[pymodule_export]
    use crate::argument::seconds;
    #[pymodule_export]
    use crate::bridge::Bridge;
    #[pymodule_export]
    use crate::error::codes;
    #[pymodule_export]
    use crate::event::{Event, Subscription};
    #[pymodule_export]
    use crate::exit::close_gate;
    #[pymodule_export]
    use crate::fork::forked;
    #[pymodule_export]
    use crate::guard::{Guard, Shared};
    #[pymodule_export]
    use crate::inject::Scope;
    #[pymodule_export]
    use crate::kernel::Kernel;
    #[pymodule_export]
    use crate::reply::{Context, Reply};
    #[pymodule_export]
    use crate::steps::{Held, Steps, Timer};
    #[pymodule_export]
    use crate::task::Task;
    #[pymodule_export]
    use crate::ticket::Ticket;
    #[pymodule_export]
    use crate::work::{Work, carry, enter, present_of, uncarry, until};
    #[pymodule_export]
    use crate::worker::Life;

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
