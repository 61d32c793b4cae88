//! What a season adds, taken out before changes are looked for: [`Season`].

use crate::base::time::Timestamp;
use crate::monitor::season::{Profile, Rest, Rounds, Turn};

/// The season of a series, if any.
#[derive(Clone, Debug)]
pub(super) enum Season {
    None,
    /// Of a period that was told.
    Told(Profile),
    /// One that is found by itself.
    Found(Rounds),
}

/// What is left of a value.
pub(super) enum Without {
    /// What is usual is not known yet.
    Learns,
    Value(f64),
    /// Another season is known than before: what is left of the last values, this one included.
    Anew(Vec<f64>),
}

impl Season {
    /// `share`: see [`Rounds::new`].
    pub(super) fn new(period: Option<u32>, share: f64) -> Self {
        match period {
            Some(0) => Self::None,
            Some(period) => Self::Told(Profile::new(period as usize)),
            None => Self::Found(Rounds::new(share)),
        }
    }

    /// The next value without what the season adds to the level.
    pub(super) fn without(&mut self, at: Timestamp, value: f64) -> Without {
        match self {
            Self::None => Without::Value(value),
            Self::Told(profile) => match profile.take(value) {
                None => Without::Learns,
                Some(rest) => Without::Value(rest.value()),
            },
            Self::Found(rounds) => match rounds.take(at, value) {
                Turn::None => Without::Value(value),
                Turn::Rest(rest) => Without::Value(rest.value()),
                Turn::Found(rests) => Without::Anew(rests.into_iter().map(Rest::value).collect()),
                Turn::Lost => Without::Anew(vec![value]),
            },
        }
    }

    /// The level has changed by so much, so many points ago: that is not the season's.
    pub(super) fn shift(&mut self, by: f64, points: usize) {
        match self {
            Self::None => {}
            Self::Told(profile) => profile.shift(by, points),
            Self::Found(rounds) => rounds.shift(by, points),
        }
    }
}
