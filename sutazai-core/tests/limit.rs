#![cfg(feature = "tune")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "limit/peers.rs"]
mod peers;
#[path = "limit/random.rs"]
mod random;
#[path = "limit/run.rs"]
mod run;
#[path = "limit/server.rs"]
mod server;

use random::Service;
use run::{Scenario, run};
use server::Discipline;

fn base(name: &str, c: f64) -> Scenario {
    Scenario {
        name: name.into(),
        second: 0.1,
        length: 600.0,
        service: Service::Exponential,
        discipline: Discipline::Fifo,
        capacity: vec![(0.0, c)],
        load: vec![(0.0, 1.2)],
        slow: vec![],
        black: vec![],
        deadline: 30.0,
        patience: 5.0,
        steps: vec![0.0],
    }
}
fn all() -> Vec<Scenario> {
    let mut v = vec![];
    for c in [4.0, 10.0, 32.0, 200.0] {
        for load in [0.7, 1.2, 2.0] {
            for d in [Discipline::Fifo, Discipline::Sharing] {
                for (sn, s) in [("even", Service::Even), ("exp", Service::Exponential)] {
                    v.push(Scenario {
                        load: vec![(0.0, load)],
                        discipline: d,
                        service: s,
                        ..base(&format!("c{c} load{load} {d:?} {sn}"), c)
                    });
                }
            }
        }
        v.push(Scenario { patience: 0.0, ..base(&format!("c{c} noline 1.2"), c) });
        v.push(Scenario {
            patience: 0.0,
            load: vec![(0.0, 2.0)],
            ..base(&format!("c{c} noline 2"), c)
        });
        for (sn, s) in [
            ("logn1", Service::LogNormal(1.0)),
            ("logn1.5", Service::LogNormal(1.5)),
            ("par1.5", Service::Pareto(1.5)),
            ("par2", Service::Pareto(2.0)),
        ] {
            v.push(Scenario { service: s, ..base(&format!("c{c} {sn}"), c) });
        }
        v.push(Scenario {
            capacity: vec![(0.0, c), (300.0, c / 2.0)],
            load: vec![(0.0, 1.2), (300.0, 2.0)],
            steps: vec![0.0, 300.0],
            ..base(&format!("c{c} halved"), c)
        });
        v.push(Scenario {
            capacity: vec![(0.0, c), (300.0, c * 2.0)],
            load: vec![(0.0, 1.2), (300.0, 1.2)],
            steps: vec![0.0, 300.0],
            ..base(&format!("c{c} doubled"), c)
        });
        v.push(Scenario { second: 120.0, length: 200.0, ..base(&format!("c{c} minutes exp"), c) });
        v.push(Scenario {
            second: 120.0,
            length: 200.0,
            service: Service::Even,
            ..base(&format!("c{c} minutes even"), c)
        });
        v.push(Scenario {
            slow: vec![(0.0, 1.0), (300.0, 5.0)],
            length: 900.0,
            load: vec![(0.0, 0.7)],
            steps: vec![0.0, 300.0],
            ..base(&format!("c{c} slow .7"), c)
        });
        v.push(Scenario {
            slow: vec![(0.0, 1.0), (300.0, 5.0)],
            length: 900.0,
            load: vec![(0.0, 1.2)],
            steps: vec![0.0, 300.0],
            ..base(&format!("c{c} slow 1.2"), c)
        });
        v.push(Scenario {
            black: vec![(200.0, 400.0)],
            steps: vec![0.0, 200.0, 400.0],
            ..base(&format!("c{c} black"), c)
        });
    }
    v
}

#[test]
fn explore() {
    let filter = std::env::var("F").unwrap_or_default();
    let names = std::env::var("P").unwrap_or("ours".into());
    let seeds: u64 = std::env::var("SEEDS").map_or(3, |s| s.parse().unwrap());
    let trace = std::env::var("TRACE").is_ok();
    for s in all() {
        if !s.name.contains(&filter) {
            continue;
        }
        for name in names.split(',') {
            let fs: Vec<_> = (0..seeds)
                .map(|seed| {
                    run(
                        &s,
                        &mut *peers::make(name, s.capacity.last().unwrap().1 as usize),
                        seed + 1,
                        trace,
                    )
                })
                .collect();
            let avg =
                |g: &dyn Fn(&run::Figures) -> f64| fs.iter().map(g).sum::<f64>() / fs.len() as f64;
            let max = |g: &dyn Fn(&run::Figures) -> f64| fs.iter().map(g).fold(0.0, f64::max);
            println!(
                "{:28} {:10} good {:.3} whole {:.3} p50 {:.2} last {:.2} max {:.2} min {:.2} settle {:.0} (allowed {:.0}) floor {}",
                s.name,
                name,
                avg(&|f| f.goodput),
                avg(&|f| f.whole),
                max(&|f| f.p50),
                max(&|f| f.last),
                max(&|f| f.largest),
                -max(&|f| -f.smallest + 9.) + 9.,
                max(&|f| f.settling),
                s.settle(),
                max(&|f| f.floor)
            );
        }
    }
}
