//! What is there when the room opens: its master key, and what decides.

use std::path::PathBuf;

use super::super::audit::AuditLog;
use super::super::authz::{Entities, PolicySet};
use super::super::keys::{Master, Secret};
use super::keys::BY;
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditEvent, AuditValue};
use crate::store::DataDir;
use crate::{Code, Result};

/// The file `master.key` of the data directory, made where there is none; in memory a key that nobody keeps.
pub(super) fn own_master(dir: Option<&DataDir>) -> Result<Master> {
    let Some(dir) = dir else { return Master::key(Secret::random(32)?) };
    let path: PathBuf = dir.path().join("master.key");
    match Master::create_file(&path) {
        Err(error) if error.code() == Code::ALREADY_EXISTS => Master::file(&path),
        made => made,
    }
}

/// Puts on the record what decides before anybody has set anything.
pub(super) fn decides_from_the_start(
    audit: &AuditLog,
    policies: &PolicySet,
    entities: &Entities,
    authorise: bool,
    now: Timestamp,
) -> Result<()> {
    let count = |n: usize| AuditValue::Int(i64::try_from(n).unwrap_or(i64::MAX));
    let details = [
        ("policies", count(policies.len())),
        ("entities", count(entities.len())),
        ("authorise", AuditValue::Bool(authorise)),
    ];
    let event = AuditEvent::new(AuditClass::Configuration, "policy.start", BY, now)
        .object("policies")
        .details(&details);
    audit.record(&event).map(drop)
}
