//! How far playbooks may go: cool-downs, actions in a window, actions at once.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Engine, State};
use crate::base::time::Moment;
use crate::recovery::playbook::record::RefusedWhy;

impl Engine {
    /// Why a playbook may not act now; `None` when it may.
    pub(super) fn refusal(&mut self, index: usize, now: Moment) -> Option<RefusedWhy> {
        let overall = Duration::from_millis(self.policy.window_ms);
        leave(&mut self.starts, overall, now);
        let overall_full = self.starts.len() >= self.policy.max_actions as usize;
        let dry_run = self.policy.dry_run;
        let busy = self.running >= self.policy.concurrency;
        let state = self.states.get_mut(index)?;
        leave(&mut state.starts, Duration::from_millis(state.book.window_ms), now);
        let dry = dry_run || state.book.dry_run;
        let waits = state.book.approval_ms.is_some() && !dry;
        if state.under_way.is_some() {
            Some(RefusedWhy::UnderWay)
        } else if state.pending.is_some() {
            Some(RefusedWhy::WaitsForApproval)
        } else if now < state.rests_until {
            Some(RefusedWhy::CoolingDown)
        } else if state.starts.len() >= state.book.max_actions as usize {
            Some(RefusedWhy::PlaybookLimit)
        } else if overall_full && !dry {
            Some(RefusedWhy::OverallLimit)
        } else {
            (busy && !waits).then_some(RefusedWhy::Busy)
        }
    }

    /// When the time allows a playbook to act, if nothing else is in the way.
    pub(super) fn free_at(&self, state: &State) -> Moment {
        let full = |starts: &VecDeque<Moment>, most: u32, window_ms: u64| {
            let over = starts.len().checked_sub(most as usize)?;
            starts.get(over).map(|start| *start + Duration::from_millis(window_ms))
        };
        let book = &state.book;
        let own = full(&state.starts, book.max_actions, book.window_ms);
        let dry = self.policy.dry_run || book.dry_run;
        let overall = full(&self.starts, self.policy.max_actions, self.policy.window_ms);
        let overall = overall.filter(|_| !dry);
        [Some(state.rests_until), own, overall].into_iter().flatten().max().unwrap_or_default()
    }
}

/// Lets go of what has left the window.
pub(super) fn leave(starts: &mut VecDeque<Moment>, window: Duration, now: Moment) {
    while starts.front().is_some_and(|start| now.since(*start) >= window) {
        starts.pop_front();
    }
}
