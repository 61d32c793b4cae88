//! The figures of one agent, or of one of its skills.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::recent::Recent;
use super::{AgentStats, FailureStats, LatencyStats, QualityStats, Went};
use crate::Class;
use crate::base::stats::{Histogram, HistogramSnapshot};
use crate::base::time::Moment;
use crate::port::Usage;

/// How calls went. Recording one takes a lock for some nanoseconds.
#[derive(Default)]
pub struct Figures {
    transient: AtomicU64,
    persistent: AtomicU64,
    critical: AtomicU64,
    took: Histogram,
    changed: AtomicBool,
    sums: Mutex<Sums>,
}

#[derive(Default)]
struct Sums {
    usage: Option<Usage>,
    /// Calls that said what they took.
    used: u64,
    quality: QualitySum,
    recent: Recent,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct QualitySum {
    scores: u64,
    sum: f64,
}

/// What is kept of figures from one process to the next. What was of late is not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeptFigures {
    failures: FailureStats,
    took: HistogramSnapshot,
    usage: Option<Usage>,
    used: u64,
    quality: QualitySum,
}

impl Figures {
    #[inline]
    pub(super) fn record(&self, went: &Went<'_>, now: Moment) {
        let nanos = u64::try_from(went.took.as_nanos()).unwrap_or(u64::MAX);
        self.took.record(nanos);
        if let Some(error) = went.failure {
            let count = match error.class() {
                Class::Transient => &self.transient,
                Class::Persistent => &self.persistent,
                Class::Critical => &self.critical,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
        let mut sums = self.sums.lock();
        if let Some(usage) = went.usage {
            let sum = sums.usage.get_or_insert_default();
            sum.input_tokens = sum.input_tokens.saturating_add(usage.input_tokens);
            sum.output_tokens = sum.output_tokens.saturating_add(usage.output_tokens);
            // What is no number would make the sum one no more.
            sum.cost += if usage.cost.is_finite() { usage.cost } else { 0.0 };
            sums.used += 1;
        }
        sums.recent.record(went, nanos, now);
        self.changed.store(true, Ordering::Relaxed);
    }

    pub(super) fn score(&self, score: f64, now: Moment) {
        let mut sums = self.sums.lock();
        sums.quality.scores += 1;
        sums.quality.sum += score;
        sums.recent.score(score, now);
        self.changed.store(true, Ordering::Relaxed);
    }

    pub(super) fn stats(&self, now: Moment) -> AgentStats {
        let took = self.took.snapshot();
        let quantile = |q| took.quantile(q).unwrap_or(0);
        let (usage, quality, recent) = {
            let sums = self.sums.lock();
            (sums.usage, sums.quality, sums.recent.stats(now))
        };
        AgentStats {
            calls: took.count(),
            failures: self.failures(),
            latency: (took.count() > 0).then(|| LatencyStats {
                p50_ns: quantile(0.5),
                p99_ns: quantile(0.99),
                max_ns: took.max().unwrap_or(0),
                mean_ns: took.sum() / took.count().max(1),
            }),
            usage,
            quality: (quality.scores > 0).then(|| QualityStats {
                scores: quality.scores,
                mean: quality.sum / as_f64(quality.scores),
            }),
            recent,
        }
    }

    pub(super) fn mean_cost(&self, now: Moment) -> Option<f64> {
        let sums = self.sums.lock();
        let ever = || Some(sums.usage?.cost / as_f64(sums.used.max(1)));
        sums.recent.mean_cost(now).or_else(ever)
    }

    pub(super) fn has_changed(&self) -> bool {
        self.changed.load(Ordering::Relaxed)
    }

    pub(super) fn kept(&self) -> KeptFigures {
        // Before the figures are read: what comes meanwhile is kept the next time.
        self.changed.store(false, Ordering::Relaxed);
        let sums = self.sums.lock();
        KeptFigures {
            failures: self.failures(),
            took: self.took.snapshot(),
            usage: sums.usage,
            used: sums.used,
            quality: sums.quality,
        }
    }

    pub(super) fn recall(&self, kept: &KeptFigures) {
        self.transient.fetch_add(kept.failures.transient, Ordering::Relaxed);
        self.persistent.fetch_add(kept.failures.persistent, Ordering::Relaxed);
        self.critical.fetch_add(kept.failures.critical, Ordering::Relaxed);
        self.took.add(&kept.took);
        let mut sums = self.sums.lock();
        if let Some(usage) = kept.usage {
            let sum = sums.usage.get_or_insert_default();
            sum.input_tokens = sum.input_tokens.saturating_add(usage.input_tokens);
            sum.output_tokens = sum.output_tokens.saturating_add(usage.output_tokens);
            sum.cost += usage.cost;
        }
        sums.used += kept.used;
        sums.quality.scores += kept.quality.scores;
        sums.quality.sum += kept.quality.sum;
    }

    fn failures(&self) -> FailureStats {
        FailureStats {
            transient: self.transient.load(Ordering::Relaxed),
            persistent: self.persistent.load(Ordering::Relaxed),
            critical: self.critical.load(Ordering::Relaxed),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count, for a mean")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
