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

/// Points after an alarm in which its kind may become clearer.
const FOLLOWED: u32 = 16;

/// Points that a new level must have held to be one.
const HELD: u32 = 8;

/// Names a new anomaly. `run` values in a row were equal, `longest` in any run before.
pub(super) fn name(said: &Said, parts: &Parts, run: u32, longest: u32) -> AnomalyKind {
    if run >= FLAT && run > longest {
        return AnomalyKind::FlatLine;
    }
    let (part, most) = said.loudest();
    match part {
        Part::Level | Part::Step | Part::Expected | Part::Near => AnomalyKind::Spike,
        Part::Mean8 | Part::Mean32 | Part::Mean128 => shift_or_drift(parts),
        Part::Motion16 | Part::Motion64 => AnomalyKind::VarianceChange,
        Part::Day | Part::Week if said.of(Part::Level) > 0.5 * most => AnomalyKind::Spike,
        Part::Day | Part::Week => AnomalyKind::SeasonalBreak,
        Part::Pair | Part::Shape | Part::ExpectedLasting | Part::PairLasting => {
            AnomalyKind::Pattern
        }
    }
}

/// A level that has changed within a few points, or over many. Compared are the means of the last eight blocks of 16.
fn shift_or_drift(parts: &Parts) -> AnomalyKind {
    let values = parts.values();
    let means: [f64; 8] = std::array::from_fn(|block| mean(values, block * 16, 16));
    let far = mean(values, 0, 8) - parts.level().mean();
    // A change within a block is seen whole from the one before to the one after it.
    let jump = means.iter().zip(means.iter().skip(2)).map(|(a, b)| (a - b).abs());
    let jump = jump.fold(0.0, f64::max);
    if jump > 0.6 * far.abs() { AnomalyKind::LevelShift } else { AnomalyKind::Drift }
}

fn mean(values: &Recent, from: usize, count: usize) -> f64 {
    (from..from + count).map(|age| values.back(age)).sum::<f64>() / count as f64
}

/// An anomaly of which more may become known.
#[derive(Clone, Debug)]
pub(super) struct Follow {
    kind: AnomalyKind,
    points: u32,
    /// The level before, and the deviation there.
    before: f64,
    deviation: f64,
}

impl Follow {
    /// Follows one that begins now, after values of this level and deviation.
    pub(super) fn new(kind: AnomalyKind, before: f64, deviation: f64) -> Self {
        Self { kind, points: 0, before, deviation }
    }

    /// What it is now, another point having come; nothing when it is over.
    pub(super) fn next(&mut self, values: &Recent) -> Option<AnomalyKind> {
        self.points += 1;
        if self.points > FOLLOWED {
            return None;
        }
        if self.kind == AnomalyKind::Spike && self.points >= HELD && self.has_held(values) {
            self.kind = AnomalyKind::LevelShift;
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
}
