//! The ensemble: figures that are each unusual in another kind of anomaly, and how unusual they are.

use super::calendar::Week;
use super::centre::{Centre, Late, Recent, Window};
use super::context::{Contexts, LENGTH, Shapes};
use super::entropy::{self, Entropy};
use super::regress::Regression;
use super::seasonal::{Season, Seasonal};
use super::tail::Tails;
use super::tuning::{EXPONENT, SPAN, TOGETHER, USUAL};
use crate::base::time::Timestamp;

/// Parts of the ensemble.
pub(super) const PARTS: usize = 16;

/// One part of the ensemble: which figure it watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The value against the one before.
    Step = 0,
    /// The value against what a linear regression expects.
    Expected,
    /// The value against the level of about the last 40.
    Near,
    /// The mean of the last 8, 32 and 128 values against the usual level.
    Mean8,
    Mean32,
    Mean128,
    /// How much the last 16 and 64 values move, against how much they usually do.
    Motion16,
    Motion64,
    /// The value against what is usual at this time of the week.
    Week,
    /// The distance of the last eight values from any eight of the past.
    Shape,
    /// How unexpected the last ten values are, each after the levels before it.
    Context,
    /// How the last 48 values are distributed, and the steps between them.
    Values,
    Steps,
    /// The value against what is usual at this time of the season, and the means of that over the last 8 and 32.
    Season,
    Season8,
    Season32,
}

/// All of them, in order.
pub(super) const ALL: [Part; PARTS] = [
    Part::Step,
    Part::Expected,
    Part::Near,
    Part::Mean8,
    Part::Mean32,
    Part::Mean128,
    Part::Motion16,
    Part::Motion64,
    Part::Week,
    Part::Shape,
    Part::Context,
    Part::Values,
    Part::Steps,
    Part::Season,
    Part::Season8,
    Part::Season32,
];

/// Those that say nothing as long as no season is known.
const SEASONAL: [Part; 3] = [Part::Season, Part::Season8, Part::Season32];

impl Part {
    /// Values that its figure is taken over: figures so many points apart are independent of one another.
    fn window(self) -> usize {
        match self {
            Self::Step | Self::Expected | Self::Near | Self::Week | Self::Season => 1,
            Self::Mean8 | Self::Season8 => 8,
            Self::Mean32 | Self::Season32 => 32,
            Self::Mean128 => 128,
            Self::Motion16 => 16,
            Self::Motion64 => 64,
            Self::Shape => LENGTH,
            Self::Context => LASTING,
            Self::Values | Self::Steps => entropy::WINDOW,
        }
    }
}

/// Values whose being unexpected is summed up: one alone is often enough.
const LASTING: usize = 10;

/// The least difference that is taken for one, as a share of the values.
const GRAIN: f64 = 1e-11;

/// Parts whose figures are part of the past when their windows are.
const LATE: [Part; 5] = [Part::Mean128, Part::Motion16, Part::Motion64, Part::Values, Part::Steps];

/// Windows that must be past before a mean over one is judged by them.
const WINDOWS: usize = 16;

/// What the parts say of a point: −log₁₀ of how unlikely it is, each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said([f64; PARTS]);

impl Said {
    /// What a part says, as a share of what is rare in noise.
    pub(super) fn of(&self, part: Part) -> f64 {
        let at = part as usize;
        self.0.get(at).zip(USUAL.get(at)).map_or(0.0, |(said, usual)| said / usual)
    }

    /// What they say together: 1 and more is an alarm. The power mean lets what one part is sure of stand, and
    /// what several see count for more.
    pub(super) fn together(&self) -> f64 {
        let sum: f64 = ALL.iter().map(|part| self.of(*part).powi(EXPONENT)).sum();
        sum.powf(1.0 / f64::from(EXPONENT)) / TOGETHER
    }

    /// The part that says most, and how much.
    pub(super) fn loudest(&self) -> (Part, f64) {
        let louder = |best: (Part, f64), part: &Part| {
            let said = self.of(*part);
            if said > best.1 { (*part, said) } else { best }
        };
        ALL.iter().fold((Part::Step, 0.0), louder)
    }

    fn set(&mut self, part: Part, said: f64) {
        if let Some(place) = self.0.get_mut(part as usize) {
            *place = said;
        }
    }
}

/// The state of all parts.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    seen: usize,
    last: f64,
    level: Centre,
    near: Centre,
    motion: Centre,
    values: Recent,
    motions: Recent,
    means: [Window; 3],
    late: [Late; 5],
    moved: [Window; 2],
    regression: Regression,
    week: Week,
    contexts: Contexts,
    unexpected: Recent,
    entropies: [Entropy; 2],
    shapes: Shapes,
    seasonal: Seasonal,
    tails: Box<[Tails]>,
}

impl Parts {
    /// `share`: see [`Seasonal::new`].
    pub(super) fn new(share: f64) -> Self {
        Self {
            seen: 0,
            last: 0.0,
            level: Centre::new(SPAN),
            near: Centre::new(40.0),
            motion: Centre::new(SPAN),
            values: Recent::new(129),
            motions: Recent::new(65),
            means: [Window::new(8), Window::new(32), Window::new(128)],
            late: LATE.map(|part| Late::new(part.window())),
            moved: [Window::new(16), Window::new(64)],
            regression: Regression::new(),
            week: Week::new(),
            contexts: Contexts::new(),
            unexpected: Recent::new(LASTING),
            entropies: [Entropy::new(), Entropy::new()],
            shapes: Shapes::new(),
            seasonal: Seasonal::new(share),
            tails: ALL.map(|part| Tails::new(part.window())).into(),
        }
    }

    /// The usual level.
    pub(super) fn level(&self) -> &Centre {
        &self.level
    }

    /// The level of the last few values.
    pub(super) fn near(&self) -> &Centre {
        &self.near
    }

    /// How much a value mostly differs from the one before.
    pub(super) fn motion(&self) -> f64 {
        self.motion.mean()
    }

    /// How far the last value is from the usual level, in deviations.
    pub(super) fn distance(&self) -> f64 {
        let deviation = self.level.deviation();
        if deviation > 0.0 { (self.last - self.level.mean()).abs() / deviation } else { 0.0 }
    }

    /// Whether the mean of the last 32 values is farther from the usual level than values mostly are.
    pub(super) fn has_shifted(&self) -> bool {
        let mean = self.values.sum(32) / 32.0;
        self.seen >= 32 && (mean - self.level.mean()).abs() > self.level.deviation()
    }

    /// The last 129 values.
    pub(super) fn values(&self) -> &Recent {
        &self.values
    }

    /// The series without its season.
    pub(super) fn seasonal(&self) -> &Seasonal {
        &self.seasonal
    }

    /// What the parts say of the next value, which is finite and of moderate size; then it is part of the past.
    pub(super) fn feed(&mut self, at: Timestamp, value: f64) -> Said {
        let mut said = Said::default();
        let first = self.seen == 0;
        let before = if first { value } else { self.last };
        if first {
            self.level.add(value);
            self.near.add(value);
        }
        let (mean, deviation) = (self.level.mean(), self.level.deviation());
        // Less than this is an error of rounding, which would differ from unit to unit.
        let grain = GRAIN * (value.abs() + mean.abs());
        let varies = deviation > grain;
        let scale = deviation.max(grain).max(1e-300);
        let grained = |figure: f64| if figure.abs() > grain { figure } else { 0.0 };
        let scaled = |value: f64| ((value - mean) / scale).clamp(-50.0, 50.0);
        self.say(&mut said, Part::Step, Some(value - before));
        self.say(&mut said, Part::Near, Some(grained(value - self.near.mean())));

        let lags = std::array::from_fn(|age| match self.seen > 8 {
            true => scaled(self.values.back(age)).clamp(-8.0, 8.0),
            false => 0.0,
        });
        let error = if varies { self.regression.feed(lags, scaled(value)) } else { 0.0 };
        self.say(&mut said, Part::Expected, Some(grained(error * scale)));
        let far = self.week.feed(at, value, grain);
        self.say(&mut said, Part::Week, far);
        self.feed_season(&mut said, at, value, grain);
        if varies {
            let motion = self.motion.mean().max(grain).max(1e-300);
            let step = (grained(value - before) / motion).clamp(-50.0, 50.0);
            self.feed_cells(&mut said, scaled(value), step);
        }

        self.seen += 1;
        self.values.push(value);
        let moved = (value - before).abs();
        self.motions.push(moved);
        let usual = mean.abs() + deviation;
        for (i, part) in [Part::Mean8, Part::Mean32, Part::Mean128].into_iter().enumerate() {
            let slid = |w: &mut Window| w.slide(&self.values, usual, self.seen);
            let now = self.means.get_mut(i).and_then(slid);
            let far = now.map(|now| grained(now - mean));
            if part == Part::Mean128 {
                self.say_late(&mut said, part, far);
            } else {
                self.say(&mut said, part, far);
            }
        }
        for (i, part) in [Part::Motion16, Part::Motion64].into_iter().enumerate() {
            let usual = self.motion.mean();
            let slid = |w: &mut Window| w.slide(&self.motions, usual, self.seen);
            let now = self.moved.get_mut(i).and_then(slid);
            let now = now.filter(|_| usual > 0.0);
            let ratio = now.map(|now| (now.max(0.0) / usual + 1e-3).ln());
            self.say_late(&mut said, part, ratio);
        }
        if self.seen > 20 && varies {
            let shape: [f32; LENGTH] =
                std::array::from_fn(|age| scaled(self.values.back(age)) as f32);
            let distance = self.shapes.feed(shape);
            self.say(&mut said, Part::Shape, distance);
        }
        if !first {
            self.level.add(value);
            self.near.add(value);
            self.motion.add(moved);
        }
        self.last = value;
        said
    }

    /// The parts that hold a value against what is usual at its time of the season. When another season is found they learn anew, from
    /// what they would have seen. What is not above `grain` is rounding.
    fn feed_season(&mut self, said: &mut Said, at: Timestamp, value: f64, grain: f64) {
        let grained = |figure: f64| if figure.abs() > grain { figure } else { 0.0 };
        match self.seasonal.take(at, value) {
            Season::Unknown => {}
            Season::Figures(figures) => {
                for (part, figure) in SEASONAL.into_iter().zip(figures) {
                    self.say(said, part, figure.map(grained));
                }
            }
            Season::Anew(past) => {
                for (i, part) in SEASONAL.into_iter().enumerate() {
                    let Some(tails) = self.tails.get_mut(part as usize) else { continue };
                    *tails = Tails::new(part.window());
                    let figures = past.iter().filter_map(|figures| *figures.get(i)?);
                    figures.for_each(|figure| tails.add(grained(figure)));
                }
            }
        }
    }

    /// The parts that take values and steps for one of some levels. Both are in deviations.
    fn feed_cells(&mut self, said: &mut Said, value: f64, step: f64) {
        self.unexpected.push(self.contexts.feed(value));
        let lasting = self.unexpected.sum(LASTING);
        self.say(said, Part::Context, Some(lasting));
        let [values, steps] = &mut self.entropies;
        let (values, steps) = (values.feed(value), steps.feed(step));
        self.say_late(said, Part::Values, values);
        self.say_late(said, Part::Steps, steps);
    }

    /// Lets a part say how unusual a figure is.
    fn say(&mut self, said: &mut Said, part: Part, figure: Option<f64>) {
        let tails = figure.zip(self.tails.get_mut(part as usize));
        said.set(part, tails.map_or(0.0, |(figure, tails)| tails.feed(figure)));
    }

    /// As [`say`](Self::say) of a figure over a window: it is part of the past when the window is, so that a slow
    /// change is not taken for usual by its own beginning.
    fn say_late(&mut self, said: &mut Said, part: Part, figure: Option<f64>) {
        let Some(figure) = figure else { return };
        let mut late = LATE.iter().zip(&mut self.late);
        let Some((_, late)) = late.find(|(late, _)| **late == part) else { return };
        let Some(tails) = self.tails.get_mut(part as usize) else { return };
        if late.handed() >= WINDOWS * late.count() {
            said.set(part, tails.surprise(figure));
        }
        if let Some(due) = late.push(figure) {
            tails.add(due);
        }
    }
}
