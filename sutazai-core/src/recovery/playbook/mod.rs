//! Playbooks: on this condition, do that; within bounds, and on the record.
//!
//! A [`Playbook`] says when it applies (events whose fields compare so, signals beyond a bound, for how
//! long), what it does then (an action by name, with parameters), and how far it may go: a cool-down,
//! so many actions in so much time, a dry run, somebody's approval. What was done and why, what was
//! refused and why, and what a dry run would have done, stands in a record of bounded length.
//!
//! ```
//! use std::sync::Arc;
//! use sutazai_core::Result;
//! use sutazai_core::base::payload::Payload;
//! use sutazai_core::base::runtime::Manual;
//! use sutazai_core::port::{ActionContext, PlaybookAction};
//! use sutazai_core::recovery::{EntryState, PlaybookPolicy, Playbooks};
//!
//! struct Restart;
//! impl PlaybookAction for Restart {
//!     fn name(&self) -> &str { "restart" }
//!     fn schema(&self) -> serde_json::Value { serde_json::json!({"type": "object"}) }
//!     fn run(&self, _: &ActionContext<'_>, params: &Payload, _: bool) -> Result<Payload> {
//!         Ok(params.clone())
//!     }
//! }
//!
//! let policy: PlaybookPolicy = serde_json::from_str(r#"{"playbooks": [{
//!     "name": "restart what failed",
//!     "when": {"event": {"subject": "component.state",
//!                        "fields": [{"at": "/to", "op": "eq", "value": "failed"}]}},
//!     "action": "restart", "params": {"component": "$/component"}
//! }]}"#).unwrap();
//! let runtime = Manual::new();
//! let playbooks = Playbooks::new(Arc::new(runtime.clone()), policy)?;
//! playbooks.register(Arc::new(Restart))?;
//! playbooks.event("component.state", &serde_json::json!({"component": "db", "to": "failed"}).into());
//! runtime.run();
//! let done = EntryState::Done { answer: serde_json::json!({"component": "db"}).into() };
//! assert_eq!(playbooks.record(10)[0].state, done);
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! **Invariants.** What to do is decided by a state machine that does no I/O; actions run on the
//! runtime's blocking pool, with no lock held. A playbook has one action under way at most and rests for
//! its cool-down after it, so its own consequences cannot set it off again meanwhile; all playbooks
//! together do no more than the policy allows, so that two which set each other off end as well. Events
//! of the engine's own (`recovery.playbook.>`) set nothing off.

mod condition;
mod engine;
mod policy;
mod record;
mod rim;

pub use condition::{Comparison, Condition, EventMatch, Op, SignalMatch};
pub use policy::{Escalation, Playbook, PlaybookPolicy};
pub use record::{EntryState, PlaybookEntry, RefusedWhy};
pub use rim::{ActionView, OnEntry, PlaybookView, Playbooks, UnknownAction};

#[cfg(test)]
mod tests;
