//! The words of a lifecycle: a component's state, its changes, and how it looks from outside.

use std::sync::Arc;

use crate::Error;
use crate::base::time::Moment;

/// Where a component is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has not started: its turn has not come.
    Waiting,
    /// Its `start` runs.
    Starting,
    /// It has started.
    Running,
    /// Its `stop` runs.
    Stopping,
    /// It has stopped, or was never started before everything stopped.
    Stopped,
    /// It failed to start or to stop; the reason says which.
    Failed,
    /// Its `start` did not return by its deadline, and may still run.
    StartTimedOut,
    /// Its `stop` did not return by its deadline, and may still run.
    StopTimedOut,
}

impl State {
    /// As in JSON: `waiting`, `starting`, …, `stop_timed_out`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::StartTimedOut => "start_timed_out",
            Self::StopTimedOut => "stop_timed_out",
        }
    }

    /// Whether it may use what it needs, and is waited for.
    pub(super) const fn is_active(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Stopping)
    }

    /// Whether the kernel's start is not over yet for it.
    pub(super) const fn is_pending(self) -> bool {
        matches!(self, Self::Waiting | Self::Starting)
    }
}

/// A change of a component's state. Its JSON form is what the kernel publishes.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Transition {
    /// The component.
    pub component: Arc<str>,
    /// Its state before.
    pub from: State,
    /// Its state now.
    pub to: State,
    /// Why, when something went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Error>,
    /// When, on the runtime's clock.
    #[serde(skip)]
    pub at: Moment,
}

/// What a component is doing.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct ComponentStatus {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Why it is in this state, when something went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub reason: Option<Error>,
    /// What it needs.
    pub needs: Vec<String>,
}
