#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use proptest::prelude::*;

use super::before::Before;
use super::knee::Knee;
use super::levels::{Levels, Point};
use super::{AdaptiveLimit, Call, CallOutcome, LimitCause, LimitPhase, LimitPolicy};
use crate::base::time::Moment;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn limit() -> AdaptiveLimit {
    AdaptiveLimit::new(LimitPolicy::default(), Moment::ZERO).unwrap()
}

/// Points of a target with this knee and service time, as though each level had been seen often.
fn points(useful: f64, service: f64, levels: &[f64]) -> Vec<Point> {
    let point = |n: &f64| {
        let mean = service * (n / useful).max(1.0);
        Point { concurrency: *n, answered: 400.0, spent: 400.0 * mean, spread: 1.0 }
    };
    levels.iter().map(point).collect()
}

#[test]
fn the_knee_is_where_it_is() {
    let knee = Knee::find(&points(10.0, 0.2, &[4.0, 8.0, 16.0, 24.0]), None).unwrap();
    assert!((knee.useful / 10.0).ln().abs() < 0.1, "{knee:?}");
    assert!((knee.service / 0.2).ln().abs() < 0.1, "{knee:?}");
    assert!(knee.doubt < 0.1, "{knee:?}");
    assert!((knee.stretch(20.0) - 2.0).abs() < 0.2);
    assert!(knee.expected(60.0).is_none(), "nobody was there");
}

#[test]
fn what_was_not_tried_is_possible_within_a_factor_of_two() {
    let flat = Knee::find(&points(1e6, 0.2, &[8.0, 16.0]), None).unwrap();
    assert!(flat.useful > 16.0 && flat.useful < 32.0, "{flat:?}");
    let steep = Knee::find(&points(1.0, 0.2, &[8.0, 16.0]), None).unwrap();
    assert!(steep.useful > 4.0 && steep.useful < 8.0, "{steep:?}");
    let single = Knee::find(&points(10.0, 0.2, &[16.0]), None).unwrap();
    assert!(single.doubt > 0.35, "one level says nothing: {single:?}");
    assert!(Knee::find(&[], None).is_none());
}

#[test]
fn a_slower_target_is_no_queue() {
    for service in [1e-6, 0.001, 1.0, 3600.0] {
        let knee = Knee::find(&points(32.0, service, &[20.0, 28.0, 40.0]), None).unwrap();
        assert!((knee.useful / 32.0).ln().abs() < 0.1, "{service} {knee:?}");
    }
}

#[test]
fn calls_under_way_count() {
    let mut levels = Levels::default();
    for _ in 0..4 {
        levels.begin(4, 0.0);
    }
    levels.end(4, 0.0, Some((1.0, 4.0)), true);
    levels.end(4, 0.0, Some((1.0, 4.0)), true);
    let seen: Vec<Point> = levels.points(3.0, 1e9, 1.0, 1.0).collect();
    let [point] = seen.as_slice() else { panic!("{seen:?}") };
    assert!((point.spent - 8.0).abs() < 1e-9, "two of 1 s, two of 3 s so far: {point:?}");
    assert!(levels.points(3.0, 1e9, 2.0, 1.0).next().is_none(), "too young");
    let capped: Vec<Point> = levels.points(3.0, 2.0, 1.0, 1.0).collect();
    assert!((capped.first().unwrap().spent - 6.0).abs() < 1e-9, "{capped:?}");
    levels.clear();
    levels.end(4, 0.0, Some((1.0, 4.0)), true);
    assert!(levels.points(3.0, 1e9, 1.0, 1.0).next().is_none());
}

#[test]
fn policies_that_are_not_valid_are_refused() {
    let refused = |change: fn(&mut LimitPolicy)| {
        let mut policy = LimitPolicy::default();
        change(&mut policy);
        let error = AdaptiveLimit::new(policy, Moment::ZERO).unwrap_err();
        assert_eq!(error.code(), crate::Code::INVALID);
    };
    refused(|p| p.min = 0);
    refused(|p| p.max = 0);
    refused(|p| p.max = u32::MAX);
    refused(|p| p.initial = Some(0));
    refused(|p| p.initial = Some(5_000));
    refused(|p| p.headroom = 0.5);
    refused(|p| p.headroom = f64::NAN);
    refused(|p| p.explore = f64::INFINITY);
    refused(|p| p.memory = -1.0);
    let read: Result<LimitPolicy, _> = serde_json::from_str(r#"{"inital": 3}"#);
    assert!(read.is_err(), "a name that is not known");
    let read: LimitPolicy = serde_json::from_str(r#"{"initial": 3}"#).unwrap();
    assert_eq!(read.initial, Some(3));
    // Who says nothing of it begins within the bounds that are said.
    for (min, max, begins) in [(1, 1_000, 20), (1, 8, 8), (30, 40, 30)] {
        let policy = LimitPolicy { min, max, ..LimitPolicy::default() };
        assert_eq!(AdaptiveLimit::new(policy, Moment::ZERO).unwrap().limit(), begins);
    }
}

#[test]
fn it_lets_in_as_many_as_it_says() {
    let mut limit = limit();
    let calls: Vec<Call> = (0..20).map_while(|_| limit.try_begin(Moment::ZERO)).collect();
    assert_eq!((calls.len(), limit.in_flight()), (20, 20));
    assert!(limit.try_begin(Moment::ZERO).is_none());
    assert_eq!(limit.view().kept_out, 1);
    let beyond = limit.begin(Moment::ZERO);
    assert_eq!(limit.in_flight(), 21);
    limit.end(beyond, CallOutcome::Ignored, Moment::ZERO);
    assert_eq!(limit.in_flight(), 20);
}

#[test]
fn one_that_keeps_nobody_out_is_never_raised() {
    let mut limit = limit();
    let mut now = Moment::ZERO;
    for _ in 0..10_000 {
        let calls = [limit.try_begin(now).unwrap(), limit.try_begin(now).unwrap()];
        now = now + ms(10);
        for call in calls {
            limit.end(call, CallOutcome::Answered, now);
        }
        assert!(limit.limit() <= 20);
    }
}

#[test]
fn time_outs_drive_it_to_the_floor_and_answers_back() {
    let mut limit = limit();
    let mut now = Moment::ZERO;
    let mut round = |limit: &mut AdaptiveLimit, outcome, took| {
        let calls: Vec<Call> = std::iter::from_fn(|| limit.try_begin(now)).collect();
        now = now + took;
        calls.into_iter().filter_map(|call| limit.end(call, outcome, now)).last()
    };
    let change = round(&mut limit, CallOutcome::TimedOut, ms(30_000)).unwrap();
    assert_eq!(change.cause, LimitCause::TimedOut);
    for _ in 0..20 {
        round(&mut limit, CallOutcome::TimedOut, ms(30_000));
    }
    assert_eq!(limit.limit(), 1);
    assert_eq!(limit.view().phase, LimitPhase::Backing);
    for _ in 0..60 {
        round(&mut limit, CallOutcome::Answered, ms(100));
    }
    assert!(limit.view().target >= 20, "{:?}", limit.view());
    assert_eq!(limit.view().last.cause, LimitCause::Room);
}

#[test]
fn silence_is_noticed_before_a_call_ends() {
    let mut limit = limit();
    let mut now = Moment::ZERO;
    for _ in 0..50 {
        let calls: Vec<Call> = std::iter::from_fn(|| limit.try_begin(now)).collect();
        now = now + Duration::from_secs(120);
        for call in calls {
            limit.end(call, CallOutcome::Answered, now);
        }
    }
    let before = limit.view().target;
    let hang: Vec<Call> = std::iter::from_fn(|| limit.try_begin(now)).collect();
    let mut change = None;
    for _ in 0..40 {
        now = now + Duration::from_secs(60);
        change = change.or(limit.tick(now).filter(|it| it.cause == LimitCause::Stalled));
    }
    assert!(change.is_some() && limit.view().target < before / 2, "{:?}", limit.view());
    // They are answered after all: it was slow, and takes as many as before.
    let changes: Vec<_> = hang
        .into_iter()
        .filter_map(|call| limit.end(call, CallOutcome::Answered, now))
        .map(|change| change.cause)
        .collect();
    assert_eq!(changes.first(), Some(&LimitCause::CameBack));
    assert_eq!(limit.view().target, before, "{:?}", limit.view());
    assert_ne!(limit.view().phase, LimitPhase::Backing);
}

#[test]
fn who_answers_again_but_not_what_was_asked_before_has_to_be_learnt_anew() {
    let mut limit = limit();
    let mut now = Moment::ZERO;
    let mut round = |limit: &mut AdaptiveLimit, answers: bool| {
        let calls: Vec<Call> = std::iter::from_fn(|| limit.try_begin(now)).collect();
        for _ in 0..if answers { 1 } else { 60 } {
            now = now + ms(100);
            limit.tick(now);
        }
        let outcome = if answers { CallOutcome::Answered } else { CallOutcome::TimedOut };
        let ends: Vec<_> =
            calls.into_iter().filter_map(|call| limit.end(call, outcome, now)).collect();
        ends.iter().any(|change| change.cause == LimitCause::CameBack)
    };
    for _ in 0..50 {
        assert!(!round(&mut limit, true));
    }
    for _ in 0..10 {
        assert!(!round(&mut limit, false));
    }
    assert_eq!(limit.limit(), 1, "{:?}", limit.view());
    assert!(!round(&mut limit, true), "{:?}", limit.view());
    assert!(limit.view().target < 10, "{:?}", limit.view());
}

#[test]
fn one_that_lasted_does_not_say_that_the_target_is_there() {
    let mut limit = limit();
    let mut now = Moment::ZERO;
    for _ in 0..50 {
        let calls: Vec<Call> = std::iter::from_fn(|| limit.try_begin(now)).collect();
        now = now + ms(100);
        for call in calls {
            limit.end(call, CallOutcome::Answered, now);
        }
    }
    let before = limit.view().target;
    let mut hang: Vec<Call> = std::iter::from_fn(|| limit.try_begin(now)).collect();
    for _ in 0..400 {
        now = now + ms(100);
        limit.tick(now);
    }
    let stream = hang.pop().unwrap();
    for call in hang {
        limit.end(call, CallOutcome::TimedOut, now);
    }
    // One of those from before comes back: a step, and not all the way.
    let [refused, other] = [limit.begin(now), limit.begin(now)];
    limit.end(stream, CallOutcome::Answered, now);
    assert!(limit.view().target < before / 2, "{:?}", limit.view());
    // What is asked now is refused, which counts for more than what was asked before.
    limit.end(refused, CallOutcome::Refused, now);
    let low = limit.view().target;
    limit.end(other, CallOutcome::Refused, now);
    assert!(limit.view().target <= low, "{:?}", limit.view());
    assert_ne!(limit.view().last.cause, LimitCause::Room);
}

#[test]
fn what_was_useful_is_likely_to_be_still() {
    let usual = Knee::find(&points(10.0, 1.0, &[5.0, 10.0, 14.0]), None).unwrap();
    assert_eq!(usual.kept, None);
    let before = Before::new(&usual);
    // Where it is, calls take five times as long: that may be either.
    let either = Knee::find(&points(10.0, 5.0, &[14.0]), Some(&before)).unwrap();
    assert!((5.0..11.0).contains(&either.useful) && either.doubt > 0.5, "{either:?}");
    assert!(either.kept.is_some_and(|kept| (0.5..0.9).contains(&kept)), "{either:?}");
    // With fewer it is seen.
    let slow = Knee::find(&points(10.0, 5.0, &[5.0, 14.0]), Some(&before)).unwrap();
    assert!(slow.kept > Some(0.99), "{slow:?}");
    let less = Knee::find(&points(2.0, 1.0, &[5.0, 14.0]), Some(&before)).unwrap();
    assert!(less.kept < Some(0.01) && less.useful < 5.0, "{less:?}");
    let more = Knee::find(&points(30.0, 1.0, &[10.0, 28.0]), Some(&before)).unwrap();
    assert!(more.useful > 20.0, "{more:?}");
}

#[test]
fn what_takes_longer_than_a_smaller_target_would_is_slow_without_a_look() {
    // Four are useful, of a second each; then five at once take so much longer.
    let kept = |longer: f64| {
        let known = Knee::find(&points(4.0, 1.0, &[2.0, 3.0, 4.0, 5.0, 8.0]), None).unwrap();
        let before = Before::new(&known);
        Knee::find(&points(4.0, longer, &[5.0]), Some(&before)).unwrap().kept.unwrap()
    };
    // Two of them would take that long, or one.
    for longer in [2.0, 3.0, 4.0] {
        assert!((0.5..0.85).contains(&kept(longer)), "{longer}: {}", kept(longer));
    }
    for longer in [10.0, 100.0] {
        assert!(kept(longer) > 0.85, "{longer}: {}", kept(longer));
    }
}

#[test]
fn errors_that_come_in_time_are_no_silence() {
    let mut limit = limit();
    let mut now = Moment::ZERO;
    let mut stalled = 0;
    for i in 0..2_000 {
        let calls: Vec<Call> = std::iter::from_fn(|| limit.try_begin(now)).collect();
        now = now + ms(100);
        let outcome = if i < 200 { CallOutcome::Answered } else { CallOutcome::Failed };
        for call in calls {
            let change = limit.end(call, outcome, now);
            stalled += u32::from(change.is_some_and(|it| it.cause == LimitCause::Stalled));
        }
    }
    assert_eq!(stalled, 0, "{:?}", limit.view());
}

#[test]
fn refusals_lower_it_by_their_share() {
    let mut limit = limit();
    let mut now = Moment::ZERO;
    // The target takes eight at once.
    let mut sum = 0;
    for round in 0..400 {
        let calls: Vec<Call> = std::iter::from_fn(|| limit.try_begin(now)).collect();
        now = now + ms(100);
        for (place, call) in calls.into_iter().enumerate() {
            let outcome = if place < 8 { CallOutcome::Answered } else { CallOutcome::Refused };
            limit.end(call, outcome, now);
        }
        if round >= 100 {
            sum += limit.limit();
        }
    }
    let mean = f64::from(sum) / 300.0;
    assert!((6.0..=12.0).contains(&mean), "{mean} {:?}", limit.view());
}

#[test]
fn another_policy_bounds_at_once() {
    let mut limit = limit();
    let mut policy = LimitPolicy { initial: Some(5), max: 5, ..LimitPolicy::default() };
    limit.set_policy(policy.clone()).unwrap();
    assert_eq!((limit.limit(), limit.view().last.cause), (5, LimitCause::Policy));
    policy.min = 9;
    assert!(limit.set_policy(policy).is_err());
    assert_eq!(limit.view().policy.max, 5, "the old one stays");
}

/// Something that happens to a limit.
#[derive(Clone, Debug)]
enum Step {
    Begin(bool),
    End(usize, CallOutcome),
    Tick,
}

fn step() -> impl Strategy<Value = (Step, u64)> {
    let outcome = prop_oneof![
        6 => Just(CallOutcome::Answered),
        1 => Just(CallOutcome::Failed),
        2 => Just(CallOutcome::TimedOut),
        1 => Just(CallOutcome::Refused),
        1 => Just(CallOutcome::Ignored),
    ];
    let step = prop_oneof![
        4 => any::<bool>().prop_map(Step::Begin),
        4 => (any::<usize>(), outcome).prop_map(|(which, outcome)| Step::End(which, outcome)),
        1 => Just(Step::Tick),
    ];
    // Moments that stand still, go on, run back, and leap to the end of time.
    let moment = prop_oneof![
        4 => 0..2_000_000_000_u64,
        2 => Just(0_u64),
        2 => 0..u64::MAX / 2,
        1 => Just(u64::MAX),
    ];
    (step, moment)
}

proptest! {
    #[test]
    fn whatever_comes_it_stays_within_its_bounds(
        steps in prop::collection::vec(step(), 0..600),
        min in 1_u32..10,
        span in 0_u32..100,
        drift in 0_u64..10_000_000,
    ) {
        let policy = LimitPolicy { initial: Some(min), min, max: min + span, ..LimitPolicy::default() };
        let mut limit = AdaptiveLimit::new(policy, Moment::ZERO).unwrap();
        let mut calls = Vec::new();
        for (index, (step, nanos)) in steps.into_iter().enumerate() {
            let now = Moment::from_nanos(nanos.saturating_add(drift * index as u64));
            match step {
                Step::Begin(true) => calls.push(limit.begin(now)),
                Step::Begin(false) => calls.extend(limit.try_begin(now)),
                Step::End(which, outcome) if !calls.is_empty() => {
                    let before = limit.limit();
                    let call = calls.swap_remove(which % calls.len());
                    if let Some(change) = limit.end(call, outcome, now) {
                        prop_assert_eq!((change.from, change.to), (before, limit.limit()));
                    }
                }
                Step::End(..) => {}
                Step::Tick => { limit.tick(now); }
            }
            let view = limit.view();
            prop_assert!((min..=min + span).contains(&view.limit), "{:?}", view);
            prop_assert!((min..=min + span).contains(&view.target), "{:?}", view);
            prop_assert!(view.limit <= view.target);
            prop_assert_eq!(view.in_flight as usize, calls.len());
            for figure in [view.useful, view.doubt, view.service_ms].into_iter().flatten() {
                prop_assert!(figure.is_finite() && figure >= 0.0, "{:?}", view);
            }
        }
    }
}
