//! Where labels stand, and what they say.

use jiff::Timestamp as Instant;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::unit::Unit;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A label, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick<T> {
    pub(super) at: T,
    pub(super) text: String,
}

/// About `most` labels of values between these, the lowest first.
pub(super) fn values(unit: &Unit, low: f64, high: f64, most: usize) -> Vec<Tick<f64>> {
    let step = unit.step((high - low) / most.max(1) as f64);
    let largest = low.abs().max(high.abs());
    let first = (low / step).ceil();
    (0..=most * 2)
        .map(|i| (first + i as f64) * step)
        .take_while(|at| *at <= high + step * 1e-9)
        .map(|at| Tick { at, text: unit.label(at, step, largest) })
        .collect()
}

/// At most `most` labels of times from `from` to `to`, in UTC: of days and longer the dates.
pub(super) fn times(from: i64, to: i64, most: usize) -> Vec<Tick<i64>> {
    const STEPS: [i64; 28] = [
        SECOND / 1_000,
        SECOND / 500,
        SECOND / 200,
        SECOND / 100,
        SECOND / 50,
        SECOND / 20,
        SECOND / 10,
        SECOND / 5,
        SECOND / 2,
        SECOND,
        2 * SECOND,
        5 * SECOND,
        10 * SECOND,
        15 * SECOND,
        30 * SECOND,
        MINUTE,
        2 * MINUTE,
        5 * MINUTE,
        10 * MINUTE,
        15 * MINUTE,
        30 * MINUTE,
        HOUR,
        2 * HOUR,
        3 * HOUR,
        6 * HOUR,
        12 * HOUR,
        DAY,
        2 * DAY,
    ];
    let span = to.saturating_sub(from).max(1);
    let least = span / most.max(1) as i64;
    let mut step = STEPS.into_iter().find(|step| *step > least).unwrap_or_else(|| {
        // Whole weeks, doubled until they are few.
        let mut step = 7 * DAY;
        while step <= least {
            step = step.saturating_mul(2);
        }
        step
    });
    // Nothing stands between two nanoseconds.
    step = step.max(1);
    let first = from.saturating_add((step - from.rem_euclid(step)) % step);
    (0..=most as i64)
        .map_while(|i| first.checked_add(i.checked_mul(step)?))
        .take_while(|at| *at <= to)
        .map(|at| Tick { at, text: time(at, step) })
        .collect()
}

fn time(at: i64, step: i64) -> String {
    let civil = civil(at);
    match step {
        step if step >= DAY => civil.strftime("%Y-%m-%d").to_string(),
        _ if at.rem_euclid(DAY) == 0 => civil.strftime("%m-%d").to_string(),
        step if step >= MINUTE => civil.strftime("%H:%M").to_string(),
        step if step >= SECOND => civil.strftime("%H:%M:%S").to_string(),
        _ => civil.strftime("%H:%M:%S%.3f").to_string(),
    }
}

/// What stands below the labels of times: of which days they are.
pub(super) fn days(from: i64, to: i64) -> String {
    let day = |at| civil(at).strftime("%Y-%m-%d").to_string();
    let (first, last) = (day(from), day(to));
    match first == last {
        true => format!("{first}, UTC"),
        false => format!("{first} to {last}, UTC"),
    }
}

fn civil(at: i64) -> DateTime {
    let instant = Instant::from_nanosecond(i128::from(at)).unwrap_or(Instant::UNIX_EPOCH);
    instant.to_zoned(TimeZone::UTC).datetime()
}
