//! How an agent's calls went: all of them, and those for each of its skills.

mod figures;
mod recent;

use std::sync::OnceLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use figures::{Figures, KeptFigures};
pub use recent::RecentStats;

use crate::base::time::Moment;
use crate::observe::Counter;
use crate::port::Usage;
use crate::{Code, Error, Result};

/// How calls went, since the agent was first known under its name and version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, schemars::JsonSchema)]
pub struct AgentStats {
    /// Calls that have their answer.
    pub calls: u64,
    /// Calls that failed, by class.
    pub failures: FailureStats,
    /// How long callers waited; `None` before the first call.
    pub latency: Option<LatencyStats>,
    /// What the calls took, as far as the agent says; `None` where it never did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// How good its answers were, as far as anybody said; `None` where nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<QualityStats>,
    /// The same of late; `None` before the first call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recent: Option<RecentStats>,
}

/// Failed calls, by class.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct FailureStats {
    /// Of class transient.
    pub transient: u64,
    /// Of class persistent.
    pub persistent: u64,
    /// Of class critical.
    pub critical: u64,
}

impl FailureStats {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.transient + self.persistent + self.critical
    }
}

/// How long something took, in nanoseconds; quantiles within 1/64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct LatencyStats {
    /// The median.
    pub p50_ns: u64,
    /// The 99th percentile.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// The mean.
    pub mean_ns: u64,
}

/// How good answers were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct QualityStats {
    /// Answers that somebody scored.
    pub scores: u64,
    /// The mean score, from 0 to 1.
    pub mean: f64,
}

/// How the calls for one skill went.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct SkillStats {
    /// The skill.
    pub skill: String,
    /// How its calls went.
    pub stats: AgentStats,
}

/// How one call went.
#[derive(Debug)]
pub struct Went<'a> {
    /// The number of its skill, as the card lists them.
    pub skill: Option<usize>,
    /// How long the caller waited.
    pub took: Duration,
    /// Why it failed, if it did.
    pub failure: Option<&'a Error>,
    /// What it took, where the agent says so.
    pub usage: Option<&'a Usage>,
}

/// The books of one agent, made with its first call: an idle agent's are one pointer.
#[derive(Default)]
pub struct Ledger(OnceLock<Box<Book>>);

struct Book {
    all: Figures,
    /// Of an agent with several skills, those of each, made with its first call.
    skills: Box<[OnceLock<Box<Figures>>]>,
    /// Its series in the metrics: calls that ended well, and that did not.
    series: [Counter; 2],
}

/// What is kept of a ledger from one process to the next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeptLedger {
    all: KeptFigures,
    #[serde(default)]
    skills: Vec<(String, KeptFigures)>,
}

impl Ledger {
    /// A call has its answer, at `now`. `series` gives the agent's counters, and is asked once.
    #[inline]
    pub fn record(
        &self,
        went: &Went<'_>,
        skills: usize,
        now: Moment,
        series: impl FnOnce() -> [Counter; 2],
    ) {
        let book = self.0.get_or_init(|| Book::new(skills, series()));
        let [ok, failed] = &book.series;
        if went.failure.is_none() {
            ok.inc()
        } else {
            failed.inc()
        }
        book.all.record(went, now);
        if let Some(skill) = went.skill.and_then(|skill| book.skills.get(skill)) {
            skill.get_or_init(Box::default).record(went, now);
        }
    }

    /// Somebody says how good an answer was: `score` from 0 to 1.
    ///
    /// # Errors
    /// [`Code::INVALID`] for another score; [`Code::NOT_FOUND`] where there was no call yet.
    pub fn score(&self, skill: Option<usize>, score: f64, now: Moment) -> Result<()> {
        if !(0.0..=1.0).contains(&score) {
            return Err(
                Error::new(Code::INVALID, "a score is a number from 0 to 1").with("score", score)
            );
        }
        let Some(book) = self.0.get() else {
            return Err(Error::new(Code::NOT_FOUND, "the agent has had no call yet"));
        };
        book.all.score(score, now);
        if let Some(skill) = skill.and_then(|skill| book.skills.get(skill)) {
            skill.get_or_init(Box::default).score(score, now);
        }
        Ok(())
    }

    /// How all its calls went.
    pub fn stats(&self, now: Moment) -> AgentStats {
        self.0.get().map(|book| book.all.stats(now)).unwrap_or_default()
    }

    /// How the calls for a skill went; those of an agent with one skill are all of them.
    pub fn stats_of(&self, skill: usize, now: Moment) -> AgentStats {
        let Some(book) = self.0.get() else { return AgentStats::default() };
        match book.skills.get(skill) {
            Some(figures) => figures.get().map(|it| it.stats(now)).unwrap_or_default(),
            None => book.all.stats(now),
        }
    }

    /// What a call has cost of late, or ever; `None` where the agent never said.
    pub fn mean_cost(&self, skill: Option<usize>, now: Moment) -> Option<f64> {
        let book = self.0.get()?;
        let of_skill = skill.and_then(|skill| book.skills.get(skill)?.get());
        of_skill.and_then(|it| it.mean_cost(now)).or_else(|| book.all.mean_cost(now))
    }

    /// What there is to keep; `None` where nothing has changed since the last time.
    pub fn to_keep(&self, skills: &[String]) -> Option<KeptLedger> {
        let book = self.0.get()?;
        if !book.all.has_changed() {
            return None;
        }
        let each = skills.iter().zip(&book.skills);
        let each = each.filter_map(|(name, figures)| Some((name.clone(), figures.get()?.kept())));
        Some(KeptLedger { all: book.all.kept(), skills: each.collect() })
    }

    /// Adds what an earlier process kept.
    pub fn recall(
        &self,
        kept: &KeptLedger,
        skills: &[String],
        series: impl FnOnce() -> [Counter; 2],
    ) {
        let book = self.0.get_or_init(|| Book::new(skills.len(), series()));
        book.all.recall(&kept.all);
        for (name, figures) in &kept.skills {
            let index = skills.iter().position(|skill| skill == name);
            if let Some(skill) = index.and_then(|index| book.skills.get(index)) {
                skill.get_or_init(Box::default).recall(figures);
            }
        }
    }
}

impl Book {
    fn new(skills: usize, series: [Counter; 2]) -> Box<Self> {
        // With one skill all calls are for that.
        let each = if skills > 1 { skills } else { 0 };
        let skills = (0..each).map(|_| OnceLock::new()).collect();
        Box::new(Self { all: Figures::default(), skills, series })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series() -> [Counter; 2] {
        [Counter::default(), Counter::default()]
    }

    fn went(micros: u64, failure: Option<&Error>) -> Went<'_> {
        Went { skill: Some(0), took: Duration::from_micros(micros), failure, usage: None }
    }

    #[test]
    fn calls_are_counted_by_how_they_ended() {
        let ledger = Ledger::default();
        let now = Moment::ZERO;
        assert_eq!(ledger.stats(now), AgentStats::default());
        ledger.record(&went(10, None), 1, now, series);
        let error = Error::new(Code::TIMEOUT, "slow");
        ledger.record(&went(30, Some(&error)), 1, now, series);
        let stats = ledger.stats(now);
        assert_eq!((stats.calls, stats.failures.transient, stats.failures.total()), (2, 1, 1));
        let latency = stats.latency.unwrap();
        assert_eq!(latency.mean_ns, 20_000);
        assert!(latency.p50_ns.abs_diff(10_000) <= 10_000 / 64);
        assert_eq!((stats.usage, stats.quality), (None, None));
        assert_eq!(ledger.stats_of(0, now).calls, 2, "it has one skill");
    }

    #[test]
    fn each_skill_has_its_own_figures() {
        let ledger = Ledger::default();
        let now = Moment::ZERO;
        let usage = Usage::new(10, 5, 0.5);
        let call = |skill, usage| Went { skill: Some(skill), usage, ..went(1, None) };
        ledger.record(&call(0, Some(&usage)), 2, now, series);
        ledger.record(&call(1, None), 2, now, series);
        ledger.score(Some(1), 0.5, now).unwrap();
        let (read, write) = (ledger.stats_of(0, now), ledger.stats_of(1, now));
        assert_eq!((read.calls, read.usage, read.quality), (1, Some(usage), None));
        assert_eq!((write.calls, write.usage), (1, None));
        assert_eq!(write.quality, Some(QualityStats { scores: 1, mean: 0.5 }));
        assert_eq!(ledger.mean_cost(Some(0), now), Some(0.5));
        assert_eq!(ledger.stats(now).quality, write.quality);
    }

    #[test]
    fn what_is_kept_is_added_to_what_comes() {
        let (ledger, now) = (Ledger::default(), Moment::ZERO);
        let skills = ["read".to_owned(), "write".to_owned()];
        assert!(ledger.to_keep(&skills).is_none());
        let usage = Usage::new(10, 5, 0.5);
        ledger.record(&Went { usage: Some(&usage), ..went(10, None) }, 2, now, series);
        ledger.score(Some(0), 1.0, now).unwrap();
        let kept = ledger.to_keep(&skills).unwrap();
        assert!(ledger.to_keep(&skills).is_none(), "nothing has changed since");
        let kept: KeptLedger =
            serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap();
        let next = Ledger::default();
        // The card lists them in another order by now.
        let skills = ["write".to_owned(), "read".to_owned()];
        next.recall(&kept, &skills, series);
        next.record(&Went { skill: Some(1), ..went(30, None) }, 2, now, series);
        let stats = next.stats_of(1, now);
        assert_eq!((stats.calls, stats.usage), (2, Some(usage)));
        assert_eq!(stats.latency.unwrap().mean_ns, 20_000);
        assert_eq!(stats.quality, Some(QualityStats { scores: 1, mean: 1.0 }));
        assert_eq!(next.stats_of(0, now).calls, 0);
    }

    #[test]
    fn scores_are_checked() {
        let ledger = Ledger::default();
        let code = |score| ledger.score(None, score, Moment::ZERO).err().map(|e| e.code());
        assert_eq!(code(0.5), Some(Code::NOT_FOUND));
        ledger.record(&went(1, None), 1, Moment::ZERO, series);
        for score in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(code(score), Some(Code::INVALID));
        }
        assert_eq!(code(1.0), None);
    }
}
