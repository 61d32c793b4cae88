//! What a tuner knows of the setting in use, and when that no longer holds.

use std::time::Duration;

use super::evidence::Evidence;
use super::machine::{Phase, STRANGE, Tuner, window};
use crate::base::time::Moment;
use crate::tune::{Direction, Optimiser, Setting};

/// After a broken guard-rail it rests for so many times as long.
const AFTER_A_BREAK: u32 = 10;

impl Tuner {
    /// How the setting in use does now.
    pub(super) fn follow(&mut self, loss: f64) {
        self.level = Some(loss);
        let Some(reference) = self.reference else { return };
        let away = (loss - reference).abs();
        // Windows differ by chance, too: four of their standard deviations, once that is known.
        let chance = 4.0 * self.usual.deviation();
        if away > self.policy.drift * reference.abs() && away > chance {
            self.strange += 1;
        } else {
            self.strange = 0;
            self.usual.add(loss);
        }
    }

    /// The setting in use has this loss, now that it comes into use.
    pub(super) fn refer(&mut self, loss: f64) {
        (self.reference, self.level) = (Some(loss), Some(loss));
        (self.usual, self.strange) = (Evidence::default(), 0);
    }

    /// Forgets what was learned when the world is another one: two windows in a row were far from what they should be.
    pub(super) fn drifted(&mut self, now: Moment) -> bool {
        if self.strange < STRANGE {
            return false;
        }
        self.drifts += 1;
        self.restart_search();
        self.phase = Phase::Learning(window(&self.policy, now, false));
        // What was better once may be so again.
        self.until_recheck = 1;
        true
    }

    pub(super) fn restart(&mut self, now: Moment) {
        self.envelope.clear();
        self.units = None;
        self.figures.another_in_use();
        self.restart_search();
        self.phase = Phase::Learning(window(&self.policy, now, true));
    }

    pub(super) fn restart_search(&mut self) {
        let seed = self.policy.seed.wrapping_add(self.trials).wrapping_add(1);
        self.optimiser = Optimiser::new(self.space.clone(), Direction::Minimise, seed);
        // What is worth a try may be so again.
        self.said.clear();
        (self.offset, self.reference, self.strange) = (0.0, None, 0);
    }

    /// Rests after a trial; where the knobs moved at its end, until that has taken effect at least, so that no trial is told what the one
    /// before it did. After a break what is in use is seen for a window first, to hold its guard-rails.
    pub(super) fn rest(&mut self, now: Moment, moved: bool, broke: bool) {
        let pause = Duration::from_millis(self.policy.cool_down_ms);
        let seen = window(&self.policy, now, moved);
        let (pause, least) = match broke {
            true => (pause.saturating_mul(AFTER_A_BREAK), seen.until()),
            false => (pause, seen.from()),
        };
        self.phase = Phase::Resting((now + pause).max(least), seen);
    }

    pub(super) fn remember_margins(&mut self, setting: &Setting, margins: &[f64]) {
        let Some(units) = &self.units else { return };
        // Of a metric that is best at its bound (no errors at all) it is only known on which side it was.
        let relative = |(margin, unit): (&f64, &f64)| match *unit > 0.0 {
            true => margin / unit,
            false => {
                if *margin >= 0.0 {
                    1.0
                } else {
                    -1.0
                }
            }
        };
        self.envelope.observe(setting, margins.iter().zip(units).map(relative).collect());
    }
}
