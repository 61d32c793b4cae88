//! Which values a knob may take, and which of them are tried.

use super::knobs::word;
use crate::tune::{Knob, KnobKind, KnobScale, KnobValue};
use crate::{Code, Error, Result};

/// Whether a knob may be set to this.
pub(super) fn allowed(name: &str, kind: &KnobKind, value: &KnobValue) -> Result<()> {
    if Knob::new(name, kind.clone(), value.clone()).allows(value) {
        return Ok(());
    }
    Err(Error::new(Code::INVALID, "the knob may not be set to this")
        .with("value", word(value))
        .with("kind", serde_json::to_string(kind).unwrap_or_default()))
}

/// The value as one of this kind, where it is one: a whole number is written as such.
pub(super) fn fitted(value: &KnobValue, kind: &KnobKind) -> KnobValue {
    match (value, kind) {
        (KnobValue::Number(x), KnobKind::Integer { .. })
            if x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0 =>
        {
            KnobValue::Integer(*x as i64)
        }
        (KnobValue::Integer(i), KnobKind::Float { .. } | KnobKind::Levels { .. }) => {
            KnobValue::Number(*i as f64)
        }
        _ => value.clone(),
    }
}

/// From a quarter of what it is set to up to four times as much, within what it may take.
pub(super) fn around(kind: &KnobKind, value: &KnobValue) -> KnobKind {
    match (kind, value) {
        (KnobKind::Integer { low, high, .. }, KnobValue::Integer(value)) => {
            let least = (value / 4).clamp(*low, *high);
            let most = value.saturating_mul(4).clamp(*low, *high);
            // Of a knob that stands at zero there is no four times as much.
            let most = if most > least { most } else { least.saturating_add(4).min(*high) };
            let scale = if least > 0 { KnobScale::Log } else { KnobScale::Linear };
            KnobKind::Integer { low: least.min(most.saturating_sub(1)), high: most, scale }
        }
        (KnobKind::Float { low, high, scale }, KnobValue::Number(value)) => {
            let (a, b) = ((value / 4.0).clamp(*low, *high), (value * 4.0).clamp(*low, *high));
            let (a, b) = (a.min(b), a.max(b));
            if a < b { KnobKind::Float { low: a, high: b, scale: *scale } } else { kind.clone() }
        }
        _ => kind.clone(),
    }
}

/// Whether one may take all values of the other.
pub(super) fn is_within(inner: &KnobKind, outer: &KnobKind) -> bool {
    let takes = |value| Knob::new("k", outer.clone(), KnobValue::Switch(true)).allows(&value);
    match inner {
        KnobKind::Integer { low, high, .. } => match outer {
            // Between two levels there is none.
            KnobKind::Levels { levels } => {
                high.abs_diff(*low) < levels.len() as u64
                    && (*low..=*high).all(|whole| levels.contains(&(whole as f64)))
            }
            _ => takes(KnobValue::Integer(*low)) && takes(KnobValue::Integer(*high)),
        },
        KnobKind::Float { low, high, .. } => {
            matches!(outer, KnobKind::Float { .. })
                && takes(KnobValue::Number(*low))
                && takes(KnobValue::Number(*high))
        }
        KnobKind::Levels { levels } => match outer {
            // Whole ones of a whole number.
            KnobKind::Integer { low, high, .. } => levels.iter().all(|level| {
                level.fract() == 0.0 && *level >= *low as f64 && *level <= *high as f64
            }),
            _ => levels.iter().all(|level| takes(KnobValue::Number(*level))),
        },
        KnobKind::Choice { names } => names.iter().all(|name| takes(KnobValue::Name(name.clone()))),
        KnobKind::Switch => matches!(outer, KnobKind::Switch),
    }
}
