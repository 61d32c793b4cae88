//! Rows of the agents' lives: how they are watched, and how they are supervised.

use schemars::JsonSchema;
use serde::Deserialize;
#[cfg(feature = "recovery")]
use serde::Serialize;

use super::dispatch::Surface;
use super::operation::Operation;
use crate::agent::AgentView;
#[cfg(feature = "recovery")]
use crate::agent::create::MakeAgent;
#[cfg(feature = "recovery")]
use crate::kernel::{Supervision, TemplateOrder};
use crate::port::LivenessPolicy;
use crate::{Code, Error, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::now(
            "agent.liveness_set",
            "Says how it is watched whether an agent lives, or that it is not.",
            &[Code::NOT_FOUND, Code::INVALID],
            set_liveness,
        ),
        #[cfg(feature = "recovery")]
        Operation::blocking(
            "agent.supervise",
            "Registers an agent that is made and started by a supervisor, and again when it has ended or is found \
             dead.",
            &[
                Code::INVALID,
                Code::NOT_FOUND,
                Code::ALREADY_EXISTS,
                Code::OVERLOADED,
                Code::CHILD_START,
                Code::AGENT_START,
                Code::AGENT_PROTOCOL,
                Code::IO,
                Code::DRAINING,
            ],
            supervise,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetLiveness {
    /// The agent's name.
    name: String,
    /// When it is asked, and what its silence means; each figure that is left out is as by default.
    #[serde(default)]
    policy: LivenessPolicy,
    /// Whether it is watched at all. Default true.
    #[serde(default = "yes")]
    watch: bool,
}

fn yes() -> bool {
    true
}

fn set_liveness(surface: &Surface, request: SetLiveness) -> Result<AgentView> {
    surface.kernel().set_liveness(&request.name, request.watch.then_some(request.policy))?;
    surface.kernel().agent(&request.name).ok_or_else(|| {
        Error::new(Code::NOT_FOUND, "no agent of this name is registered any more")
            .operation("agent.liveness_set")
            .with("agent", request.name)
    })
}

#[cfg(feature = "recovery")]
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Supervise {
    /// What makes it: a template, with its parameters; this, or a `process`, or an `mcp`.
    template: Option<TemplateOrder>,
    /// It is a process that speaks JSON lines. When it is started again its supervisor says, and not its
    /// `restart`.
    #[cfg(unix)]
    process: Option<crate::agent::connect::process::ProcessSpec>,
    /// It is an MCP server.
    #[cfg(all(unix, feature = "mcp"))]
    mcp: Option<crate::agent::connect::mcp::McpSpec>,
    /// Who it is, where it is a process or a server; it is asked itself without this.
    card: Option<crate::port::AgentCard>,
    /// How often it is started again, and who decides.
    #[serde(default)]
    supervision: Supervision,
}

#[cfg(feature = "recovery")]
#[derive(Serialize, JsonSchema)]
struct Supervised {
    /// The name it is registered under.
    agent: std::sync::Arc<str>,
}

#[cfg(feature = "recovery")]
fn supervise(surface: &Surface, request: Supervise) -> Result<Supervised> {
    let kernel = surface.kernel();
    let mut given: Vec<&str> = request.template.iter().map(|_| "template").collect();
    let mut make: Option<MakeAgent> = None;
    #[cfg(unix)]
    if let Some(process) = request.process {
        given.push("process");
        if given.len() == 1 {
            make = Some(of_process(process, request.card.clone())?);
        }
    }
    #[cfg(all(unix, feature = "mcp"))]
    if let Some(mcp) = request.mcp {
        given.push("mcp");
        if given.len() == 1 {
            make = Some(of_mcp(mcp, request.card.clone())?);
        }
    }
    let agent = match (request.template, make) {
        (Some(order), None) if given.len() == 1 => {
            kernel.supervise_template(&order, request.supervision)?
        }
        (None, Some(make)) if given.len() == 1 => {
            kernel.supervise_agent(request.supervision, make)?
        }
        _ => {
            return Err(Error::new(Code::INVALID, "an agent is made in one way")
                .operation("agent.supervise")
                .with("given", given.join(", "))
                .advice("give \"template\", \"process\" or \"mcp\""));
        }
    };
    Ok(Supervised { agent })
}

#[cfg(all(feature = "recovery", unix))]
fn of_process(
    spec: crate::agent::connect::process::ProcessSpec,
    card: Option<crate::port::AgentCard>,
) -> Result<MakeAgent> {
    use crate::agent::connect::process::ProcessAgent;
    use crate::port::Agent;

    let card = match card {
        Some(card) => card,
        None => ProcessAgent::described(spec.clone())?.card(),
    };
    Ok(std::sync::Arc::new(move || {
        Ok(std::sync::Arc::new(ProcessAgent::new(card.clone(), spec.clone())) as _)
    }))
}

#[cfg(all(unix, feature = "recovery", feature = "mcp"))]
fn of_mcp(
    spec: crate::agent::connect::mcp::McpSpec,
    card: Option<crate::port::AgentCard>,
) -> Result<MakeAgent> {
    use crate::agent::connect::mcp::McpAgent;
    use crate::port::Agent;

    let card = match card {
        Some(card) => card,
        // It is reached once for its card; each life reaches it itself.
        None => {
            let found = McpAgent::connect(spec.clone())?;
            let card = found.card();
            found.stop(crate::base::time::Moment::ZERO);
            card
        }
    };
    Ok(std::sync::Arc::new(move || {
        Ok(std::sync::Arc::new(McpAgent::new(spec.clone(), card.clone())?) as _)
    }))
}
