//! Supervisors and their children as plain data, with OTP's names and defaults.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backoff::Backoff;

/// A supervisor: how it restarts, how often at most, and the children that it begins with.
///
/// ```
/// use sutazai_core::recovery::supervise::{Strategy, SupervisorSpec};
///
/// let spec: SupervisorSpec = serde_json::from_str(
///     r#"{
///         "strategy": "rest_for_one",
///         "intensity": 3,
///         "period_ms": 10000,
///         "children": [
///             {"id": "store"},
///             {"id": "cache", "restart": "transient", "shutdown": {"timeout_ms": 500}},
///             {"id": "workers", "supervisor": {"children": [{"id": "reviewer"}]}}
///         ]
///     }"#,
/// )?;
/// assert_eq!(spec.strategy, Strategy::RestForOne);
/// spec.check()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SupervisorSpec {
    /// Whom a restart concerns. Default `one_for_one`.
    pub strategy: Strategy,
    /// Restarts within the period, at most; with one more the supervisor stops its children and ends,
    /// which its own supervisor answers in turn. Default 1.
    pub intensity: u32,
    /// The length of the sliding period, in milliseconds; at least 1. Default 5,000.
    pub period_ms: u64,
    /// Whether it ends when significant children have ended. Default `never`.
    pub auto_shutdown: AutoShutdown,
    /// Pauses before restarts; without it a restart follows at once, as in OTP. Default none.
    pub backoff: Option<Backoff>,
    /// Its children, in the order in which they start.
    pub children: Vec<ChildSpec>,
}

impl Default for SupervisorSpec {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            intensity: 1,
            period_ms: 5_000,
            auto_shutdown: AutoShutdown::default(),
            backoff: None,
            children: Vec::new(),
        }
    }
}

impl SupervisorSpec {
    /// A supervisor without children; everything else as by default.
    pub fn new(strategy: Strategy) -> Self {
        Self { strategy, ..Self::default() }
    }

    /// Sets how many restarts a period may hold.
    #[must_use]
    pub fn intensity(self, intensity: u32, period: Duration) -> Self {
        let period_ms = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        Self { intensity, period_ms, ..self }
    }

    /// Sets whether it ends with its significant children.
    #[must_use]
    pub fn auto_shutdown(self, auto_shutdown: AutoShutdown) -> Self {
        Self { auto_shutdown, ..self }
    }

    /// Sets pauses before restarts.
    #[must_use]
    pub fn backoff(self, backoff: Backoff) -> Self {
        Self { backoff: Some(backoff), ..self }
    }

    /// Adds a child, which starts after those before.
    #[must_use]
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }

    pub(super) fn period(&self) -> Duration {
        Duration::from_millis(self.period_ms)
    }
}

/// A child of a supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ChildSpec {
    /// Its name among its siblings: 1 to 256 bytes without `>` and without control characters.
    pub id: String,
    /// What a worker does: a name that its host knows. Default: its identifier. Not for a supervisor.
    #[serde(default)]
    pub does: Option<String>,
    /// After which ends it is started again. Default `permanent`.
    #[serde(default)]
    pub restart: Restart,
    /// Whether its end counts for the supervisor's automatic shutdown. Default false; true needs a
    /// supervisor with an automatic shutdown, and is not for `permanent` children.
    #[serde(default)]
    pub significant: bool,
    /// How it is stopped. Default 5,000 ms for a worker; for a supervisor `infinity`, because its
    /// children have timeouts of their own.
    #[serde(default)]
    pub shutdown: Option<Shutdown>,
    /// How long a worker's start may take, in milliseconds; at least 1. Default 30,000. OTP has no such bound.
    #[serde(default = "start_timeout_ms")]
    pub start_timeout_ms: u64,
    /// The supervisor that this child is; without it the child is a worker.
    #[serde(default)]
    pub supervisor: Option<SupervisorSpec>,
}

fn start_timeout_ms() -> u64 {
    30_000
}

impl Default for ChildSpec {
    fn default() -> Self {
        Self {
            id: String::new(),
            does: None,
            restart: Restart::default(),
            significant: false,
            shutdown: None,
            start_timeout_ms: start_timeout_ms(),
            supervisor: None,
        }
    }
}

impl ChildSpec {
    /// A worker; everything else as by default.
    pub fn worker(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }

    /// A supervisor below another one; everything else as by default.
    pub fn supervisor(id: impl Into<String>, supervisor: SupervisorSpec) -> Self {
        Self { id: id.into(), supervisor: Some(supervisor), ..Self::default() }
    }

    /// Sets what a worker does.
    #[must_use]
    pub fn does(self, does: impl Into<String>) -> Self {
        Self { does: Some(does.into()), ..self }
    }

    /// Sets after which ends it is started again.
    #[must_use]
    pub fn restart(self, restart: Restart) -> Self {
        Self { restart, ..self }
    }

    /// Sets how it is stopped.
    #[must_use]
    pub fn shutdown(self, shutdown: Shutdown) -> Self {
        Self { shutdown: Some(shutdown), ..self }
    }

    /// Makes it significant.
    #[must_use]
    pub fn significant(self) -> Self {
        Self { significant: true, ..self }
    }

    /// Sets how long a worker's start may take.
    #[must_use]
    pub fn start_timeout(self, timeout: Duration) -> Self {
        let start_timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        Self { start_timeout_ms, ..self }
    }

    /// What a worker does, by default or not.
    pub fn what(&self) -> &str {
        self.does.as_deref().unwrap_or(&self.id)
    }

    /// How it is stopped, by default or not.
    pub fn how_to_stop(&self) -> Shutdown {
        self.shutdown.unwrap_or(match self.supervisor {
            None => Shutdown::TimeoutMs(5_000),
            Some(_) => Shutdown::Infinity,
        })
    }
}

/// Whom the restart of a child concerns.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Only the child that ended.
    #[default]
    OneForOne,
    /// All children: the others are stopped, then all are started.
    OneForAll,
    /// The child that ended and those that start after it.
    RestForOne,
}

/// After which ends a child is started again.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// After every end.
    #[default]
    Permanent,
    /// After a failure only.
    Transient,
    /// Never, and its supervisor forgets it with its end: also when it is stopped because a sibling is
    /// restarted.
    Temporary,
}

/// How a child is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shutdown {
    /// It is killed, without being asked to stop before. A function cannot be interrupted: nothing counts
    /// of it any more, but it runs on beside the next life until it returns.
    BrutalKill,
    /// It is asked to stop, and killed when it has not by then; 0 leaves it no time at all.
    TimeoutMs(u64),
    /// It is asked to stop, and waited for.
    Infinity,
}

/// Whether a supervisor ends when significant children have ended. The end of a significant child
/// counts when it is not started again, and when it came by itself.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AutoShutdown {
    /// It does not.
    #[default]
    Never,
    /// With the first of them.
    AnySignificant,
    /// With the last of them.
    AllSignificant,
}
