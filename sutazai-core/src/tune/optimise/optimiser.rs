//! Ask and tell: [`Optimiser`].

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::engine::{Engine, Limits, Source};
use super::knob::Setting;
use super::region::Bounds;
use super::space::Space;
use crate::{Code, Error, Result};

/// Suggestions that may be waiting for their results; the oldest is forgotten when there are more.
const PENDING: usize = 64;

/// What is better.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Less is better.
    #[default]
    Minimise,
    /// More is better.
    Maximise,
}

impl Direction {
    /// The value as one of which less is better, and back.
    pub(in crate::tune) fn loss(self, value: f64) -> f64 {
        match self {
            Self::Minimise => value,
            Self::Maximise => -value,
        }
    }
}

/// What came of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrialResult {
    /// It gave this value of the objective; one that is not finite counts as failed.
    Measured(f64),
    /// It gave none: the setting did not work.
    Failed,
}

/// Why a setting was suggested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SuggestionCause {
    /// It is what the knobs are set to now: something to compare with.
    Current,
    /// It spreads the trials evenly, while there are too few for a model.
    Spread,
    /// The model expects the largest improvement of it.
    Improvement,
    /// Nothing else that is allowed is left to try than the best setting known.
    Best,
}

/// A setting to try.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Suggestion {
    /// To tell the result by.
    pub id: u64,
    /// What to set the knobs to.
    pub setting: Setting,
    /// Why.
    pub cause: SuggestionCause,
}

/// Searches for the best setting of some knobs, trial by trial.
///
/// The same seed and the same results give the same suggestions. It remembers a hundred trials, those that matter where it
/// searches, and 64 suggestions without a result, however many there were.
#[derive(Clone, Debug)]
pub struct Optimiser {
    space: Space,
    direction: Direction,
    engine: Engine,
    pending: VecDeque<(u64, Vec<f64>)>,
    asked: u64,
    told: u64,
}

impl Optimiser {
    /// A search from scratch; the first suggestion is what the knobs are set to now.
    pub fn new(space: Space, direction: Direction, seed: u64) -> Self {
        let engine = Engine::new(space.coordinates(), seed);
        Self { space, direction, engine, pending: VecDeque::new(), asked: 0, told: 0 }
    }

    /// The next setting to try, anywhere in the space.
    pub fn ask(&mut self) -> Suggestion {
        let d = self.space.coordinates();
        let bounds = Bounds { low: vec![0.0; d], high: vec![1.0; d] };
        self.ask_within(&bounds, &|x| vec![true; x.len() / d])
    }

    /// The next setting to try within `bounds`, where `safe` says so of each of some points.
    pub(in crate::tune) fn ask_within(
        &mut self,
        bounds: &Bounds,
        safe: &dyn Fn(&[f64]) -> Vec<bool>,
    ) -> Suggestion {
        let (x, cause) = if self.told == 0 && self.pending.is_empty() {
            (self.space.encode(&self.space.current()), SuggestionCause::Current)
        } else {
            let pending: Vec<Vec<f64>> = self.pending.iter().map(|p| p.1.clone()).collect();
            let snap = |x: &mut [f64]| self.space.snap(x);
            let limits = Limits { bounds, snap: &snap, safe, pending: &pending };
            let (x, source) = self.engine.propose(&limits);
            let cause = match source {
                Source::Design => SuggestionCause::Spread,
                Source::Model => SuggestionCause::Improvement,
                Source::Best => SuggestionCause::Best,
            };
            (x, cause)
        };
        self.asked += 1;
        let setting = match cause {
            SuggestionCause::Current => self.space.current(),
            _ => self.space.decode(&x),
        };
        self.pending.push_back((self.asked, x));
        if self.pending.len() > PENDING {
            self.pending.pop_front();
        }
        Suggestion { id: self.asked, setting, cause }
    }

    /// The result of a suggestion.
    ///
    /// # Errors
    /// [`Code::INVALID`] when there is no such suggestion without a result.
    pub fn tell(&mut self, id: u64, result: TrialResult) -> Result<()> {
        let Some(i) = self.pending.iter().position(|p| p.0 == id) else {
            return Err(Error::new(Code::INVALID, "no such suggestion waits for a result")
                .operation("tune.tell")
                .with("id", id));
        };
        if let Some((_, x)) = self.pending.remove(i) {
            self.learn(x, result);
        }
        Ok(())
    }

    /// The result of a setting that was not suggested.
    ///
    /// # Errors
    /// [`Code::INVALID`] when the setting is not one of the space's.
    pub fn observe(&mut self, setting: &Setting, result: TrialResult) -> Result<()> {
        self.space.check(setting)?;
        self.learn(self.space.encode(setting), result);
        Ok(())
    }

    /// Gives a suggestion up without a result.
    pub fn abandon(&mut self, id: u64) {
        self.pending.retain(|p| p.0 != id);
    }

    fn learn(&mut self, x: Vec<f64>, result: TrialResult) {
        self.told += 1;
        let y = match result {
            TrialResult::Measured(y) => Some(self.direction.loss(y)),
            TrialResult::Failed => None,
        };
        self.engine.observe(x, y);
    }

    /// The best setting of which the result is remembered, and its result. Of a noisy objective it is the luckiest one: measure it again.
    pub fn best(&self) -> Option<(Setting, f64)> {
        let (x, y) = self.engine.best()?;
        Some((self.space.decode(x), self.direction.loss(y)))
    }

    /// The knobs.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Results told so far.
    pub fn told(&self) -> u64 {
        self.told
    }

    /// Results that are remembered, 100 at most.
    pub fn remembered(&self) -> usize {
        self.engine.len()
    }

    /// The side of the part of the box around the best point that is searched now, as a share of the box.
    pub fn radius(&self) -> f64 {
        self.engine.side()
    }
}
