//! Where playbooks stand, for people.

use super::Engine;
use crate::base::time::Moment;
use crate::recovery::playbook::policy::Playbook;

/// Where a playbook stands.
#[derive(Clone, Copy, Debug)]
pub(in crate::recovery::playbook) struct Standing {
    pub(in crate::recovery::playbook) used: usize,
    pub(in crate::recovery::playbook) under_way: Option<u64>,
    pub(in crate::recovery::playbook) pending: Option<u64>,
    pub(in crate::recovery::playbook) free_at: Moment,
}

impl Engine {
    /// For each playbook: how many actions of its window are used up, whether one is under way or waits,
    /// and when it may act by the time.
    pub(in crate::recovery::playbook) fn standing(
        &self,
    ) -> impl Iterator<Item = (&Playbook, Standing)> {
        self.states.iter().map(|state| {
            let standing = Standing {
                used: state.starts.len(),
                under_way: state.under_way,
                pending: state.pending,
                free_at: self.free_at(state),
            };
            (&state.book, standing)
        })
    }
}
