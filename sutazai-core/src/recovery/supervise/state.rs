//! The words of supervision: a child's state, what changed it, and how a tree looks from outside.

use std::sync::Arc;

use super::spec::{AutoShutdown, Restart, Strategy};
use crate::Error;
use crate::base::time::{Moment, Timestamp};
use crate::port::{ChildExit, Generation};

/// Where a child is. A supervisor is a child too, of the one above it; the root of nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its turn to start has not come.
    Waiting,
    /// Its start is under way; a supervisor's lasts until its children have started.
    Starting,
    /// It lives.
    Running,
    /// It was asked to stop, or is being killed.
    Stopping,
    /// It ended by itself, and its supervisor has not come to that yet.
    Exited,
    /// It is to be started again: after a pause, or after a start that failed.
    Restarting,
    /// It does not live, and is not about to. It can be started again or deleted.
    Stopped,
    /// Its supervisor has forgotten it.
    Removed,
}

impl State {
    /// As in JSON: `waiting`, `starting`, …, `removed`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Exited => "exited",
            Self::Restarting => "restarting",
            Self::Stopped => "stopped",
            Self::Removed => "removed",
        }
    }
}

/// Why a child changed its state.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "cause")]
#[non_exhaustive]
pub enum Cause {
    /// Somebody asked for it: the start or stop of everything, or of this child.
    Asked,
    /// Its supervisor starts or stops.
    Supervisor,
    /// A sibling is restarted, and this child with it.
    Sibling {
        /// The path of that sibling.
        path: Arc<str>,
    },
    /// It ended by itself, and is started again.
    Restart,
    /// It ended by itself.
    Exited(ChildExit),
    /// It stopped when asked to, but in disorder.
    StopFailed {
        /// What it said.
        #[schemars(with = "serde_json::Value")]
        error: Error,
    },
    /// It said that there is nothing for it to do.
    Ignored,
    /// Its start failed.
    StartFailed {
        /// What it said.
        #[schemars(with = "serde_json::Value")]
        error: Error,
    },
    /// It was killed: its specification says so, or it did not stop in time.
    Killed,
    /// The supervisor that it belongs to was killed, and it with it.
    Orphaned,
    /// It, a supervisor, had to restart children more often than it may.
    Intensity,
    /// It, a supervisor, ended because significant children had ended.
    AutoShutdown,
}

impl Cause {
    /// Whether something went wrong.
    pub const fn is_failure(&self) -> bool {
        match self {
            Self::Exited(exit) => !exit.is_orderly(),
            Self::StopFailed { .. } | Self::StartFailed { .. } | Self::Killed | Self::Intensity => {
                true
            }
            Self::Asked
            | Self::Supervisor
            | Self::Sibling { .. }
            | Self::Restart
            | Self::Ignored
            | Self::Orphaned
            | Self::AutoShutdown => false,
        }
    }

    /// What it says went wrong, if it says that.
    pub const fn error(&self) -> Option<&Error> {
        match self {
            Self::Exited(ChildExit::Failed(error))
            | Self::StopFailed { error }
            | Self::StartFailed { error } => Some(error),
            _ => None,
        }
    }
}

/// Why a tree does not live any more.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct TreeEnd {
    /// Why its root ended.
    #[serde(flatten)]
    pub cause: Cause,
    /// The path of the child whose end led to it: where supervisors gave up one after the other, that below
    /// the lowest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub child: Option<Arc<str>>,
    /// What that child had said, where the cause does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub error: Option<Error>,
    /// When.
    pub at: Timestamp,
}

/// A change of a child's state. Its JSON form is what a kernel publishes.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Transition {
    /// The identifiers from the root to the child, with `>` between them.
    pub path: Arc<str>,
    /// Whether it works or supervises.
    pub kind: Kind,
    /// Its life, unless it has none at the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// Its state before.
    pub from: State,
    /// Its state now.
    pub to: State,
    /// Why.
    #[serde(flatten)]
    pub cause: Cause,
    /// When, on the clock that the tree is given.
    #[serde(skip)]
    pub at: Moment,
}

/// A supervisor, seen from outside.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct SupervisorStatus {
    /// Whom a restart concerns.
    pub strategy: Strategy,
    /// Restarts within the period, at most.
    pub intensity: u32,
    /// The sliding period, in milliseconds.
    pub period_ms: u64,
    /// Restarts within the period that ends now.
    pub recent_restarts: usize,
    /// Whether it ends with its significant children.
    pub auto_shutdown: AutoShutdown,
    /// How many children it has of which kind.
    pub counts: Counts,
    /// Its children, in the order in which they start.
    pub children: Vec<ChildStatus>,
}

/// A child, seen from outside.
#[derive(Clone, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct ChildStatus {
    /// Its identifier.
    pub id: String,
    /// The identifiers from the root to it, with `>` between them.
    pub path: String,
    /// Whether it works or supervises.
    pub kind: Kind,
    /// Its state.
    pub state: State,
    /// After which ends it is started again.
    pub restart: Restart,
    /// Whether its end counts for an automatic shutdown.
    pub significant: bool,
    /// Its life, unless it has none at the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// How often it had to be started again since its supervisor started.
    pub restarts: u64,
    /// What went wrong with it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Cause>,
    /// How long it still pauses before its restart, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_ms: Option<u64>,
    /// What it supervises, when it is a supervisor that lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supervisor: Option<SupervisorStatus>,
}

/// Whether a child works or supervises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A [`Child`](crate::port::Child) that the host made.
    Worker,
    /// A supervisor below another one.
    Supervisor,
}

/// The children of one supervisor, counted as OTP's `supervisor:count_children/1` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Counts {
    /// All children, living or not.
    pub specs: usize,
    /// Those that live.
    pub active: usize,
    /// Those that are supervisors, living or not.
    pub supervisors: usize,
    /// Those that are workers, living or not.
    pub workers: usize,
}
