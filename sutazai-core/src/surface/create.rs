//! Rows of agents that are made when they are wanted: templates, making one, pools.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::dispatch::Surface;
use super::operation::{Nothing, Operation};
use crate::agent::create::{
    PoolPolicy, Surroundings, Template, TemplateChoice, TemplateView, Want,
};
use crate::base::ticket::Ticket;
use crate::kernel::{CreateOptions, Created, PoolView};
use crate::{Code, Error, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::now(
            "agent.template_add",
            "Adds a template that agents can be made from.",
            &[Code::INVALID, Code::ALREADY_EXISTS, Code::OVERLOADED],
            template_add,
        ),
        Operation::now(
            "agent.template_remove",
            "Takes a template out; agents that were made from it go on.",
            &[Code::NOT_FOUND],
            template_remove,
        ),
        Operation::now(
            "agent.templates",
            "The templates, sorted by name, with how what was made from them did of late.",
            &[Code::REQUEST_INVALID],
            templates,
        ),
        Operation::later(
            "agent.create",
            "Makes an agent for what is wanted: the best template whose agent starts and passes its probes.",
            &[
                Code::AGENT_NOT_MADE,
                Code::INVALID,
                Code::ALREADY_EXISTS,
                Code::DEADLINE_EXCEEDED,
                Code::CANCELLED,
                Code::NOT_RUNNING,
                Code::DRAINING,
            ],
            create,
        ),
        Operation::blocking(
            "agent.create_explain",
            "Which template an agent would be made from, and what speaks against each; makes none.",
            &[Code::INVALID],
            explain,
        ),
        Operation::now(
            "agent.pool_add",
            "Keeps between so many and so many agents of a template, as their load needs.",
            &[
                Code::NOT_FOUND,
                Code::INVALID,
                Code::ALREADY_EXISTS,
                Code::OVERLOADED,
                Code::NOT_RUNNING,
                Code::DRAINING,
            ],
            pool_add,
        ),
        Operation::now(
            "agent.pool_set",
            "Gives a pool another policy.",
            &[Code::NOT_FOUND, Code::INVALID],
            pool_set,
        ),
        Operation::blocking(
            "agent.pool_remove",
            "Removes a pool and its agents, which have time to finish.",
            &[Code::NOT_FOUND],
            pool_remove,
        ),
        Operation::now(
            "agent.pools",
            "The pools, sorted by name: their agents, their load, and why they have as many as they have.",
            &[Code::REQUEST_INVALID],
            pools,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TemplateAdd {
    /// The template.
    template: Template,
    /// Whether it may take the place of another one of its name, whose figures are forgotten; else a name that
    /// is taken is an error.
    #[serde(default)]
    replace: bool,
}

#[derive(Serialize, JsonSchema)]
struct Added {
    /// Always true; failing to is an error.
    added: bool,
}

fn template_add(surface: &Surface, request: TemplateAdd) -> Result<Added> {
    surface.kernel().add_template(request.template, request.replace)?;
    Ok(Added { added: true })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ByName {
    /// Its name.
    name: String,
}

#[derive(Serialize, JsonSchema)]
struct Removed {
    /// Always true; one that is not there is an error.
    removed: bool,
}

fn template_remove(surface: &Surface, request: ByName) -> Result<Removed> {
    surface.kernel().remove_template(&request.name)?;
    Ok(Removed { removed: true })
}

#[derive(Serialize, JsonSchema)]
struct Templates {
    templates: Vec<TemplateView>,
}

fn templates(surface: &Surface, _: Nothing) -> Result<Templates> {
    Ok(Templates { templates: surface.kernel().templates() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// What is wanted.
    want: Want,
    /// How long it may take until it is registered, in milliseconds; 60,000 without it.
    within_ms: Option<u64>,
    /// Templates that are tried, at most, from the best on; 3 without it.
    tries: Option<u32>,
    /// What there is on the machine; it is looked at without this.
    surroundings: Option<Surroundings>,
}

fn create(surface: &Surface, request: Create) -> Result<Ticket<Created>> {
    let mut options = CreateOptions::default();
    if let Some(ms) = request.within_ms {
        options = options.within(Duration::from_millis(ms));
    }
    if let Some(tries) = request.tries {
        options = options.tries(usize::try_from(tries).unwrap_or(usize::MAX));
    }
    options.surroundings = request.surroundings;
    Ok(surface.kernel().create_agent(request.want, options))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Explain {
    /// What is wanted.
    want: Want,
    /// What there is on the machine; it is looked at without this.
    surroundings: Option<Surroundings>,
}

fn explain(surface: &Surface, request: Explain) -> Result<TemplateChoice> {
    surface.kernel().explain_creation(&request.want, request.surroundings)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PoolAdd {
    /// Its name: 1 to 128 letters, digits, `_`, `-`, `/`, `:` and `.`.
    name: String,
    /// The template of its agents.
    template: String,
    /// Values for the template's parameters.
    #[serde(default)]
    parameters: Map<String, Value>,
    /// How many agents it has, and when it has more or fewer.
    #[serde(default)]
    policy: PoolPolicy,
}

fn pool_add(surface: &Surface, request: PoolAdd) -> Result<PoolView> {
    let PoolAdd { name, template, parameters, policy } = request;
    surface.kernel().add_pool(&name, &template, parameters, policy)?;
    view(surface, &name)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PoolSet {
    /// Its name.
    name: String,
    /// How many agents it has, and when it has more or fewer.
    policy: PoolPolicy,
}

fn pool_set(surface: &Surface, request: PoolSet) -> Result<PoolView> {
    surface.kernel().set_pool(&request.name, request.policy)?;
    view(surface, &request.name)
}

fn view(surface: &Surface, name: &str) -> Result<PoolView> {
    let found = surface.kernel().pools().into_iter().find(|pool| &*pool.name == name);
    found.ok_or_else(|| {
        Error::new(Code::NOT_FOUND, "there is no pool of this name").with("pool", name.to_owned())
    })
}

fn pool_remove(surface: &Surface, request: ByName) -> Result<Removed> {
    surface.kernel().remove_pool(&request.name)?;
    Ok(Removed { removed: true })
}

#[derive(Serialize, JsonSchema)]
struct Pools {
    pools: Vec<PoolView>,
}

fn pools(surface: &Surface, _: Nothing) -> Result<Pools> {
    Ok(Pools { pools: surface.kernel().pools() })
}
