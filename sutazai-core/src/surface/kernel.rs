//! Rows of the kernel: status, the table itself, virtual time.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::{Nothing, Operation, OperationView};
use crate::base::nearest::nearest;
use crate::kernel::KernelStatus;
use crate::{Code, Error, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::now(
            "kernel.status",
            "What the kernel is doing: phase, components, agents, calls, threads.",
            &[Code::REQUEST_INVALID],
            status,
        ),
        Operation::now(
            "kernel.operations",
            "The names of all operations, sorted.",
            &[Code::REQUEST_INVALID],
            operations,
        ),
        Operation::now(
            "kernel.schema",
            "One operation: what it does, the JSON Schemas of its request and answer, its errors.",
            &[Code::OPERATION_UNKNOWN],
            schema,
        ),
        Operation::now(
            "kernel.codes",
            "Every error code: number, name, default class, meaning.",
            &[Code::REQUEST_INVALID],
            codes,
        ),
        Operation::now(
            "kernel.advance",
            "Moves the clock of a kernel in virtual time on, running what falls due on the way.",
            &[Code::UNSUPPORTED],
            advance,
        ),
    ]);
}

fn status(surface: &Surface, _: Nothing) -> Result<KernelStatus> {
    Ok(surface.kernel().status())
}

#[derive(Serialize, JsonSchema)]
struct Operations {
    operations: Vec<&'static str>,
}

fn operations(_: &Surface, _: Nothing) -> Result<Operations> {
    Ok(Operations { operations: super::operations().iter().map(Operation::name).collect() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Schema {
    /// The operation's name.
    operation: String,
}

fn schema(_: &Surface, request: Schema) -> Result<OperationView> {
    super::operation(&request.operation).map(Operation::view).ok_or_else(|| {
        let error = Error::new(Code::OPERATION_UNKNOWN, "no operation has this name")
            .operation("kernel.schema")
            .with("operation", &request.operation);
        match nearest(&request.operation, super::operations().iter().map(Operation::name)) {
            Some(near) => error.advice(format!("did you mean '{near}'?")),
            None => error.advice("invoke kernel.operations for those that there are"),
        }
    })
}

#[derive(Serialize, JsonSchema)]
struct Codes {
    codes: Vec<CodeView>,
}

#[derive(Serialize, JsonSchema)]
struct CodeView {
    number: u32,
    name: &'static str,
    class: crate::Class,
    doc: &'static str,
}

fn codes(_: &Surface, _: Nothing) -> Result<Codes> {
    let view = |code: Code| CodeView {
        number: code.number(),
        name: code.name(),
        class: code.class(),
        doc: code.doc(),
    };
    Ok(Codes { codes: Code::all().map(view).collect() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Advance {
    /// By how many milliseconds.
    ms: u64,
}

#[derive(Serialize, JsonSchema)]
struct Advanced {
    /// Pieces of work that ran on the way.
    ran: usize,
}

fn advance(surface: &Surface, request: Advance) -> Result<Advanced> {
    let ran = surface.kernel().advance(Duration::from_millis(request.ms))?;
    Ok(Advanced { ran })
}
