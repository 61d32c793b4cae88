//! Who wants to do what to what.

use std::fmt;

use cedar_policy_core::ast::{self, EntityUIDEntry};

use super::context::{Context, mix};
use super::uid::EntityUid;

/// Somebody wants to do something to something. Cheap to make out of names that exist, and to clone.
///
/// ```
/// use sutazai_core::security::authz::{EntityUid, Request};
/// let request = Request::new(
///     EntityUid::new("User", "alice")?,
///     EntityUid::new("Action", "call")?,
///     EntityUid::new("Skill", "translate")?,
/// );
/// assert_eq!(request.to_string(), r#"User::"alice" Action::"call" Skill::"translate""#);
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Request {
    pub(super) principal: EntityUid,
    pub(super) action: EntityUid,
    pub(super) resource: EntityUid,
    pub(super) context: Context,
}

impl Request {
    /// A request without a context.
    pub fn new(principal: EntityUid, action: EntityUid, resource: EntityUid) -> Self {
        Self { principal, action, resource, context: Context::empty() }
    }

    /// With this context.
    #[must_use]
    pub fn with_context(mut self, context: Context) -> Self {
        self.context = context;
        self
    }

    /// Who.
    pub fn principal(&self) -> &EntityUid {
        &self.principal
    }

    /// Wants to do what.
    pub fn action(&self) -> &EntityUid {
        &self.action
    }

    /// To what.
    pub fn resource(&self) -> &EntityUid {
        &self.resource
    }

    /// What else is known.
    pub fn context(&self) -> &Context {
        &self.context
    }

    pub(super) fn hash64(&self) -> u64 {
        let (principal, action) = (self.principal.hash64(), self.action.hash64());
        mix(mix(mix(principal, action), self.resource.hash64()), self.context.hash64())
    }

    pub(super) fn core(&self) -> ast::Request {
        let known = |uid: &EntityUid| EntityUIDEntry::Known { euid: uid.shared(), loc: None };
        ast::Request::new_unchecked(
            known(&self.principal),
            known(&self.action),
            known(&self.resource),
            Some(self.context.core().clone()),
        )
    }
}

impl PartialEq for Request {
    fn eq(&self, other: &Self) -> bool {
        self.principal == other.principal
            && self.action == other.action
            && self.resource == other.resource
            && self.context == other.context
    }
}

impl Eq for Request {}

impl fmt::Display for Request {
    /// Principal, action, resource. The context may hold what should not be shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.principal, self.action, self.resource)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({self})")
    }
}
