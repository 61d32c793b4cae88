//! The record: what was done and why, what was refused, what a dry run would have done.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Serialize;

use crate::base::payload::Payload;
use crate::base::time::{Moment, Timestamp};

/// One entry of the record.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct PlaybookEntry {
    /// Its number, counted up from 1.
    pub id: u64,
    /// The playbook.
    pub playbook: Arc<str>,
    /// The action.
    pub action: Arc<str>,
    /// Its parameters, filled in.
    pub params: Payload,
    /// Whether it is a dry run.
    pub dry_run: bool,
    /// What set it off: `{"event": {"subject", "payload"}, "signals": {…}}`, either of them. A payload of
    /// more than 4,096 bytes is left out, and its length told.
    pub trigger: Payload,
    /// When.
    pub at: Timestamp,
    /// The entry whose action failed, of one that escalates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalation_of: Option<u64>,
    /// Who approved or denied it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Where it stands.
    #[serde(flatten)]
    pub state: EntryState,
}

/// Where an entry stands.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum EntryState {
    /// Somebody has to approve it.
    Pending {
        /// Until then.
        expires: Timestamp,
    },
    /// Its action runs.
    Running,
    /// Its action was done; of a dry run, told what it would have done.
    Done {
        /// What the action answered.
        answer: Payload,
    },
    /// Its action failed.
    Failed {
        /// The error.
        error: Payload,
    },
    /// It was not done.
    Refused {
        /// Why.
        reason: RefusedWhy,
        /// How often in a row.
        times: u64,
    },
    /// Somebody said no.
    Denied,
    /// Nobody said yes in time.
    Expired,
}

/// Why an action was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusedWhy {
    /// The playbook's last action ended less than its cool-down ago.
    CoolingDown,
    /// The playbook's last action is under way.
    UnderWay,
    /// One waits for approval already.
    WaitsForApproval,
    /// The playbook has taken as many actions as it may for now.
    PlaybookLimit,
    /// All playbooks together have.
    OverallLimit,
    /// As many actions are under way as may be at once.
    Busy,
}

impl RefusedWhy {
    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CoolingDown => "cooling_down",
            Self::UnderWay => "under_way",
            Self::WaitsForApproval => "waits_for_approval",
            Self::PlaybookLimit => "playbook_limit",
            Self::OverallLimit => "overall_limit",
            Self::Busy => "busy",
        }
    }
}

impl EntryState {
    /// As in JSON: `pending`, `running`, …
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Running => "running",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Refused { .. } => "refused",
            Self::Denied => "denied",
            Self::Expired => "expired",
        }
    }

    /// Whether nothing more will come of it.
    pub const fn is_over(&self) -> bool {
        !matches!(self, Self::Pending { .. } | Self::Running)
    }
}

/// An entry, with what only the engine knows.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) entry: PlaybookEntry,
    /// The event that set it off, whole.
    pub(super) event: Option<(Arc<str>, Payload)>,
    /// When it expires, of one that is pending.
    pub(super) expires: Moment,
}

/// The newest entries, and all that are not over.
#[derive(Debug, Default)]
pub(super) struct Record {
    entries: VecDeque<Kept>,
    last_id: u64,
}

impl Record {
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn push(&mut self, kept: Kept, most: u32) {
        self.entries.push_back(kept);
        if self.entries.len() > most as usize
            && let Some(at) = self.entries.iter().position(|kept| kept.entry.state.is_over())
        {
            self.entries.remove(at);
        }
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Kept> {
        self.entries.iter_mut().find(|kept| kept.entry.id == id)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Kept> {
        self.entries.iter_mut()
    }

    /// When the first of those that wait for approval expires.
    pub(super) fn next_expiry(&self) -> Option<Moment> {
        let pending = |kept: &&Kept| matches!(kept.entry.state, EntryState::Pending { .. });
        self.entries.iter().filter(pending).map(|kept| kept.expires).min()
    }

    /// The newest entry of a playbook.
    pub(super) fn last_of(&mut self, playbook: &str) -> Option<&mut Kept> {
        self.entries.iter_mut().rev().find(|kept| &*kept.entry.playbook == playbook)
    }

    /// The newest `limit` entries, oldest first.
    pub(super) fn newest(&self, limit: usize) -> Vec<PlaybookEntry> {
        let skip = self.entries.len().saturating_sub(limit);
        self.entries.iter().skip(skip).map(|kept| kept.entry.clone()).collect()
    }
}
