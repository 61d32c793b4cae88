//! Shares that fit: scaled by one factor until their sum is the whole, each within its bounds.

/// The multiple of `wanted`, each held within its bounds, whose sum is 1; the bounds where they do not allow that.
pub(super) fn project(wanted: &[f64], bounds: &[(f64, f64)]) -> Vec<f64> {
    let least = f64::MIN_POSITIVE.sqrt();
    let one = |factor: f64, (w, (low, high)): (&f64, &(f64, f64))| {
        (w.max(least) * factor).max(*low).min(*high)
    };
    let all = || wanted.iter().zip(bounds);
    // The sum rises with the factor: bisection of its logarithm.
    let (mut low, mut high) = (-700.0_f64, 700.0_f64);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        let factor = middle.exp();
        if all().map(|it| one(factor, it)).sum::<f64>() > 1.0 {
            high = middle;
        } else {
            low = middle;
        }
    }
    let factor = low.exp();
    all().map(|it| one(factor, it)).collect()
}

/// Whole numbers near `exact`, of the same sum rounded, but never more than `units`.
pub(super) fn whole(exact: &[f64], units: u64) -> Vec<u64> {
    // What is a whole but for rounding is one: a floor of three units is three.
    let mut parts: Vec<u64> = exact.iter().map(|e| (e.max(0.0) + 1e-6).floor() as u64).collect();
    let total = (exact.iter().sum::<f64>().round().max(0.0) as u64).min(units);
    let mut left = total.saturating_sub(parts.iter().sum());
    let mut order: Vec<usize> = (0..exact.len()).collect();
    let rests: Vec<f64> = exact.iter().zip(&parts).map(|(e, part)| e - *part as f64).collect();
    let rest = |i: &usize| rests.get(*i).copied().unwrap_or(0.0);
    order.sort_by(|a, b| rest(b).total_cmp(&rest(a)).then(a.cmp(b)));
    for i in order {
        if left == 0 {
            break;
        }
        if let Some(part) = parts.get_mut(i) {
            *part += 1;
            left -= 1;
        }
    }
    parts
}
