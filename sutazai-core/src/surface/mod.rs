//! One table of operations: what every host can call, with schemas and error codes.
//!
//! The Rust API is richer than this; the table is what Python, C and the process protocol share. Out
//! of it come the JSON dispatch ([`Surface::invoke`]), the JSON Schemas and the check that every host
//! has every operation (`tests/conformance`).
//!
//! ```
//! use sutazai_core::kernel::Kernel;
//! use sutazai_core::surface::Surface;
//!
//! let kernel = Kernel::builder().build()?;
//! kernel.start()?;
//! let surface = Surface::new(&kernel);
//! let answer = surface.invoke("event.matches", r#"{"pattern": "a.*", "subject": "a.b"}"#).wait()?;
//! assert_eq!(answer.to_string(), r#"{"matches":true}"#);
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! **Invariant.** An operation's name, request and answer never change their meaning once released;
//! fields may be added. An operation decides nothing itself: it reads its request, calls the kernel,
//! and writes its answer.

#[cfg(feature = "agent")]
mod agent;
#[cfg(feature = "recovery")]
mod checkpoint;
#[cfg(feature = "config")]
mod config;
mod dispatch;
mod event;
#[cfg(feature = "recovery")]
mod guard;
#[cfg(feature = "recovery")]
mod heal;
mod kernel;
mod observe;
mod operation;
#[cfg(feature = "recovery")]
mod recovery;
#[cfg(feature = "recovery")]
mod saga;
mod store;
#[cfg(feature = "recovery")]
mod tree;

pub use dispatch::Surface;
pub use operation::{COMMON, Operation, OperationView};

use std::sync::LazyLock;

/// Every operation, sorted by name.
pub fn operations() -> &'static [Operation] {
    static TABLE: LazyLock<Vec<Operation>> = LazyLock::new(|| {
        let mut table = Vec::new();
        kernel::rows(&mut table);
        #[cfg(feature = "agent")]
        agent::rows(&mut table);
        #[cfg(feature = "config")]
        config::rows(&mut table);
        event::rows(&mut table);
        #[cfg(feature = "recovery")]
        guard::rows(&mut table);
        #[cfg(feature = "recovery")]
        heal::rows(&mut table);
        observe::rows(&mut table);
        #[cfg(feature = "recovery")]
        {
            checkpoint::rows(&mut table);
            recovery::rows(&mut table);
            saga::rows(&mut table);
            tree::rows(&mut table);
        }
        store::rows(&mut table);
        table.sort_unstable_by_key(Operation::name);
        table
    });
    &TABLE
}

/// The operation of this name.
pub fn operation(name: &str) -> Option<&'static Operation> {
    let table = operations();
    let found = table.binary_search_by(|row| row.name().cmp(name)).ok()?;
    table.get(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_carry_their_room() {
        let names: Vec<_> = operations().iter().map(Operation::name).collect();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
        // `room.verb`, or `room.part.verb`.
        assert!(names.iter().all(|name| name.split('.').count() == 2));
        assert!(operation("kernel.status").is_some() && operation("kernel.statu").is_none());
    }

    #[test]
    fn every_row_is_documented_and_has_schemas() {
        for row in operations() {
            let view = row.view();
            assert!(view.doc.len() > 10 && view.doc.ends_with('.'), "{}", view.name);
            assert!(view.request.is_object() && !view.answer.is_null(), "{}", view.name);
            assert!(!view.errors.is_empty(), "{}: every operation can fail", view.name);
        }
    }
}
