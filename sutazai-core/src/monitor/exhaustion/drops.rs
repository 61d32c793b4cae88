//! Restarts: where a series falls back within a step: [`Drops`].

use std::collections::VecDeque;

/// Points that are looked at together, and how many of them stand before the place in question.
const LOOK: usize = 8;
const BEFORE: usize = 5;

/// Usual steps that a drop is, at least.
const STEPS: f64 = 8.0;

/// The share of the way from the last restart to the limit that a drop is, at least.
const PART: f64 = 0.02;

/// The share of the rise since the last restart that a drop is, at least.
const RISE: f64 = 0.25;

/// The share of a drop that happens in one step.
const SHARP: f64 = 0.7;

/// Memory of the usual step, in points.
const MEMORY: f64 = 200.0;

/// Rounds that are remembered.
const ROUNDS: usize = 16;

/// From one restart to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// When it ended, in seconds.
    pub at: f64,
    /// The value after the restart before it.
    pub trough: f64,
    /// The value before the restart at its end.
    pub peak: f64,
}

/// Finds drops, and knows the series without them.
#[derive(Clone, Debug, Default)]
pub(super) struct Drops {
    recent: VecDeque<(f64, f64)>,
    /// What all drops come to.
    lost: f64,
    trough: Option<f64>,
    /// By how much it has jumped up since.
    jumped: f64,
    step: f64,
    steps: f64,
    rounds: VecDeque<Round>,
}

impl Drops {
    /// Takes a point; hands back one from some points ago, with what was lost before it added.
    pub(super) fn feed(&mut self, at: f64, value: f64, limit: f64) -> Option<(f64, f64)> {
        if let Some((_, last)) = self.recent.back() {
            let step = (value - last).abs();
            self.steps = (self.steps + 1.0).min(MEMORY);
            let step = if self.steps > 20.0 { step.min(4.0 * self.step) } else { step };
            self.step += (step - self.step) / self.steps;
        }
        self.recent.push_back((at, value));
        if self.recent.len() < LOOK {
            return None;
        }
        let values: Vec<f64> = self.recent.iter().map(|(_, value)| *value).collect();
        let (before, after) = values.split_at(BEFORE);
        let ((at, last), next) = (*self.recent.get(BEFORE - 1)?, *after.first()?);
        let given = (at, last + self.lost);
        self.trough.get_or_insert(last);
        // What comes before is what it was near the place, so that a steep rise is not cut short.
        let (high, low) = (median(before.get(2..).unwrap_or(before)), median(after));
        let trough = self.trough.unwrap_or(low);
        let least = (STEPS * self.step).max(PART * (limit - trough)).max(RISE * (high - trough));
        let (drop, sharp) = (high - low, last - next);
        if drop > least && sharp >= SHARP * drop {
            // What had jumped up, and falls back, was no growth.
            let lost = (sharp - self.jumped).max(0.0);
            self.jumped = (self.jumped - sharp).max(0.0);
            self.lost += lost;
            if lost > 0.5 * sharp {
                self.rounds.push_back(Round { at, trough, peak: high.max(last) });
                if self.rounds.len() > ROUNDS {
                    self.rounds.pop_front();
                }
                self.trough = Some(low);
            }
        } else if -drop > least && -sharp >= SHARP * -drop {
            self.jumped -= sharp;
        }
        self.recent.pop_front();
        Some(given)
    }

    /// What all drops come to so far.
    pub(super) fn lost(&self) -> f64 {
        self.lost
    }

    /// The rounds that have ended.
    pub(super) fn rounds(&self) -> &VecDeque<Round> {
        &self.rounds
    }

    /// The median of the last values, which the points handed back do not have yet.
    pub(super) fn now(&self) -> f64 {
        let values: Vec<f64> = self.recent.iter().rev().take(3).map(|(_, value)| *value).collect();
        median(&values)
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}
