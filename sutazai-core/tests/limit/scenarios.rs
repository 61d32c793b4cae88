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
