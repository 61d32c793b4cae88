//! What a policy asks for where it allows.

use serde::{Deserialize, Serialize};

/// What must hold, or is done, where something is allowed. The kernel sees to each; one that it does not know
/// refuses the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Obligation {
    /// The caller must have proved one of these factors, and lately. Otherwise the call is answered
    /// [`Code::STEP_UP`](crate::Code::STEP_UP), and may be made again with a session that has.
    StepUp {
        /// Schemes of factors, any of which will do.
        schemes: Vec<String>,
        /// For how many seconds after the login it counts; as long as the session without it.
        #[serde(default)]
        within_s: Option<u64>,
    },
    /// The call, and all calls within it, go to skills that change nothing: those that their agents' cards
    /// call `read_only`.
    ReadOnly,
    /// The caller may make so many such calls in so much time.
    RateLimit {
        /// Calls in each period, 1 or more.
        calls: u32,
        /// Seconds of the period, 1 or more.
        per_s: u64,
        /// Calls that share a limit have one name; without it each skill has its own.
        #[serde(default)]
        of: String,
    },
    /// A human must approve the call first.
    Approval {
        /// Who may; whoever is not the caller, where it is empty.
        #[serde(default)]
        by: Vec<String>,
        /// After so many seconds without an answer it is refused.
        within_s: u64,
    },
    /// Parts of the answer are not for this caller: they read `[redacted]`.
    Redact {
        /// Names of fields, at any depth, or JSON pointers (RFC 6901), which begin with `/`. An answer that
        /// has no fields (text, bytes) is withheld as a whole.
        fields: Vec<String>,
    },
}
