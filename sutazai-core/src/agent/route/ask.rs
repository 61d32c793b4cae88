//! What is asked of an allocator: who could do it, and within which bounds.

use serde::{Deserialize, Serialize};

/// Someone who could be chosen: an agent, a model, an endpoint.
///
/// ```
/// use sutazai_core::agent::route::Arm;
/// let arm = Arm { in_flight: 3, labels: &[("region", "eu")], ..Arm::new("mistral-7b") };
/// assert!(arm.available);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arm<'a> {
    /// Its stable name: what is learned is kept under it.
    pub key: &'a str,
    /// Calls that it has under way, whoever made them.
    pub in_flight: u32,
    /// Whether it takes one more now.
    pub available: bool,
    /// What a call costs, in a unit of the host's. 0 where it costs nothing; where it is not known, NaN,
    /// which is above every ceiling.
    pub cost: f64,
    /// Its share under [`Strategy::Weighted`](super::Strategy::Weighted).
    pub weight: u32,
    /// Names and values that an ask can require.
    pub labels: &'a [(&'a str, &'a str)],
}

impl<'a> Arm<'a> {
    /// One that is available, idle, free of cost and has no labels.
    pub const fn new(key: &'a str) -> Self {
        Self { key, in_flight: 0, available: true, cost: 0.0, weight: 1, labels: &[] }
    }
}

/// A task that wants an arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ask<'a> {
    /// What is learned together: the skill, as a rule. Different scopes learn nothing from one another.
    pub scope: &'a str,
    /// What is known of the task, in numbers of any scale, always in the same order; may be empty. The first
    /// ask of a scope says how many there are, of which [`MAX_FEATURES`](super::MAX_FEATURES) are used.
    /// One that is missing or not finite counts as average; those in excess are ignored.
    pub features: &'a [f64],
    /// Who could do it.
    pub arms: &'a [Arm<'a>],
    /// Nobody who costs more.
    pub max_cost: Option<f64>,
    /// Only who has all of these labels.
    pub require: &'a [(&'a str, &'a str)],
    /// None of these.
    pub exclude: &'a [&'a str],
    /// Asks with the same key should go to the same arm, if nothing speaks against it.
    pub affinity: Option<&'a str>,
}

/// Why an arm was not considered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Exclusion {
    /// It takes no more calls now.
    Unavailable,
    /// The ask names it as one that it does not want.
    Excluded,
    /// It costs more than the ask's ceiling, or nobody knows what it costs.
    TooExpensive,
    /// It lacks a label that the ask requires.
    LacksLabel,
}

impl<'a> Ask<'a> {
    /// One without features, bounds or affinity.
    pub const fn new(scope: &'a str, arms: &'a [Arm<'a>]) -> Self {
        Self {
            scope,
            features: &[],
            arms,
            max_cost: None,
            require: &[],
            exclude: &[],
            affinity: None,
        }
    }

    /// Why an arm may not be chosen for this; `None` when it may.
    #[inline]
    pub fn excludes(&self, arm: &Arm<'_>) -> Option<Exclusion> {
        if !arm.available {
            return Some(Exclusion::Unavailable);
        }
        if self.exclude.contains(&arm.key) {
            return Some(Exclusion::Excluded);
        }
        // A cost that is no number is not within a ceiling.
        let within = |ceiling| {
            matches!(
                arm.cost.partial_cmp(&ceiling),
                Some(std::cmp::Ordering::Less | std::cmp::Ordering::Equal)
            )
        };
        if self.max_cost.is_some_and(|ceiling| !within(ceiling)) {
            return Some(Exclusion::TooExpensive);
        }
        let lacks = |wanted: &(&str, &str)| !arm.labels.contains(wanted);
        self.require.iter().any(lacks).then_some(Exclusion::LacksLabel)
    }
}
