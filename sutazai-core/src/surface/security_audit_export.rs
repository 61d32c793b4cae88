//! Rows of the room `security`: the audit log for other programs, what its records survive, personal details.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dispatch::Surface;
use super::operation::{DONE, Done, Nothing, Operation};
use super::who::By;
use crate::port::AuditClass;
use crate::security::audit::{Format, PAGE_MAX};
use crate::store::Durability;
use crate::{Code, Error, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::blocking(
            "security.audit_export",
            "Records for other programs, oldest first: JSON lines or CEF, page by page.",
            &[Code::IO, Code::AUDIT_CORRUPT, Code::AUDIT_FAILED, Code::AUDIT_WITNESS],
            export,
        ),
        Operation::blocking(
            "security.audit_export_file",
            "Writes records for other programs into a file, which is there as a whole or not at all.",
            &[
                Code::ALREADY_EXISTS,
                Code::NOT_FOUND,
                Code::INVALID,
                Code::IO,
                Code::AUDIT_CORRUPT,
                Code::AUDIT_FAILED,
                Code::DENIED,
                Code::AUDIT_WITNESS,
            ],
            export_file,
        ),
        Operation::blocking(
            "security.audit_durability",
            "What records of each class survive before they are acknowledged.",
            &[Code::NOT_RUNNING],
            durability,
        ),
        Operation::blocking(
            "security.audit_durability_set",
            "Changes what records of a class survive before they are acknowledged, until the kernel ends.",
            &[Code::AUDIT_FAILED, Code::AUDIT_FULL],
            durability_set,
        ),
        Operation::blocking(
            "security.audit_personal",
            "The personal details of a record, unless they were erased.",
            &[
                Code::NOT_FOUND,
                Code::AUDIT_PRUNED,
                Code::AUDIT_PROOF,
                Code::AUDIT_CORRUPT,
                Code::AUDIT_FAILED,
                Code::AUDIT_FULL,
                Code::STORE_FAILED,
                Code::IO,
            ],
            personal,
        ),
    ]);
}

/// How records are written.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Form {
    /// A JSON object a line.
    #[default]
    JsonLines,
    /// ArcSight's Common Event Format, version 0.
    Cef,
}

impl From<Form> for Format {
    fn from(form: Form) -> Self {
        match form {
            Form::JsonLines => Self::JsonLines,
            Form::Cef => Self::Cef,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Exported {
    /// `json_lines`, the default, or `cef`.
    #[serde(default)]
    format: Form,
    /// The number of the first record; `next` of the page before.
    #[serde(default)]
    from: u64,
    /// How many, at most; 100 without it, never more than 1,000.
    #[serde(default = "a_page")]
    limit: u64,
}

fn a_page() -> u64 {
    100
}

#[derive(Serialize, JsonSchema)]
struct Lines {
    /// The records, one a line.
    lines: Vec<String>,
    /// The number of the next record, where there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

fn export(surface: &Surface, request: Exported) -> Result<Lines> {
    let kernel = surface.kernel();
    let audit = kernel.security()?.audit();
    let records = audit.integrate(kernel.runtime().timestamp())?.size();
    let end = request.from.saturating_add(request.limit.min(PAGE_MAX as u64)).min(records);
    let mut out = Vec::new();
    audit.export(request.from..end, request.format.into(), &mut out)?;
    let text = String::from_utf8(out)
        .map_err(|e| Error::new(Code::INTERNAL, "an export is no text").because(e))?;
    let next = Some(end).filter(|end| *end < records);
    Ok(Lines { lines: text.lines().map(str::to_owned).collect(), next })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ExportedFile {
    /// The file that is written, for its owner only.
    path: String,
    /// Whether a file that is there may be replaced.
    #[serde(default)]
    replace: bool,
    /// `json_lines`, the default, or `cef`.
    #[serde(default)]
    format: Form,
    /// The number of the first record.
    #[serde(default)]
    from: u64,
    /// The number of the first record that is not wanted any more; all that there are without it.
    until: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct Written {
    /// How many records.
    records: u64,
    /// The number of the next record, for the next file.
    next: u64,
}

fn export_file(surface: &Surface, request: ExportedFile) -> Result<Written> {
    let kernel = surface.kernel();
    let security = kernel.security()?;
    security.outside(std::path::Path::new(&request.path))?;
    let audit = security.audit();
    let size = audit.integrate(kernel.runtime().timestamp())?.size();
    let end = request.until.map_or(size, |until| until.min(size));
    let format = Format::from(request.format);
    let path = PathBuf::from(request.path);
    let records = audit.export_file(request.from..end, format, &path, request.replace)?;
    Ok(Written { records, next: end })
}

#[derive(Serialize, JsonSchema)]
struct Durabilities {
    /// The classes.
    classes: Vec<ClassDurability>,
}

#[derive(Serialize, JsonSchema)]
struct ClassDurability {
    /// What kind of thing is recorded.
    class: AuditClass,
    /// What its records survive before they are acknowledged.
    durability: Durability,
}

fn durability(surface: &Surface, _: Nothing) -> Result<Durabilities> {
    let audit = surface.kernel().security()?.audit();
    let of = |class| ClassDurability { class, durability: audit.durability(class) };
    Ok(Durabilities { classes: AuditClass::ALL.into_iter().map(of).collect() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DurabilitySetting {
    /// What kind of thing is recorded.
    class: AuditClass,
    /// What its records are to survive.
    durability: Durability,
    /// Who changes it.
    by: By,
}

fn durability_set(surface: &Surface, request: DurabilitySetting) -> Result<Done> {
    let kernel = surface.kernel();
    let DurabilitySetting { class, durability, by } = request;
    let now = kernel.runtime().timestamp();
    kernel.security()?.set_audit_durability(class, durability, &by, now)?;
    Ok(DONE)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Of {
    /// The record's number in the log.
    index: u64,
    /// Who looks at them; that is on the record.
    by: By,
}

#[derive(Serialize, JsonSchema)]
struct PersonalView {
    /// Whose they are; absent where the record has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// The details; absent where they were erased, or never there.
    #[serde(skip_serializing_if = "Option::is_none")]
    personal: Option<Value>,
}

fn personal(surface: &Surface, request: Of) -> Result<PersonalView> {
    let kernel = surface.kernel();
    let security = kernel.security()?;
    let now = kernel.runtime().timestamp();
    let record = security.audit().get(request.index)?.ok_or_else(|| {
        Error::new(Code::NOT_FOUND, "the log has no such record")
            .operation("security.audit_personal")
            .with("index", request.index)
    })?;
    let personal = security.personal_details(&record, &request.by, now)?;
    Ok(PersonalView { subject: record.personal.map(|sealed| sealed.subject), personal })
}
