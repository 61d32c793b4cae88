use proptest::prelude::*;

use super::super::*;

fn unit(d: usize, first: f64) -> Space {
    let kind = KnobKind::Float { low: 0.0, high: 1.0, scale: KnobScale::Linear };
    let knob = |i| Knob::new(format!("x{i}"), kind.clone(), KnobValue::Number(first));
    Space::new((0..d).map(knob).collect()).unwrap()
}

fn point(setting: &Setting) -> Vec<f64> {
    let number = |v: &KnobValue| match v {
        KnobValue::Number(v) => *v,
        other => panic!("{other:?}"),
    };
    setting.values().map(number).collect()
}

/// The least of `trials` values of a function, less the least that there is.
fn regret(d: usize, trials: usize, seed: u64, f: impl Fn(&[f64]) -> f64) -> f64 {
    let mut search = Optimiser::new(unit(d, 0.3), Direction::Minimise, seed);
    let mut best = f64::INFINITY;
    for _ in 0..trials {
        let trial = search.ask();
        let value = f(&point(&trial.setting));
        best = best.min(value);
        search.tell(trial.id, TrialResult::Measured(value)).unwrap();
    }
    best
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn a_quadratic_is_solved_as_soon_as_it_is_known() {
    // Ill-conditioned and turned: 15 coefficients in four dimensions.
    let f = |x: &[f64]| {
        let z: Vec<f64> = x.iter().map(|v| v - 0.62).collect();
        let a = z[0] + 0.7 * z[1];
        let b = z[1] - 0.4 * z[2];
        100.0 * a * a + 10.0 * b * b + (z[2] + z[3]).powi(2) + 0.1 * z[3] * z[3]
    };
    let found = median((0..5).map(|seed| regret(4, 60, seed, f)).collect());
    assert!(found < 1e-2, "{found}");
}

#[test]
fn a_bent_valley_and_many_hollows_are_searched_well() {
    let valley = |x: &[f64]| {
        let z: Vec<f64> = x.iter().map(|v| 4.0 * v - 1.7).collect();
        z.windows(2).map(|w| 100.0 * (w[1] - w[0] * w[0]).powi(2) + (1.0 - w[0]).powi(2)).sum()
    };
    let found = median((0..5).map(|seed| regret(3, 80, seed, valley)).collect());
    // Chance finds about 30.
    assert!(found < 1.0, "{found}");
    let hollows = |x: &[f64]| {
        let z: Vec<f64> = x.iter().map(|v| 8.0 * (v - 0.44)).collect();
        z.iter().map(|z| z * z + 5.0 * (1.0 - (6.0 * z).cos())).sum()
    };
    let found = median((0..5).map(|seed| regret(3, 80, seed, hollows)).collect());
    assert!(found < 12.0, "{found}");
}

#[test]
fn the_same_seed_gives_the_same_search() {
    let run = |seed| {
        let mut search = Optimiser::new(unit(3, 0.1), Direction::Maximise, seed);
        let mut seen = Vec::new();
        for i in 0..40 {
            let trial = search.ask();
            let value = -point(&trial.setting).iter().map(|v| (v - 0.5).powi(2)).sum::<f64>();
            let result =
                if i % 9 == 5 { TrialResult::Failed } else { TrialResult::Measured(value) };
            seen.push(trial.setting.clone());
            search.tell(trial.id, result).unwrap();
        }
        (seen, search.best())
    };
    let (one, best) = run(5);
    assert_eq!((one.clone(), best.clone()), run(5));
    assert_ne!(one, run(6).0);
    assert!(best.unwrap().1 > -1e-3);
}

#[test]
fn all_settings_of_a_small_space_are_tried_once() {
    let knobs = vec![
        Knob::new(
            "n",
            KnobKind::Integer { low: 1, high: 4, scale: KnobScale::Log },
            KnobValue::Integer(2),
        ),
        Knob::new("on", KnobKind::Switch, KnobValue::Switch(false)),
    ];
    let mut search = Optimiser::new(Space::new(knobs).unwrap(), Direction::Minimise, 1);
    let mut seen: Vec<Setting> = Vec::new();
    for _ in 0..12 {
        let trial = search.ask();
        if trial.cause == SuggestionCause::Best {
            search.abandon(trial.id);
            continue;
        }
        assert!(!seen.contains(&trial.setting));
        let on = trial.setting.get("on") == Some(&KnobValue::Switch(true));
        search.tell(trial.id, TrialResult::Measured(if on { 1.0 } else { 2.0 })).unwrap();
        seen.push(trial.setting);
    }
    assert!(seen.len() >= 7, "{seen:?}");
    assert_eq!(search.best().unwrap().1, 1.0);
}

#[test]
fn results_in_any_order_and_never() {
    let mut search = Optimiser::new(unit(2, 0.1), Direction::Minimise, 1);
    let mut waiting = Vec::new();
    for _ in 0..30 {
        waiting.push(search.ask());
    }
    let distinct: std::collections::BTreeSet<String> =
        waiting.iter().map(|w| format!("{:?}", w.setting)).collect();
    assert_eq!(distinct.len(), 30);
    for trial in waiting.iter().rev() {
        search.tell(trial.id, TrialResult::Measured(point(&trial.setting)[0])).unwrap();
        assert!(search.tell(trial.id, TrialResult::Failed).is_err());
    }
    // Nobody ever tells these.
    for _ in 0..200 {
        search.ask();
    }
    assert!(search.best().is_some() && search.told() == 30);
}

#[test]
fn memory_is_bounded_whatever_the_number_of_trials() {
    let trials = if std::env::var_os("SUTAZAI_LONG").is_some() { 1_000_000 } else { 250 };
    let mut search = Optimiser::new(unit(2, 0.1), Direction::Minimise, 1);
    for _ in 0..trials {
        let trial = search.ask();
        let value = point(&trial.setting).iter().map(|v| (v - 0.7).abs()).sum();
        search.tell(trial.id, TrialResult::Measured(value)).unwrap();
        assert!(search.remembered() <= 100);
    }
    assert_eq!(search.told(), trials);
    assert!(search.best().unwrap().1 < 1e-2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever it is told, it suggests what is allowed.
    #[test]
    fn odd_results_do_it_no_harm(
        values in proptest::collection::vec(prop_oneof![
            any::<f64>(), Just(0.0), Just(f64::MAX), Just(f64::NAN), Just(1e-300), -1.0f64..1.0,
        ], 1..60),
        seed in any::<u64>(),
    ) {
        let space = unit(3, 0.5);
        let mut search = Optimiser::new(space.clone(), Direction::Minimise, seed);
        for value in values {
            let trial = search.ask();
            prop_assert!(space.check(&trial.setting).is_ok(), "{trial:?}");
            search.tell(trial.id, TrialResult::Measured(value)).unwrap();
        }
        prop_assert!(search.best().is_none_or(|(_, value)| value.is_finite()));
    }
}
