//! Forecasts: what one costs, and those of the M4 competition's hourly series.
//!
//! `cargo bench --bench forecast` measures; `cargo bench --bench forecast -- m4 FILE` writes the forecasts, 95 %
//! intervals and CPU times of the series in the corpora's `m4/` to a file as JSON, for `forecast_m4.py`, which sets others'
//! beside them.

#![allow(clippy::expect_used, reason = "a bench may panic")]

mod bar;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use sutazai_core::monitor::forecast::{AutoForecaster, Forecaster};

/// Steps ahead, as in the competition.
const HORIZON: usize = 48;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|a| a == "m4").and_then(|at| arguments.get(at + 1)) {
        Some(file) => m4(Path::new(file)),
        None => cost(),
    }
}

fn m4(file: &Path) {
    let corpus =
        std::env::var("SUTAZAI_CORPUS").expect("SUTAZAI_CORPUS says where the corpora are");
    let path = Path::new(&corpus).join("m4/hourly-train.csv");
    let text = std::fs::read_to_string(path).expect("the series");
    let forecaster = AutoForecaster::default();
    let mut said = Map::new();
    for line in text.lines().skip(1) {
        let mut cells = line.split(',').map(|cell| cell.trim_matches('"'));
        let name = cells.next().expect("a name");
        let numbers = cells.filter(|cell| !cell.is_empty() && *cell != "NA");
        let values: Vec<f64> = numbers.map(|cell| cell.parse().expect("a number")).collect();
        let start = cpu();
        let forecast = forecaster.forecast(&values, HORIZON, &[0.95]).expect("a forecast");
        let took = cpu().saturating_sub(start);
        let interval = forecast.intervals.first().expect("one level");
        let entry: Value = json!({
            "point": forecast.point,
            "lower": interval.lower,
            "upper": interval.upper,
            "seasons": forecast.seasons,
            "ms": took.as_secs_f64() * 1e3,
        });
        said.insert(name.to_owned(), entry);
    }
    std::fs::write(file, serde_json::to_vec(&said).expect("JSON")).expect("the file is written");
}

/// CPU time of this thread; on other systems than Linux the time that passes.
fn cpu() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = text.and_then(|text| text.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| START.get_or_init(Instant::now).elapsed(), Duration::from_nanos)
}

/// 900 values with a day and a week in them, 48 steps.
fn cost() {
    let value = |i: u32| {
        let day = (std::f64::consts::TAU * f64::from(i % 24) / 24.0).sin();
        let week = if i % 168 >= 120 { 0.5 } else { 1.0 };
        100.0 + 30.0 * day * week + f64::from(i.wrapping_mul(2_654_435_761) >> 16) / 6_553.6
    };
    let values: Vec<f64> = (0..900).map(value).collect();
    let forecaster = AutoForecaster::default();
    let mut round = || {
        bar::timed(1, || {
            std::hint::black_box(forecaster.forecast(&values, HORIZON, &[0.95]))
                .expect("a forecast");
        })
    };
    bar::compare("monitor.forecast", "ms", 30.0, &mut round, &mut []);
}
