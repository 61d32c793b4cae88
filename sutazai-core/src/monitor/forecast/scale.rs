//! Values in a unit of their own: [`Scale`].

use super::number::mean;

/// Less than this share of the values is an error of rounding.
const GRAIN: f64 = 1e-12;

/// How far forecasts may leave the values' range, in ranges: what goes farther has blown up.
const BEYOND: f64 = 10.0;

/// The values, or their logarithms, with mean 0 and variance 1.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    values: Vec<f64>,
    centre: f64,
    unit: f64,
    logarithm: bool,
    /// What forecasts are kept between.
    bounds: (f64, f64),
}

impl Scale {
    pub(super) fn new(of: &[f64], logarithm: bool) -> Self {
        let of_values = |v: &f64| if logarithm { v.ln() } else { *v };
        let mut values: Vec<f64> = of.iter().map(of_values).collect();
        let centre = mean(&values);
        let squares: f64 = values.iter().map(|v| (v - centre).powi(2)).sum();
        let deviation = (squares / values.len().max(1) as f64).sqrt();
        let unit = if deviation > GRAIN * centre.abs() { deviation } else { 0.0 };
        for value in &mut values {
            *value = if unit > 0.0 { (*value - centre) / unit } else { 0.0 };
        }
        let least = of.iter().copied().fold(f64::MAX, f64::min);
        let most = of.iter().copied().fold(f64::MIN, f64::max);
        let beyond = BEYOND * (most - least);
        Self { values, centre, unit, logarithm, bounds: (least - beyond, most + beyond) }
    }

    pub(super) fn is_logarithm(&self) -> bool {
        self.logarithm
    }

    pub(super) fn values(&self) -> &[f64] {
        &self.values
    }

    /// A forecast in the unit of the series.
    pub(super) fn back(&self, path: &[f64]) -> Vec<f64> {
        let back = |value: &f64| {
            let value = value * self.unit + self.centre;
            let value = if self.logarithm { value.exp() } else { value };
            let value = if value.is_nan() { self.bounds.1 } else { value };
            value.clamp(self.bounds.0, self.bounds.1)
        };
        path.iter().map(back).collect()
    }
}
