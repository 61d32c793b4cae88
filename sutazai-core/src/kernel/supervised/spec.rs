//! How an agent is supervised, as plain data: [`Supervision`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::recovery::supervise::{Backoff, ChildSpec, Restart, Shutdown, Strategy, SupervisorSpec};
use crate::{Code, Error, Result};

/// How often an agent is started again, and who decides.
///
/// ```
/// use sutazai_core::kernel::Supervision;
///
/// let spec: Supervision = serde_json::from_str(r#"{"intensity": 3, "period_ms": 10000}"#)?;
/// assert_eq!(spec.queue, 1_024);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Supervision {
    /// The path of the supervisor that it is a child of, in a tree of the host's that lives; that one's
    /// strategy, intensity and pauses hold. Without it, it has a supervisor of its own in the tree `agents`.
    pub under: Option<String>,
    /// Restarts within the period, at most; with one more it has failed. Default 5. Of its own supervisor.
    pub intensity: u32,
    /// The length of the sliding period, in milliseconds, 1 or more. Default 60,000. Of its own supervisor.
    pub period_ms: u64,
    /// Pauses before restarts. Default: from 100 ms to 10 s. Of its own supervisor.
    pub backoff: Option<Backoff>,
    /// After which ends it is started again. Default `permanent`.
    pub restart: Restart,
    /// How long its stop may take, in milliseconds, before it is killed. Default 5,000.
    pub shutdown_ms: u64,
    /// How long its start may take, in milliseconds, 1 or more. Default 30,000.
    pub start_timeout_ms: u64,
    /// Tasks that may wait for its next life, at most. Default 1,024.
    pub queue: u32,
}

impl Default for Supervision {
    fn default() -> Self {
        Self {
            under: None,
            intensity: 5,
            period_ms: 60_000,
            backoff: Some(Backoff { longest_ms: 10_000, ..Backoff::default() }),
            restart: Restart::Permanent,
            shutdown_ms: 5_000,
            start_timeout_ms: 30_000,
            queue: 1_024,
        }
    }
}

impl Supervision {
    /// As a child of this supervisor, by its path.
    #[must_use]
    pub fn under(self, supervisor: impl Into<String>) -> Self {
        Self { under: Some(supervisor.into()), ..self }
    }

    /// Sets how many restarts a period may hold.
    #[must_use]
    pub fn intensity(self, intensity: u32, period: Duration) -> Self {
        let period_ms = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        Self { intensity, period_ms, ..self }
    }

    /// Sets the pauses before restarts; `None` for none.
    #[must_use]
    pub fn backoff(self, backoff: Option<Backoff>) -> Self {
        Self { backoff, ..self }
    }

    /// Sets after which ends it is started again.
    #[must_use]
    pub fn restart(self, restart: Restart) -> Self {
        Self { restart, ..self }
    }

    /// Sets how many tasks may wait for its next life.
    #[must_use]
    pub fn queue(self, tasks: u32) -> Self {
        Self { queue: tasks, ..self }
    }

    /// Whether it makes sense.
    ///
    /// # Errors
    /// [`Code::INVALID`] for every mistake ([`Error::problems`]).
    pub(super) fn check(&self) -> Result<()> {
        if self.restart == Restart::Temporary {
            return Err(Error::new(Code::INVALID, "an agent under supervision is not temporary")
                .with("field", "restart")
                .advice("register it without supervision"));
        }
        self.supervisor().child(self.timed(ChildSpec::worker("life"))).check()
    }

    /// Its own supervisor, without a child.
    pub(super) fn supervisor(&self) -> SupervisorSpec {
        let period = Duration::from_millis(self.period_ms);
        let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(self.intensity, period);
        match &self.backoff {
            Some(backoff) => spec.backoff(backoff.clone()),
            None => spec,
        }
    }

    pub(super) fn timed(&self, child: ChildSpec) -> ChildSpec {
        child
            .shutdown(Shutdown::TimeoutMs(self.shutdown_ms))
            .start_timeout(Duration::from_millis(self.start_timeout_ms))
    }
}
