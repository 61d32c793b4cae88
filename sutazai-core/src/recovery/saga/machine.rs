//! [`Machine`]: what a saga does next. Takes the time, does no I/O.
//!
//! It is asked with [`decide`](Machine::decide) and answers with one thing to do: write an event down,
//! call a step, or wait. An event takes effect with [`recorded`](Machine::recorded), after it was
//! written; so nothing is ever decided on the strength of what a crash would forget.

use std::sync::Arc;
use std::time::Duration;

use super::event::{SagaEvent, SagaFailure};
use super::policy::{OnResume, StepPolicy};
use super::story::{Phase, Story};
use crate::base::payload::Payload;
use crate::base::time::Moment;
use crate::recovery::RetryPolicy;
use crate::recovery::chance::Chance;
use crate::recovery::retry::Backoff;
use crate::{Class, Code, Error, Result};

/// What the machine knows of the definition.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) on_resume: OnResume,
    pub(super) undo_retry: RetryPolicy,
    pub(super) steps: Vec<StepPolicy>,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Decision {
    /// Write this down, then say [`Machine::recorded`].
    Record(SagaEvent),
    /// Call the action of this step, then say [`Machine::ended`].
    Act(usize),
    /// Call the compensation of this step, then say [`Machine::ended`].
    Undo(usize),
    /// Ask again then.
    Wait(Moment),
    /// Ask again when what is under way has been reported.
    Busy,
    /// It has come to an end, or is stuck.
    Over,
}

/// What this process is at; a crash forgets it.
#[derive(Debug)]
enum Flight {
    /// Nothing is under way.
    Idle,
    /// It was under way in an earlier process.
    Interrupted,
    /// The step's code runs.
    Running,
    /// It came to an end that is not written down yet.
    Ended(Result<Payload>),
    /// The next try is due then.
    Waiting(Moment),
}

#[derive(Debug)]
pub(super) struct Machine {
    story: Story,
    plan: Arc<Plan>,
    deadline: Moment,
    flight: Flight,
    /// The event that is being written, and the wait that follows it.
    writing: Option<(SagaEvent, Duration)>,
    cancelled: bool,
    /// Whether it was found in the journal rather than begun, and nothing was decided since.
    resumed: bool,
    /// Whether an earlier process may have carried out the present step.
    in_doubt: bool,
    backoff: Option<Backoff>,
    chance: Chance,
}

impl Machine {
    /// One that begins: the event is about to be written.
    pub(super) fn begin(
        begun: SagaEvent,
        plan: Arc<Plan>,
        deadline: Moment,
        seed: u64,
    ) -> Result<Self> {
        let story = Story::begin(&begun)?;
        let writing = Some((begun, Duration::ZERO));
        Ok(Self { writing, ..Self::at(story, plan, deadline, seed) })
    }

    /// One that was stuck and is tried again: [`SagaEvent::Retried`] is about to be written.
    pub(super) fn retry(story: Story, plan: Arc<Plan>, deadline: Moment, seed: u64) -> Self {
        let writing = Some((SagaEvent::Retried, Duration::ZERO));
        Self { writing, ..Self::at(story, plan, deadline, seed) }
    }

    fn at(story: Story, plan: Arc<Plan>, deadline: Moment, seed: u64) -> Self {
        Self {
            story,
            plan,
            deadline,
            flight: Flight::Idle,
            writing: None,
            cancelled: false,
            resumed: false,
            in_doubt: false,
            backoff: None,
            chance: Chance::new(seed),
        }
    }

    /// One that an earlier process began.
    pub(super) fn resumed(story: Story, plan: Arc<Plan>, deadline: Moment, seed: u64) -> Self {
        let under_way = matches!(story.phase, Phase::Acting(_) | Phase::Undoing(_));
        Self {
            flight: if under_way { Flight::Interrupted } else { Flight::Idle },
            resumed: true,
            in_doubt: matches!(story.phase, Phase::Acting(_)),
            ..Self::at(story, plan, deadline, seed)
        }
    }

    /// What to do now. Until it has been done, further questions are answered [`Decision::Busy`].
    pub(super) fn decide(&mut self, now: Moment) -> Decision {
        if self.writing.is_some() {
            return Decision::Busy;
        }
        match self.story.phase {
            Phase::Ready(next) => self.at_boundary(next, now),
            Phase::Acting(step) => self.acting(step, now),
            Phase::Backing(0) => self.record(SagaEvent::Undone),
            Phase::Backing(from) => self.record(SagaEvent::UndoStarted { step: from - 1 }),
            Phase::Undoing(step) => self.undoing(step, now),
            Phase::Done | Phase::Undone | Phase::Stuck(_) | Phase::Resolved => Decision::Over,
        }
    }

    /// The event that was to be written is written.
    ///
    /// # Errors
    /// [`Code::INTERNAL`] when none was.
    pub(super) fn recorded(&mut self, now: Moment) -> Result<SagaEvent> {
        let Some((event, wait)) = self.writing.take() else {
            return Err(Error::new(Code::INTERNAL, "no event of the saga was to be written"));
        };
        // The story of one that begins has begun with it.
        if !matches!(event, SagaEvent::Begun { .. }) {
            self.story.apply(&event)?;
        }
        self.resumed = false;
        self.flight = Flight::Idle;
        match event {
            SagaEvent::StepRetrying { .. } | SagaEvent::UndoRetrying { .. } => {
                self.flight = Flight::Waiting(now + wait);
            }
            _ => {
                self.backoff = None;
                self.in_doubt = false;
            }
        }
        Ok(event)
    }

    /// The event that was to be written could not be: the machine is where it was.
    pub(super) fn unrecorded(&mut self) {
        self.writing = None;
    }

    /// The step's code that was called came to its end.
    pub(super) fn ended(&mut self, result: Result<Payload>) {
        self.flight = Flight::Ended(result);
    }

    /// What the step gave cannot be kept: it counts as failed, with its effect there.
    pub(super) fn unkept(&mut self, error: Error) {
        self.writing = None;
        self.in_doubt = true;
        self.flight = Flight::Ended(Err(error));
    }

    /// The step's code that was to be called was not, for want of a thread.
    pub(super) fn not_called(&mut self) {
        // What the journal says of it holds; it is called as if it had been waited for.
        self.flight = Flight::Waiting(Moment::ZERO);
    }

    /// The saga is to be given up, if it is still on its way forward; says whether it is.
    pub(super) fn cancel(&mut self) -> bool {
        let forward = matches!(self.story.phase, Phase::Ready(_) | Phase::Acting(_));
        self.cancelled |= forward;
        forward
    }

    /// Whether a step's code runs, or an event is being written, or the end of a step is to be: what a
    /// runner that stops waits for.
    pub(super) fn is_under_way(&self) -> bool {
        self.writing.is_some() || matches!(self.flight, Flight::Running | Flight::Ended(_))
    }

    /// Whether its beginning is written.
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.writing, Some((SagaEvent::Begun { .. }, _)))
    }

    /// When it is given up.
    pub(super) fn deadline(&self) -> Moment {
        self.deadline
    }

    pub(super) fn story(&self) -> &Story {
        &self.story
    }

    fn at_boundary(&mut self, next: usize, now: Moment) -> Decision {
        let all = self.story.steps.len();
        let back = self.resumed && self.plan.on_resume == OnResume::Compensate;
        // With every step done there is nothing left that a deadline could stop.
        let failure = if next == all {
            None
        } else if self.cancelled {
            Some(cancelled())
        } else if now >= self.deadline {
            Some(too_late())
        } else if back {
            Some(interrupted())
        } else {
            None
        };
        match failure {
            Some(error) => self.fail(next, &error),
            None if next == all => self.record(SagaEvent::Done),
            None => self.record(SagaEvent::StepStarted { step: next }),
        }
    }

    fn acting(&mut self, step: usize, now: Moment) -> Decision {
        let policy = self.plan.steps.get(step).cloned().unwrap_or_default();
        match &self.flight {
            Flight::Running => Decision::Busy,
            Flight::Interrupted => {
                let forward = policy.idempotent && self.plan.on_resume == OnResume::Forward;
                let error = if self.cancelled {
                    cancelled()
                } else if now >= self.deadline {
                    too_late()
                } else if forward {
                    return self.call(Decision::Act(step));
                } else {
                    interrupted()
                };
                self.fail(step + 1, &error)
            }
            Flight::Idle => self.call(Decision::Act(step)),
            Flight::Waiting(_) if self.cancelled => self.fail(step + 1, &cancelled()),
            Flight::Waiting(until) if now < *until => Decision::Wait(*until),
            Flight::Waiting(_) => self.call(Decision::Act(step)),
            Flight::Ended(Ok(gave)) => {
                let event = SagaEvent::StepDone { step, gave: gave.clone() };
                self.record(event)
            }
            Flight::Ended(Err(error)) => {
                let error = error.clone();
                if let (Some(retry), false) = (&policy.retry, self.cancelled)
                    && let Some(wait) = self.wait(retry, &error)
                    && now + wait < self.deadline
                {
                    let failure = SagaFailure::of(&error);
                    return self.record_then(SagaEvent::StepRetrying { step, failure }, wait);
                }
                // A panic says nothing of what was done before it.
                let nothing = policy.atomic && !self.in_doubt && error.code() != Code::PANIC;
                self.fail(if nothing { step } else { step + 1 }, &error)
            }
        }
    }

    fn undoing(&mut self, step: usize, now: Moment) -> Decision {
        match &self.flight {
            Flight::Running => Decision::Busy,
            Flight::Idle | Flight::Interrupted => self.call(Decision::Undo(step)),
            Flight::Waiting(until) if now < *until => Decision::Wait(*until),
            Flight::Waiting(_) => self.call(Decision::Undo(step)),
            Flight::Ended(Ok(_)) => self.record(SagaEvent::UndoDone { step }),
            Flight::Ended(Err(error)) => {
                let error = error.clone();
                let failure = SagaFailure::of(&error);
                let own = self.plan.steps.get(step).and_then(|policy| policy.undo_retry.clone());
                let retry = own.unwrap_or_else(|| self.plan.undo_retry.clone());
                match self.wait(&retry, &error) {
                    Some(wait) => self.record_then(SagaEvent::UndoRetrying { step, failure }, wait),
                    None => self.record(SagaEvent::Stuck { step, failure }),
                }
            }
        }
    }

    /// How long to wait before another try; `None` for no other.
    fn wait(&mut self, retry: &RetryPolicy, error: &Error) -> Option<Duration> {
        if error.class() != Class::Transient || self.story.tries >= retry.attempts {
            return None;
        }
        Some(self.backoff.get_or_insert_with(|| retry.backoff()).next(&self.chance))
    }

    fn fail(&mut self, undo: usize, error: &Error) -> Decision {
        self.record(SagaEvent::Failing { undo, failure: SagaFailure::of(error) })
    }

    fn record(&mut self, event: SagaEvent) -> Decision {
        self.record_then(event, Duration::ZERO)
    }

    fn record_then(&mut self, event: SagaEvent, wait: Duration) -> Decision {
        self.writing = Some((event.clone(), wait));
        Decision::Record(event)
    }

    fn call(&mut self, decision: Decision) -> Decision {
        self.flight = Flight::Running;
        decision
    }
}

fn cancelled() -> Error {
    Error::new(Code::CANCELLED, "the saga was cancelled")
}

fn too_late() -> Error {
    Error::new(Code::DEADLINE_EXCEEDED, "the saga's deadline passed before all its steps were done")
}

fn interrupted() -> Error {
    Error::new(Code::ABANDONED, "the process ended while the saga was under way")
}
