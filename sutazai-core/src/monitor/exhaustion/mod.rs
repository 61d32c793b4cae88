//! Time to exhaustion: when a resource that fills up, or runs down, will be used up, if it goes on as it does.
//!
//! [`Exhaustion`] is fed the use of one resource, point by point. It keeps what was in the less detail the longer ago, with
//! restarts (falls within a step) taken out, draws lines and parabolas with a daily season through windows of
//! several lengths, and believes the one that would have foretold the last part of its window best. Something is said only
//! if the rise is many times its standard error, with the correlation of the errors allowed for, and only about what
//! is not much farther ahead than the rise has lasted. Falls that come again and again at the same height, as
//! a garbage collector's, are the resource's usual life and no rise.
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
//! has grown by a fiftieth. 15 KB a resource.
//!
//! Slopes with a season: R. M. Hirsch, J. R. Slack and R. A. Smith, "Techniques of trend analysis for monthly water
//! quality data", Water Resources Research 18, 1982, is the model; here the season is a part of a robust regression.

mod drops;
mod fit;
mod outlook;
mod past;
mod policy;
#[cfg(test)]
mod tests;

pub use policy::{Direction, ExhaustionPolicy};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::base::time::Timestamp;
use drops::{Drops, Round};
use outlook::{Reach, judge, ratchet};
use past::Past;

/// Values beyond this, in either direction, are taken for it.
const LARGEST: f64 = 1e100;

/// Judgements that must agree before something is said.
const AGREED: u32 = 3;

/// The share of the points so far after which it is judged again.
const AGAIN: u64 = 50;

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
    next: u64,
    agreed: u32,
    outlook: Outlook,
    reach: Option<Reach>,
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
            next: 0,
            agreed: 0,
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
            self.next = self.points;
        }
        if value >= limit {
            (self.outlook, self.reach) = (Outlook::Exhausted, None);
            self.next = self.points + 1;
        } else if self.points < u64::from(self.policy.warm_up) {
            self.outlook = Outlook::Unknown;
        } else if self.points >= self.next || self.outlook == Outlook::Exhausted {
            self.next = self.points + (self.points / AGAIN).max(1);
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
        let spans = self.past.spans();
        let lost = self.drops.lost();
        let rounds: Vec<Round> = self.drops.rounds().iter().copied().collect();
        let reach = match (ratchet(&rounds, limit, at), self.is_usual(at)) {
            (Some(reach), _) => Some(reach),
            (None, true) => None,
            (None, false) => judge(&spans, limit + lost, self.policy.season_s),
        };
        self.agreed = if reach.is_some() { self.agreed + 1 } else { 0 };
        self.reach = reach.filter(|_| self.agreed >= AGREED);
        // Curves end where the last span is.
        let lag = if reach.is_some_and(|r| r.certainty > 0.0) {
            spans.last().map_or(0.0, |last| at - last.at)
        } else {
            0.0
        };
        self.outlook = self.reach.map_or(Outlook::Stable, |reach| {
            let then = |within: f64| later(now, within - lag);
            Outlook::RunsOut {
                at: then(reach.within),
                trend: reach.trend.map(then),
                earliest: then(reach.earliest),
                latest: reach.latest.map(then),
            }
        });
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
