//! The anomalies that are remembered.

use std::collections::VecDeque;

use super::found::Anomaly;

#[derive(Default)]
pub(super) struct Latest {
    found: VecDeque<Anomaly>,
    /// The number of the last one.
    number: u64,
}

impl Latest {
    /// Remembers one, and gives it its number.
    pub(super) fn add(&mut self, mut anomaly: Anomaly, most: usize) -> Anomaly {
        self.number += 1;
        anomaly.number = self.number;
        if self.found.len() >= most {
            self.found.pop_front();
        }
        self.found.push_back(anomaly.clone());
        anomaly
    }

    /// Those with greater numbers, the oldest first.
    pub(super) fn after(&self, number: u64, most: usize) -> Vec<Anomaly> {
        self.found.iter().filter(|one| one.number > number).take(most).cloned().collect()
    }

    pub(super) fn count(&self) -> u64 {
        self.number
    }
}
