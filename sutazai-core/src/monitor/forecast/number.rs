//! Sums that several methods need.

/// The mean; 0 of nothing.
pub(in crate::monitor) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The median; 0 of nothing.
pub(in crate::monitor) fn median(values: &[f64]) -> f64 {
    quantile_of(values, 0.5)
}

/// The quantile between the two nearest values; 0 of nothing.
pub(in crate::monitor) fn quantile_of(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    quantile(&sorted, share)
}

/// As [`quantile_of`], of sorted values.
pub(in crate::monitor) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    match (sorted.get(below), sorted.get(below + 1)) {
        (Some(a), Some(b)) => a + part * (b - a),
        (Some(a), None) => *a,
        _ => 0.0,
    }
}

/// The correlation of values with those `lag` steps before, of values with mean 0.
pub(in crate::monitor) fn autocorrelation(centred: &[f64], lag: usize) -> f64 {
    let total: f64 = centred.iter().map(|v| v * v).sum();
    let both: f64 = centred.iter().zip(centred.iter().skip(lag)).map(|(a, b)| a * b).sum();
    if total > 0.0 { both / total } else { 0.0 }
}

/// The normal distribution's quantile (P. J. Acklam's rational approximation, 2003; within 1.2e-9 of it).
pub(in crate::monitor) fn normal_quantile(share: f64) -> f64 {
    const CENTRE: [f64; 6] = [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.38357751867269e2,
        -3.066479806614716e1,
        2.506628277459239,
    ];
    const CENTRE_BELOW: [f64; 6] = [
        -5.447609879822406e1,
        1.615858368580409e2,
        -1.556989798598866e2,
        6.680131188771972e1,
        -1.328068155288572e1,
        1.0,
    ];
    const TAIL: [f64; 6] = [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const TAIL_BELOW: [f64; 5] =
        [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1.0];
    let horner = |factors: &[f64], x: f64| factors.iter().fold(0.0, |sum, f| sum * x + f);
    let share = share.clamp(1e-15, 1.0 - 1e-15);
    if !(0.02425..=1.0 - 0.02425).contains(&share) {
        let root = (-2.0 * share.min(1.0 - share).ln()).sqrt();
        let below = horner(&TAIL, root) / horner(&TAIL_BELOW, root);
        return if share < 0.5 { below } else { -below };
    }
    let centred = share - 0.5;
    let square = centred * centred;
    centred * horner(&CENTRE, square) / horner(&CENTRE_BELOW, square)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_tables() {
        for (share, expected) in
            [(0.975, 1.959964), (0.5, 0.0), (0.001, -3.090232), (0.9999, 3.719016)]
        {
            assert!((normal_quantile(share) - expected).abs() < 1e-6, "{share}");
        }
        assert_eq!(quantile_of(&[3.0, 1.0, 2.0], 0.75), 2.5);
        assert_eq!(median(&[]), 0.0);
    }
}
