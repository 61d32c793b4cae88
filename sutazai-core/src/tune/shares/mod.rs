//! Shares of something scarce (slots, tokens a minute, budget) that follow what agents make of them: [`Shares`].
//!
//! The sum of what agents make of their shares is largest where one more unit would do equally much good everywhere, but for those
//! at their floor or ceiling (the condition of Karush, Kuhn and Tucker; water-filling). So in each round every share is moved a
//! little to and fro, the slope of what came of it is learned per agent, and shares grow and shrink exponentially with their marginal
//! benefit (exponentiated gradient: J. Kivinen, M. Warmuth, Information and Computation 132, 1997), in proportion to how certain it
//! is. The sum stays the same, floors and ceilings hold in each round, exploration included.
//!
//! What is not known is assumed: half of the average benefit a unit, as of a benefit that grows with the square root.
//!
//! ```
//! use std::collections::BTreeMap;
//! use sutazai_core::tune::{SharePolicy, Shares};
//!
//! let mut shares = Shares::new(SharePolicy::default())?;
//! shares.join("writer", 0.05, 1.0)?;
//! shares.join("critic", 0.05, 1.0)?;
//! for _ in 0..300 {
//!     let now = shares.propose();
//!     // The writer makes three times as much of the same share: nine tenths are best.
//!     let made = |agent: &str, weight: f64| now.get(agent).map_or(0.0, |s| weight * s.sqrt());
//!     let benefits = [("writer".to_owned(), made("writer", 3.0)), ("critic".to_owned(), made("critic", 1.0))];
//!     shares.report(&BTreeMap::from(benefits));
//! }
//! assert!(shares.view().agents["writer"].share > 0.8);
//! # Ok::<(), sutazai_core::Error>(())
//! ```

mod project;
mod slope;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::slope::Slope;
use super::optimise::Random;
use crate::{Code, Error, Result};

/// Agents that may share.
const MOST_AGENTS: usize = 4_096;

/// How shares follow benefits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SharePolicy {
    /// How far a share is moved to find out what it is worth, as a part of it: 0.005 to 0.3. Default 0.1.
    pub explore: f64,
    /// How fast shares follow: the exponent by which a share with twice the mean marginal benefit grows in a round, 0.001 to 1. Default 0.1.
    pub rate: f64,
    /// Rounds that are remembered, on average: 4 to 10,000. Default 30.
    pub memory: f64,
    /// Where exploration begins. Default 0.
    pub seed: u64,
}

impl Default for SharePolicy {
    fn default() -> Self {
        Self { explore: 0.1, rate: 0.1, memory: 30.0, seed: 0 }
    }
}

impl SharePolicy {
    /// Whether the figures make sense.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn check(&self) -> Result<()> {
        let ranges = [
            ("explore", self.explore, 0.005, 0.3, "must be 0.005 to 0.3"),
            ("rate", self.rate, 0.001, 1.0, "must be 0.001 to 1"),
            ("memory", self.memory, 4.0, 10_000.0, "must be 4 to 10,000"),
        ];
        // A NaN is in no range.
        match ranges.iter().find(|(_, value, low, high, _)| !(low..=high).contains(&value)) {
            None => Ok(()),
            Some((field, .., rule)) => Err(invalid(field, rule)),
        }
    }
}

/// An agent's share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct ShareView {
    /// Its share of the whole, without exploration.
    pub share: f64,
    /// Its share is never less.
    pub floor: f64,
    /// Its share is never more.
    pub ceiling: f64,
    /// What one more whole would be worth to it, by the slope where it is.
    pub marginal: f64,
    /// The marginal benefit's standard error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<f64>,
}

/// All shares.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct SharesView {
    /// By agent.
    pub agents: BTreeMap<String, ShareView>,
    /// Rounds with a report.
    pub rounds: u64,
    /// The policy.
    pub policy: SharePolicy,
}

#[derive(Clone, Debug)]
struct Agent {
    share: f64,
    floor: f64,
    ceiling: f64,
    /// What it was given in this round.
    given: f64,
    slope: Slope,
}

/// Divides one whole among agents.
#[derive(Clone, Debug)]
pub struct Shares {
    policy: SharePolicy,
    random: Random,
    agents: BTreeMap<String, Agent>,
    rounds: u64,
}

impl Shares {
    /// A whole that nobody has a share of yet.
    ///
    /// # Errors
    /// [`Code::INVALID`] when the policy is not valid.
    pub fn new(policy: SharePolicy) -> Result<Self> {
        policy.check()?;
        let random = Random::new(policy.seed);
        Ok(Self { policy, random, agents: BTreeMap::new(), rounds: 0 })
    }

    /// An agent joins, or gets other bounds, both parts of the whole: it gets an even share, and the others make room. While the
    /// ceilings of all together are less than the whole, the rest stays unused.
    ///
    /// # Errors
    /// [`Code::INVALID`] when the bounds make no sense, all floors together are more than the whole, or there are 4,096 agents.
    pub fn join(&mut self, agent: &str, floor: f64, ceiling: f64) -> Result<()> {
        if !(0.0 <= floor && floor <= ceiling && 0.0 < ceiling && ceiling <= 1.0) {
            return Err(invalid("floor", "0 ≤ floor ≤ ceiling ≤ 1, and a ceiling above 0"));
        }
        let others = self.agents.iter().filter(|(name, _)| *name != agent);
        if others.map(|(_, a)| a.floor).sum::<f64>() + floor > 1.0 + 1e-9 {
            return Err(invalid("floor", "all floors together are at most the whole"));
        }
        if self.agents.len() >= MOST_AGENTS && !self.agents.contains_key(agent) {
            return Err(invalid("agent", "4,096 agents at most"));
        }
        // As much as the others have in the mean: one part in so many when all have made room.
        let had: f64 = self.agents.values().map(|a| a.share).sum();
        let even = if self.agents.is_empty() { 1.0 } else { had / self.agents.len() as f64 };
        let new = Agent { share: even, floor, ceiling, given: even, slope: Slope::default() };
        let entry = self.agents.entry(agent.to_owned()).or_insert(new);
        (entry.floor, entry.ceiling) = (floor, ceiling);
        self.settle();
        Ok(())
    }

    /// An agent leaves; the others share what it had.
    pub fn leave(&mut self, agent: &str) {
        self.agents.remove(agent);
        self.settle();
    }

    /// The shares of the next round: to be given to the agents before what comes of them is [reported](Self::report).
    pub fn propose(&mut self) -> BTreeMap<String, f64> {
        let explore = self.policy.explore;
        let wanted: Vec<f64> = (self.agents.values())
            .map(|a| a.share * (1.0 + if self.random.unit() < 0.5 { explore } else { -explore }))
            .collect();
        let given = project::project(&wanted, &self.bounds());
        for (agent, given) in self.agents.values_mut().zip(given) {
            agent.given = given;
        }
        self.agents.iter().map(|(name, a)| (name.clone(), a.given)).collect()
    }

    /// The same shares as whole units of something: the sum is `units`, or less where ceilings do not allow more (largest
    /// remainders, so floors and ceilings hold to a unit).
    pub fn quotas(&self, units: u64) -> BTreeMap<String, u64> {
        let exact: Vec<f64> = self.agents.values().map(|a| a.given * units as f64).collect();
        let whole = project::whole(&exact, units);
        self.agents.keys().cloned().zip(whole).collect()
    }

    /// What agents were given in fact, where that is not what was proposed: whole units, or what somebody else has decided.
    /// Shares that are no part of a whole are left out.
    pub fn took(&mut self, given: &BTreeMap<String, f64>) {
        for (name, share) in given.iter().filter(|(_, share)| (0.0..=1.0).contains(*share)) {
            if let Some(agent) = self.agents.get_mut(name) {
                agent.given = *share;
            }
        }
    }

    /// What came of the round's shares, by agent, in one unit for all: tasks done, value made. Agents that are not named, or whose
    /// benefit is not finite, keep what is known of them.
    pub fn report(&mut self, benefits: &BTreeMap<String, f64>) {
        let keep = 1.0 - 1.0 / self.policy.memory;
        for (name, agent) in &mut self.agents {
            if let Some(benefit) = benefits.get(name).filter(|b| b.is_finite()) {
                agent.slope.add(agent.given, benefit.clamp(-1e150, 1e150), keep);
            }
        }
        self.rounds += 1;
        self.follow();
    }

    /// All shares, and what they are worth.
    pub fn view(&self) -> SharesView {
        let explore = self.policy.explore;
        let view = |a: &Agent| {
            let (marginal, error) = a.slope.estimate(explore);
            let error = error.is_finite().then_some(error);
            ShareView { share: a.share, floor: a.floor, ceiling: a.ceiling, marginal, error }
        };
        SharesView {
            agents: self.agents.iter().map(|(name, a)| (name.clone(), view(a))).collect(),
            rounds: self.rounds,
            policy: self.policy.clone(),
        }
    }

    /// Moves shares towards where they are worth more.
    fn follow(&mut self) {
        let explore = self.policy.explore;
        let slopes: Vec<f64> = self.agents.values().map(|a| a.slope.estimate(explore).0).collect();
        let size = slopes.iter().map(|s| s.abs()).sum::<f64>() / slopes.len().max(1) as f64;
        if !(size > 0.0 && size.is_finite()) {
            return;
        }
        let rate = self.policy.rate;
        let wanted: Vec<f64> = (self.agents.values().zip(&slopes))
            // From nothing nothing grows: a hundredth of an even share may.
            .map(|(a, s)| (a.share.max(0.01 / slopes.len() as f64), s / size))
            .map(|(share, s)| share * (rate * s.clamp(-5.0, 5.0)).exp())
            .collect();
        let shares = project::project(&wanted, &self.bounds());
        for (agent, share) in self.agents.values_mut().zip(shares) {
            agent.share = share;
        }
    }

    /// Makes the shares fit their bounds, and the sum the whole.
    fn settle(&mut self) {
        let wanted: Vec<f64> = self.agents.values().map(|a| a.share).collect();
        let shares = project::project(&wanted, &self.bounds());
        for (agent, share) in self.agents.values_mut().zip(shares) {
            (agent.share, agent.given) = (share, share);
        }
    }

    fn bounds(&self) -> Vec<(f64, f64)> {
        self.agents.values().map(|a| (a.floor, a.ceiling)).collect()
    }
}

fn invalid(field: &'static str, rule: &'static str) -> Error {
    Error::new(Code::INVALID, "these shares are not valid")
        .operation("tune.shares")
        .with("field", field)
        .with("rule", rule)
}
