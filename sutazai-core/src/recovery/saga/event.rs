//! What a saga's journal is made of: [`SagaEvent`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::view::SagaState;
use crate::base::payload::Payload;
use crate::base::time::Timestamp;
use crate::{Class, Code, Error};

/// One transition of a saga, as its journal keeps it: written down before anything is done on the
/// strength of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SagaEvent {
    /// It exists.
    Begun {
        /// The definition's name.
        name: Arc<str>,
        /// The names of its steps, in their order.
        steps: Vec<Arc<str>>,
        /// What it works on.
        input: Payload,
        /// When it is given up, in nanoseconds since 1970.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<i64>,
    },
    /// A step's action is about to be called.
    StepStarted {
        /// Its place, from 0.
        step: usize,
    },
    /// It failed and will be called again.
    StepRetrying {
        /// Its place, from 0.
        step: usize,
        /// Why it failed.
        failure: SagaFailure,
    },
    /// It succeeded.
    StepDone {
        /// Its place, from 0.
        step: usize,
        /// What it gave.
        gave: Payload,
    },
    /// The saga goes back from here.
    Failing {
        /// How many steps are undone, the last of them first.
        undo: usize,
        /// Why.
        failure: SagaFailure,
    },
    /// A step's compensation is about to be called.
    UndoStarted {
        /// Its place, from 0.
        step: usize,
    },
    /// It failed and will be called again.
    UndoRetrying {
        /// Its place, from 0.
        step: usize,
        /// Why it failed.
        failure: SagaFailure,
    },
    /// It succeeded.
    UndoDone {
        /// Its place, from 0.
        step: usize,
    },
    /// All steps are done: the end.
    Done,
    /// All that was done is undone: the end.
    Undone,
    /// A compensation failed for good: somebody has to look at it.
    Stuck {
        /// The place of its step, from 0.
        step: usize,
        /// Why it failed.
        failure: SagaFailure,
    },
    /// Somebody has the compensation tried again.
    Retried,
    /// Somebody has seen to what was left: the end.
    Resolved {
        /// What they say about it.
        note: String,
    },
}

impl SagaEvent {
    /// The word for it, as in JSON and in the subjects `recovery.saga.*`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Begun { .. } => "begun",
            Self::StepStarted { .. } => "step_started",
            Self::StepRetrying { .. } => "step_retrying",
            Self::StepDone { .. } => "step_done",
            Self::Failing { .. } => "failing",
            Self::UndoStarted { .. } => "undo_started",
            Self::UndoRetrying { .. } => "undo_retrying",
            Self::UndoDone { .. } => "undo_done",
            Self::Done => "done",
            Self::Undone => "undone",
            Self::Stuck { .. } => "stuck",
            Self::Retried => "retried",
            Self::Resolved { .. } => "resolved",
        }
    }

    /// Where it leaves the saga.
    pub(super) const fn state(&self) -> SagaState {
        match self {
            Self::Begun { .. }
            | Self::StepStarted { .. }
            | Self::StepRetrying { .. }
            | Self::StepDone { .. } => SagaState::Running,
            Self::Failing { .. }
            | Self::UndoStarted { .. }
            | Self::UndoRetrying { .. }
            | Self::UndoDone { .. }
            | Self::Retried => SagaState::Compensating,
            Self::Done => SagaState::Done,
            Self::Undone => SagaState::Undone,
            Self::Stuck { .. } => SagaState::Stuck,
            Self::Resolved { .. } => SagaState::Resolved,
        }
    }

    /// The place of the step that it is about.
    pub const fn step(&self) -> Option<usize> {
        match self {
            Self::StepStarted { step }
            | Self::StepRetrying { step, .. }
            | Self::StepDone { step, .. }
            | Self::UndoStarted { step }
            | Self::UndoRetrying { step, .. }
            | Self::UndoDone { step }
            | Self::Stuck { step, .. } => Some(*step),
            Self::Begun { .. }
            | Self::Failing { .. }
            | Self::Done
            | Self::Undone
            | Self::Retried
            | Self::Resolved { .. } => None,
        }
    }

    /// Why something failed, where something did.
    pub const fn failure(&self) -> Option<&SagaFailure> {
        match self {
            Self::StepRetrying { failure, .. }
            | Self::Failing { failure, .. }
            | Self::UndoRetrying { failure, .. }
            | Self::Stuck { failure, .. } => Some(failure),
            _ => None,
        }
    }
}

/// An entry of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct SagaEntry {
    /// When it was written.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: SagaEvent,
}

/// An error as a journal keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct SagaFailure {
    /// The number of its code.
    pub code: u32,
    /// Whether another try could have helped.
    pub class: Class,
    /// What it said, its causes included; at most 2,000 characters.
    pub message: String,
}

/// The longest message that is kept, in characters.
const LONGEST: usize = 2_000;

impl SagaFailure {
    pub(super) fn of(error: &Error) -> Self {
        Self {
            code: error.code().number(),
            class: error.class(),
            message: format!("{error:#}").chars().take(LONGEST).collect(),
        }
    }

    /// As an error again.
    pub fn error(&self) -> Error {
        let code = Code::from_number(self.code).unwrap_or(Code::INTERNAL);
        Error::new(code, self.message.clone()).classed(self.class)
    }
}
