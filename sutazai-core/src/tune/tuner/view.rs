//! What a tuner takes, does and says of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::TunerPolicy;
use crate::base::time::{Moment, Timestamp};
use crate::tune::Setting;

/// What was measured since the last sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TunerSample {
    /// The objective; one that is not finite is left out.
    pub objective: Option<f64>,
    /// Values of guard-rails' metrics by name. One that is not finite breaks its guard-rail; unknown names are ignored.
    pub guards: BTreeMap<String, f64>,
}

/// Why a setting is to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApplyCause {
    /// To try it.
    Trial,
    /// The setting in use, to compare with.
    Baseline,
    /// It was better: it is the setting in use from now on.
    Adopt,
    /// The trial is over, and the setting in use comes back.
    RollBack,
    /// The setting in use breaks a guard-rail by itself: the one from before the tuner changed anything comes back.
    Restore,
}

/// What is to be done; the tuner does nothing itself.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum TunerAction {
    /// Set the knobs.
    Apply {
        /// The trial that it is for.
        trial: u64,
        /// What to set them to.
        setting: Setting,
        /// Why.
        cause: ApplyCause,
    },
    /// Ask whether this may be tried, and answer with [`Tuner::answer`](super::Tuner::answer).
    Ask {
        /// The trial.
        trial: u64,
        /// What it would set the knobs to.
        setting: Setting,
        /// Until when an answer counts: the [`Moment`], in nanoseconds. It is for whoever drives the tuner, and is not written down.
        #[serde(skip)]
        until_nanos: u64,
        /// The same by the wall clock, which a kernel puts in.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// Tell somebody that this may be worth a try.
    Suggest {
        /// The trial.
        trial: u64,
        /// What it would set the knobs to.
        setting: Setting,
    },
}

/// Why a trial was proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrialCause {
    /// It spreads the trials evenly, while little is known.
    Spread,
    /// The model expects the largest improvement of it.
    Improvement,
    /// It was in use before, and the world may have changed.
    Recheck,
}

/// What came of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrialVerdict {
    /// Better, and in use since.
    Adopted,
    /// Not better by enough.
    NoGain,
    /// Too little difference for so much noise.
    Undecided,
    /// It broke a guard-rail and was rolled back at once.
    GuardBroken,
    /// The setting in use broke a guard-rail while it was compared with: nothing can be said of the trial.
    BaselineBroken,
    /// The objective of the setting in use moved so far meanwhile that the world must have changed.
    Drifted,
    /// A window went by without a measurement.
    Unmeasured,
    /// Nobody approved it in time.
    TimedOut,
    /// Its approval was denied.
    Denied,
    /// The autonomy does not reach so far as to try it.
    NotTried,
    /// Whoever carries out could not apply it.
    NotApplied,
    /// It was broken off: the knobs were set by somebody else, or the policy changed.
    Cancelled,
}

impl TrialVerdict {
    /// Whether knobs were, or may have been, set for it.
    pub fn was_made(self) -> bool {
        !matches!(self, Self::NotTried | Self::Denied | Self::TimedOut)
    }
}

/// A guard-rail that was broken.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct BrokenGuard {
    /// Its metric.
    pub metric: String,
    /// The value that broke it; none for one that was not finite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The bound.
    pub bound: f64,
}

/// A trial on record.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct TrialRecord {
    /// Its number. Numbers rise, and none is given twice under one name: they go on where the last tuner of a kernel, or of its data directory,
    /// ended.
    pub id: u64,
    /// The setting that was tried.
    pub setting: Setting,
    /// The setting that was in use.
    pub against: Setting,
    /// Why it was proposed.
    pub cause: TrialCause,
    /// When it was proposed: the [`Moment`], in nanoseconds. That is by the clock of whoever drives the tuner, and is not written down.
    #[serde(skip)]
    pub began_nanos: u64,
    /// When it ended, likewise.
    #[serde(skip)]
    pub ended_nanos: u64,
    /// When it was proposed, by the wall clock; a kernel puts it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    /// When it ended, by the wall clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Pairs of windows that were measured.
    pub pairs: u32,
    /// Mean of the objective with the setting in use, over whole pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    /// The mean gain over it, positive when the setting tried was better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gain: Option<f64>,
    /// The gain's standard error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gain_error: Option<f64>,
    /// How much the measurements speak against there being no difference, as a factor.
    pub evidence: f64,
    /// What came of it.
    pub verdict: TrialVerdict,
    /// The guard-rail that was broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<BrokenGuard>,
    /// Of one that was not measured: what was missing, `objective` or a guard-rail's metric.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// Something without which a tuner tries nothing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TunerLack {
    /// The guard-rail's metric; none for the objective.
    pub metric: Option<String>,
    /// When it was measured last, or the tuner began where it never was; of a guard-rail that is broken, since when; of what is apart, when
    /// the first window closed without it.
    pub since: Moment,
    /// Of a guard-rail that the setting in use breaks: how. Otherwise the figure is missing.
    pub broken: Option<BrokenGuard>,
    /// It is measured, but so seldom, or at such times, that no window has had all figures since.
    pub apart: bool,
}

/// What a tuner is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TunerPhase {
    /// It measures the setting in use before it tries anything, or again after the world changed.
    Learning,
    /// It waits for the next trial's time.
    Resting,
    /// It waits for an approval.
    Waiting,
    /// It tries a setting.
    Trying,
}

/// A setting that may be worth a try.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Suggested {
    /// The number of the trial that it would be, which is on record as not tried.
    pub trial: u64,
    /// What the knobs would be set to.
    pub setting: Setting,
}

/// A tuner's figures.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct TunerView {
    /// What it is doing.
    pub phase: TunerPhase,
    /// The setting in use.
    pub incumbent: Setting,
    /// What the knobs are set to now, as far as its actions were carried out. A kernel puts in what its knobs were set to by others where the
    /// tuner may not try that.
    pub applied: Setting,
    /// The setting in use before the tuner changed anything.
    pub original: Setting,
    /// The objective of the setting in use, as it was last measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
    /// Trials so far, of this tuner.
    pub trials: u64,
    /// Trials whose setting was adopted.
    pub adopted: u64,
    /// Trials that broke a guard-rail.
    pub broken: u64,
    /// Times that the world changed so much that what was learned was forgotten.
    pub drifts: u64,
    /// What was suggested last, or would have been where it only watches; none before, and after all was learned anew. What was
    /// suggested is not suggested again until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggested: Option<Suggested>,
    /// The last trials, the oldest first.
    pub history: Vec<TrialRecord>,
    /// Its policy. It is written down with what it was asked to do.
    #[serde(skip)]
    pub policy: TunerPolicy,
}
