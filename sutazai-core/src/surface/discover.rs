//! Rows of discovery: the sources that agents are found in, and looking at them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::{Nothing, Operation};
use crate::agent::discover::{DiscoveryPolicy, Look, SourceSpec, SourceView};
use crate::base::ticket::Ticket;
use crate::kernel::Kernel;
use crate::{Code, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::now(
            "agent.source_add",
            "Adds a source that agents are found in, and looks at it as soon as the kernel runs.",
            &[Code::INVALID, Code::ALREADY_EXISTS, Code::DRAINING],
            add,
        ),
        Operation::later(
            "agent.source_remove",
            "Takes a source out, and removes the agents that were found there.",
            &[Code::NOT_FOUND],
            remove,
        ),
        Operation::now(
            "agent.sources",
            "The sources that agents are found in, what they have, and what is wrong with it.",
            &[Code::REQUEST_INVALID],
            list,
        ),
        Operation::later(
            "agent.discover",
            "Looks at a source now, or at all of them, and says what has changed and what failed.",
            &[Code::NOT_FOUND],
            discover,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Add {
    /// The source's name: 1 to 128 letters, digits, `_`, `-`, `/`, `:` and `.`.
    name: String,
    /// What it is.
    source: SourceSpec,
    /// How often it is looked at, and how patient one is with what it says.
    #[serde(default)]
    policy: DiscoveryPolicy,
}

#[derive(Serialize, JsonSchema)]
struct Added {
    /// The source's name.
    source: Arc<str>,
}

fn add(surface: &Surface, request: Add) -> Result<Added> {
    let source = Arc::from(&*request.name);
    surface.kernel().add_source_of(request.name, request.source, request.policy)?;
    Ok(Added { source })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Remove {
    /// The source's name.
    name: String,
    /// Whether the agents that were found there stay; they are the host's then.
    #[serde(default)]
    keep_agents: bool,
}

#[derive(Serialize, JsonSchema)]
struct Removed {
    /// Always true; a source that is not there is an error.
    removed: bool,
}

fn remove(surface: &Surface, request: Remove) -> Result<Ticket<Removed>> {
    aside(surface, move |kernel| {
        kernel.remove_source(&request.name, request.keep_agents)?;
        Ok(Removed { removed: true })
    })
}

#[derive(Serialize, JsonSchema)]
struct Sources {
    /// Sorted by name.
    sources: Vec<SourceView>,
}

fn list(surface: &Surface, _: Nothing) -> Result<Sources> {
    Ok(Sources { sources: surface.kernel().sources() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Discover {
    /// The source's name; all of them without it.
    source: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Discovered {
    /// What the look at each gave, sorted by source.
    looks: Vec<Look>,
}

fn discover(surface: &Surface, request: Discover) -> Result<Ticket<Discovered>> {
    aside(surface, move |kernel| {
        Ok(Discovered { looks: kernel.discover(request.source.as_deref())? })
    })
}

/// Does on the pool what waits for looks. Whether this thread is within one only it knows.
fn aside<A: Send + 'static>(
    surface: &Surface,
    f: impl FnOnce(&Kernel) -> Result<A> + Send + 'static,
) -> Result<Ticket<A>> {
    surface.kernel().may_discover_here()?;
    let kernel = surface.kernel().clone();
    Ok(surface.aside(move |reply| {
        let _ = reply.answer(f(&kernel));
    }))
}
