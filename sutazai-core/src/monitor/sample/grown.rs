//! Counters of several devices as one that never falls: [`Grown`].

use std::collections::HashMap;

/// Devices that have gone and are remembered, with those that there are, at most.
const MOST: usize = 1_024;

/// Sums of what devices count, each for itself. At first they are the sums of what there is. From then on they go up by what each
/// device counts more than before, so that one that goes takes nothing away. One that comes later adds what it counts from
/// then on: whether it began at zero nobody knows. One whose counters have all fallen has begun again at zero; where only some
/// have, these have not moved.
#[derive(Debug)]
pub(super) struct Grown<const N: usize> {
    before: HashMap<Box<[u8]>, Seen<N>>,
    sums: [u64; N],
    /// Counts the looks.
    round: u64,
}

#[derive(Debug)]
struct Seen<const N: usize> {
    counts: [u64; N],
    round: u64,
}

impl<const N: usize> Grown<N> {
    pub(super) fn new() -> Self {
        Self { before: HashMap::new(), sums: [0; N], round: 0 }
    }

    /// What a device counts now.
    pub(super) fn add(&mut self, name: &[u8], counts: [u64; N]) {
        let round = self.round;
        let more = match self.before.get_mut(name) {
            Some(seen) => {
                let before = std::mem::replace(&mut seen.counts, counts);
                seen.round = round;
                since(before, counts)
            }
            None => {
                self.before.insert(name.into(), Seen { counts, round });
                if round == 0 { counts } else { [0; N] }
            }
        };
        for (sum, more) in self.sums.iter_mut().zip(more) {
            *sum = sum.saturating_add(more);
        }
    }

    /// The sums, once all devices are told; nothing where there are none.
    pub(super) fn sums(&mut self) -> Option<[u64; N]> {
        let round = self.round;
        let any = self.before.values().any(|seen| seen.round == round);
        if !any {
            return None;
        }
        self.round += 1;
        if self.before.len() > MOST {
            self.before.retain(|_, seen| seen.round == round);
        }
        Some(self.sums)
    }
}

/// What was counted from one look to the next.
fn since<const N: usize>(before: [u64; N], now: [u64; N]) -> [u64; N] {
    let pairs = || before.iter().zip(&now);
    if pairs().any(|(before, now)| now < before) && pairs().all(|(before, now)| now <= before) {
        return now;
    }
    let mut more = now;
    more.iter_mut().zip(before).for_each(|(more, before)| *more = more.saturating_sub(before));
    more
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(grown: &mut Grown<2>, devices: &[(&str, [u64; 2])]) -> Option<[u64; 2]> {
        devices.iter().for_each(|(name, counts)| grown.add(name.as_bytes(), *counts));
        grown.sums()
    }

    #[test]
    fn sums_never_fall() {
        let mut grown = Grown::new();
        assert_eq!(look(&mut grown, &[]), None);
        assert_eq!(look(&mut grown, &[("a", [100, 10]), ("b", [1_000, 50])]), Some([1_100, 60]));
        // One goes, and comes again, with what it counted meanwhile.
        assert_eq!(look(&mut grown, &[("a", [105, 11])]), Some([1_105, 61]));
        assert_eq!(look(&mut grown, &[]), None);
        assert_eq!(look(&mut grown, &[("b", [1_007, 50]), ("a", [105, 11])]), Some([1_112, 61]));
        // One that comes later counts from then on.
        assert_eq!(look(&mut grown, &[("a", [105, 11]), ("c", [9_999, 9])]), Some([1_112, 61]));
        assert_eq!(look(&mut grown, &[("a", [105, 11]), ("c", [9_999, 12])]), Some([1_112, 64]));
        // One begins anew; one counter alone falls, by a little.
        assert_eq!(look(&mut grown, &[("a", [3, 1]), ("c", [9_999, 12])]), Some([1_115, 65]));
        assert_eq!(look(&mut grown, &[("a", [8, 0]), ("c", [9_999, 12])]), Some([1_120, 65]));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut grown = Grown::new();
        for name in 0..10_000 {
            look(&mut grown, &[("a", [name, 0]), (&name.to_string(), [1, 1])]);
        }
        assert!(grown.before.len() <= MOST + 1, "{}", grown.before.len());
        assert_eq!(look(&mut grown, &[("a", [10_000, 0])]), Some([10_001, 1]));
    }
}
