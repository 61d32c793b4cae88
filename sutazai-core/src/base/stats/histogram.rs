//! [`Histogram`]: how often which value occurred, in fixed memory, recorded without a lock.
//!
//! Log-linear buckets as in HdrHistogram (G. Tene, <https://hdrhistogram.github.io/HdrHistogram/>):
//! each power of two is cut into 64 equal parts, so a bucket is at most 1/64 of its values wide,
//! over the whole range of `u64`; values below 128 are kept exactly. The buckets of a power of two
//! are allocated when its first value comes: 512 bytes each, 29.5 KiB when all 59 are there.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Parts that a power of two is cut into, as a power of two.
const PART_BITS: u32 = 6;
const PARTS: usize = 1 << PART_BITS;
/// Values below `PARTS`, then one octave for each power of two from there.
const OCTAVES: usize = 64 - PART_BITS as usize + 1;

type Octave = [AtomicU64; PARTS];

/// Counts values. Recording costs two uncontended atomic additions and never waits.
///
/// ```
/// use sutazai_core::base::stats::Histogram;
/// let latency = Histogram::new();
/// (1..=1000).for_each(|ms| latency.record(ms));
/// let seen = latency.snapshot();
/// assert_eq!((seen.count(), seen.min(), seen.max()), (1000, Some(1), Some(1000)));
/// let median = seen.quantile(0.5).unwrap();
/// assert!(median.abs_diff(500) <= 500 / 64);
/// ```
pub struct Histogram {
    octaves: [OnceLock<Box<Octave>>; OCTAVES],
    sum: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
}

impl Histogram {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            octaves: [const { OnceLock::new() }; OCTAVES],
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
        }
    }

    /// Counts a value, in whatever unit the caller keeps to.
    #[inline]
    pub fn record(&self, value: u64) {
        let (octave, part) = place(value);
        if let Some(octave) = self.octaves.get(octave) {
            // The first value of an octave brings its memory.
            let parts = octave.get_or_init(|| Box::new([const { AtomicU64::new(0) }; PARTS]));
            if let Some(bucket) = parts.get(part) {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
        if value < self.min.load(Ordering::Relaxed) {
            self.min.fetch_min(value, Ordering::Relaxed);
        }
        if value > self.max.load(Ordering::Relaxed) {
            self.max.fetch_max(value, Ordering::Relaxed);
        }
    }

    /// Counts all that another one had counted.
    pub fn add(&self, other: &HistogramSnapshot) {
        for &(low, n) in &other.buckets {
            let (octave, part) = place(low);
            if let Some(octave) = self.octaves.get(octave) {
                let parts = octave.get_or_init(|| Box::new([const { AtomicU64::new(0) }; PARTS]));
                if let Some(bucket) = parts.get(part) {
                    bucket.fetch_add(n, Ordering::Relaxed);
                }
            }
        }
        self.sum.fetch_add(other.sum, Ordering::Relaxed);
        self.min.fetch_min(other.min, Ordering::Relaxed);
        self.max.fetch_max(other.max, Ordering::Relaxed);
    }

    /// What was counted up to now. Values recorded meanwhile may be in it or not.
    pub fn snapshot(&self) -> HistogramSnapshot {
        let mut buckets = Vec::new();
        for (octave, parts) in self.octaves.iter().enumerate() {
            let Some(parts) = parts.get() else { continue };
            for (part, count) in parts.iter().enumerate() {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    buckets.push((lowest(octave, part), count));
                }
            }
        }
        HistogramSnapshot {
            buckets,
            sum: self.sum.load(Ordering::Relaxed),
            min: self.min.load(Ordering::Relaxed),
            max: self.max.load(Ordering::Relaxed),
        }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Histogram").field(&self.snapshot()).finish()
    }
}

/// What a [`Histogram`] had counted at one moment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HistogramSnapshot {
    /// Lowest value of each bucket that is not empty, and its count; ascending.
    buckets: Vec<(u64, u64)>,
    sum: u64,
    min: u64,
    max: u64,
}

impl Default for HistogramSnapshot {
    fn default() -> Self {
        Self { buckets: Vec::new(), sum: 0, min: u64::MAX, max: 0 }
    }
}

impl HistogramSnapshot {
    /// How many values.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// Their sum; wraps around at 2^64.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The smallest, exactly.
    pub fn min(&self) -> Option<u64> {
        self.bounds().map(|(min, _)| min)
    }

    /// The largest, exactly.
    pub fn max(&self) -> Option<u64> {
        self.bounds().map(|(_, max)| max)
    }

    /// The value that a part `q` of all values does not exceed (nearest rank; `q` is clamped to
    /// 0..=1), off by at most 1/64 of itself. `None` when empty.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let (min, max) = self.bounds()?;
        let count = self.count();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank, clamped to what there is"
        )]
        let rank = ((q.clamp(0.0, 1.0) * count as f64).ceil() as u64).clamp(1, count);
        if rank == count {
            return Some(max);
        }
        let mut seen = 0;
        for &(low, n) in &self.buckets {
            seen += n;
            if seen >= rank {
                return Some(middle(low).clamp(min, max));
            }
        }
        Some(max)
    }

    /// How many values lie at or below `bound`, exact but for values within 1/64 of it.
    pub fn at_most(&self, bound: u64) -> u64 {
        self.buckets.iter().take_while(|(low, _)| middle(*low) <= bound).map(|(_, n)| n).sum()
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        let mut merged = std::collections::BTreeMap::new();
        for &(low, n) in self.buckets.iter().chain(&other.buckets) {
            *merged.entry(low).or_insert(0) += n;
        }
        self.buckets = merged.into_iter().collect();
        self.sum = self.sum.wrapping_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Smallest and largest. A value that is being recorded may be in its bucket already and not
    /// yet in `min` and `max`, so the outermost buckets bound them.
    fn bounds(&self) -> Option<(u64, u64)> {
        let (first, _) = *self.buckets.first()?;
        let (last, _) = *self.buckets.last()?;
        let high = |low: u64| low + (width(low) - 1);
        Some((self.min.clamp(first, high(first)), self.max.clamp(last, high(last))))
    }
}

/// The octave and the part of it that a value falls into.
#[inline]
fn place(value: u64) -> (usize, usize) {
    let bits = u64::BITS - value.leading_zeros();
    let octave = bits.saturating_sub(PART_BITS);
    let part = (value >> octave.saturating_sub(1)) & (PARTS as u64 - 1);
    #[expect(clippy::cast_possible_truncation, reason = "below 64 after the mask")]
    (octave as usize, part as usize)
}

/// The smallest value of a bucket.
fn lowest(octave: usize, part: usize) -> u64 {
    let part = part as u64;
    if octave == 0 { part } else { (PARTS as u64 + part) << (octave - 1) }
}

/// How many values the bucket that begins at `low` holds.
fn width(low: u64) -> u64 {
    let bits = u64::BITS - low.leading_zeros();
    1 << bits.saturating_sub(PART_BITS + 1)
}

/// The middle of the bucket that begins at `low`; standing for all its values halves the error.
fn middle(low: u64) -> u64 {
    low + (width(low) - 1) / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_tile_the_whole_range() {
        let mut next = Some(0_u64);
        for octave in 0..OCTAVES {
            for part in 0..PARTS {
                let low = lowest(octave, part);
                assert_eq!(next, Some(low), "a gap before {octave}/{part}");
                assert_eq!(place(low), (octave, part));
                let high = low + (width(low) - 1);
                assert_eq!(place(high), (octave, part));
                assert!(width(low) == 1 || width(low) <= low / PARTS as u64);
                next = high.checked_add(1);
            }
        }
        assert_eq!(next, None, "the range ends early");
    }

    #[test]
    fn an_empty_one_has_no_figures() {
        let empty = Histogram::new().snapshot();
        assert_eq!((empty.count(), empty.quantile(0.5)), (0, None));
        assert_eq!((empty.min(), empty.max()), (None, None));
        assert_eq!(empty, HistogramSnapshot::default());
    }

    #[test]
    fn threads_lose_nothing() {
        let histogram = Histogram::new();
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let histogram = &histogram;
                scope.spawn(move || (0..10_000).for_each(|n| histogram.record(n * (thread + 1))));
            }
        });
        let seen = histogram.snapshot();
        assert_eq!(seen.count(), 40_000);
        assert_eq!(seen.sum(), 10 * (0..10_000).sum::<u64>());
        assert_eq!((seen.min(), seen.max()), (Some(0), Some(39_996)));
    }

    fn recorded(values: &[u64]) -> HistogramSnapshot {
        let histogram = Histogram::new();
        values.iter().for_each(|&v| histogram.record(v));
        histogram.snapshot()
    }

    /// Values of every magnitude.
    fn value() -> impl Strategy<Value = u64> {
        (0_u32..64, any::<u64>()).prop_map(|(shift, bits)| bits >> shift)
    }

    proptest! {
        #[test]
        fn quantiles_are_within_the_stated_error(
            mut values in prop::collection::vec(value(), 1..300), q in 0.0_f64..=1.0
        ) {
            let seen = recorded(&values);
            values.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let exact = values[rank - 1];
            let found = seen.quantile(q).unwrap();
            prop_assert!(found.abs_diff(exact) <= exact / 64, "{} for {}", found, exact);
            prop_assert_eq!(seen.min(), values.first().copied());
            prop_assert_eq!(seen.max(), values.last().copied());
        }

        #[test]
        fn merging_is_recording_together(
            a in prop::collection::vec(value(), 0..100), b in prop::collection::vec(value(), 0..100)
        ) {
            let mut merged = recorded(&a);
            merged.merge(&recorded(&b));
            let both: Vec<u64> = a.iter().chain(&b).copied().collect();
            prop_assert_eq!(merged, recorded(&both));
        }

        #[test]
        fn at_most_is_exact_but_for_the_bounds_own_bucket(
            values in prop::collection::vec(value(), 1..100), bound in value()
        ) {
            let seen = recorded(&values);
            prop_assert_eq!(seen.at_most(u64::MAX), seen.count());
            let count = |bound: u64| values.iter().filter(|&&v| v <= bound).count() as u64;
            let found = seen.at_most(bound);
            let slack = bound / 64;
            prop_assert!(found >= count(bound - slack) && found <= count(bound.saturating_add(slack)));
        }
    }
}
