//! Who is chosen: quality learned from rewards in worlds that change, pace and load on production traces
//! beside tower's balancer, and what a decision costs.
//!
//! `cargo bench --bench allocation` runs all of it. `benches/allocation.py` runs the peers of the quality
//! worlds on the same orders, which it hands over with `-- --orders <file>`.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

#[path = "allocation/latency.rs"]
mod latency;
#[path = "allocation/peer.rs"]
mod peer;
#[path = "allocation/worlds.rs"]
mod worlds;

mod bar;

use std::io::BufRead;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;
use sutazai_core::agent::route::{Allocator, Arm, Ask, Ended, RoutePolicy};
use sutazai_core::base::time::Moment;

use latency::{Arrival, Balancer, Ours, RoundRobin, Waits};
use worlds::{Figures, Luck, Table, World, interval};

const SEEDS: u64 = 20;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|a| a == "--orders").and_then(|at| arguments.get(at + 1)) {
        Some(file) => orders(Path::new(file)),
        None => {
            quality();
            pace();
            cost();
        }
    }
}

/// A line of the file of orders: a table (`models`, or a file of classes), a world of it, and an order.
#[derive(Deserialize)]
struct Order {
    table: String,
    world: String,
    seed: u64,
    order: Vec<usize>,
}

/// Runs ours in given orders and prints a line of JSON for each.
fn orders(file: &Path) {
    let mut table: Option<(String, Table)> = None;
    for line in std::io::BufReader::new(std::fs::File::open(file).unwrap()).lines() {
        let order: Order = serde_json::from_str(&line.unwrap()).unwrap();
        if table.as_ref().is_none_or(|(name, _)| *name != order.table) {
            let path = Path::new(&order.table);
            let classes = path.file_stem().is_some_and(|s| s == "digits");
            let read = if classes { worlds::read_classes } else { worlds::read_models };
            table = Some((order.table.clone(), read(path)));
        }
        let (_, table) = table.as_ref().unwrap();
        let world = World::ALL.into_iter().find(|w| w.name() == order.world).unwrap();
        let start = Instant::now();
        let figures = worlds::run(table, world, &order.order, order.seed);
        println!(
            "{}",
            serde_json::json!({
                "world": order.world, "table": order.table, "seed": order.seed,
                "all": figures.all, "second_half": figures.second_half,
                "next_300": figures.next_300, "second_or_better": figures.second_or_better,
                "seconds": start.elapsed().as_secs_f64(),
            })
        );
    }
}

fn quality() {
    let Some(path) = worlds::corpus("routing/model_scores.csv") else { return };
    let table = worlds::read_models(&path);
    for world in World::ALL {
        let figures: Vec<Figures> = (0..SEEDS)
            .map(|seed| {
                let order = worlds::shuffle(table.scores.len(), seed);
                worlds::run(&table, world, &order, seed)
            })
            .collect();
        let of = |f: fn(&Figures) -> f64| figures.iter().map(f).collect::<Vec<f64>>();
        let shown = |name: &str, values: &[f64]| {
            let (mean, half) = interval(values);
            println!("    agent.{}: {name} {mean:.4} ± {half:.4}", world.name());
        };
        shown("all", &of(|f| f.all));
        shown("second half", &of(|f| f.second_half));
        match world {
            World::Stationary => at_least("agent.reward", 0.615, &of(|f| f.all)),
            World::BestFails => {
                at_least("agent.reward_drift", 0.605, &of(|f| f.second_half));
                at_least("agent.reward_300", 0.58, &of(|f| f.next_300));
            }
            World::SecondImproves => {
                at_least("agent.second_share", 0.9, &of(|f| f.second_or_better));
            }
            _ => {}
        }
    }
}

/// Prints a line whose goal is on the lower end of the 95 % interval.
fn at_least(name: &str, goal: f64, values: &[f64]) {
    let (mean, half) = interval(values);
    let low = mean - half;
    let met = if low >= goal { "met" } else { "missed" };
    println!("bar {name} ours={low:.4} peer=- ratio=- goal=>={goal} {met}");
}

fn pace() {
    for (file, name, goal) in [("conv", "", 0.5), ("code", "_code", 0.75)] {
        let Some(path) = worlds::corpus(&format!("traces/azure_llm_{file}.csv")) else { return };
        let arrivals = latency::read_trace(&path);
        for (factor, suffix, goal) in [(10.0, "", goal), (2.0, "_x2", 1.0)] {
            let ours =
                mean(&arrivals, factor, |seed| Box::new(Ours::new(RoutePolicy::default(), seed)));
            let tower = mean(&arrivals, factor, |seed| Box::new(peer::Tower::new(seed)));
            let in_turn = mean(&arrivals, factor, |_| Box::new(RoundRobin::default()));
            for (who, waits) in [("ours", ours), ("tower", tower), ("round robin", in_turn)] {
                println!(
                    "    {file} ×{factor} {who}: p50 {:.2} s, p99 {:.2} s ({:.2} s from the onset), \
                     to the slow one {:.2} %",
                    waits.p50,
                    waits.p99,
                    waits.p99_after,
                    100.0 * waits.slow_share,
                );
            }
            let ratio = ours.p99 / tower.p99;
            let met = |yes: bool| if yes { "met" } else { "missed" };
            println!(
                "bar agent.slow_p99{name}{suffix} ours={:.2}s peer=tower-p2c-peak-ewma:{:.2}s \
                 ratio={ratio:.2} goal=<={goal} {}",
                ours.p99,
                tower.p99,
                met(ratio <= goal),
            );
            if factor > 2.0 {
                let share = 100.0 * ours.slow_share;
                bar::figure_alone(&format!("agent.slow_share{name}"), "%", 1.0, share);
            }
        }
    }
}

/// Over five seeds.
fn mean(arrivals: &[Arrival], factor: f64, balancer: impl Fn(u64) -> Box<dyn Balancer>) -> Waits {
    let waits: Vec<Waits> = (0..5)
        .map(|seed| latency::simulate(arrivals, factor, Duration::MAX, &mut *balancer(seed)))
        .collect();
    let of = |f: fn(&Waits) -> f64| waits.iter().map(f).sum::<f64>() / waits.len() as f64;
    Waits {
        p50: of(|w| w.p50),
        p99: of(|w| w.p99),
        p99_after: of(|w| w.p99_after),
        slow_share: of(|w| w.slow_share),
    }
}

/// Eight candidates, five features: the decision with its explanation's figures kept, the end, the reward.
fn cost() {
    const ROUND: u64 = 50_000;
    let names: Vec<String> = (0..8).map(|n| format!("agent-{n}")).collect();
    let arms: Vec<Arm<'_>> = names.iter().map(|name| Arm::new(name)).collect();
    let mut luck = Luck(3);
    let tasks: Vec<[f64; 5]> = (0..4096)
        .map(|_| std::array::from_fn(|i| luck.unit() * [1.0, 10.0, 1.0, 1000.0, 0.1][i]))
        .collect();
    let mut allocator = Allocator::new(RoutePolicy::default(), 1).unwrap();
    let mut call = 0;
    bar::alone("agent.route8", "ns", 1000.0, &mut || {
        bar::timed(ROUND, || {
            for _ in 0..ROUND {
                let now = Moment::from_nanos(call * 1_000_000);
                let features = &tasks[(call % 4096) as usize];
                call += 1;
                let ask = Ask { features, ..Ask::new("skill", &arms) };
                let decision = allocator.decide(now, &ask).unwrap();
                let good = if decision.index == 3 { 0.4 } else { 0.2 };
                let _ = allocator.settled(decision.number, now, Ended::Succeeded);
                let _ = allocator.reward(decision.number, good + features[0] / 2.0);
            }
        })
    });
    bar::alone("agent.explain8", "ns", 10_000.0, &mut || {
        bar::timed(1000, || {
            for n in 0..1000 {
                assert!(allocator.explain(call - 1 - n).is_some());
            }
        })
    });
}
