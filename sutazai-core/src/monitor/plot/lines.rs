//! What of a series is drawn: its parts without gaps, and of each no more than can be seen.

use crate::monitor::series::Reading;

/// Values beyond this are drawn as this: their differences must be numbers.
const LARGEST: f64 = 1e300;

/// Longer than so many usual intervals is a gap.
const GAP: i64 = 5;

/// A point: nanoseconds since 1970, and a value.
pub(super) type Point = (i64, f64);

/// A value that can be drawn.
pub(super) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then(|| value.clamp(-LARGEST, LARGEST))
}

/// The parts of a series between gaps, in order of time.
pub(super) fn parts(past: &[Reading]) -> Vec<Vec<Point>> {
    let mut readings: Vec<Reading> = past.to_vec();
    readings.sort_by_key(|reading| reading.at);
    let longest = usual(&readings).saturating_mul(GAP);
    let mut parts: Vec<Vec<Point>> = Vec::new();
    let mut open = false;
    for reading in &readings {
        let Some(value) = finite(reading.value) else {
            open = false;
            continue;
        };
        let point = (reading.at.as_nanos(), value);
        match parts.last_mut().filter(|_| open) {
            Some(part)
                if part.last().is_some_and(|last| point.0.saturating_sub(last.0) <= longest) =>
            {
                part.push(point);
            }
            _ => parts.push(vec![point]),
        }
        open = true;
    }
    parts
}

/// The median of the times between points.
fn usual(readings: &[Reading]) -> i64 {
    let mut between: Vec<i64> = readings
        .windows(2)
        .filter_map(|pair| match pair {
            [one, other] => Some(other.at.as_nanos().saturating_sub(one.at.as_nanos())),
            _ => None,
        })
        .collect();
    between.sort_unstable();
    between.get(between.len() / 2).copied().unwrap_or(i64::MAX / GAP)
}

/// Of the points that fall on the same column of pixels the first, the lowest, the highest and the last: the line looks
/// the same.
pub(super) fn seen(part: &[Point], column: impl Fn(i64) -> i32) -> Vec<Point> {
    let mut seen = Vec::new();
    for group in part.chunk_by(|one, other| column(one.0) == column(other.0)) {
        if group.len() <= 4 {
            seen.extend_from_slice(group);
            continue;
        }
        let by_value = |one: &&Point, other: &&Point| one.1.total_cmp(&other.1);
        let mut kept: Vec<Point> = [
            group.first(),
            group.iter().min_by(by_value),
            group.iter().max_by(by_value),
            group.last(),
        ]
        .into_iter()
        .flatten()
        .copied()
        .collect();
        kept.sort_by_key(|point| point.0);
        seen.extend(kept);
    }
    seen
}
