//! [`Recent`]: the last so many things of a kind, in memory.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// A ring of fixed size that forgets the oldest. Pushing takes a number and the lock of one slot,
/// which nobody else wants but a reader at that slot or a writer a whole round behind.
#[derive(Debug)]
pub(super) struct Recent<T> {
    slots: Box<[Slot<T>]>,
    next: AtomicU64,
}

type Slot<T> = Mutex<Option<(u64, T)>>;

impl<T: Clone> Recent<T> {
    /// Room for `capacity` things; at least one.
    pub(super) fn new(capacity: usize) -> Self {
        let slots = (0..capacity.max(1)).map(|_| Mutex::new(None)).collect();
        Self { slots, next: AtomicU64::new(0) }
    }

    /// Adds the newest. Returns its number, from 0.
    #[inline]
    pub(super) fn push(&self, thing: T) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(slot) = self.slot(number) {
            let mut slot = slot.lock();
            // A writer that was overtaken by a whole round must not bury a newer thing. What is
            // kept here is data of ours, so dropping the old one under the lock runs no foreign
            // code, and saves moving it out.
            if slot.as_ref().is_none_or(|(there, _)| *there < number) {
                *slot = Some((number, thing));
            }
        }
        number
    }

    /// How many were pushed, ever.
    pub(super) fn pushed(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// How many were forgotten.
    pub(super) fn forgotten(&self) -> u64 {
        self.pushed().saturating_sub(self.slots.len() as u64)
    }

    /// The newest `limit` things that `wanted` accepts, oldest first, with their numbers.
    pub(super) fn newest(&self, limit: usize, wanted: impl Fn(u64, &T) -> bool) -> Vec<(u64, T)> {
        let end = self.pushed();
        let begin = end.saturating_sub(self.slots.len() as u64);
        let mut found: Vec<_> = (begin..end)
            .rev()
            .filter_map(|number| {
                let slot = self.slot(number)?.lock();
                // Not written yet, or overwritten since `end` was read.
                let (there, thing) = slot.as_ref()?;
                (*there == number && wanted(number, thing)).then(|| (number, thing.clone()))
            })
            .take(limit)
            .collect();
        found.reverse();
        found
    }

    #[inline]
    fn slot(&self, number: u64) -> Option<&Slot<T>> {
        #[expect(clippy::cast_possible_truncation, reason = "below the length, which is a usize")]
        self.slots.get((number % self.slots.len() as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_and_are_counted() {
        let recent = Recent::new(3);
        for n in 0..5 {
            assert_eq!(recent.push(n), n);
        }
        assert_eq!(recent.newest(9, |_, _| true), [(2, 2), (3, 3), (4, 4)]);
        assert_eq!(recent.newest(1, |_, _| true), [(4, 4)]);
        assert_eq!(recent.newest(9, |_, n| n % 2 == 0), [(2, 2), (4, 4)]);
        assert_eq!((recent.pushed(), recent.forgotten()), (5, 2));
    }

    #[test]
    fn threads_keep_the_newest() {
        let recent = Recent::new(64);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (0..5_000).for_each(|n| {
                        recent.push(n);
                    })
                });
            }
        });
        let found = recent.newest(100, |_, _| true);
        let numbers: Vec<u64> = found.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (20_000 - 64..20_000).collect::<Vec<_>>());
    }
}
