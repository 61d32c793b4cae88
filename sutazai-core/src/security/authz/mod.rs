//! What they may do: Cedar policies behind an index over their scopes.
//!
//! A [`PolicySet`] is loaded from text or JSON and checked against a [`Schema`]; [`Entities`] say what is known of
//! principals and resources; a [`PolicyEngine`] decides a [`Request`] by both. What is not permitted is denied, a
//! forbid overrides every permit, and a policy that fails is skipped and reported
//! ([the Cedar specification](https://docs.cedarpolicy.com/auth/authorization.html)).
//!
//! ```
//! use sutazai_core::security::authz::{Entities, EntityUid, PolicyEngine, PolicySet, Request};
//! let policies = PolicySet::from_cedar("team.cedar", r#"
//!     @id("readers read")
//!     permit (principal in Group::"readers", action == Action::"read", resource);
//! "#)?;
//! let entities = Entities::from_json(r#"[{"uid": {"type": "User", "id": "alice"}, "attrs": {},
//!     "parents": [{"type": "Group", "id": "readers"}]}]"#, None)?;
//! let engine = PolicyEngine::new(policies, entities);
//!
//! let read = Request::new("User::\"alice\"".parse()?, "Action::\"read\"".parse()?, "Page::\"home\"".parse()?);
//! let answer = engine.decide(&read);
//! assert!(answer.is_allowed());
//! assert_eq!(answer.reasons().map(|policy| policy.id()).collect::<Vec<_>>(), ["readers read"]);
//!
//! engine.swap(PolicySet::empty());
//! assert!(!engine.decide(&read).is_allowed());
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! **The index.** Cedar's authorizer evaluates every policy of a set. Here those whose scope does not hold are
//! not even looked at, which cannot be told from the answers: decision, determining policies and errors are the
//! same, for every set and request (`evaluate.rs` says why, and the tests compare). What a decision costs grows
//! with the policies whose scope holds, and no longer with the set.
//!
//! **Invariants.** An answer is a function of the request, context included, and of one state of policies and
//! entities, which its generation names. No answer of an older state is given to a call that begins after the
//! change has returned. Policies see no clock: what they are to know of the time comes in the context.

mod answer;
mod cache;
mod cases;
mod context;
mod engine;
mod entities;
mod evaluate;
mod explain;
mod index;
mod nesting;
mod problem;
mod reach;
mod request;
mod reverse;
mod roles;
mod schema;
mod scope;
mod set;
mod shadow;
mod uid;

pub use answer::{Answer, AnswerView, PolicyFault};
pub use cache::CacheStatus;
pub use cases::{CaseFailure, CasesReport, Expected, PolicyCase, PolicyCases};
pub use context::{Context, ContextValue};
pub use engine::{EngineOptions, EngineStatus, PolicyEngine};
pub use entities::Entities;
pub use explain::{Explanation, Miss, NearMiss, PolicyPart};
pub use request::Request;
pub use reverse::{Page, Reverse};
pub use roles::{Assignment, Grant, Role, Roles, Target};
pub use schema::Schema;
pub use set::{Effect, PolicySet, PolicySetBuilder, PolicyView};
pub use shadow::{ShadowDifference, ShadowReport};
pub use uid::EntityUid;
