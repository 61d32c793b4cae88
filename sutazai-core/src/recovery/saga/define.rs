//! [`Saga`]: the definition of one, and [`step_fn`].

use std::sync::Arc;

use super::machine::Plan;
use super::policy::{SagaPolicy, StepPolicy};
use crate::base::payload::Payload;
use crate::port::{SagaContext, SagaStep};
use crate::{Code, Error, Result};

/// The most steps of one saga.
pub(super) const STEPS_MAX: usize = 100;

/// The definition of a saga: named steps, each with what undoes it. See [`Sagas`](super::Sagas) for an
/// example.
///
/// A saga that is found unfinished after a restart goes on with the definition of the same name, if
/// the names of its steps are still the same; so a definition that changes its steps takes a new name
/// (`order-2`) beside the old one until no saga of the old one is left.
#[derive(Clone)]
#[must_use = "a definition does nothing until it is given to `Sagas::define`"]
pub struct Saga {
    pub(super) name: Arc<str>,
    pub(super) policy: SagaPolicy,
    pub(super) steps: Vec<Defined>,
}

/// A step with its name and policy.
#[derive(Clone)]
pub(super) struct Defined {
    pub(super) name: Arc<str>,
    pub(super) policy: StepPolicy,
    pub(super) step: Arc<dyn SagaStep>,
}

impl Saga {
    /// A definition without steps. The name, and those of the steps, have 1 to 128 characters: letters,
    /// digits, `_`, `-`, `.` and `:`.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), policy: SagaPolicy::default(), steps: Vec::new() }
    }

    /// Sets the policy.
    pub fn policy(mut self, policy: SagaPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Adds a step, the last so far, with the policy of the default; at most 100.
    pub fn step(self, name: impl Into<Arc<str>>, step: impl SagaStep) -> Self {
        self.shared_step(name, StepPolicy::default(), Arc::new(step))
    }

    /// Adds a step with a policy.
    pub fn step_with(
        self,
        name: impl Into<Arc<str>>,
        policy: StepPolicy,
        step: impl SagaStep,
    ) -> Self {
        self.shared_step(name, policy, Arc::new(step))
    }

    /// As [`step_with`](Self::step_with), for one that is shared.
    pub fn shared_step(
        mut self,
        name: impl Into<Arc<str>>,
        policy: StepPolicy,
        step: Arc<dyn SagaStep>,
    ) -> Self {
        self.steps.push(Defined { name: name.into(), policy, step });
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether names and figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], saying what is wrong with what.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: &'static str| {
            Err(Error::new(Code::INVALID, what)
                .operation("recovery.saga_define")
                .with("saga", shown(&self.name)))
        };
        if !is_name(&self.name) {
            return wrong(
                "a saga's name has 1 to 128 characters: letters, digits, '_', '-', '.', ':'",
            );
        }
        if self.steps.is_empty() || self.steps.len() > STEPS_MAX {
            return wrong("a saga has 1 to 100 steps");
        }
        self.policy.check()?;
        for (index, step) in self.steps.iter().enumerate() {
            if !is_name(&step.name) {
                return wrong(
                    "a step's name has 1 to 128 characters: letters, digits, '_', '-', '.', ':'",
                );
            }
            if self.steps.iter().take(index).any(|other| other.name == step.name) {
                return wrong("two steps of the saga have one name");
            }
            step.policy.check()?;
        }
        Ok(())
    }

    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.steps.iter().map(|step| Arc::clone(&step.name)).collect()
    }

    pub(super) fn plan(&self) -> Plan {
        Plan {
            on_resume: self.policy.on_resume,
            undo_retry: self.policy.undo_retry.clone(),
            steps: self.steps.iter().map(|step| step.policy.clone()).collect(),
        }
    }
}

impl std::fmt::Debug for Saga {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Saga")
            .field("name", &self.name)
            .field("policy", &self.policy)
            .field("steps", &self.names())
            .finish_non_exhaustive()
    }
}

fn is_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b))
}

/// A name from outside, for a message.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(128).collect()
}

/// A step of two closures.
///
/// ```
/// use sutazai_core::base::payload::Payload;
/// use sutazai_core::port::SagaContext;
/// use sutazai_core::recovery::{Saga, step_fn};
///
/// let saga = Saga::new("greet").step(
///     "say",
///     step_fn(
///         |ctx: &SagaContext<'_>| Ok(format!("hello {}", ctx.input).into()),
///         |_: &SagaContext<'_>, _: Option<&Payload>| Ok(()),
///     ),
/// );
/// saga.check()?;
/// # Ok::<(), sutazai_core::Error>(())
/// ```
pub fn step_fn<A, U>(act: A, undo: U) -> impl SagaStep
where
    A: Fn(&SagaContext<'_>) -> Result<Payload> + Send + Sync + 'static,
    U: Fn(&SagaContext<'_>, Option<&Payload>) -> Result<()> + Send + Sync + 'static,
{
    Closures { act, undo }
}

struct Closures<A, U> {
    act: A,
    undo: U,
}

impl<A, U> SagaStep for Closures<A, U>
where
    A: Fn(&SagaContext<'_>) -> Result<Payload> + Send + Sync + 'static,
    U: Fn(&SagaContext<'_>, Option<&Payload>) -> Result<()> + Send + Sync + 'static,
{
    fn act(&self, ctx: &SagaContext<'_>) -> Result<Payload> {
        (self.act)(ctx)
    }

    fn undo(&self, ctx: &SagaContext<'_>, gave: Option<&Payload>) -> Result<()> {
        (self.undo)(ctx, gave)
    }
}
