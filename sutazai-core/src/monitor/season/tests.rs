//! Seasons: which there are, what is usual at their phases, and that they are found as values come.

use std::f64::consts::TAU;
use std::time::Duration;

use super::*;
use crate::base::time::Timestamp;
use crate::monitor::anomaly::noise::Rng;

fn at(seconds: usize) -> Timestamp {
    Timestamp::from_nanos(1_700_000_000_000_000_000) + Duration::from_secs(seconds as u64)
}

/// A wave with normal noise, of which so much follows from the value before.
fn wave(seed: u64, points: usize, period: f64, height: f64, follows: f64) -> Vec<f64> {
    let (mut rng, mut noise) = (Rng::new(seed), 0.0);
    let value = |i: usize| {
        noise = follows * noise + rng.normal();
        height * (TAU * i as f64 / period).sin() + noise
    };
    (0..points).map(value).collect()
}

#[test]
fn noise_has_no_season_however_long_the_blocks() {
    for follows in [0.0, 0.5, 0.9, 0.99, 1.0] {
        for points in [600, 1_500, 4_400] {
            for seed in 0..10 {
                let noise = wave(seed, points, 1.0, 0.0, follows);
                assert_eq!(find(&noise, 2), [0; 0], "{follows}, {points}, {seed}");
            }
        }
    }
}

#[test]
fn slow_seasons_are_found_and_known_to_a_step_or_two() {
    for (points, period, height, follows) in [
        (900, 288.0, 5.0, 0.0),
        (1_500, 288.0, 5.0, 0.0),
        (3_000, 288.0, 2.0, 0.0),
        (3_000, 144.0, 2.0, 0.7),
        (4_400, 1_440.0, 4.0, 0.0),
    ] {
        for seed in 0..10 {
            let found = find(&wave(seed, points, period, height, follows), 2);
            let [one] = found[..] else { unreachable!("{points}, {period}, {seed}: {found:?}") };
            let off = (one as f64 - period).abs();
            assert!(off <= (0.01 * period).max(1.0), "{points}, {period}, {seed}: {one}");
        }
    }
}

#[test]
fn a_profile_learns_little_of_a_spike_and_all_of_what_lasts() {
    let mut rng = Rng::new(104);
    let mut profile = Profile::new(7);
    let mut offs = Vec::new();
    for i in 0..5_000 {
        let season = 3.0 * (TAU * i as f64 / 7.0).sin();
        let spike = if i == 3_000 { 1e6 } else { 0.0 };
        offs.extend(profile.take(season + rng.normal() + spike).map(|rest| rest.off));
    }
    // What the next rounds are held against is what it was.
    assert!(offs.iter().skip(2_987).all(|off| off.abs() < 6.0));

    // Nor where nothing has ever been off.
    let mut profile = Profile::new(5);
    let level = |i: usize| if i == 52 { 5_000.0 } else { (i % 5) as f64 };
    for i in 0..100 {
        let rest = profile.take(level(i));
        let right = |rest: Rest| (rest.value() - level(i) + (i % 5) as f64 - 2.0).abs() < 1e-6;
        assert!(rest.is_none_or(right), "{i}: {rest:?}");
    }

    let (mut rng, mut profile, mut offs) = (Rng::new(9), Profile::new(7), Vec::new());
    for i in 0..7 * 300 {
        let bump = if i >= 7 * 200 && i % 7 == 3 { 30.0 } else { 0.0 };
        offs.extend(profile.take(rng.normal() + bump).map(|rest| rest.off));
    }
    // Two rounds were learned from only, and forty since: 30 × 0.9³⁹ is half a deviation.
    let late: Vec<f64> = offs.iter().skip(7 * 238 + 3).step_by(7).copied().collect();
    assert!(late.iter().all(|off| off.abs() < 6.0), "{late:?}");
    let mean = late.iter().sum::<f64>() / late.len() as f64;
    assert!(mean.abs() < 0.6, "{mean}");
}

#[test]
fn a_level_that_moved_is_not_the_seasons() {
    let mut profile = Profile::new(4);
    let season = |i: usize| [0.0, 1.0, 0.0, -1.0].get(i % 4).copied().unwrap_or(0.0);
    for i in 0..40 {
        profile.take(10.0 + season(i));
    }
    for i in 40..42 {
        let rest = profile.take(15.0 + season(i)).expect("known");
        assert!((rest.off - 5.0).abs() < 1e-9, "{rest:?}");
    }
    profile.shift(5.0, 2);
    for i in 42..60 {
        let rest = profile.take(15.0 + season(i)).expect("known");
        assert!(rest.off.abs() < 1e-9 && (rest.value() - 15.0).abs() < 1e-9, "{i}: {rest:?}");
    }
}

#[test]
fn a_season_is_found_as_values_come_and_holds_over_a_gap() {
    // Five minutes; a day is 288 points, which is exact as the calendar is known.
    let values = wave(3, 4_000, 288.0, 5.0, 0.0);
    let mut rounds = Rounds::new(0.0);
    let mut found = None;
    let mut largest: f64 = 0.0;
    for (i, value) in values.iter().enumerate() {
        // Half a day is missing.
        if (3_000..3_144).contains(&i) {
            continue;
        }
        match rounds.take(at(300 * i), *value) {
            Turn::Found(rests) => found = found.or(Some((i, rests.len()))),
            Turn::Rest(rest) if i > 2_000 => largest = largest.max(rest.off.abs()),
            Turn::Lost => unreachable!("at {i}"),
            _ => {}
        }
    }
    let (point, known) = found.expect("found");
    assert!(point < 1_300 && known > 200, "{point}, {known}");
    assert_eq!(rounds.period(), Some(288));
    // The noise, and what ten rounds do not know of the mean; a phase that is off by half a day makes that ten.
    assert!(largest < 6.0, "{largest}");
}

#[test]
fn a_season_that_is_no_more_is_lost() {
    let mut values = wave(5, 2_000, 24.0, 4.0, 0.0);
    values.extend(wave(6, 9_000, 24.0, 0.0, 0.0));
    let mut rounds = Rounds::new(0.5);
    let mut turns = Vec::new();
    for (i, value) in values.iter().enumerate() {
        match rounds.take(at(60 * i), *value) {
            Turn::Found(_) => turns.push(("found", i)),
            Turn::Lost => turns.push(("lost", i)),
            _ => {}
        }
    }
    let [("found", first), ("lost", last)] = turns[..] else { unreachable!("{turns:?}") };
    assert!(first < 300 && (2_000..10_000).contains(&last), "{turns:?}");
    assert_eq!(rounds.period(), None);
}

#[test]
fn whatever_comes_is_taken() {
    let mut rng = Rng::new(2);
    let mut rounds = Rounds::new(1.0);
    for i in 0..6_000_usize {
        let value = match rng.next() % 5 {
            0 => 1e150,
            1 => -1e150,
            2 => 1e-300,
            _ => (i % 10) as f64,
        };
        let time = match rng.next() % 5 {
            0 => Timestamp::from_nanos(i64::MIN),
            1 => Timestamp::from_nanos(i64::MAX),
            _ => at(i),
        };
        if let Turn::Rest(rest) = rounds.take(time, value) {
            assert!(rest.off.is_finite() && rest.level.is_finite(), "{i}: {rest:?}");
        }
    }
}
