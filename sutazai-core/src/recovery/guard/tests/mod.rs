//! Under virtual time: nothing here sleeps.

mod awaited;

use std::sync::atomic::AtomicUsize;

use proptest::prelude::*;

use super::*;
use crate::base::runtime::Manual;
use crate::recovery::{
    BreakerPolicy, BudgetPolicy, BulkheadPolicy, Forced, RatePolicy, RetryPolicy,
};

fn policy(json: &str) -> GuardPolicy {
    serde_json::from_str(json).unwrap()
}

/// A guard under virtual time that waits exactly as long as its steps say.
fn guard(json: &str) -> (Guard, Manual) {
    let time = Manual::new();
    let guard = Guard::builder("test", policy(json)).runtime(Arc::new(time.clone()));
    (guard.build().unwrap(), time)
}

fn busy() -> Error {
    Error::new(Code::OVERLOADED, "busy")
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn context(error: &Error, key: &str) -> Option<String> {
    error.context().find(|(k, _)| *k == key).map(|(_, v)| v.to_owned())
}

#[test]
fn it_waits_as_the_backoff_says_and_stops_at_the_last_try() {
    let (guard, time) = guard(r#"{"retry": {"attempts": 4, "base_ms": 100, "jitter": "none"}}"#);
    let mut at = Vec::new();
    let error = guard
        .run::<()>(|attempt| {
            at.push((attempt.number, time.now().as_nanos() / 1_000_000));
            Err(busy())
        })
        .unwrap_err();
    assert_eq!(at, [(1, 0), (2, 100), (3, 300), (4, 700)]);
    assert_eq!(context(&error, "attempts").as_deref(), Some("4"));
    assert_eq!(context(&error, GAVE_UP).as_deref(), Some("attempts"));
    assert_eq!(guard.status().retries, 3);
}

#[test]
fn what_is_not_transient_is_not_tried_again_and_comes_back_as_it_was() {
    let (guard, _time) = guard(r#"{"retry": {}}"#);
    let mut tries = 0;
    let error = guard
        .run::<()>(|_| {
            tries += 1;
            Err(Error::new(Code::INVALID, "no"))
        })
        .unwrap_err();
    assert_eq!((tries, error.context().count()), (1, 0));
}

#[test]
fn no_wait_ends_after_the_deadline() {
    let (guard, time) =
        guard(r#"{"timeout_ms": 250, "retry": {"base_ms": 100, "jitter": "none"}}"#);
    let error = guard.run::<()>(|_| Err(busy())).unwrap_err();
    assert_eq!(time.now(), Moment::ZERO + ms(100), "the next wait would have ended at 300 ms");
    assert_eq!(context(&error, GAVE_UP).as_deref(), Some("deadline"));
}

const SLOW: &str = r#"{"breaker": {"slow_rate": 0.5, "slow_ms": 5, "window": {"calls": 10},
    "minimum": 4, "failure_rate": 0}}"#;

#[test]
fn its_breaker_opens_on_slow_calls_and_on_no_others() {
    for (micros, opens) in
        [(0, false), (4_000, false), (5_000, false), (5_001, true), (60_000, true)]
    {
        let (guard, time) = guard(SLOW);
        // The window is full of quick calls, so that a further one is let out by the shortest way.
        (0..10).for_each(|_| guard.run(|_| Ok(())).unwrap());
        for _ in 0..10 {
            let _ = guard.run(|_| {
                time.advance(Duration::from_micros(micros));
                Ok(())
            });
        }
        let status = guard.status().breaker.unwrap();
        assert_eq!(status.opened > 0, opens, "{micros} µs");
    }
}

/// On the system's clock: nothing is waited for, the calls themselves take their time, and a call that
/// takes longer than that by chance is slow as well.
#[test]
fn the_systems_cheap_clock_hides_no_slow_call() {
    let guard = Guard::new("test", policy(SLOW)).unwrap();
    (0..10).for_each(|_| guard.run(|_| Ok(())).unwrap());
    for _ in 0..10 {
        let _ = guard.run(|_| {
            let began = Moment::now();
            while Moment::now().since(began) < ms(6) {
                std::hint::spin_loop();
            }
            Ok(())
        });
    }
    assert!(guard.status().breaker.unwrap().opened > 0);
}

/// The cheap clock may be behind by more than this.
#[test]
fn a_short_deadline_is_not_over_before_it_began() {
    let guard =
        Guard::new("test", policy(r#"{"timeout_ms": 150, "attempt_timeout_ms": 100}"#)).unwrap();
    for _ in 0..1_000 {
        let before = Moment::now();
        let deadline = guard.run(|attempt| Ok(attempt.deadline)).unwrap();
        assert!(deadline >= before + ms(100));
    }
}

#[test]
fn a_callers_deadline_is_everybodys() {
    let (outer, time) = guard(r#"{"timeout_ms": 1000}"#);
    let inner =
        Guard::builder("inner", policy(r#"{"timeout_ms": 5000, "retry": {"jitter": "none"}}"#))
            .runtime(Arc::new(time.clone()))
            .build()
            .unwrap();
    let error = outer
        .run::<()>(|attempt| {
            assert_eq!(attempt.deadline, Moment::ZERO + ms(1_000));
            inner.run(|attempt| {
                assert_eq!(attempt.deadline, Moment::ZERO + ms(1_000));
                Err(busy())
            })
        })
        .unwrap_err();
    assert!(time.now() < Moment::ZERO + ms(1_000));
    assert_eq!(context(&error, GAVE_UP).as_deref(), Some("deadline"));
    assert_eq!(deadline::current(), Moment::FAR);
}

#[test]
fn nested_guards_do_not_multiply_retries() {
    let (inner, _) = guard(r#"{"retry": {"attempts": 3, "base_ms": 0, "max_ms": 0}}"#);
    let (middle, _) = guard(r#"{"retry": {"attempts": 3, "base_ms": 0, "max_ms": 0}}"#);
    let (outer, _) = guard(r#"{"retry": {"attempts": 3, "base_ms": 0, "max_ms": 0}}"#);
    let mut tries = 0;
    let result = outer.run::<()>(|_| {
        middle.run(|_| {
            inner.run(|_| {
                tries += 1;
                Err(busy())
            })
        })
    });
    assert!(result.is_err());
    assert_eq!(tries, 3, "not 27");
    assert_eq!((middle.status().retries, outer.status().retries), (0, 0));
}

#[test]
fn a_budget_is_shared_by_name_and_counts_those_that_wait() {
    let shared = SharedParts::new();
    let time = Manual::new();
    let json = r#"{"retry": {"attempts": 9, "base_ms": 0, "max_ms": 0}, "share": {"budget": "llm"},
                   "budget": {"capacity": 5, "per_second": 0}}"#;
    let guards: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .map(|name| {
            Guard::builder(name, policy(json))
                .shared(&shared)
                .runtime(Arc::new(time.clone()))
                .build()
                .unwrap()
        })
        .collect();
    let tries = AtomicUsize::new(0);
    let errors: Vec<_> = guards
        .iter()
        .map(|guard| {
            guard
                .run::<()>(|_| {
                    tries.fetch_add(1, Ordering::Relaxed);
                    Err(busy())
                })
                .unwrap_err()
        })
        .collect();
    assert_eq!(tries.into_inner(), 3 + 5);
    assert_eq!(context(&errors[2], GAVE_UP).as_deref(), Some("budget"));
    assert_eq!(shared.budget("llm").unwrap().status().granted, 5);
    let disagrees = policy(r#"{"budget": {"capacity": 6}, "share": {"budget": "llm"}}"#);
    let error = Guard::builder("d", disagrees).shared(&shared).build().unwrap_err();
    assert_eq!(context(&error, "shared").as_deref(), Some("llm"));
}

#[test]
fn a_shared_part_has_the_policy_in_force_and_outlives_its_guards() {
    let shared = SharedParts::new();
    let make = |capacity: u32| {
        let json = format!(
            r#"{{"budget": {{"capacity": {capacity}}}, "bulkhead": {{}},
            "share": {{"budget": "llm", "bulkhead": "llm"}}}}"#
        );
        Guard::builder("g", policy(&json)).shared(&shared).build()
    };
    let first = make(5).unwrap();
    let mut wider = first.policy();
    wider.budget.as_mut().unwrap().capacity = 9.0;
    first.set_policy(wider).unwrap();
    assert!(make(5).is_err(), "it is not what it was made with any more");
    let second = make(9).unwrap();
    drop(first);
    assert!(make(7).is_err());
    assert_eq!(second.budget().unwrap().status().capacity, 9.0);
    drop(second);
    assert!(make(7).is_err(), "it is still there");
    shared.let_go();
    assert_eq!(make(7).unwrap().budget().unwrap().status().capacity, 7.0);
}

/// A target that refuses until a moment and says how long to wait, always no longer than `most`.
fn limited(time: &Manual, until: u64, most: u64) -> (Judge, impl Fn() -> Result<u64> + use<>) {
    let (left, clock) = (time.clone(), time.clone());
    let judge: Judge = Arc::new(move |error: &Error, _| Judgement {
        class: error.class(),
        retry_after: Some(ms(until.saturating_sub(left.now().as_nanos() / 1_000_000).min(most))),
    });
    let call = move || {
        let now = clock.now().as_nanos() / 1_000_000;
        if now < until { Err(busy()) } else { Ok(now) }
    };
    (judge, call)
}

#[test]
fn a_hint_is_honoured_when_it_is_longer_than_the_whole_ladder() {
    for most in [60_000, 8_000] {
        let time = Manual::new();
        let (judge, call) = limited(&time, 60_000, most);
        let json =
            r#"{"timeout_ms": 120000, "retry": {"attempts": 3, "base_ms": 10, "max_ms": 50}}"#;
        let guard = Guard::builder("llm", policy(json))
            .runtime(Arc::new(time.clone()))
            .judge_by(judge)
            .build()
            .unwrap();
        let answered = guard.run(|_| call()).unwrap();
        assert!((60_000..60_200).contains(&answered), "{answered}");
    }
}

#[test]
fn a_hint_beyond_the_deadline_ends_it_at_once() {
    let time = Manual::new();
    let (judge, call) = limited(&time, 60_000, 60_000);
    let guard = Guard::builder("llm", policy(r#"{"timeout_ms": 30000, "retry": {}}"#))
        .runtime(Arc::new(time.clone()))
        .judge_by(judge)
        .build()
        .unwrap();
    let error = guard.run(|_| call()).unwrap_err();
    assert_eq!(time.now(), Moment::ZERO);
    assert_eq!(context(&error, GAVE_UP).as_deref(), Some("asked_to_wait_too_long"));
}

#[test]
fn an_open_breaker_rejects_at_once_and_ends_retries() {
    let json = r#"{"retry": {"base_ms": 1, "max_ms": 1}, "breaker": {"consecutive": 2}}"#;
    let (guard, time) = guard(json);
    let mut tries = 0;
    let mut fails = || {
        guard.run::<()>(|_| {
            tries += 1;
            Err(busy())
        })
    };
    let error = fails().unwrap_err();
    assert_eq!(
        error.code(),
        Code::OVERLOADED,
        "what it failed with, not that it was rejected then"
    );
    assert_eq!(context(&error, GAVE_UP).as_deref(), Some("rejected"));
    assert_eq!(fails().unwrap_err().code(), Code::BREAKER_OPEN);
    assert_eq!(tries, 2);
    time.advance(ms(5_000));
    assert_eq!(guard.run(|_| Ok(7)).unwrap(), 7);
}

#[test]
fn a_panic_counts_as_a_failure_and_gives_back_what_was_taken() {
    let (guard, _time) =
        guard(r#"{"bulkhead": {"concurrency": 1, "queue": 0}, "breaker": {"consecutive": 2}}"#);
    for _ in 0..2 {
        let run = || guard.run::<()>(|_| panic!("on purpose"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
    }
    let status = guard.status();
    assert_eq!(status.bulkhead.unwrap().running, 0);
    assert_eq!(status.breaker.unwrap().opened, 1);
}

#[test]
fn a_policy_is_changed_while_it_is_in_force_and_what_stays_keeps_its_state() {
    let (guard, _time) = guard(r#"{"breaker": {"consecutive": 1}}"#);
    assert!(guard.run::<()>(|_| Err(busy())).is_err());
    guard
        .set_policy(policy(r#"{"breaker": {"consecutive": 5}, "retry": {"attempts": 2}}"#))
        .unwrap();
    assert_eq!(guard.run(|_| Ok(())).unwrap_err().code(), Code::BREAKER_OPEN);
    guard.breaker().unwrap().force(Some(Forced::Closed));
    assert!(guard.run(|attempt| if attempt.number == 1 { Err(busy()) } else { Ok(()) }).is_ok());
    let bad = guard.set_policy(policy(r#"{"retry": {"attempts": 0}}"#)).unwrap_err();
    assert_eq!(context(&bad, "field").as_deref(), Some("attempts"));
    guard.set_policy(policy("{}")).unwrap();
    assert!(guard.breaker().is_none());
    assert!(guard.run(|_| Ok(())).is_ok());
}

#[test]
fn a_rate_limit_and_a_full_bulkhead_reject() {
    let (limited, _time) = guard(r#"{"rate": {"calls": 1, "period_ms": 1000}}"#);
    assert!(limited.run(|_| Ok(())).is_ok());
    assert_eq!(limited.run(|_| Ok(())).unwrap_err().code(), Code::RATE_LIMITED);
    let (full, _time) = guard(r#"{"bulkhead": {"concurrency": 1, "queue": 0}}"#);
    let within = full.run(|_| full.run(|_| Ok(())));
    assert_eq!(within.unwrap_err().code(), Code::BULKHEAD_FULL);
}

proptest! {
    /// Whatever parts there are and whatever comes of the calls: everything is given back, tries stay
    /// within their number, and the same seed gives the same.
    #[test]
    fn nothing_is_kept_and_nothing_is_tried_too_often(
        attempts in 1_u32..5, timeout in proptest::option::of(1_u64..2_000),
        parts in (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
        outcomes in proptest::collection::vec((0_u8..4, 0_u64..300), 1..200), seed: u64,
    ) {
        let run = || {
            let time = Manual::new();
            let policy = GuardPolicy {
                timeout_ms: timeout,
                retry: parts.0.then(|| RetryPolicy { attempts, ..RetryPolicy::default() }),
                budget: Some(BudgetPolicy::default()),
                breaker: parts.1.then(BreakerPolicy::default),
                bulkhead: parts.2.then_some(BulkheadPolicy { concurrency: 1, queue: 0, ..BulkheadPolicy::default() }),
                rate: parts.3.then(RatePolicy::default),
                ..GuardPolicy::default()
            };
            let guard = Guard::builder("p", policy).runtime(Arc::new(time.clone())).seed(seed).build().unwrap();
            let mut outcomes = outcomes.iter().cycle();
            let mut seen = Vec::new();
            for _ in 0..100 {
                let mut tries = 0;
                let began = time.now();
                let answer = guard.run(|attempt| {
                    tries += 1;
                    assert_eq!(attempt.number, tries);
                    let (outcome, takes) = outcomes.next().unwrap();
                    time.advance(ms(*takes));
                    match outcome {
                        0 | 1 => Ok(()),
                        2 => Err(busy()),
                        _ => Err(Error::new(Code::INVALID, "no")),
                    }
                });
                assert!(tries <= if parts.0 { attempts } else { 1 });
                if let Some(timeout) = timeout {
                    // A try is not interrupted; no wait ends after the deadline.
                    assert!(time.now().since(began) <= ms(timeout + 300));
                }
                seen.push((tries, time.now(), answer.err().map(|e| e.code())));
            }
            let status = guard.status();
            assert_eq!(status.bulkhead.map_or(0, |b| b.running), 0);
            seen
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn a_call_in_steps_goes_the_same_way() {
    let (guard, time) = guard(
        r#"{"timeout_ms": 1000, "retry": {"attempts": 2, "jitter": "none"},
            "breaker": {"consecutive": 3}, "bulkhead": {"concurrency": 1, "queue": 1}}"#,
    );
    let mut steps = guard.begin().unwrap();
    assert_eq!(steps.attempt().deadline, Moment::ZERO + ms(1_000));
    let mut second = guard.begin().unwrap();
    assert_eq!(guard.begin().unwrap_err().code(), Code::BULKHEAD_FULL);
    assert!(second.waiting().unwrap().try_take().is_none());
    assert_eq!(steps.failed(&busy()), Next::Retry(ms(100)));
    // Its place is free while it waits.
    let place = second.waiting().unwrap().try_take().unwrap().unwrap();
    second.placed(place).unwrap();
    time.advance(ms(100));
    steps.again().unwrap();
    assert!(steps.waiting().is_some());
    second.succeeded();
    let place = steps.waiting().unwrap().try_take().unwrap().unwrap();
    steps.placed(place).unwrap();
    assert_eq!(steps.attempt().number, 2);
    let Next::GiveUp(why) = steps.failed(&busy()) else { panic!("it has had its two tries") };
    assert_eq!(context(&steps.finish(busy(), why), GAVE_UP).as_deref(), Some("attempts"));
    drop(guard.begin().unwrap());
    let status = guard.status();
    assert_eq!((status.bulkhead.unwrap().running, status.breaker.unwrap().consecutive), (0, 1));
}

#[test]
fn a_bound_that_comes_later_is_for_later_calls() {
    let (guard, time) = guard(r#"{"retry": {}}"#);
    time.advance(ms(5_000));
    let steps = guard.begin().unwrap();
    guard
        .set_policy(policy(r#"{"retry": {}, "timeout_ms": 10, "attempt_timeout_ms": 10}"#))
        .unwrap();
    assert_eq!(steps.attempt().deadline, Moment::FAR);
    let later = guard.begin().unwrap();
    assert_eq!(later.attempt().deadline, Moment::ZERO + ms(5_010));
}

#[test]
fn what_wraps_a_failure_that_was_given_up_is_not_tried_again() {
    let (guard, _) = guard(r#"{"retry": {"base_ms": 0, "max_ms": 0}}"#);
    let mut tries = 0;
    let error = guard
        .run::<()>(|_| {
            tries += 1;
            let below = busy().with(GAVE_UP, "attempts");
            Err(Error::new(Code::OVERLOADED, "outer").because(below))
        })
        .unwrap_err();
    assert_eq!((tries, error.message()), (1, "outer"));
}

#[test]
fn who_has_no_time_left_calls_nothing() {
    let (guard, time) = guard(r#"{"retry": {}}"#);
    time.advance(ms(5));
    let error = deadline::within(Moment::ZERO + ms(5), || guard.run(|_| Ok(()))).unwrap_err();
    assert_eq!(error.code(), Code::DEADLINE_EXCEEDED);
}
