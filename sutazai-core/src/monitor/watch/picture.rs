//! A series of a watch as a picture.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ForecastQuery, Watch};
use crate::base::time::Timestamp;
use crate::monitor::forecast::HORIZON_MOST;
use crate::monitor::plot::{Ahead, Mark, Plot, Unit};
use crate::{Code, Error, Result};

/// Points of a line, at most.
const POINTS: u64 = 100_000;
/// Points of a line where nobody says how many.
const USUAL: u64 = 600;

/// Asks for a picture of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlotQuery {
    /// The series.
    pub series: String,
    /// Milliseconds of the past that are shown, 1 or more. Default: an hour.
    #[serde(default = "an_hour")]
    #[schemars(range(min = 1))]
    pub window_ms: u64,
    /// Milliseconds of a step, of which the mean is drawn (of counters, their growth in a second): at most 100,000 steps. Default:
    /// a six hundredth of the window, and a second at least.
    #[serde(default)]
    #[schemars(range(min = 1, max = 562_949_953))]
    pub step_ms: Option<u64>,
    /// Steps ahead that are forecast, up to 10,000; the forecast goes by as much of the past as
    /// [`ForecastQuery`] says, not by the window alone. Default: none.
    #[serde(default)]
    #[schemars(range(max = 10_000))]
    pub ahead: usize,
    /// The probability of the forecast's interval, above 0 and below 1, also where no forecast is wanted. Default: 0.95.
    #[serde(default = "usual")]
    pub level: f64,
    /// Where the past ends. Default: now.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// What stands above. Default: the series.
    #[serde(default)]
    pub title: Option<String>,
    /// Pixels of a line, 240 to 2,048. Default: 960.
    #[serde(default = "width")]
    #[schemars(range(min = 240, max = 2_048))]
    pub width: u32,
    /// Lines, 240 to 2,048. Default: 420.
    #[serde(default = "height")]
    #[schemars(range(min = 240, max = 2_048))]
    pub height: u32,
}

fn an_hour() -> u64 {
    3_600_000
}

fn usual() -> f64 {
    0.95
}

fn width() -> u32 {
    960
}

fn height() -> u32 {
    420
}

impl PlotQuery {
    /// The last hour of a series; set the other fields as needed.
    pub fn new(series: &str) -> Self {
        Self {
            series: series.to_owned(),
            window_ms: an_hour(),
            step_ms: None,
            ahead: 0,
            level: usual(),
            until: None,
            title: None,
            width: width(),
            height: height(),
        }
    }

    /// Whether what is to come can be drawn so.
    fn check_ahead(&self) -> Result<()> {
        let refused = |field: &'static str, value: String, rule: &'static str| {
            Err(no_such(field, value).with("rule", rule))
        };
        if self.ahead > HORIZON_MOST {
            return refused("ahead", self.ahead.to_string(), "must be at most 10,000");
        }
        if !(self.level > 0.0 && self.level < 1.0) {
            return refused("level", self.level.to_string(), "must be above 0 and below 1");
        }
        Ok(())
    }

    /// Nanoseconds of a step, and how many there are.
    fn steps(&self) -> Result<(i64, u64)> {
        let step = self.step_ms.unwrap_or_else(|| self.window_ms.div_ceil(USUAL).max(1_000));
        let count = self.window_ms.div_ceil(step.max(1));
        let nanos = i64::try_from(step).ok().and_then(|ms| ms.checked_mul(1_000_000));
        let nanos = nanos.filter(|step| (1..=i64::MAX / 16_384).contains(step));
        match nanos {
            _ if count == 0 => {
                Err(no_such("window_ms", self.window_ms).with("rule", "must be at least 1"))
            }
            None => Err(no_such("step_ms", step).with("rule", "must be 1 to 562,949,953")),
            Some(_) if count > POINTS => {
                Err(no_such("step_ms", step).with("rule", "at most 100,000 of them in the window"))
            }
            Some(nanos) => Ok((nanos, count)),
        }
    }
}

fn no_such(field: &'static str, value: impl std::fmt::Display) -> Error {
    Error::new(Code::INVALID, "no such plot")
        .operation("monitor.plot")
        .with("field", field)
        .with("value", value)
}

impl Watch {
    /// A picture of a series: what is kept of it, what is remembered to be odd in it, and, if wanted, how it goes on. A forecast takes
    /// some milliseconds up to a second.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] where there is no such series; [`Code::INVALID`] for a query that makes no sense, and where too
    /// little is kept for a forecast.
    pub fn plot(&self, wanted: &PlotQuery, now: Timestamp) -> Result<Plot> {
        let (step, count) = wanted.steps()?;
        wanted.check_ahead()?;
        let until = wanted.until.unwrap_or(now);
        let last = until.as_nanos();
        let end = last.saturating_sub(last.rem_euclid(step));
        let mut plot = Plot::new(wanted.title.as_deref().unwrap_or(&wanted.series));
        plot.unit = Unit::of(&wanted.series);
        (plot.width, plot.height) = (wanted.width, wanted.height);
        plot.check()?;
        let here = |error: Error| error.operation("monitor.plot");
        plot.past = self.windows(&wanted.series, end, step, count).map_err(here)?;
        let begin =
            end.saturating_sub(step.saturating_mul(i64::try_from(count).unwrap_or(i64::MAX)));
        let shown = |at: Timestamp| (begin..=last).contains(&at.as_nanos());
        plot.marks = (self.anomalies(0, usize::MAX).iter())
            .filter(|one| one.series == wanted.series && shown(one.at))
            .map(|one| Mark { at: one.at, value: one.value, score: one.score })
            .collect();
        if wanted.ahead > 0 {
            let query = ForecastQuery {
                series: wanted.series.clone(),
                step_ms: u64::try_from(step / 1_000_000).unwrap_or(u64::MAX),
                steps: wanted.ahead,
                levels: vec![wanted.level],
                until: Some(until),
            };
            let told = self.forecast(&query, now).map_err(here)?;
            plot.ahead =
                Some(Ahead { from: told.from, step_ms: told.step_ms, forecast: told.forecast });
        }
        Ok(plot)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::monitor::WatchPolicy;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_shown_is_kept_odd_and_to_come() {
        let policy = WatchPolicy { watched: vec!["jobs".into()], ..WatchPolicy::default() };
        let watch = Watch::new(policy, None).unwrap();
        for second in 0..1_200 {
            let odd = second == 900;
            let value = if odd { 5_000.0 } else { (second * 37 % 101) as f64 };
            assert_eq!(watch.record("jobs", at(second), value).unwrap().is_some(), odd);
        }
        let mut wanted = PlotQuery { ahead: 30, step_ms: Some(10_000), ..PlotQuery::new("jobs") };
        wanted.window_ms = 600_000;
        let plot = watch.plot(&wanted, at(1_200)).unwrap();
        assert_eq!((plot.past.len(), plot.past[0].at), (60, at(600)));
        assert_eq!(plot.marks.len(), 1);
        assert_eq!((plot.marks[0].at, plot.marks[0].value), (at(900), 5_000.0));
        let ahead = plot.ahead.as_ref().unwrap();
        assert_eq!((ahead.from, ahead.forecast.point.len()), (at(1_200), 30));
        let svg = plot.to_svg().unwrap();
        // The title is a text of its own, and the series' name unless another one is asked for.
        assert!(svg.lines().any(|line| line == "jobs"), "{svg}");
        let titled = PlotQuery { title: Some("Queue".into()), ..wanted.clone() };
        let svg = watch.plot(&titled, at(1_200)).unwrap().to_svg().unwrap();
        assert!(svg.lines().any(|line| line == "Queue") && !svg.contains("jobs"), "{svg}");
        // As many steps as there may be.
        let fine = PlotQuery { step_ms: Some(1), window_ms: 100_000, ahead: 0, ..wanted.clone() };
        assert_eq!(watch.plot(&fine, at(1_200)).unwrap().past.len(), 100);
        // An anomaly before what is shown is not.
        wanted.window_ms = 200_000;
        assert!(watch.plot(&wanted, at(1_200)).unwrap().marks.is_empty());

        type Change = fn(&mut PlotQuery);
        let wrong: [(Code, Change); 9] = [
            (Code::NOT_FOUND, |q| q.series = "none".into()),
            (Code::INVALID, |q| q.window_ms = 0),
            (Code::INVALID, |q| q.step_ms = Some(0)),
            (Code::INVALID, |q| (q.step_ms, q.window_ms) = (Some(1), 100_001)),
            (Code::INVALID, |q| q.level = 1.0),
            // Whether or not anything is ahead.
            (Code::INVALID, |q| (q.level, q.ahead) = (0.0, 0)),
            (Code::INVALID, |q| (q.level, q.ahead) = (f64::NAN, 0)),
            (Code::INVALID, |q| q.ahead = 10_001),
            (Code::INVALID, |q| q.width = 10),
        ];
        for (code, change) in wrong {
            let mut query = wanted.clone();
            change(&mut query);
            assert_eq!(watch.plot(&query, at(1_200)).unwrap_err().code(), code, "{query:?}");
        }
    }
}
