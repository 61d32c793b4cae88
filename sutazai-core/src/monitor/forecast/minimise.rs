//! The least value of a function of few variables: [`minimise`].

/// Nelder and Mead's simplex method ("A simplex method for function minimization", Computer Journal 7, 1965), from a
/// starting point with steps of `step`, within about `calls` calls. The cost must not be NaN.
pub(super) fn minimise(
    start: &[f64],
    step: f64,
    calls: usize,
    mut cost: impl FnMut(&[f64]) -> f64,
) -> Vec<f64> {
    let mut corners: Vec<(f64, Vec<f64>)> = vec![(cost(start), start.to_vec())];
    for i in 0..start.len() {
        let mut at = start.to_vec();
        if let Some(x) = at.get_mut(i) {
            *x += step;
        }
        corners.push((cost(&at), at));
    }
    let mut left = calls.saturating_sub(corners.len());
    let order = |a: &(f64, Vec<f64>), b: &(f64, Vec<f64>)| a.0.total_cmp(&b.0);
    corners.sort_by(order);
    while left > 0 {
        let Some((worst, at)) = corners.pop() else { break };
        let (Some(best), Some(second)) =
            (corners.first().map(|c| c.0), corners.last().map(|c| c.0))
        else {
            return at;
        };
        if worst - best <= 1e-7 * best.abs() {
            break;
        }
        let count = corners.len() as f64;
        let middle: Vec<f64> = (0..at.len())
            .map(|i| corners.iter().filter_map(|c| c.1.get(i)).sum::<f64>() / count)
            .collect();
        let along = |by: f64| -> Vec<f64> {
            middle.iter().zip(&at).map(|(m, w)| m + by * (w - m)).collect()
        };
        let mut attempt = |by: f64| {
            left = left.saturating_sub(1);
            let at = along(by);
            (cost(&at), at)
        };
        let mut new = attempt(-1.0);
        if new.0 < best {
            let farther = attempt(-2.0);
            if farther.0 < new.0 {
                new = farther;
            }
        } else if new.0 >= second {
            let nearer = attempt(if new.0 < worst { -0.5 } else { 0.5 });
            if nearer.0 < new.0.min(worst) {
                new = nearer;
            } else if new.0 >= worst {
                // Shrink towards the best.
                corners.push((worst, at));
                let towards = corners.first().map(|c| c.1.clone()).unwrap_or_default();
                for corner in corners.iter_mut().skip(1) {
                    for (x, to) in corner.1.iter_mut().zip(&towards) {
                        *x = 0.5 * (*x + to);
                    }
                    corner.0 = cost(&corner.1);
                    left = left.saturating_sub(1);
                }
                corners.sort_by(order);
                continue;
            }
        }
        let place = corners.partition_point(|c| c.0 <= new.0);
        corners.insert(place, new);
    }
    corners.into_iter().next().map_or_else(|| start.to_vec(), |best| best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valley_of_rosenbrock_is_followed() {
        let cost = |x: &[f64]| (1.0 - x[0]).powi(2) + 100.0 * (x[1] - x[0] * x[0]).powi(2);
        let best = minimise(&[-1.2, 1.0], 0.5, 400, cost);
        assert!((best[0] - 1.0).abs() < 1e-2 && (best[1] - 1.0).abs() < 1e-2, "{best:?}");
    }

    #[test]
    fn calls_are_bounded() {
        let mut calls = 0;
        let cost = |x: &[f64]| {
            calls += 1;
            -x.iter().sum::<f64>()
        };
        minimise(&[0.0; 5], 1.0, 100, cost);
        assert!((100..120).contains(&calls), "{calls}");
        assert_eq!(minimise(&[], 1.0, 10, |_| 1.0), [0.0; 0]);
    }
}
