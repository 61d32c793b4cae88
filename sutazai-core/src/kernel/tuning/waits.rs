//! What tuners wait for: told in their status at once, and on the log once it has been long.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::super::shared::Shared;
use super::tuners::Tuned;
use crate::base::time::{Moment, Timestamp};
use crate::observe::Level;
use crate::tune::{BrokenGuard, TunerLack};

/// Beyond two windows and a warm-up, what is missing for so long is told on the log, once until it is there again.
const PATIENCE: Duration = Duration::from_secs(60);

/// What keeps a tuner from trying anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// The objective is not measured (any more).
    Objective,
    /// A guard-rail's metric is not measured (any more).
    Guard,
    /// The setting in use breaks a guard-rail.
    Bound,
}

/// Something that a tuner waits for: it tries nothing before.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct TunerWait {
    /// What it is.
    #[serde(rename = "for")]
    pub what: WaitsFor,
    /// The guard-rail's metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// The series where the kernel looks for it, and has found nothing since. Where there is none the host is to report it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<String>,
    /// When it was measured last, or the tuner began where it never was; of a guard-rail that is broken, since when it is, until a window went by in
    /// which it held; of what is measured too seldom to be in one window with the rest, when the first window closed without it.
    pub since: Timestamp,
    /// How the guard-rail is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<BrokenGuard>,
}

impl Shared {
    /// What a tuner waits for.
    pub(super) fn waits_of(&self, tuned: &Tuned, lacks: Vec<TunerLack>) -> Vec<TunerWait> {
        let wait = |lack: TunerLack| {
            let what = match (&lack.metric, &lack.broken) {
                (_, Some(_)) => WaitsFor::Bound,
                (Some(_), None) => WaitsFor::Guard,
                (None, None) => WaitsFor::Objective,
            };
            let since = self.clock.wall(lack.since);
            let series = match what {
                WaitsFor::Bound => Vec::new(),
                _ => self.empty_series(tuned, lack.metric.as_deref(), since),
            };
            TunerWait { what, metric: lack.metric, series, since, broken: lack.broken }
        };
        lacks.into_iter().map(wait).collect()
    }

    /// The series of a figure in which there is nothing new; all of them where there is in each.
    #[cfg(feature = "monitor")]
    fn empty_series(&self, tuned: &Tuned, metric: Option<&str>, since: Timestamp) -> Vec<String> {
        let measure = match metric {
            Some(metric) => tuned.spec.measures.get(metric),
            None => tuned.spec.objective.as_ref(),
        };
        let Some(measure) = measure else { return Vec::new() };
        let all: Vec<&String> = std::iter::once(&measure.series)
            .chain(measure.per.as_ref().map(|per| &per.series))
            .collect();
        let newest = |series: &str| Some(self.watched()?.history().points(series, 1).first()?.at);
        let is_empty = |series: &&&String| newest(series).is_none_or(|newest| newest <= since);
        let empty: Vec<String> = all.iter().filter(is_empty).map(|one| (*one).clone()).collect();
        if empty.is_empty() { all.into_iter().cloned().collect() } else { empty }
    }

    #[cfg(not(feature = "monitor"))]
    #[expect(clippy::unused_self, reason = "as with the room that measures")]
    fn empty_series(&self, _: &Tuned, _: Option<&str>, _: Timestamp) -> Vec<String> {
        Vec::new()
    }

    /// Tells once of what has been waited for for long. Whoever asks has the tuner's turn.
    pub(super) fn tell_of_waits(&self, tuned: &Tuned, now: Moment) {
        let (lacks, patience, quiet, told) = {
            let mut state = tuned.state.lock();
            let lacks = state.tuner.lacks(now);
            if lacks.is_empty() {
                state.told_of.clear();
                return;
            }
            let told = std::mem::take(&mut state.told_of);
            (lacks, state.tuner.patience() + PATIENCE, state.rested, told)
        };
        let mut still = BTreeSet::new();
        for wait in self.waits_of(tuned, lacks.clone()).into_iter().zip(lacks) {
            let (wait, lack) = wait;
            let key = (wait.what, wait.metric.clone().unwrap_or_default());
            // While it rested for another reason nobody looked.
            if told.contains(&key) {
                still.insert(key);
            } else if now.since(lack.since.max(quiet)) >= patience {
                self.complain_of_wait(tuned, &wait, lack.apart);
                still.insert(key);
            }
        }
        tuned.state.lock().told_of = still;
    }

    fn complain_of_wait(&self, tuned: &Tuned, wait: &TunerWait, apart: bool) {
        let what = match wait.what {
            WaitsFor::Objective => "a tuner tries nothing: its objective is not measured",
            WaitsFor::Guard => "a tuner tries nothing: a guard-rail's metric is not measured",
            WaitsFor::Bound => "a tuner tries nothing: what is in use breaks a guard-rail",
        };
        let mut fields = vec![("tuner", tuned.name.to_string()), ("since", wait.since.to_string())];
        fields.extend(wait.metric.clone().map(|metric| ("metric", metric)));
        if wait.what != WaitsFor::Bound {
            let from = match wait.series.is_empty() {
                _ if apart => "no window has had all figures: have it measured more often, or make windows longer (window_ms)".to_owned(),
                true => "nobody reports it (tune.report)".to_owned(),
                false => format!("nothing new in {}", wait.series.join(" and ")),
            };
            fields.push(("because", from));
        }
        self.kept.log().record(Level::Warn, "sutazai.tune", what, fields);
    }
}
