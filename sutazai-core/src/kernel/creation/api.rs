//! Templates, factories, and making an agent, as a host sees them.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::super::Change;
use super::attempt::Creating;
use super::surroundings;
use crate::agent::create::{
    Considered, Kept, ReasonCode, Surroundings, Template, TemplateChoice, TemplateFigures,
    TemplateVerdict, TemplateView, Want,
};
use crate::agent::{Entry, ProbeReport};
use crate::base::ticket::{self, Hook, Settled, Ticket};
use crate::kernel::handle::Kernel;
use crate::kernel::shared::{Phase, Shared};
use crate::port::{AgentFactory, Candidate as _};
use crate::{Code, Error, Result};

/// How an agent is made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CreateOptions {
    /// How long it may take until it is registered. Default 60 s.
    pub within: Duration,
    /// Templates that are tried, at most, from the best on. Default 3, at least 1.
    pub tries: usize,
    /// What there is on the machine; it is looked at without this.
    pub surroundings: Option<Surroundings>,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self { within: Duration::from_secs(60), tries: 3, surroundings: None }
    }
}

impl CreateOptions {
    /// Sets how long it may take.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// Sets how many templates are tried, at most.
    #[must_use]
    pub fn tries(mut self, templates: usize) -> Self {
        self.tries = templates;
        self
    }

    /// Says what there is on the machine.
    #[must_use]
    pub fn surroundings(mut self, there: Surroundings) -> Self {
        self.surroundings = Some(there);
        self
    }
}

/// An agent that was made for what was wanted.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Created {
    /// Its name.
    pub agent: Arc<str>,
    /// The template that it was made from.
    pub template: String,
    /// Whether it was there already: the name that was wanted is its.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub existing: bool,
    /// Why this template, and why not the others; `None` where it was there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<TemplateChoice>,
    /// Templates that were tried before and made none, in order.
    pub failed: Vec<FailedTemplate>,
    /// What came of probing it; `None` where it was there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeReport>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// A template that was tried and made no agent.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct FailedTemplate {
    /// Its name.
    pub template: String,
    /// How far it came: `make`, `start`, `probe` or `register`.
    pub stage: &'static str,
    /// What went wrong.
    #[schemars(with = "serde_json::Value")]
    pub error: Error,
}

impl Kernel {
    /// Adds a template, or, to `replace` one, puts it in the place of the one of its name. Agents that were made
    /// from that one go on, and so do its pools.
    ///
    /// # Errors
    /// [`Code::INVALID`], one for each mistake of the template; [`Code::ALREADY_EXISTS`];
    /// [`Code::OVERLOADED`] beyond a thousand.
    pub fn add_template(&self, template: Template, replace: bool) -> Result<()> {
        let name = template.name.clone();
        let change = Change::configuration("agent.template_add", &name);
        let add = || self.shared.creation.templates.add(template, replace);
        let added = self.shared.changes(change, add);
        added.map_err(|error| error.operation("agent.template_add"))
    }

    /// Takes a template out. Agents that were made from it go on, and so do its pools.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`].
    pub fn remove_template(&self, name: &str) -> Result<()> {
        let change = Change::configuration("agent.template_remove", name);
        let remove = || self.shared.creation.templates.remove(name);
        let removed = self.shared.changes(change, remove);
        removed.map_err(|error| error.operation("agent.template_remove"))
    }

    /// The templates, sorted by name, with how what was made from them did of late.
    pub fn templates(&self) -> Vec<TemplateView> {
        let shared = &self.shared;
        let now = shared.runtime.now();
        let view = |kept: &Arc<Kept>| TemplateView {
            template: kept.template().without_secrets(),
            figures: TemplateFigures { living: shared.living(kept), ..kept.record().figures(now) },
        };
        shared.creation.templates.all().iter().map(view).collect()
    }

    /// Registers what makes agents, by a name that templates name
    /// ([`TemplateKind::Factory`](crate::agent::create::TemplateKind::Factory)).
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`]; [`Code::INVALID`] for a name that is none.
    pub fn add_agent_factory(&self, name: &str, factory: impl AgentFactory) -> Result<()> {
        self.add_shared_agent_factory(name, Arc::new(factory))
    }

    /// As [`add_agent_factory`](Self::add_agent_factory), for one that is shared.
    ///
    /// # Errors
    /// The same.
    pub fn add_shared_agent_factory(
        &self,
        name: &str,
        factory: Arc<dyn AgentFactory>,
    ) -> Result<()> {
        let change = Change::configuration("agent.factory_add", name);
        let add = || self.shared.creation.templates.add_factory(name, factory);
        let added = self.shared.changes(change, add);
        added.map_err(|error| error.operation("agent.factory_add"))
    }

    /// Which template an agent would be made from, and why; makes none. Looks at the machine, unless it is told
    /// what is there.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a want that cannot be. That no template will do is no error.
    pub fn explain_creation(
        &self,
        want: &Want,
        surroundings: Option<Surroundings>,
    ) -> Result<TemplateChoice> {
        want.check().map_err(|error| error.operation("agent.create_explain"))?;
        Ok(self.shared.choose_template(want, surroundings))
    }

    /// Makes an agent for what is wanted: chooses a template, makes and starts an agent of it, asks it whether it
    /// can do what the template says (by the template's probes), and registers it when it can. When it cannot, it
    /// is stopped, and the next best template has its turn. The ticket can be cancelled; an agent that is just
    /// being made is stopped then.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use serde_json::json;
    /// use sutazai_core::agent::{self, create::{Template, TemplateKind, Want}};
    /// use sutazai_core::kernel::{CreateOptions, Kernel};
    /// use sutazai_core::port::{Agent, AgentCard, AgentOrder, SkillCard, SkillProbe, Task};
    ///
    /// let kernel = Kernel::builder().build()?;
    /// kernel.start()?;
    /// kernel.add_agent_factory("greeter", |order: &AgentOrder| -> sutazai_core::Result<Arc<dyn Agent>> {
    ///     let word = order.parameters["word"].as_str().unwrap_or_default().to_owned();
    ///     let card = AgentCard::new(&order.name, &order.skills);
    ///     let greet = move |task: &Task| Ok(format!("{word}, {}", task.input().to::<String>()?));
    ///     Ok(Arc::new(agent::from_fn(card, greet)))
    /// })?;
    /// let probe = SkillProbe::new(json!("you")).contains("you");
    /// let template = Template::new("polite", ["greet"], TemplateKind::Factory("greeter".into()))
    ///     .parameter("word", json!({"type": "string"}), Some(json!("Hello")))
    ///     .about("greet", SkillCard::new("greets").probe(probe));
    /// kernel.add_template(template, false)?;
    ///
    /// let created = kernel.create_agent(Want::new("greet"), CreateOptions::default()).wait()?;
    /// assert_eq!(&*created.agent, "polite-1");
    /// let outcome = kernel.call(Task::new("greet", "Ada")).wait()?;
    /// assert_eq!(outcome.output.to::<String>()?, "Hello, Ada");
    /// kernel.stop(std::time::Duration::from_secs(1))?;
    /// # Ok::<(), sutazai_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Code::AGENT_NOT_MADE`] when no template will do, or none that was tried made an agent that answers: with
    /// a problem for each reason of each template. [`Code::DEADLINE_EXCEEDED`]; [`Code::ALREADY_EXISTS`] for a
    /// name that another agent has; [`Code::INVALID`] for a want that cannot be; [`Code::NOT_RUNNING`] and
    /// [`Code::DRAINING`]. Nothing is left behind then.
    pub fn create_agent(&self, want: Want, options: CreateOptions) -> Ticket<Created> {
        let created = self.shared.create_agent(want, options, None);
        created.unwrap_or_else(|error| ticket::ready(Err(error.operation("agent.create"))))
    }
}

impl Shared {
    pub(super) fn choose_template(
        &self,
        want: &Want,
        surroundings: Option<Surroundings>,
    ) -> TemplateChoice {
        let templates = &self.creation.templates;
        let there = surroundings.unwrap_or_else(|| surroundings::look(templates));
        templates.choose(&there, want, |kept| self.living(kept), self.runtime.now())
    }

    /// Whether agents can be made now.
    ///
    /// # Errors
    /// [`Code::NOT_RUNNING`] or [`Code::DRAINING`].
    pub(super) fn makes_agents(&self) -> Result<()> {
        self.takes_agents()?;
        if self.phase() != Phase::Running {
            return Err(Error::new(Code::NOT_RUNNING, "agents are made while the kernel runs"));
        }
        Ok(())
    }

    fn create_agent(
        self: &Arc<Self>,
        want: Want,
        options: CreateOptions,
        pool: Option<Arc<str>>,
    ) -> Result<Ticket<Created>> {
        want.check()?;
        self.makes_agents()?;
        if let Some(name) = &want.name
            && let Some(entry) = self.agents.get(name)
        {
            return self.existing(&entry, &want).map(|created| ticket::ready(Ok(created)));
        }
        let (ticket, reply) = ticket::pair_with(Box::new(Waits(Arc::clone(self))));
        let creating = Creating::new(self, want, options.within, pool, reply);
        creating.begin(options.tries.max(1), options.surroundings);
        Ok(ticket)
    }

    /// The agent that has the name which is wanted, where it is what is wanted.
    fn existing(&self, entry: &Arc<Entry>, want: &Want) -> Result<Created> {
        let has_skill = entry.card().skills.contains(&want.skill);
        match entry.origin() {
            Some(origin) if has_skill => Ok(Created {
                agent: Arc::clone(entry.name()),
                template: origin.kept.template().name.clone(),
                existing: true,
                choice: None,
                failed: Vec::new(),
                probe: None,
                took_ms: 0,
            }),
            _ => Err(Error::new(Code::ALREADY_EXISTS, "another agent has the name that is wanted")
                .with("agent", entry.name())
                .advice("want another name, or none")),
        }
    }
}

/// Whether an agent that is made may be waited for here.
pub(super) struct Waits(pub(super) Arc<Shared>);

impl Hook<Created> for Waits {
    fn settled(&self, _: &Result<Created>, _: Settled) {}
    fn finished(&self) {}
    fn may_block(&self) -> bool {
        self.0.runtime.may_block()
    }
}

/// Why no agent was made, in one error: what speaks against each template, and what went wrong with those that
/// were tried.
pub(super) fn not_made(want: &Want, choice: &TemplateChoice, failed: &[FailedTemplate]) -> Error {
    let head = Error::new(Code::AGENT_NOT_MADE, "no agent could be made for what is wanted")
        .operation("agent.create")
        .with("skill", &want.skill)
        .advice("agent.create_explain says what speaks against each template");
    let tried = failed
        .iter()
        .map(|it| it.error.clone().with("template", &it.template).with("stage", it.stage));
    let lacks = |it: &&Considered| it.reasons.iter().any(|it| it.code == ReasonCode::Skill);
    if failed.is_empty() && choice.considered.iter().all(|it| lacks(&it)) {
        return head.advice("no template has the skill: agent.templates says which there are");
    }
    // Those that are for something else, and what was tried, which has been told.
    let others = choice.considered.iter().filter(|it| !lacks(it));
    let refused = others.flat_map(|it| {
        it.reasons.iter().filter(|it| it.code != ReasonCode::Failed).map(move |reason| {
            let code = serde_json::to_value(reason.code).unwrap_or_default();
            Error::new(Code::AGENT_NOT_MADE, reason.why.clone())
                .with("template", &it.template)
                .with("reason", code.as_str().unwrap_or_default())
                .advice(reason.advice.clone())
        })
    });
    let left = choice.considered.iter().filter(|it| {
        it.verdict != TemplateVerdict::Refused
            && failed.iter().all(|one| one.template != it.template)
    });
    let left = left.map(|it| {
        Error::new(Code::AGENT_NOT_MADE, "it was not tried: as many as may be had been")
            .with("template", &it.template)
            .advice("allow for more tries")
    });
    let all = std::iter::once(head.clone()).chain(tried).chain(refused).chain(left);
    Error::join(all.collect()).unwrap_or(head)
}
