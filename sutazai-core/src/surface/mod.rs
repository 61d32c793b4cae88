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
#[cfg(all(feature = "agent", feature = "monitor"))]
mod bottleneck;
#[cfg(feature = "recovery")]
mod checkpoint;
#[cfg(feature = "config")]
mod config;
#[cfg(any(feature = "openai", feature = "a2a"))]
mod connect_http;
#[cfg(feature = "agent")]
mod create;
#[cfg(feature = "agent")]
mod discover;
mod dispatch;
mod event;
#[cfg(feature = "recovery")]
mod guard;
#[cfg(feature = "recovery")]
mod heal;
mod kernel;
#[cfg(feature = "agent")]
mod life;
#[cfg(all(unix, feature = "mcp"))]
mod mcp;
#[cfg(feature = "monitor")]
mod monitor;
#[cfg(feature = "plot")]
mod monitor_plot;
mod observe;
mod operation;
#[cfg(feature = "agent")]
mod probe;
#[cfg(feature = "recovery")]
mod recovery;
#[cfg(feature = "agent")]
mod route;
#[cfg(feature = "recovery")]
mod saga;
#[cfg(feature = "security")]
mod security_account;
#[cfg(feature = "security")]
mod security_audit;
#[cfg(feature = "security")]
mod security_audit_export;
#[cfg(feature = "biscuit")]
mod security_delegate;
#[cfg(feature = "security")]
mod security_factor;
#[cfg(feature = "security")]
mod security_key;
#[cfg(feature = "security")]
mod security_key_use;
#[cfg(feature = "security")]
mod security_login;
#[cfg(feature = "webauthn")]
mod security_passkey;
#[cfg(feature = "security")]
mod security_policy;
#[cfg(feature = "security")]
mod security_role;
#[cfg(feature = "security")]
mod security_shadow;
#[cfg(feature = "security")]
mod security_shape;
#[cfg(feature = "security")]
mod security_token;
mod store;
#[cfg(feature = "recovery")]
mod tree;
#[cfg(feature = "tune")]
mod tune;
#[cfg(feature = "tune")]
mod tune_shares;
#[cfg(any(feature = "security", feature = "recovery", feature = "tune"))]
mod who;

pub use dispatch::Surface;
pub use operation::{COMMON, Operation, OperationView};

use std::sync::LazyLock;

/// Every operation, sorted by name.
pub fn operations() -> &'static [Operation] {
    static TABLE: LazyLock<Vec<Operation>> = LazyLock::new(|| {
        let mut table = Vec::new();
        kernel::rows(&mut table);
        #[cfg(feature = "agent")]
        {
            agent::rows(&mut table);
            life::rows(&mut table);
            discover::rows(&mut table);
            create::rows(&mut table);
            probe::rows(&mut table);
            route::rows(&mut table);
        }
        #[cfg(all(unix, feature = "mcp"))]
        mcp::rows(&mut table);
        #[cfg(feature = "config")]
        config::rows(&mut table);
        #[cfg(feature = "monitor")]
        monitor::rows(&mut table);
        #[cfg(feature = "tune")]
        tune::rows(&mut table);
        #[cfg(feature = "tune")]
        tune_shares::rows(&mut table);
        #[cfg(feature = "plot")]
        monitor_plot::rows(&mut table);
        #[cfg(all(feature = "agent", feature = "monitor"))]
        bottleneck::rows(&mut table);
        #[cfg(any(feature = "openai", feature = "a2a"))]
        connect_http::rows(&mut table);
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
        #[cfg(feature = "security")]
        {
            security_account::rows(&mut table);
            security_audit::rows(&mut table);
            security_audit_export::rows(&mut table);
            security_factor::rows(&mut table);
            security_key::rows(&mut table);
            security_key_use::rows(&mut table);
            security_login::rows(&mut table);
            security_policy::rows(&mut table);
            security_role::rows(&mut table);
            security_shadow::rows(&mut table);
            security_token::rows(&mut table);
        }
        #[cfg(feature = "biscuit")]
        security_delegate::rows(&mut table);
        #[cfg(feature = "webauthn")]
        security_passkey::rows(&mut table);
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

    fn refused(operation: &str, request: &str) -> crate::Error {
        let kernel = crate::kernel::Kernel::builder().build().unwrap();
        let answer = Surface::new(&kernel).invoke(operation, request).try_take().unwrap();
        answer.unwrap_err()
    }

    #[test]
    fn a_request_that_does_not_fit_says_how_to_get_the_form() {
        let error = refused("kernel.advance", r#"{"ms": "5", "mss": 1}"#);
        assert_eq!(error.code(), crate::Code::REQUEST_INVALID);
        assert_eq!(error.failed_operation(), Some("kernel.advance"));
        let fields = error.problems().iter().filter_map(|one| one.context().next());
        assert_eq!(fields.collect::<Vec<_>>(), [("field", "ms"), ("field", "mss")]);
        let form = r#"for the form, invoke kernel.schema with {"operation": "kernel.advance"}"#;
        assert_eq!(error.remedy(), Some(form));
        let error = refused("kernel.advance", r#"{"mss": 1}"#);
        assert_eq!(error.remedy(), Some(&*format!("did you mean \"ms\"?; {form}")));
        let error = refused("kernel.status", "[]");
        assert_eq!(error.message(), "the request must be an object, not an array");
        assert_eq!(refused("kernel.status", "{").location().map(|at| at.line), Some(1));
    }

    #[cfg(feature = "recovery")]
    #[test]
    fn a_policy_in_a_request_is_named_by_its_path() {
        let error = refused(
            "recovery.guard_set",
            r#"{"calls": "all", "policy": {"retry": {"attempts": "four", "jiter": "full"},
                "breaker": [1], "bulkhead": {"concurrency": -1}}}"#,
        );
        // Whether they come as they are written depends on what else is linked.
        let mut told: Vec<&str> = error.problems().iter().map(|one| one.message()).collect();
        told.sort_unstable();
        assert_eq!(
            told,
            [
                r#""policy.breaker" must be an object, not an array"#,
                r#""policy.bulkhead.concurrency" is out of range"#,
                r#""policy.retry.attempts" must be an integer, not "four""#,
                r#"unknown key "policy.retry.jiter""#,
            ]
        );
    }
}
