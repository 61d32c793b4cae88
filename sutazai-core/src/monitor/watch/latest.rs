//! What was found and is remembered.

use std::collections::VecDeque;

use super::found::Numbered;

pub(super) struct Latest<T> {
    /// By number; numbers have gaps.
    found: VecDeque<T>,
    /// The number of the last one.
    number: u64,
    /// How many were found.
    count: u64,
    /// How often it was changed, and as of which change the shelf has it.
    changed: u64,
    kept: u64,
}

/// What the shelf is to have.
pub(super) struct News<T> {
    pub(super) number: u64,
    pub(super) count: u64,
    pub(super) found: Vec<T>,
    /// As of this change.
    pub(super) changed: u64,
}

impl<T: Numbered> Latest<T> {
    /// With what the shelf has. What is found from here on has numbers above this one.
    pub(super) fn new(number: u64, count: u64, mut found: Vec<T>, most: usize) -> Self {
        found.sort_by_key(Numbered::number);
        let skip = found.len().saturating_sub(most);
        let found: VecDeque<T> = found.into_iter().skip(skip).collect();
        let number = found.back().map_or(number, |last| last.number().max(number));
        Self { found, number, count, changed: 1, kept: 0 }
    }

    /// Remembers one, and gives it its number.
    pub(super) fn add(&mut self, one: T, most: usize) -> T {
        self.number = self.number.saturating_add(1);
        self.count = self.count.saturating_add(1);
        self.changed += 1;
        let one = one.numbered(self.number);
        if self.found.len() >= most {
            self.found.pop_front();
        }
        self.found.push_back(one.clone());
        one
    }

    /// Changes the newest one of a series.
    pub(super) fn mend(&mut self, series: &str, mend: impl FnOnce(&mut T)) {
        if let Some(one) = self.found.iter_mut().rev().find(|one| one.series() == series) {
            mend(one);
            self.changed += 1;
        }
    }

    /// Those with greater numbers, the oldest first.
    pub(super) fn after(&self, number: u64, most: usize) -> Vec<T> {
        let skip = self.found.partition_point(|one| one.number() <= number);
        self.found.iter().skip(skip).take(most).cloned().collect()
    }

    /// Those that are wanted, the oldest first.
    pub(super) fn select(&self, wanted: impl Fn(&T) -> bool) -> Vec<T> {
        self.found.iter().filter(|one| wanted(one)).cloned().collect()
    }

    /// Lets those of a series go.
    pub(super) fn forget(&mut self, series: impl Fn(&str) -> bool) {
        let before = self.found.len();
        self.found.retain(|one| !series(one.series()));
        self.changed += u64::from(self.found.len() < before);
    }

    /// The newest of them, where the shelf has not all as it is.
    pub(super) fn news(&self, most: usize) -> Option<News<T>> {
        let skip = self.found.len().saturating_sub(most);
        (self.changed != self.kept).then(|| News {
            number: self.number,
            count: self.count,
            found: self.found.iter().skip(skip).cloned().collect(),
            changed: self.changed,
        })
    }

    /// The shelf has it as of this change.
    pub(super) fn kept(&mut self, changed: u64) {
        self.kept = changed;
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}
