//! Who calls, and whether they may.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::obligation::Obligation;
use super::task::Task;
use crate::base::time::Timestamp;

/// The longest name of a principal, in bytes.
pub const PRINCIPAL_MAX: usize = 256;

/// Whether somebody can be called so.
#[cfg(any(feature = "security", feature = "recovery", feature = "tune"))]
pub(crate) fn is_principal(name: &str) -> bool {
    (1..=PRINCIPAL_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// An authenticated caller. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session(Arc<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    principal: String,
    scheme: String,
    attributes: BTreeMap<String, String>,
}

impl Session {
    /// A session of this principal, authenticated by this scheme.
    pub fn new(principal: impl Into<String>, scheme: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            principal: principal.into(),
            scheme: scheme.into(),
            attributes: BTreeMap::new(),
        }))
    }

    /// With attributes that policies may read.
    #[must_use]
    pub fn with_attributes(mut self, attributes: BTreeMap<String, String>) -> Self {
        Arc::make_mut(&mut self.0).attributes = attributes;
        self
    }

    /// Who.
    pub fn principal(&self) -> &str {
        &self.0.principal
    }

    /// How they proved it.
    pub fn scheme(&self) -> &str {
        &self.0.scheme
    }

    /// The attribute that says which factors were proved, separated by spaces (`amr` of RFC 8176).
    pub const METHODS: &str = "amr";
    /// The attribute that says when they were, as RFC 3339.
    pub const AUTHENTICATED_AT: &str = "auth_time";
    /// The attribute that says what the session may be used for, separated by spaces; without it, whatever its
    /// principal may.
    pub const SCOPES: &str = "scopes";

    /// The factors that were proved; the scheme, where nothing else is known.
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        let methods = self.attributes().get(Self::METHODS).map_or(self.scheme(), String::as_str);
        methods.split(' ').filter(|method| !method.is_empty())
    }

    /// When they were proved, where that is known.
    pub fn authenticated_at(&self) -> Option<Timestamp> {
        self.attributes().get(Self::AUTHENTICATED_AT)?.parse().ok()
    }

    /// What the session may be used for; nothing told is whatever its principal may.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let scopes = self.attributes().get(Self::SCOPES).map_or("", String::as_str);
        scopes.split(' ').filter(|scope| !scope.is_empty())
    }

    /// What else is known of them.
    pub fn attributes(&self) -> &BTreeMap<String, String> {
        &self.0.attributes
    }
}

/// What somebody wants to do.
#[derive(Debug)]
#[non_exhaustive]
pub struct Access<'a> {
    /// Who.
    pub session: &'a Session,
    /// The agent that does it for them, where it is done within a call that an agent has.
    pub actor: Option<&'a str>,
    /// What: `call` for a guarded call.
    pub action: &'a str,
    /// On what.
    pub task: &'a Task,
    /// When.
    pub now: Timestamp,
    /// Who would do it, and on what, for policies that weigh the risk; `None` where nobody knows.
    pub means: Option<&'a dyn Means>,
}

impl<'a> Access<'a> {
    /// The wish of `session` to call `task`.
    pub fn call(session: &'a Session, task: &'a Task, now: Timestamp) -> Self {
        let actor = task.lineage().map(|outer| &**outer.who());
        Self { session, actor, action: "call", task, now, means: None }
    }

    /// With what is known of who would do it.
    #[must_use]
    pub fn by(mut self, means: &'a dyn Means) -> Self {
        self.means = Some(means);
        self
    }
}

/// What is known of who would do what somebody wants. It is worked out when it is asked for.
pub trait Means {
    /// How unwell whoever would do it is, and whoever asks for it on somebody's behalf: 0 to 1.
    fn trouble(&self) -> f64;
    /// How sensitive what it touches is: 0 to 1.
    fn sensitivity(&self) -> f64;
}

impl std::fmt::Debug for dyn Means + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Means")
    }
}

/// What a [`Policy`] decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allow,
    /// It may, if what is asked for holds, or happens.
    AllowIf(Arc<[Obligation]>),
    /// It may not, and why.
    Deny {
        /// For the caller and the audit trail.
        reason: String,
    },
}

/// Decides who may do what: the authorise step of the guarded call.
pub trait Policy: Send + Sync + 'static {
    /// Decides. Must be quick and must not block.
    fn decide(&self, access: &Access<'_>) -> Decision;
}
