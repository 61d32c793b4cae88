//! A log of what an allocator was told, and the decisions that follow from it.

use std::collections::BTreeMap;
use std::io::BufRead;

use serde::{Deserialize, Serialize};

use super::allocator::{Allocator, Ended};
use super::ask::{Arm, Ask};
use super::explain::Decision;
use super::policy::RoutePolicy;
use crate::base::time::Moment;
use crate::{Code, Error, Result};

/// One line of a log: a call of an [`Allocator`] with its arguments. Times are nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "call", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Input {
    /// [`Allocator::decide`].
    Decide {
        /// When.
        now_ns: u64,
        /// What was asked.
        #[serde(flatten)]
        ask: OwnedAsk,
    },
    /// [`Allocator::settled`].
    Settled {
        /// When.
        now_ns: u64,
        /// The decision.
        number: u64,
        /// How the call ended.
        ended: Ended,
    },
    /// [`Allocator::reward`].
    Reward {
        /// The decision.
        number: u64,
        /// How good it was; what is refused is logged as well, and no number as null.
        reward: Option<f64>,
    },
}

/// An [`Ask`] that owns what it says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct OwnedAsk {
    /// As [`Ask::scope`].
    pub scope: String,
    /// As [`Ask::features`]; what is not finite is null.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Option<f64>>,
    /// As [`Ask::arms`].
    pub arms: Vec<OwnedArm>,
    /// As [`Ask::max_cost`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<f64>,
    /// As [`Ask::require`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub require: BTreeMap<String, String>,
    /// As [`Ask::exclude`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// As [`Ask::affinity`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<String>,
}

/// An [`Arm`] that owns what it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct OwnedArm {
    /// As [`Arm::key`].
    pub key: String,
    /// As [`Arm::in_flight`].
    #[serde(default)]
    pub in_flight: u32,
    /// As [`Arm::available`].
    #[serde(default = "yes")]
    pub available: bool,
    /// As [`Arm::cost`]; null where it is not known.
    #[serde(default = "free")]
    pub cost: Option<f64>,
    /// As [`Arm::weight`].
    #[serde(default = "one")]
    pub weight: u32,
    /// As [`Arm::labels`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

const fn yes() -> bool {
    true
}

#[expect(clippy::unnecessary_wraps, reason = "the default of a field that may be null")]
const fn free() -> Option<f64> {
    Some(0.0)
}

const fn one() -> u32 {
    1
}

impl From<&Ask<'_>> for OwnedAsk {
    fn from(ask: &Ask<'_>) -> Self {
        let finite = |x: f64| x.is_finite().then_some(x);
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
        };
        Self {
            scope: ask.scope.to_owned(),
            features: ask.features.iter().map(|&x| finite(x)).collect(),
            arms: ask
                .arms
                .iter()
                .map(|arm| OwnedArm {
                    key: arm.key.to_owned(),
                    in_flight: arm.in_flight,
                    available: arm.available,
                    cost: finite(arm.cost),
                    weight: arm.weight,
                    labels: pairs(arm.labels),
                })
                .collect(),
            max_cost: ask.max_cost.and_then(finite),
            require: pairs(ask.require),
            exclude: ask.exclude.iter().map(|&key| key.to_owned()).collect(),
            affinity: ask.affinity.map(str::to_owned),
        }
    }
}

impl OwnedAsk {
    /// Lends it to `with` as an [`Ask`].
    pub fn with<T>(&self, with: impl FnOnce(&Ask<'_>) -> T) -> T {
        let features: Vec<f64> = self.features.iter().map(|x| x.unwrap_or(f64::NAN)).collect();
        let labels: Vec<Vec<(&str, &str)>> = self.arms.iter().map(|a| pairs(&a.labels)).collect();
        let arms: Vec<Arm<'_>> = self
            .arms
            .iter()
            .zip(&labels)
            .map(|(arm, labels)| Arm {
                key: &arm.key,
                in_flight: arm.in_flight,
                available: arm.available,
                cost: arm.cost.unwrap_or(f64::NAN),
                weight: arm.weight,
                labels,
            })
            .collect();
        let exclude: Vec<&str> = self.exclude.iter().map(String::as_str).collect();
        with(&Ask {
            scope: &self.scope,
            features: &features,
            arms: &arms,
            max_cost: self.max_cost,
            require: &pairs(&self.require),
            exclude: &exclude,
            affinity: self.affinity.as_deref(),
        })
    }
}

fn pairs(map: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    map.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect()
}

impl Input {
    /// Does the call; a decision is answered if it is one.
    pub fn apply(&self, to: &mut Allocator) -> Option<Option<Decision>> {
        match self {
            Self::Decide { now_ns, ask } => {
                Some(ask.with(|ask| to.decide(Moment::from_nanos(*now_ns), ask)))
            }
            Self::Settled { now_ns, number, ended } => {
                let _ = to.settled(*number, Moment::from_nanos(*now_ns), *ended);
                None
            }
            Self::Reward { number, reward } => {
                let _ = to.reward(*number, reward.unwrap_or(f64::NAN));
                None
            }
        }
    }
}

/// The decisions that an allocator with this policy and seed makes when it is told what a log says, one
/// [`Input`] as JSON a line; `None` stands where nobody could be chosen. Empty lines are skipped.
///
/// ```
/// use sutazai_core::agent::route::{RoutePolicy, replay};
/// let log = br#"{"call":"decide","now_ns":0,"scope":"s","arms":[{"key":"a"},{"key":"b","available":false}]}
/// {"call":"settled","now_ns":5000000,"number":0,"ended":"succeeded"}
/// {"call":"reward","number":0,"reward":0.8}
/// "#;
/// let decisions = replay(RoutePolicy::default(), 7, &log[..])?;
/// assert_eq!(decisions[0].unwrap().index, 0);
/// # Ok::<(), sutazai_core::Error>(())
/// ```
///
/// # Errors
/// Those of [`RoutePolicy::check`], and `base.invalid` with the line's number when a line cannot be read or
/// is no input.
pub fn replay(policy: RoutePolicy, seed: u64, log: impl BufRead) -> Result<Vec<Option<Decision>>> {
    let mut allocator = Allocator::new(policy, seed)?;
    let mut decisions = Vec::new();
    for (line, text) in (1_u64..).zip(log.lines()) {
        let at = |error: Error| error.with("line", line.to_string());
        let text =
            text.map_err(|e| at(Error::new(Code::INVALID, "the log cannot be read").because(e)))?;
        if text.trim().is_empty() {
            continue;
        }
        let input: Input = serde_json::from_str(&text).map_err(|e| {
            at(Error::new(Code::INVALID, "not an input of an allocator").because(e))
        })?;
        decisions.extend(input.apply(&mut allocator));
    }
    Ok(decisions)
}
