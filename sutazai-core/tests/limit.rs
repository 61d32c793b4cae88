//! The adaptive limit beside others, in a simulation of discrete events under virtual time: arrivals in an open loop, a
//! short line before the limit, a target with so many servers. `SEEDS`, `PEERS` (comma-separated) and `ONLY` (a part of
//! scenarios' names) choose; `SUTAZAI_LONG=1` runs the whole table. With `--nocapture` it prints a row and a line of
//! JSON a scenario.
#![cfg(feature = "tune")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "limit/peers.rs"]
mod peers;
#[path = "limit/random.rs"]
mod random;
#[path = "limit/run.rs"]
mod run;
#[path = "limit/scenarios.rs"]
mod scenarios;
#[path = "limit/server.rs"]
mod server;

use peers::Hindsight;
use run::{Figures, Scenario, run};
use scenarios::{all, day, drawn, mixed};

fn over(scenario: &Scenario, name: &str, seeds: u64) -> Figures {
    let capacity = scenario.capacity.last().unwrap().1 as usize;
    let runs: Vec<Figures> =
        (1..=seeds).map(|seed| run(scenario, &mut *peers::make(name, capacity), seed)).collect();
    Figures::mean(&runs)
}

/// The best that a limit known in hindsight does: a multiple of the capacity, up to twice, with a median within twice the
/// service time.
fn bound(scenario: &Scenario, seeds: u64) -> f64 {
    let shares = [1.0, 1.15, 1.3, 1.5, 1.75, 2.0];
    let of = |share: f64| {
        let runs: Vec<Figures> = (1..=seeds)
            .map(|seed| run(scenario, &mut Hindsight::new(scenario, share), seed))
            .collect();
        Figures::mean(&runs)
    };
    let least = of(1.0);
    let rest = shares.iter().skip(1).map(|share| of(*share));
    rest.filter(|it| it.p50 <= 2.0).map(|it| it.goodput).fold(least.goodput, f64::max)
}

/// Prints a row and a line of JSON.
fn tell(scenario: &Scenario, name: &str, figures: &Figures) {
    let (what, allowed) = (&scenario.name, scenario.settle());
    println!("{what:32} {name:15} {figures} of {allowed:.0}");
    let row = serde_json::json!({
        "scenario": what,
        "limit": name,
        "goodput": figures.goodput,
        "goodput_whole": figures.whole,
        "p50": figures.p50,
        "final": figures.last,
        "largest": figures.largest,
        "settling": figures.settling,
        "settling_allowed": allowed,
        "floor": figures.floor.is_finite().then_some(figures.floor),
    });
    println!("{row}");
}

/// Those of the table whose name begins so, at this capacity.
fn chosen(family: &str, capacity: &str) -> Vec<Scenario> {
    let chosen: Vec<Scenario> = all()
        .into_iter()
        .filter(|s| s.name.starts_with(family) && s.name.ends_with(&format!("/c{capacity}")))
        .collect();
    assert!(!chosen.is_empty(), "{family} {capacity}");
    chosen
}

/// Holds one to its goals, with a margin for the few seeds.
fn hold(scenario: &Scenario, goodput: f64, p50: f64, last: f64) {
    let figures = over(scenario, "ours", 2);
    tell(scenario, "ours", &figures);
    assert!(figures.goodput >= goodput, "{} {figures}", scenario.name);
    assert!(figures.p50 <= p50, "{} {figures}", scenario.name);
    assert!(figures.last <= last, "{} {figures}", scenario.name);
}

#[test]
fn it_finds_the_capacity() {
    for capacity in ["10", "32"] {
        for scenario in chosen("load_", capacity) {
            hold(&scenario, 0.96, 2.0, 2.2);
        }
    }
    for scenario in chosen("load_", "4") {
        // There is little to learn from, and a queue of one is a quarter.
        hold(&scenario, 0.93, 3.0, 3.0);
    }
}

#[test]
fn it_keeps_a_target_with_heavy_tails_at_work_as_much_as_the_capacity_itself_does() {
    for scenario in chosen("tail_", "32") {
        let oracle = over(&scenario, "fixed_capacity", 2);
        hold(&scenario, oracle.goodput * 0.95, 2.0, 2.2);
    }
}

#[test]
fn it_follows_the_capacity() {
    for scenario in chosen("step_", "32") {
        hold(&scenario, 0.95, 2.0, 2.5);
    }
}

#[test]
fn minutes_are_as_good_as_seconds() {
    for scenario in chosen("minutes_", "32") {
        hold(&scenario, 0.96, 2.0, 2.0);
    }
}

#[test]
fn a_dependency_that_is_slow_is_not_taken_for_a_queue() {
    for capacity in ["4", "10", "32"] {
        for scenario in chosen("slow_", capacity) {
            beside_the_fixed(&scenario, 0.97);
        }
    }
}

#[test]
fn a_dependency_may_be_as_slow_as_one_that_has_gone() {
    // Nothing comes back for twenty times as long as usual, and then everything.
    for capacity in ["4", "10", "32"] {
        for mut scenario in chosen("slow_", capacity) {
            scenario.service = random::Service::Even;
            scenario.slow = vec![(0.0, 1.0), (300.0, 20.0), (2_700.0, 1.0)];
            scenario.length = 3_000.0;
            scenario.name += "/even/20";
            beside_the_fixed(&scenario, 0.96);
        }
    }
}

/// Completions are at least this share of what the fixed limits have: the capacity itself, and twenty.
fn beside_the_fixed(scenario: &Scenario, share: f64) {
    let ours = over(scenario, "ours", 2);
    tell(scenario, "ours", &ours);
    for name in ["fixed_capacity", "fixed_20"] {
        let fixed = over(scenario, name, 2);
        assert!(ours.good >= share * fixed.good, "{} {name} {ours} {fixed}", scenario.name);
    }
}

#[test]
fn a_capacity_may_fall_to_a_fifth() {
    for (capacity, fifth) in [("32", 6.0), ("200", 40.0)] {
        for mut scenario in chosen("slow_1.2", capacity) {
            scenario.slow = Vec::new();
            scenario.capacity.push((300.0, fifth));
            scenario.length = 900.0;
            scenario.name += "/fifth";
            let figures = over(&scenario, "ours", 2);
            tell(&scenario, "ours", &figures);
            assert!(figures.last <= 3.0 && figures.goodput >= 0.97, "{figures}");
        }
    }
}

#[test]
fn a_black_hole_drives_it_to_its_floor_and_it_recovers() {
    for capacity in ["4", "10", "32"] {
        for scenario in chosen("black_hole", capacity) {
            let figures = over(&scenario, "ours", 2);
            tell(&scenario, "ours", &figures);
            assert!(figures.floor <= 1.0, "{figures}");
            assert!((0.75..=3.0).contains(&figures.last), "{figures}");
            assert!(figures.goodput >= 0.9, "{figures}");
        }
    }
}

#[test]
fn it_does_not_drift_in_a_day() {
    let scenario = day(10.0);
    let figures = over(&scenario, "ours", 1);
    tell(&scenario, "ours", &figures);
    assert!(figures.p50 <= 2.0 && figures.goodput >= 0.93, "{figures}");
    // At the end it is within twice the capacity. Before, it is about twice the most that there was that day at most: when there is half
    // of that, and little to do, up to five times as much.
    assert!(figures.last <= 2.0, "{figures}");
    assert!(figures.largest <= 5.5, "{figures}");
}

#[test]
fn it_is_not_made_for_these_scenarios_only() {
    let seeds = if std::env::var("SUTAZAI_LONG").is_ok() { 60 } else { 6 };
    let mut good = 0.0;
    for seed in 0..seeds {
        let scenario = drawn(seed);
        let figures = over(&scenario, "ours", 1);
        tell(&scenario, "ours", &figures);
        assert!(figures.goodput >= 0.8, "{} {figures}", scenario.name);
        good += figures.goodput;
    }
    assert!(good / seeds as f64 >= 0.95, "{}", good / seeds as f64);
}

#[test]
fn the_simulation_is_right_about_what_is_known() {
    // As many at once as there are servers, and a line before them: nothing idles, nothing waits at the target.
    for scenario in chosen("load_1.2_exp", "32") {
        let figures = over(&scenario, "fixed_capacity", 2);
        assert!((0.99..=1.01).contains(&figures.goodput), "{figures}");
        assert!((figures.p50 - std::f64::consts::LN_2).abs() < 0.05, "{figures}");
    }
    // Erlang's loss formula: 4 servers offered 4.8 lose 38.2 %.
    for scenario in chosen("no_line_1.2", "4") {
        let carried = over(&scenario, "fixed_capacity", 4).goodput;
        assert!((carried - 4.8 * (1.0 - 0.3822) / 4.0).abs() < 0.03, "{carried}");
    }
}

#[test]
#[ignore = "a table to read, of every scenario and every peer"]
fn the_table() {
    let seeds = std::env::var("SEEDS").map_or(5, |seeds| seeds.parse().unwrap());
    let only = std::env::var("ONLY").unwrap_or_default();
    let peers = std::env::var("PEERS").unwrap_or_else(|_| peers::NAMES.join(","));
    for scenario in all().into_iter().chain([4.0, 10.0, 32.0].map(day)) {
        if !scenario.name.contains(&only) {
            continue;
        }
        for name in peers.split(',') {
            tell(&scenario, name, &over(&scenario, name, seeds));
        }
    }
}

#[test]
#[ignore = "a table to read, of many drawn scenarios"]
fn mixed_table() {
    let number = |name: &str, or: u64| std::env::var(name).map_or(or, |it| it.parse().unwrap());
    let (from, count) = (number("FROM", 0), number("COUNT", 100));
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut tally = Tally::default();
    for seed in from..from + count {
        let scenario = mixed(seed);
        if scenario.name.contains(&only) {
            tally.add(&scenario, &over(&scenario, "ours", 1), bound(&scenario, 1));
        }
    }
    println!("{tally}");
}

#[test]
#[ignore = "the table beside what is possible"]
fn the_table_bounded() {
    let seeds = std::env::var("SEEDS").map_or(4, |seeds| seeds.parse().unwrap());
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut tally = Tally::default();
    for scenario in all().into_iter().chain([4.0, 10.0, 32.0].map(day)) {
        if scenario.name.contains(&only) {
            tally.add(&scenario, &over(&scenario, "ours", seeds), bound(&scenario, seeds));
        }
    }
    println!("{tally}");
}

/// How many reach which goal.
#[derive(Debug, Default)]
struct Tally {
    all: usize,
    goodput: usize,
    possible: usize,
    bounded: usize,
    p50: usize,
    last: usize,
    settled: usize,
}

impl Tally {
    fn add(&mut self, scenario: &Scenario, figures: &Figures, bound: f64) {
        let ratio = figures.goodput / bound.min(1.0);
        let black = !scenario.black.is_empty();
        let of = |it: bool| usize::from(it);
        self.all += 1;
        self.goodput += of(black || figures.goodput >= 0.98);
        self.possible += of(bound >= 0.98);
        self.bounded += of(black || figures.goodput >= 0.98 || ratio >= 0.98);
        self.p50 += of(figures.p50 <= 2.0);
        self.last += of(figures.last <= 2.0);
        self.settled += of(figures.settling <= scenario.settle());
        println!(
            "{:56} bound {bound:.3} {ratio:.3} {figures} of {:.0}",
            scenario.name,
            scenario.settle()
        );
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "of {}: goodput {} (possible {}) or of the bound {}, p50 {}, final {}, settled {}",
            self.all, self.goodput, self.possible, self.bounded, self.p50, self.last, self.settled
        )
    }
}
