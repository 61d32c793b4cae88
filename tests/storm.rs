//! What the guard's default retry policy and budget do in an outage, and what they do every day.
//!
//! `cargo bench --bench storm` runs the same beside other policies, for docs/retry-storm.md.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "storm/sim.rs"]
#[allow(dead_code, reason = "the bench uses the rest")]
mod sim;

use std::time::Duration;

use sim::{Policy, calm, outage, run};

#[test]
fn an_outage_is_not_made_worse_and_is_over_when_it_is_over() {
    for (layers, most) in [(1, 1.10), (3, 1.20)] {
        let scenario = outage(layers, 1);
        let seen = run(scenario, Policy::Ours);
        let amplification = seen.amplification(&scenario);
        assert!(amplification <= most, "{layers} layers: {amplification}");
        assert!(amplification > 1.0, "it retried at all");
        assert!(seen.recovered(&scenario).unwrap() <= 2);
    }
}

#[test]
fn the_simulation_shows_a_storm_where_there_is_one() {
    let scenario = outage(1, 2);
    let seen = run(scenario, Policy::FullJitter(3));
    let amplification = seen.amplification(&scenario);
    assert!((3.5..4.1).contains(&amplification), "four tries each: {amplification}");
}

#[test]
fn calls_that_fail_now_and_then_succeed_for_hardly_more_calls() {
    let seen = run(calm(0.02, Duration::ZERO, 3), Policy::Ours);
    let succeeded = seen.all.1 as f64 / seen.all.0 as f64;
    assert!(succeeded >= 0.9995, "{succeeded}");
    assert!(seen.attempts_a_call() <= 1.03, "{}", seen.attempts_a_call());
}

#[test]
fn a_blip_of_200_ms_is_hardly_noticed() {
    for seed in 4..14 {
        let seen = run(calm(0.0, Duration::from_millis(200), seed), Policy::Ours);
        let succeeded = seen.down.1 as f64 / seen.down.0 as f64;
        assert!(seen.down.0 > 100);
        assert!(succeeded >= 0.99, "{} of {} that began in it", seen.down.1, seen.down.0);
    }
}
