//! What is told of a saga and its steps: [`SagaPolicy`], [`StepPolicy`].

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::recovery::RetryPolicy;

/// How a saga goes on after a crash, how long it may take, and how hard its compensations are tried.
///
/// ```
/// use sutazai_core::recovery::{OnResume, SagaPolicy};
///
/// let policy: SagaPolicy =
///     serde_json::from_str(r#"{"on_resume": "compensate", "deadline_ms": 60000}"#)?;
/// assert_eq!(policy.on_resume, OnResume::Compensate);
/// assert_eq!(policy.undo_retry.attempts, 5);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SagaPolicy {
    /// Which way a saga goes that was interrupted on its way forward. Default forward.
    pub on_resume: OnResume,
    /// Milliseconds after which no further step is begun and what was done is undone, 0 or more; the
    /// time while the process is down counts. Default none. What runs when it passes is not
    /// interrupted, and compensations have all the time they need.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// How failing compensations are tried again, unless a step says otherwise. Default as
    /// [`RetryPolicy`].
    pub undo_retry: RetryPolicy,
}

/// Which way an interrupted saga goes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OnResume {
    /// Forward, where nothing speaks against it: a step that was interrupted and is not
    /// [idempotent](StepPolicy::idempotent) does.
    #[default]
    Forward,
    /// Back.
    Compensate,
}

/// What is told of one step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct StepPolicy {
    /// Whether its action may be called again with the same key when it is not known whether the call
    /// before took effect. Default false: it is then undone after a crash.
    pub idempotent: bool,
    /// Whether an error of its action means that nothing was done. Default false: an error leaves it
    /// open (a request may time out after it was carried out), and its compensation is called.
    pub atomic: bool,
    /// How its action is tried again after transient errors. Default not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// How its compensation is tried again after transient errors. Default as the saga says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo_retry: Option<RetryPolicy>,
}

impl SagaPolicy {
    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID), naming the field.
    pub fn check(&self) -> Result<()> {
        self.undo_retry.check()
    }
}

impl StepPolicy {
    /// Whose action may be called again with the same key.
    pub fn idempotent() -> Self {
        Self { idempotent: true, ..Self::default() }
    }

    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID), naming the field.
    pub fn check(&self) -> Result<()> {
        self.retry.as_ref().map_or(Ok(()), RetryPolicy::check)?;
        self.undo_retry.as_ref().map_or(Ok(()), RetryPolicy::check)
    }
}
