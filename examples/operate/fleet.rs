//! The agents, and who of them could be had.

use std::thread;

use sutazai_core::agent::connect::process::{ProcessAgent, ProcessSpec};
use sutazai_core::kernel::Kernel;
use sutazai_core::port::AgentCard;
use sutazai_core::{Code, Error, Result};

use super::file::Kind;
use super::options::Options;
use super::{flaky, history, measure, secrets};

/// One of the fleet.
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// What the kernel knows it by: its name, or, when it is several processes, theirs.
    pub agents: Vec<String>,
    /// The skill that it is called for.
    pub skill: &'static str,
    /// Whether it looks into files, and so gets none that are binary or huge.
    pub reads: bool,
    /// Whether it gets no files of its own: it has the skill of another, and the kernel chooses.
    pub stands_in: bool,
    /// Why it could not be had.
    pub unavailable: Option<Error>,
    /// Why it is fewer processes than it should be.
    pub incomplete: Option<Error>,
}

impl Member {
    fn new(name: &'static str, skill: &'static str, reads: bool, joined: Result<()>) -> Self {
        let agents = vec![name.to_owned()];
        let unavailable = joined.err();
        Self { name, agents, skill, reads, stands_in: false, unavailable, incomplete: None }
    }

    /// A server that discovery has found, which gets every file.
    pub fn found(agent: &str, skill: &'static str) -> Self {
        Self { agents: vec![agent.to_owned()], ..Self::new("mcp", skill, false, Ok(())) }
    }

    /// Whether a file of this kind is for it.
    pub fn wants(&self, kind: Kind) -> bool {
        !self.stands_in && (!self.reads || kind == Kind::Text)
    }
}

/// Registers the agents with a running kernel. One that does not start is left out.
///
/// # Errors
/// When an agent is not even one: a defect of this program.
pub fn assemble(kernel: &Kernel, options: &Options) -> Result<Vec<Member>> {
    let most = options.most();
    let runtime = kernel.runtime().clone();
    let measure = kernel.add_agent(measure::agent(runtime.clone(), most));
    flaky::guard(kernel)?;
    flaky::heal(kernel)?;
    let spare = kernel.add_agent(flaky::spare(runtime.clone()));
    Ok(vec![
        Member::new("secrets", "find-secrets", true, kernel.add_agent(secrets::agent(most)?)),
        Member::new("measure", "measure", true, measure),
        Member::new("history", "history", false, kernel.add_agent(history::agent()?)),
        reviewers(kernel, options.reviewers()),
        Member::new("flaky", flaky::SKILL, false, kernel.add_agent(flaky::agent(runtime))),
        Member { stands_in: true, ..Member::new("spare", flaky::SKILL, false, spare) },
    ])
}

/// Python processes with one skill, among which the kernel's router shares out the files: reviewing
/// is all computing, and a process of Python's uses one core.
fn reviewers(kernel: &Kernel, count: usize) -> Member {
    // Side by side: each takes a moment until it is ready.
    let joined: Vec<(String, Result<()>)> = thread::scope(|scope| {
        let start = |number: usize| {
            let name = format!("reviewer-{number}");
            (name.clone(), scope.spawn(move || kernel.add_agent(reviewer(&name))))
        };
        let started: Vec<_> = (1..=count).map(start).collect();
        let lost = |_| Err(Error::new(Code::PANIC, "starting it panicked"));
        started.into_iter().map(|(name, start)| (name, start.join().unwrap_or_else(lost))).collect()
    });
    let (mut agents, mut failures) = (Vec::new(), Vec::new());
    for (name, joined) in joined {
        match joined {
            Ok(()) => agents.push(name),
            Err(error) => failures.push(error),
        }
    }
    let failed = failures.len();
    let mut first = failures.into_iter().next();
    let unavailable = if agents.is_empty() { first.take() } else { None };
    let incomplete = first.map(|error| {
        let what = format!("{failed} of {count} processes did not start");
        Error::new(Code::AGENT_START, what).because(error)
    });
    Member {
        name: "reviewer",
        agents,
        skill: "review",
        reads: true,
        stands_in: false,
        unavailable,
        incomplete,
    }
}

/// A Python process. `-I` keeps the user's own modules and variables away from it.
fn reviewer(name: &str) -> ProcessAgent {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/operate/reviewer.py");
    let card = AgentCard::new(name, ["review"]).description("a small code review");
    ProcessAgent::new(card, ProcessSpec::new("python3").args(["-I", script]))
}
