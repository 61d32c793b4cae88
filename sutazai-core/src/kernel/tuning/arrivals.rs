//! How many tasks come in for a pool, from what its agents have done and have to do: [`Arrivals`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::time::Moment;

/// The time over which a rate is smoothed: what is older counts for a third or less.
const SMOOTH: Duration = Duration::from_secs(5);

/// What came in is what has been done since, and what there is more to do.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    done: BTreeMap<Arc<str>, u64>,
    pending: u64,
    at: Option<Moment>,
    rate: Option<f64>,
}

impl Arrivals {
    /// Tasks a second, now that each agent has done so many and so many are under way or wait; none before the second look.
    pub(super) fn look(
        &mut self,
        done: BTreeMap<Arc<str>, u64>,
        pending: u64,
        now: Moment,
    ) -> Option<f64> {
        let Some(at) = self.at else {
            (self.done, self.pending, self.at) = (done, pending, Some(now));
            return None;
        };
        let passed = now.since(at).as_secs_f64();
        if passed <= 0.0 {
            return self.rate;
        }
        let mut came: i128 = i128::from(pending) - i128::from(self.pending);
        for (agent, calls) in &done {
            let before = self.done.get(agent).copied().unwrap_or(0);
            // One that has done fewer is another one of that name.
            came += i128::from(if *calls >= before { calls - before } else { *calls });
        }
        let fresh = came.max(0) as f64 / passed;
        let keep = (-passed / SMOOTH.as_secs_f64()).exp();
        let rate = self.rate.map_or(fresh, |rate| rate * keep + fresh * (1.0 - keep));
        (self.done, self.pending, self.at, self.rate) = (done, pending, Some(now), Some(rate));
        Some(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(all: &[(&str, u64)]) -> BTreeMap<Arc<str>, u64> {
        all.iter().map(|(name, calls)| (Arc::from(*name), *calls)).collect()
    }

    #[test]
    fn what_came_is_what_was_done_and_what_waits_more() {
        let mut arrivals = Arrivals::default();
        let at = |s: u64| Moment::from_nanos(s * 1_000_000_000);
        assert_eq!(arrivals.look(done(&[("a", 100)]), 5, at(0)), None);
        // 20 done, 10 more wait: 30 in a second.
        assert_eq!(arrivals.look(done(&[("a", 120)]), 15, at(1)), Some(30.0));
        // One agent went away, another one came: 10 done, as many wait.
        let rate = arrivals.look(done(&[("b", 10)]), 15, at(2)).unwrap();
        assert!((10.0..30.0).contains(&rate), "{rate}");
        // Another one of the same name.
        let rate = arrivals.look(done(&[("b", 1)]), 15, at(62)).unwrap();
        assert!(rate < 0.1, "{rate}");
        // The clock stands still.
        assert_eq!(arrivals.look(done(&[("b", 500)]), 15, at(62)), Some(rate));
    }
}
