//! What is learned for one scope: its arms, the scale of its features, how its rewards scatter.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::ask::Arm;
use super::belief::{Belief, Noise};
use super::latency::{Owed, Pace};
use super::linear::{Point, Scratch};
use super::scale::{Rebase, Scale};

/// As many arms more than twice those of an ask are remembered; beyond that, who has not been among the
/// candidates for longest is forgotten.
const SPARE_ARMS: usize = 64;

/// Of as many first rewards of each arm the prior of the next new arm is made: what arms are like
/// before it is known who is good.
const EARLY_REWARDS: u64 = 5;

/// So many rewards are kept, to be learned again when it is known better what they mean.
const FIRST_REWARDS: u64 = 64;

/// Arms that what was kept may have.
const MOST_KEPT: usize = 100_000;

/// One scope's knowledge.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Scope {
    pub(super) id: u64,
    pub(super) name: Box<str>,
    pub(super) scale: Scale,
    pub(super) arms: Vec<ArmState>,
    #[serde(skip)]
    places: HashMap<Box<str>, u32>,
    #[serde(skip)]
    free: Vec<u32>,
    /// Where the arms of the last ask stand, in its order: as a rule the next one has the same.
    #[serde(skip)]
    order: Vec<u32>,
    /// Of rewards.
    pub(super) noise: Noise,
    /// What a new arm's reward is expected to be, and of how many rewards that is the mean.
    early: (f64, f64),
    /// Rewards learned: the clock of changes of quality.
    pub(super) clock: u64,
    /// The allocator's decisions when this scope was last asked.
    #[serde(skip)]
    pub(super) used_at: u64,
    /// Decisions made: the clock of changes of pace.
    pub(super) decisions: u64,
    /// Whose turn it is, for strategies that take turns.
    pub(super) turn: u64,
    /// Whether the host reports rewards. Until the first one, that a call succeeded is its reward.
    rewarded: bool,
    /// The first rewards.
    first: Vec<Observed>,
    /// Of durations.
    pub(super) pace_noise: Noise,
    /// What a call of any arm usually takes, and of how many calls that is the mean.
    pub(super) usual: (f64, f64),
    /// The point of the task at hand.
    #[serde(skip)]
    pub(super) point: Point,
    #[serde(skip)]
    scratch: Scratch,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Observed {
    slot: u32,
    id: u64,
    features: Vec<f64>,
    reward: f64,
}

/// What is known of one arm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ArmState {
    /// Never the same for two arms.
    pub(super) id: u64,
    pub(super) key: Box<str>,
    /// `None` before its first reward.
    pub(super) belief: Option<Box<Belief>>,
    /// `None` before its first call ended.
    pub(super) pace: Option<Pace>,
    #[serde(skip)]
    pub(super) owed: Owed,
    /// The scope's decisions when it was last chosen and last a candidate.
    pub(super) chosen_at: u64,
    seen_at: u64,
    #[serde(skip)]
    pub(super) classic: super::classic::Figures,
}

impl Scope {
    pub(super) fn new(id: u64, name: &str, features: usize) -> Self {
        Self {
            id,
            name: name.into(),
            scale: Scale::new(features),
            arms: Vec::new(),
            places: HashMap::new(),
            free: Vec::new(),
            order: Vec::new(),
            noise: Noise::of_rewards(),
            early: (0.5, 1.0),
            clock: 0,
            used_at: 0,
            decisions: 0,
            turn: 0,
            rewarded: false,
            first: Vec::new(),
            pace_noise: Noise::of_durations(),
            usual: (0.0, 0.0),
            point: Point::default(),
            scratch: Vec::new(),
        }
    }

    /// Makes what was kept of another process a scope of this one, with `next_id` for what has a number; `false`
    /// where it cannot be one.
    pub(super) fn revive(&mut self, next_id: &mut u64) -> bool {
        let size = self.scale.size();
        let sound = self.scale.is_sound()
            && self.noise.is_sound()
            && self.pace_noise.is_sound()
            && self.arms.len() <= MOST_KEPT
            && self.arms.iter().filter_map(|arm| arm.belief.as_ref()).all(|it| it.is_sound(size));
        if !sound {
            return false;
        }
        self.id = *next_id;
        *next_id += 1;
        for (slot, arm) in (0..).zip(&mut self.arms) {
            if arm.id == u64::MAX {
                self.free.push(slot);
                continue;
            }
            let before = std::mem::replace(&mut arm.id, *next_id);
            *next_id += 1;
            self.places.insert(arm.key.clone(), slot);
            let own = self.first.iter_mut().filter(|it| it.slot == slot);
            own.for_each(|it| it.id = if it.id == before { arm.id } else { u64::MAX });
        }
        true
    }

    /// The place of an arm that stands at `position` in an ask; it is made where there is none.
    #[inline]
    pub(super) fn place(&mut self, position: usize, arm: &Arm<'_>, next_id: &mut u64) -> u32 {
        let decisions = self.decisions;
        if let Some(&slot) = self.order.get(position)
            && let Some(state) = self.arms.get_mut(slot as usize)
            && *state.key == *arm.key
        {
            state.seen_at = decisions;
            return slot;
        }
        let slot = match self.places.get(arm.key) {
            Some(&slot) => slot,
            None => self.add(arm.key, next_id),
        };
        if let Some(state) = self.arms.get_mut(slot as usize) {
            state.seen_at = decisions;
        }
        if self.order.len() <= position {
            self.order.resize(position + 1, u32::MAX);
        }
        if let Some(known) = self.order.get_mut(position) {
            *known = slot;
        }
        slot
    }

    #[cold]
    fn add(&mut self, key: &str, next_id: &mut u64) -> u32 {
        let state = ArmState {
            id: *next_id,
            key: key.into(),
            belief: None,
            pace: None,
            owed: Owed::default(),
            chosen_at: self.decisions,
            seen_at: self.decisions,
            classic: super::classic::Figures::default(),
        };
        *next_id += 1;
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.arms.get_mut(slot as usize) {
                    *place = state;
                }
                slot
            }
            None => {
                self.arms.push(state);
                u32::try_from(self.arms.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.places.insert(key.into(), slot);
        slot
    }

    /// Forgets who has been gone for longest, until there are not too many for an ask of `candidates`.
    pub(super) fn forget(&mut self, candidates: usize) {
        let bound = candidates.saturating_mul(2).saturating_add(SPARE_ARMS);
        self.order.truncate(candidates);
        while self.places.len() > bound {
            let oldest = (0..).zip(&self.arms).filter(|(_, a)| self.places.contains_key(&a.key));
            let Some((slot, key)) = oldest
                .min_by_key(|(_, a)| (a.seen_at, a.id))
                .map(|(slot, a): (u32, _)| (slot, a.key.clone()))
            else {
                return;
            };
            self.places.remove(&key);
            if let Some(state) = self.arms.get_mut(slot as usize) {
                // Nobody finds it any more; what is still to come for it has its old id.
                state.id = u64::MAX;
                state.key = "".into();
                state.belief = None;
            }
            self.free.push(slot);
        }
    }

    /// How much it has learned: rewards, and decisions.
    pub(super) const fn learned(&self) -> (u64, u64) {
        (self.clock, self.decisions)
    }

    /// How many arms are remembered.
    pub(super) fn known_arms(&self) -> usize {
        self.places.len()
    }

    pub(super) fn arm_mut(&mut self, slot: u32, id: u64) -> Option<&mut ArmState> {
        self.arms.get_mut(slot as usize).filter(|a| a.id == id)
    }

    /// Whether rewards are reported. Until the first one, that a call succeeded is its reward.
    pub(super) const fn rewarded(&self) -> bool {
        self.rewarded
    }

    /// What a new arm's reward is expected to be: what those of others were at first, and where all that is to
    /// be known is whether calls succeed, that they do.
    pub(super) const fn expected_of_new(&self) -> f64 {
        if self.rewarded { self.early.0 } else { 1.0 }
    }

    /// Looks at a task: the scale of features may change, and then what is known with it.
    pub(super) fn see(&mut self, features: &[f64]) {
        if let Some(to) = self.scale.see(features) {
            if self.clock <= FIRST_REWARDS {
                self.learn_again();
            } else {
                self.rebase(&to);
            }
        }
        self.scale.point(features, &mut self.point);
    }

    #[cold]
    fn rebase(&mut self, to: &Rebase) {
        for belief in self.arms.iter_mut().filter_map(|a| a.belief.as_mut()) {
            belief.rebase(to);
        }
    }

    /// Learns the first rewards again, with what is known by now of the scale of features, of how rewards
    /// scatter and of what arms are like (empirical Bayes): guesses made for the first ones would bias what
    /// is thought of arms for long.
    #[cold]
    fn learn_again(&mut self) {
        self.unlearn();
        let first = std::mem::take(&mut self.first);
        for observed in &first {
            self.absorb(observed.slot, observed.id, &observed.features, observed.reward);
        }
        self.first = first;
    }

    fn unlearn(&mut self) {
        for arm in &mut self.arms {
            arm.belief = None;
        }
        self.noise.doubt();
        self.early = (0.5, 1.0);
        self.clock = 0;
    }

    /// A reward that the host reports.
    pub(super) fn reward(&mut self, slot: u32, id: u64, features: &[f64], reward: f64) {
        if !self.rewarded {
            // From here rewards mean something else than that a call succeeded.
            self.rewarded = true;
            self.first = Vec::new();
            self.unlearn();
            self.noise = Noise::of_rewards();
        }
        self.learn(slot, id, features, reward);
    }

    /// A call succeeded: a reward where the host reports none.
    pub(super) fn succeeded(&mut self, slot: u32, id: u64, features: &[f64]) {
        if !self.rewarded {
            self.learn(slot, id, features, 1.0);
        }
    }

    /// Learns a reward from 0 to 1.
    pub(super) fn learn(&mut self, slot: u32, id: u64, features: &[f64], reward: f64) {
        if !self.absorb(slot, id, features, reward) {
            return;
        }
        if self.clock > FIRST_REWARDS {
            self.first = Vec::new();
            return;
        }
        self.first.push(Observed { slot, id, features: features.to_vec(), reward });
        if self.clock >= 8 && self.clock.is_power_of_two() {
            self.learn_again();
        }
    }

    fn absorb(&mut self, slot: u32, id: u64, features: &[f64], reward: f64) -> bool {
        let (size, new) = (self.scale.size(), self.expected_of_new());
        let Some(arm) = self.arms.get_mut(slot as usize).filter(|a| a.id == id) else {
            return false;
        };
        self.clock += 1;
        let belief = arm
            .belief
            .get_or_insert_with(|| Box::new(Belief::new(size, new, &self.noise, self.clock)));
        if belief.rewards() < EARLY_REWARDS {
            self.early.1 += 1.0;
            self.early.0 += (reward - self.early.0) / self.early.1;
        }
        self.scale.point(features, &mut self.point);
        belief.learn(&self.point, reward, &mut self.noise, self.clock, &mut self.scratch);
        true
    }

    /// A call took that long, in nanoseconds; of one that failed it is known that it takes no less.
    pub(super) fn took(&mut self, slot: u32, id: u64, nanos: u64, failed: bool) {
        let clock = self.decisions;
        let Some(arm) = self.arms.get_mut(slot as usize).filter(|a| a.id == id) else { return };
        let value = super::latency::log2(nanos as f64);
        let usual = self.usual.0;
        let level = arm.pace.as_ref().map_or(usual, Pace::level);
        if failed && value <= level {
            return;
        }
        self.usual.1 = (self.usual.1 + 1.0).min(256.0);
        self.usual.0 += (value - self.usual.0) / self.usual.1;
        match &mut arm.pace {
            Some(pace) => pace.learn(value, &mut self.pace_noise, clock),
            None => arm.pace = Some(Pace::new(value, self.usual.0, &self.pace_noise, clock)),
        }
    }
}
