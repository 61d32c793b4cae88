//! Simulated fills by the minute that are short for what is known, and days by the minute without one. The limit is 1. With
//! `SUTAZAI_LONG=1` there are many of them.

use std::f64::consts::TAU;
use std::time::Duration;

use super::*;
use crate::monitor::anomaly::noise::Rng;

const DAY: usize = 1_440;

fn time(minute: usize) -> Timestamp {
    Timestamp::from_nanos(1_700_000_000_000_000_000) + Duration::from_secs(60 * minute as u64)
}

fn watch() -> Exhaustion {
    Exhaustion::new(ExhaustionPolicy::new(1.0, Direction::Fills)).expect("a policy")
}

fn seeds(long: u64, short: u64) -> u64 {
    if std::env::var_os("SUTAZAI_LONG").is_some() { long } else { short }
}

/// So many quiet hours, and so many in which it fills.
#[derive(Clone, Copy, Debug)]
struct Fill {
    quiet: f64,
    fill: f64,
    noise: f64,
    season: f64,
}

impl Fill {
    /// The values until the limit is touched, and the minute in which it begins to fill.
    fn values(self, seed: u64) -> (Vec<f64>, usize) {
        let mut rng = Rng::new(seed);
        let begin = (60.0 * self.quiet) as usize;
        let value = |minute: usize| {
            let grown = 0.5 * minute.saturating_sub(begin) as f64 / (60.0 * self.fill);
            let daily = (TAU * (minute % DAY) as f64 / DAY as f64).sin();
            0.5 + grown + self.season * daily + self.noise * rng.normal()
        };
        ((0..).map(value).take_while(|value| *value < 1.0).collect(), begin)
    }

    /// The error of the time at a share of the fill, as a share of what is left then; nothing when nothing was said.
    fn error(self, seed: u64, share: f64) -> Option<f64> {
        let (values, begin) = self.values(seed);
        let asked = begin + ((values.len() - begin) as f64 * share) as usize;
        let mut watch = watch();
        for (minute, value) in values.iter().enumerate().take(asked) {
            watch.feed(time(minute), *value);
        }
        let Outlook::RunsOut { at, .. } = watch.outlook() else { return None };
        let end = time(values.len());
        Some(seconds(end, at).abs() / seconds(time(asked), end))
    }
}

#[test]
fn a_fill_is_told_in_time_however_short_it_is() {
    // Hours of quiet and of the fill, and the share of it at which it is told.
    let after_days =
        [(48.0, 2.0), (48.0, 4.0), (48.0, 8.0), (48.0, 24.0), (48.0, 48.0), (72.0, 4.0)];
    let after_hours = [(24.0, 8.0), (24.0, 24.0), (6.0, 2.0), (6.0, 6.0), (1.0, 2.0)];
    let from_the_start = [(0.0, 2.0), (0.0, 3.5), (0.0, 8.0)];
    let told = after_days.map(|hours| (hours, 0.55)).into_iter();
    let told = told.chain(after_hours.map(|hours| (hours, 0.8)));
    let told = told.chain(from_the_start.map(|hours| (hours, 0.9)));
    for ((quiet, fill), share) in told {
        for noise in [0.0, 0.003] {
            for seed in 0..seeds(10, 1) {
                let error = Fill { quiet, fill, noise, season: 0.0 }.error(seed, share);
                let what = format!("{quiet} h, {fill} h, noise {noise}, seed {seed}: {error:?}");
                assert!(error.is_some_and(|error| error <= 0.2), "{what}");
            }
        }
    }
}

#[test]
fn a_fill_is_told_above_a_season() {
    for (quiet, fill) in [(72.0, 4.0), (72.0, 24.0)] {
        for seed in 0..seeds(10, 1) {
            let error = Fill { quiet, fill, noise: 0.003, season: 0.05 }.error(seed, 0.6);
            assert!(error.is_some_and(|error| error <= 0.2), "{quiet} {fill} {seed}: {error:?}");
        }
    }
}

#[test]
fn no_answer_lies_in_the_past_and_intervals_have_a_width() {
    for seed in 0..seeds(20, 3) {
        let (values, _) = Fill { quiet: 48.0, fill: 24.0, noise: 0.003, season: 0.0 }.values(seed);
        let (mut watch, mut told) = (watch(), 0);
        for (minute, value) in values.into_iter().enumerate() {
            let outlook = watch.feed(time(minute), value);
            let Outlook::RunsOut { at, trend, earliest, latest } = outlook else { continue };
            told += 1;
            assert!(time(minute) <= earliest && earliest <= at, "{seed}, {minute}: {outlook:?}");
            assert!(time(minute) < at && trend.is_none_or(|trend| trend >= at), "{outlook:?}");
            assert!(latest.is_none_or(|latest| latest > at), "{seed}, {minute}: {outlook:?}");
        }
        assert!(told > 600, "{seed}: {told}");
    }
}

/// Days by the minute.
#[derive(Clone, Copy, Debug)]
enum Days {
    Independent,
    Seasonal,
    /// A ramp in the morning, and one in the evening.
    Ramps,
    /// A sawtooth of one to twelve hours.
    Collector,
    /// What fills up to a share below the limit, ever more slowly.
    Warming,
}

fn days(kind: Days, seed: u64, count: usize) -> Vec<f64> {
    let mut rng = Rng::new(seed);
    let noise = 0.01 + 0.07 * rng.unit();
    let (phase, ramp) = ((rng.unit() * DAY as f64) as usize, (0.5 + 3.5 * rng.unit()) / 24.0);
    let (period, tau) = (60.0 + 660.0 * rng.unit(), 60.0 * (1.0 + 11.0 * rng.unit()));
    let (mut used, mut trigger) = (0.2, 0.7);
    (0..count)
        .map(|minute| {
            let noise = noise * rng.normal();
            let day = ((minute + phase) % DAY) as f64 / DAY as f64;
            let value = match kind {
                Days::Independent => 0.5 + noise,
                Days::Seasonal => 0.5 + 0.3 * (TAU * day).sin() + 0.3 * noise,
                Days::Ramps => {
                    let up = ((day - 0.3) / ramp).clamp(0.0, 1.0);
                    0.25 + 0.45 * (up - ((day - 0.75) / ramp).clamp(0.0, 1.0)) + 0.3 * noise
                }
                Days::Collector => {
                    used += 0.5 / period * (0.5 + rng.unit());
                    if used > trigger {
                        (used, trigger) = (0.18 + 0.04 * rng.unit(), 0.65 + 0.1 * rng.unit());
                    }
                    used + 0.1 * noise
                }
                Days::Warming => 0.7 - 0.6 * (-(minute as f64) / tau).exp() + 0.1 * noise,
            };
            value.clamp(0.0, 0.99)
        })
        .collect()
}

#[test]
fn days_by_the_minute_without_a_fill_are_stable() {
    let (seeds, long) = (seeds(40, 4), seeds(10, 3) as usize);
    for kind in [Days::Independent, Days::Seasonal, Days::Ramps, Days::Collector, Days::Warming] {
        let mut wrong = Vec::new();
        for seed in 0..seeds {
            let mut watch = watch();
            let mut outlooks = (0..).zip(days(kind, seed, long * DAY));
            let said = outlooks.find(|(minute, value)| {
                let outlook = watch.feed(time(*minute), *value);
                !matches!(outlook, Outlook::Stable | Outlook::Unknown)
            });
            wrong.extend(said.map(|(minute, _)| (seed, minute)));
        }
        println!("{kind:?}: {long} days by the minute, false alarms (seed, minute) {wrong:?}");
        // The first rise of a series is now and then not to be told from one that goes on.
        let most = if matches!(kind, Days::Seasonal | Days::Ramps) { seeds / 10 } else { 0 };
        assert!(wrong.len() as u64 <= most, "{kind:?}: {wrong:?}");
    }
}
