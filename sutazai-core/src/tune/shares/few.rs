//! Few units: a share that is moved by less than one of them stays where it is when it is rounded, and nothing is learned. There whole units
//! go from one to another, and back in the other round of the pair.

/// Somebody who has units.
pub(super) struct Member {
    /// The other round of the pair gives it another number of units as it is.
    pub(super) moves: bool,
    /// It is to have more in this round.
    pub(super) up: bool,
    pub(super) least: u64,
    pub(super) most: u64,
}

/// Moves units among those who do not move otherwise, as many as `explore` is of what they have, but one at least. The sum stays, and
/// bounds that held do. In the other round of the pair the same ones have the reverse; in later pairs others do.
pub(super) fn explore(
    units: &mut [u64],
    members: &[Member],
    explore: f64,
    second: bool,
    pairs: u64,
) {
    let mut still: Vec<usize> =
        members.iter().enumerate().filter(|(_, m)| !m.moves).map(|(i, _)| i).collect();
    if still.len() < 2 {
        return;
    }
    let have: u64 = still.iter().filter_map(|i| units.get(*i)).sum();
    let most = (0.5 * explore * have as f64).round().clamp(1.0, still.len() as f64) as usize;
    let begin = pairs.wrapping_mul(2 * most as u64) % still.len() as u64;
    still.rotate_left(begin as usize);
    // Those that go up in the first round, and those that do in the second: so the same ones meet in both.
    let (first, then): (Vec<usize>, Vec<usize>) = (still.into_iter())
        .partition(|i| members.get(*i).is_some_and(|member| member.up == second));
    let fits = |units: &[u64], more: usize, less: usize| {
        let (Some(a), Some(b)) = (members.get(more), members.get(less)) else { return false };
        let (Some(has), Some(had)) = (units.get(more), units.get(less)) else { return false };
        *has < a.most && *had > b.least
    };
    let mut moved = 0;
    for (a, b) in first.into_iter().zip(then) {
        if moved == most {
            return;
        }
        let (more, less) = if members.get(a).is_some_and(|one| one.up) { (a, b) } else { (b, a) };
        let fits_now = fits(units, more, less);
        if !fits_now && !fits(units, less, more) {
            continue;
        }
        moved += 1;
        if fits_now {
            if let Some(unit) = units.get_mut(more) {
                *unit += 1;
            }
            if let Some(unit) = units.get_mut(less) {
                *unit -= 1;
            }
        }
    }
}
