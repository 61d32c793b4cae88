//! The optimiser on standard input and output, for `benches/tuner.py`: a line of JSON a request, a line of JSON an answer.
//!
//! `{"new": {"first": [0.2, 0.9], "seed": 1}}` begins a search over that many knobs from 0 to 1, set to `first`;
//! `{"ask": true}` answers `{"id", "x", "nanos"}`; `{"tell": {"id", "value"}}` (or without a value: failed) answers
//! `{"nanos"}`. With `--trials N` it searches by itself, and prints what a suggestion takes and how memory grows.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a program of the benches")]

use std::io::{BufRead, Write};
use std::time::Instant;

use serde_json::{Value, json};
use sutazai_core::tune::{
    Direction, Knob, KnobKind, KnobScale, KnobValue, Optimiser, Space, TrialResult,
};

fn main() {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("--trials"), Some(n)) => many(n.parse().unwrap()),
        _ => converse(),
    }
}

/// So many trials in four dimensions, on a function that is never done.
fn many(trials: u64) {
    let mut search = search(&[0.2; 4], 1);
    let mut times = Vec::new();
    let mut early = 0;
    for i in 0..trials {
        let start = Instant::now();
        let trial = search.ask();
        let mut nanos = start.elapsed().as_nanos() as u64;
        let number = |v: &KnobValue| if let KnobValue::Number(v) = v { *v } else { 0.0 };
        let value: f64 = (trial.setting.values().map(number).enumerate())
            .map(|(i, v)| (v - 0.3 - 0.1 * i as f64).abs().sqrt() + (40.0 * v).sin())
            .sum();
        let start = Instant::now();
        search.tell(trial.id, TrialResult::Measured(value)).unwrap();
        nanos += start.elapsed().as_nanos() as u64;
        times.push(nanos as u32);
        if i == 1_000 {
            early = resident();
        }
    }
    let mean = times.iter().map(|t| f64::from(*t)).sum::<f64>() / times.len() as f64 / 1e6;
    times.sort_unstable();
    let p99 = f64::from(times[times.len() * 99 / 100]) / 1e6;
    // The times themselves take four bytes a trial.
    let grown =
        resident().saturating_sub(early).saturating_sub(4 * trials.next_power_of_two() / 1024);
    println!(
        "{trials} trials: {mean:.3} ms a suggestion, p99 {p99:.3} ms, {early} KiB resident after 1,000, {grown} KiB more at the end"
    );
}

/// Resident memory in KiB, where /proc says.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn search(first: &[f64], seed: u64) -> Optimiser {
    let kind = KnobKind::Float { low: 0.0, high: 1.0, scale: KnobScale::Linear };
    let knobs = first.iter().enumerate();
    let knobs =
        knobs.map(|(i, v)| Knob::new(format!("x{i:02}"), kind.clone(), KnobValue::Number(*v)));
    Optimiser::new(Space::new(knobs.collect()).unwrap(), Direction::Minimise, seed)
}

fn converse() {
    let mut out = std::io::stdout().lock();
    let mut current: Option<Optimiser> = None;
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let answer = if let Some(new) = request.get("new") {
            let first = new["first"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap());
            current = Some(search(&first.collect::<Vec<_>>(), new["seed"].as_u64().unwrap()));
            json!({})
        } else {
            let search = current.as_mut().expect("`new` comes first");
            let start = Instant::now();
            if let Some(tell) = request.get("tell") {
                let id = tell["id"].as_u64().unwrap();
                let result =
                    tell["value"].as_f64().map_or(TrialResult::Failed, TrialResult::Measured);
                search.tell(id, result).unwrap();
                json!({ "nanos": start.elapsed().as_nanos() as u64 })
            } else {
                let trial = search.ask();
                let nanos = start.elapsed().as_nanos() as u64;
                json!({ "id": trial.id, "x": trial.setting.values().collect::<Vec<_>>(), "nanos": nanos })
            }
        };
        writeln!(out, "{answer}").unwrap();
        out.flush().unwrap();
    }
}
