//! Rows of the store: values by namespace and key.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::{Nothing, Operation};
use crate::base::payload::Payload;
use crate::base::ticket::Ticket;
use crate::store::{Durability, Entry, Status};
use crate::{Code, Error, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::later(
            "store.put",
            "Keeps a value under a namespace and key; answers when it is as durable as asked.",
            &[Code::INVALID, Code::STORE_FAILED, Code::OVERLOADED, Code::DENIED],
            put,
        ),
        Operation::blocking(
            "store.get",
            "The value under a namespace and key.",
            &[Code::NOT_FOUND, Code::INVALID, Code::STORE_FAILED, Code::DENIED],
            get,
        ),
        Operation::later(
            "store.delete",
            "Forgets a value; says whether there was one.",
            &[Code::INVALID, Code::STORE_FAILED, Code::OVERLOADED, Code::DENIED],
            delete,
        ),
        Operation::blocking(
            "store.list",
            "The entries of a namespace whose keys begin with a prefix, in order of their keys.",
            &[Code::INVALID, Code::STORE_FAILED, Code::DENIED],
            list,
        ),
        Operation::blocking(
            "store.status",
            "Where the store is, its rooms' versions, and what it has written.",
            &[Code::REQUEST_INVALID],
            status,
        ),
    ]);
}

/// Refuses the namespaces of the room `security`: what is in them are the records of passwords, tokens and
/// policies, which its own operations look at and change, on the record.
fn refuse_reserved(namespace: &str, operation: &'static str) -> Result<()> {
    if namespace != "security" && !namespace.starts_with("security.") {
        return Ok(());
    }
    Err(Error::new(Code::DENIED, "this namespace belongs to the kernel's security")
        .operation(operation)
        .with("namespace", namespace)
        .advice("use the operations security.…, or a namespace of your own"))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Put {
    /// Keeps apart who stores what.
    namespace: String,
    /// The key, unique in its namespace.
    key: String,
    /// Any JSON.
    value: Payload,
    /// When the answer may come.
    #[serde(default)]
    durability: Durability,
}

#[derive(Serialize, JsonSchema)]
struct Stored {
    /// Always true; failing to is an error.
    stored: bool,
}

fn put(surface: &Surface, request: Put) -> Result<Ticket<Stored>> {
    refuse_reserved(&request.namespace, "store.put")?;
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    let Put { namespace, key, value, durability } = request;
    let ticket = kernel.store().put(&namespace, &key, &value, now, durability);
    Ok(ticket.map(Some(surface.hook()), |answer| answer.map(|_| Stored { stored: true })))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Get {
    /// The namespace.
    namespace: String,
    /// The key.
    key: String,
}

fn get(surface: &Surface, request: Get) -> Result<Entry> {
    refuse_reserved(&request.namespace, "store.get")?;
    surface.kernel().store().get(&request.namespace, &request.key)?.ok_or_else(|| {
        Error::new(Code::NOT_FOUND, "there is no value under this key")
            .operation("store.get")
            .with("namespace", request.namespace)
            .with("key", request.key)
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delete {
    /// The namespace.
    namespace: String,
    /// The key.
    key: String,
    /// When the answer may come.
    #[serde(default)]
    durability: Durability,
}

#[derive(Serialize, JsonSchema)]
struct Deleted {
    /// Whether there was one.
    deleted: bool,
}

fn delete(surface: &Surface, request: Delete) -> Result<Ticket<Deleted>> {
    refuse_reserved(&request.namespace, "store.delete")?;
    let Delete { namespace, key, durability } = request;
    let ticket = surface.kernel().store().delete(&namespace, &key, durability);
    Ok(ticket.map(Some(surface.hook()), |answer| answer.map(|deleted| Deleted { deleted })))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// The namespace.
    namespace: String,
    /// What the keys begin with; all without it.
    #[serde(default)]
    prefix: String,
    /// Only keys after this one: the last of the page before.
    after: Option<String>,
    /// How many, at most; 100 without it, never more than 1,000.
    #[serde(default = "a_page")]
    limit: usize,
}

fn a_page() -> usize {
    100
}

#[derive(Serialize, JsonSchema)]
struct Listed {
    entries: Vec<Entry>,
}

fn list(surface: &Surface, request: List) -> Result<Listed> {
    refuse_reserved(&request.namespace, "store.list")?;
    let List { namespace, prefix, after, limit } = request;
    let store = surface.kernel().store();
    Ok(Listed { entries: store.list(&namespace, &prefix, after.as_deref(), limit)? })
}

fn status(surface: &Surface, _: Nothing) -> Result<Status> {
    Ok(surface.kernel().store().status())
}
