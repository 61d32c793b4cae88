//! Noise without changes, and planted ones. With `SUTAZAI_LONG=1` noise is looked at in full.

use std::time::Duration;

use super::*;
use crate::Code;
use crate::monitor::anomaly::noise::{NOISE, Noise, Rng};

fn time(point: usize) -> Timestamp {
    Timestamp::EPOCH + Duration::from_secs(60 * point as u64)
}

fn changes(policy: &ChangePolicy, values: impl IntoIterator<Item = f64>) -> Vec<Change> {
    let mut detector = ChangeDetector::new(policy.clone()).expect("a policy");
    let looks = values.into_iter().enumerate();
    looks.filter_map(|(point, value)| detector.look(time(point), value)).collect()
}

#[test]
fn noise_changes_less_than_once_in_ten_thousand_points() {
    let long = std::env::var_os("SUTAZAI_LONG").is_some();
    let points = if long { 50_000 } else { 4_000 };
    // A day is known when it has come round three times, which is noticed within a quarter more; before, its rises are changes.
    let known = 5 * 288;
    for noise in NOISE {
        let (mut early, mut late) = (0, 0);
        for seed in 0..20 {
            let found = changes(&ChangePolicy::default(), noise.series(seed).take(points));
            let (before, after): (Vec<Change>, Vec<Change>) =
                found.into_iter().partition(|change| change.at < time(known));
            early += before.len();
            late += after.len();
        }
        println!("{noise:?}: {early} and {late} in {} points", 20 * points);
        let most = if matches!(noise, Noise::Daily) { 20 } else { 20 * known / 10_000 };
        assert!(early <= most, "{noise:?}: {early}");
        assert!(late * 10_000 <= 20 * (points - known), "{noise:?}: {late}");
    }
    let heavy = |seed| {
        let mut rng = Rng::new(seed);
        changes(&ChangePolicy::default(), (0..points).map(|_| rng.normal().powi(3))).len()
    };
    let found: usize = (0..20).map(heavy).sum();
    println!("heavy tails: {found} in {} points", 20 * points);
    assert!(found * 5_000 <= 20 * points, "{found}");
}

#[test]
fn planted_changes_are_found_where_they_are() {
    for (noise, shift, near, late) in [
        (Noise::Independent, 2.0, 5, 40),
        (Noise::Autoregressive, 12.0, 5, 80),
        (Noise::Daily, 2.5, 5, 60),
    ] {
        let (mut found, mut places, mut delays) = (0, 0, Vec::new());
        for seed in 0..20 {
            let values = noise.series(seed).take(2_000).enumerate();
            let values: Vec<f64> =
                values.map(|(i, v)| if i >= 1_500 { v + shift } else { v }).collect();
            let mut detector = ChangeDetector::new(ChangePolicy::default()).expect("a policy");
            for (point, value) in values.iter().enumerate() {
                let Some(change) = detector.look(time(point), *value) else { continue };
                if point < 1_500 {
                    continue;
                }
                found += 1;
                let place = (change.at.as_nanos() / 60_000_000_000) as usize;
                places += usize::from(place.abs_diff(1_500) <= near);
                delays.push(point - 1_500);
                let step = change.after - change.before;
                assert!((step - shift).abs() < 0.5 * shift, "{noise:?} {seed}: {change:?}");
                assert!(change.confidence > 0.999);
                break;
            }
        }
        delays.sort_unstable();
        println!("{noise:?}: {found} of 20, {places} in place, after {delays:?} points");
        assert!(found >= 19 && places >= 15 && delays[delays.len() / 2] <= late, "{noise:?}");
    }
}

#[test]
fn a_change_back_is_another_one() {
    let mut rng = Rng::new(3);
    let level = |i: usize| if (500..900).contains(&i) { 14.0 } else { 10.0 };
    let values: Vec<f64> = (0..1_400).map(|i| level(i) + rng.normal()).collect();
    let found = changes(&ChangePolicy::default(), values);
    let places: Vec<i64> = found.iter().map(|c| c.at.as_nanos() / 60_000_000_000).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!((places[0] - 500).abs() <= 3 && (places[1] - 900).abs() <= 3, "{places:?}");
}

#[test]
fn a_spike_is_no_change() {
    let mut rng = Rng::new(4);
    let values: Vec<f64> =
        (0..1_000).map(|i| rng.normal() + if i % 300 == 299 { 1e6 } else { 0.0 }).collect();
    assert_eq!(changes(&ChangePolicy::default(), values), []);
}

#[test]
fn a_spike_is_no_change_of_a_season_either() {
    for seed in 0..5 {
        let mut rng = Rng::new(100 + seed);
        let season = |i: usize| 3.0 * (std::f64::consts::TAU * i as f64 / 7.0).sin();
        let spike = |i: usize| if i == 3_000 { 1e6 } else { 0.0 };
        let values: Vec<f64> = (0..5_000).map(|i| season(i) + rng.normal() + spike(i)).collect();
        for season in [None, Some(7)] {
            let policy = ChangePolicy { season, ..Default::default() };
            assert_eq!(changes(&policy, values.iter().copied()), [], "{seed}, {season:?}");
        }
    }
}

#[test]
fn a_change_in_a_season_is_one_change_and_said_in_the_series_unit() {
    for season in [None, Some(96), Some(0)] {
        let (mut found, mut first) = (0, 0);
        for seed in 0..10 {
            let mut rng = Rng::new(300 + seed);
            let wave = |i: usize| 6.0 * (std::f64::consts::TAU * i as f64 / 96.0).sin();
            let level = |i: usize| if i < 2_000 { 50.0 } else { 54.0 };
            let values = (0..4_000).map(|i| level(i) + wave(i) + rng.normal());
            let policy = ChangePolicy { season, ..Default::default() };
            let all = changes(&policy, values);
            found += all.len();
            let Some(change) = all.first() else { continue };
            let place = change.at.as_nanos() / 60_000_000_000;
            let right = place.abs_diff(2_000) < 20
                && (change.before - 50.0).abs() < 1.0
                && (change.after - 54.0).abs() < 1.5;
            first += usize::from(right);
        }
        println!("{season:?}: {found} changes, {first} right");
        match season {
            // What the season hides is not seen.
            Some(0) => assert!(first <= 5, "{first}"),
            _ => assert!(first >= 9 && found <= first + 1, "{season:?}: {found}, {first}"),
        }
    }
}

#[test]
fn neither_the_unit_nor_the_zero_matters() {
    let mut rng = Rng::new(6);
    let values: Vec<f64> =
        (0..800).map(|i| rng.normal() + if i >= 400 { 3.0 } else { 0.0 }).collect();
    let found = changes(&ChangePolicy::default(), values.iter().copied());
    for (factor, shift) in [(1e9, 0.0), (1e-9, 0.0), (3.0, 1e3)] {
        let other = values.iter().map(|v| v * factor + shift);
        let other = changes(&ChangePolicy::default(), other);
        assert_eq!(found.len(), other.len());
        for (a, b) in found.iter().zip(&other) {
            assert_eq!((a.at, a.points), (b.at, b.points));
            assert!((a.strength - b.strength).abs() < 1e-3 * a.strength);
        }
    }
}

#[test]
fn whatever_comes_is_taken() {
    for values in [vec![f64::NAN; 300], vec![5.0; 3_000], vec![f64::MAX; 300]] {
        assert_eq!(changes(&ChangePolicy::default(), values), []);
    }
    let wild = (0..3_000).map(|i| if i % 2 == 0 { f64::MAX } else { f64::MIN });
    let finite = |c: &Change| c.before.is_finite() && c.after.is_finite() && c.strength.is_finite();
    assert!(changes(&ChangePolicy::default(), wild).iter().all(finite));
    let steady = (0..400).map(|i| if i < 300 { 1.0 } else { 2.0 });
    let found = changes(&ChangePolicy::default(), steady);
    assert_eq!(
        (found.len(), found[0].at, found[0].before, found[0].after),
        (1, time(300), 1.0, 2.0)
    );
    let mut detector = ChangeDetector::new(ChangePolicy::default()).expect("a policy");
    for point in [5, 4, 4, 900, 0] {
        assert_eq!(detector.look(time(point), 1.0), None);
    }
    assert_eq!(detector.look(time(1), f64::NAN), None);
    let view = detector.view();
    assert_eq!((view.points, view.missing, view.since, view.level), (5, 1, 5, 1.0));
}

#[test]
fn policies_that_make_no_sense_are_named() {
    let wrong = [
        ("threshold", ChangePolicy { threshold: f64::NAN, ..Default::default() }),
        ("learn", ChangePolicy { learn: 1, ..Default::default() }),
        ("season", ChangePolicy { season: Some(1), ..Default::default() }),
    ];
    for (field, policy) in wrong {
        let error = policy.check().expect_err(field);
        assert_eq!(error.code(), Code::INVALID);
        assert!(format!("{error:?}").contains(field));
    }
}
