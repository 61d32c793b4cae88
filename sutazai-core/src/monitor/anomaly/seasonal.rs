//! Values beside what is usual at their time of a season that is found by itself: [`Seasonal`].

use super::centre::{Centre, Recent, Window};
use crate::base::time::Timestamp;
use crate::monitor::season::{Rest, Rounds, Turn};

/// Values over which the level of what is left without the season is taken.
const NEAR: f64 = 40.0;

/// Values that are remembered.
const RECENT: usize = 129;

/// How far the last value is off what is usual, and the means of how far the last 8 and 32 are.
pub(super) type Figures = [Option<f64>; 3];

/// What a value came to.
pub(super) enum Season {
    /// No season is known.
    Unknown,
    Figures(Figures),
    /// Another season is known than before, or none: what figures have been by it.
    Anew(Vec<Figures>),
}

/// A series without its season.
#[derive(Clone, Debug)]
pub(super) struct Seasonal {
    rounds: Rounds,
    rests: Recent,
    seen: usize,
    means: [Window; 2],
    near: Centre,
}

impl Seasonal {
    /// `share`: see [`Rounds::new`].
    pub(super) fn new(share: f64) -> Self {
        Self {
            rounds: Rounds::new(share),
            rests: Recent::new(RECENT),
            seen: 0,
            means: [Window::new(8), Window::new(32)],
            near: Centre::new(NEAR),
        }
    }

    /// Takes the next value.
    pub(super) fn take(&mut self, at: Timestamp, value: f64) -> Season {
        match self.rounds.take(at, value) {
            Turn::None => Season::Unknown,
            Turn::Rest(rest) => Season::Figures(self.figures(rest)),
            Turn::Found(rests) => {
                self.clear();
                Season::Anew(rests.into_iter().map(|rest| self.figures(rest)).collect())
            }
            Turn::Lost => {
                self.clear();
                Season::Anew(Vec::new())
            }
        }
    }

    /// The period of the season, in points.
    pub(super) fn period(&self) -> Option<usize> {
        self.rounds.period()
    }

    /// What is left of the last values, where a season has been known for as long as that.
    pub(super) fn rests(&self) -> Option<&Recent> {
        (self.seen >= RECENT).then_some(&self.rests)
    }

    /// The level of that.
    pub(super) fn near(&self) -> &Centre {
        &self.near
    }

    fn clear(&mut self) {
        (self.rests, self.seen) = (Recent::new(RECENT), 0);
        (self.means, self.near) = ([Window::new(8), Window::new(32)], Centre::new(NEAR));
    }

    fn figures(&mut self, rest: Rest) -> Figures {
        self.rests.push(rest.off);
        self.seen = self.seen.saturating_add(1);
        let usual = self.near.mean().abs() + self.near.deviation();
        let (rests, seen) = (&self.rests, self.seen);
        let [mean8, mean32] = &mut self.means;
        let figures =
            [Some(rest.off), mean8.slide(rests, usual, seen), mean32.slide(rests, usual, seen)];
        self.near.add(rest.off);
        figures
    }
}
