//! Which of the parts of a group had ended last, asked as time goes on.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The ends of a group's parts, asked for at times that do not go back: each is looked at twice, however many there are.
#[derive(Default)]
pub(super) struct Ended {
    /// Those that had not ended when it was last asked: the end, how many came before, and the part. Times are not negative,
    /// so that their bits have their order.
    open: BinaryHeap<Reverse<(u64, usize, usize)>>,
    last: Option<(f64, usize)>,
    added: usize,
}

impl Ended {
    pub(super) fn add(&mut self, end: f64, part: usize) {
        self.open.push(Reverse((end.max(0.0).to_bits(), self.added, part)));
        self.added += 1;
    }

    /// The last that had ended by then; of several at once the one that was added last.
    pub(super) fn by(&mut self, at: f64) -> Option<(f64, usize)> {
        while let Some(Reverse((end, _, part))) = self.open.peek().copied() {
            let end = f64::from_bits(end);
            if end > at {
                break;
            }
            self.open.pop();
            self.last = Some((end, part));
        }
        self.last
    }

    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::SplitMix64;

    /// By looking at all of them.
    fn plainly(ends: &[(f64, usize)], at: f64) -> Option<(f64, usize)> {
        let ended = ends.iter().filter(|(end, _)| *end <= at);
        ended.max_by(|a, b| a.0.total_cmp(&b.0)).copied()
    }

    #[test]
    fn it_answers_what_looking_at_all_of_them_does() {
        let mut random = SplitMix64::new(5);
        let mut answered = 0;
        for _ in 0..300 {
            let (mut ended, mut all) = (Ended::default(), Vec::new());
            let mut now = 0.0;
            for part in 0..(random.bits() % 60) as usize {
                // In whole steps, so that several are at once.
                now += (random.bits() % 3) as f64;
                assert_eq!(ended.by(now), plainly(&all, now));
                answered += usize::from(plainly(&all, now).is_some());
                if random.bits().is_multiple_of(20) {
                    ended.clear();
                    all.clear();
                }
                let end = now + (random.bits() % 9) as f64;
                ended.add(end, part);
                all.push((end, part));
            }
        }
        assert!(answered > 1_000, "{answered}");
    }
}
