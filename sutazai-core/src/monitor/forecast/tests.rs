//! Forecasts of simulated series.

use std::f64::consts::TAU;

use super::*;
use crate::monitor::anomaly::noise::Rng;

/// A series of `count` values, each from its number, the one before and a normal draw.
fn series(seed: u64, count: usize, next: impl Fn(usize, f64, f64) -> f64) -> Vec<f64> {
    let mut rng = Rng::new(seed);
    let mut last = 0.0;
    (0..count)
        .map(|i| {
            last = next(i, last, rng.normal());
            last
        })
        .collect()
}

fn round(i: usize, period: usize) -> f64 {
    (TAU * (i % period) as f64 / period as f64).sin()
}

fn seasons(values: &[f64]) -> Vec<usize> {
    AutoForecaster::default().seasons(values).expect("long enough")
}

#[test]
fn noise_has_no_seasons() {
    for seed in 0..20 {
        for phi in [0.0, 0.5, 0.9, 1.0] {
            let values = series(seed, 900, |_, last, new| phi * last + new);
            assert_eq!(seasons(&values), [0; 0], "seed {seed}, {phi}");
        }
        let values = series(seed, 900, |_, _, new| new.powi(3));
        assert_eq!(seasons(&values), [0; 0], "heavy tails, seed {seed}");
    }
}

#[test]
fn seasons_are_found() {
    for seed in 0..5 {
        for period in [7, 24, 60, 144] {
            let sine = series(seed, 900, |i, _, new| 1.5 * round(i, period) + new);
            // A slow sine says little of one step more or less: a quarter of a round at the end is what is heard.
            let found = seasons(&sine);
            let near = found.iter().all(|p| p.abs_diff(period) <= period * period / 3_600);
            assert!(found.len() == 1 && near, "sine of {period}, seed {seed}: {found:?}");
            let sharp = |i: usize| if i % period == 3 { 6.0 } else { 0.0 };
            let peaks = series(seed, 900, |i, _, new| sharp(i) + new);
            assert_eq!(seasons(&peaks), [period], "peaks, seed {seed}");
        }
        let weekend = |i: usize| if i % 168 >= 120 { 0.3 } else { 1.0 };
        let weeks = series(seed, 900, |i, _, new| weekend(i) * (8.0 + 4.0 * round(i, 24)) + new);
        assert_eq!(seasons(&weeks), [24, 168], "seed {seed}");
        let drift = series(seed, 900, |i, _, new| 0.1 * i as f64 + 2.0 * round(i, 24) + new);
        assert_eq!(seasons(&drift), [24], "seed {seed}");
    }
}

/// How often 95 % and 80 % intervals hold the value, and their mean width in units of the noise.
fn coverage(count: usize, next: impl Fn(usize, f64, f64) -> f64) -> ([f64; 2], f64) {
    let (mut inside, mut width, mut all) = ([0.0; 2], 0.0, 0.0);
    for seed in 0..40 {
        let values = series(seed, count + 24, &next);
        let (past, ahead) = values.split_at(count);
        let said = AutoForecaster::default().forecast(past, 24, &[0.95, 0.8]).expect("a forecast");
        for (i, value) in ahead.iter().enumerate() {
            for (inside, interval) in inside.iter_mut().zip(&said.intervals) {
                let holds = interval.lower[i] <= *value && *value <= interval.upper[i];
                *inside += f64::from(u8::from(holds));
            }
            width += said.intervals[0].upper[i] - said.intervals[0].lower[i];
            all += 1.0;
        }
    }
    (inside.map(|inside| inside / all), width / all)
}

fn covers(what: &str, ([high, low], width): ([f64; 2], f64), widths: std::ops::Range<f64>) {
    println!("{what}: {high:.3} {low:.3}, width {width:.2}");
    assert!((0.92..0.995).contains(&high), "{what}: {high}");
    assert!((0.73..0.93).contains(&low), "{what}: {low}");
    assert!(widths.contains(&width), "{what}: {width}");
}

#[test]
fn intervals_hold_what_they_say() {
    // The least possible widths are 3.9 for independent noise, and 2 · 1.96 √step for a random walk: 13.1 in the mean.
    covers("independent", coverage(300, |_, _, new| new), 3.5..5.2);
    covers("autoregressive", coverage(300, |_, last, new| 0.7 * last + new), 4.5..7.3);
    covers("random walk", coverage(300, |_, last, new| last + new), 11.0..18.0);
    covers("daily", coverage(480, |i, _, new| 20.0 + 5.0 * round(i, 24) + new), 3.5..5.5);
}

#[test]
fn a_trend_goes_on() {
    let values = series(3, 400, |i, _, new| 0.5 * i as f64 + new);
    let said = AutoForecaster::default().forecast(&values, 20, &[]).expect("a forecast");
    for (i, value) in said.point.iter().enumerate() {
        assert!((value - 0.5 * (400 + i) as f64).abs() < 5.0, "{i}: {value}");
    }
}

#[test]
fn the_unit_does_not_matter() {
    let values = series(4, 300, |i, _, new| 30.0 + 5.0 * round(i, 24) + new);
    let forecaster = AutoForecaster::default();
    let said = forecaster.forecast(&values, 24, &[0.9]).expect("a forecast");
    for factor in [1e-30, 1e-3, 1e30] {
        let other: Vec<f64> = values.iter().map(|v| v * factor).collect();
        let other = forecaster.forecast(&other, 24, &[0.9]).expect("a forecast");
        assert_eq!(said.seasons, other.seasons);
        for (a, b) in said.point.iter().zip(&other.point) {
            assert!((a - b / factor).abs() < 0.02 * a.abs(), "{factor}: {a} and {}", b / factor);
        }
    }
}

#[test]
fn whatever_comes_in_numbers_come_out() {
    let mut hostile: Vec<Vec<f64>> = vec![
        vec![0.0; 50],
        vec![0.1; 8],
        vec![-1e300; 30],
        (0..200).map(|i| if i % 2 == 0 { f64::MAX } else { f64::MIN }).collect(),
        (0..200).map(|i| 1e-300 * f64::from(i)).collect(),
        (0..300).map(|i| f64::from(i).exp()).collect(),
        (0..100).map(|i| if i == 50 { 1e200 } else { 1.0 }).collect(),
        (0..100).map(|i| if i % 3 == 0 { f64::NAN } else { f64::from(i) }).collect(),
        vec![f64::INFINITY, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, f64::NEG_INFINITY],
    ];
    hostile.extend((8..40).map(|count| series(1, count, |_, last, new| last + new)));
    for values in &hostile {
        for horizon in [1, 7, 100] {
            let said = AutoForecaster::default().forecast(values, horizon, &[0.5, 0.99]);
            let said = said.expect("a forecast");
            assert_eq!(said.point.len(), horizon);
            assert!(said.point.iter().all(|v| v.is_finite()), "{values:?}: {said:?}");
            for interval in &said.intervals {
                for (i, point) in said.point.iter().enumerate() {
                    let (lower, upper) = (interval.lower[i], interval.upper[i]);
                    assert!(lower.is_finite() && upper.is_finite());
                    assert!(lower <= *point && *point <= upper, "{values:?}: {said:?}");
                }
            }
            let weights: f64 = said.methods.iter().map(|m| m.weight).sum();
            assert!((weights - 1.0).abs() < 1e-9, "{values:?}: {said:?}");
        }
    }
    let flat = AutoForecaster::default().forecast(&[7.0; 40], 5, &[0.9]).expect("a forecast");
    assert!(flat.point.iter().all(|v| (v - 7.0).abs() < 1e-12), "{flat:?}");
}

#[test]
fn what_cannot_be_forecast_is_an_error() {
    let forecaster = AutoForecaster::default();
    let refused = |values: &[f64], horizon, level| {
        let error = forecaster.forecast(values, horizon, &[level]).expect_err("no forecast");
        assert_eq!(error.code(), Code::INVALID);
    };
    refused(&[], 3, 0.9);
    refused(&[1.0; 7], 3, 0.9);
    refused(&[f64::NAN; 100], 3, 0.9);
    refused(&[1.0; 10], 0, 0.9);
    refused(&[1.0; 10], HORIZON_MOST + 1, 0.9);
    refused(&[1.0; 10], 3, 1.0);
    refused(&[1.0; 10], 3, f64::NAN);
    let wrong = [
        ForecastPolicy { seasons: vec![1], ..Default::default() },
        ForecastPolicy { seasons: vec![2, 3, 4], ..Default::default() },
        ForecastPolicy { values: 10, ..Default::default() },
    ];
    for policy in wrong {
        assert_eq!(AutoForecaster::new(policy).expect_err("no sense").code(), Code::INVALID);
    }
}

#[test]
fn what_was_never_negative_is_not_forecast_to_be() {
    let values = series(5, 300, |_, _, new| (new - 1.5).max(0.0));
    let said = AutoForecaster::default().forecast(&values, 50, &[0.99]).expect("a forecast");
    assert!(said.point.iter().chain(&said.intervals[0].lower).all(|v| *v >= 0.0));
}

#[test]
fn told_seasons_are_taken() {
    let values = series(6, 90, |i, _, new| 5.0 * round(i, 40) + 0.1 * new);
    assert_eq!(seasons(&values), [0; 0], "two rounds are too few to find it");
    let policy = ForecastPolicy { seasons: vec![40, 1_000], ..Default::default() };
    let forecaster = AutoForecaster::new(policy).expect("a policy");
    let said = forecaster.forecast(&values, 40, &[]).expect("a forecast");
    assert_eq!(said.seasons, [40]);
    for (i, value) in said.point.iter().enumerate() {
        assert!((value - 5.0 * round(90 + i, 40)).abs() < 1.0, "{i}: {value}");
    }
}

#[test]
fn what_is_missing_at_the_end_is_ahead() {
    let values: Vec<f64> = (0..300).map(|i| 50.0 + f64::from(i * 7_919 % 997)).collect();
    let forecaster = AutoForecaster::default();
    let whole = forecaster.forecast(&values, 30, &[0.9]).unwrap();
    let mut late = values.clone();
    late.extend([f64::NAN, f64::INFINITY].repeat(10));
    let told = forecaster.forecast(&late, 10, &[0.9]).unwrap();
    assert_eq!(told.point, whole.point[20..]);
    assert_eq!(told.intervals[0].lower, whole.intervals[0].lower[20..]);
    assert_eq!(told.intervals[0].upper, whole.intervals[0].upper[20..]);
    late.extend([f64::NAN; 10_000]);
    assert_eq!(forecaster.forecast(&late, 1, &[]).unwrap_err().code(), Code::INVALID);
}
