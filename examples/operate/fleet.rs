//! The agents, and who of them could be had.

use sutazai_core::agent::connect::process::{ProcessAgent, ProcessSpec};
use sutazai_core::kernel::Kernel;
use sutazai_core::port::AgentCard;
use sutazai_core::{Error, Result};

use super::file::Kind;
use super::options::Options;
use super::{flaky, history, measure, secrets};

/// One of the fleet.
pub struct Member {
    /// Its name, and how calls ask for it.
    pub name: &'static str,
    /// The skill that it is called for.
    pub skill: &'static str,
    /// Whether it looks into files, and so gets none that are binary or huge.
    pub reads: bool,
    /// Why it could not be had.
    pub unavailable: Option<Error>,
}

impl Member {
    /// Whether a file of this kind is for it.
    pub fn wants(&self, kind: Kind) -> bool {
        !self.reads || kind == Kind::Text
    }
}

/// Registers the agents with a running kernel. One that does not start is left out.
///
/// # Errors
/// When an agent is not even one: a defect of this program.
pub fn assemble(kernel: &Kernel, options: &Options) -> Result<Vec<Member>> {
    let most = options.most();
    let mut fleet = Vec::new();
    let mut join = |name, skill, reads, joined: Result<()>| {
        fleet.push(Member { name, skill, reads, unavailable: joined.err() });
    };
    join("secrets", "find-secrets", true, kernel.add_agent(secrets::agent(most)?));
    let runtime = kernel.runtime().clone();
    join("measure", "measure", true, kernel.add_agent(measure::agent(runtime, most)));
    join("history", "history", false, kernel.add_agent(history::agent()?));
    join("reviewer", "review", true, kernel.add_agent(reviewer()));
    join("flaky", "flake", false, kernel.add_agent(flaky::agent()));
    Ok(fleet)
}

/// A Python process. `-I` keeps the user's own modules and variables away from it.
fn reviewer() -> ProcessAgent {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/operate/reviewer.py");
    let card = AgentCard::new("reviewer", ["review"]).description("a small code review");
    ProcessAgent::new(card, ProcessSpec::new("python3").args(["-I", script]))
}
