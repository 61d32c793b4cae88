//! What kind of anomaly it is, as far as that can be told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::centre::Recent;
use super::parts::{Part, Parts, Said};

/// What kind of anomaly it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyKind {
    /// A value far from what was to be expected.
    Spike,
    /// The level has changed at once, and stays.
    LevelShift,
    /// The level changes little by little.
    Drift,
    /// Values vary more, or less, than they did.
    VarianceChange,
    /// A value that would be usual at another time of the day or of the week.
    SeasonalBreak,
    /// Values have stopped to change.
    FlatLine,
    /// Points have not come, or are not numbers.
    MissingData,
    /// Values follow one another as they have not before, and more can not be told.
    Pattern,
}

/// Equal values in a row that make a flat line, at least.
const FLAT: u32 = 8;

/// How far from the usual level values may be, in mean deviations, to be within the usual range.
const WITHIN: f64 = 3.0;

/// Points after an alarm in which its kind may become clearer.
const FOLLOWED: u32 = 16;

/// Points that a new level must have held to be one.
const HELD: u32 = 8;

/// Points after an alarm in which a break of a season is followed, at most: over a whole round a new level holds, and everything else
/// about the season does not.
const ROUND: u32 = 2_000;

/// By how many of what they differ values of a round are off their season together, at least, where the level has moved.
const TOGETHER: f64 = 2.0;

/// Names a new anomaly. `run` values in a row were equal, `longest` in any run before.
pub(super) fn name(said: &Said, parts: &Parts, run: u32, longest: u32) -> AnomalyKind {
    if run >= FLAT && run > longest {
        return AnomalyKind::FlatLine;
    }
    let (part, most) = said.loudest();
    // Usual at some time, but not at this one.
    let timely = said.of(Part::Week).max(said.of(Part::Season)) < 0.7 * most;
    match part {
        Part::Week | Part::Season if parts.distance() < WITHIN => AnomalyKind::SeasonalBreak,
        Part::Week | Part::Season => AnomalyKind::Spike,
        Part::Step | Part::Expected | Part::Near if !timely && parts.distance() < WITHIN => {
            AnomalyKind::SeasonalBreak
        }
        Part::Step | Part::Expected | Part::Near => AnomalyKind::Spike,
        // Whether it is the level that has moved, a round will tell.
        Part::Season8 | Part::Season32 if parts.distance() < WITHIN => AnomalyKind::SeasonalBreak,
        Part::Season8 | Part::Season32 => {
            shift_or_drift(parts.seasonal().rests().unwrap_or(parts.values()))
        }
        Part::Mean8 | Part::Mean32 | Part::Mean128 => shift_or_drift(parts.values()),
        Part::Values if parts.has_shifted() => shift_or_drift(parts.values()),
        Part::Motion16 | Part::Motion64 | Part::Values | Part::Steps => AnomalyKind::VarianceChange,
        // A value far outside is also a context and a shape that have not been.
        Part::Shape | Part::Context if parts.distance() > 2.0 * WITHIN => AnomalyKind::Spike,
        Part::Shape | Part::Context => AnomalyKind::Pattern,
    }
}

/// A level that has changed within a few points, or over many. Compared are the means of the last eight blocks of 16,
/// of which the change takes up some.
fn shift_or_drift(values: &Recent) -> AnomalyKind {
    let means: [f64; 8] = std::array::from_fn(|block| mean(values, block * 16, 16));
    let (low, high) = means
        .iter()
        .fold((f64::MAX, f64::MIN), |(low, high), mean| (low.min(*mean), high.max(*mean)));
    // A change within a block is seen whole from the one before to the one after it.
    let jump = means.iter().zip(means.iter().skip(2)).map(|(a, b)| (a - b).abs());
    let jump = jump.fold(0.0, f64::max);
    if jump > 0.75 * (high - low) { AnomalyKind::LevelShift } else { AnomalyKind::Drift }
}

fn mean(values: &Recent, from: usize, count: usize) -> f64 {
    (from..from + count).map(|age| values.back(age)).sum::<f64>() / count as f64
}

/// An anomaly of which more may become known.
#[derive(Clone, Debug)]
pub(super) struct Follow {
    kind: AnomalyKind,
    points: u32,
    /// Whether levels are those of the series without its season.
    seasonal: bool,
    /// The level before, the deviation there, and how much values moved.
    before: f64,
    deviation: f64,
    motion: f64,
    /// How far values have been off the season since, and the squares of that.
    off: f64,
    squares: f64,
}

impl Follow {
    /// Follows one that begins now.
    pub(super) fn new(kind: AnomalyKind, parts: &Parts) -> Self {
        let seasonal = parts.seasonal().rests().is_some();
        let near = if seasonal { parts.seasonal().near() } else { parts.near() };
        let (before, deviation) = (near.mean(), near.deviation());
        let (off, squares, motion) = (0.0, 0.0, parts.motion());
        Self { kind, points: 0, seasonal, before, deviation, motion, off, squares }
    }

    /// What it is now, another point having come; nothing when it is over.
    pub(super) fn next(&mut self, parts: &Parts) -> Option<AnomalyKind> {
        self.points += 1;
        if self.points > FOLLOWED {
            return self.over_a_round(parts);
        }
        let single = matches!(self.kind, AnomalyKind::Spike | AnomalyKind::Pattern);
        let values = parts.values();
        let levels = if self.seasonal { parts.seasonal().rests() } else { Some(values) };
        if single && self.points >= HELD && levels.is_some_and(|levels| self.has_held(levels)) {
            self.kind = AnomalyKind::LevelShift;
        }
        let unclear = single || self.kind == AnomalyKind::SeasonalBreak;
        if unclear && self.points == FOLLOWED && self.moves_otherwise(values) {
            self.kind = AnomalyKind::VarianceChange;
        }
        Some(self.kind)
    }

    /// What a break of the season is, a round having passed; nothing when it is over.
    fn over_a_round(&mut self, parts: &Parts) -> Option<AnomalyKind> {
        let round = u32::try_from(parts.seasonal().period()?).unwrap_or(u32::MAX).min(ROUND);
        let breaks = self.seasonal && self.kind == AnomalyKind::SeasonalBreak;
        if !breaks || self.points > round.max(FOLLOWED) {
            return None;
        }
        let off = parts.seasonal().rests()?.back(0) - self.before;
        self.off += off;
        self.squares += off * off;
        let count = f64::from(self.points - FOLLOWED);
        if self.points == round {
            let mean = self.off / count;
            let differ = (self.squares / count - mean * mean).max(0.0).sqrt();
            if mean.abs() > TOGETHER * differ && mean.abs() > self.deviation {
                self.kind = AnomalyKind::LevelShift;
            }
        }
        Some(self.kind)
    }

    /// Whether the last values have all been on one side of where they were.
    fn has_held(&self, values: &Recent) -> bool {
        let least = 2.0 * self.deviation;
        let far = |age: u32| values.back(age as usize) - self.before;
        let side = far(0).signum();
        (0..HELD).all(|age| far(age) * side > least)
    }

    /// Whether values have mostly moved twice as much as before since the alarm, or half as much; the first two, in which a
    /// spike comes and goes, do not count.
    fn moves_otherwise(&self, values: &Recent) -> bool {
        let moved = |age: usize| (values.back(age) - values.back(age + 1)).abs();
        let mut moved: [f64; FOLLOWED as usize - 2] = std::array::from_fn(moved);
        moved.sort_by(f64::total_cmp);
        // The median of what moves normally is 0.85 of its mean.
        let median = moved.get(moved.len() / 2).copied().unwrap_or(0.0) / 0.85;
        self.motion > 0.0 && !(0.5..2.0).contains(&(median / self.motion))
    }
}
