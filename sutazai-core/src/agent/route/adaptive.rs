//! The strategy that learns: the value of each arm for a task, and which one to choose.
//!
//! Quality is a contextual bandit: an arm's value is what its belief says of this task, plus an optimistic
//! share of its uncertainty, plus a random share of it. The random share is Thompson sampling (Agrawal and Goyal,
//! ICML 2013) with a smaller variance than the posterior's, which costs less and suffices when the features
//! differ from task to task; the optimistic one is that of LinUCB (Li et al., WWW 2010), and leads to arms of
//! which little is known rather than away from them. Waiting has a price in quality (see `RoutePolicy`),
//! so load and pace decide between arms that are equally good.

use super::ask::Ask;
use super::belief::{Look, unknown_at};
use super::explain::{Figures, Why};
use super::latency::{Pace, log2, wait};
use super::policy::RoutePolicy;
use super::random::{Random, hash};
use super::scope::Scope;
use crate::base::id::mix;

/// Shares of the standard deviation: added for certain, and added times a standard normal number. Measured
/// over the worlds of `benches/allocation.rs` and synthetic ones, optimism from .3 to 1 and chance from .1 to
/// .4: mean rewards differ by less than their intervals. More optimism has fewer of the runs that never try a good
/// arm again after bad luck; the smaller chance is what many features (64) prefer.
const OPTIMISM: f64 = 0.9;
const CHANCE: f64 = 0.2;

/// Waits that differ by less are the same, in doublings: a quarter more or less is what estimates of pace are
/// wrong by.
const CLOSE: f64 = 0.32;

/// An arm that is passed over because it is slow gets one decision in so many, if it has no call under
/// way: half a percent of the work buys knowing that it healed.
const PROBE_EVERY: u64 = 200;

/// Values all candidates into `figures` and chooses one of them; `None` when nobody may be chosen. `figures`
/// has one entry per arm of the ask, with its slot, id and exclusion filled in.
pub(super) fn choose(
    policy: &RoutePolicy,
    scope: &Scope,
    ask: &Ask<'_>,
    now: u64,
    random: &mut Random,
    figures: &mut [Figures],
) -> Option<(usize, Why)> {
    value(policy, scope, ask, now, random, figures);
    let candidates = || figures.iter().enumerate().filter(|(_, f)| f.excluded.is_none());
    let best = candidates()
        .reduce(|best, next| if next.1.value() > best.1.value() { next } else { best })?;
    // Nothing but chance tells those apart that are so close: fewer calls under way count, then whose turn it is.
    // Where lots are drawn about what is not known, that decides.
    let close = (CLOSE * policy.waiting_price - best.1.exploration.abs()).max(0.0);
    let enough = best.1.value() - close;
    let close = candidates().filter(|(_, figure)| figure.value() >= enough);
    let turn = |at: usize, figure: &Figures| {
        let chosen_at = scope.arms.get(figure.slot as usize).map_or(0, |arm| arm.chosen_at);
        (ask.arms.get(at).map_or(u32::MAX, |arm| arm.in_flight), chosen_at)
    };
    let (chosen, figure) = close.min_by_key(|(at, figure)| turn(*at, figure)).unwrap_or(best);
    let best_known = candidates().all(|(_, f)| f.known() <= figure.known());
    let why = match (best_known, figure.unseen_change) {
        (true, _) => Why::Best,
        (false, true) => Why::MayHaveChanged,
        (false, false) => Why::Uncertain,
    };
    // Who would be as good, but for its pace, and has not been called for long?
    let enough = figure.value() + figure.waiting - policy.waiting_price;
    let probe = candidates().find(|(i, f)| {
        *i != chosen
            && f.waiting > 0.0
            && f.value() + f.waiting >= enough
            && scope.arms.get(f.slot as usize).is_some_and(|arm| {
                arm.owed.calls() == 0
                    && arm.pace.is_some()
                    && scope.decisions.saturating_sub(arm.chosen_at) >= PROBE_EVERY
            })
    });
    match probe {
        Some((slow, _)) => Some((slow, Why::ProbedForPace)),
        None => Some((chosen, why)),
    }
}

fn value(
    policy: &RoutePolicy,
    scope: &Scope,
    ask: &Ask<'_>,
    now: u64,
    random: &mut Random,
    figures: &mut [Figures],
) {
    let mut least = f64::INFINITY;
    for (figure, arm) in figures.iter_mut().zip(ask.arms).filter(|(f, _)| f.excluded.is_none()) {
        let Some(state) = scope.arms.get(figure.slot as usize) else { continue };
        let look = match &state.belief {
            Some(belief) => belief.look(&scope.point, &scope.noise, scope.clock, random),
            None => Look {
                mean: scope.expected_of_new(),
                deviation: unknown_at(&scope.point).sqrt(),
                unseen_change: false,
            },
        };
        figure.quality = look.mean;
        let lot = if ask.affinity.is_some() { None } else { Some(random.normal()) };
        figure.exploration = match lot {
            // A session is not for trying out who else might be good.
            None => 0.0,
            Some(lot) if scope.rewarded() => {
                // What may have changed is drawn from all that it might be now, for better or worse.
                let (optimism, chance) =
                    if look.unseen_change { (0.0, 1.0) } else { (OPTIMISM, CHANCE) };
                look.deviation * (optimism + chance * lot)
            }
            // Who never failed is as good as it can be, and all such are equal.
            Some(lot) => {
                let share = if look.unseen_change { lot.max(0.0) } else { OPTIMISM };
                (share * look.deviation).min(1.0 - look.mean)
            }
        };
        figure.unseen_change = look.unseen_change;
        if policy.cost_price > 0.0 && arm.cost.is_finite() {
            figure.cost = policy.cost_price * arm.cost;
        }
        figure.waiting = if scope.usual.1 > 0.0 {
            let level = state.pace.as_ref().map_or(scope.usual.0, Pace::level);
            wait(level, arm.in_flight, &state.owed, now)
        } else {
            // Nothing is known of anybody's pace.
            log2(f64::from(arm.in_flight) + 1.0)
        };
        least = least.min(figure.waiting);
    }
    for figure in figures.iter_mut().filter(|f| f.excluded.is_none()) {
        figure.waiting = policy.waiting_price * (figure.waiting - least);
    }
    if let Some(at) = ask.affinity.and_then(|key| home(key, ask, figures))
        && let Some(figure) = figures.get_mut(at)
    {
        figure.affinity = policy.affinity_price;
    }
}

/// Where an affinity key is at home among those that may be chosen: the one whose hash with it is highest.
pub(super) fn home(affinity: &str, ask: &Ask<'_>, figures: &[Figures]) -> Option<usize> {
    let key = hash(affinity);
    ask.arms
        .iter()
        .zip(figures)
        .enumerate()
        .filter(|(_, (_, figure))| figure.excluded.is_none())
        .max_by_key(|(at, (arm, _))| (mix(key ^ hash(arm.key)), std::cmp::Reverse(*at)))
        .map(|(at, _)| at)
}
