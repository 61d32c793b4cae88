//! A history held against a plain model, at its bounds, and with a shelf that fails.

mod bounds;
mod crash;
mod model;

use super::*;
use crate::base::time::Timestamp;

const SECOND: i64 = 1_000_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(seconds * SECOND)
}

/// xorshift64* (G. Marsaglia: Xorshift RNGs, 2003; S. Vigna: An Experimental Exploration of Marsaglia's Xorshift
/// Generators, Scrambled, 2016).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }
}

/// Everything that there is of a series in a resolution, by asking in its own windows.
fn all(history: &History, series: &str, aggregate: Aggregate, step_s: u64) -> Vec<(i64, f64)> {
    let query =
        Query::new(series, at(0), at(step_s as i64 * 90_000), aggregate).step_ms(step_s * 1000);
    let windows = history.query(&query).map(|answer| answer.windows).unwrap_or_default();
    windows.iter().map(|reading| (reading.at.as_nanos() / SECOND, reading.value)).collect()
}
