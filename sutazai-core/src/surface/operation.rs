//! A row of the table.

use std::sync::OnceLock;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::dispatch::Surface;
use crate::base::payload::Payload;
use crate::base::reading::Form;
use crate::base::ticket::{self, Ticket};
use crate::{Code, Result};

/// What any operation may answer with, whether or not its row says so: the request is not one, the
/// kernel or its blocking pool cannot take it, waiting for it is refused, its caller gave up, or
/// something is broken.
pub const COMMON: &[Code] = &[
    Code::OPERATION_UNKNOWN,
    Code::REQUEST_INVALID,
    Code::NOT_RUNNING,
    Code::OVERLOADED,
    Code::WOULD_DEADLOCK,
    Code::CANCELLED,
    Code::ABANDONED,
    Code::PANIC,
    Code::INTERNAL,
];

/// One operation that every host can call.
pub struct Operation {
    name: &'static str,
    doc: &'static str,
    errors: &'static [Code],
    request: fn() -> Value,
    answer: fn() -> Value,
    check: fn(&'static str, &str) -> Result<()>,
    run: Box<Run>,
}

type Run = dyn Fn(&Surface, &str) -> Ticket<Payload> + Send + Sync;

/// An operation as hosts see it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OperationView {
    /// `room.verb`, or `room.part.verb`.
    pub name: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// The JSON Schema of the request.
    pub request: Value,
    /// The JSON Schema of the answer.
    pub answer: Value,
    /// The names of the error codes that it answers with, besides those of [`COMMON`].
    pub errors: Vec<&'static str>,
}

/// A request without fields.
#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// The answer of an operation that has nothing to tell.
#[cfg(any(feature = "recovery", feature = "security", feature = "tune"))]
#[derive(serde::Serialize, JsonSchema)]
pub(super) struct Done {
    /// Always true; failing to is an error.
    done: bool,
}

#[cfg(any(feature = "recovery", feature = "security", feature = "tune"))]
pub(super) const DONE: Done = Done { done: true };

impl Operation {
    /// An operation that answers at once.
    pub(super) fn now<Q, A>(
        name: &'static str,
        doc: &'static str,
        errors: &'static [Code],
        f: fn(&Surface, Q) -> Result<A>,
    ) -> Self
    where
        Q: DeserializeOwned + JsonSchema + 'static,
        A: Serialize + JsonSchema + 'static,
    {
        let schema = OnceLock::new();
        Self::row::<Q, A>(name, doc, errors, move |surface, text| {
            let answer = request::<Q>(name, text, &schema).and_then(|request| f(surface, request));
            ticket::ready(answer.and_then(|answer| Payload::json(&answer)))
        })
    }

    /// An operation that may block: it runs on the runtime's blocking pool.
    pub(super) fn blocking<Q, A>(
        name: &'static str,
        doc: &'static str,
        errors: &'static [Code],
        f: fn(&Surface, Q) -> Result<A>,
    ) -> Self
    where
        Q: DeserializeOwned + JsonSchema + Send + 'static,
        A: Serialize + JsonSchema + 'static,
    {
        let schema = OnceLock::new();
        Self::row::<Q, A>(name, doc, errors, move |surface, text| {
            match request::<Q>(name, text, &schema) {
                Ok(request) => {
                    let inner = surface.clone();
                    surface.aside(move |reply| {
                        let answer = f(&inner, request).and_then(|answer| Payload::json(&answer));
                        let _ = reply.answer(answer);
                    })
                }
                Err(error) => ticket::ready(Err(error)),
            }
        })
    }

    /// An operation whose answer comes later.
    pub(super) fn later<Q, A>(
        name: &'static str,
        doc: &'static str,
        errors: &'static [Code],
        f: fn(&Surface, Q) -> Result<Ticket<A>>,
    ) -> Self
    where
        Q: DeserializeOwned + JsonSchema + 'static,
        A: Serialize + JsonSchema + Send + 'static,
    {
        let schema = OnceLock::new();
        Self::row::<Q, A>(name, doc, errors, move |surface, text| {
            match request::<Q>(name, text, &schema).and_then(|request| f(surface, request)) {
                Ok(ticket) => ticket.map(Some(surface.hook()), |answer| Payload::json(&answer?)),
                Err(error) => ticket::ready(Err(error)),
            }
        })
    }

    fn row<Q: DeserializeOwned + JsonSchema, A: JsonSchema>(
        name: &'static str,
        doc: &'static str,
        errors: &'static [Code],
        run: impl Fn(&Surface, &str) -> Ticket<Payload> + Send + Sync + 'static,
    ) -> Self {
        let check = |name, text: &str| request::<Q>(name, text, &OnceLock::new()).map(drop);
        let (request, answer) = (schema::<Q>, schema::<A>);
        Self { name, doc, errors, request, answer, check, run: Box::new(run) }
    }

    pub(super) fn run(&self, surface: &Surface, request: &str) -> Ticket<Payload> {
        (self.run)(surface, request)
    }

    /// Whether this can be read as a request; nothing is done.
    ///
    /// # Errors
    /// [`Code::REQUEST_INVALID`], as the operation itself would answer.
    pub fn check(&self, request: &str) -> Result<()> {
        (self.check)(self.name, request)
    }

    /// `room.verb`, or `room.part.verb`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// As hosts see it, schemas included.
    pub fn view(&self) -> OperationView {
        OperationView {
            name: self.name,
            doc: self.doc,
            request: (self.request)(),
            answer: (self.answer)(),
            errors: self.errors.iter().map(|code| code.name()).collect(),
        }
    }
}

fn schema<T: JsonSchema>() -> Value {
    schemars::SchemaGenerator::default().into_root_schema_for::<T>().to_value()
}

/// Reads a request. An empty text is an empty object, so that hosts need not write one.
fn request<Q: DeserializeOwned + JsonSchema>(
    name: &'static str,
    text: &str,
    schema: &OnceLock<Value>,
) -> Result<Q> {
    let form = Form { code: Code::REQUEST_INVALID, operation: name, what: "request" };
    let text = if text.trim().is_empty() { "{}" } else { text };
    form.read_by(text, schema).map_err(|error| {
        let form = format!("for the form, invoke kernel.schema with {{\"operation\": \"{name}\"}}");
        let advice = match error.remedy() {
            Some(remedy) => format!("{remedy}; {form}"),
            None => form,
        };
        error.advice(advice)
    })
}
