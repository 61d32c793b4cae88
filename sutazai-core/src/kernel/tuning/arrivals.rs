//! How many tasks come in for a pool, from what its agents have done and have to do, and from who was turned away: [`Arrivals`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::base::time::Moment;

/// The time over which rates are means: what is older is forgotten, so that a load that has ended is gone after so long. Where looks are
/// further apart, the last one counts.
const WINDOW: Duration = Duration::from_secs(6);

/// What came in is what has been done since, and what there is more to do.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    done: BTreeMap<Arc<str>, u64>,
    pending: u64,
    turned_away: u64,
    /// Agents that could take a task, and when there were more of them last: who was turned away before says nothing of those that
    /// there are now.
    ready: u32,
    grown: Moment,
    at: Option<Moment>,
    /// What came between two looks, the oldest first: as many as there are looks within the window.
    looks: VecDeque<Came>,
}

/// What came from one look to the next.
#[derive(Debug)]
struct Came {
    from: Moment,
    until: Moment,
    taken: u64,
    refused: u64,
}

/// Tasks a second, lately.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rates {
    /// That an agent has taken, or that wait for one.
    pub(super) taken: f64,
    /// That were turned away.
    pub(super) refused: f64,
}

impl Arrivals {
    /// Tasks a second, now that each agent has done so many, so many are under way or wait, so many were turned away, ever, and so many
    /// agents can take one; none before the second look.
    pub(super) fn look(
        &mut self,
        done: BTreeMap<Arc<str>, u64>,
        pending: u64,
        turned_away: u64,
        ready: u32,
        now: Moment,
    ) -> Option<Rates> {
        if ready > self.ready {
            self.grown = now;
        }
        self.ready = ready;
        let Some(at) = self.at else {
            (self.done, self.pending, self.at) = (done, pending, Some(now));
            self.turned_away = turned_away;
            return None;
        };
        if now <= at {
            return self.rates();
        }
        let mut came: i128 = i128::from(pending) - i128::from(self.pending);
        for (agent, calls) in &done {
            let before = self.done.get(agent).copied().unwrap_or(0);
            // One that has done fewer is another one of that name.
            came += i128::from(if *calls >= before { calls - before } else { *calls });
        }
        self.looks.push_back(Came {
            from: at,
            until: now,
            taken: u64::try_from(came.max(0)).unwrap_or(u64::MAX),
            // Of another pool of that name there were fewer.
            refused: turned_away.saturating_sub(self.turned_away),
        });
        while self.looks.len() > 1
            && self.looks.front().is_some_and(|oldest| oldest.until + WINDOW <= now)
        {
            self.looks.pop_front();
        }
        (self.done, self.pending, self.at) = (done, pending, Some(now));
        self.turned_away = turned_away;
        self.rates()
    }

    fn rates(&self) -> Option<Rates> {
        let all = self.looks.iter();
        let since = self.looks.iter().filter(|came| came.from >= self.grown);
        let taken = per_s(all, |came| came.taken)?;
        Some(Rates { taken, refused: per_s(since, |came| came.refused).unwrap_or(0.0) })
    }
}

/// How many came a second in these looks; none where there are none.
fn per_s<'a>(looks: impl Iterator<Item = &'a Came>, what: fn(&Came) -> u64) -> Option<f64> {
    let add = |(count, passed), came: &Came| {
        (count + what(came) as f64, passed + came.until.since(came.from).as_secs_f64())
    };
    let (count, passed): (f64, f64) = looks.fold((0.0, 0.0), add);
    (passed > 0.0).then(|| count / passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(all: &[(&str, u64)]) -> BTreeMap<Arc<str>, u64> {
        all.iter().map(|(name, calls)| (Arc::from(*name), *calls)).collect()
    }

    fn at(s: u64) -> Moment {
        Moment::from_nanos(s * 1_000_000_000)
    }

    #[test]
    fn what_came_is_what_was_done_and_what_waits_more() {
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.look(done(&[("a", 100)]), 5, 0, 1, at(0)), None);
        // 20 done, 10 more wait: 30 in a second.
        let rates = arrivals.look(done(&[("a", 120)]), 15, 0, 1, at(1)).unwrap();
        assert_eq!((rates.taken, rates.refused), (30.0, 0.0));
        // One agent went away, another one came: 10 done, as many wait.
        let rates = arrivals.look(done(&[("b", 10)]), 15, 0, 1, at(2)).unwrap();
        assert_eq!(rates.taken, 20.0);
        // Another one of the same name.
        let rates = arrivals.look(done(&[("b", 1)]), 15, 0, 1, at(62)).unwrap();
        assert!(rates.taken < 0.1, "{rates:?}");
        // The clock stands still.
        assert_eq!(arrivals.look(done(&[("b", 500)]), 15, 0, 1, at(62)), Some(rates));
    }

    #[test]
    fn who_was_turned_away_came_as_well_and_what_has_ended_is_forgotten() {
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.look(done(&[]), 0, 1_000, 1, at(0)), None, "before it was looked at");
        for second in 1..=20 {
            let rates =
                arrivals.look(done(&[("a", second * 5)]), 0, 1_000 + second * 90, 1, at(second));
            let rates = rates.unwrap();
            assert_eq!((rates.taken, rates.refused), (5.0, 90.0));
        }
        let mut rates = Vec::new();
        for second in 21..=26 {
            rates.push(arrivals.look(done(&[("a", 100)]), 0, 2_800, 1, at(second)).unwrap().taken);
        }
        assert!(rates.is_sorted_by(|a, b| a >= b), "{rates:?}");
        assert_eq!(rates.last(), Some(&0.0), "{rates:?}");
        // Who was turned away before there were more says nothing any more.
        arrivals.look(done(&[("a", 100)]), 0, 2_900, 1, at(27));
        let rates = arrivals.look(done(&[("a", 100)]), 0, 3_000, 2, at(28)).unwrap();
        assert_eq!(rates.refused, 0.0);
        let rates = arrivals.look(done(&[("a", 100)]), 0, 3_010, 2, at(29)).unwrap();
        assert_eq!(rates.refused, 10.0);
        // Looks that are further apart than that.
        let rates = arrivals.look(done(&[("a", 400)]), 0, 3_010, 2, at(129)).unwrap();
        assert_eq!(rates.taken, 3.0);
    }
}
