use std::time::Duration;

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn at(ms: u64) -> Moment {
    Moment::ZERO + Duration::from_millis(ms)
}

/// Load is bad from 0.8 and very bad from 0.95; health is bad below 0.2.
fn policy() -> DegradePolicy {
    serde_json::from_value(json!({
        "rules": [
            {"level": "reduced", "signal": "load", "enter": 0.8, "leave": 0.6},
            {"level": "essential", "signal": "load", "enter": 0.95, "leave": 0.85},
            {"level": "essential", "signal": "health", "enter": 0.2, "leave": 0.5},
        ],
        "features": {
            "extras": {"reduced": "off"},
            "search": {"reduced": {"reduced": {"results": 10}}, "essential": {"fallback": "cache"}},
        },
        "down_dwell_ms": 1_000,
        "up_dwell_ms": 10_000,
        "silent_ms": 0,
    }))
    .unwrap()
}

fn told(degradation: &Degradation) -> Arc<Mutex<Vec<LevelChange>>> {
    let changes = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&changes);
    degradation.on_change(Arc::new(move |change: &LevelChange| list.lock().push(change.clone())));
    changes
}

#[test]
fn features_do_what_their_level_says_and_lower_levels_inherit() {
    let degradation = Degradation::new(policy()).unwrap();
    assert_eq!(degradation.check("extras").unwrap(), FeatureMode::On);
    degradation.signal("load", 0.8, at(0)).unwrap();
    assert_eq!(degradation.check("extras").unwrap_err().code(), Code::DEGRADED);
    let less = FeatureMode::Reduced(json!({"results": 10}).into());
    assert_eq!(degradation.check("search").unwrap(), less);
    assert_eq!(degradation.check("unheard of").unwrap(), FeatureMode::On);
    degradation.force(Some("essential"), "me", at(0)).unwrap();
    assert_eq!(degradation.check("search").unwrap(), FeatureMode::Fallback("cache".into()));
    assert!(degradation.check("extras").is_err(), "as at the better level");
}

#[test]
fn it_falls_at_once_to_the_level_that_is_asked_for_and_rises_by_one() {
    let degradation = Degradation::new(policy()).unwrap();
    let changes = told(&degradation);
    degradation.signal("health", 0.1, at(0)).unwrap();
    assert_eq!(&*degradation.level(), "essential");
    degradation.signal("health", 0.5, at(100)).unwrap();
    degradation.tick(at(10_099));
    assert_eq!(&*degradation.level(), "essential", "not calm for long enough");
    assert_eq!(degradation.next_tick(), Some(at(10_100)));
    degradation.tick(at(10_100));
    assert_eq!(&*degradation.level(), "reduced");
    degradation.tick(at(20_100));
    assert_eq!((&*degradation.level(), degradation.next_tick()), ("full", None));
    let rule = LevelWhy::Rule { signal: "health".into(), value: 0.1, enter: 0.2, leave: 0.5 };
    let why: Vec<_> = changes.lock().iter().map(|change| change.why.clone()).collect();
    assert_eq!(why, [rule, LevelWhy::Recovered, LevelWhy::Recovered]);
}

#[test]
fn it_rests_before_it_falls_further() {
    let degradation = Degradation::new(policy()).unwrap();
    degradation.signal("load", 0.8, at(0)).unwrap();
    degradation.signal("load", 1.0, at(500)).unwrap();
    assert_eq!(&*degradation.level(), "reduced");
    assert_eq!(degradation.next_tick(), Some(at(1_000)));
    degradation.tick(at(1_000));
    assert_eq!(&*degradation.level(), "essential");
}

#[test]
fn force_holds_whatever_the_signals_say() {
    let degradation = Degradation::new(policy()).unwrap();
    let changes = told(&degradation);
    degradation.force(Some("reduced"), "ops", at(0)).unwrap();
    degradation.signal("load", 1.0, at(5_000)).unwrap();
    degradation.tick(at(1_000_000));
    assert_eq!(&*degradation.level(), "reduced");
    assert!(degradation.status(at(1_000_000)).forced);
    degradation.force(None, "ops", at(1_000_000)).unwrap();
    assert_eq!(&*degradation.level(), "essential", "as the load asks");
    assert_eq!(changes.lock()[0].why, LevelWhy::Forced { by: "ops".into() });
    let error = degradation.force(Some("esential"), "ops", at(0)).unwrap_err();
    assert_eq!(error.code(), Code::NOT_FOUND);
    assert_eq!(error.remedy(), Some("did you mean 'essential'?"));
}

#[test]
fn a_signal_that_goes_silent_asks_for_nothing() {
    let degradation = Degradation::new(DegradePolicy { silent_ms: 2_000, ..policy() }).unwrap();
    degradation.signal("load", 0.9, at(0)).unwrap();
    assert_eq!(degradation.next_tick(), Some(at(2_000)));
    degradation.tick(at(2_000));
    assert!(degradation.status(at(2_000)).signals.is_empty());
    degradation.tick(at(12_000));
    assert_eq!(&*degradation.level(), "full");
}

#[test]
fn a_feature_has_a_name_and_is_replaced_by_something_else() {
    let field = |feature: &str, other: &str| {
        let fallback = FeatureMode::Fallback(other.into());
        let modes = [("reduced".to_owned(), fallback)].into();
        let features = [(feature.to_owned(), modes)].into();
        let error = DegradePolicy { features, ..policy() }.check().err()?;
        error.context().find(|(key, _)| *key == "field").map(|(_, field)| field.to_owned())
    };
    assert_eq!(field("search", "cache"), None);
    assert_eq!(field("", "cache").as_deref(), Some("features"));
    for other in ["", "search"] {
        let found = field("search", other);
        assert_eq!(found.as_deref(), Some("features.search.reduced.fallback"), "{other:?}");
    }
}

#[test]
fn another_policy_keeps_the_level_that_it_names() {
    let degradation = Degradation::new(policy()).unwrap();
    degradation.force(Some("reduced"), "me", at(0)).unwrap();
    degradation.set_policy(DegradePolicy::default(), at(0)).unwrap();
    assert_eq!(&*degradation.level(), "reduced");
    let changes = told(&degradation);
    let levels = vec!["good".to_owned(), "bad".to_owned()];
    degradation.set_policy(DegradePolicy { levels, ..DegradePolicy::default() }, at(0)).unwrap();
    assert_eq!(&*degradation.level(), "good");
    assert_eq!(changes.lock()[0].why, LevelWhy::Policy);
}

#[test]
fn policies_that_make_no_sense_name_their_field() {
    let rule = |level: &str, enter, leave| DegradePolicy {
        rules: vec![DegradeRule::new(level, "load", enter, leave)],
        ..DegradePolicy::default()
    };
    let features = [("f".to_owned(), [("no".to_owned(), FeatureMode::Off)].into())].into();
    let bad = [
        (DegradePolicy { levels: vec![], ..DegradePolicy::default() }, "levels"),
        (DegradePolicy { levels: vec!["a".into(), "a".into()], ..policy() }, "levels"),
        (rule("full", 1.0, 0.5), "rules[0].level"),
        (rule("reduced", 1.0, 1.0), "rules[0].leave"),
        (rule("reduced", f64::NAN, 1.0), "rules[0].leave"),
        (DegradePolicy { features, ..DegradePolicy::default() }, "features.f"),
        (DegradePolicy { down_dwell_ms: 0, ..DegradePolicy::default() }, "down_dwell_ms"),
    ];
    for (policy, field) in bad {
        let error = Degradation::new(policy).unwrap_err();
        assert_eq!(error.context().find(|(key, _)| *key == "field").unwrap().1, field);
    }
    let degradation = Degradation::new(policy()).unwrap();
    assert_eq!(degradation.signal("load", f64::NAN, at(0)).unwrap_err().code(), Code::INVALID);
    assert!(!degradation.signal("nobody listens", 1.0, at(0)).unwrap());
}

/// Runs a course of loads, one every `step` milliseconds; the changes and when they came.
fn ride(loads: &[f64], step: u64) -> Vec<(u64, LevelChange)> {
    let degradation = Degradation::new(policy()).unwrap();
    let changes = told(&degradation);
    let mut ride = Vec::new();
    for (index, load) in loads.iter().enumerate() {
        let now = index as u64 * step;
        degradation.signal("load", *load, at(now)).unwrap();
        ride.extend(changes.lock().drain(..).map(|change| (now, change)));
    }
    ride
}

/// What holds of any ride: it rests before each change, and rises by one level.
fn check_ride(ride: &[(u64, LevelChange)]) -> std::result::Result<(), TestCaseError> {
    let position = |level: &str| policy().position(level).unwrap();
    for (index, (now, change)) in ride.iter().enumerate() {
        let (from, to) = (position(&change.from), position(&change.to));
        let before = index.checked_sub(1).map_or(0, |before| ride[before].0);
        if to < from {
            prop_assert_eq!(from - to, 1);
            prop_assert!(now - before >= 10_000, "{ride:?}");
        } else if index > 0 {
            prop_assert!(now - before >= 1_000, "{ride:?}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// A ramp up and down again under noise narrower than the hysteresis: each level is entered once
    /// and left once.
    #[test]
    fn a_noisy_ramp_enters_and_leaves_each_level_once(
        noise in proptest::collection::vec(-0.04_f64..0.04, 150), step in 400_u64..2_000,
    ) {
        let ramp = |index: usize| {
            let way = index as f64 / 75.0;
            if way < 1.0 { way * 1.1 } else { (2.0 - way) * 1.1 }
        };
        let mut loads: Vec<_> = noise.iter().enumerate().map(|(i, n)| ramp(i) + n).collect();
        loads.extend(std::iter::repeat_n(0.0, 30_000 / step as usize + 1));
        let ride = ride(&loads, step);
        check_ride(&ride)?;
        let to: Vec<_> = ride.iter().map(|(_, change)| &*change.to).collect();
        prop_assert_eq!(to, ["reduced", "essential", "reduced", "full"]);
    }

    /// Whatever the load does, changes are as far apart as the dwell times say, so there are only so
    /// many of them: a fall and a rise take eleven seconds together.
    #[test]
    fn whatever_the_load_does_it_does_not_flap(
        loads in proptest::collection::vec(0.0_f64..1.2, 1..200), step in 1_u64..5_000,
    ) {
        let ride = ride(&loads, step);
        check_ride(&ride)?;
        let rises = ride.iter().filter(|(_, change)| change.why == LevelWhy::Recovered).count() as u64;
        let span = loads.len() as u64 * step;
        prop_assert!(rises <= span / 10_000);
        prop_assert!(ride.len() as u64 - rises <= rises + 2);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A driver that only ticks at the moments that are named does what one does that ticks all the
    /// time. (All times are multiples of 50 ms here.)
    #[test]
    fn the_next_tick_is_never_too_late(
        loads in proptest::collection::vec((0.0_f64..1.2, 1_u64..300), 1..20), silent in 0_u64..100,
    ) {
        let policy = || DegradePolicy { silent_ms: silent * 50, ..policy() };
        let (lazy, eager) =
            (Degradation::new(policy()).unwrap(), Degradation::new(policy()).unwrap());
        let mut now = 0;
        for (load, steps) in loads {
            lazy.signal("load", load, at(now)).unwrap();
            eager.signal("load", load, at(now)).unwrap();
            for _ in 0..steps {
                now += 50;
                if let Some(due) = lazy.next_tick().filter(|due| *due <= at(now)) {
                    prop_assert_eq!(due, at(now), "it was due before");
                    lazy.tick(due);
                    prop_assert!(lazy.next_tick() > Some(due) || lazy.next_tick().is_none());
                }
                eager.tick(at(now));
                prop_assert_eq!(lazy.level(), eager.level());
            }
        }
    }
}
