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
    /// Series that no pattern fits, or that had no room: not looked at again until patterns change, or, as for the latter, until there
    /// is room.
    pub(super) others: HashMap<Arc<str>, bool>,
    /// Series that had no room.
    pub(super) left_out: u64,
    /// Watched series that have had no values for so long that another one may have their place.
    pub(super) gone: usize,
}

impl Judges {
    /// Names of series that are remembered as not watched, at most.
    const OTHERS_MAX: usize = 16_384;

    /// The series whose values do not come any more; each once.
    pub(super) fn wait(&mut self, now: Timestamp) -> Vec<Anomaly> {
        let missing =
            self.watched.iter_mut().filter_map(|(series, one)| one.wait(series, now)).collect();
        self.rest(now);
        missing
    }

    /// Looks which series have gone. What has room by that is seen from its next value on.
    pub(super) fn rest(&mut self, now: Timestamp) {
        self.gone = self.watched.values().filter(|one| one.gone_for(now).is_some()).count();
    }

    /// The series that has been without values for longest has its place no more; whether there was one.
    fn make_room(&mut self, now: Timestamp) -> bool {
        if self.gone == 0 {
            return false;
        }
        let gone =
            self.watched.iter().filter_map(|(series, one)| Some((one.gone_for(now)?, series)));
        let longest = gone.max().map(|(_, series)| Arc::clone(series));
        self.gone = if longest.is_some() { self.gone - 1 } else { 0 };
        longest.is_some_and(|series| self.watched.remove(&series).is_some())
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
        let before = self.others.get(series).copied();
        if before.is_some_and(|wanted| !wanted || self.gone == 0) {
            return Found::default();
        }
        let wanted = self.patterns.iter().any(|one| fits(one, series));
        let room =
            wanted && (self.watched.len() < policy.watched_most as usize || self.make_room(now));
        let detector = room.then(|| Watched::new(policy, series).ok());
        let Some(mut watched) = detector.flatten() else {
            self.left_out += u64::from(wanted && before.is_none());
            if self.others.len() >= Self::OTHERS_MAX {
                self.others.clear();
            }
            self.others.insert(series.into(), wanted);
            return Found::default();
        };
        if before.is_some() {
            self.others.remove(series);
            self.left_out = self.left_out.saturating_sub(1);
        }
        let found = watched.look(series, now, value);
        self.watched.insert(series.into(), watched);
        found
    }
}
