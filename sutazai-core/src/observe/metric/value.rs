//! The handles that rooms keep and write to: [`Counter`], [`Gauge`], [`MetricHistogram`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::stats::{Histogram, HistogramSnapshot};

/// A figure that only grows. A handle is an `Arc`: clone it, keep it, and use it from any thread.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A figure that rises and falls.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Sets it.
    #[inline]
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds to it; subtracts when `delta` is negative.
    #[inline]
    pub fn add(&self, delta: f64) {
        let add = |bits| Some((f64::from_bits(bits) + delta).to_bits());
        // The closure never refuses, so neither does the update.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Its value.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// What a histogram's values are, which decides how they are shown to Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Durations, recorded in nanoseconds, shown in seconds.
    Seconds,
    /// Sizes in bytes.
    Bytes,
    /// Plain numbers.
    Number,
}

impl Unit {
    /// What one recorded unit is in the unit shown.
    pub(super) fn scale(self) -> f64 {
        match self {
            Self::Seconds => 1e-9,
            Self::Bytes | Self::Number => 1.0,
        }
    }

    /// The bounds of the buckets shown, as recorded: few enough to scrape, since the quantiles
    /// come from the fine buckets anyway.
    pub(super) fn bounds(self) -> &'static [u64] {
        const MICRO: u64 = 1_000;
        const MILLI: u64 = 1_000_000;
        const SECOND: u64 = 1_000_000_000;
        #[rustfmt::skip]
        const SECONDS: &[u64] = &[
            MICRO, 5 * MICRO, 10 * MICRO, 50 * MICRO, 100 * MICRO, 500 * MICRO,
            MILLI, 5 * MILLI, 10 * MILLI, 25 * MILLI, 50 * MILLI, 100 * MILLI, 250 * MILLI, 500 * MILLI,
            SECOND, 5 * SECOND / 2, 5 * SECOND, 10 * SECOND, 30 * SECOND, 60 * SECOND, 300 * SECOND,
        ];
        const POWERS: &[u64] = &{
            let mut powers = [1; 16];
            let mut i = 1;
            while i < powers.len() {
                powers[i] = powers[i - 1] * 4;
                i += 1;
            }
            powers
        };
        match self {
            Self::Seconds => SECONDS,
            Self::Bytes | Self::Number => POWERS,
        }
    }
}

/// The distribution of a figure.
#[derive(Clone, Debug)]
pub struct MetricHistogram {
    histogram: Arc<Histogram>,
    unit: Unit,
}

impl MetricHistogram {
    /// Counts a value, in the unit it is recorded in (nanoseconds for [`Unit::Seconds`]).
    #[inline]
    pub fn record(&self, value: u64) {
        self.histogram.record(value);
    }

    /// Counts a duration, as nanoseconds.
    #[inline]
    pub fn record_duration(&self, duration: Duration) {
        self.record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What was counted up to now.
    pub fn snapshot(&self) -> HistogramSnapshot {
        self.histogram.snapshot()
    }

    /// The unit.
    pub fn unit(&self) -> Unit {
        self.unit
    }
}

/// The figures behind one series.
#[derive(Clone)]
pub enum Cell {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(MetricHistogram),
    /// Asked when somebody looks.
    Asked(Arc<dyn Fn() -> f64 + Send + Sync>),
}

/// What a family is made of. Sealed: the kinds are those of the exposition format.
pub trait Metric: Clone + sealed::Sealed {}

impl Metric for Counter {}
impl Metric for Gauge {}
impl Metric for MetricHistogram {}

pub(super) mod sealed {
    use std::sync::Arc;

    use super::{Cell, Counter, Gauge, MetricHistogram, Unit};

    pub trait Sealed: Sized {
        fn make(unit: Unit) -> Self;
        fn cell(&self) -> Cell;
        fn of(cell: &Cell) -> Option<Self>;
    }

    impl Sealed for Counter {
        fn make(_: Unit) -> Self {
            Self::default()
        }
        fn cell(&self) -> Cell {
            Cell::Counter(self.clone())
        }
        fn of(cell: &Cell) -> Option<Self> {
            match cell {
                Cell::Counter(counter) => Some(counter.clone()),
                _ => None,
            }
        }
    }

    impl Sealed for Gauge {
        fn make(_: Unit) -> Self {
            Self::default()
        }
        fn cell(&self) -> Cell {
            Cell::Gauge(self.clone())
        }
        fn of(cell: &Cell) -> Option<Self> {
            match cell {
                Cell::Gauge(gauge) => Some(gauge.clone()),
                _ => None,
            }
        }
    }

    impl Sealed for MetricHistogram {
        fn make(unit: Unit) -> Self {
            Self { histogram: Arc::default(), unit }
        }
        fn cell(&self) -> Cell {
            Cell::Histogram(self.clone())
        }
        fn of(cell: &Cell) -> Option<Self> {
            match cell {
                Cell::Histogram(histogram) => Some(histogram.clone()),
                _ => None,
            }
        }
    }
}
