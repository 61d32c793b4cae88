//! What is believed of one arm's quality, which may change at any time.
//!
//! Two models run beside one another: what has held so far, and what would hold if the arm had changed a
//! little while ago. Each reward is evidence for one or the other; when the suspicion has won, it becomes
//! what is believed. This is Bayesian online changepoint detection (Adams and MacKay, 2007) kept to the two
//! likeliest run lengths, for bandits as in Mellor and Shapiro, *Thompson Sampling in Switching Environments
//! with Bayesian Online Change Detection* (AISTATS 2013). Forgetting is nowhere needed: what did not change
//! is never unlearned.

use serde::{Deserialize, Serialize};

use super::linear::{Linear, Point, Scratch};
use super::random::Random;
use super::scale::Rebase;

/// The chance that an arm changes, per reward that its scope learned: once in some thousands. It decides how
/// much evidence a change needs.
const HAZARD: f64 = 3e-4;

/// The same for an arm that is not looked at, where it decides how often one that is thought worse is tried
/// again. Lower, because a try costs and a suspicion does not: with 1e-4 an arm that would have to move by one
/// standard deviation of a change to be best is tried once in some 250 decisions.
const UNSEEN_HAZARD: f64 = 1e-4;

/// How far a change goes: the standard deviation of what a reward's mean moves by, the scale of rewards
/// being 0 to 1.
const CHANGE: f64 = 0.4;

/// How much of a change is that of single kinds of task: the rest, in variance, is the arm's as a whole. Where
/// it is more, a change that is seen at one kind costs what is known of the others; measured over the worlds of
/// `benches/allocation.rs`, .2 does better than .5 in most of them and worse in none by more than chance.
const LOCAL: f64 = 0.2;

/// Rewards after which a suspicion has won or is dropped. Without an end it would become the same as what
/// it doubts, and no later change would be seen.
const SUSPECT_FOR: u64 = 40;

/// Odds of the suspicion that end the doubt before that: those of 95 in 100.
const CERTAIN: f64 = 20.0;

/// What a new arm's prior is worth at most, in observations: of its intercept, and of all its slopes.
const INTERCEPT_COUNTS: f64 = 2.0;
const SLOPES_COUNT: f64 = 0.3;

/// How far an arm that nothing is known of may be from the average one: the standard deviation of the
/// prior's intercept, and of all its slopes together at a usual task.
const UNKNOWN: f64 = 0.35;

/// What is learned of one arm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Belief {
    held: Linear,
    suspected: Linear,
    /// Of the suspicion, against what has held.
    odds: f64,
    /// The scope's clock, in rewards, when this arm's last one was learned.
    learned_at: u64,
    /// Rewards in all.
    rewards: u64,
}

/// What one look at a belief says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) mean: f64,
    pub(super) deviation: f64,
    /// Whether it is what would hold if the arm had changed unseen.
    pub(super) unseen_change: bool,
}

impl Belief {
    /// An arm of which nothing is known but what arms are like: `mean`.
    pub(super) fn new(size: usize, mean: f64, noise: &Noise, clock: u64) -> Self {
        // In units of the noise. Where rewards scatter little, one says more than the prior.
        let unknown = 0.25 * UNKNOWN * UNKNOWN / noise.variance;
        let intercept = unknown.max(1.0 / INTERCEPT_COUNTS);
        let slopes = unknown.max(1.0 / SLOPES_COUNT);
        let held = Linear::new(size, mean, intercept, slopes / (size.max(2) - 1) as f64);
        Self { suspected: held.clone(), held, odds: 0.0, learned_at: clock, rewards: 0 }
    }

    pub(super) const fn rewards(&self) -> u64 {
        self.rewards
    }

    /// Draws one of the three: it is as it was, it changed since some reward, it changed since the last one.
    pub(super) fn look(&self, at: &Point, noise: &Noise, clock: u64, random: &mut Random) -> Look {
        let unseen = UNSEEN_HAZARD * clock.saturating_sub(self.learned_at) as f64;
        let drawn = random.unit() * (1.0 + self.odds + unseen);
        let (model, added) = if drawn < 1.0 {
            (&self.held, 0.0)
        } else if drawn < 1.0 + self.odds {
            (&self.suspected, 0.0)
        } else {
            (&self.held, change_at(at))
        };
        Look {
            mean: model.mean(at),
            deviation: (noise.variance * model.variance(at) + added).sqrt(),
            unseen_change: added > 0.0,
        }
    }

    /// Learns a reward; `clock` counts the scope's, this one included.
    pub(super) fn learn(
        &mut self,
        at: &Point,
        reward: f64,
        noise: &mut Noise,
        clock: u64,
        scratch: &mut Scratch,
    ) {
        let unseen = HAZARD * clock.saturating_sub(self.learned_at).max(1) as f64;
        if unseen >= self.odds || self.suspected.count() >= SUSPECT_FOR {
            // It is likelier that it changed just now than when it was suspected to.
            self.suspect(noise.variance);
            self.odds = unseen;
        } else {
            self.odds += unseen;
        }
        let s = noise.variance;
        let (mean, variance) = (self.held.mean(at), s * self.held.variance(at));
        let held = density(reward - mean, variance + s);
        let suspected =
            density(reward - self.suspected.mean(at), s * self.suspected.variance(at) + s);
        self.odds = (self.odds * (suspected / held)).min(1e9);
        noise.see(reward - mean, variance);
        self.held.learn(at, reward, scratch);
        self.suspected.learn(at, reward, scratch);
        let over = self.suspected.count() >= SUSPECT_FOR;
        if self.odds > CERTAIN || (over && self.odds > 1.0) {
            self.held.copy(&self.suspected);
            self.odds = 0.0;
        }
        self.learned_at = clock;
        self.rewards += 1;
    }

    /// Whether it can be what was learned with points of so many coordinates.
    pub(super) fn is_sound(&self, size: usize) -> bool {
        self.held.is_sound(size) && self.suspected.is_sound(size) && self.odds >= 0.0
    }

    pub(super) fn rebase(&mut self, to: &Rebase) {
        self.held.rebase(&to.stretch, &to.shift);
        self.suspected.rebase(&to.stretch, &to.shift);
    }

    /// Begins a suspicion: as it was, but every weight may have moved.
    fn suspect(&mut self, noise: f64) {
        let slopes = self.held.size() - 1;
        let all = CHANGE * CHANGE / noise;
        self.suspected.copy(&self.held);
        if slopes == 0 {
            self.suspected.widen(all, 0.0);
        } else {
            self.suspected.widen((1.0 - LOCAL) * all, LOCAL * all / slopes as f64);
        }
        self.suspected.count_from_zero();
    }
}

/// The variance that an arm of which nothing is known has at a point.
pub(super) fn unknown_at(at: &Point) -> f64 {
    UNKNOWN * UNKNOWN * (1.0 + at.spread())
}

/// The variance that a change adds at a point.
fn change_at(at: &Point) -> f64 {
    CHANGE * CHANGE * (1.0 - LOCAL + LOCAL * at.spread())
}

/// Student's t density with 15 degrees of freedom, but for a constant factor: nearly normal, with tails that
/// a few outliers do not overthrow; a rational function, which comes out the same everywhere.
pub(super) fn density(error: f64, variance: f64) -> f64 {
    let q = 1.0 + error * error / (15.0 * variance);
    let q2 = q * q;
    let q4 = q2 * q2;
    1.0 / (q4 * q4 * variance.sqrt())
}

/// How much rewards scatter about what was expected: one estimate for all arms of a scope.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Noise {
    pub(super) variance: f64,
    count: f64,
    floor: f64,
    ceiling: f64,
}

impl Noise {
    /// Of rewards from 0 to 1, which scatter most when they are 0 or 1 with equal chance.
    pub(super) const fn of_rewards() -> Self {
        Self { variance: 0.25, count: 4.0, floor: 1e-5, ceiling: 0.3 }
    }

    /// Of durations in doublings: by a factor of two either way until it is known better.
    pub(super) const fn of_durations() -> Self {
        Self { variance: 1.0, count: 4.0, floor: 0.01, ceiling: 16.0 }
    }

    /// Whether it can be an estimate.
    pub(super) fn is_sound(&self) -> bool {
        self.floor > 0.0 && (self.floor..=self.ceiling).contains(&self.variance)
    }

    /// Keeps what it estimates as a first guess only, four times as much to be on the safe side.
    pub(super) fn doubt(&mut self) {
        self.count = 4.0;
        self.variance = (4.0 * self.variance).min(0.25);
    }

    /// `error` is how far a value was from what was expected with that variance.
    pub(super) fn see(&mut self, error: f64, variance: f64) {
        let square = error * error;
        // What the expectation's own uncertainty explains is not noise, as long as something is left.
        let noise = (square - variance).max(0.1 * square);
        self.count = (self.count + 1.0).min(2000.0);
        self.variance += (noise - self.variance) / self.count;
        self.variance = self.variance.clamp(self.floor, self.ceiling);
    }
}
