//! The optimiser on standard input and output, for `benches/tuner.py`: a line of JSON a request, a line of JSON an answer.
//!
//! `{"new": {"first": [0.2, 0.9], "seed": 1}}` begins a search over that many knobs from 0 to 1, set to `first`;
//! `{"ask": true}` answers `{"id", "x", "nanos"}`; `{"tell": {"id", "value"}}` (or without a value: failed) answers
//! `{"nanos"}`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a program of the benches")]

use std::io::{BufRead, Write};
use std::time::Instant;

use serde_json::{Value, json};
use sutazai_core::tune::{
    Direction, Knob, KnobKind, KnobScale, KnobValue, Optimiser, Space, TrialResult,
};

fn main() {
    let mut out = std::io::stdout().lock();
    let mut search: Option<Optimiser> = None;
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let answer = if let Some(new) = request.get("new") {
            let first = new["first"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap());
            let kind = KnobKind::Float { low: 0.0, high: 1.0, scale: KnobScale::Linear };
            let knobs = first.enumerate().map(|(i, v)| {
                Knob::new(format!("x{i:02}"), kind.clone(), KnobValue::Number(v))
            });
            let space = Space::new(knobs.collect()).unwrap();
            search = Some(Optimiser::new(space, Direction::Minimise, new["seed"].as_u64().unwrap()));
            json!({})
        } else {
            let search = search.as_mut().expect("`new` comes first");
            let start = Instant::now();
            if let Some(tell) = request.get("tell") {
                let id = tell["id"].as_u64().unwrap();
                let result = tell["value"].as_f64().map_or(TrialResult::Failed, TrialResult::Measured);
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
