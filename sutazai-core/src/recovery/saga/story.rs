//! [`Story`]: what a journal says of a saga; the fold of its events.

use std::sync::Arc;

use super::event::{SagaEvent, SagaFailure};
use crate::base::payload::Payload;
use crate::{Code, Error, Result};

/// Where a saga stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The steps before this one are done, and it has not been started.
    Ready(usize),
    /// The action of this step was started.
    Acting(usize),
    /// The steps from this one on are undone, or were never done.
    Backing(usize),
    /// The compensation of this step was started.
    Undoing(usize),
    Done,
    Undone,
    Stuck(usize),
    Resolved,
}

/// What the journal says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Story {
    pub(super) name: Arc<str>,
    pub(super) steps: Vec<Arc<str>>,
    pub(super) input: Payload,
    pub(super) deadline: Option<i64>,
    pub(super) phase: Phase,
    /// Tries of what was started, from 1; 0 when nothing is under way.
    pub(super) tries: u32,
    /// What the steps that are done gave.
    pub(super) gave: Vec<Option<Payload>>,
    /// Why it went back.
    pub(super) failure: Option<SagaFailure>,
    /// Why a compensation failed, while it is stuck.
    pub(super) trouble: Option<SagaFailure>,
    /// What was said when it was resolved by hand.
    pub(super) note: Option<String>,
    /// How many events there were: the number of the next one.
    pub(super) events: u64,
}

impl Story {
    /// The beginning.
    pub(super) fn begin(event: &SagaEvent) -> Result<Self> {
        let SagaEvent::Begun { name, steps, input, deadline } = event else {
            return Err(misfit(event, "begins a journal"));
        };
        Ok(Self {
            name: Arc::clone(name),
            steps: steps.clone(),
            input: input.clone(),
            deadline: *deadline,
            phase: Phase::Ready(0),
            tries: 0,
            gave: vec![None; steps.len()],
            failure: None,
            trouble: None,
            note: None,
            events: 1,
        })
    }

    /// What the events tell.
    pub(super) fn of<'e>(events: impl IntoIterator<Item = &'e SagaEvent>) -> Result<Self> {
        let mut events = events.into_iter();
        let first = events.next();
        let mut story = match first {
            Some(event) => Self::begin(event)?,
            None => return Err(Error::new(Code::STORE_CORRUPT, "a saga's journal is empty")),
        };
        events.try_for_each(|event| story.apply(event))?;
        Ok(story)
    }

    /// Goes one event on.
    ///
    /// # Errors
    /// [`Code::STORE_CORRUPT`] when it cannot follow what was before: nothing is done on the strength of
    /// a journal that cannot have been written by this code.
    pub(super) fn apply(&mut self, event: &SagaEvent) -> Result<()> {
        let all = self.steps.len();
        let (phase, tries) = match (self.phase, event) {
            (Phase::Ready(next), SagaEvent::StepStarted { step })
                if *step == next && next < all =>
            {
                (Phase::Acting(next), 1)
            }
            (Phase::Acting(at), SagaEvent::StepRetrying { step, .. }) if *step == at => {
                (Phase::Acting(at), self.tries.saturating_add(1))
            }
            (Phase::Acting(at), SagaEvent::StepDone { step, gave }) if *step == at => {
                if let Some(place) = self.gave.get_mut(at) {
                    *place = Some(gave.clone());
                }
                (Phase::Ready(at + 1), 0)
            }
            (Phase::Ready(next), SagaEvent::Failing { undo, .. }) if *undo == next => {
                (Phase::Backing(next), 0)
            }
            (Phase::Acting(at), SagaEvent::Failing { undo, .. })
                if *undo == at || *undo == at + 1 =>
            {
                (Phase::Backing(*undo), 0)
            }
            (Phase::Ready(next), SagaEvent::Done) if next == all => (Phase::Done, 0),
            (Phase::Backing(from), SagaEvent::UndoStarted { step }) if step + 1 == from => {
                (Phase::Undoing(*step), 1)
            }
            (Phase::Undoing(at), SagaEvent::UndoRetrying { step, .. }) if *step == at => {
                (Phase::Undoing(at), self.tries.saturating_add(1))
            }
            (Phase::Undoing(at), SagaEvent::UndoDone { step }) if *step == at => {
                (Phase::Backing(at), 0)
            }
            (Phase::Backing(0), SagaEvent::Undone) => (Phase::Undone, 0),
            (Phase::Undoing(at), SagaEvent::Stuck { step, .. }) if *step == at => {
                (Phase::Stuck(at), 0)
            }
            (Phase::Stuck(at), SagaEvent::Retried) => (Phase::Backing(at + 1), 0),
            (Phase::Stuck(_), SagaEvent::Resolved { .. }) => (Phase::Resolved, 0),
            _ => return Err(misfit(event, "fits what was before it")),
        };
        match event {
            SagaEvent::Failing { failure, .. } => self.failure = Some(failure.clone()),
            SagaEvent::Stuck { failure, .. } => self.trouble = Some(failure.clone()),
            SagaEvent::Retried => self.trouble = None,
            SagaEvent::Resolved { note } => self.note = Some(note.clone()),
            _ => {}
        }
        (self.phase, self.tries) = (phase, tries);
        self.events += 1;
        Ok(())
    }

    /// What the steps before `step` gave, by name.
    pub(super) fn given_before(&self, step: usize) -> Vec<(Arc<str>, Payload)> {
        self.steps
            .iter()
            .zip(&self.gave)
            .take(step)
            .filter_map(|(name, gave)| Some((Arc::clone(name), gave.clone()?)))
            .collect()
    }
}

fn misfit(event: &SagaEvent, what: &str) -> Error {
    Error::new(Code::STORE_CORRUPT, format!("no such event {what} in a saga's journal"))
        .operation("recovery.saga")
        .with("event", event.name())
        .advice("look at the journal with recovery.saga_inspect; it is left as it is")
}
