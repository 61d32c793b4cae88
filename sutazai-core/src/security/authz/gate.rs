//! The authorise step of the guarded call, by policies.

use std::sync::Arc;

use super::context::{Context, ContextValue};
use super::engine::PolicyEngine;
use super::request::Request;
use super::uid::EntityUid;
use crate::Result;
use crate::port::session::{Access, Decision, Policy, Session};

/// Decides calls by a [`PolicyEngine`]: the [`Policy`] port.
///
/// The principal is an entity of the type for people, with the session's principal as its id; the action is
/// `Action::"call"` (or what else is wanted); the resource is `Skill::"…"`, the skill of the task. The context holds
/// the session's `scheme` and its `attributes`, each a text.
///
/// ```
/// use std::sync::Arc;
/// use sutazai_core::base::time::Timestamp;
/// use sutazai_core::port::session::{Access, Decision, Policy, Session};
/// use sutazai_core::port::task::Task;
/// use sutazai_core::security::authz::{Entities, PolicyEngine, PolicyGate, PolicySet};
/// let set = PolicySet::from_cedar("p", r#"
///     permit (principal == User::"alice", action == Action::"call", resource == Skill::"translate")
///     when { context.scheme == "password" };
/// "#)?;
/// let gate = PolicyGate::new(Arc::new(PolicyEngine::new(set, Entities::empty())));
/// let (alice, task) = (Session::new("alice", "password"), Task::new("translate", "bonjour"));
/// assert_eq!(gate.decide(&Access::call(&alice, &task, Timestamp::EPOCH)), Decision::Allow);
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Debug)]
pub struct PolicyGate {
    engine: Arc<PolicyEngine>,
    principal_type: String,
    resource_type: String,
    namespace: String,
}

impl PolicyGate {
    /// One for principals of the type `User`, actions `Action` and resources `Skill`.
    pub fn new(engine: Arc<PolicyEngine>) -> Self {
        Self {
            engine,
            principal_type: "User".to_owned(),
            resource_type: "Skill".to_owned(),
            namespace: String::new(),
        }
    }

    /// With types of this namespace: `Shop` makes `Shop::User`, `Shop::Action` and `Shop::Skill`.
    ///
    /// # Errors
    /// [`Code::ACCESS_INVALID`](crate::Code::ACCESS_INVALID) when it is not the name of one.
    pub fn within(mut self, namespace: &str) -> Result<Self> {
        EntityUid::new(&format!("{namespace}::Action"), "")?;
        self.namespace = format!("{namespace}::");
        self.principal_type = format!("{namespace}::User");
        self.resource_type = format!("{namespace}::Skill");
        Ok(self)
    }

    /// The engine that decides.
    pub fn engine(&self) -> &Arc<PolicyEngine> {
        &self.engine
    }

    /// What a wish is as a request.
    ///
    /// # Errors
    /// [`Code::ACCESS_INVALID`](crate::Code::ACCESS_INVALID), which cannot come to pass with types that were checked.
    pub fn request(&self, session: &Session, action: &str, skill: &str) -> Result<Request> {
        let principal = EntityUid::new(&self.principal_type, session.principal())?;
        let action = EntityUid::new(&format!("{}Action", self.namespace), action)?;
        let resource = EntityUid::new(&self.resource_type, skill)?;
        let mut pairs = vec![("scheme", ContextValue::Text(session.scheme()))];
        let attributes = session.attributes();
        let context = if attributes.is_empty() {
            Context::of(pairs)
        } else {
            pairs.push(("attributes", ContextValue::Record(attributes)));
            Context::of(pairs)
        };
        Ok(Request::new(principal, action, resource).with_context(context))
    }
}

impl Policy for PolicyGate {
    fn decide(&self, access: &Access<'_>) -> Decision {
        let request = self.request(access.session, access.action, access.task.skill());
        let denied = |reason: String| Decision::Deny { reason };
        let request = match request {
            Ok(request) => request,
            // What cannot be decided is refused.
            Err(error) => return denied(error.to_string()),
        };
        let answer = self.engine.decide(&request);
        if answer.is_allowed() {
            return Decision::Allow;
        }
        let ids: Vec<&str> = answer.reasons().map(|policy| policy.id()).collect();
        denied(if ids.is_empty() {
            "no policy permits it".to_owned()
        } else {
            format!("forbidden by {}", ids.join(", "))
        })
    }
}
