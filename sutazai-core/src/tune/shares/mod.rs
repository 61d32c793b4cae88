//! Shares of something scarce (slots, tokens a minute, budget) that follow what agents make of them: [`Shares`].
//!
//! The sum of what agents make of their shares is largest where one more unit would do equally much good everywhere, but for those
//! at their floor or ceiling (the condition of Karush, Kuhn and Tucker; water-filling). So in each round every share is moved a
//! little, and back by as much in the next, half of them up while the others go down. What came of it is learned per agent, and shares grow
//! and shrink exponentially with their marginal benefit (exponentiated gradient: J. Kivinen, M. Warmuth, Information and Computation 132, 1997)
//! where that differs by more than chance explains. Who makes no difference, or as much of one more unit as everybody else, stays
//! even, however long that goes on. The sum stays the same, floors and ceilings hold in each round, exploration included.
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

mod few;
mod follow;
mod project;
mod slope;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unit_tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::follow::Member;
use self::slope::{Slope, WINDOWS};
use super::optimise::Random;
use crate::{Code, Error, Result};

/// Agents that may share.
const MOST_AGENTS: usize = 4_096;
/// While nothing is known to be worth more than the rest, shares go back to even in so many memories: slowly enough to do no harm to what was
/// found, and soon enough that false moves, of which there is one in hundreds of memories, do not add up.
const BACK: f64 = 300.0;

/// How shares follow benefits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SharePolicy {
    /// How far a share is moved to find out what it is worth, as a part of it: 0.005 to 0.3. Default 0.1.
    pub explore: f64,
    /// How fast shares follow: the exponent by which a share with twice the mean marginal benefit grows in a round, 0.001 to 1. Default 0.1.
    pub rate: f64,
    /// Rounds that are remembered, on average, of what is large enough to show in them: 4 to 10,000. What is smaller is looked for in up to 64
    /// times as many. Default 30.
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
    /// What one more whole would be worth to it, by the slope where it is. While nothing is known that is half of what it makes of a unit now.
    pub marginal: f64,
    /// The marginal benefit's standard error; none while nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<f64>,
    /// Whether that is known to be more or less than what the others would make of it. Only then its share moves on purpose.
    pub differs: bool,
}

/// All shares.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct SharesView {
    /// By agent.
    pub agents: BTreeMap<String, ShareView>,
    /// Rounds with a report.
    pub rounds: u64,
    /// The policy. It is written down with how it is divided.
    #[serde(skip)]
    pub policy: SharePolicy,
}

#[derive(Clone, Debug)]
struct Agent {
    share: f64,
    floor: f64,
    ceiling: f64,
    /// Its share where all are worth the same.
    even: f64,
    /// What it was given in this round.
    given: f64,
    /// Which way it is moved to find out what it is worth.
    up: bool,
    /// It is worth more or less than the others.
    differs: bool,
    slope: Slope,
}

impl Agent {
    /// From nothing nothing grows: a hundredth of an even share may.
    fn base(&self, agents: usize) -> f64 {
        self.share.max(0.01 / agents as f64)
    }
}

/// Divides one whole among agents.
#[derive(Clone, Debug)]
pub struct Shares {
    policy: SharePolicy,
    random: Random,
    agents: BTreeMap<String, Agent>,
    rounds: u64,
    /// What was proposed last is the first round of a pair: the next one is the second.
    second: bool,
    /// Pairs of rounds so far.
    pairs: u64,
    /// What is given is moved to find out what it is worth.
    explores: bool,
    /// The window by which shares moved last.
    window: usize,
}

impl Shares {
    /// A whole that nobody has a share of yet.
    ///
    /// # Errors
    /// [`Code::INVALID`] when the policy is not valid.
    pub fn new(policy: SharePolicy) -> Result<Self> {
        policy.check()?;
        let random = Random::new(policy.seed);
        let (agents, window) = (BTreeMap::new(), WINDOWS - 1);
        let (rounds, pairs) = (0, 0);
        Ok(Self { policy, random, agents, rounds, second: false, pairs, explores: false, window })
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
        let new = Agent {
            share: even,
            floor,
            ceiling,
            even,
            given: even,
            up: false,
            differs: false,
            slope: Slope::default(),
        };
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
        self.explore();
        let given = self.explored(false);
        self.explores = true;
        for (agent, given) in self.agents.values_mut().zip(given) {
            agent.given = given;
        }
        self.agents.iter().map(|(name, a)| (name.clone(), a.given)).collect()
    }

    /// The shares of this round, or of the other one of its pair.
    fn explored(&self, other: bool) -> Vec<f64> {
        let explore = self.policy.explore;
        let wanted: Vec<f64> = (self.agents.values())
            .map(|a| a.share * (1.0 + if a.up == other { -explore } else { explore }))
            .collect();
        project::project(&wanted, &self.bounds())
    }

    /// Which shares go up in this round: one half of them, by chance, and then the other one.
    fn explore(&mut self) {
        self.second = !self.second;
        if !self.second {
            self.agents.values_mut().for_each(|agent| agent.up = !agent.up);
            return;
        }
        self.pairs = self.pairs.wrapping_add(1);
        let odd = self.random.unit() < 0.5;
        let mut ups: Vec<bool> = (0..self.agents.len()).map(|i| (i % 2 == 0) != odd).collect();
        for last in (1..ups.len()).rev() {
            ups.swap(last, self.random.below(last + 1));
        }
        for (agent, up) in self.agents.values_mut().zip(ups) {
            agent.up = up;
        }
    }

    /// The same shares as whole units of something: the sum is `units`, or less where ceilings do not allow more (largest
    /// remainders, so floors and ceilings hold to a unit). Where rounding undoes what a proposal moves, so few units there are, some
    /// of those agents have a unit more in one round of a pair and a unit less in the other, in turn.
    pub fn quotas(&self, units: u64) -> BTreeMap<String, u64> {
        let whole_of = |shares: Vec<f64>| {
            let exact: Vec<f64> = shares.into_iter().map(|share| share * units as f64).collect();
            project::whole(&exact, units)
        };
        let mut whole = whole_of(self.agents.values().map(|a| a.given).collect());
        if self.explores {
            let other = whole_of(self.explored(true));
            let members: Vec<few::Member> = (self.agents.values().zip(&whole).zip(other))
                .map(|((agent, here), there)| few::Member {
                    moves: *here != there,
                    up: agent.up,
                    // A unit that is one but for rounding is one.
                    least: (agent.floor * units as f64 - 1e-6).ceil() as u64,
                    most: (agent.ceiling * units as f64 + 1e-6).floor() as u64,
                })
                .collect();
            few::explore(&mut whole, &members, self.policy.explore, self.second, self.pairs);
        }
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
        let (memory, first) = (self.policy.memory, self.second);
        for (name, agent) in &mut self.agents {
            if let Some(benefit) = benefits.get(name).filter(|b| b.is_finite()) {
                agent.slope.add(first, agent.given, benefit.clamp(-1e150, 1e150), memory);
            }
        }
        self.rounds += 1;
        // Within a pair shares stay where they are.
        if !first {
            self.follow();
        }
    }

    /// All shares, and what they are worth.
    pub fn view(&self) -> SharesView {
        let agents = self.agents.len();
        let view = |a: &Agent| {
            let share = a.base(agents);
            let estimate = a.slope.estimate(self.window, share);
            let error = estimate.error.is_finite().then_some(estimate.error);
            let marginal = error.map_or_else(|| a.slope.assumed(share), |_| estimate.slope);
            let (share, floor, ceiling) = (a.share, a.floor, a.ceiling);
            ShareView { share, floor, ceiling, marginal, error, differs: a.differs }
        };
        SharesView {
            agents: self.agents.iter().map(|(name, a)| (name.clone(), view(a))).collect(),
            rounds: self.rounds,
            policy: self.policy.clone(),
        }
    }

    /// Moves shares towards where they are known to be worth more, or else a little back to even. There were two rounds since the last time.
    fn follow(&mut self) {
        let agents = self.agents.len();
        let memories = self.rounds as f64 / self.policy.memory;
        let member = |a: &Agent| {
            let share = a.base(agents);
            let worth = std::array::from_fn(|window| a.slope.estimate(window, share));
            Member { share: a.share, floor: a.floor, ceiling: a.ceiling, worth }
        };
        let members: Vec<Member> = self.agents.values().map(member).collect();
        let found = follow::differences(&members, memories);
        let (rate, back) = (2.0 * self.policy.rate, 2.0 / (BACK * self.policy.memory));
        let wanted: Vec<f64> = (self.agents.values().enumerate())
            .map(|(i, a)| match &found {
                Some(found) => {
                    let more = found.more.get(i).copied().unwrap_or(0.0);
                    a.base(agents) * (rate * more).exp()
                }
                None => a.base(agents) * (a.even / a.base(agents)).powf(back),
            })
            .collect();
        let shares = project::project(&wanted, &self.bounds());
        for (i, (agent, share)) in self.agents.values_mut().zip(shares).enumerate() {
            agent.slope.moved(share / agent.share);
            agent.share = share;
            agent.differs = (found.as_ref())
                .is_some_and(|found| found.more.get(i).is_some_and(|more| *more != 0.0));
        }
        if let Some(found) = found {
            self.window = found.window;
        }
    }

    /// Makes the shares fit their bounds, and the sum the whole.
    fn settle(&mut self) {
        self.explores = false;
        let wanted: Vec<f64> = self.agents.values().map(|a| a.share).collect();
        let shares = project::project(&wanted, &self.bounds());
        let same = vec![1.0 / wanted.len().max(1) as f64; wanted.len()];
        let even = project::project(&same, &self.bounds());
        for ((agent, share), even) in self.agents.values_mut().zip(shares).zip(even) {
            (agent.share, agent.given, agent.even) = (share, share, even);
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
