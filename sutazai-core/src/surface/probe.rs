//! The row of probes: an agent is asked whether it can do what its card says.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::dispatch::Surface;
use super::operation::Operation;
use crate::agent::ProbeReport;
use crate::base::ticket::Ticket;
use crate::kernel::ProbeOptions;
use crate::port::SkillProbe;
use crate::{Code, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.push(Operation::later(
        "agent.probe",
        "Asks an agent itself whether it has the skills of its card, by the card's probes; nothing is counted \
         against it or its callers.",
        &[Code::NOT_FOUND, Code::INVALID, Code::NOT_RUNNING, Code::SAFE_STATE],
        probe,
    ));
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Probe {
    /// The agent's name.
    name: String,
    /// One of its versions; the one that is in charge without it.
    version: Option<String>,
    /// Skills to ask for; all of the card without them.
    #[serde(default)]
    skills: Vec<String>,
    /// Probes for skills, in the place of the card's.
    #[serde(default)]
    probes: BTreeMap<String, SkillProbe>,
    /// How long all of it may take, in milliseconds; as long as the probes say without it.
    within_ms: Option<u64>,
}

fn probe(surface: &Surface, request: Probe) -> Result<Ticket<ProbeReport>> {
    let mut options = ProbeOptions::default();
    if let Some(version) = request.version {
        options = options.version(version);
    }
    if let Some(ms) = request.within_ms {
        options = options.within(Duration::from_millis(ms));
    }
    options = request.skills.into_iter().fold(options, ProbeOptions::skill);
    options = request
        .probes
        .into_iter()
        .fold(options, |options, (skill, probe)| options.probe(skill, probe));
    Ok(surface.kernel().probe_agent(&request.name, options))
}
