//! Tuning: what the program sets by itself, within bounds, from what it sees.
//!
//! [`AdaptiveLimit`] finds out how many calls an agent or a dependency can take at once. [`Optimiser`] searches for the best
//! setting of some knobs within few trials, and [`Tuner`] carries such a search out while the program runs, within a
//! safety envelope. [`PoolScaler`] decides the size of a pool of workers, and [`Shares`] who gets how much of what is scarce.
//!
//! Everything here is a state machine that takes the time: no clock, no thread, no I/O. It decides; whoever
//! asks it carries out.

mod adjust;
mod optimise;
mod scale;
mod shares;
mod tuner;

pub use crate::base::limit::{
    AdaptiveLimit, Call, CallOutcome, LimitCause, LimitChange, LimitPhase, LimitPolicy, LimitView,
};
pub use adjust::Adjust;
pub use optimise::{
    Direction, Knob, KnobKind, KnobScale, KnobValue, Optimiser, Setting, Space, Suggestion,
    SuggestionCause, TrialResult,
};
pub use scale::{PoolSample, PoolScaler, RateForecast, ScaleCause, ScaleDecision, ScalePolicy};
pub use shares::{SharePolicy, ShareView, Shares, SharesView};
pub use tuner::{
    ApplyCause, Autonomy, BrokenGuard, GuardRail, GuardSide, Suggested, TrialCause, TrialRecord,
    TrialVerdict, Tuner, TunerAction, TunerLack, TunerPhase, TunerPolicy, TunerSample, TunerView,
};
