//! Time to exhaustion: when a resource that fills up, or runs down, will be used up, if it goes on as it does.
//!
//! [`Exhaustion`] is fed the use of one resource, point by point. It keeps what was in the less detail the longer ago, with
//! restarts (falls within a step) taken out, draws lines and parabolas with a daily season through windows of
//! several lengths, and believes the one that would have foretold the last part of its window best. Something is said only
//! if the rise is many times its standard error, with the correlation of the errors allowed for, and only about what
//! is not much farther ahead than the rise has lasted. Falls that come again and again at the same height, as
//! a garbage collector's, are the resource's usual life and no rise.
//!
//! A rise that is short against all that is known is judged beside it, by its own points: it must leave all that was ever seen, but for the
//! season that was known before it began, the farther the less was seen; and the less of a season was seen, the
//! nearer its end must be. So a fill of two hours after quiet days is told at half of it, one from the start at four fifths, and a
//! morning's rise is none.
//!
//! ```
//! use std::time::Duration;
//! use sutazai_core::base::time::Timestamp;
//! use sutazai_core::monitor::{Direction, Exhaustion, ExhaustionPolicy, Outlook};
//!
//! let policy = ExhaustionPolicy::new(16e9, Direction::Fills);
//! let mut memory = Exhaustion::new(policy)?;
//! let mut now = Timestamp::EPOCH;
//! let mut outlook = Outlook::Unknown;
//! // Two gigabytes, and ten megabytes more each minute: full after 1,400 minutes.
//! for minute in 0..800_u32 {
//!     now = now + Duration::from_secs(60);
//!     outlook = memory.feed(now, 2e9 + 1e7 * f64::from(minute) + f64::from(minute * 7 % 13) * 1e6);
//! }
//! let Outlook::RunsOut { at, .. } = outlook else { unreachable!("{outlook:?}") };
//! let minutes = (at.as_nanos() - now.as_nanos()) as f64 / 60e9;
//! assert!((550.0..650.0).contains(&minutes));
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! **Bad input**: what is not a number, and what comes with a time that repeats or goes back, is counted and left out.
//! **Cost**: some microseconds a point in the mean: a judgement takes about a millisecond, and comes each time the history
//! has grown by a fiftieth; while values are beyond all that was before, and as the end comes near, more often. 20 KB a resource.
//!
//! Slopes with a season: R. M. Hirsch, J. R. Slack and R. A. Smith, "Techniques of trend analysis for monthly water
//! quality data", Water Resources Research 18, 1982, is the model; here the season is a part of a robust regression.

mod drops;
mod fit;
mod outlook;
mod past;
mod policy;
#[cfg(test)]
mod sudden;
mod surge;
#[cfg(test)]
mod tests;
mod touch;

pub use policy::{Direction, ExhaustionPolicy};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::base::time::Timestamp;
use drops::{Drops, Round};
use outlook::{Question, Reach, judge, ratchet, step};
use past::Past;
use surge::surge;

/// Values beyond this, in either direction, are taken for it.
const LARGEST: f64 = 1e100;

/// Judgements that must agree before something is said.
const AGREED: u32 = 3;

/// The share of the points so far after which it is judged again.
const AGAIN: u64 = 50;

/// The share of the time that is left after which what was told is told anew.
const ANEW: f64 = 16.0;

/// Points from which a very clear rise is told.
const FEWEST: u64 = 60;

/// The share of the points of a rise after which it is judged again.
const AGAIN_RISE: u64 = 32;

/// Rounds between restarts that are the resource's usual life when they end at the same height, …
const ROUNDS: usize = 2;

/// … to within this share of their height, in the median.
const SAME: f64 = 0.25;

/// Rounds that are so whatever their height, while it stays below that of the highest.
const ROUNDS_ANY: usize = 8;

/// What is expected of a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "outlook")]
#[non_exhaustive]
pub enum Outlook {
    /// Too little was seen.
    #[default]
    Unknown,
    /// It is not seen to be used up.
    Stable,
    /// It will be used up, as it goes on: values rise to the limit, or fall to it where it runs down.
    RunsOut {
        /// When values first touch the limit, most likely: the trend, and what values scatter about it.
        at: Timestamp,
        /// When the trend itself crosses the limit, as the mean of the values does; nothing where that is too far ahead to be said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trend: Option<Timestamp>,
        /// Values touch it not before.
        earliest: Timestamp,
        /// They hardly touch it after; nothing where that cannot be said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        latest: Option<Timestamp>,
    },
    /// It has reached its limit.
    Exhausted,
}

/// A watch's figures.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct ExhaustionView {
    /// What is expected.
    pub outlook: Outlook,
    /// Values that it has seen.
    pub points: u64,
    /// Points that were not numbers.
    pub missing: u64,
    /// Points that came with an earlier time than one before, or the same.
    pub disordered: u64,
    /// Restarts that it has seen.
    pub restarts: u64,
    /// How fast it is being used up, in its unit a second, whichever way, of what runs out. Of what is stable nothing is said: whatever slope
    /// there is may be chance, or a part of the resource's usual life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slope: Option<f64>,
    /// How many standard errors that is away from nothing; nothing where it is the slope of the peaks between restarts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certainty: Option<f64>,
    /// What it goes by.
    pub policy: ExhaustionPolicy,
}

/// Watches one resource.
#[derive(Clone, Debug)]
pub struct Exhaustion {
    policy: ExhaustionPolicy,
    limit: f64,
    direction: Direction,
    past: Past,
    drops: Drops,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    points: u64,
    missing: u64,
    disordered: u64,
    restarts: u64,
    /// What goes by all that was.
    trend: Told,
    /// What goes by a rise beyond all that was.
    surge: Told,
    /// The points after which values began to be beyond all that was before, and those after which they last were.
    record: Option<(u64, u64)>,
    outlook: Outlook,
    reach: Option<Reach>,
}

/// What a way to judge has come to.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// The points from which it judges again.
    next: u64,
    /// Judgements that said so, less those that did not.
    agreed: u32,
    reach: Option<Reach>,
    told: bool,
}

impl Told {
    /// Takes a judgement; one against it takes back so many for it.
    fn take(&mut self, reach: Option<Reach>, against: u32) {
        match reach {
            Some(_) => (self.agreed, self.reach) = ((self.agreed + 1).min(AGREED), reach),
            None => self.agreed = self.agreed.saturating_sub(against),
        }
        if self.agreed >= AGREED {
            self.told = true;
        } else if self.agreed == 0 {
            self.told = false;
        }
    }

    /// What it tells, if the end is still ahead.
    fn reach(&self, at: f64) -> Option<Reach> {
        self.reach.filter(|reach| self.told && reach.at > at)
    }
}

impl Exhaustion {
    /// One that has seen nothing yet.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) when the policy makes no sense, or says no limit.
    pub fn new(policy: ExhaustionPolicy) -> Result<Self> {
        policy.check()?;
        let (limit, direction) = policy.end()?;
        Ok(Self {
            policy,
            limit,
            direction,
            past: Past::default(),
            drops: Drops::default(),
            first: None,
            last: None,
            points: 0,
            missing: 0,
            disordered: 0,
            restarts: 0,
            trend: Told::default(),
            surge: Told::default(),
            record: None,
            outlook: Outlook::Unknown,
            reach: None,
        })
    }

    /// Takes the next value; hands back what is expected now.
    pub fn feed(&mut self, now: Timestamp, value: f64) -> Outlook {
        if !value.is_finite() {
            self.missing += 1;
            return self.outlook;
        }
        if self.last.is_some_and(|last| now <= last) {
            self.disordered += 1;
            return self.outlook;
        }
        self.last = Some(now);
        let first = *self.first.get_or_insert(now);
        self.points += 1;
        let (value, limit) = match self.direction {
            Direction::Fills => (value, self.limit),
            Direction::RunsDown => (-value, -self.limit),
        };
        let at = seconds(first, now);
        let rounds = self.drops.rounds().back().map(|round| round.at);
        if let Some((at, value)) = self.drops.feed(at, value.clamp(-LARGEST, LARGEST), limit) {
            self.past.push(at, value);
        }
        if rounds != self.drops.rounds().back().map(|round| round.at) {
            // What was expected is off by what the restart has freed.
            self.restarts += 1;
            self.trend.next = self.points;
            self.surge = Told::default();
        }
        if value >= limit {
            (self.outlook, self.reach) = (Outlook::Exhausted, None);
            (self.trend.next, self.surge) = (self.points + 1, Told::default());
        } else {
            self.judge(now, limit, at);
        }
        self.outlook
    }

    /// What is expected, as of the last value.
    pub fn outlook(&self) -> Outlook {
        self.outlook
    }

    /// Its figures.
    pub fn view(&self) -> ExhaustionView {
        ExhaustionView {
            outlook: self.outlook,
            points: self.points,
            missing: self.missing,
            disordered: self.disordered,
            restarts: self.restarts,
            slope: self.reach.map(|reach| reach.slope),
            certainty: self.reach.map(|reach| reach.certainty).filter(|known| *known > 0.0),
            policy: self.policy.clone(),
        }
    }

    fn judge(&mut self, now: Timestamp, limit: f64, at: f64) {
        let warm = self.points >= u64::from(self.policy.warm_up);
        // What was to end by now, and has not, is told anew.
        let over = self.trend.told && self.trend.reach(at).is_none();
        let again = warm && (over || self.points >= self.trend.next);
        let lost = self.drops.lost();
        if self.past.is_record(self.drops.now() + lost) {
            let since = self.record.map_or(self.points, |(since, _)| since);
            self.record = Some((since, self.points));
        } else if self.record.is_some_and(|(_, last)| self.points - last > FEWEST) {
            self.record = None;
        }
        let rises = again || self.record.is_some() || self.surge.agreed > 0;
        let rises = rises && self.points >= self.surge.next && self.points >= FEWEST;
        if again || rises {
            let spans = self.past.spans();
            let season = self.policy.season_s;
            let question = Question { spans: &spans, limit: limit + lost, season, now: at };
            let rounds: Vec<Round> = self.drops.rounds().iter().copied().collect();
            let usual = self.is_usual(at);
            let step = step(&spans).max(1e-9);
            // What ends soon is told anew before.
            let anew = |reach: Option<Reach>| {
                reach.map_or(u64::MAX, |reach| ((reach.at - at) / step / ANEW) as u64)
            };
            if again {
                let reach = ratchet(&rounds, limit, at);
                self.trend
                    .take(reach.or_else(|| if usual { None } else { judge(&question) }), AGREED);
                self.trend.next =
                    self.points + (self.points / AGAIN).min(anew(self.trend.reach(at))).max(1);
            }
            if rises {
                self.surge.take(if usual { None } else { surge(&question) }, 1);
                let reach = self.surge.reach.filter(|_| self.surge.agreed > 0);
                let lasted = match (reach, self.record) {
                    (Some(reach), _) => (reach.length / step) as u64,
                    (None, Some((since, _))) => 2 * (self.points - since),
                    (None, None) => 0,
                };
                self.surge.next = self.points + (lasted / AGAIN_RISE).min(anew(reach)).max(1);
            }
        }
        self.reach = match (self.trend.reach(at), self.surge.reach(at)) {
            (Some(trend), Some(surge)) if surge.error < trend.error => Some(surge),
            (trend, surge) => trend.or(surge),
        };
        self.outlook = match self.reach {
            None if warm => Outlook::Stable,
            None => Outlook::Unknown,
            Some(reach) => {
                let then = |then: f64| later(now, then - at);
                let step = at / self.points as f64;
                Outlook::RunsOut {
                    at: then(reach.at),
                    trend: reach.trend.map(|trend| then(trend.max(reach.at))),
                    earliest: then(reach.earliest.min(reach.at)),
                    latest: reach.latest.map(|latest| then(latest.max(reach.at + step))),
                }
            }
        };
    }

    /// Whether the present rise is one of many that ended well before the limit.
    fn is_usual(&self, at: f64) -> bool {
        let rounds = self.drops.rounds();
        let mut peaks: Vec<f64> = rounds.iter().map(|round| round.peak).collect();
        let highest = peaks.iter().copied().fold(f64::MIN, f64::max);
        let height =
            rounds.iter().map(|r| r.peak - r.trough).sum::<f64>() / rounds.len().max(1) as f64;
        // Of one round nothing is known but that there are rounds: while a season may not be told from a rise, that counts.
        let early = at < fit::SEASONS * self.policy.season_s;
        if rounds.len() < if early { 1 } else { ROUNDS }
            || self.drops.now() > highest + SAME * height
        {
            return false;
        }
        let peak = median(&mut peaks);
        let mut far: Vec<f64> = peaks.iter().map(|p| (p - peak).abs()).collect();
        rounds.len() >= ROUNDS_ANY || median(&mut far) <= SAME * height
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.as_nanos().saturating_sub(from.as_nanos()) as f64 * 1e-9
}

fn later(now: Timestamp, seconds: f64) -> Timestamp {
    Timestamp::from_nanos(now.as_nanos().saturating_add((seconds.max(0.0) * 1e9) as i64))
}
