//! What was found and is remembered.

use std::collections::VecDeque;

use super::found::Numbered;

pub(super) struct Latest<T> {
    found: VecDeque<T>,
    /// The number of the last one.
    number: u64,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self { found: VecDeque::new(), number: 0 }
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

    pub(super) fn count(&self) -> u64 {
        self.number
    }
}
