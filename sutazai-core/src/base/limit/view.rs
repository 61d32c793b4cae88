//! What an adaptive limit says of itself: [`LimitView`] and [`LimitChange`].

use serde::Serialize;

use super::LimitPolicy;

/// What an adaptive limit is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitPhase {
    /// It has not seen enough to know how much is useful, and holds.
    Learning,
    /// It follows its estimate.
    Following,
    /// It has lowered the limit for a moment, to see what calls take when fewer are in flight.
    Probing,
    /// Nothing comes back; it has given way.
    Backing,
}

/// Why a limit was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitCause {
    /// Nothing has changed it yet.
    Initial,
    /// Calls take as long with more in flight as with fewer, and the limit kept some out: more are useful.
    Room,
    /// Calls take longer with more in flight than with fewer: they wait at the target.
    Queueing,
    /// Most calls timed out.
    TimedOut,
    /// The target refused calls.
    Refused,
    /// Much less comes back than should, from calls that are still under way.
    Stalled,
    /// What had stalled was answered after all: the target is slow, and takes as many calls at once as before.
    CameBack,
    /// For a moment, to see what calls take with fewer in flight.
    Probe,
    /// The probe is over.
    Probed,
    /// The policy's bounds were changed.
    Policy,
}

/// A change of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct LimitChange {
    /// The limit before.
    pub from: u32,
    /// The limit since.
    pub to: u32,
    /// Why.
    pub cause: LimitCause,
    /// When, in nanoseconds of the monotonic clock of whoever drives it: within a kernel that of its runtime, since its process asked for the
    /// time first, or since the start of a virtual clock. It is no time of day, and no other process's.
    pub at_nanos: u64,
}

/// An adaptive limit's figures.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct LimitView {
    /// Calls that may be in flight now; while it probes less than `target`.
    pub limit: u32,
    /// Calls that may be in flight while it does not probe.
    pub target: u32,
    /// Calls in flight.
    pub in_flight: u32,
    /// What it is doing.
    pub phase: LimitPhase,
    /// The concurrency beyond which calls only wait, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub useful: Option<f64>,
    /// The factor by which `useful` may be off, either way (one standard deviation); 1 where it is known exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<f64>,
    /// Milliseconds that a call takes where none waits, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_ms: Option<f64>,
    /// Whether the limit kept calls out lately.
    pub binding: bool,
    /// How often a call found the limit reached since it was made: those that were turned away, and those that waited and had a place later.
    pub kept_out: u64,
    /// Changes since it was made, those for probes too.
    pub changes: u64,
    /// The last change other than for a probe: why the limit is what it is.
    pub last: LimitChange,
    /// Times that what was known was forgotten, because the target had become another one.
    pub forgotten: u64,
    /// Its policy.
    pub policy: LimitPolicy,
}
