//! Rows of supervision: trees, and the messages of their children.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::{DONE, Done, Nothing, Operation};
use crate::base::payload::Payload;
use crate::kernel::Change;
use crate::kernel::TreeView;
use crate::recovery::supervise::mailbox::{MailboxStatus, Poison};
use crate::recovery::supervise::{ChildSpec, SupervisorSpec, SupervisorStatus};
use crate::{Code, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    tree_rows(table);
    child_rows(table);
    mailbox_rows(table);
}

fn tree_rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::blocking(
            "recovery.tree_add",
            "Adds a tree of supervisors, and starts it when the kernel runs.",
            &[Code::INVALID, Code::NOT_FOUND, Code::ALREADY_EXISTS, Code::CHILD_START],
            add,
        ),
        Operation::blocking(
            "recovery.tree_start",
            "Starts a tree again that has ended; what its children had in their mailboxes is still there.",
            &[Code::NOT_FOUND, Code::INVALID, Code::CHILD_START],
            start_tree,
        ),
        Operation::blocking(
            "recovery.tree_remove",
            "Stops a tree and forgets it, with the messages of its children.",
            &[Code::NOT_FOUND],
            remove,
        ),
        Operation::now(
            "recovery.tree_list",
            "The trees, and what is registered for their children to do.",
            &[Code::REQUEST_INVALID],
            list,
        ),
        Operation::now(
            "recovery.tree_get",
            "A supervisor, and everything below it.",
            &[Code::NOT_FOUND, Code::NOT_RUNNING],
            get,
        ),
    ]);
}

fn child_rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::blocking(
            "recovery.child_start",
            "Adds a child behind the others of a supervisor, and starts it.",
            &[Code::NOT_FOUND, Code::ALREADY_EXISTS, Code::INVALID, Code::CHILD_START],
            start,
        ),
        Operation::blocking(
            "recovery.child_terminate",
            "Stops a child; it stays known, and can be restarted.",
            &[Code::NOT_FOUND],
            terminate,
        ),
        Operation::blocking(
            "recovery.child_restart",
            "Stops a child, if it lives, and starts it again.",
            &[Code::NOT_FOUND, Code::CHILD_START],
            restart,
        ),
        Operation::blocking(
            "recovery.child_delete",
            "Forgets a child that does not live, and its messages.",
            &[Code::NOT_FOUND, Code::INVALID],
            delete,
        ),
    ]);
}

fn mailbox_rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::now(
            "recovery.mailbox_push",
            "Puts a message behind the others of a child.",
            &[Code::NOT_FOUND, Code::NOT_RUNNING, Code::OVERLOADED],
            push,
        ),
        Operation::now(
            "recovery.mailbox_get",
            "How many messages of a child are where, and those that were set aside, with the evidence.",
            &[Code::NOT_FOUND],
            mailbox,
        ),
        Operation::now(
            "recovery.mailbox_retry",
            "Puts a message that was set aside behind the others, as if nothing had been.",
            &[Code::NOT_FOUND, Code::OVERLOADED],
            retry,
        ),
        Operation::now(
            "recovery.mailbox_discard",
            "Forgets a message that was set aside, and gives it out.",
            &[Code::NOT_FOUND],
            discard,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Add {
    /// The identifier of its root: 1 to 256 bytes without `>`.
    name: String,
    /// The root, and what is below it. What workers do must be registered.
    spec: SupervisorSpec,
}

fn add(surface: &Surface, request: Add) -> Result<Done> {
    surface.kernel().supervise(&request.name, request.spec)?;
    Ok(DONE)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Named {
    /// The name of the tree.
    name: String,
}

fn start_tree(surface: &Surface, request: Named) -> Result<Done> {
    surface.kernel().start_tree(&request.name)?;
    Ok(DONE)
}

fn remove(surface: &Surface, request: Named) -> Result<Done> {
    surface.kernel().remove_tree(&request.name)?;
    Ok(DONE)
}

#[derive(Serialize, JsonSchema)]
struct Listed {
    /// Sorted by name.
    trees: Vec<TreeView>,
    /// The names of what children can do, sorted.
    workers: Vec<String>,
}

fn list(surface: &Surface, _: Nothing) -> Result<Listed> {
    let kernel = surface.kernel();
    Ok(Listed { trees: kernel.trees(), workers: kernel.workers().names() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct At {
    /// The identifiers from the root to it, with `>` between them: `main>workers>reviewer`.
    path: String,
}

fn get(surface: &Surface, request: At) -> Result<SupervisorStatus> {
    surface.kernel().supervisor(&request.path)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Start {
    /// The path of the supervisor.
    supervisor: String,
    /// The child.
    child: ChildSpec,
}

fn start(surface: &Surface, request: Start) -> Result<Done> {
    surface.kernel().start_child(&request.supervisor, request.child)?;
    Ok(DONE)
}

fn terminate(surface: &Surface, request: At) -> Result<Done> {
    let kernel = surface.kernel();
    let change = Change::forced("recovery.child_terminate", &request.path);
    kernel.changes(change, || kernel.tree(&request.path)?.terminate_child(&request.path))?;
    Ok(DONE)
}

fn restart(surface: &Surface, request: At) -> Result<Done> {
    surface.kernel().restart_child(&request.path)?;
    Ok(DONE)
}

fn delete(surface: &Surface, request: At) -> Result<Done> {
    let kernel = surface.kernel();
    let change = Change::deployment("recovery.child_delete", &request.path);
    kernel.changes(change, || kernel.tree(&request.path)?.delete_child(&request.path))?;
    kernel.workers().forget(&request.path);
    Ok(DONE)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Push {
    /// The path of the child.
    child: String,
    /// What it says.
    message: Payload,
}

#[derive(Serialize, JsonSchema)]
struct Pushed {
    /// The number of the message within its mailbox.
    message: u64,
}

fn push(surface: &Surface, request: Push) -> Result<Pushed> {
    let message = surface.kernel().push_message(&request.child, request.message)?;
    Ok(Pushed { message })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Child {
    /// The path of the child.
    child: String,
}

#[derive(Serialize, JsonSchema)]
struct MailboxView {
    /// How many messages are where.
    status: MailboxStatus,
    /// Those that were set aside, the oldest first.
    poison: Vec<Poison>,
}

fn mailbox(surface: &Surface, request: Child) -> Result<MailboxView> {
    let mailbox = surface.kernel().workers().mailbox(&request.child)?;
    Ok(MailboxView { status: mailbox.status(), poison: mailbox.poison() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Message {
    /// The path of the child.
    child: String,
    /// The number of the message.
    message: u64,
}

fn retry(surface: &Surface, request: Message) -> Result<Done> {
    surface.kernel().workers().mailbox(&request.child)?.retry(request.message)?;
    Ok(DONE)
}

#[derive(Serialize, JsonSchema)]
struct Discarded {
    /// What it said.
    message: Payload,
}

fn discard(surface: &Surface, request: Message) -> Result<Discarded> {
    let kernel = surface.kernel();
    let mailbox = kernel.workers().mailbox(&request.child)?;
    let change = Change::forced("recovery.mailbox_discard", &request.child);
    let message = kernel.changes(change, || mailbox.discard(request.message))?;
    Ok(Discarded { message: Payload::clone(&message) })
}
