//! Rises that are short for what is known: [`surge`]. A rise that leaves what was ever seen, and is straight, is told by its own
//! points, whatever the season may be. The less of the season was seen before it, the farther it must have
//! gone, and the nearer its end must be.

use super::fit::{Fit, SEASONS, WAVE};
use super::outlook::{Candidate, Question, Reach, Sure, Trial, best, goes_on};
use super::past::Span;

/// Spans that a rise has, at least.
const SPANS: usize = 30;

/// Windows that are tried, each shorter than the one before by the cube root of two.
const WINDOWS: usize = 45;

/// By how much better a window must be than the next longer one.
const SHORTER: f64 = 1.09;

/// How much was seen before a rise, at least, in its lengths, for it to be something new.
const BEFORE: f64 = 0.25;

/// How far it must have left the range before it, as a share of that, by how much longer it is than what was seen, …
const FAR: f64 = 1.0;

/// … and at least.
const LEAST: f64 = 0.1;

/// The share of a window whose mean is where it has come to.
const END: f64 = 0.125;

/// Spans longer than this share of a season say nothing of it.
const FINE: f64 = 1.0 / 6.0;

/// The share of a season that more was seen, to find it anew.
const AGAIN: f64 = 0.2;

/// The share of the range that a season leaves when it is one.
const SEASONAL: f64 = 0.8;

/// What is asked of a rise where a round of the season was seen before it, …
const KNOWN: Sure = Sure { certainty: KNOWN_CERTAINTY, ahead: KNOWN_AHEAD };
const KNOWN_CERTAINTY: f64 = 25.0;
const KNOWN_AHEAD: f64 = 1.5;

/// … where less was, …
const NEW: Sure = Sure { certainty: NEW_CERTAINTY, ahead: NEW_AHEAD };
const NEW_CERTAINTY: f64 = 50.0;
const NEW_AHEAD: f64 = 0.45;

/// … and where there was nothing before it.
const START: Sure = Sure { certainty: START_CERTAINTY, ahead: START_AHEAD };
const START_CERTAINTY: f64 = 60.0;
const START_AHEAD: f64 = 0.35;

/// How uncertain a slope is where less than two rounds of the season were seen, and where they were.
const WIDE: f64 = 0.3;
const NARROW: f64 = 0.15;

/// When a rise that is new reaches the limit, if there is one.
pub(super) fn surge(question: &Question<'_>) -> Option<Reach> {
    let Question { spans, season, .. } = *question;
    let (first, last) = (spans.first()?, spans.last()?);
    let history = last.at - first.at;
    let longest = if season > 0.0 { history.min(SEASONS * season) } else { history };
    let (mut candidates, mut tried) = (Vec::new(), usize::MAX);
    let (mut rises, mut seasons) = (Vec::new(), Seasons::default());
    for shorter in 0..WINDOWS {
        let length = longest * 0.5_f64.powf(shorter as f64 / 3.0);
        let from = spans.partition_point(|span| span.at < last.at - length);
        if from == tried {
            continue;
        }
        tried = from;
        let (before, window) = spans.split_at(from);
        if window.len() < SPANS {
            break;
        }
        let known = Known::new(before, window, season, &mut seasons);
        if !known.is_new(window) {
            continue;
        }
        let plain = known.plain(window);
        let penalty = SHORTER.powi(shorter as i32);
        if let Some(line) = Candidate::new(&plain, from, 1, season, penalty) {
            candidates.push(line);
            rises.push((from, known, plain));
        }
    }
    let trial = |candidate: &Candidate| {
        let (_, known, plain) = rises.iter().find(|(from, ..)| *from == candidate.from)?;
        let (sure, width) = match known.rounds {
            _ if candidate.from == 0 => (START, WIDE),
            rounds if rounds < 1.0 => (NEW, WIDE),
            rounds if rounds < SEASONS => (KNOWN, WIDE),
            _ => (KNOWN, NARROW),
        };
        let season = known.season.as_ref();
        goes_on(plain).then(|| Trial { window: plain.clone(), season, sure, width })
    };
    best(question, candidates, trial)
}

/// The season as it was known before one window or another: it is found anew only where much more of it was seen.
#[derive(Default)]
struct Seasons(Option<(f64, Option<Fit>)>);

impl Seasons {
    /// From spans that last so long.
    fn of(&mut self, before: &[Span], length: f64, season: f64) -> Option<Fit> {
        match &self.0 {
            Some((known, fit)) if length < *known + AGAIN * season => fit.clone(),
            _ => {
                let fit = Fit::new(before, 1, season);
                self.0 = Some((length, fit.clone()));
                fit
            }
        }
    }
}

/// What was known before a rise.
struct Known {
    season: Option<Fit>,
    /// Seconds.
    length: f64,
    /// Rounds of the season.
    rounds: f64,
    low: f64,
    high: f64,
}

impl Known {
    fn new(before: &[Span], window: &[Span], season: f64, seasons: &mut Seasons) -> Self {
        let length = match (before.first(), window.first()) {
            (Some(first), Some(end)) => end.at - first.at,
            _ => 0.0,
        };
        let rounds = if season > 0.0 { length / season } else { f64::INFINITY };
        let mut known = Self { season: None, length, rounds, low: 0.0, high: 0.0 };
        let (low, high) = known.range(before);
        (known.low, known.high) = (low, high);
        if season > 0.0 && rounds >= WAVE {
            let coarse = before.windows(2).rposition(|pair| match pair {
                [one, next] => next.at - one.at > FINE * season,
                _ => false,
            });
            let fine = before.get(coarse.map_or(0, |at| at + 1)..).unwrap_or(before);
            known.season = seasons.of(fine, length, season);
            let (less, more) = known.range(fine);
            if more - less < SEASONAL * (high - low) {
                (known.low, known.high) = (less, more);
            } else {
                known.season = None;
            }
        }
        known
    }

    fn range(&self, spans: &[Span]) -> (f64, f64) {
        spans.iter().fold((f64::MAX, f64::MIN), |(low, high), span| {
            let season = self.season.as_ref().map_or(0.0, |fit| fit.season(span.at));
            (low.min(span.low - season), high.max(span.high - season))
        })
    }

    /// The window without the season.
    fn plain(&self, window: &[Span]) -> Vec<Span> {
        let season = |at: f64| self.season.as_ref().map_or(0.0, |fit| fit.season(at));
        window.iter().map(|s| Span { value: s.value - season(s.at), ..*s }).collect()
    }

    /// Whether a window ends beyond what was before it.
    fn is_new(&self, window: &[Span]) -> bool {
        let (Some(first), Some(last)) = (window.first(), window.last()) else { return false };
        let length = last.at - first.at;
        if self.length <= 0.0 {
            return true;
        }
        if self.length < BEFORE * length {
            return false;
        }
        let ends: Vec<Span> =
            window.iter().filter(|s| s.at > last.at - END * length).copied().collect();
        let end = self.plain(&ends);
        let count: f64 = end.iter().map(|s| s.count).sum();
        let end = end.iter().map(|s| s.value * s.count).sum::<f64>() / count.max(1.0);
        let far = (FAR * length / self.length).max(LEAST);
        end > self.high + far * (self.high - self.low)
    }
}
