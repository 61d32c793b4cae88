//! What was decided, and why.

use serde::{Deserialize, Serialize};

use super::ask::Exclusion;

/// A choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Decision {
    /// Its number, by which its end and its reward are reported. Counts from 0.
    pub number: u64,
    /// The place of the chosen arm in the ask.
    pub index: usize,
    /// Whether another one was thought better: this one was chosen to learn about it.
    pub explored: bool,
}

/// Why an arm was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Why {
    /// It was thought best.
    Best,
    /// It may be best: too little is known of it to say.
    Uncertain,
    /// It was thought worse, and may have become better since it was last tried.
    MayHaveChanged,
    /// It was slow when it was last called, and is called from time to time to see whether it still is.
    ProbedForPace,
    /// The strategy is not one that values arms.
    Strategy,
}

/// A decision taken apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Explanation {
    /// Which decision.
    pub number: u64,
    /// Of which scope.
    pub scope: String,
    /// The key of the chosen arm.
    pub chosen: String,
    /// Why this one.
    pub why: Why,
    /// What was thought of each arm, in the order of the ask.
    pub arms: Vec<Score>,
    /// How many more there were: of so many arms ([`EXPLAINED`](super::EXPLAINED)) the scores are kept, the
    /// chosen one's among them.
    pub left_off: usize,
}

/// What was thought of an arm at a decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Score {
    /// Its key.
    pub arm: String,
    /// Why it was not considered, if so; the figures are 0 then.
    pub excluded: Option<Exclusion>,
    /// The reward that is expected of it.
    pub quality: f64,
    /// What was added because little is known, drawn at random in part.
    pub exploration: f64,
    /// What was subtracted for waiting, against the one with least to wait for.
    pub waiting: f64,
    /// What was subtracted for its cost.
    pub cost: f64,
    /// What was added for affinity.
    pub affinity: f64,
    /// All of this together: the greatest was chosen, unless `why` says otherwise.
    pub value: f64,
}

/// The figures of a [`Score`], as a decision makes them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    /// The arm's place in its scope, and which arm that was.
    pub(super) slot: u32,
    pub(super) id: u64,
    pub(super) excluded: Option<Exclusion>,
    pub(super) unseen_change: bool,
    pub(super) quality: f64,
    pub(super) exploration: f64,
    pub(super) waiting: f64,
    pub(super) cost: f64,
    pub(super) affinity: f64,
}

impl Figures {
    /// What is thought of it when nothing is tried out.
    pub(super) fn known(&self) -> f64 {
        self.quality + self.affinity - self.waiting - self.cost
    }

    pub(super) fn value(&self) -> f64 {
        self.known() + self.exploration
    }

    pub(super) fn score(&self, arm: String) -> Score {
        Score {
            arm,
            excluded: self.excluded,
            quality: self.quality,
            exploration: self.exploration,
            waiting: self.waiting,
            cost: self.cost,
            affinity: self.affinity,
            value: self.value(),
        }
    }
}
