//! What is expected, from what was: [`judge`].

use super::drops::Round;
use super::fit::{Fit, SEASONS};
use super::past::Span;
use super::touch::{Chance, Touch, crosses};

/// Windows that are tried, each shorter than the one before by the root of two.
const WINDOWS: usize = 14;

/// Spans that a window needs.
const SPANS: usize = 24;

/// Parts of a window that its significance is measured by.
const SLOTS: usize = 16;

/// Shares of a window that are forecast from what comes before them.
const LATEST: [f64; 2] = [0.15, 0.3];

/// By how much better a parabola must be than a line.
const BENT: f64 = 1.4;

/// By how much better a window must be than the next longer one.
const SHORTER: f64 = 1.14;

/// How many standard errors a rise must be, and how many times its window ahead it is spoken of: in windows of two seasons
/// and more, …
const SURE: Sure = Sure { certainty: 12.0, ahead: AHEAD };

/// … in shorter ones, when the season is known from what was before, …
const SURE_LATE: Sure = Sure { certainty: 14.0, ahead: 1.5 };

/// … and when it is not, so that the rise may be the season's.
const SURE_EARLY: Sure = Sure { certainty: 15.0, ahead: 1.3 };

/// The share of a round of the season until which a rise may be nothing but a part of it, and what is asked until then.
const PART: f64 = 0.5;
const SURE_PART: Sure = Sure { certainty: PART_CERTAINTY, ahead: PART_AHEAD };
const PART_CERTAINTY: f64 = 30.0;
const PART_AHEAD: f64 = 0.4;

/// Windows ahead, at most.
pub(super) const AHEAD: f64 = 4.0;

/// The share of the slope that the same phase of the season before must confirm.
const CONFIRMED: f64 = 0.5;

/// How far a rise in a short window must have left the range before it, as a share of that.
const RECORD: f64 = 0.1;

/// The share of its slope that a rise still has at its end.
const STRAIGHT: f64 = 0.75;

#[derive(Clone, Copy)]
pub(super) struct Sure {
    pub certainty: f64,
    pub ahead: f64,
}

/// Windows that cost up to so many times what the best one does may be believed when that is not sure.
const NEAR_BEST: f64 = 1.6;

/// When the limit is reached: times in seconds since the first point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reach {
    /// When values first touch it, most likely.
    pub at: f64,
    /// When the trend crosses it.
    pub trend: Option<f64>,
    pub earliest: f64,
    pub latest: Option<f64>,
    /// Units a second.
    pub slope: f64,
    /// Standard errors that the rise is away from none.
    pub certainty: f64,
    /// How far trials of the curve were off, as a share of the rise that they foresaw.
    pub error: f64,
    /// Seconds that the rise has lasted, as far as it is known by.
    pub length: f64,
}

/// What there is to judge.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    /// What was, oldest first.
    pub spans: &'a [Span],
    pub limit: f64,
    /// Seconds; 0 for none.
    pub season: f64,
    /// The time of the newest point, in seconds since the first: the spans end a little earlier.
    pub now: f64,
}

/// A curve through a window that ends now.
pub(super) struct Candidate {
    pub fit: Fit,
    pub length: f64,
    /// How far trials were off, as a share of the rise that they foresaw.
    pub error: f64,
    penalty: f64,
    pub from: usize,
}

/// When a series reaches its limit, if it clearly does.
pub(super) fn judge(question: &Question<'_>) -> Option<Reach> {
    let Question { spans, season, .. } = *question;
    let (first, last) = (spans.first()?, spans.last()?);
    let history = last.at - first.at;
    let whole = Fit::new(spans, 1, season)?;
    let known = season <= 0.0 || history >= SEASONS * season;
    // What short windows are fitted to: the values but for the season.
    let plain: Vec<Span> = spans
        .iter()
        .map(|span| Span { value: span.value - whole.season(span.at), ..*span })
        .collect();
    let mut candidates = Vec::new();
    for shorter in 0..WINDOWS {
        let length = history * 0.5_f64.powf(0.5 * shorter as f64);
        let from = spans.partition_point(|span| span.at < last.at - length);
        let short = season > 0.0 && length < SEASONS * season;
        let window = if short { plain.get(from..)? } else { spans.get(from..)? };
        if window.len() < SPANS {
            break;
        }
        if short && from > 0 && !(known && is_record(&plain, from)) {
            continue;
        }
        let degrees = if short { 1..=1 } else { 1..=2 };
        for degree in degrees {
            let bent = if degree == 2 { BENT } else { 1.0 };
            let penalty = SHORTER.powi(shorter as i32) * bent;
            candidates.extend(Candidate::new(window, from, degree, season, penalty));
        }
    }
    best(question, candidates, |candidate| {
        let short = season > 0.0 && candidate.length < SEASONS * season;
        let window = if short { plain.get(candidate.from..) } else { spans.get(candidate.from..) };
        let sure = match (short, known) {
            (false, _) => SURE,
            (true, true) => SURE_LATE,
            (true, false) if history < PART * season => SURE_PART,
            (true, false) => SURE_EARLY,
        };
        let window = window?.to_vec();
        if short && !goes_on(&window) {
            return None;
        }
        let confirmed = candidate.is_confirmed(&window, season);
        confirmed.then_some(Trial { window, season: Some(&whole), sure, width: 0.15 })
    })
}

/// What a candidate is tried by.
pub(super) struct Trial<'a> {
    /// What it was fitted to.
    pub window: Vec<Span>,
    /// What has the season that is to be added to it.
    pub season: Option<&'a Fit>,
    pub sure: Sure,
    /// How uncertain the slope is at least, as a share of it.
    pub width: f64,
}

/// What the best of the candidates that are sure says.
pub(super) fn best<'a>(
    question: &Question<'_>,
    mut candidates: Vec<Candidate>,
    trial: impl Fn(&Candidate) -> Option<Trial<'a>>,
) -> Option<Reach> {
    let last = question.spans.last()?;
    let least = candidates.iter().map(Candidate::cost).fold(f64::MAX, f64::min);
    candidates.sort_by(|a, b| a.cost().total_cmp(&b.cost()));
    let good = candidates.iter().take_while(|c| c.cost() <= NEAR_BEST * least);
    let mut sure = good.filter_map(|best| {
        let Trial { window, season, sure, width } = trial(best)?;
        let certainty = best.certainty(&window);
        if certainty < sure.certainty {
            return None;
        }
        let touch = Touch {
            limit: question.limit,
            noise: best.noise(&window),
            step: step(question.spans),
            since: question.now - last.at,
        };
        let farthest = 2.0 * AHEAD * best.length;
        let reach = touch.when(Chance::Likely, farthest, best.path(last.at, 1.0, season))?;
        let near = reach <= sure.ahead * best.length;
        near.then_some((best, certainty, touch, reach, width, season))
    });
    let (best, certainty, touch, reach, width, season) = sure.next()?;
    // The slope is uncertain by its standard error, and by what trials were off.
    let off = (best.error * 2.0).max(3.0 / certainty).clamp(width, 0.95);
    let farthest = 2.0 * AHEAD * best.length;
    let when = |chance, factor| touch.when(chance, farthest, best.path(last.at, factor, season));
    let others = candidates.iter().filter(|c| c.error < 1.5 * best.error);
    let others: Vec<f64> = others
        .filter_map(|c| {
            touch.when(Chance::Likely, 2.0 * AHEAD * c.length, c.path(last.at, 1.0, season))
        })
        .collect();
    let earliest = when(Chance::Hardly, 1.0 + off).unwrap_or(reach);
    let latest = when(Chance::Surely, 1.0 - off);
    let trend = crosses(question.limit, farthest, best.path(last.at, 1.0, season));
    let then = |ahead: f64| last.at + ahead;
    Some(Reach {
        at: then(reach),
        trend: trend.map(|trend| then(trend.max(reach))),
        earliest: then(others.iter().copied().fold(earliest.min(reach), f64::min)),
        latest: latest.map(|latest| then(others.iter().copied().fold(latest.max(reach), f64::max))),
        slope: best.fit.slope(last.at),
        certainty,
        error: best.error,
        length: best.length,
    })
}

/// Seconds from one of the last points to the next.
pub(super) fn step(spans: &[Span]) -> f64 {
    let single = spans.iter().rev().take_while(|span| span.count <= 1.0).take(SPANS);
    let (mut newest, mut oldest, mut count) = (0.0, 0.0, 0.0);
    for span in single {
        if count == 0.0 {
            newest = span.at;
        }
        (oldest, count) = (span.at, count + 1.0);
    }
    (newest - oldest) / f64::max(count - 1.0, 1.0)
}

/// Whether the end of the series is above all that was before the span `from`.
fn is_record(spans: &[Span], from: usize) -> bool {
    let (before, window) = spans.split_at(from);
    let last = window.get(window.len().saturating_sub(5)..).unwrap_or(window);
    let now = last.iter().map(|span| span.value).sum::<f64>() / last.len().max(1) as f64;
    let high = before.iter().map(|span| span.value).fold(f64::MIN, f64::max);
    let low = before.iter().map(|span| span.value).fold(f64::MAX, f64::min);
    now > high + RECORD * (high - low)
}

/// Whether a rise is not about to end: whether its last half rises as its first.
pub(super) fn goes_on(window: &[Span]) -> bool {
    let (Some(line), Some(bent)) = (Fit::new(window, 1, 0.0), Fit::new(window, 2, 0.0)) else {
        return false;
    };
    let last = window.last().map_or(0.0, |span| span.at);
    bent.slope(last) >= STRAIGHT * line.slope(last)
}

impl Candidate {
    pub(super) fn new(
        window: &[Span],
        from: usize,
        degree: usize,
        season: f64,
        penalty: f64,
    ) -> Option<Self> {
        let (first, last) = (window.first()?, window.last()?);
        let length = last.at - first.at;
        let fit = Fit::new(window, degree, season)?;
        let slope = fit.slope(last.at);
        if slope <= 0.0 {
            return None;
        }
        let mut off = 0.0;
        for share in LATEST {
            let until = window.partition_point(|span| span.at < last.at - share * length);
            let (past, ahead) = window.split_at(until);
            let fit = Fit::new(past, degree, season)?;
            let begin = past.last()?.at;
            // Over the whole stretch ahead: how far the rise was off.
            let (mut error, mut weight) = (0.0, 0.0);
            for span in ahead {
                error += (span.value - fit.at(span.at)) * span.count;
                weight += span.count * (span.at - begin);
            }
            off += (error / weight.max(1e-9) / slope).abs();
        }
        Some(Self { fit, length, error: off / LATEST.len() as f64, penalty, from })
    }

    fn cost(&self) -> f64 {
        (self.error + 0.02) * self.penalty
    }

    /// Whether values are higher than a season before, where the window reaches that far back.
    fn is_confirmed(&self, window: &[Span], season: f64) -> bool {
        let (Some(first), Some(last)) = (window.first(), window.last()) else { return false };
        if season <= 0.0 || self.length < 1.1 * season {
            return true;
        }
        let reach = (self.length - season).min(season);
        let mean = |from: f64, to: f64| {
            let inside = window.iter().filter(|s| s.at >= from && s.at <= to);
            let (sum, count) = inside
                .fold((0.0, 0.0), |(sum, count), s| (sum + s.value * s.count, count + s.count));
            sum / f64::max(count, 1.0)
        };
        let now = mean(last.at - reach, last.at);
        let before = mean((last.at - reach - season).max(first.at), last.at - season);
        let expected =
            self.fit.trend(last.at - 0.5 * reach) - self.fit.trend(last.at - 0.5 * reach - season);
        now - before >= CONFIRMED * expected
    }

    /// Standard errors of the mean slope over the window, with the correlation that the errors have.
    fn certainty(&self, window: &[Span]) -> f64 {
        let Some(first) = window.first() else { return 0.0 };
        let (mut errors, mut counts) = ([0.0; SLOTS], [0.0; SLOTS]);
        for span in window {
            let slot = ((span.at - first.at) / self.length * SLOTS as f64) as usize;
            let slot = slot.min(SLOTS - 1);
            if let (Some(error), Some(count)) = (errors.get_mut(slot), counts.get_mut(slot)) {
                *error += (span.value - self.fit.at(span.at)) * span.count;
                *count += span.count;
            }
        }
        let means: Vec<f64> =
            errors.iter().zip(counts).filter(|(_, c)| *c > 0.0).map(|(e, c)| e / c).collect();
        let count = means.len() as f64;
        let squares: f64 = means.iter().map(|m| m * m).sum();
        let both: f64 = means.iter().zip(means.iter().skip(1)).map(|(a, b)| a * b).sum();
        let rise = self.fit.trend(first.at + self.length) - self.fit.trend(first.at);
        if rise <= 0.0 || count < 6.0 {
            return 0.0;
        }
        // Correlations of few values come out too small (M. G. Kendall, 1954).
        let raw = if squares > 0.0 { both / squares } else { 0.0 };
        let correlation = (raw + (1.0 + 4.0 * raw) / count).clamp(0.0, 0.9);
        let wider = ((1.0 + correlation) / (1.0 - correlation)).sqrt();
        let deviation = (squares / (count - 3.0)).sqrt();
        // The standard error of the rise along a line through so many equidistant values.
        let error = deviation * (12.0 / count).sqrt() * wider;
        rise / error.max(1e-6 * rise)
    }

    /// The deviation of single points from the curve, at the end of the window.
    fn noise(&self, window: &[Span]) -> f64 {
        let single = window.iter().filter(|span| span.count <= 1.0);
        let mut far: Vec<f64> = single.map(|s| (s.value - self.fit.at(s.at)).abs()).collect();
        far.sort_unstable_by(f64::total_cmp);
        1.4826 * far.get(far.len() / 2).copied().unwrap_or(0.0)
    }

    /// The way ahead from a time, by the seconds, when the curve rises by `factor` times what it does, with the season of
    /// another curve.
    fn path(&self, now: f64, factor: f64, season: Option<&Fit>) -> impl Fn(f64) -> f64 {
        let level = self.fit.trend(now);
        move |ahead: f64| {
            let at = now + ahead;
            level + (self.fit.trend(at) - level) * factor + season.map_or(0.0, |fit| fit.season(at))
        }
    }
}

/// When peaks that rise from restart to restart reach `limit`: as their median slope says, if troughs
/// rise as well, each above the one before.
pub(super) fn ratchet(rounds: &[Round], limit: f64, now: f64) -> Option<Reach> {
    let (first, last) = (rounds.first()?, rounds.last()?);
    let rises = |of: fn(&Round) -> f64| {
        rounds.iter().zip(rounds.iter().skip(1)).all(|(a, b)| of(b) > of(a))
    };
    if rounds.len() < 3 || !rises(|r| r.peak) || !rises(|r| r.trough) {
        return None;
    }
    let mut slopes = Vec::new();
    for (i, a) in rounds.iter().enumerate() {
        slopes.extend(rounds.iter().skip(i + 1).map(|b| (b.peak - a.peak) / (b.at - a.at)));
    }
    slopes.sort_unstable_by(f64::total_cmp);
    let (slope, low, high) = (
        *slopes.get(slopes.len() / 2)?,
        *slopes.get(slopes.len() / 10)?,
        *slopes.get(slopes.len() * 9 / 10)?,
    );
    let within = |slope: f64| (last.at + (limit - last.peak) / slope - now).max(0.0);
    let length = now - first.at;
    (within(slope) <= AHEAD * length).then(|| Reach {
        at: now + within(slope),
        // Peaks are what touches it.
        trend: None,
        earliest: now + within(high),
        latest: (low > 0.0).then(|| now + within(low)),
        slope,
        certainty: 0.0,
        error: 0.0,
        length,
    })
}
