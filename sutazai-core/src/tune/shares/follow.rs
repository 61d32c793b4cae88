//! Whether, and how far, shares move: only by differences that are there.
//!
//! Where one more unit is worth as much to everybody, or nothing to anybody, what is measured differs all the same, by chance. Shares that
//! follow that go anywhere in the end: each step is small, and there are many. So a share moves only when what one more unit is worth to
//! it differs from what it is worth to the others by more than chance explains, however often one looks:
//!
//! - The bound is that of all looks together: among `n` members that are looked at `k` times the largest of their differences, in standard
//!   errors, stays below `√(2·ln(n·k/p))` with a probability of `1 − p` (union bound of normal tails). A window has one look that is not the last one
//!   once more for each time that its memory is over. The bound grows with the looks, and stays where it is after [`MOST_LOOKS`]: by then a false move
//!   is so rare that what it does is undone before the next one, as shares go back to even, slowly, while nothing is known against that.
//! - Errors are themselves estimates. For few pairs the bound is the one of Student's `t` with as small a probability, by the ratio of
//!   likelihoods: `ν·ln(1 + t²/ν) = z²`.
//! - Where the bound is just met little is done: of a difference as many parts as it is beyond (L. Breiman's garrote, Technometrics 37, 1995).
//!
//! Of the windows over the past the shortest one that shows a difference decides: a world that changes is followed soon, and what is small
//! and always there is found in the longer ones.

use super::slope::{Estimate, WINDOWS};

/// Looks in which a false move happens once, at first.
const LOOKS: f64 = 20.0;
/// The bound grows until there were so many looks.
const MOST_LOOKS: f64 = 100.0;
/// The most that a difference counts, as multiples of the mean marginal benefit.
const MOST: f64 = 5.0;
/// Closer to a bound than this is at it.
const AT: f64 = 1e-12;

/// Somebody who shares.
pub(super) struct Member {
    pub(super) share: f64,
    pub(super) floor: f64,
    pub(super) ceiling: f64,
    /// What one more whole is worth to it, by window.
    pub(super) worth: [Estimate; WINDOWS],
}

/// What moves: the window that shows it, and by how much each is worth more than the others, as multiples of the mean, or nothing
/// where that may be chance.
pub(super) struct Found {
    pub(super) window: usize,
    pub(super) more: Vec<f64>,
}

/// What is known to be worth more or less than the rest, after so many rounds' memories.
pub(super) fn differences(members: &[Member], memories: f64) -> Option<Found> {
    let looks = LOOKS * (1.0 + memories).min(MOST_LOOKS);
    let bound = 2.0 * (members.len() as f64 * looks).ln();
    (0..WINDOWS).find_map(|window| {
        let worth: Vec<_> = members.iter().filter_map(|member| member.worth.get(window)).collect();
        // In units in which squares are finite.
        let unit = worth.iter().map(|one| one.slope.abs()).fold(0.0, f64::max);
        if worth.len() < members.len() || unit <= 0.0 || !unit.is_finite() {
            return None;
        }
        let worth: Vec<_> = (worth.into_iter())
            .map(|one| Estimate { slope: one.slope / unit, error: one.error / unit, ..*one })
            .collect();
        let more = beyond_chance(members, &worth, bound)?;
        let size = worth.iter().map(|one| one.slope.abs()).sum::<f64>() / worth.len() as f64;
        let more = more.into_iter().map(|more| (more / size).clamp(-MOST, MOST)).collect();
        Some(Found { window, more })
    })
}

/// By how much each is worth more than the price, which is what one more is worth to all who can have more and less; none where nothing is
/// beyond chance.
fn beyond_chance(members: &[Member], worth: &[Estimate], bound: f64) -> Option<Vec<f64>> {
    let mut free: Vec<bool> = worth.iter().map(|one| one.error.is_finite()).collect();
    loop {
        let whole: f64 =
            (members.iter().zip(&free)).filter(|(_, f)| **f).map(|(m, _)| m.share).sum();
        if whole <= 0.0 || free.iter().filter(|free| **free).count() < 2 {
            return None;
        }
        let part =
            |(member, free): (&Member, &bool)| if *free { member.share / whole } else { 0.0 };
        let parts: Vec<f64> = members.iter().zip(&free).map(part).collect();
        let of = |(part, one): (&f64, &Estimate)| {
            if *part > 0.0 { (part * one.slope, part * one.error) } else { (0.0, 0.0) }
        };
        let (mut price, mut variance) = (0.0, 0.0);
        for (slope, error) in parts.iter().zip(worth).map(of) {
            price += slope;
            variance += error * error;
        }
        let mut more = vec![0.0; members.len()];
        let mut held = false;
        let all = members.iter().zip(worth).zip(&parts).zip(&mut free).zip(&mut more);
        for ((((member, one), part), free), more) in all {
            if !*free {
                continue;
            }
            let difference = one.slope - price;
            // Who is at its ceiling and worth more, or at its floor and worth less, is where it belongs, and says nothing of the
            // price of the others (the condition of Karush, Kuhn and Tucker).
            if (difference > 0.0 && member.share >= member.ceiling - AT)
                || (difference < 0.0 && member.share <= member.floor + AT)
            {
                (*free, held) = (false, true);
                continue;
            }
            // It is a part of the price itself.
            let own = one.error * one.error;
            let square = (1.0 - part).powi(2) * own + (variance - part * part * own).max(0.0);
            let least = one.freedom * (bound / one.freedom).min(600.0).exp_m1() * square;
            if difference * difference > least {
                *more = difference * (1.0 - least / (difference * difference));
            }
        }
        if !held {
            return more.iter().any(|more| *more != 0.0).then_some(more);
        }
    }
}
