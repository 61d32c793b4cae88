//! What is kept as proof: the words of the audit trail.

use super::task::Trace;
use crate::Result;
use crate::base::time::Timestamp;

/// What kind of thing happened. Each kind has a durability of its own.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AuditClass {
    /// An agent did something for somebody.
    Action,
    /// Somebody was allowed something, or refused.
    Decision,
    /// Somebody proved who they are, or failed to; a factor was added, changed or removed.
    Authentication,
    /// A token was issued, refreshed or attenuated.
    Token,
    /// A token, a family of them, or all of somebody's were revoked.
    Revocation,
    /// A key was made, rotated, exported, imported or destroyed.
    Key,
    /// Somebody went past a rule with the right to do so.
    Override,
    /// What is configured was changed, policies among it.
    Configuration,
    /// A revision was rolled out or taken back.
    Deployment,
}

impl AuditClass {
    /// Every class, in order.
    pub const ALL: [Self; 9] = [
        Self::Action,
        Self::Decision,
        Self::Authentication,
        Self::Token,
        Self::Revocation,
        Self::Key,
        Self::Override,
        Self::Configuration,
        Self::Deployment,
    ];

    /// Its name: `action`, `decision`, …
    pub const fn name(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Decision => "decision",
            Self::Authentication => "authentication",
            Self::Token => "token",
            Self::Revocation => "revocation",
            Self::Key => "key",
            Self::Override => "override",
            Self::Configuration => "configuration",
            Self::Deployment => "deployment",
        }
    }
}

/// How it ended.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    /// It was done, or allowed.
    Success,
    /// It was tried and failed.
    Failure,
    /// It was refused.
    Denied,
}

impl AuditOutcome {
    /// Its name: `success`, `failure` or `denied`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Denied => "denied",
        }
    }
}

/// The value of a detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuditValue<'a> {
    /// Text.
    Text(&'a str),
    /// A whole number; beyond ±2⁵³ it is kept as text.
    Int(i64),
    /// Yes or no.
    Bool(bool),
}

/// Something that happened, borrowed from whoever tells of it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AuditEvent<'a> {
    /// What kind.
    pub class: AuditClass,
    /// What was done, as `room.what`: `token.issue`, `kernel.call`, …
    pub action: &'a str,
    /// Who did it.
    pub principal: &'a str,
    /// To what; empty where there is nothing to name.
    pub object: &'a str,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// When, by the wall clock.
    pub at: Timestamp,
    /// Where in a distributed trace.
    pub trace: Option<Trace>,
    /// What else is worth keeping. No secret belongs here.
    pub details: &'a [(&'a str, AuditValue<'a>)],
    /// Details about a person that can be erased later: see [`subject`](Self::subject).
    pub personal: &'a [(&'a str, AuditValue<'a>)],
    /// Whose the personal details are: the key under which they are kept is this subject's. With
    /// personal details and no subject, it is the principal.
    pub subject: Option<&'a str>,
}

impl<'a> AuditEvent<'a> {
    /// Something that was done, or allowed.
    pub fn new(class: AuditClass, action: &'a str, principal: &'a str, at: Timestamp) -> Self {
        Self {
            class,
            action,
            principal,
            object: "",
            outcome: AuditOutcome::Success,
            at,
            trace: None,
            details: &[],
            personal: &[],
            subject: None,
        }
    }

    /// To what it was done.
    #[must_use]
    pub fn object(mut self, object: &'a str) -> Self {
        self.object = object;
        self
    }

    /// How it ended.
    #[must_use]
    pub fn outcome(mut self, outcome: AuditOutcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Where in a distributed trace.
    #[must_use]
    pub fn trace(mut self, trace: Trace) -> Self {
        self.trace = Some(trace);
        self
    }

    /// What else is worth keeping. No secret belongs here.
    #[must_use]
    pub fn details(mut self, details: &'a [(&'a str, AuditValue<'a>)]) -> Self {
        self.details = details;
        self
    }

    /// Details about a person, which can be erased later.
    #[must_use]
    pub fn personal(mut self, subject: &'a str, details: &'a [(&'a str, AuditValue<'a>)]) -> Self {
        self.subject = Some(subject);
        self.personal = details;
        self
    }
}

/// Keeps proof of what happened.
pub trait AuditTrail: Send + Sync + 'static {
    /// Keeps it, and answers when it is as durable as its class demands. May block that long.
    ///
    /// # Errors
    /// When it could not be kept as durably: whoever was to do something that must be on the
    /// record does not do it then.
    fn record(&self, event: &AuditEvent<'_>) -> Result<()>;
}
