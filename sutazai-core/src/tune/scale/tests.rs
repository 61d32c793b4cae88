use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::tune::optimise::Random;

/// What a simulated pool did.
#[derive(Debug)]
struct Ran {
    tasks: u64,
    waited: u64,
    worker_seconds: f64,
    changes: u32,
    largest: u32,
}

/// Tasks of `service` seconds (exponential) that come at `rate(t)`; a decision a second, carried out at once, but for the start.
fn simulate(
    policy: &ScalePolicy,
    seconds: u64,
    service: f64,
    rate: impl Fn(f64) -> f64,
    forecast: bool,
    seed: u64,
) -> Ran {
    const STEP: f64 = 0.05;
    let mut random = Random::new(seed);
    let mut pool = PoolScaler::new(policy.clone()).unwrap();
    let (mut busy, mut queue) = (Vec::<f64>::new(), 0u64);
    let (mut ready, mut starting) = (policy.min, VecDeque::<f64>::new());
    let mut ran = Ran { tasks: 0, waited: 0, worker_seconds: 0.0, changes: 0, largest: 0 };
    let mut recent = VecDeque::from(vec![0u64; 20]);
    for second in 0..seconds {
        let mut came = 0;
        for part in 0..(1.0 / STEP) as u32 {
            let t = second as f64 + f64::from(part) * STEP;
            while starting.front().is_some_and(|s| *s <= t) {
                starting.pop_front();
                ready += 1;
            }
            busy.iter_mut().for_each(|b| *b -= STEP);
            busy.retain(|b| *b > 0.0);
            let mut expected = rate(t) * STEP;
            while expected > 0.0 && random.unit() < expected {
                came += 1;
                ran.tasks += 1;
                if busy.len() >= ready as usize {
                    ran.waited += 1;
                }
                queue += 1;
                expected -= 1.0;
            }
            while queue > 0 && busy.len() < ready as usize {
                queue -= 1;
                busy.push(-service * (1.0 - random.unit()).ln());
            }
            ran.worker_seconds += f64::from(ready + starting.len() as u32) * STEP;
        }
        recent.pop_front();
        recent.push_back(came);
        let t = second as f64 + 1.0;
        let ahead = |s: u64| RateForecast { ahead_ms: s * 1000, per_s: rate(t + s as f64) };
        let sample = PoolSample {
            ready,
            starting: starting.len() as u32,
            queue,
            arrivals_per_s: recent.iter().sum::<u64>() as f64 / recent.len() as f64,
            refused_per_s: 0.0,
            service_ms: service * 1000.0,
            forecast: if forecast { (0..120).map(ahead).collect() } else { Vec::new() },
        };
        let now = Moment::ZERO + Duration::from_secs(second + 1);
        let decision = pool.decide(&sample, now);
        let present = ready + starting.len() as u32;
        if decision.target != present {
            ran.changes += 1;
        }
        for _ in present..decision.target {
            starting.push_back(t + policy.start_up_ms as f64 / 1000.0);
        }
        for _ in decision.target..present {
            if starting.pop_back().is_none() {
                ready -= 1;
            }
        }
        ran.largest = ran.largest.max(decision.target);
    }
    ran
}

fn policy() -> ScalePolicy {
    ScalePolicy { start_up_ms: 30_000, hold_ms: 120_000, ..ScalePolicy::default() }
}

/// From 2 to 38 tasks a second and back in twenty minutes.
fn tide(t: f64) -> f64 {
    20.0 - 18.0 * (t * std::f64::consts::TAU / 1200.0).cos()
}

#[test]
fn few_tasks_wait_and_the_pool_costs_less_than_one_for_the_peak() {
    let ran = simulate(&policy(), 3600, 1.0, tide, true, 1);
    let fixed = 3600.0 * 45.0;
    let waited = ran.waited as f64 / ran.tasks as f64;
    assert!(waited < 0.12, "{waited} {ran:?}");
    assert!(ran.worker_seconds < 0.8 * fixed, "{ran:?}");
    assert!(ran.worker_seconds > ran.tasks as f64, "{ran:?}");
}

#[test]
fn a_forecast_starts_workers_before_they_are_needed() {
    // Once a quarter of an hour the rate jumps from 2 to 30.
    let jump = |t: f64| if t % 900.0 < 450.0 { 2.0 } else { 30.0 };
    let with = simulate(&policy(), 3600, 1.0, jump, true, 2);
    let without = simulate(&policy(), 3600, 1.0, jump, false, 2);
    assert!(with.waited * 2 < without.waited, "{with:?} {without:?}");
}

#[test]
fn a_steady_load_does_not_swing_the_pool() {
    let ran = simulate(&policy(), 3600, 1.0, |_| 20.0, false, 3);
    let waited = ran.waited as f64 / ran.tasks as f64;
    assert!(waited < 0.1 && ran.changes < 40 && ran.largest <= 60, "{waited} {ran:?}");
}

#[test]
fn a_queue_is_worked_off() {
    let mut pool = PoolScaler::new(ScalePolicy::default()).unwrap();
    let sample = PoolSample {
        ready: 14,
        queue: 600,
        arrivals_per_s: 10.0,
        service_ms: 1000.0,
        ..PoolSample::default()
    };
    let decision = pool.decide(&sample, Moment::ZERO);
    assert_eq!(decision.cause, ScaleCause::Queue);
    // Some 580 tasks in thirty seconds take twenty more.
    assert!((30..=38).contains(&decision.target), "{decision:?}");
}

#[test]
fn who_is_turned_away_counts_and_who_tries_again_at_once_does_not_count_without_bound() {
    let decide = |ready, arrivals_per_s, refused_per_s, queue| {
        let mut pool = PoolScaler::new(ScalePolicy { max: 10_000, ..policy() }).unwrap();
        let sample = PoolSample {
            ready,
            queue,
            arrivals_per_s,
            refused_per_s,
            service_ms: 200.0,
            ..PoolSample::default()
        };
        pool.decide(&sample, Moment::ZERO).needed
    };
    // Ten clients, one worker: nine are turned away and try again ten times a second each.
    let needed = decide(1, 5.0, 90.0, 0);
    assert!((10..=18).contains(&needed), "{needed}");
    assert_eq!(decide(1, 5.0, 1e6, 0), needed, "who tries a thousand times is no more than that");
    // Where few are turned away each of them counts, and none where nobody is.
    assert_eq!(decide(5, 20.0, 5.0, 0), decide(5, 25.0, 0.0, 0));
    // A large pool doubles at most.
    let (without, with) = (decide(100, 500.0, 0.0, 0), decide(100, 500.0, 1e6, 0));
    assert!((2 * 100..=2 * without).contains(&with), "{without} {with}");
    // They are no queue: nothing of them is worked off.
    assert!(decide(1, 5.0, 90.0, 0) < decide(1, 5.0, 90.0, 1_000));
}

#[test]
fn a_pool_of_none_begins_with_one() {
    let policy = ScalePolicy { min: 0, ..ScalePolicy::default() };
    let mut pool = PoolScaler::new(policy).unwrap();
    let mut sample = PoolSample::default();
    assert_eq!(pool.decide(&sample, Moment::ZERO).target, 0);
    sample.refused_per_s = 2.0;
    assert_eq!(pool.decide(&sample, Moment::ZERO).target, 1);
}

#[test]
fn cost_has_a_ceiling() {
    let policy = ScalePolicy { worker_per_hour: 2.0, cost_per_hour: Some(13.0), ..policy() };
    let mut pool = PoolScaler::new(policy.clone()).unwrap();
    let sample =
        PoolSample { ready: 3, arrivals_per_s: 50.0, service_ms: 1000.0, ..PoolSample::default() };
    let decision = pool.decide(&sample, Moment::ZERO);
    assert_eq!((decision.target, decision.cause), (6, ScaleCause::Bound));
    assert!(decision.needed > 50 && decision.cost_per_hour == 12.0);
    let ran = simulate(&policy, 600, 1.0, tide, true, 4);
    assert_eq!(ran.largest, 6);
}

#[test]
fn what_is_not_known_changes_nothing() {
    let mut pool = PoolScaler::new(ScalePolicy::default()).unwrap();
    for service_ms in [0.0, f64::NAN, f64::INFINITY, -3.0] {
        let sample =
            PoolSample { ready: 7, arrivals_per_s: 50.0, service_ms, ..PoolSample::default() };
        let decision = pool.decide(&sample, Moment::ZERO);
        assert_eq!((decision.target, decision.cause), (7, ScaleCause::Unknown));
    }
    for bad in [
        ScalePolicy { min: 5, max: 4, ..ScalePolicy::default() },
        ScalePolicy { may_wait: f64::NAN, ..ScalePolicy::default() },
        ScalePolicy { worker_per_hour: 1.0, cost_per_hour: Some(0.5), ..ScalePolicy::default() },
    ] {
        assert!(PoolScaler::new(bad).is_err());
    }
}

#[test]
fn beta_is_halfin_and_whitts() {
    // At β = 0.5061 half of the tasks wait; 0.1 is at 1.42 (their table, to two places).
    assert!((quality(0.5) - 0.506).abs() < 0.002, "{}", quality(0.5));
    assert!((quality(0.1) - 1.42).abs() < 0.01, "{}", quality(0.1));
}

proptest! {
    #[test]
    fn it_stays_within_its_bounds(
        ready in 0u32..2000, starting in 0u32..2000, queue in any::<u64>(),
        rate in any::<f64>(), service in any::<f64>(), ahead in any::<f64>(), at in any::<u64>(),
    ) {
        let policy = ScalePolicy { min: 2, max: 50, ..ScalePolicy::default() };
        let mut pool = PoolScaler::new(policy).unwrap();
        let sample = PoolSample {
            ready, starting, queue, arrivals_per_s: rate, refused_per_s: rate, service_ms: service,
            forecast: vec![RateForecast { ahead_ms: 10, per_s: ahead }],
        };
        for now in [Moment::from_nanos(at), Moment::ZERO, Moment::FAR] {
            let decision = pool.decide(&sample, now);
            prop_assert!((2..=50).contains(&decision.target));
            prop_assert!(decision.cost_per_hour.is_finite());
        }
    }
}
