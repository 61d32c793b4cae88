//! Knobs as a unit box: each is a coordinate from 0 to 1 on its scale, but a choice is one a name, all 0 but one (E. Garrido-Merchán,
//! D. Hernández-Lobato, Neurocomputing 380, 2020, on why the model must see whole numbers as whole).

use super::knob::{Knob, KnobKind, KnobScale, KnobValue, Setting, shown};
use super::region::Bounds;
use crate::{Code, Error, Result};

/// Coordinates that a space may have.
const MOST_COORDINATES: usize = 32;

/// Knobs that are tuned together: 1 to 32 coordinates, of which a choice takes one a name and any other knob one.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    knobs: Vec<Knob>,
    /// Each knob's first coordinate.
    offsets: Vec<usize>,
    coordinates: usize,
}

impl Space {
    /// A space of these knobs.
    ///
    /// # Errors
    /// [`Code::INVALID`] when a knob is not valid, two have one name, or there are none or too many.
    pub fn new(knobs: Vec<Knob>) -> Result<Self> {
        let invalid = |rule: &'static str| {
            Error::new(Code::INVALID, "these knobs cannot be tuned together")
                .operation("tune.space")
                .with("rule", rule)
        };
        let (mut offsets, mut coordinates) = (Vec::new(), 0);
        for (i, knob) in knobs.iter().enumerate() {
            knob.check()?;
            if knobs.iter().take(i).any(|k| k.name == knob.name) {
                return Err(invalid("names must differ").with("knob", shown(&knob.name)));
            }
            offsets.push(coordinates);
            coordinates += match &knob.kind {
                KnobKind::Choice { names } => names.len(),
                _ => 1,
            };
        }
        if !(1..=MOST_COORDINATES).contains(&coordinates) {
            return Err(invalid(
                "1 to 32 coordinates: each knob is one, but a choice one for each name",
            )
            .with("coordinates", coordinates));
        }
        Ok(Self { knobs, offsets, coordinates })
    }

    /// The knobs.
    pub fn knobs(&self) -> &[Knob] {
        &self.knobs
    }

    /// What the knobs were set to when the space was made.
    pub fn current(&self) -> Setting {
        self.knobs.iter().map(|k| (k.name.clone(), k.value.clone())).collect()
    }

    /// Whether a setting has an allowed value for each knob and nothing else.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the knob.
    pub fn check(&self, setting: &Setting) -> Result<()> {
        let wrong = |name: &str, rule: &'static str| {
            let error = Error::new(Code::INVALID, "this is not a setting of these knobs")
                .operation("tune.setting")
                .with("knob", shown(name))
                .with("rule", rule);
            let value = setting.get(name).and_then(|value| serde_json::to_string(value).ok());
            Err(match value {
                Some(value) => error.with("value", value),
                None => error,
            })
        };
        for knob in &self.knobs {
            match setting.get(&knob.name) {
                None => return wrong(&knob.name, "each knob needs a value"),
                Some(v) if !knob.allows(v) => {
                    return wrong(&knob.name, "not a value that may be tried");
                }
                Some(_) => {}
            }
        }
        match setting.keys().find(|name| !self.knobs.iter().any(|k| k.name == **name)) {
            Some(unknown) => wrong(unknown, "there is no such knob"),
            None => Ok(()),
        }
    }

    pub(in crate::tune) fn coordinates(&self) -> usize {
        self.coordinates
    }

    /// The point of a setting; a knob that it lacks stands in the middle.
    pub(in crate::tune) fn encode(&self, setting: &Setting) -> Vec<f64> {
        let mut x = vec![0.0; self.coordinates];
        for (knob, at) in self.knobs.iter().zip(&self.offsets) {
            let Some(x) = x.get_mut(*at..) else { continue };
            let value = setting.get(&knob.name);
            if let (KnobKind::Choice { names }, Some(KnobValue::Name(name))) = (&knob.kind, value) {
                for (x, n) in x.iter_mut().zip(names) {
                    *x = f64::from(u8::from(n == name));
                }
            } else if let Some(first) = x.first_mut() {
                *first = value.and_then(|v| unit(&knob.kind, v)).unwrap_or(0.5);
            }
        }
        x
    }

    /// The setting of a point.
    pub(in crate::tune) fn decode(&self, x: &[f64]) -> Setting {
        let value = |(knob, at): (&Knob, &usize)| {
            let x = x.get(*at..).unwrap_or_default();
            let u = x.first().copied().unwrap_or(0.5);
            let value = match &knob.kind {
                KnobKind::Float { low, high, scale } => {
                    let v = readable(between(*low, *high, *scale, u));
                    KnobValue::Number(v.max(*low).min(*high))
                }
                KnobKind::Integer { low, high, scale } => {
                    let v = between(*low as f64, *high as f64, *scale, u).round() as i64;
                    KnobValue::Integer(v.clamp(*low, *high))
                }
                KnobKind::Levels { levels } => {
                    let i = (u * (levels.len() - 1) as f64).round() as usize;
                    let level = levels.get(i).or(levels.last()).copied();
                    level.map_or(knob.value.clone(), KnobValue::Number)
                }
                KnobKind::Choice { names } => {
                    let name = names.get(largest(x.get(..names.len()).unwrap_or_default()));
                    name.map_or(knob.value.clone(), |n| KnobValue::Name(n.clone()))
                }
                KnobKind::Switch => KnobValue::Switch(u >= 0.5),
            };
            (knob.name.clone(), value)
        };
        self.knobs.iter().zip(&self.offsets).map(value).collect()
    }

    /// Moves a point to the nearest one that is a setting.
    pub(in crate::tune) fn snap(&self, x: &mut [f64]) {
        for (knob, at) in self.knobs.iter().zip(&self.offsets) {
            let Some(x) = x.get_mut(*at..) else { continue };
            match (&knob.kind, x) {
                (KnobKind::Choice { names }, x) => {
                    let chosen = largest(x.get(..names.len()).unwrap_or_default());
                    for (i, v) in x.iter_mut().take(names.len()).enumerate() {
                        *v = f64::from(u8::from(i == chosen));
                    }
                }
                (KnobKind::Integer { low, high, scale }, [u, ..]) => {
                    let v = between(*low as f64, *high as f64, *scale, *u).round() as i64;
                    *u = unit(&knob.kind, &KnobValue::Integer(v.clamp(*low, *high))).unwrap_or(*u);
                }
                (KnobKind::Levels { levels }, [u, ..]) => {
                    let steps = (levels.len() - 1) as f64;
                    *u = (*u * steps).round() / steps;
                }
                (KnobKind::Switch, [u, ..]) => *u = f64::from(u8::from(*u >= 0.5)),
                _ => {}
            }
        }
    }

    /// The part of the box that one trial from `from` may reach.
    pub(in crate::tune) fn reach(&self, from: &[f64]) -> Bounds {
        let mut bounds =
            Bounds { low: vec![0.0; self.coordinates], high: vec![1.0; self.coordinates] };
        for (knob, at) in self.knobs.iter().zip(&self.offsets) {
            let (Some(low), Some(high), Some(centre)) =
                (bounds.low.get_mut(*at), bounds.high.get_mut(*at), from.get(*at))
            else {
                continue;
            };
            if matches!(knob.kind, KnobKind::Choice { .. } | KnobKind::Switch) {
                continue;
            }
            (*low, *high) = (centre - knob.max_step, centre + knob.max_step);
            // The next whole number or level is always in reach; none that is farther than the step is.
            let (below, above) = neighbours(&knob.kind, *centre, *low, *high);
            (*low, *high) = (below.max(0.0), above.min(1.0));
        }
        bounds
    }
}

/// Where a knob with gaps may go from `centre` when it should stay from `low` to `high`.
fn neighbours(kind: &KnobKind, centre: f64, low: f64, high: f64) -> (f64, f64) {
    match kind {
        KnobKind::Integer { low: least, high: most, scale } => {
            let (a, b) = (*least as f64, *most as f64);
            let value = between(a, b, *scale, centre).round();
            let down = between(a, b, *scale, low.max(0.0)).ceil().min(value - 1.0).max(a);
            let up = between(a, b, *scale, high.min(1.0)).floor().max(value + 1.0).min(b);
            let at = |v: f64| unit(kind, &KnobValue::Integer(v as i64)).unwrap_or(centre);
            (at(down), at(up))
        }
        KnobKind::Levels { levels } => {
            let steps = (levels.len() - 1) as f64;
            let i = (centre * steps).round();
            // A little more than the step, or rounding would forbid what just fits.
            let down = (low * steps - 1e-9).ceil().min(i - 1.0);
            let up = (high * steps + 1e-9).floor().max(i + 1.0);
            (down / steps, up / steps)
        }
        _ => (low, high),
    }
}

/// The value at a share of the way from `low` to `high`.
fn between(low: f64, high: f64, scale: KnobScale, share: f64) -> f64 {
    let value = match scale {
        KnobScale::Linear => low + (high - low) * share,
        KnobScale::Log => (low.ln() + (high.ln() - low.ln()) * share).exp(),
    };
    // Exactly the bound at the bound, and never beyond for rounding.
    if share <= 0.0 {
        low
    } else if share >= 1.0 {
        high
    } else {
        value.max(low).min(high)
    }
}

/// Rounded to 12 significant digits, which hides what encoding and decoding lose.
fn readable(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}

/// The share of the way, of a value of a knob other than a choice.
fn unit(kind: &KnobKind, value: &KnobValue) -> Option<f64> {
    let number = match value {
        KnobValue::Number(v) => *v,
        KnobValue::Integer(v) => *v as f64,
        KnobValue::Switch(on) => return Some(f64::from(u8::from(*on))),
        KnobValue::Name(_) => return None,
    };
    let (low, high, scale) = match kind {
        KnobKind::Float { low, high, scale } => (*low, *high, *scale),
        KnobKind::Integer { low, high, scale } => (*low as f64, *high as f64, *scale),
        KnobKind::Levels { levels } => {
            let i = levels.iter().position(|l| *l == number)?;
            return Some(i as f64 / (levels.len() - 1) as f64);
        }
        KnobKind::Choice { .. } | KnobKind::Switch => return None,
    };
    let share = match scale {
        KnobScale::Linear => (number - low) / (high - low),
        KnobScale::Log => (number.ln() - low.ln()) / (high.ln() - low.ln()),
    };
    share.is_finite().then(|| share.clamp(0.0, 1.0))
}

fn largest(values: &[f64]) -> usize {
    let best = values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(i, _)| i)
}
