//! A season that is found by itself, as values come: [`Rounds`].

use std::collections::VecDeque;

use super::find::find;
use super::profile::{Profile, Rest};
use crate::base::time::Timestamp;
use crate::monitor::forecast::number::median;

/// Values that are remembered: three rounds of a day by the minute.
const MOST: usize = 4_400;

/// Values after which a season is looked for, and how many times as many before it is looked again.
const FIRST: f64 = 150.0;
const AGAIN: f64 = 1.25;

/// How far values may be off what is usual at their phase, as a share of how far they are off their level, in a season that counts.
const CLOSER: f64 = 0.8;

/// The same of another season than the one that is known, as a share of how far they are off that one.
const BETTER: f64 = 0.95;

/// Deviations of the values beyond which it does not matter how far out they are.
const FAR: f64 = 20.0;

/// Intervals between points before it is known which are usual, and over how many that is taken.
const INTERVALS: f64 = 20.0;
const INTERVAL_SPAN: f64 = 1_000.0;

/// What most seasons are, in seconds, …
const CALENDAR: [f64; 3] = [3_600.0, 86_400.0, 604_800.0];

/// … how far a period that was found may be off that, as a share of it, and how far that may be from whole steps.
const NEAR: f64 = 0.05;
const WHOLE: f64 = 0.02;

/// The least steps of a calendar's period that one may be taken for.
const STEPS: f64 = 20.0;

/// Finds the season of a series in what it has seen of it, and says what is usual at each point. It looks for one each time that a
/// quarter more points have come, so what that costs does not grow with the length.
#[derive(Clone, Debug)]
pub(in crate::monitor) struct Rounds {
    values: VecDeque<f64>,
    points: f64,
    due: f64,
    profile: Option<Profile>,
    last: Option<Timestamp>,
    /// Intervals that were seen, and the usual one in seconds.
    intervals: f64,
    interval: f64,
}

/// What the next value came to.
#[derive(Debug)]
pub(in crate::monitor) enum Turn {
    /// No season is known.
    None,
    /// It is so far off what is usual now.
    Rest(Rest),
    /// A season was found, or another one: so far off were the last values, this one included.
    Found(Vec<Rest>),
    /// There is no season any more.
    Lost,
}

impl Rounds {
    /// `share`, from 0 to 1, spreads the moments at which several of them look for a season.
    pub(in crate::monitor) fn new(share: f64) -> Self {
        Self {
            values: VecDeque::new(),
            points: 0.0,
            due: FIRST * (1.0 + (AGAIN - 1.0) * share.clamp(0.0, 1.0)),
            profile: None,
            last: None,
            intervals: 0.0,
            interval: 0.0,
        }
    }

    /// The period of the season, in points.
    pub(in crate::monitor) fn period(&self) -> Option<usize> {
        self.profile.as_ref().map(Profile::period)
    }

    /// The level has changed by so much, so many points ago.
    pub(in crate::monitor) fn shift(&mut self, by: f64, points: usize) {
        if let Some(profile) = &mut self.profile {
            profile.shift(by, points);
        }
    }

    /// Takes the next value, which is finite. Points that have not come are told from the time.
    pub(in crate::monitor) fn take(&mut self, at: Timestamp, value: f64) -> Turn {
        let skipped = self.skipped(at);
        let before = self.values.back().copied().unwrap_or(value);
        (0..skipped.min(MOST)).for_each(|_| self.keep(before));
        self.keep(value);
        let profile = self.profile.as_mut();
        let rest = profile.and_then(|profile| {
            profile.skip(skipped);
            profile.take(value)
        });
        self.points += 1.0;
        if self.points >= self.due {
            self.due = self.points * AGAIN;
            let known = self.period();
            let found = self.look();
            match &found {
                None if known.is_none() => return Turn::None,
                None => {
                    self.profile = None;
                    return Turn::Lost;
                }
                Some((profile, _)) if Some(profile.period()) == known => {}
                Some(_) => {
                    let (profile, rests) = found.unzip();
                    self.profile = profile;
                    return Turn::Found(rests.unwrap_or_default());
                }
            }
        }
        rest.map_or(Turn::None, Turn::Rest)
    }

    fn keep(&mut self, value: f64) {
        if self.values.len() >= MOST {
            self.values.pop_front();
        }
        self.values.push_back(value);
    }

    /// Points that have not come since the last one.
    fn skipped(&mut self, at: Timestamp) -> usize {
        let last = *self.last.get_or_insert(at);
        if at <= last {
            return 0;
        }
        self.last = Some(at);
        let took = at.as_nanos().saturating_sub(last.as_nanos()) as f64 * 1e-9;
        let (known, usual) = (self.intervals >= INTERVALS, self.interval);
        let counts = if known { took.min(3.0 * usual) } else { took };
        self.intervals = (self.intervals + 1.0).min(INTERVAL_SPAN);
        self.interval += (counts - self.interval) / self.intervals;
        if !known || usual <= 0.0 {
            return 0;
        }
        ((took / usual).round() as usize).saturating_sub(1)
    }

    /// The season by which the values that are kept are least off, if it counts.
    fn look(&self) -> Option<(Profile, Vec<Rest>)> {
        let values: Vec<f64> = self.values.iter().copied().collect();
        let known = self.period();
        let found = find(&values, 2);
        let own = known.filter(|known| 3 * known <= values.len());
        let mut periods: Vec<usize> = found.into_iter().map(|p| self.calendar(p)).collect();
        // What is not found any more counts no more, or it would stay for ever.
        periods.extend(own.filter(|_| !periods.is_empty()));
        periods.sort_unstable();
        periods.dedup();
        let tried = periods.into_iter().filter_map(|period| {
            let (off, profile, rests) = tried(&values, period)?;
            let off = if Some(period) == known { off * BETTER } else { off };
            (off < CLOSER).then_some((off, profile, rests))
        });
        let best = tried.min_by(|a, b| a.0.total_cmp(&b.0));
        best.map(|(_, profile, rests)| (profile, rests))
    }

    /// The period, or the hour, day or week that it is nearly.
    fn calendar(&self, period: usize) -> usize {
        if self.interval <= 0.0 {
            return period;
        }
        let steps = period as f64;
        let known = steps * steps / (4.0 * self.values.len() as f64);
        let near = |one: &f64| (one - steps).abs() <= known.min(NEAR * steps).max(1.0);
        let whole = |one: &f64| (one - one.round()).abs() <= WHOLE * one;
        let all = CALENDAR.iter().map(|seconds| seconds / self.interval);
        let one = all.filter(|one| *one >= STEPS).find(|one| near(one) && whole(one));
        one.map_or(period, |one| one.round() as usize)
    }
}

/// How far values are off what was usual at their phase by then, as a share of how far they are off the level of the round before; what is
/// far out counts as far as it is far. Nothing where less than a third of a round is known.
fn tried(values: &[f64], period: usize) -> Option<(f64, Profile, Vec<Rest>)> {
    let middle = median(values);
    let scale = median(&values.iter().map(|value| (value - middle).abs()).collect::<Vec<_>>());
    let far = if scale > 0.0 { FAR * scale } else { f64::INFINITY };
    let drawn = |value: &f64| value.clamp(middle - far, middle + far);
    let mut profile = Profile::new(period);
    let mut rests = Vec::new();
    let (mut own, mut all) = (0.0, 0.0);
    let mut round: f64 = values.iter().take(period).map(drawn).sum();
    for (i, value) in values.iter().enumerate() {
        let rest = profile.take(*value);
        if i < period {
            continue;
        }
        let level = round / period as f64;
        if let Some(rest) = rest {
            own += (rest.value() - level).abs().min(far);
            all += (value - level).abs().min(far);
            rests.push(rest);
        }
        round += drawn(value) - values.get(i - period).map_or(0.0, drawn);
    }
    (3 * rests.len() >= period && all > 0.0).then_some((own / all, profile, rests))
}
