//! The default router on other people's data: scores of language models, and arrivals of production
//! services. The worlds and their simulation are those of the bench (`benches/allocation.rs`), with fewer
//! seeds; what is asked for here leaves room for that.
#![allow(clippy::unwrap_used, reason = "a test may panic, its helper functions too")]

#[allow(dead_code, reason = "the bench uses the rest")]
#[path = "../benches/allocation/latency.rs"]
mod latency;
#[allow(dead_code, reason = "the bench uses the rest")]
#[path = "../benches/allocation/worlds.rs"]
mod worlds;

use std::time::Duration;

use latency::{Ours, RoundRobin};
use sutazai_core::agent::route::RoutePolicy;
use worlds::{Figures, World};

const SEEDS: u64 = 4;

#[test]
fn who_is_best_is_learned_in_every_world() {
    let Some(path) = worlds::corpus("routing/model_scores.csv") else { return };
    let table = worlds::read_models(&path);
    let mean = |world, f: fn(&Figures) -> f64| {
        let runs = (0..SEEDS).map(|seed| {
            let order = worlds::shuffle(table.scores.len(), 100 + seed);
            f(&worlds::run(&table, world, &order, seed))
        });
        runs.sum::<f64>() / SEEDS as f64
    };
    // The mean reward of choosing evenly is .429, of always choosing the best arm .621; without that
    // arm .579.
    let figures = [
        ("stationary", mean(World::Stationary, |f| f.all), 0.605),
        ("best fails, second half", mean(World::BestFails, |f| f.second_half), 0.585),
        ("best fails, next 300", mean(World::BestFails, |f| f.next_300), 0.54),
        ("best halves, second half", mean(World::BestHalves, |f| f.second_half), 0.585),
        ("second improves, its share", mean(World::SecondImproves, |f| f.second_or_better), 0.75),
        ("one cluster, second half", mean(World::DriftInOneCluster, |f| f.second_half), 0.595),
        ("arm added, second half", mean(World::ArmAdded, |f| f.second_half), 0.605),
        ("delayed", mean(World::Delayed, |f| f.all), 0.6),
    ];
    println!("{figures:#?}");
    for (name, figure, least) in figures {
        assert!(figure >= least, "{name}: {figure:.4} < {least}");
    }
}

#[test]
fn a_slow_agent_gets_next_to_nothing_until_it_heals() {
    for file in ["traces/azure_llm_conv.csv", "traces/azure_llm_code.csv"] {
        let Some(path) = worlds::corpus(file) else { return };
        let arrivals = latency::read_trace(&path);
        let mut ours = Ours::new(RoutePolicy::default(), 1);
        let waits = latency::simulate(&arrivals, 10.0, Duration::MAX, &mut ours);
        let in_turn = latency::simulate(&arrivals, 10.0, Duration::MAX, &mut RoundRobin::default());
        println!("{file}: {waits:?}, round robin {in_turn:?}");
        assert!(waits.slow_share <= 0.012, "{waits:?}");
        assert!(waits.p99_after <= 0.5 * in_turn.p99_after && waits.p50 <= in_turn.p50);

        let mut ours = Ours::new(RoutePolicy::default(), 1);
        let healed = latency::simulate(&arrivals, 10.0, Duration::from_secs(900), &mut ours);
        println!("{file}, healed at 900 s: {healed:?}");
        // An even share would be an eighth; it was slow for a tenth of the rest.
        assert!(healed.slow_share >= 0.06, "{healed:?}");
    }
}
