//! Rows of the checkpoints: take, list, compare, restore.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::{Nothing, Operation};
use crate::kernel::Change;
use crate::recovery::{CheckpointDetail, CheckpointDiff, CheckpointId, CheckpointView, Restored};
use crate::{Code, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::blocking(
            "recovery.checkpoint_create",
            "Saves the state of everything that is registered, or of what is named, in one checkpoint.",
            &[Code::INVALID, Code::NOT_FOUND, Code::STORE_FAILED, Code::STORE_READ_ONLY, Code::IO],
            create,
        ),
        Operation::blocking(
            "recovery.checkpoint_list",
            "The checkpoints, newest first, and what is registered, in the order of a restore.",
            &[Code::INVALID, Code::STORE_FAILED],
            list,
        ),
        Operation::blocking(
            "recovery.checkpoint_get",
            "One checkpoint with the states it holds.",
            &[Code::NOT_FOUND, Code::STORE_FAILED, Code::STORE_CORRUPT],
            get,
        ),
        Operation::blocking(
            "recovery.checkpoint_diff",
            "In what a checkpoint differs from another one, or from the present state.",
            &[Code::NOT_FOUND, Code::STORE_FAILED, Code::STORE_CORRUPT, Code::IO],
            diff,
        ),
        Operation::blocking(
            "recovery.checkpoint_restore",
            "Restores a checkpoint, or what is named of it; puts back what it restored when one fails.",
            &[Code::NOT_FOUND, Code::RESTORE_FAILED, Code::STORE_FAILED, Code::STORE_CORRUPT],
            restore,
        ),
        Operation::blocking(
            "recovery.checkpoint_delete",
            "Deletes a checkpoint; says whether it was there.",
            &[Code::STORE_FAILED, Code::STORE_READ_ONLY],
            delete,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// What to call it, at most 200 characters.
    #[serde(default)]
    label: String,
    /// The names of what is saved; everything that is registered without it.
    only: Option<Vec<String>>,
}

fn create(surface: &Surface, request: Create) -> Result<CheckpointView> {
    surface.kernel().checkpoints().create(&request.label, request.only.as_deref())
}

#[derive(Serialize, JsonSchema)]
struct Checkpoints {
    checkpoints: Vec<CheckpointView>,
    /// The names of what is registered, in the order of a restore.
    registered: Vec<String>,
}

fn list(surface: &Surface, _: Nothing) -> Result<Checkpoints> {
    let checkpoints = surface.kernel().checkpoints();
    let registered = checkpoints.registered()?;
    Ok(Checkpoints { checkpoints: checkpoints.list()?, registered })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// The checkpoint's number.
    checkpoint: CheckpointId,
}

fn get(surface: &Surface, request: Which) -> Result<CheckpointDetail> {
    surface.kernel().checkpoints().get(request.checkpoint)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Diff {
    /// The first one's number.
    checkpoint: CheckpointId,
    /// The second one's; the present state without it.
    with: Option<CheckpointId>,
}

fn diff(surface: &Surface, request: Diff) -> Result<CheckpointDiff> {
    surface.kernel().checkpoints().diff(request.checkpoint, request.with)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Restore {
    /// The checkpoint's number.
    checkpoint: CheckpointId,
    /// The names of what is restored; everything that it holds without it.
    only: Option<Vec<String>>,
}

fn restore(surface: &Surface, request: Restore) -> Result<Restored> {
    let (kernel, name) = (surface.kernel(), request.checkpoint.to_string());
    let restore = || kernel.checkpoints().restore(request.checkpoint, request.only.as_deref());
    kernel.changes(Change::forced("recovery.checkpoint_restore", &name), restore)
}

#[derive(Serialize, JsonSchema)]
struct Deleted {
    /// Whether it was there.
    deleted: bool,
}

fn delete(surface: &Surface, request: Which) -> Result<Deleted> {
    let (kernel, name) = (surface.kernel(), request.checkpoint.to_string());
    let delete = || kernel.checkpoints().delete(request.checkpoint);
    let change = Change::forced("recovery.checkpoint_delete", &name);
    Ok(Deleted { deleted: kernel.changes(change, delete)? })
}
