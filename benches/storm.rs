//! The retry storm, ours beside other policies: prints the figures, and with `BLESS=1` writes
//! docs/retry-storm.md and its plot.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

mod bar;
#[path = "../tests/storm/sim.rs"]
mod sim;

use std::fmt::Write as _;
use std::time::Duration;

use plotters::prelude::*;
use sim::{Policy, Scenario, Seen, calm, outage, run};

const POLICIES: [Policy; 4] =
    [Policy::Ours, Policy::TokenBucket, Policy::FullJitter(3), Policy::FullJitter(8)];
const SEED: u64 = 20_261_125;

fn main() {
    let mut rows = Vec::new();
    for policy in POLICIES {
        let storms = [1, 3].map(|layers| {
            let scenario = outage(layers, SEED);
            (scenario, run(scenario, policy))
        });
        let calm_days = [
            run(calm(0.02, Duration::ZERO, SEED), policy),
            run(calm(0.0, Duration::from_millis(200), SEED), policy),
        ];
        rows.push((policy, storms, calm_days));
    }
    let (_, [one, three], [failing, blip]) = &rows[0];
    for (name, goal, (scenario, seen)) in
        [("recovery.storm1", 1.10, one), ("recovery.storm3", 1.20, three)]
    {
        bar::figure_alone(name, "x", goal, seen.amplification(scenario));
        let after = seen.recovered(scenario).map_or(f64::INFINITY, |seconds| seconds as f64);
        bar::figure_alone(&format!("{name}_recovered"), "s", 2.0, after);
    }
    bar::figure_alone("recovery.failing2_attempts", "x", 1.03, failing.attempts_a_call());
    bar::figure_alone("recovery.failing2_lost", "%", 0.05, lost(failing.all));
    bar::figure_alone("recovery.blip200_lost", "%", 1.0, lost(blip.down));
    let table = table(&rows);
    print!("{table}");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write("docs/retry-storm.md", page(&table)).unwrap();
        plot(&rows);
    }
}

type Row = (Policy, [(Scenario, Seen); 2], [Seen; 2]);

fn lost((made, succeeded): (u64, u64)) -> f64 {
    100.0 * (made - succeeded) as f64 / made as f64
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| policy | amplification, 1 layer | back after | 3 layers | back after | 2 % failing: calls made / lost | 200 ms blip: lost |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for (policy, storms, [failing, blip]) in rows {
        let [one, three] = storms.each_ref().map(|(scenario, seen)| {
            let back = seen.recovered(scenario);
            (
                format!("{:.2}", seen.amplification(scenario)),
                back.map_or("not within 20 s".to_owned(), |seconds| format!("{seconds} s")),
            )
        });
        let (name, attempts) = (policy.name(), failing.attempts_a_call());
        writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {attempts:.3} / {:.3} % | {:.1} % |",
            one.0,
            one.1,
            three.0,
            three.1,
            lost(failing.all),
            lost(blip.down),
        )
        .unwrap();
    }
    text
}

fn page(table: &str) -> String {
    format!(
        "# A retry storm\n\n\
         100 clients make 800 calls a second, by chance and independently. From second 10 to second 40\n\
         the server answers every call with an error. Amplification is the number of calls that reach the\n\
         server ÷ the first calls of clients, in those 30 seconds; *back after* is the first of three\n\
         seconds in a row, counted from the end of the outage, with at most 1.1 times the offered load.\n\
         With three layers each of them retries what the next one answers. The same configuration was run\n\
         on two other days: every call fails by itself with 2 % probability (*calls made* for each first\n\
         call, and calls that fail in the end), and everything fails for 200 ms (*lost*: of the calls that\n\
         began in it).\n\n\
         Ours is the guard with `{{\"retry\": {{}}}}`, its defaults, no breaker. The simulation is\n\
         `tests/storm/sim.rs`, in virtual time; `BLESS=1 cargo bench --bench storm` writes this page, and\n\
         `tests/storm.rs` holds its bounds.\n\n\
         {table}\n\
         ![Calls that reach the server each second, through one layer and through three](retry-storm.svg)\n"
    )
}

/// One panel for one layer, one for three.
fn plot(rows: &[Row]) {
    let root = SVGBackend::new("docs/retry-storm.svg", (900, 640)).into_drawing_area();
    root.fill(&WHITE).unwrap();
    for (panel, at) in root.split_evenly((2, 1)).into_iter().zip(0..) {
        let most = rows.iter().flat_map(|row| row.1[at].1.attempts.iter()).max().unwrap();
        let title = ["through one layer", "through three layers that each retry"][at];
        let mut chart = ChartBuilder::on(&panel)
            .caption(title, ("sans-serif", 17))
            .margin(12)
            .x_label_area_size(34)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..60.0, (400.0..*most as f64 * 1.2).log_scale())
            .unwrap();
        chart
            .configure_mesh()
            .x_desc("second (the server is down from 10 to 40)")
            .y_desc("calls that reach it, each second")
            .light_line_style(WHITE)
            .draw()
            .unwrap();
        let colours = [
            RGBColor(0, 90, 181),
            RGBColor(90, 160, 70),
            RGBColor(230, 159, 0),
            RGBColor(200, 40, 40),
        ];
        for ((policy, storms, _), colour) in rows.iter().zip(colours) {
            let seconds = storms[at].1.attempts.iter().take(60).enumerate();
            let line = seconds.map(|(second, &n)| (second as f64 + 0.5, (n as f64).max(400.0)));
            chart
                .draw_series(LineSeries::new(line, colour.stroke_width(2)))
                .unwrap()
                .label(policy.name())
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2))
                });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.9))
            .border_style(BLACK.mix(0.3))
            .label_font(("sans-serif", 13))
            .draw()
            .unwrap();
    }
    root.present().unwrap();
}
