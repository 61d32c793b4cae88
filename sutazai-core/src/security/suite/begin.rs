//! What is there when the room opens: its master key, and what decides.

use std::path::PathBuf;

use super::super::audit::AuditLog;
use super::super::authz::{Entities, PolicySet};
use super::super::keys::{Keys, Master, Secret};
use super::keys::BY;
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditEvent, AuditValue};
use crate::store::{DataDir, Store};
use crate::{Code, Error, Result};

/// The file `master.key` of the data directory, made where there is none and never was; in memory a key that nobody
/// keeps.
pub(super) fn own_master(dir: Option<&DataDir>, store: &Store) -> Result<Master> {
    let Some(dir) = dir else { return Master::key(Secret::random(32)?) };
    let path: PathBuf = dir.path().join("master.key");
    if !path.try_exists().unwrap_or(true) && Keys::are_in(store)? {
        return Err(Error::new(Code::MASTER_KEY, "the file of the master key is gone, and the keys are there")
            .operation("security.open")
            .with("path", path.display())
            .advice("put the file back from a backup, or give the master key that was set (SecurityOptions::master): \
                without it the keys, and what is encrypted with them, cannot be read"));
    }
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
