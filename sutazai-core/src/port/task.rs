//! A task, and what comes of it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::terms::Terms;

use crate::base::deadline;
use crate::base::id::{CallId, SpanId, TraceId};
use crate::base::lineage::{self, Lineage, Place};
use crate::base::payload::Payload;
use crate::base::priority;
use crate::base::time::Moment;

/// One piece of work: a skill and an input. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Task {
    skill: Arc<str>,
    input: Payload,
    timeout: Option<Duration>,
    agent: Option<Arc<str>>,
    parent: Option<Trace>,
    priority: u8,
    /// Whose work it is.
    caller: Option<Arc<str>>,
    terms: Option<Arc<Terms>>,
    /// It goes to skills that change nothing.
    read_only: bool,
    /// Who has approved it.
    approved: Option<Arc<str>>,
    /// What it is a part of; once it is called, that and itself.
    lineage: Option<Lineage>,
    // What the kernel fills in when the task is called.
    id: CallId,
    trace: Trace,
    deadline: Moment,
}

/// Where in a distributed trace something happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The whole story.
    pub trace: TraceId,
    /// This part of it.
    pub span: SpanId,
}

impl Task {
    /// A task for any agent with the skill. Text, numbers and JSON values are inputs as they are;
    /// [`Payload::json`] makes one of anything serialisable.
    pub fn new(skill: impl Into<Arc<str>>, input: impl Into<Payload>) -> Self {
        Self {
            skill: skill.into(),
            input: input.into(),
            timeout: None,
            agent: None,
            parent: None,
            priority: priority::current(),
            caller: lineage::caller(),
            terms: None,
            read_only: false,
            approved: None,
            lineage: lineage::current(),
            id: CallId(0),
            trace: Trace::default(),
            deadline: Moment::FAR,
        }
    }

    /// Gives up after this long; without it the agent's or the kernel's default holds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Asks for one agent by name.
    #[must_use]
    pub fn to_agent(mut self, agent: impl Into<Arc<str>>) -> Self {
        self.agent = Some(agent.into());
        self
    }

    /// Where it has to wait for a place, it goes before those of a lower number: 1 to 255 (0 counts as 1).
    /// Without this it is as urgent as the work that makes it, or else [`priority::NORMAL`].
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority.max(1);
        self
    }

    /// Says whose work it is: where calls wait for a place, callers have their turns, however many calls each
    /// of them brings. Without this it is the work of whoever's work makes it, or else of the session that
    /// calls.
    #[must_use]
    pub fn caller(mut self, caller: impl Into<Arc<str>>) -> Self {
        self.caller = Some(caller.into());
        self
    }

    /// Says what else is wanted of the call. Terms that are not valid fail it.
    #[must_use]
    pub fn terms(mut self, terms: impl Into<Arc<Terms>>) -> Self {
        let terms = terms.into();
        if let Some(caller) = &terms.caller {
            self.caller = Some(Arc::clone(caller));
        }
        self.terms = Some(terms);
        self
    }

    /// Names the call or span that this task is a part of.
    #[must_use]
    pub fn within(mut self, parent: Trace) -> Self {
        self.parent = Some(parent);
        self
    }

    /// Makes it a part of another one, which an agent has: where that was made on this thread it is so
    /// already.
    #[must_use]
    pub fn part_of(mut self, outer: &Task) -> Self {
        self.lineage.clone_from(&outer.lineage);
        self.caller = self.caller.or_else(|| outer.caller.clone());
        self
    }

    /// Makes it a part of what runs on this thread now, if anything does, and not of what did when it was
    /// made.
    #[must_use]
    pub fn part_of_current(mut self) -> Self {
        self.lineage = lineage::current();
        self.caller = self.caller.or_else(lineage::caller);
        self
    }

    /// Makes it a part of nothing, although it was made within a call.
    #[must_use]
    pub fn on_its_own(mut self) -> Self {
        self.lineage = None;
        self
    }

    /// What the kernel does when the task is called, and `agent` is to have it.
    #[must_use]
    pub fn called(mut self, agent: &Arc<str>, id: CallId, trace: Trace, deadline: Moment) -> Self {
        self.id = id;
        self.trace = trace;
        self.deadline = deadline;
        self.parent = self.parent();
        let place = Place { call: id, trace: trace.trace, span: trace.span };
        let (agent, skill) = (Arc::clone(agent), Arc::clone(&self.skill));
        let outer = self.lineage.take();
        let lineage = Lineage::new(outer, place, agent, skill, self.input.clone());
        self.lineage = Some(match &self.caller {
            Some(caller) => lineage.on_behalf_of(Arc::clone(caller)),
            None => lineage,
        });
        self
    }

    /// Binds it, once it is [`called`](Self::called), to something that goes for all calls within it.
    #[must_use]
    pub fn bound_to(mut self, bond: Arc<dyn std::any::Any + Send + Sync>) -> Self {
        self.lineage = self.lineage.map(|lineage| lineage.bound_to(bond));
        self
    }

    /// Runs `f` as work for this task: what it calls in turn has no more time, is as urgent, and is a part of
    /// it. A called task is handled within this; who hands it to another thread does it there.
    #[inline]
    pub fn within_it<R>(&self, f: impl FnOnce() -> R) -> R {
        within(self.priority, self.deadline, self.lineage.clone(), f)
    }

    /// As [`within_it`](Self::within_it), of work that the task itself is handed to.
    #[inline]
    pub fn hand_over<R>(self, f: impl FnOnce(Self) -> R) -> R {
        let (priority, deadline, lineage) = (self.priority, self.deadline, self.lineage.clone());
        within(priority, deadline, lineage, || f(self))
    }

    /// What the kernel does when the task may only go to skills that change nothing.
    pub fn read_only(&mut self) {
        self.read_only = true;
    }

    /// Whether it may only go to skills that change nothing.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// What the kernel does when somebody has approved the task.
    #[cfg(feature = "agent")]
    #[must_use]
    pub(crate) fn approved_by(mut self, by: Arc<str>) -> Self {
        self.approved = Some(by);
        self
    }

    /// Who has approved it, where it had to be.
    pub fn approved(&self) -> Option<&str> {
        self.approved.as_deref()
    }

    /// The skill it asks for.
    pub fn skill(&self) -> &str {
        &self.skill
    }

    /// The skill, shared.
    pub fn shared_skill(&self) -> &Arc<str> {
        &self.skill
    }

    /// What to work on.
    pub fn input(&self) -> &Payload {
        &self.input
    }

    /// How long the caller gives it.
    pub fn given_timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The agent it asks for, if it asks for one.
    pub fn wanted_agent(&self) -> Option<&str> {
        self.agent.as_deref()
    }

    /// How urgent it is: 1 to 255, higher ones first.
    pub fn given_priority(&self) -> u8 {
        self.priority
    }

    /// The span that it is a part of: what it was told to be [`within`](Self::within), or the call that it
    /// was made in.
    pub fn parent(&self) -> Option<Trace> {
        let outer = || self.lineage.as_ref().map(|outer| outer.place());
        self.parent.or_else(|| outer().map(|it| Trace { trace: it.trace, span: it.span }))
    }

    /// What else is wanted of the call.
    pub fn given_terms(&self) -> Option<&Arc<Terms>> {
        self.terms.as_ref()
    }

    /// Whose work it is, where somebody said so.
    pub fn given_caller(&self) -> Option<&Arc<str>> {
        self.caller.as_ref()
    }

    /// Runs `f` where it is as urgent as this task, and the work of whoever's work this is: for who waits in
    /// its stead.
    pub fn in_its_stead<R>(&self, f: impl FnOnce() -> R) -> R {
        priority::within(self.priority, || lineage::on_behalf_of(self.caller.as_ref(), f))
    }

    /// The calls that it is a part of; itself too, once it is called.
    pub fn lineage(&self) -> Option<&Lineage> {
        self.lineage.as_ref()
    }

    /// The call's number within its kernel.
    pub fn id(&self) -> CallId {
        self.id
    }

    /// The call's place in its trace. A task that the agent calls in turn says
    /// [`within`](Self::within) this.
    pub fn trace(&self) -> Trace {
        self.trace
    }

    /// When the caller stops waiting; [`Moment::FAR`] for never.
    pub fn deadline(&self) -> Moment {
        self.deadline
    }
}

#[inline]
fn within<R>(priority: u8, deadline: Moment, lineage: Option<Lineage>, f: impl FnOnce() -> R) -> R {
    priority::within(priority, || deadline::within(deadline, || lineage::within(lineage, f)))
}

/// What came of a task.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Outcome {
    /// What the agent gave.
    pub output: Payload,
    /// What it took, where the agent says so.
    pub usage: Option<Box<Usage>>,
}

/// What a task took, as far as an agent knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens that a model read.
    pub input_tokens: u64,
    /// Tokens that a model wrote.
    pub output_tokens: u64,
    /// What it cost, in the host's unit of account.
    pub cost: f64,
}

impl Outcome {
    /// An outcome with this output.
    pub fn new(output: impl Into<Payload>) -> Self {
        Self { output: output.into(), usage: None }
    }

    /// Says what it took.
    #[must_use]
    pub fn used(mut self, usage: Usage) -> Self {
        self.usage = Some(Box::new(usage));
        self
    }
}

impl Usage {
    /// Whether it can be.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) for a cost that is not a number from 0.
    pub fn check(&self) -> crate::Result<()> {
        if self.cost.is_finite() && self.cost >= 0.0 {
            return Ok(());
        }
        Err(crate::Error::new(crate::Code::INVALID, "a cost is a number from 0")
            .with("field", "cost")
            .with("value", self.cost))
    }

    /// Tokens that a model read and wrote, and what it cost.
    pub fn new(input_tokens: u64, output_tokens: u64, cost: f64) -> Self {
        Self { input_tokens, output_tokens, cost }
    }
}

impl<P: Into<Payload>> From<P> for Outcome {
    fn from(output: P) -> Self {
        Self::new(output)
    }
}
