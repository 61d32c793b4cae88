//! Where a figure comes from that a tuner goes by: [`Measure`].

#[cfg(feature = "monitor")]
use serde::{Deserialize, Serialize};

use super::super::shared::Shared;
#[cfg(feature = "monitor")]
use super::shown;
use super::spec::TuneSpec;
use crate::base::time::Timestamp;
#[cfg(feature = "monitor")]
use crate::monitor::series::{Aggregate, Query, check_name};
use crate::tune::TunerSample;
#[cfg(feature = "monitor")]
use crate::{Code, Error, Result};

/// The newest point of each series that was taken into account.
pub(super) type Seen = std::collections::BTreeMap<String, Timestamp>;

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
        let per = self.per.as_ref().map(|per| (&per.series, per.aggregate));
        for (series, aggregate) in [Some((&self.series, self.aggregate)), per].into_iter().flatten()
        {
            check_name(series)?;
            if let Aggregate::Quantile(q) = aggregate
                && !(0.0..=1.0).contains(&q)
            {
                return Err(Error::new(Code::INVALID, "a quantile is from 0 to 1")
                    .with("series", shown(series)));
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
                    .with("metric", shown(metric)));
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
    /// The newest points of what is measured: from then on it counts.
    #[cfg(feature = "monitor")]
    pub(super) fn seen_of<'a>(&self, measures: impl IntoIterator<Item = &'a Measure>) -> Seen {
        let Some(watch) = self.watched() else { return Seen::default() };
        let series = measures.into_iter().flat_map(|one| {
            [Some(&one.series), one.per.as_ref().map(|per| &per.series)].into_iter().flatten()
        });
        let newest = |series: &String| watch.history().points(series, 1).first().map(|one| one.at);
        series.filter_map(|series| Some((series.clone(), newest(series)?))).collect()
    }

    /// What was measured for a tuner since it was asked last.
    #[cfg(feature = "monitor")]
    pub(super) fn measured_for(&self, spec: &TuneSpec, seen: &mut Seen) -> TunerSample {
        let mut latest = Seen::default();
        let mut figure = |one: &Measure| self.figure_of(one, seen, &mut latest);
        let objective = spec.objective.as_ref().and_then(&mut figure);
        let mut sample = TunerSample { objective, ..TunerSample::default() };
        for (metric, measure) in &spec.measures {
            // What was not measured decides nothing.
            if let Some(value) = figure(measure) {
                sample.guards.insert(metric.clone(), value);
            }
        }
        // Several figures may be of one series: what was seen of it counts from the next look on.
        seen.extend(latest);
        sample
    }

    #[cfg(not(feature = "monitor"))]
    pub(super) fn measured_for(&self, _: &TuneSpec, _: &mut Seen) -> TunerSample {
        TunerSample::default()
    }

    /// What a figure was of the points that came since it was asked for last, whenever they were measured.
    #[cfg(feature = "monitor")]
    pub(super) fn figure_of(
        &self,
        measure: &Measure,
        seen: &Seen,
        latest: &mut Seen,
    ) -> Option<f64> {
        let mut of = |series: &str, aggregate| {
            let (value, newest) = self.of_series(series, aggregate, seen.get(series))?;
            // Also where it tells nothing yet: a growth needs two points.
            latest.insert(series.to_owned(), newest);
            value
        };
        let value = of(&measure.series, measure.aggregate)?;
        let Some(per) = &measure.per else { return Some(value) };
        let per = of(&per.series, per.aggregate)?;
        (per != 0.0).then(|| value / per)
    }

    /// The figure, where the points tell one, and the time of the newest of them; nothing where none is new.
    #[cfg(feature = "monitor")]
    fn of_series(
        &self,
        series: &str,
        aggregate: Aggregate,
        seen: Option<&Timestamp>,
    ) -> Option<(Option<f64>, Timestamp)> {
        let history = self.watched()?.history();
        let newest = history.points(series, 1).first()?.at;
        let from = match seen {
            Some(seen) if *seen == newest => return None,
            // The clock was set back, and what was kept of later times is gone: this is the first point again.
            Some(seen) if *seen > newest => newest,
            // A sample that took long has a time from before the last look. Growth is since the last point that was seen.
            Some(seen) if aggregate == Aggregate::Rate => *seen,
            Some(seen) => Timestamp::from_nanos(seen.as_nanos().saturating_add(1)),
            None => newest,
        };
        let to = Timestamp::from_nanos(newest.as_nanos().saturating_add(1));
        let answer = history.query(&Query::new(series, from, to, aggregate)).ok()?;
        let value = answer.windows.last().map(|reading| reading.value);
        Some((value.filter(|value| value.is_finite()), newest))
    }
}
