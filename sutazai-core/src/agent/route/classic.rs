//! The strategies that do not learn quality: round robin, least loaded, peak EWMA, sticky, weighted.

use super::adaptive::home;
use super::ask::Ask;
use super::explain::Figures as Score;
use super::policy::Strategy;
use super::random::Random;
use super::scope::Scope;

/// What an arm that has answered nothing yet is taken to need: a second, as long as nobody else has answered
/// (Finagle's and tower's default is as arbitrary; it matters for the first calls only).
const FIRST_GUESS: f64 = 1e9;

/// How long a slow answer is held against an arm: the time constant of the moving average in nanoseconds,
/// Finagle's and tower's usual 10 s.
const DECAY: f64 = 10e9;

/// What these strategies keep of an arm.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    /// Of durations in nanoseconds, and when it was last brought up to date; 0 before the first one.
    average: f64,
    updated: u64,
    /// The current weight of smooth weighted round robin.
    current: i64,
}

impl Figures {
    /// Rises to a duration at once, falls towards it slowly.
    pub(super) fn took(&mut self, nanos: f64, now: u64) {
        if nanos >= self.average {
            self.average = nanos;
        } else {
            let kept = decayed(now.saturating_sub(self.updated) as f64 / DECAY);
            self.average = self.average * kept + nanos * (1.0 - kept);
        }
        self.updated = now;
    }

    fn expected(&self, now: u64) -> f64 {
        if self.updated == 0 {
            return FIRST_GUESS;
        }
        self.average * decayed(now.saturating_sub(self.updated) as f64 / DECAY)
    }
}

/// e⁻ˣ within a few hundredths, as (1 + x/16)⁻¹⁶, which is the same on every machine.
fn decayed(x: f64) -> f64 {
    let mut base = 1.0 + x / 16.0;
    for _ in 0..4 {
        base *= base;
    }
    1.0 / base
}

/// Chooses; `figures` says who may be chosen.
pub(super) fn choose(
    strategy: Strategy,
    scope: &mut Scope,
    ask: &Ask<'_>,
    now: u64,
    random: &mut Random,
    figures: &[Score],
) -> Option<usize> {
    match strategy {
        Strategy::LeastLoaded => least_loaded(scope, ask, figures),
        Strategy::PeakEwma => peak_ewma(scope, ask, now, random, figures),
        Strategy::Weighted => weighted(scope, ask, figures),
        Strategy::Sticky => match ask.affinity {
            Some(key) => home(key, ask, figures),
            None => in_turn(scope, figures),
        },
        Strategy::RoundRobin | Strategy::Adaptive => in_turn(scope, figures),
    }
}

/// Those who may be chosen, from the place on whose turn it is.
fn from_turn<'a>(scope: &Scope, figures: &'a [Score]) -> impl Iterator<Item = usize> + 'a {
    let count = figures.len();
    let turn = usize::try_from(scope.turn % count.max(1) as u64).unwrap_or(0);
    (turn..count).chain(0..turn).filter(|&i| figures.get(i).is_some_and(|f| f.excluded.is_none()))
}

fn in_turn(scope: &mut Scope, figures: &[Score]) -> Option<usize> {
    let chosen = from_turn(scope, figures).next()?;
    scope.turn = chosen as u64 + 1;
    Some(chosen)
}

fn least_loaded(scope: &mut Scope, ask: &Ask<'_>, figures: &[Score]) -> Option<usize> {
    let load = |i: &usize| ask.arms.get(*i).map_or(u32::MAX, |arm| arm.in_flight);
    let chosen = from_turn(scope, figures).min_by_key(load)?;
    scope.turn = chosen as u64 + 1;
    Some(chosen)
}

fn peak_ewma(
    scope: &Scope,
    ask: &Ask<'_>,
    now: u64,
    random: &mut Random,
    figures: &[Score],
) -> Option<usize> {
    let eligible = figures.iter().filter(|f| f.excluded.is_none()).count() as u64;
    let nth = |n: u64| {
        let open = figures.iter().enumerate().filter(|(_, f)| f.excluded.is_none());
        open.map(|(i, _)| i).nth(usize::try_from(n).unwrap_or(0))
    };
    if eligible <= 1 {
        return nth(0);
    }
    let first = random.next() % eligible;
    let second = (first + 1 + random.next() % (eligible - 1)) % eligible;
    let (first, second) = (nth(first)?, nth(second)?);
    let load = |i: usize| {
        let state = figures.get(i).and_then(|f| scope.arms.get(f.slot as usize));
        let in_flight = ask.arms.get(i).map_or(0, |arm| arm.in_flight);
        state.map_or(f64::INFINITY, |s| s.classic.expected(now) * (f64::from(in_flight) + 1.0))
    };
    Some(if load(second) < load(first) { second } else { first })
}

fn weighted(scope: &mut Scope, ask: &Ask<'_>, figures: &[Score]) -> Option<usize> {
    let mut total = 0;
    let mut best: Option<(usize, u32, i64)> = None;
    for (i, (arm, figure)) in ask.arms.iter().zip(figures).enumerate() {
        if figure.excluded.is_some() || arm.weight == 0 {
            continue;
        }
        let Some(state) = scope.arms.get_mut(figure.slot as usize) else { continue };
        let weight = i64::from(arm.weight);
        state.classic.current = state.classic.current.saturating_add(weight);
        total += weight;
        if best.is_none_or(|(_, _, most)| state.classic.current > most) {
            best = Some((i, figure.slot, state.classic.current));
        }
    }
    let (chosen, slot, _) = best?;
    if let Some(state) = scope.arms.get_mut(slot as usize) {
        state.classic.current = state.classic.current.saturating_sub(total);
    }
    Some(chosen)
}
