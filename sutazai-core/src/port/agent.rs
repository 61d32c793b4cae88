//! What does the work: [`Agent`], and the card it introduces itself with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::liveness::{Beat, LivenessPolicy};
use super::probe::SkillProbe;
use super::task::{Outcome, Task};
use crate::base::runtime::Runtime;
use crate::base::ticket::Reply;
use crate::base::time::Moment;
use crate::observe::Log;
use crate::{Error, Result};

/// Something that can do tasks of certain skills.
///
/// ```
/// use sutazai_core::base::ticket::Reply;
/// use sutazai_core::port::{Agent, AgentCard, Outcome, RunMode, Task};
///
/// struct Shout;
///
/// impl Agent for Shout {
///     fn card(&self) -> AgentCard {
///         AgentCard::new("shout", ["shout"]).run(RunMode::Inline)
///     }
///     fn handle(&self, task: Task, reply: Reply<Outcome>) {
///         let answer = task.input().to::<String>().map(|text| text.to_uppercase().into());
///         let _ = reply.answer(answer);
///     }
/// }
/// ```
pub trait Agent: Send + Sync + 'static {
    /// Who it is and what it can do. Asked once, when it is registered.
    fn card(&self) -> AgentCard;

    /// Does a task. May answer here, or keep the reply and answer later from any thread; a reply
    /// that is dropped answers with an error. Runs where [`AgentCard::run`] says.
    fn handle(&self, task: Task, reply: Reply<Outcome>);

    /// Gets ready: called once before the first task, on a thread that may block.
    ///
    /// # Errors
    /// Anything; the agent is not registered then.
    fn start(&self, host: &AgentHost) -> Result<()> {
        let _ = host;
        Ok(())
    }

    /// Lets go of what it holds, by `deadline`: called once after the last task, on a thread that
    /// may block.
    fn stop(&self, deadline: Moment) {
        let _ = deadline;
    }

    /// How often it had to be started again since it was registered.
    fn restarts(&self) -> u64 {
        0
    }

    /// The number of the process of its own that it runs in, while there is one: what that uses is measured. Must not
    /// block.
    fn process(&self) -> Option<u32> {
        None
    }

    /// What its other side says, by their protocol, that it can do, as far as it was last heard; `None` where
    /// there is no such thing. A card that was written by somebody else is held to it. Must not block.
    fn offers(&self) -> Option<AgentCard> {
        None
    }

    /// How it is watched whether it lives, where its host does not say otherwise; `None` for one that can
    /// only end with its kernel, and is not asked.
    fn liveness(&self) -> Option<LivenessPolicy> {
        None
    }

    /// It is asked whether it lives. May answer here, or keep the reply and answer later from any thread; an
    /// error, or a reply that is dropped, is no sign of life. Runs where [`AgentCard::run`] says; a question
    /// that is open is not asked again.
    fn beat(&self, reply: Reply<Beat>) {
        let _ = reply.send(Beat::Alive);
    }

    /// It was found dead by its silence: ends what is left of it. Says whether it starts again by itself.
    fn revive(&self, why: &Error) -> bool {
        let _ = why;
        false
    }
}

/// What an agent may use of the kernel that it belongs to.
#[derive(Clone)]
#[non_exhaustive]
pub struct AgentHost {
    /// Where it may run futures, blocking work and timers.
    pub runtime: Arc<dyn Runtime>,
    /// Where it may log.
    pub log: Log,
    /// Whether somebody starts another one in its place when it has ended: it does not start again by
    /// itself then.
    pub supervised: bool,
    ended: Option<Arc<dyn Fn(Error) + Send + Sync>>,
}

impl AgentHost {
    /// A host that starts nothing again, and to which an end means nothing.
    pub fn new(runtime: Arc<dyn Runtime>, log: Log) -> Self {
        Self { runtime, log, supervised: false, ended: None }
    }

    /// Says that another one is started in its place when it has ended.
    #[must_use]
    pub fn supervised(self) -> Self {
        Self { supervised: true, ..self }
    }

    /// Hears of its end, with the reason. Called on any thread; must not block.
    #[must_use]
    pub fn on_end(self, f: impl Fn(Error) + Send + Sync + 'static) -> Self {
        Self { ended: Some(Arc::new(f)), ..self }
    }

    /// The agent has ended, without having been stopped, and does not start again by itself. Does nothing
    /// for one that has not started yet: its start fails.
    pub fn ended(&self, why: Error) {
        if let Some(ended) = &self.ended {
            ended(why);
        }
    }
}

/// What an agent says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AgentCard {
    /// Unique within a kernel: 1 to 128 characters, letters, digits, `_`, `-`, `/`, `:` and `.`.
    pub name: Arc<str>,
    /// The skills it has; a task asks for one of them. At least one.
    pub skills: Vec<String>,
    /// Its own version, free text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// What it is for, one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Where `handle` runs.
    #[serde(default)]
    pub run: RunMode,
    /// Tasks at once, at most; `None` for no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How long a task may take whose caller does not say, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Free labels that policies and routers may read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What a task is expected to cost, in the host's unit of account, where calls have not shown it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// More of its skills, by their names; those that are not here speak for themselves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub about: BTreeMap<String, SkillCard>,
}

/// What an agent says of a skill.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SkillCard {
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The JSON Schema of its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<serde_json::Value>,
    /// The JSON Schema of its output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<serde_json::Value>,
    /// A task by which it can be seen whether the agent has the skill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<SkillProbe>,
    /// Whether it changes nothing: whoever may only read may ask for it. The agent's word is taken for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// How sensitive what it reads or changes is, from 0 (the default) to 100: it raises the risk of whoever
    /// asks for it, which policies may weigh.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sensitivity: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(number: &u8) -> bool {
    *number == 0
}

/// Where an agent's `handle` runs.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum RunMode {
    /// On the runtime's bounded blocking pool.
    #[default]
    Pool,
    /// On the caller's thread: the agent promises never to block.
    Inline,
}

impl AgentCard {
    /// A card with a name and skills; everything else as by default.
    pub fn new<S: Into<String>>(
        name: impl AsRef<str>,
        skills: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            name: Arc::from(name.as_ref()),
            skills: skills.into_iter().map(Into::into).collect(),
            version: String::new(),
            description: String::new(),
            run: RunMode::Pool,
            concurrency: None,
            timeout_ms: None,
            labels: BTreeMap::new(),
            cost: None,
            about: BTreeMap::new(),
        }
    }

    /// Sets where `handle` runs.
    #[must_use]
    pub fn run(mut self, run: RunMode) -> Self {
        self.run = run;
        self
    }

    /// Sets the version.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Sets the description.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Bounds the tasks at once.
    #[must_use]
    pub fn concurrency(mut self, most: u32) -> Self {
        self.concurrency = Some(most);
        self
    }

    /// Sets how long a task may take whose caller does not say; rounded up to whole milliseconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        let ms = timeout.as_nanos().div_ceil(1_000_000);
        self.timeout_ms = Some(u64::try_from(ms).unwrap_or(u64::MAX));
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Says what a task is expected to cost.
    #[must_use]
    pub fn cost(mut self, cost: f64) -> Self {
        self.cost = Some(cost);
        self
    }

    /// Says more of a skill.
    #[must_use]
    pub fn about(mut self, skill: impl Into<String>, about: SkillCard) -> Self {
        self.about.insert(skill.into(), about);
        self
    }
}

impl SkillCard {
    /// A skill that is described in words.
    pub fn new(description: impl Into<String>) -> Self {
        Self { description: description.into(), ..Self::default() }
    }

    /// Sets the JSON Schema of its input.
    #[must_use]
    pub fn input(mut self, schema: serde_json::Value) -> Self {
        self.input = Some(schema);
        self
    }

    /// Sets the JSON Schema of its output.
    #[must_use]
    pub fn output(mut self, schema: serde_json::Value) -> Self {
        self.output = Some(schema);
        self
    }

    /// Sets the task by which it can be seen whether the agent has the skill.
    #[must_use]
    pub fn probe(mut self, probe: SkillProbe) -> Self {
        self.probe = Some(probe);
        self
    }
}
