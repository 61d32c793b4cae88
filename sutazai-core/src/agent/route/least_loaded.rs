//! The default choice: the agent with the fewest tasks under way.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::time::Moment;
use crate::port::{Candidates, Router, Task};

/// Chooses the available agent with the fewest tasks under way; among equals each in its turn.
#[derive(Debug, Default)]
pub struct LeastLoaded {
    turn: AtomicUsize,
}

impl LeastLoaded {
    /// A router that begins with the agent that was registered first.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Router for LeastLoaded {
    fn route(&self, _task: &Task, candidates: &dyn Candidates, _now: Moment) -> Option<usize> {
        let count = candidates.len();
        if count == 1 {
            return candidates.get(0).filter(|c| c.available()).map(|_| 0);
        }
        // Where the search begins decides among equals, so that idle agents share the work.
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % count.max(1);
        let mut best = None;
        for index in (first..count).chain(0..first) {
            let Some(candidate) = candidates.get(index).filter(|c| c.available()) else { continue };
            let load = candidate.in_flight();
            if load == 0 {
                return Some(index);
            }
            if best.is_none_or(|(least, _)| load < least) {
                best = Some((load, index));
            }
        }
        best.map(|(_, index)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::{AgentCard, Candidate};

    struct Fixed(AgentCard, u32, bool);

    impl Candidate for Fixed {
        fn card(&self) -> &AgentCard {
            &self.0
        }
        fn in_flight(&self) -> u32 {
            self.1
        }
        fn available(&self) -> bool {
            self.2
        }
    }

    struct List(Vec<Fixed>);

    impl Candidates for List {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn get(&self, index: usize) -> Option<&dyn Candidate> {
            self.0.get(index).map(|c| c as _)
        }
    }

    fn list(loads: &[(u32, bool)]) -> List {
        List(loads.iter().map(|&(l, a)| Fixed(AgentCard::new("a", ["s"]), l, a)).collect())
    }

    fn choose(router: &LeastLoaded, list: &List) -> Option<usize> {
        router.route(&Task::new("s", "x"), list, Moment::ZERO)
    }

    #[test]
    fn the_least_loaded_available_one_is_chosen() {
        let router = LeastLoaded::new();
        let list = list(&[(3, true), (0, false), (2, true), (4, true)]);
        for _ in 0..8 {
            assert_eq!(choose(&router, &list), Some(2));
        }
    }

    #[test]
    fn equals_take_turns() {
        let router = LeastLoaded::new();
        let list = list(&[(0, true), (0, true), (0, true)]);
        let chosen: Vec<_> = (0..6).filter_map(|_| choose(&router, &list)).collect();
        assert_eq!(chosen, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn nobody_available_is_nobody() {
        let router = LeastLoaded::new();
        assert_eq!(choose(&router, &list(&[(0, false)])), None);
        assert_eq!(choose(&router, &list(&[(0, false), (0, false)])), None);
        assert_eq!(choose(&router, &list(&[])), None);
    }
}
