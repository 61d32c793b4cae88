//! What every bench shares: peers measured side by side, medians, and the `bar` line that
//! `BENCHMARKS.md` is made of.
//!
//! ```text
//! bar event.fanout8 ours=23.1ns peer=tokio-broadcast:31.0ns ratio=0.75 goal=<=1.0 met
//! ```
//!
//! Interleaving matters more than repetition: ours and the peers take turns, round by round, so
//! that a machine that is busy for a second is busy for all of them. The figure is the median of
//! the rounds; the goal is on the ratio of ours to the fastest peer, or on ours where there is no
//! peer.

#![allow(dead_code, clippy::panic, reason = "each bench uses a part of it; it fails by panicking")]

use std::time::{Duration, Instant};

/// How many rounds each contestant runs; the first is a warm-up and not counted.
const ROUNDS: usize = 15;

/// A contestant: runs one round and answers the time it took and how many operations that was.
/// Setting up and tearing down stand outside the time it answers.
pub type Round<'a> = &'a mut dyn FnMut() -> (Duration, u64);

/// Times `f`, which does `operations`.
pub fn timed(operations: u64, f: impl FnOnce()) -> (Duration, u64) {
    let start = Instant::now();
    f();
    (start.elapsed(), operations)
}

/// Measures ours against peers and prints one line; `unit` is one of `ns`, `us`, `ms`, `s`, an
/// operation. `goal` is the largest ratio to the fastest peer that is wanted.
pub fn compare(
    name: &str,
    unit: &str,
    goal: f64,
    ours: Round<'_>,
    peers: &mut [(&str, Round<'_>)],
) {
    let mut times = vec![Vec::new(); peers.len() + 1];
    for round in 0..=ROUNDS {
        // Start with another one each round: nobody always runs after the same one.
        for turn in 0..times.len() {
            let who = (turn + round) % times.len();
            let (time, operations) = match who.checked_sub(1) {
                None => ours(),
                Some(peer) => (peers[peer].1)(),
            };
            if round > 0 {
                times[who].push(time.as_nanos() as f64 / operations as f64);
            }
        }
    }
    let medians: Vec<f64> = times.iter_mut().map(|t| median(t)).collect();
    let best = (1..medians.len()).min_by(|&a, &b| medians[a].total_cmp(&medians[b]));
    for (at, (peer, _)) in peers.iter().enumerate().filter(|(at, _)| Some(at + 1) != best) {
        println!("    {name}: {peer} {}", figure(medians[at + 1], unit));
    }
    let ours = medians[0];
    match best {
        Some(best) => {
            let ratio = ours / medians[best];
            println!(
                "bar {name} ours={} peer={}:{} ratio={ratio:.2} goal=<={goal} {}",
                figure(ours, unit),
                peers[best - 1].0,
                figure(medians[best], unit),
                met(ratio <= goal),
            );
        }
        None => line_alone(name, unit, goal, scaled(ours, unit)),
    }
}

/// Measures ours alone; `goal` is the largest time an operation that is wanted, in `unit`.
pub fn alone(name: &str, unit: &str, goal: f64, ours: Round<'_>) {
    let mut times: Vec<f64> = (0..=ROUNDS)
        .map(|_| ours())
        .map(|(time, operations)| time.as_nanos() as f64 / operations as f64)
        .collect();
    times.remove(0);
    line_alone(name, unit, goal, scaled(median(&mut times), unit));
}

/// Prints the line of something that is not a time: bytes, say.
pub fn figure_alone(name: &str, unit: &str, goal: f64, ours: f64) {
    line_alone(name, unit, goal, ours);
}

fn line_alone(name: &str, unit: &str, goal: f64, ours: f64) {
    let met = met(ours <= goal);
    let digits = if ours < 10.0 { 3 } else { 1 };
    println!("bar {name} ours={ours:.digits$}{unit} peer=- ratio=- goal=<={goal}{unit} {met}");
}

fn met(yes: bool) -> &'static str {
    if yes { "met" } else { "missed" }
}

fn figure(nanos: f64, unit: &str) -> String {
    format!("{:.1}{unit}", scaled(nanos, unit))
}

fn scaled(nanos: f64, unit: &str) -> f64 {
    match unit {
        "ns" => nanos,
        "us" => nanos / 1e3,
        "ms" => nanos / 1e6,
        "s" => nanos / 1e9,
        other => panic!("no such unit of time: {other}"),
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
