//! Rows of the sagas: define, run, look at, see to those that are stuck.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::{Nothing, Operation};
use crate::base::payload::Payload;
use crate::base::ticket::Ticket;
use crate::kernel::Change;
#[cfg(feature = "agent")]
use crate::kernel::SagaOfCalls;
use crate::recovery::{Resumed, SagaDetail, SagaFilter, SagaId, SagaState, SagaView};
use crate::{Code, Error, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        #[cfg(feature = "agent")]
        Operation::now(
            "recovery.saga_define",
            "Defines a saga whose steps are calls of agents; unfinished ones of its name go on.",
            &[Code::INVALID, Code::ALREADY_EXISTS],
            define,
        ),
        Operation::later(
            "recovery.saga_run",
            "Begins a saga and answers with what its last step gave; giving up waiting gives it up.",
            &[
                Code::NOT_FOUND,
                Code::INVALID,
                Code::SAGA_UNDONE,
                Code::SAGA_STUCK,
                Code::STORE_FAILED,
                Code::STORE_READ_ONLY,
            ],
            run,
        ),
        Operation::later(
            "recovery.saga_begin",
            "Begins a saga and answers when its beginning is kept; it goes on whoever waits.",
            &[Code::NOT_FOUND, Code::INVALID, Code::STORE_FAILED, Code::STORE_READ_ONLY],
            begin,
        ),
        Operation::blocking(
            "recovery.saga_wait",
            "Waits until a saga has come to its end, or is stuck, and says which.",
            &[Code::NOT_FOUND, Code::STORE_FAILED, Code::STORE_CORRUPT],
            wait,
        ),
        Operation::blocking(
            "recovery.saga_list",
            "The sagas that the filter wants, newest first.",
            &[Code::STORE_FAILED, Code::STORE_CORRUPT],
            list,
        ),
        Operation::blocking(
            "recovery.saga_inspect",
            "One saga in full: its steps, what they gave, why it went back, and its journal.",
            &[Code::NOT_FOUND, Code::STORE_FAILED, Code::STORE_CORRUPT],
            inspect,
        ),
        Operation::blocking(
            "recovery.saga_cancel",
            "Gives a saga up: what was done is undone; says whether it was on its way forward.",
            &[Code::NOT_FOUND, Code::STORE_FAILED, Code::STORE_CORRUPT],
            cancel,
        ),
        Operation::blocking(
            "recovery.saga_retry",
            "Has the compensation of a stuck saga tried again, and says where the saga stands then.",
            &[Code::NOT_FOUND, Code::INVALID, Code::STORE_FAILED, Code::STORE_CORRUPT],
            retry,
        ),
        Operation::blocking(
            "recovery.saga_resolve",
            "Says that somebody has seen to what a stuck saga left, which is its end.",
            &[Code::NOT_FOUND, Code::INVALID, Code::STORE_FAILED, Code::STORE_CORRUPT],
            resolve,
        ),
        Operation::blocking(
            "recovery.saga_resume",
            "Goes on with unfinished sagas that nobody is at, and names those that wait for their definition.",
            &[Code::STORE_FAILED, Code::STORE_CORRUPT],
            resume,
        ),
    ]);
}

#[cfg(feature = "agent")]
#[derive(Serialize, JsonSchema)]
struct Defined {
    /// Every saga that is defined, sorted.
    defined: Vec<std::sync::Arc<str>>,
}

#[cfg(feature = "agent")]
fn define(surface: &Surface, request: SagaOfCalls) -> Result<Defined> {
    surface.kernel().define_saga_of_calls(&request)?;
    Ok(Defined { defined: surface.kernel().sagas().defined() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Run {
    /// The name of its definition.
    name: String,
    /// What it works on; any JSON.
    #[serde(default)]
    input: Payload,
}

#[derive(Serialize, JsonSchema)]
struct Ran {
    /// The saga.
    saga: SagaId,
    /// What its last step gave.
    output: Payload,
}

fn run(surface: &Surface, request: Run) -> Result<Ticket<Ran>> {
    let (saga, ticket) = surface.kernel().sagas().run(&request.name, request.input)?;
    Ok(ticket.map(Some(surface.hook()), move |answer: Result<Payload>| {
        answer.map(|output| Ran { saga, output })
    }))
}

#[derive(Serialize, JsonSchema)]
struct Begun {
    /// The saga.
    saga: SagaId,
}

fn begin(surface: &Surface, request: Run) -> Result<Ticket<Begun>> {
    let ticket = surface.kernel().sagas().begin(&request.name, request.input)?;
    Ok(ticket.map(Some(surface.hook()), |answer: Result<SagaId>| answer.map(|saga| Begun { saga })))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// The saga.
    saga: SagaId,
}

#[derive(Serialize, JsonSchema)]
struct Stands {
    /// The saga.
    saga: SagaId,
    /// Where it stands.
    state: SagaState,
}

/// Where a saga stands when its ticket has answered. That it failed is no failure of the operation.
fn stands(surface: &Surface, saga: SagaId, mut ticket: Ticket<Payload>) -> Result<Stands> {
    match ticket.wait() {
        Ok(_) => {}
        Err(error) if [Code::SAGA_UNDONE, Code::SAGA_STUCK].contains(&error.code()) => {}
        Err(error) => return Err(error),
    }
    let state = surface.kernel().sagas().inspect(saga)?.view.state;
    Ok(Stands { saga, state })
}

fn wait(surface: &Surface, request: Which) -> Result<Stands> {
    let ticket = surface.kernel().sagas().watch(request.saga)?;
    stands(surface, request.saga, ticket)
}

#[derive(Serialize, JsonSchema)]
struct Sagas {
    sagas: Vec<SagaView>,
}

fn list(surface: &Surface, request: SagaFilter) -> Result<Sagas> {
    Ok(Sagas { sagas: surface.kernel().sagas().list(&request)? })
}

fn inspect(surface: &Surface, request: Which) -> Result<SagaDetail> {
    surface.kernel().sagas().inspect(request.saga)
}

#[derive(Serialize, JsonSchema)]
struct Cancelled {
    /// Whether it was on its way forward.
    cancelled: bool,
}

fn cancel(surface: &Surface, request: Which) -> Result<Cancelled> {
    let (kernel, saga) = (surface.kernel(), request.saga.to_string());
    let change = Change::forced("recovery.saga_cancel", &saga);
    let cancelled = kernel.changes(change, || kernel.sagas().cancel(request.saga))?;
    Ok(Cancelled { cancelled })
}

fn retry(surface: &Surface, request: Which) -> Result<Stands> {
    let (kernel, saga) = (surface.kernel(), request.saga.to_string());
    let change = Change::forced("recovery.saga_retry", &saga);
    let ticket = kernel.changes(change, || kernel.sagas().retry(request.saga))?;
    stands(surface, request.saga, ticket)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resolve {
    /// The saga.
    saga: SagaId,
    /// What was done about it; up to 2,000 characters are kept.
    note: String,
}

fn resolve(surface: &Surface, request: Resolve) -> Result<SagaView> {
    if request.note.trim().is_empty() {
        return Err(Error::new(Code::INVALID, "a saga is resolved with a note on what was done")
            .operation("recovery.saga_resolve"));
    }
    let (kernel, saga) = (surface.kernel(), request.saga.to_string());
    let change = Change::forced("recovery.saga_resolve", &saga).with("note", &request.note);
    kernel.changes(change, || kernel.sagas().resolve(request.saga, &request.note)?.wait())
}

fn resume(surface: &Surface, _: Nothing) -> Result<Resumed> {
    surface.kernel().sagas().resume()
}
