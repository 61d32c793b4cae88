//! What happens to the limits that are compared.

use super::random::{Random, Service};
use super::run::Scenario;
use super::server::Discipline;

/// The capacities that a limit of 20 begins with.
pub const CAPACITIES: [f64; 4] = [4.0, 10.0, 32.0, 200.0];

fn plain(name: &str, capacity: f64) -> Scenario {
    Scenario {
        name: format!("{name}/c{capacity}"),
        second: 0.1,
        length: 600.0,
        service: Service::Exponential,
        discipline: Discipline::Fifo,
        capacity: vec![(0.0, capacity)],
        load: vec![(0.0, 1.2)],
        slow: Vec::new(),
        black: Vec::new(),
        deadline: 30.0,
        patience: 5.0,
        steps: vec![0.0],
    }
}

/// All of them, in families whose names stand before the slash.
pub fn all() -> Vec<Scenario> {
    CAPACITIES.into_iter().flat_map(of).collect()
}

fn of(c: f64) -> Vec<Scenario> {
    let half = 300.0;
    let mut all = Vec::new();
    for load in [0.7, 1.2, 2.0] {
        let load_at = vec![(0.0, load)];
        for (shape, service) in [("even", Service::Even), ("exp", Service::Exponential)] {
            let of = |name: String| Scenario { load: load_at.clone(), service, ..plain(&name, c) };
            all.push(of(format!("load_{load}_{shape}")));
            let sharing = of(format!("load_{load}_{shape}_sharing"));
            all.push(Scenario { discipline: Discipline::Sharing, ..sharing });
        }
    }
    let tails = [
        ("lognormal_1", Service::LogNormal(1.0)),
        ("lognormal_1.5", Service::LogNormal(1.5)),
        ("pareto_1.5", Service::Pareto(1.5)),
        ("pareto_2", Service::Pareto(2.0)),
    ];
    for (shape, service) in tails {
        all.push(Scenario { service, ..plain(&format!("tail_{shape}"), c) });
    }
    for (name, factor, load) in [("halved", 0.5, 2.0), ("doubled", 2.0, 1.2)] {
        all.push(Scenario {
            capacity: vec![(0.0, c), (half, c * factor)],
            load: vec![(0.0, 1.2), (half, load)],
            steps: vec![0.0, half],
            ..plain(&format!("step_{name}"), c)
        });
    }
    for (shape, service) in [("even", Service::Even), ("exp", Service::Exponential)] {
        let name = format!("minutes_{shape}");
        all.push(Scenario { second: 120.0, length: 300.0, service, ..plain(&name, c) });
    }
    for load in [0.7, 1.2] {
        all.push(Scenario {
            slow: vec![(0.0, 1.0), (half, 5.0)],
            load: vec![(0.0, load)],
            length: 1200.0,
            steps: vec![0.0, half],
            ..plain(&format!("slow_{load}"), c)
        });
    }
    all.push(Scenario {
        black: vec![(200.0, 400.0)],
        steps: vec![0.0, 200.0, 400.0],
        ..plain("black_hole", c)
    });
    for load in [1.2, 2.0] {
        let load_at = vec![(0.0, load)];
        all.push(Scenario { load: load_at, patience: 0.0, ..plain(&format!("no_line_{load}"), c) });
    }
    all
}

/// A day, with calls of five seconds: the capacity wanders between half of it and all of it, the load between 0.6 and
/// 1.6 times that.
pub fn day(capacity: f64) -> Scenario {
    let length = 86_400.0 / 5.0;
    let hour = 3_600.0 / 5.0;
    let wave = |time: f64, period: f64| (std::f64::consts::TAU * time / (period * hour)).sin();
    let times = || (0..).map(|i| f64::from(i) * 24.0).take_while(move |time| *time < length);
    Scenario {
        second: 5.0,
        length,
        capacity: times()
            .map(|t| (t, (capacity * (0.75 + 0.25 * wave(t, 12.0))).round()))
            .collect(),
        load: times().map(|t| (t, 1.1 + 0.5 * wave(t, 7.0))).collect(),
        ..plain("day", capacity)
    }
}

/// One whose parameters are drawn.
pub fn drawn(seed: u64) -> Scenario {
    let mut random = Random::new(seed);
    let mut pick = |n: u64| random.bits() % n;
    let service = match pick(4) {
        0 => Service::Even,
        1 => Service::LogNormal(1.0),
        _ => Service::Exponential,
    };
    let discipline = if pick(2) == 0 { Discipline::Fifo } else { Discipline::Sharing };
    let capacity = random.between(3.0_f64.ln(), 300.0_f64.ln()).exp().round();
    let second = random.between(0.002_f64.ln(), 300.0_f64.ln()).exp();
    // At least three times as long as the time for settling.
    let length = (30.0 / second).clamp(600.0, 2_000.0);
    Scenario {
        second: second.max(10.0 / 600.0),
        length,
        service,
        discipline,
        load: vec![(0.0, random.between(0.5, 2.0))],
        ..plain(&format!("drawn_{seed}"), capacity)
    }
}

/// One of everything: its parameters are drawn, and what happens to it.
pub fn mixed(seed: u64) -> Scenario {
    let mut random = Random::new(seed ^ 0x6D69_7865_6400);
    let capacity = random.between(2.0_f64.ln(), 500.0_f64.ln()).exp().round();
    let mut pick = |n: u64| random.bits() % n;
    let (shape, service) = match pick(7) {
        0 | 1 => ("even", Service::Even),
        2 | 3 => ("exp", Service::Exponential),
        4 => ("lognormal_1", Service::LogNormal(1.0)),
        5 => ("lognormal_1.5", Service::LogNormal(1.5)),
        _ => ("pareto", Service::Pareto(random.between(1.5, 2.5))),
    };
    let sharing = random.bits().is_multiple_of(3);
    let line = !random.bits().is_multiple_of(4);
    let kind = random.bits() % 8;
    let second = random.between(0.01_f64.ln(), 1.0_f64.ln()).exp();
    let second = if kind == 5 { random.between(60.0, 600.0) } else { second };
    let load = if random.bits().is_multiple_of(5) {
        random.between(0.5, 1.0)
    } else {
        random.between(1.2, 2.0)
    };
    let settle = (10.0 / second).max(20.0);
    let length = (3.0 * settle).max(600.0);
    let half = (length / 2.0).round();
    let base = Scenario {
        second,
        length,
        service,
        discipline: if sharing { Discipline::Sharing } else { Discipline::Fifo },
        load: vec![(0.0, load)],
        deadline: random.between(10.0, 40.0),
        patience: if line { 5.0 } else { 0.0 },
        ..plain("", capacity)
    };
    let factor = random.between(1.5, 3.0);
    let steps = vec![0.0, half];
    let long = 2.0 * length;
    let (what, scenario) = match kind {
        0 => {
            let less = (capacity / factor).round().max(1.0);
            let load = vec![(0.0, load), (half, load.max(1.2))];
            (
                "down",
                Scenario { capacity: vec![(0.0, capacity), (half, less)], load, steps, ..base },
            )
        }
        1 => {
            // The limit's own bound is 1,000.
            let more = (capacity * factor).round().min(500.0);
            let load = vec![(0.0, load), (half, load.max(1.2))];
            ("up", Scenario { capacity: vec![(0.0, capacity), (half, more)], load, steps, ..base })
        }
        2 => {
            let slow = vec![(0.0, 1.0), (length, random.between(2.0, 6.0))];
            ("slow", Scenario { slow, length: long, steps: vec![0.0, length], ..base })
        }
        3 => {
            let wave = |t: f64, period: f64| (std::f64::consts::TAU * t / period).sin();
            let long = 4_000.0;
            let every = 25.0;
            let times = || (0..160).map(|i| f64::from(i) * every);
            let (a, b) = (random.between(1_000.0, 4_000.0), random.between(500.0, 4_000.0));
            let capacities = times()
                .map(|t| (t, (capacity * (0.75 + 0.25 * wave(t, a))).round().max(1.0)))
                .collect();
            let loads = times().map(|t| (t, 1.1 + 0.5 * wave(t, b))).collect();
            let second = second.max(0.1);
            let drift =
                Scenario { capacity: capacities, load: loads, length: long, second, ..base };
            ("drift", drift)
        }
        4 => {
            let (from, to) = (length, 1.5 * length);
            let steps = vec![0.0, from, to];
            ("hole", Scenario { black: vec![(from, to)], length: 2.5 * length, steps, ..base })
        }
        5 => ("minutes", base),
        _ => ("plain", base),
    };
    let (how, line) =
        (if sharing { "sharing" } else { "fifo" }, if line { "line" } else { "none" });
    let name =
        format!("mixed_{seed}/{what}/c{capacity}/{shape}/{how}/{line}/{load:.2}/{second:.3}");
    Scenario { name, ..scenario }
}
