use std::sync::atomic::AtomicUsize;

use super::*;
use proptest::prelude::*;

fn at(ms: u64) -> Moment {
    Moment::ZERO + Duration::from_millis(ms)
}

fn rates(failure: f64, slow: f64) -> BreakerPolicy {
    BreakerPolicy {
        failure_rate: failure,
        slow_rate: slow,
        slow_ms: 5,
        window: Window::Calls(10),
        minimum: 4,
        ..BreakerPolicy::default()
    }
}

fn feed(breaker: &Breaker, outcome: Outcome, took: Option<Duration>, now: Moment) {
    if let Ok(permit) = breaker.admit(now) {
        permit.settle(outcome, took, now);
    }
}

#[test]
fn a_rate_counts_once_the_window_holds_enough() {
    let breaker = Breaker::new("b", rates(0.5, 0.0)).unwrap();
    (0..3).for_each(|_| feed(&breaker, Outcome::Failure, None, at(0)));
    assert_eq!(breaker.state(), BreakerState::Closed, "three calls of four");
    feed(&breaker, Outcome::Failure, None, at(0));
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn it_opens_on_calls_that_are_slower_than_its_bound_and_on_no_others() {
    for (micros, opens) in [(4_000, false), (5_000, false), (5_001, true), (6_000, true)] {
        let breaker = Breaker::new("b", rates(0.0, 0.5)).unwrap();
        for _ in 0..20 {
            feed(&breaker, Outcome::Success, Some(Duration::from_micros(micros)), at(0));
        }
        assert_eq!(breaker.state() == BreakerState::Open, opens, "{micros} µs");
    }
}

#[test]
fn a_quiet_breaker_hears_of_slow_calls() {
    let breaker = Breaker::new("b", rates(0.5, 0.5)).unwrap();
    (0..10).for_each(|_| feed(&breaker, Outcome::Success, Some(Duration::ZERO), at(0)));
    assert_eq!(breaker.gate.load(Ordering::Relaxed) & GATES, QUIET);
    (0..5).for_each(|_| feed(&breaker, Outcome::Success, Some(Duration::from_millis(9)), at(0)));
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn probes_double_until_it_closes() {
    let policy = BreakerPolicy { consecutive: 1, close_after: 7, ..BreakerPolicy::default() };
    let breaker = Breaker::new("b", policy).unwrap();
    feed(&breaker, Outcome::Failure, None, at(0));
    assert!(breaker.admit(at(4_999)).is_err());
    for admitted in [1, 2, 4] {
        assert_ne!(breaker.state(), BreakerState::Closed);
        let probes: Vec<_> = std::iter::from_fn(|| breaker.admit(at(5_000)).ok()).collect();
        assert_eq!(probes.len(), admitted);
        probes.into_iter().for_each(|probe| probe.settle(Outcome::Success, None, at(5_000)));
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn it_stays_open_for_longer_each_time_that_a_probe_fails() {
    let policy = BreakerPolicy {
        consecutive: 1,
        open_ms: 1_000,
        open_max_ms: 3_000,
        close_after: 1,
        ..BreakerPolicy::default()
    };
    let breaker = Breaker::new("b", policy).unwrap();
    let mut now = 0;
    for wait in [1_000, 2_000, 3_000, 3_000] {
        feed(&breaker, Outcome::Failure, None, at(now));
        assert_eq!(breaker.status(at(now)).probe_in_ms, Some(wait));
        assert!(breaker.admit(at(now + wait - 1)).is_err());
        now += wait;
    }
    feed(&breaker, Outcome::Success, None, at(now));
    feed(&breaker, Outcome::Failure, None, at(now));
    assert_eq!(breaker.status(at(now)).probe_in_ms, Some(1_000), "it had closed: counted anew");
}

#[test]
fn a_probe_that_hangs_does_not_keep_it_half_open() {
    let policy = BreakerPolicy { consecutive: 1, close_after: 1, ..BreakerPolicy::default() };
    let breaker = Breaker::new("b", policy).unwrap();
    feed(&breaker, Outcome::Failure, None, at(0));
    let hangs = breaker.admit(at(5_000)).unwrap();
    assert!(breaker.admit(at(9_000)).is_err());
    feed(&breaker, Outcome::Success, None, at(10_001));
    assert_eq!(breaker.state(), BreakerState::Closed);
    hangs.settle(Outcome::Failure, None, at(10_002));
    assert_eq!(breaker.status(at(10_002)).failed, 0, "it belongs to another time");
}

#[test]
fn a_permit_that_is_dropped_says_nothing_and_frees_its_probe() {
    let policy = BreakerPolicy { consecutive: 1, ..BreakerPolicy::default() };
    let breaker = Breaker::new("b", policy).unwrap();
    drop(breaker.admit(at(0)).unwrap());
    feed(&breaker, Outcome::Failure, None, at(0));
    drop(breaker.admit(at(5_000)).unwrap());
    assert!(breaker.admit(at(5_000)).is_ok());
}

#[test]
fn force_holds_whatever_happens() {
    let policy = BreakerPolicy { consecutive: 1, ..BreakerPolicy::default() };
    let breaker = Breaker::new("b", policy).unwrap();
    breaker.force(Some(Forced::Open));
    assert_eq!(breaker.admit(at(1 << 40)).unwrap_err().code(), Code::BREAKER_OPEN);
    breaker.force(Some(Forced::Closed));
    (0..100).for_each(|_| feed(&breaker, Outcome::Failure, None, at(0)));
    assert_eq!(breaker.status(at(0)).forced, Some(Forced::Closed));
    assert!(breaker.admit(at(0)).is_ok());
    breaker.force(None);
    feed(&breaker, Outcome::Failure, None, at(0));
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[test]
fn every_change_is_told_once_and_with_no_lock_held() {
    let policy = BreakerPolicy { consecutive: 1, close_after: 1, ..BreakerPolicy::default() };
    let breaker = Arc::new(Breaker::new("b", policy).unwrap());
    let told = Arc::new(Mutex::new(Vec::new()));
    let (list, asks) = (Arc::clone(&told), Arc::downgrade(&breaker));
    breaker.on_change(Arc::new(move |name: &str, change: &Change| {
        // Would wait for itself, were the breaker locked.
        let state = asks.upgrade().unwrap().state();
        list.lock().push((name.to_owned(), change.why, state));
    }));
    feed(&breaker, Outcome::Failure, None, at(0));
    feed(&breaker, Outcome::Success, None, at(5_000));
    let why: Vec<_> = told.lock().iter().map(|t| t.1).collect();
    assert_eq!(why, [Why::Consecutive, Why::Waited, Why::ProbesSucceeded]);
}

#[test]
fn policies_that_make_no_sense_name_their_field() {
    let bad = [
        (BreakerPolicy { failure_rate: 1.5, ..BreakerPolicy::default() }, "failure_rate"),
        (BreakerPolicy { slow_rate: f64::NAN, ..BreakerPolicy::default() }, "slow_rate"),
        (BreakerPolicy { window: Window::Calls(0), ..BreakerPolicy::default() }, "window.calls"),
        (BreakerPolicy { window: Window::TimeMs(3), ..BreakerPolicy::default() }, "window.time_ms"),
        (BreakerPolicy { minimum: 101, ..BreakerPolicy::default() }, "minimum"),
        (BreakerPolicy { probes: 0, ..BreakerPolicy::default() }, "probes"),
        (BreakerPolicy { open_max_ms: 1, ..BreakerPolicy::default() }, "open_max_ms"),
    ];
    for (policy, field) in bad {
        let error = Breaker::new("b", policy).unwrap_err();
        assert_eq!(error.context().find(|(key, _)| *key == "field").unwrap().1, field);
    }
}

#[test]
fn threads_agree_with_one_another() {
    let breaker =
        Breaker::new("b", BreakerPolicy { open_ms: 1, open_max_ms: 1, ..rates(0.5, 0.0) }).unwrap();
    let admitted = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (breaker, admitted) = (&breaker, &admitted);
            scope.spawn(move || {
                for n in 0..20_000_u64 {
                    let now = at(n / 10);
                    if let Ok(permit) = breaker.admit(now) {
                        admitted.fetch_add(1, Ordering::Relaxed);
                        let fails = (n / 1_000 + thread) % 3 == 0;
                        let outcome = if fails { Outcome::Failure } else { Outcome::Success };
                        permit.settle(outcome, None, now);
                    }
                }
            });
        }
    });
    let status = breaker.status(at(10_000));
    assert_eq!(admitted.load(Ordering::Relaxed) as u64 + status.rejected, 80_000);
    assert!(status.opened > 0);
    // It is not stuck: a target that works is called again.
    for ms in 0..100 {
        feed(&breaker, Outcome::Success, None, at(20_000 + ms));
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
}

/// The plainest description of the rules, to compare with.
struct Model {
    calls: Vec<bool>,
    open_until: Option<u64>,
}

proptest! {
    /// With one rule and one probe, any schedule of calls, failures and time agrees with the model.
    #[test]
    fn it_does_as_the_plain_rules_say(
        steps in proptest::collection::vec((any::<bool>(), 0_u64..40), 1..400),
    ) {
        let policy = BreakerPolicy { open_ms: 100, open_max_ms: 100, close_after: 1, ..rates(0.5, 0.0) };
        let breaker = Breaker::new("b", policy).unwrap();
        let mut model = Model { calls: Vec::new(), open_until: None };
        let mut now = 0;
        for (failed, ms) in steps {
            now += ms;
            let outcome = if failed { Outcome::Failure } else { Outcome::Success };
            let admitted = breaker.admit(at(now)).map(|permit| permit.settle(outcome, None, at(now))).is_ok();
            prop_assert_eq!(admitted, model.open_until.is_none_or(|until| now >= until));
            if !admitted { continue; }
            if model.open_until.take().is_some() {
                // A probe.
                if failed { model.open_until = Some(now + 100); } else { model.calls.clear(); }
                continue;
            }
            model.calls.push(failed);
            let last = &model.calls[model.calls.len().saturating_sub(10)..];
            let failures = last.iter().filter(|f| **f).count();
            if failed && last.len() >= 4 && failures * 2 >= last.len() {
                model.open_until = Some(now + 100);
                model.calls.clear();
            }
        }
    }
}
