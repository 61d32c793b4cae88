//! Where a figure comes from that a tuner goes by: [`Measure`].

#[cfg(feature = "monitor")]
use std::time::Duration;

#[cfg(feature = "monitor")]
use serde::{Deserialize, Serialize};

use super::super::shared::Shared;
use super::spec::TuneSpec;
#[cfg(feature = "monitor")]
use crate::base::time::Timestamp;
#[cfg(feature = "monitor")]
use crate::monitor::series::{Aggregate, Query};
use crate::tune::TunerSample;
#[cfg(feature = "monitor")]
use crate::{Code, Error, Result};

/// A figure of a series since the last look.
#[cfg(feature = "monitor")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// The series.
    pub series: String,
    /// What is told of its points.
    #[serde(default)]
    pub aggregate: Aggregate,
    /// What that is divided by: the growth of `…_sum` by that of `…_count` is a mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Divisor>,
}

/// What a figure is divided by.
#[cfg(feature = "monitor")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Divisor {
    /// The series.
    pub series: String,
    /// What is told of its points.
    #[serde(default)]
    pub aggregate: Aggregate,
}

#[cfg(feature = "monitor")]
impl Measure {
    /// This of a series.
    pub fn of(series: impl Into<String>, aggregate: Aggregate) -> Self {
        Self { series: series.into(), aggregate, per: None }
    }

    /// Divided by this of another one.
    #[must_use]
    pub fn per(mut self, series: impl Into<String>, aggregate: Aggregate) -> Self {
        self.per = Some(Divisor { series: series.into(), aggregate });
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let of = [Some(self.aggregate), self.per.as_ref().map(|per| per.aggregate)];
        for aggregate in of.into_iter().flatten() {
            if let Aggregate::Quantile(q) = aggregate
                && !(0.0..=1.0).contains(&q)
            {
                return Err(Error::new(Code::INVALID, "a quantile is from 0 to 1")
                    .with("series", &self.series));
            }
        }
        Ok(())
    }
}

impl TuneSpec {
    /// Whether what it measures makes sense.
    #[cfg(feature = "monitor")]
    pub(super) fn check_measures(&self) -> Result<()> {
        self.objective.as_ref().map_or(Ok(()), Measure::check)?;
        for (metric, measure) in &self.measures {
            measure.check()?;
            if !self.policy.guards.iter().any(|guard| guard.metric == *metric) {
                return Err(Error::new(Code::INVALID, "no guard-rail is of this metric")
                    .with("metric", metric));
            }
        }
        Ok(())
    }

    /// Whether the kernel measures something for it.
    #[cfg(feature = "monitor")]
    pub(super) fn measures(&self) -> bool {
        self.objective.is_some() || !self.measures.is_empty()
    }
}

#[cfg(not(feature = "monitor"))]
impl TuneSpec {
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "as with the room that measures"
    )]
    pub(super) fn check_measures(&self) -> crate::Result<()> {
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "as with the room that measures")]
    pub(super) fn measures(&self) -> bool {
        false
    }
}

impl Shared {
    /// What was measured for a tuner within the last time.
    #[cfg(feature = "monitor")]
    pub(super) fn measured_for(&self, spec: &TuneSpec, within: Duration) -> TunerSample {
        let now = self.runtime.timestamp();
        let objective = spec.objective.as_ref().and_then(|one| self.figure_of(one, now, within));
        let mut sample = TunerSample { objective, ..TunerSample::default() };
        for (metric, measure) in &spec.measures {
            // What was not measured decides nothing.
            if let Some(value) = self.figure_of(measure, now, within) {
                sample.guards.insert(metric.clone(), value);
            }
        }
        sample
    }

    #[cfg(not(feature = "monitor"))]
    pub(super) fn measured_for(&self, _: &TuneSpec, _: std::time::Duration) -> TunerSample {
        TunerSample::default()
    }

    #[cfg(feature = "monitor")]
    pub(super) fn figure_of(
        &self,
        measure: &Measure,
        now: Timestamp,
        within: Duration,
    ) -> Option<f64> {
        let value = self.of_series(&measure.series, measure.aggregate, now, within)?;
        let Some(per) = &measure.per else { return Some(value) };
        let per = self.of_series(&per.series, per.aggregate, now, within)?;
        (per != 0.0).then(|| value / per)
    }

    #[cfg(feature = "monitor")]
    fn of_series(
        &self,
        series: &str,
        aggregate: Aggregate,
        now: Timestamp,
        within: Duration,
    ) -> Option<f64> {
        let within = i64::try_from(within.as_nanos()).unwrap_or(i64::MAX);
        // A sample of just now is part of it, and one that came just after the last look.
        let to = Timestamp::from_nanos(now.as_nanos().saturating_add(1));
        let from = Timestamp::from_nanos(now.as_nanos().saturating_sub(within));
        let history = self.watched()?.history();
        let answer = history.query(&Query::new(series, from, to, aggregate)).ok()?;
        answer.windows.last().map(|reading| reading.value).filter(|value| value.is_finite())
    }
}
