//! What was found and is remembered.

use std::collections::VecDeque;

use super::found::Numbered;

pub(super) struct Latest<T> {
    found: VecDeque<T>,
    /// The number of the last one.
    number: u64,
    /// The number of the last one that is on the shelf.
    kept: u64,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self { found: VecDeque::new(), number: 0, kept: 0 }
    }
}

impl<T: Numbered> Latest<T> {
    /// Remembers one, and gives it its number.
    pub(super) fn add(&mut self, mut one: T, most: usize) -> T {
        self.number += 1;
        *one.number() = self.number;
        if self.found.len() >= most {
            self.found.pop_front();
        }
        self.found.push_back(one.clone());
        one
    }

    /// Those with greater numbers, the oldest first.
    pub(super) fn after(&self, number: u64, most: usize) -> Vec<T> {
        // Numbers follow each other without a gap.
        let newer = usize::try_from(self.number.saturating_sub(number)).unwrap_or(usize::MAX);
        let skip = self.found.len().saturating_sub(newer);
        self.found.iter().skip(skip).take(most).cloned().collect()
    }

    /// Those that are wanted, the oldest first.
    pub(super) fn select(&self, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        self.found.iter().filter(|one| wanted(one)).cloned().collect()
    }

    /// The number of the last one and the newest of them, where there are any that the shelf has not.
    pub(super) fn news(&self, most: usize) -> Option<(u64, Vec<T>)> {
        let skip = self.found.len().saturating_sub(most);
        let newest = || self.found.iter().skip(skip).cloned().collect();
        (self.number != self.kept).then(|| (self.number, newest()))
    }

    /// The shelf has them up to this number.
    pub(super) fn kept(&mut self, number: u64) {
        self.kept = number;
    }

    /// What the shelf has, at the beginning.
    pub(super) fn restore(&mut self, number: u64, found: Vec<T>, most: usize) {
        let skip = found.len().saturating_sub(most);
        self.found = found.into_iter().skip(skip).collect();
        (self.number, self.kept) = (number, number);
    }

    pub(super) fn count(&self) -> u64 {
        self.number
    }
}
