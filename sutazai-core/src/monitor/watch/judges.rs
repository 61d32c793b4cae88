//! The detectors of the series that are watched.

use std::collections::HashMap;
use std::sync::Arc;

use super::found::Anomaly;
use super::policy::{WatchPolicy, fits};
use super::watched::{Found, Watched};
use crate::base::time::Timestamp;

#[derive(Default)]
pub(super) struct Judges {
    pub(super) patterns: Vec<String>,
    pub(super) watched: HashMap<Arc<str>, Watched>,
    /// Series that no pattern fits, or that had no room: not looked at again until patterns change.
    pub(super) others: HashMap<Arc<str>, bool>,
    /// Series that had no room.
    pub(super) left_out: u64,
}

impl Judges {
    /// Names of series that are remembered as not watched, at most.
    const OTHERS_MAX: usize = 16_384;

    /// The series whose values do not come any more; each once.
    pub(super) fn wait(&mut self, now: Timestamp) -> Vec<Anomaly> {
        self.watched.iter_mut().filter_map(|(series, one)| one.wait(series, now)).collect()
    }

    pub(super) fn look(
        &mut self,
        series: &str,
        now: Timestamp,
        value: f64,
        policy: &WatchPolicy,
    ) -> Found {
        if let Some(watched) = self.watched.get_mut(series) {
            return watched.look(series, now, value);
        }
        if self.others.contains_key(series) {
            return Found::default();
        }
        let wanted = self.patterns.iter().any(|one| fits(one, series));
        let room = self.watched.len() < policy.watched_most as usize;
        let detector = (wanted && room).then(|| Watched::new(policy, series).ok());
        let Some(mut watched) = detector.flatten() else {
            self.left_out += u64::from(wanted);
            if self.others.len() >= Self::OTHERS_MAX {
                self.others.clear();
            }
            self.others.insert(series.into(), wanted);
            return Found::default();
        };
        let found = watched.look(series, now, value);
        self.watched.insert(series.into(), watched);
        found
    }
}
