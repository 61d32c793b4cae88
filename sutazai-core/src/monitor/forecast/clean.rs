//! Values that can be calculated with: [`clean`].

use crate::{Code, Error, Result};

/// Values beyond this, in either direction, are taken for it.
const LARGEST: f64 = 1e100;

/// Numbers that something can be said from.
const LEAST: usize = 8;

/// Fills what is not a number with the straight line between its neighbours, and bounds what is left. The last value is a number.
///
/// # Errors
/// [`Code::INVALID`] for fewer than eight numbers.
pub(super) fn clean(values: &[f64]) -> Result<Vec<f64>> {
    let numbers = || values.iter().enumerate().filter(|(_, v)| v.is_finite());
    let count = numbers().count();
    if count < LEAST {
        return Err(Error::new(Code::INVALID, "too few values to forecast from")
            .operation("monitor.forecast")
            .with("values", count)
            .with("rule", "there must be eight numbers"));
    }
    let bound = |v: f64| v.clamp(-LARGEST, LARGEST);
    let mut cleaned: Vec<f64> = Vec::with_capacity(values.len());
    let mut last = 0.0;
    for (i, value) in numbers() {
        let (value, gap) = (bound(*value), i - cleaned.len());
        let start = if cleaned.is_empty() { value } else { last };
        for k in 1..=gap {
            cleaned.push(start + (value - start) * (k as f64 / (gap + 1) as f64));
        }
        cleaned.push(value);
        last = value;
    }
    Ok(cleaned)
}
