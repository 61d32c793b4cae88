//! What is to come of a series that is kept: its forecast, and when it is exhausted.

use std::collections::VecDeque;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Watch;
use crate::base::time::Timestamp;
use crate::monitor::forecast::{AutoForecaster, Forecast, Forecaster as _, HORIZON_MOST};
use crate::monitor::series::{Aggregate, LevelView, Query, Reading};
use crate::monitor::{Direction, Exhaustion, ExhaustionPolicy, ExhaustionView};
use crate::{Code, Error, Result};

/// Steps of the past that a forecast needs.
const FEWEST: usize = 8;

/// Steps of the past that a forecast goes by, at most.
const STEPS_MAX: u64 = 5_000;
/// Windows that exhaustion is judged by, at most: thirty days of minutes.
const WINDOWS: u64 = 30 * 24 * 60;
/// Their length.
const MINUTE: Duration = Duration::from_secs(60);

/// Asks how a series goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForecastQuery {
    /// The series.
    pub series: String,
    /// Milliseconds of a step, 1 or more: the forecast is of means over steps (of counters, of their growth in a second). Of the
    /// past it goes by the last 5,000 of them, or as many as are kept in a resolution that is no coarser; eight at least.
    #[schemars(range(min = 1, max = 562_949_953))]
    pub step_ms: u64,
    /// Steps ahead, 1 to 10,000.
    #[schemars(range(min = 1, max = 10_000))]
    pub steps: usize,
    /// The probabilities of intervals, above 0 and below 1. Default: 0.95.
    #[serde(default = "usual")]
    pub levels: Vec<f64>,
    /// Where the past ends that it goes by. Default: now.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

fn usual() -> Vec<f64> {
    vec![0.95]
}

/// How a series is expected to go on.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct SeriesForecast {
    /// When the first step begins.
    pub from: Timestamp,
    /// Milliseconds of a step.
    pub step_ms: u64,
    /// Steps of the past that it goes by, up to the newest value.
    pub past: usize,
    /// What is expected.
    #[serde(flatten)]
    pub forecast: Forecast,
}

/// What was said of the end of resources, for as long as that does not change: a minute.
#[derive(Default)]
pub(super) struct Outlooks(VecDeque<(Asked, ExhaustionView)>);

/// What an answer follows from.
#[derive(PartialEq)]
struct Asked {
    series: String,
    policy: ExhaustionPolicy,
    end: i64,
    known: Option<i64>,
}

impl Outlooks {
    /// Answers that are kept, at most.
    const MOST: usize = 16;

    fn find(&self, asked: &Asked) -> Option<ExhaustionView> {
        self.0.iter().find(|(one, _)| one == asked).map(|(_, view)| view.clone())
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn keep(&mut self, asked: Asked, view: ExhaustionView) {
        self.0.retain(|(one, _)| (&one.series, &one.policy) != (&asked.series, &asked.policy));
        if self.0.len() >= Self::MOST {
            self.0.pop_front();
        }
        self.0.push_back((asked, view));
    }
}

impl Watch {
    /// How a series goes on after the last step that has ended by now. Where it has had no values for some steps, these were ahead as
    /// well, and the intervals are wider by that. Takes some milliseconds up to a second, by the length of the past.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] where there is no such series, [`Code::INVALID`] for a query that makes no sense, where too
    /// little is kept in steps so short, and where the newest value is more than 10,000 steps old.
    pub fn forecast(&self, wanted: &ForecastQuery, now: Timestamp) -> Result<SeriesForecast> {
        let step = i64::try_from(wanted.step_ms).ok().and_then(|ms| ms.checked_mul(1_000_000));
        let Some(step) = step.filter(|step| (1..=i64::MAX / 16_384).contains(step)) else {
            return Err(Error::new(
                Code::INVALID,
                "a step has 1 millisecond at least, and 562,949,953 at most (6.5 days)",
            )
            .operation("monitor.forecast")
            .with("field", "step_ms")
            .with("value", wanted.step_ms));
        };
        let until = wanted.until.unwrap_or(now).as_nanos();
        let end = until.saturating_sub(until.rem_euclid(step));
        let view = self.history().series(&wanted.series, 1);
        let view = view.into_iter().find(|one| one.name == wanted.series);
        // The past ends with the step of the newest value; those that follow are ahead.
        let newest = view.as_ref().and_then(|view| view.newest).map_or(end, Timestamp::as_nanos);
        let newest = newest.saturating_sub(newest.rem_euclid(step));
        let known = newest.saturating_add(step).min(end);
        let silent = usize::try_from((end - known) / step).unwrap_or(usize::MAX);
        if silent > HORIZON_MOST {
            return Err(Error::new(Code::INVALID, "the series is too old to forecast from")
                .operation("monitor.forecast")
                .with("steps_without_values", silent)
                .advice("longer steps, or `until` where its values end"));
        }
        let steps = view.map_or(1, |view| fine_steps(&view.levels, known, step));
        let windows = self.windows(&wanted.series, known, step, steps.min(STEPS_MAX));
        let windows = windows.map_err(|error| error.operation("monitor.forecast"))?;
        let mut values = spread(&windows, known, step);
        values.resize(values.len() + silent, f64::NAN);
        let forecaster = AutoForecaster::default();
        let forecast = forecaster.forecast(&values, wanted.steps, &wanted.levels);
        let few = values.iter().filter(|value| value.is_finite()).count() < FEWEST;
        let forecast = forecast.map_err(|error| match few && steps < STEPS_MAX {
            true => error.advice("longer steps: of so short ones no more is kept"),
            false => error,
        })?;
        let from = Timestamp::from_nanos(end);
        let past = values.iter().rposition(|value| value.is_finite()).map_or(0, |last| last + 1);
        Ok(SeriesForecast { from, step_ms: wanted.step_ms, past, forecast })
    }

    /// When the resource that a series tells of is used up, if it goes on as it does: by its means over minutes, of what is kept
    /// of the thirty days before `until`. Takes up to half a second, and no time when it is asked again within the minute.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] where there is no such series, [`Code::INVALID`] for a policy that makes no sense.
    pub fn exhaustion(
        &self,
        series: &str,
        policy: ExhaustionPolicy,
        until: Timestamp,
    ) -> Result<ExhaustionView> {
        let step = i64::try_from(MINUTE.as_nanos()).unwrap_or(i64::MAX);
        let until = until.as_nanos();
        let end = until.saturating_sub(until.rem_euclid(step));
        let view = self.history().series(series, 1).into_iter().find(|one| one.name == series);
        let Some(view) = view else {
            return Err(self.history().missing(series).operation("monitor.exhaustion"));
        };
        let newest = view.newest.map(Timestamp::as_nanos);
        let mut policy = policy;
        if let (None, Some((limit, way))) = (policy.limit, self.capacity(series)) {
            policy.limit = Some(limit);
            policy.direction.get_or_insert(way);
        }
        // What is kept of minutes that have ended does not change any more once there is a later point.
        let asked =
            Asked { series: series.to_owned(), policy, end, known: newest.map(|at| at.min(end)) };
        if let Some(view) = self.outlooks.lock().find(&asked) {
            return Ok(view);
        }
        let mut exhaustion = Exhaustion::new(asked.policy.clone())?;
        let windows = self.windows(series, end, step, WINDOWS);
        for window in windows.map_err(|error| error.operation("monitor.exhaustion"))? {
            // A window's mean is known at its end.
            exhaustion.feed(window.at + MINUTE, window.value);
        }
        let view = exhaustion.view();
        self.outlooks.lock().keep(asked, view.clone());
        Ok(view)
    }

    /// Where one of the kernel's own series is used up, and which way, as far as that is measured.
    fn capacity(&self, series: &str) -> Option<(f64, Direction)> {
        let all = |of: &str| {
            let newest = self.history().points(of, 1).pop().map(|reading| reading.value);
            newest.filter(|all| *all > 0.0).map(|all| (all, Direction::Fills))
        };
        match series {
            "memory_used_bytes" => all("memory_total_bytes"),
            "swap_used_bytes" => all("swap_total_bytes"),
            "process_resident_memory_bytes" => {
                all("memory_limit_bytes").or_else(|| all("memory_total_bytes"))
            }
            "process_open_fds" => all("process_max_fds"),
            "container_memory_used_bytes" => all("container_memory_limit_bytes"),
            "container_pids" => all("container_pids_limit"),
            "memory_available_bytes" | "disk_free_bytes" => Some((0.0, Direction::RunsDown)),
            _ if series.ends_with("_used_ratio") => Some((1.0, Direction::Fills)),
            _ if series.ends_with("_free_ratio") => Some((0.0, Direction::RunsDown)),
            _ => all(&format!("{}_memory_total_bytes", series.strip_suffix("_memory_used_bytes")?)),
        }
    }

    /// The last windows that have ended, as far as they have points.
    pub(super) fn windows(
        &self,
        series: &str,
        end: i64,
        step: i64,
        most: u64,
    ) -> Result<Vec<Reading>> {
        let begin =
            end.saturating_sub(step.saturating_mul(i64::try_from(most).unwrap_or(i64::MAX)));
        let counter =
            self.history().series(series, 1).iter().any(|one| one.name == series && one.counter);
        let aggregate = if counter { Aggregate::Rate } else { Aggregate::Mean };
        let (from, to) = (Timestamp::from_nanos(begin), Timestamp::from_nanos(end));
        let query = Query::new(series, from, to, aggregate);
        let step_ms = u64::try_from(step / 1_000_000).unwrap_or(u64::MAX);
        Ok(self.history().query(&query.step_ms(step_ms))?.windows)
    }
}

/// How many steps before `end` are kept in a resolution that is no coarser than they are; one at least.
fn fine_steps(levels: &[LevelView], end: i64, step: i64) -> u64 {
    let fine = |level: &&LevelView| i64::from(level.step_s).saturating_mul(1_000_000_000) <= step;
    let oldest = levels.iter().filter(fine).filter_map(|level| level.oldest).min();
    let span = oldest.map_or(0, |oldest| end.saturating_sub(oldest.as_nanos()));
    u64::try_from(span / step).unwrap_or(0).max(1)
}

/// A value for each step from the first window on, not a number where there is none.
fn spread(windows: &[Reading], end: i64, step: i64) -> Vec<f64> {
    let Some(first) = windows.first() else { return Vec::new() };
    let place = |at: i64| usize::try_from((at - first.at.as_nanos()) / step).unwrap_or(usize::MAX);
    let mut values = vec![f64::NAN; place(end)];
    for window in windows {
        if let Some(value) = values.get_mut(place(window.at.as_nanos())) {
            *value = window.value;
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::anomaly::noise::Rng;
    use crate::monitor::{Outlook, WatchPolicy};

    fn at(minutes: u64) -> Timestamp {
        Timestamp::EPOCH + Duration::from_secs(60 * minutes)
    }

    fn watch() -> Watch {
        let mut policy = WatchPolicy::default();
        policy.watched.clear();
        Watch::new(policy, None).unwrap()
    }

    #[test]
    fn a_forecast_is_of_what_is_kept_and_begins_now() {
        let watch = watch();
        let value = |minute: u64| 50.0 + 40.0 * f64::from(u8::from(minute % 60 < 30));
        for minute in 0..900 {
            // An hour is missing.
            if !(300..360).contains(&minute) {
                watch.record("load", at(minute), value(minute)).unwrap();
            }
        }
        let mut wanted = ForecastQuery {
            series: "load".into(),
            step_ms: 60_000,
            steps: 60,
            levels: usual(),
            until: None,
        };
        let told = watch.forecast(&wanted, at(900) + Duration::from_secs(7)).unwrap();
        assert_eq!((told.from, told.past, told.forecast.point.len()), (at(900), 900, 60));
        assert_eq!(told.forecast.seasons, [60]);
        for (minute, point) in (900..).zip(&told.forecast.point) {
            assert!((point - value(minute)).abs() < 15.0, "{minute}: {point}");
        }
        wanted.series = "none".into();
        let none = watch.forecast(&wanted, at(900)).unwrap_err();
        assert_eq!(
            (none.code(), none.failed_operation()),
            (Code::NOT_FOUND, Some("monitor.forecast"))
        );
        wanted.series = "load".into();
        wanted.step_ms = 0;
        assert_eq!(watch.forecast(&wanted, at(900)).unwrap_err().code(), Code::INVALID);
        (wanted.step_ms, wanted.steps) = (60_000, 0);
        assert_eq!(watch.forecast(&wanted, at(900)).unwrap_err().code(), Code::INVALID);
        wanted.steps = 5;
        assert_eq!(watch.forecast(&wanted, at(3)).unwrap_err().code(), Code::INVALID, "too short");
    }

    fn asked(step_ms: u64, steps: usize) -> ForecastQuery {
        ForecastQuery { series: "load".into(), step_ms, steps, levels: usual(), until: None }
    }

    #[test]
    fn no_step_is_shorter_than_what_is_kept_of_it() {
        let watch = watch();
        let second = |second: u64| Timestamp::EPOCH + Duration::from_secs(second);
        let mut rng = Rng::new(1);
        let values: Vec<f64> = (0..20_060).map(|_| 100.0 + rng.normal()).collect();
        let noise = |second: u64| values[second as usize];
        for now in 0..20_000 {
            watch.record("load", second(now), noise(now)).unwrap();
            if now % 60 == 0 {
                watch.flush(second(now)).unwrap();
            }
        }
        // Of the points themselves there is an hour and a half at most.
        let told = watch.forecast(&asked(1_000, 60), second(20_000)).unwrap();
        assert!((3_600..=5_400).contains(&told.past), "{}", told.past);
        let [interval] = &told.forecast.intervals[..] else { panic!() };
        let held = (20_000..20_060).zip(interval.lower.iter().zip(&interval.upper));
        let held =
            held.filter(|(now, (low, high))| (**low..=**high).contains(&noise(*now))).count();
        assert!(held >= 50, "{held} of 60: {interval:?}");
        // Of steps as long as a level's there are as many as are asked for.
        assert_eq!(watch.forecast(&asked(10_000, 5), second(20_000)).unwrap().past, 2_000);
        // Where nothing so fine is left, that is said.
        for minute in 0..200 {
            watch.flush(second(30_000 + minute * 60)).unwrap();
        }
        let error = watch.forecast(&asked(1_000, 60), second(20_000)).unwrap_err();
        assert_eq!(error.code(), Code::INVALID);
        assert!(error.remedy().unwrap().contains("longer steps"), "{error:?}");
        assert!(watch.forecast(&asked(60_000, 60), second(20_000)).is_ok());
    }

    #[test]
    fn a_series_that_has_ended_is_less_certain_by_the_minute() {
        let (watch, mut rng) = (watch(), Rng::new(2));
        for minute in 0..600 {
            watch.record("load", at(minute), 100.0 + rng.normal()).unwrap();
        }
        let wide = |now: u64| {
            let told = watch.forecast(&asked(60_000, 10), at(now)).unwrap();
            assert_eq!((told.from, told.past, told.forecast.point.len()), (at(now), 600, 10));
            let [interval] = &told.forecast.intervals[..] else { panic!() };
            assert_eq!((interval.lower.len(), interval.upper.len()), (10, 10));
            interval.upper[9] - interval.lower[9]
        };
        let (now, later, late) = (wide(600), wide(700), wide(2_000));
        assert!(now > 3.0 && later > 0.9 * now && late > 1.5 * now, "{now} {later} {late}");
        let error = watch.forecast(&asked(60_000, 10), at(10_600)).unwrap_err();
        assert_eq!(error.code(), Code::INVALID, "too old");
    }

    #[test]
    fn a_leak_has_an_end() {
        let watch = watch();
        for minute in 0..800_u64 {
            let jitter = (minute * 7 % 13) as f64;
            watch.record("leak_bytes", at(minute), 2e3 + 10.0 * minute as f64 + jitter).unwrap();
            watch.record("idle_bytes", at(minute), 2e3 + jitter).unwrap();
        }
        let policy = ExhaustionPolicy::new(16e3, Direction::Fills);
        let told = watch.exhaustion("leak_bytes", policy.clone(), at(800)).unwrap();
        let Outlook::RunsOut { at: end, .. } = told.outlook else { panic!("{told:?}") };
        let (slope, certainty) = (told.slope.unwrap(), told.certainty.unwrap());
        assert!((slope - 10.0 / 60.0).abs() < 0.01 && certainty > 10.0, "{slope} {certainty}");
        let minutes = (end.as_nanos() - at(800).as_nanos()) as f64 / 60e9;
        assert!((540.0..660.0).contains(&minutes), "{minutes}");
        // What was said of a series is forgotten with it.
        let labels = std::collections::BTreeMap::new();
        let leak = crate::monitor::series::Forget { series: "leak*", labels: &labels };
        assert_eq!(watch.forget(&leak).unwrap().len(), 1);
        watch.record("leak_bytes", at(799), 1.0).unwrap();
        let anew = watch.exhaustion("leak_bytes", policy.clone(), at(800)).unwrap();
        assert!(matches!(anew.outlook, Outlook::Unknown), "{anew:?}");
        let idle = watch.exhaustion("idle_bytes", policy.clone(), at(800)).unwrap();
        assert!(matches!(idle.outlook, Outlook::Stable), "{idle:?}");
        // Of what is stable no slope is told, not even that it is none.
        assert_eq!((idle.slope, idle.certainty), (None, None));
        let idle = serde_json::to_value(&idle).unwrap();
        assert!(idle.get("slope").is_none() && idle.get("certainty").is_none(), "{idle}");
        let none = watch.exhaustion("none", policy, at(800)).unwrap_err();
        assert_eq!(
            (none.code(), none.failed_operation()),
            (Code::NOT_FOUND, Some("monitor.exhaustion"))
        );
        // Without a limit there is none, but for what the kernel measures the capacity of.
        let unsaid =
            watch.exhaustion("leak_bytes", ExhaustionPolicy::default(), at(800)).unwrap_err();
        assert_eq!(unsaid.code(), Code::INVALID);
        assert!(unsaid.to_string().contains("limit"), "{unsaid}");
        watch.record("process_max_fds", at(1), 1_024.0).unwrap();
        watch.record("container_memory_limit_bytes", at(1), 4e9).unwrap();
        watch.record("container_pids_limit", at(1), 512.0).unwrap();
        for (series, limit, way) in [
            ("process_open_fds", 1_024.0, Direction::Fills),
            ("container_memory_used_bytes", 4e9, Direction::Fills),
            ("container_pids", 512.0, Direction::Fills),
            ("disk_free_bytes", 0.0, Direction::RunsDown),
            ("memory_limit_used_ratio", 1.0, Direction::Fills),
        ] {
            watch.record(series, at(1), 0.5).unwrap();
            let told = watch.exhaustion(series, ExhaustionPolicy::default(), at(800)).unwrap();
            assert_eq!((told.policy.limit, told.policy.direction), (Some(limit), Some(way)));
        }
        watch.record("gpu0_memory_used_bytes", at(1), 0.5).unwrap();
        assert!(
            watch
                .exhaustion("gpu0_memory_used_bytes", ExhaustionPolicy::default(), at(800))
                .is_err()
        );
        watch.record("gpu0_memory_total_bytes", at(1), 8e9).unwrap();
        let told = watch
            .exhaustion("gpu0_memory_used_bytes", ExhaustionPolicy::default(), at(800))
            .unwrap();
        assert_eq!(told.policy.limit, Some(8e9));
    }
}
