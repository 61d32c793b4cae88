//! Rows of the room `security`: the audit log.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::{Nothing, Operation};
use super::who::By;
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditEvent, AuditOutcome, AuditValue};
use crate::security::audit::{self, Checkpoint, Evidence, Page, Query, Report};
use crate::{Code, Error, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::blocking(
            "security.audit_record",
            "Puts something of the host's on the audit record; answers when it is as durable as its class demands.",
            &[Code::INVALID, Code::AUDIT_FULL, Code::AUDIT_FAILED],
            record,
        ),
        Operation::blocking(
            "security.audit_query",
            "Records of the audit log by principal, object, action, class, outcome and time, newest first.",
            &[Code::IO, Code::AUDIT_CORRUPT],
            query,
        ),
        Operation::blocking(
            "security.audit_checkpoint",
            "A signed checkpoint over all that is on the record by now, and the key that it is verified with.",
            &[Code::IO, Code::AUDIT_FAILED, Code::AUDIT_WITNESS],
            checkpoint,
        ),
        Operation::blocking(
            "security.audit_prove",
            "Evidence that a record is in the log: it, the proof and the checkpoint that it leads to.",
            &[Code::NOT_FOUND, Code::AUDIT_PRUNED, Code::IO],
            prove,
        ),
        Operation::blocking(
            "security.audit_check",
            "Whether evidence proves what it says, under this kernel's key or another one.",
            &[Code::INVALID, Code::AUDIT_PROOF],
            check,
        ),
        Operation::blocking(
            "security.audit_verify",
            "Reads the whole audit log anew, and holds a checkpoint that was kept against it.",
            &[Code::INVALID, Code::IO, Code::UNSUPPORTED, Code::AUDIT_PROOF],
            verify,
        ),
        Operation::blocking(
            "security.audit_erase",
            "Destroys the key of somebody's personal details; the log still verifies.",
            &[Code::AUDIT_FAILED, Code::STORE_FAILED],
            erase,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Event {
    /// What kind.
    class: AuditClass,
    /// What was done, as `room.what`.
    action: String,
    /// Who did it.
    principal: String,
    /// To what.
    #[serde(default)]
    object: String,
    /// How it ended.
    #[serde(default = "success")]
    outcome: AuditOutcome,
    /// What else is worth keeping. No secret belongs here.
    #[serde(default)]
    details: BTreeMap<String, String>,
    /// Details about the principal that can be erased later.
    #[serde(default)]
    personal: BTreeMap<String, String>,
}

fn success() -> AuditOutcome {
    AuditOutcome::Success
}

fn texts(map: &BTreeMap<String, String>) -> Vec<(&str, AuditValue<'_>)> {
    map.iter().map(|(name, value)| (&**name, AuditValue::Text(value))).collect()
}

#[derive(Serialize, JsonSchema)]
struct Recorded {
    /// Its number in the log.
    index: u64,
}

fn record(surface: &Surface, request: Event) -> Result<Recorded> {
    let kernel = surface.kernel();
    let (details, personal) = (texts(&request.details), texts(&request.personal));
    let now = kernel.runtime().timestamp();
    let mut event = AuditEvent::new(request.class, &request.action, &request.principal, now)
        .object(&request.object)
        .outcome(request.outcome)
        .details(&details);
    if !personal.is_empty() {
        event = event.personal(&request.principal, &personal);
    }
    Ok(Recorded { index: kernel.security()?.audit().record(&event)? })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Who did it.
    principal: Option<String>,
    /// To what.
    object: Option<String>,
    /// What was done.
    action: Option<String>,
    /// What kind of thing.
    class: Option<AuditClass>,
    /// How it ended.
    outcome: Option<AuditOutcome>,
    /// Not before.
    from: Option<Timestamp>,
    /// Before, and not at, this time.
    until: Option<Timestamp>,
    /// Only records before this one: `next` of the page before.
    before: Option<u64>,
    /// How many, at most; 100 without it, never more than 1,000.
    #[serde(default)]
    limit: usize,
}

fn query(surface: &Surface, request: Wanted) -> Result<Page> {
    let query = Query {
        principal: request.principal,
        object: request.object,
        action: request.action,
        class: request.class,
        outcome: request.outcome,
        from: request.from,
        until: request.until,
        before: request.before,
        limit: request.limit.min(1_000),
    };
    surface.kernel().security()?.audit().query(&query)
}

#[derive(Serialize, JsonSchema)]
struct CheckpointView {
    /// How many records it covers.
    records: u64,
    /// The root of the tree over them.
    root: String,
    /// The checkpoint: a signed note (C2SP). Whoever keeps it finds out about every change of what is under it.
    note: String,
    /// The key that it is verified with.
    key: String,
}

fn checkpoint(surface: &Surface, _: Nothing) -> Result<CheckpointView> {
    let kernel = surface.kernel();
    let security = kernel.security()?;
    let checkpoint = security.audit().integrate(kernel.runtime().timestamp())?;
    Ok(CheckpointView {
        records: checkpoint.size(),
        root: checkpoint.root().to_string(),
        note: checkpoint.note().to_owned(),
        key: security.audit_key().to_string(),
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Index {
    /// The record's number in the log.
    index: u64,
}

fn prove(surface: &Surface, request: Index) -> Result<Evidence> {
    let kernel = surface.kernel();
    kernel.security()?.audit().prove(request.index, kernel.runtime().timestamp())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Checked {
    /// The evidence, as `security.audit_prove` gave it.
    evidence: Evidence,
    /// The log's key; this kernel's without it.
    key: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Proved {
    /// The record that was in the log.
    record: audit::Record,
    /// How many records the checkpoint covers.
    records: u64,
}

fn check(surface: &Surface, request: Checked) -> Result<Proved> {
    let key = match &request.key {
        Some(key) => key.parse()?,
        None => surface.kernel().security()?.audit_key().clone(),
    };
    let (record, checkpoint) = request.evidence.verify(&key)?;
    Ok(Proved { record, records: checkpoint.size() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// A checkpoint that was kept: the note.
    checkpoint: Option<String>,
}

fn verify(surface: &Surface, request: Kept) -> Result<Report> {
    let kernel = surface.kernel();
    let security = kernel.security()?;
    let key = security.audit_key();
    let kept = request.checkpoint.map(|note| Checkpoint::read(&note, key)).transpose()?;
    let dir = kernel.data_dir().ok_or_else(|| {
        Error::new(Code::UNSUPPORTED, "the audit log is in memory, where nobody else can change it")
            .operation("security.audit_verify")
            .advice("give the kernel a data directory")
    })?;
    // What is written meanwhile may look wrong: all of it is in the tree first.
    security.audit().integrate(kernel.runtime().timestamp())?;
    audit::verify(&dir.join("audit"), key, kept.as_ref())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Erased {
    /// Whose personal details.
    subject: String,
    /// Who erases them.
    by: By,
}

#[derive(Serialize, JsonSchema)]
struct Erasure {
    /// Whether there was a key.
    erased: bool,
}

fn erase(surface: &Surface, request: Erased) -> Result<Erasure> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    let audit = kernel.security()?.audit();
    Ok(Erasure { erased: audit.erase(&request.subject, &request.by, now)? })
}
