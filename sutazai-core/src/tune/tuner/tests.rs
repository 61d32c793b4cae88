use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::base::time::Moment;
use crate::tune::optimise::Random;
use crate::tune::{Knob, KnobKind, KnobScale, KnobValue, Setting, Space};

/// A program with knobs: what is measured at a setting.
struct World {
    setting: Setting,
    now: Moment,
    random: Random,
    noise: f64,
}

impl World {
    fn new(tuner: &Tuner, seed: u64, noise: f64) -> Self {
        let setting = tuner.view().original;
        Self { setting, now: Moment::ZERO, random: Random::new(seed), noise }
    }

    /// A second passes: a sample is taken and what the tuner wants is carried out.
    fn second(
        &mut self,
        tuner: &mut Tuner,
        measure: impl Fn(&Setting) -> (f64, f64),
    ) -> Vec<TunerAction> {
        self.now = self.now + Duration::from_secs(1);
        let (objective, guard) = measure(&self.setting);
        let sample = TunerSample {
            objective: Some(objective + self.noise * self.random.normal()),
            guards: BTreeMap::from([("errors".to_owned(), guard)]),
        };
        let actions = tuner.report(&sample, self.now);
        for action in &actions {
            if let TunerAction::Apply { setting, .. } = action {
                self.setting = setting.clone();
            }
        }
        actions
    }
}

fn number(setting: &Setting, name: &str) -> f64 {
    match setting.get(name) {
        Some(KnobValue::Number(v)) => *v,
        Some(KnobValue::Integer(v)) => *v as f64,
        other => panic!("{name}: {other:?}"),
    }
}

fn space(step: f64) -> Space {
    let float = KnobKind::Float { low: 0.0, high: 10.0, scale: KnobScale::Linear };
    let whole = KnobKind::Integer { low: 1, high: 256, scale: KnobScale::Log };
    Space::new(vec![
        Knob::new("a", float, KnobValue::Number(2.0)).max_step(step),
        Knob::new("b", whole, KnobValue::Integer(8)).max_step(step),
    ])
    .unwrap()
}

fn policy(autonomy: Autonomy) -> TunerPolicy {
    TunerPolicy {
        autonomy,
        guards: vec![GuardRail { metric: "errors".into(), side: GuardSide::AtMost, bound: 1.0 }],
        warm_up_ms: 1_000,
        window_ms: 5_000,
        cool_down_ms: 5_000,
        ..TunerPolicy::default()
    }
}

fn tuner(autonomy: Autonomy) -> Tuner {
    Tuner::new(space(0.3), policy(autonomy), Moment::ZERO).unwrap()
}

/// Least at a = 7, b = 64; errors rise with a.
fn bowl(s: &Setting) -> (f64, f64) {
    let (a, b) = (number(s, "a"), number(s, "b").log2());
    (10.0 + (a - 7.0).powi(2) + (b - 6.0).powi(2), 0.2)
}

#[test]
fn it_finds_a_better_setting_by_itself_and_says_why() {
    let policy = TunerPolicy { history: 10_000, ..policy(Autonomy::Act) };
    let mut tuner = Tuner::new(space(0.3), policy, Moment::ZERO).unwrap();
    let mut world = World::new(&tuner, 1, 0.5);
    let before = bowl(&world.setting).0;
    for _ in 0..20_000 {
        world.second(&mut tuner, bowl);
    }
    let view = tuner.view();
    let after = bowl(&view.incumbent).0;
    assert!(after < 12.0 && before > 40.0, "{before} {after} {view:?}");
    assert!(view.adopted >= 2 && view.broken == 0 && view.drifts == 0);
    // The last one may be under way.
    assert!((view.trials - 1..=view.trials).contains(&(view.history.len() as u64)));
    let adopted = view.history.iter().find(|r| r.verdict == TrialVerdict::Adopted).unwrap();
    assert!(adopted.gain.unwrap() > 0.0 && adopted.evidence >= 20.0 && adopted.pairs >= 3);
}

#[test]
fn a_broken_guard_rail_rolls_back_at_once() {
    let mut tuner = tuner(Autonomy::Act);
    let mut world = World::new(&tuner, 2, 0.1);
    let home = world.setting.clone();
    let mut seen = 0;
    for _ in 0..20_000 {
        // Anything else than the first setting breaks it.
        let other = world.setting != home;
        let actions =
            world.second(&mut tuner, |s| if *s == home { (10.0, 0.2) } else { (1.0, 2.0) });
        if other {
            seen += 1;
            let back = actions.iter().any(|a| {
                matches!(a, TunerAction::Apply { setting, cause: ApplyCause::RollBack, .. } if *setting == home)
            });
            assert!(back, "{actions:?}");
        }
    }
    let view = tuner.view();
    assert!(seen >= 1 && view.broken == seen && view.adopted == 0, "{view:?}");
    let record = view.history.iter().find(|r| r.verdict == TrialVerdict::GuardBroken).unwrap();
    assert_eq!(record.broken.as_ref().unwrap().value, Some(2.0));
}

#[test]
fn the_levels_of_autonomy_differ() {
    for level in [Autonomy::Observe, Autonomy::Suggest] {
        let mut tuner = tuner(level);
        let mut world = World::new(&tuner, 3, 0.1);
        let mut suggested = 0;
        for _ in 0..500 {
            for action in world.second(&mut tuner, bowl) {
                assert!(matches!(action, TunerAction::Suggest { .. }), "{action:?}");
                suggested += 1;
            }
        }
        let view = tuner.view();
        assert!(
            view.trials > 5 && view.history.iter().all(|r| r.verdict == TrialVerdict::NotTried)
        );
        assert_eq!(suggested, if level == Autonomy::Suggest { view.trials } else { 0 });
        assert_eq!(view.applied, view.original);
    }
}

#[test]
fn a_trial_waits_for_its_approval() {
    let mut tuner = Tuner::new(
        space(0.3),
        TunerPolicy { approval_ms: 60_000, ..policy(Autonomy::Approve) },
        Moment::ZERO,
    )
    .unwrap();
    let mut world = World::new(&tuner, 4, 0.1);
    let ask = |world: &mut World, tuner: &mut Tuner| loop {
        match world.second(tuner, bowl).first() {
            Some(TunerAction::Ask { trial, until_nanos, .. }) => return (*trial, *until_nanos),
            Some(other) => panic!("{other:?}"),
            None => {}
        }
    };
    // Nobody answers.
    let (first, until) = ask(&mut world, &mut tuner);
    while world.now.as_nanos() < until {
        assert_eq!(tuner.view().phase, TunerPhase::Waiting);
        assert!(world.second(&mut tuner, bowl).is_empty());
    }
    assert_eq!(tuner.view().history.last().unwrap().verdict, TrialVerdict::TimedOut);
    assert!(tuner.answer(first, true, world.now).is_err());
    // Denied.
    let (second, _) = ask(&mut world, &mut tuner);
    assert!(tuner.answer(second + 1, true, world.now).is_err());
    assert!(tuner.answer(second, false, world.now).unwrap().is_empty());
    assert_eq!(tuner.view().history.last().unwrap().verdict, TrialVerdict::Denied);
    // Approved.
    let (third, _) = ask(&mut world, &mut tuner);
    tuner.answer(third, true, world.now).unwrap();
    assert_eq!(tuner.view().phase, TunerPhase::Trying);
    let mut applied = Vec::new();
    while tuner.view().phase == TunerPhase::Trying {
        applied.extend(world.second(&mut tuner, bowl));
    }
    let tried =
        applied.iter().any(|a| matches!(a, TunerAction::Apply { cause: ApplyCause::Trial, .. }));
    assert!(tried && tuner.view().history.last().unwrap().pairs >= 3);
}

#[test]
fn noise_changes_nothing() {
    let mut adopted = 0;
    let mut trials = 0;
    for seed in 0..10 {
        let policy = TunerPolicy { seed, min_gain: 0.0, ..policy(Autonomy::Act) };
        let mut tuner = Tuner::new(space(0.3), policy, Moment::ZERO).unwrap();
        let mut world = World::new(&tuner, seed, 5.0);
        for _ in 0..5_000 {
            world.second(&mut tuner, |_| (10.0, 0.2));
        }
        adopted += tuner.view().adopted;
        trials += tuner.view().trials;
    }
    // Half of the 5 %, as only gains are adopted; with room for chance.
    assert!(trials > 250 && adopted * 20 <= trials, "{adopted} of {trials}");
}

#[test]
fn when_the_world_changes_the_former_setting_comes_back() {
    let mut tuner = tuner(Autonomy::Act);
    let mut world = World::new(&tuner, 6, 0.2);
    let home = world.setting.clone();
    for _ in 0..10_000 {
        world.second(&mut tuner, bowl);
    }
    assert_ne!(tuner.view().incumbent, home);
    // Now the first setting is the best one, and the objective is another magnitude.
    let away = |s: &Setting| {
        let (a, b) = (number(s, "a"), number(s, "b").log2());
        (50.0 + 3.0 * (a - 2.0).powi(2) + 3.0 * (b - 3.0).powi(2), 0.2)
    };
    for _ in 0..10_000 {
        world.second(&mut tuner, away);
    }
    let view = tuner.view();
    assert!(view.drifts >= 1, "{view:?}");
    assert!(away(&view.incumbent).0 < 56.0, "{:?}", view.incumbent);
    let recheck = view.history.iter().any(|r| r.cause == TrialCause::Recheck);
    assert!(recheck);
}

#[test]
fn what_was_adopted_and_breaks_a_guard_rail_later_gives_way_to_the_original() {
    let mut tuner = tuner(Autonomy::Act);
    let mut world = World::new(&tuner, 7, 0.2);
    let home = world.setting.clone();
    while tuner.view().adopted == 0 || tuner.view().phase != TunerPhase::Resting {
        world.second(&mut tuner, bowl);
    }
    for _ in 0..3 {
        world.second(&mut tuner, bowl);
    }
    let h = home.clone();
    let mut restored = false;
    for _ in 0..5 {
        restored |= (world.second(&mut tuner, |s| (bowl(s).0, if *s == h { 0.2 } else { 3.0 })))
            .iter()
            .any(|a| matches!(a, TunerAction::Apply { cause: ApplyCause::Restore, .. }));
    }
    assert!(restored && world.setting == home, "{:?}", tuner.view());
}

#[test]
fn nothing_is_tried_before_the_setting_in_use_is_known_to_be_safe() {
    let mut tuner = tuner(Autonomy::Act);
    let mut world = World::new(&tuner, 8, 0.2);
    for _ in 0..500 {
        assert!(world.second(&mut tuner, |s| (bowl(s).0, 1.5)).is_empty());
    }
    // The guard-rail's metric is not measured at all.
    for _ in 0..500 {
        world.now = world.now + Duration::from_secs(1);
        let sample = TunerSample { objective: Some(1.0), ..TunerSample::default() };
        assert!(tuner.report(&sample, world.now).is_empty());
    }
    let view = tuner.view();
    assert!(view.trials == 0 && view.phase == TunerPhase::Learning);
    // Then it is.
    for _ in 0..100 {
        world.second(&mut tuner, bowl);
    }
    assert!(tuner.view().trials > 0);
}

#[test]
fn a_setting_that_cannot_be_applied_or_is_changed_by_hand_ends_the_trial() {
    let mut tuner = tuner(Autonomy::Act);
    let mut world = World::new(&tuner, 9, 0.2);
    let trying = |world: &mut World, tuner: &mut Tuner| {
        while tuner.view().applied == tuner.view().incumbent {
            world.second(tuner, bowl);
        }
    };
    trying(&mut world, &mut tuner);
    let back = tuner.not_applied(world.now);
    assert!(matches!(&back[..], [TunerAction::Apply { cause: ApplyCause::RollBack, .. }]));
    assert_eq!(tuner.view().history.last().unwrap().verdict, TrialVerdict::NotApplied);
    world.setting = tuner.view().applied;
    trying(&mut world, &mut tuner);
    let mut hand = tuner.view().original;
    hand.insert("a".into(), KnobValue::Number(9.0));
    tuner.set(&hand, world.now).unwrap();
    assert!(tuner.set(&Setting::new(), world.now).is_err());
    let view = tuner.view();
    assert!(view.incumbent == hand && view.applied == hand && view.phase == TunerPhase::Learning);
    assert_eq!(view.history.last().unwrap().verdict, TrialVerdict::Cancelled);
}

#[test]
fn a_policy_that_makes_no_sense_is_refused() {
    let base = || policy(Autonomy::Act);
    let bad = [
        TunerPolicy { window_ms: 0, ..base() },
        TunerPolicy { error: f64::NAN, ..base() },
        TunerPolicy { max_pairs: 3, ..base() },
        TunerPolicy { guards: [base().guards, base().guards].concat(), ..base() },
    ];
    for policy in bad {
        assert!(Tuner::new(space(0.3), policy, Moment::ZERO).is_err());
    }
    let text = serde_json::to_string(&base()).unwrap();
    assert_eq!(serde_json::from_str::<TunerPolicy>(&text).unwrap(), base());
    assert!(serde_json::from_str::<TunerPolicy>("{\"windows\": 1}").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the world does, the knobs stay in their bounds and move by one step at most, and nothing that is not a number
    /// comes out.
    #[test]
    fn it_never_leaves_the_envelope(
        seed in any::<u64>(),
        step in 0.05f64..1.0,
        slope in -3.0f64..3.0,
        bend in -1.0f64..1.0,
        odd in 0usize..6,
        seconds in 300usize..1500,
    ) {
        let policy = TunerPolicy { seed, ..policy(Autonomy::Act) };
        let mut tuner = Tuner::new(space(step), policy, Moment::ZERO).unwrap();
        let mut world = World::new(&tuner, seed, 1.0);
        let space = space(step);
        for i in 0..seconds {
            let actions = world.second(&mut tuner, |s| {
                let a = number(s, "a");
                let objective = match (odd, i % 7) {
                    (1, 0) => f64::NAN,
                    (2, 1) => f64::MAX,
                    (3, 2) => f64::NEG_INFINITY,
                    (4, _) => 0.0,
                    _ => slope * a + bend * a * a + number(s, "b").ln(),
                };
                let guard = if odd == 5 && i % 97 == 0 { f64::NAN } else { 0.1 * (a - 2.0) };
                (objective, guard)
            });
            let view = tuner.view();
            for action in actions {
                let TunerAction::Apply { setting, cause, .. } = action else {
                    panic!("{action:?}");
                };
                prop_assert!(space.check(&setting).is_ok());
                if cause == ApplyCause::Trial {
                    let far = (number(&setting, "a") - number(&view.incumbent, "a")).abs() / 10.0;
                    prop_assert!(far <= step + 1e-9, "{far} {step}");
                    let b = |s: &Setting| number(s, "b").ln() / 256f64.ln();
                    let whole = (number(&setting, "b") - number(&view.incumbent, "b")).abs() <= 1.0;
                    let far = (b(&setting) - b(&view.incumbent)).abs();
                    prop_assert!(whole || far <= step + 1e-9);
                }
            }
            prop_assert!(view.level.is_none_or(f64::is_finite));
            prop_assert!(view.history.iter().all(|r| r.evidence.is_finite()));
        }
    }

    /// With a guard-rail that depends smoothly on the knobs, trials hardly ever break it.
    #[test]
    fn it_keeps_away_from_what_is_not_safe(seed in any::<u64>(), edge in 4.0f64..9.0) {
        let policy = TunerPolicy { seed, ..policy(Autonomy::Act) };
        let mut tuner = Tuner::new(space(0.3), policy, Moment::ZERO).unwrap();
        let mut world = World::new(&tuner, seed, 0.2);
        for _ in 0..3000 {
            // More a is always better, but for the guard-rail.
            world.second(&mut tuner, |s| (30.0 - number(s, "a"), number(s, "a") / edge));
        }
        let view = tuner.view();
        prop_assert!(view.broken * 10 <= view.trials, "{} of {}", view.broken, view.trials);
        prop_assert!(number(&view.incumbent, "a") > 2.0 && number(&view.incumbent, "a") <= edge);
    }
}

#[test]
fn what_was_in_use_before_is_tried_first() {
    let mut tuner = tuner(Autonomy::Act);
    let mut former = tuner.incumbent().clone();
    former.insert("a".to_owned(), KnobValue::Number(4.0));
    tuner.recall(&former).unwrap();
    former.insert("a".to_owned(), KnobValue::Number(11.0));
    assert!(tuner.recall(&former).is_err(), "a ends at 10");
    let mut world = World::new(&tuner, 3, 0.1);
    for _ in 0..300 {
        world.second(&mut tuner, bowl);
    }
    let first = &tuner.view().history[0];
    assert_eq!(first.cause, TrialCause::Recheck);
    assert_eq!((number(&first.setting, "a"), number(&first.setting, "b")), (4.0, 8.0));
    assert_eq!(first.verdict, TrialVerdict::Adopted);
}

#[test]
fn what_is_in_use_is_held_to_its_guard_rails_while_a_trial_waits() {
    let mut tuner = tuner(Autonomy::Act);
    let mut world = World::new(&tuner, 4, 0.1);
    let home = world.setting.clone();
    while tuner.view().adopted == 0 {
        world.second(&mut tuner, bowl);
        assert!(world.now < Moment::ZERO + Duration::from_secs(20_000));
    }
    let adopted = tuner.incumbent().clone();
    tuner.set_autonomy(Autonomy::Approve, world.now);
    while !tuner.is_waiting() {
        world.second(&mut tuner, bowl);
        assert!(world.now < Moment::ZERO + Duration::from_secs(40_000));
    }
    assert_eq!((&world.setting, adopted != home), (&adopted, true));
    // What was adopted breaks its guard-rail: it gives way, and nobody is waited for.
    let actions = world.second(&mut tuner, |_| (10.0, 2.0));
    assert!(!tuner.is_waiting() && world.setting == home, "{actions:?}");
    let last = tuner.view().history.last().unwrap().verdict;
    assert_eq!(last, TrialVerdict::BaselineBroken);
}

#[test]
fn a_break_that_is_measured_when_the_window_ends_is_the_trials() {
    for warm_up_ms in [0, 3_000] {
        let policy = TunerPolicy { warm_up_ms, ..policy(Autonomy::Act) };
        let mut tuner = Tuner::new(space(0.3), policy, Moment::ZERO).unwrap();
        let mut world = World::new(&tuner, 5, 0.1);
        let home = world.setting.clone();
        // Five seconds of measuring: the errors of what is tried show in the last of them.
        let mut tried = 0;
        for _ in 0..3_000 {
            let last = tried == warm_up_ms / 1_000 + 4;
            let errors = if world.setting != home && last { 2.0 } else { 0.2 };
            world.second(&mut tuner, |_| (10.0, errors));
            tried = if world.setting == home { 0 } else { tried + 1 };
        }
        let view = tuner.view();
        let bad = |trial: &&TrialRecord| trial.verdict == TrialVerdict::BaselineBroken;
        assert!(view.broken > 0 && view.history.iter().find(bad).is_none(), "{view:?}");
        assert_eq!((view.adopted, &view.incumbent), (0, &home));
    }
}

#[test]
fn a_break_that_shows_late_is_the_trials() {
    let mut tuner = tuner(Autonomy::Act);
    let mut world = World::new(&tuner, 6, 0.1);
    let home = world.setting.clone();
    let mut before = home.clone();
    for _ in 0..3_000 {
        // A second late, it is of what was set before; the objective is much better there.
        let errors = if before != home { 2.0 } else { 0.2 };
        before = world.setting.clone();
        let cost = if before == home { 10.0 } else { 1.0 };
        world.second(&mut tuner, |_| (cost, errors));
    }
    let view = tuner.view();
    assert!(view.broken > 0 && view.adopted == 0, "{view:?}");
    assert_eq!(view.incumbent, home);
}

#[test]
fn what_is_missing_is_named_and_nothing_begins_without_it() {
    let mut tuner = tuner(Autonomy::Observe).numbered_after(41);
    let mut world = World::new(&tuner, 11, 0.1);
    let named = |tuner: &Tuner, now| -> Vec<_> {
        tuner.lacks(now).into_iter().map(|lack| lack.metric).collect()
    };
    assert_eq!(named(&tuner, world.now), [None, Some("errors".to_owned())]);
    for _ in 0..60 {
        world.second(&mut tuner, bowl);
    }
    assert!(tuner.lacks(world.now).is_empty());
    let (first, trials) = (tuner.view().history[0].id, tuner.view().trials);
    assert_eq!((first, tuner.last_trial()), (42, 41 + trials));
    // One that is not a number is none; what is under way has an end.
    let last = world.now;
    for _ in 0..30 {
        world.second(&mut tuner, |s| (f64::NAN, bowl(s).1));
    }
    assert_eq!(named(&tuner, world.now), [None]);
    assert_eq!(tuner.lacks(world.now)[0].since, last);
    let trials = tuner.view().trials;
    for _ in 0..300 {
        world.second(&mut tuner, |s| (f64::NAN, bowl(s).1));
    }
    assert_eq!(tuner.view().trials, trials, "none could be judged");
}
