//! A saga as plain data: [`SagaView`], [`SagaDetail`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::event::{SagaEntry, SagaFailure};
use super::id::SagaId;
use super::story::{Phase, Story};
use crate::base::payload::Payload;
use crate::base::time::Timestamp;

/// Where a saga stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SagaState {
    /// On its way forward.
    Running,
    /// On its way back.
    Compensating,
    /// All steps are done.
    Done,
    /// What was done is undone.
    Undone,
    /// A compensation failed for good.
    Stuck,
    /// It was stuck, and somebody has seen to it.
    Resolved,
}

impl SagaState {
    /// The word for it, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Compensating => "compensating",
            Self::Done => "done",
            Self::Undone => "undone",
            Self::Stuck => "stuck",
            Self::Resolved => "resolved",
        }
    }

    /// Whether nothing more happens to it, whoever asks.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Undone | Self::Resolved)
    }

    /// As it stands in the table.
    #[cfg(feature = "store")]
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Running, Self::Compensating, Self::Done, Self::Undone, Self::Stuck, Self::Resolved]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// A saga in a list.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct SagaView {
    /// Which.
    pub id: SagaId,
    /// The name of its definition.
    pub name: Arc<str>,
    /// Where it stands.
    pub state: SagaState,
    /// When it was begun.
    pub began: Timestamp,
    /// When its latest event was written.
    pub changed: Timestamp,
}

/// One saga in full.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct SagaDetail {
    /// Which, and where it stands.
    #[serde(flatten)]
    pub view: SagaView,
    /// Whether this process is at it. Unfinished ones that are not wait for their definition.
    pub live: bool,
    /// What it was begun with.
    pub input: Payload,
    /// When it is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Its steps.
    pub steps: Vec<SagaStepView>,
    /// Why it went back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<SagaFailure>,
    /// Why a compensation failed, while it is stuck.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<SagaFailure>,
    /// What was said when it was resolved by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Its journal.
    pub journal: Vec<SagaEntry>,
}

/// A step of a saga.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct SagaStepView {
    /// Its name.
    pub name: Arc<str>,
    /// How far it is.
    pub state: SagaStepState,
    /// What it gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gave: Option<Payload>,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SagaStepState {
    /// It was never started.
    Waiting,
    /// Its action was started.
    Acting,
    /// Its action is done.
    Done,
    /// Its action was started, and it is not known whether it took effect.
    InDoubt,
    /// Its compensation was started.
    Undoing,
    /// Its compensation is done, or its action failed with nothing done.
    Undone,
    /// Its compensation failed for good.
    Stuck,
}

impl SagaDetail {
    pub(super) fn new(view: SagaView, live: bool, story: &Story, journal: Vec<SagaEntry>) -> Self {
        let started = journal.iter().filter_map(|entry| match entry.event {
            super::SagaEvent::StepStarted { step } => Some(step + 1),
            _ => None,
        });
        let started = started.max().unwrap_or(0);
        let steps = story.steps.iter().zip(&story.gave).enumerate();
        let steps = steps
            .map(|(index, (name, gave))| SagaStepView {
                name: Arc::clone(name),
                state: step_state(story.phase, index, index < started, gave.is_some()),
                gave: gave.clone(),
            })
            .collect();
        Self {
            view,
            live,
            input: story.input.clone(),
            deadline: story.deadline.map(Timestamp::from_nanos),
            steps,
            failure: story.failure.clone(),
            trouble: story.trouble.clone(),
            note: story.note.clone(),
            journal,
        }
    }
}

fn step_state(phase: Phase, index: usize, started: bool, done: bool) -> SagaStepState {
    let before = if done { SagaStepState::Done } else { SagaStepState::InDoubt };
    match phase {
        _ if !started => SagaStepState::Waiting,
        Phase::Acting(at) if at == index => SagaStepState::Acting,
        Phase::Undoing(at) if at == index => SagaStepState::Undoing,
        Phase::Stuck(at) if at == index => SagaStepState::Stuck,
        Phase::Ready(_) | Phase::Acting(_) | Phase::Done => before,
        Phase::Backing(from) | Phase::Undoing(from) | Phase::Stuck(from) if index < from => before,
        // What was left when somebody resolved it is in their note.
        Phase::Resolved => before,
        Phase::Backing(_) | Phase::Undoing(_) | Phase::Stuck(_) | Phase::Undone => {
            SagaStepState::Undone
        }
    }
}
