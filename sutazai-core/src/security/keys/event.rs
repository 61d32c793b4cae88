//! [`KeyEvent`]: what happened to keys, for the record and for whoever is told.

use std::sync::Arc;

use super::spec::KeyId;
use crate::Result;
use crate::base::time::Timestamp;
use crate::port::audit::{AuditClass, AuditEvent, AuditOutcome, AuditTrail, AuditValue};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeyChange {
    /// A keyset was created.
    Created,
    /// A key was made, to be active later.
    Made,
    /// A pre-active key took over.
    Activated,
    /// A fresh key took over by hand.
    Rotated,
    /// A key was destroyed.
    Destroyed,
    /// A keyset was removed with all its keys.
    Removed,
    /// A keyset was exported.
    Exported,
    /// A keyset was imported.
    Imported,
    /// The master key was changed.
    MasterChanged,
}

impl KeyChange {
    /// What it is called on the record: `keys.create`, ….
    pub const fn action(self) -> &'static str {
        match self {
            Self::Created => "keys.create",
            Self::Made => "keys.make",
            Self::Activated => "keys.activate",
            Self::Rotated => "keys.rotate",
            Self::Destroyed => "keys.destroy",
            Self::Removed => "keys.remove",
            Self::Exported => "keys.export",
            Self::Imported => "keys.import",
            Self::MasterChanged => "keys.change_master",
        }
    }
}

/// Something that happened to a key or a keyset.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct KeyEvent {
    /// What.
    pub change: KeyChange,
    /// Of which keyset; empty for the master key.
    pub keyset: String,
    /// Which key, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// When.
    pub at: Timestamp,
}

impl KeyEvent {
    pub(super) fn new(change: KeyChange, keyset: &str, key: Option<KeyId>, at: Timestamp) -> Self {
        Self { change, keyset: keyset.to_owned(), key, at }
    }
}

/// Puts what is about to happen on the record, and does it only when it is there; what then fails is
/// recorded as failed.
pub(super) fn recorded<T>(
    audit: Option<&Arc<dyn AuditTrail>>,
    by: &str,
    event: &KeyEvent,
    act: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let Some(audit) = audit else { return act() };
    let key = event.key.map(|id| id.to_string());
    let mut details = Vec::with_capacity(2);
    details.extend(key.as_deref().map(|key| ("key", AuditValue::Text(key))));
    let entry =
        AuditEvent::new(AuditClass::Key, event.change.action(), by, event.at).object(&event.keyset);
    audit.record(&entry.details(&details))?;
    act().inspect_err(|e| {
        details.push(("error", AuditValue::Text(e.code().name())));
        // The failure is what the caller hears of; that it could not be recorded as well changes nothing.
        let _ = audit.record(&entry.outcome(AuditOutcome::Failure).details(&details));
    })
}

/// Puts on the record that something was tried and refused. It is refused all the same when that fails.
pub(super) fn denied(audit: &dyn AuditTrail, by: &str, event: &KeyEvent) {
    let entry = AuditEvent::new(AuditClass::Key, event.change.action(), by, event.at);
    let _ = audit.record(&entry.object(&event.keyset).outcome(AuditOutcome::Denied));
}
