//! What playbooks are told: [`PlaybookPolicy`].

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::condition::{Condition, compile};
use crate::base::payload::Payload;
use crate::{Code, Error, Result};

/// The playbooks of a system, and what bounds all of them together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct PlaybookPolicy {
    /// At most 256, of different names.
    pub playbooks: Vec<Playbook>,
    /// Actions of all playbooks together in `window_ms`, up to 10,000; dry runs do not count. Default 20.
    pub max_actions: u32,
    /// Milliseconds, 1 or more. Default 3,600,000: an hour.
    pub window_ms: u64,
    /// Actions under way at once, 1 or more. Default 4.
    pub concurrency: u32,
    /// Whether nothing is really done, whatever a playbook says. Default false.
    pub dry_run: bool,
    /// Entries of the record that are kept, 1 to 10,000; what is not over yet is kept in any case.
    /// Default 256.
    pub record: u32,
    /// A signal that has not been fed in for this many milliseconds says nothing any more; 0 for never.
    /// Default 60,000.
    pub silent_ms: u64,
}

/// On this condition, do that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Playbook {
    /// Its name, 1 to 128 bytes.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Whether it is in force. Default true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// When it applies.
    pub when: Condition,
    /// The condition must have held for so many milliseconds. Default 0: at once.
    ///
    /// At 0 an event is a moment: it holds when it comes. Above it is a state: it holds from an event that
    /// passes the comparisons to one that matches the subject and does not.
    #[serde(default)]
    pub for_ms: u64,
    /// The name of the action.
    pub action: String,
    /// Its parameters. A text `$/…` in them stands for what the event that set it off has at this JSON
    /// pointer, `$subject` for its subject.
    #[serde(default)]
    pub params: Payload,
    /// Milliseconds that it rests after an action has ended. Default 60,000.
    #[serde(default = "a_minute")]
    pub cooldown_ms: u64,
    /// Actions in `window_ms`, up to 1,000. Default 3.
    #[serde(default = "three")]
    pub max_actions: u32,
    /// Milliseconds, 1 or more. Default 3,600,000: an hour.
    #[serde(default = "an_hour")]
    pub window_ms: u64,
    /// Whether it only says what it would do. Default false.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether somebody has to approve it, within so many milliseconds. Default: nobody has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_ms: Option<u64>,
    /// What is done when the action failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalate: Option<Escalation>,
}

/// What is done when an action failed. It does not escalate further.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Escalation {
    /// The name of the action.
    pub action: String,
    /// Its parameters; see [`Playbook::params`].
    #[serde(default)]
    pub params: Payload,
}

fn yes() -> bool {
    true
}

fn a_minute() -> u64 {
    60_000
}

fn an_hour() -> u64 {
    3_600_000
}

fn three() -> u32 {
    3
}

impl Playbook {
    /// One with everything else as by default.
    pub fn new(name: impl Into<String>, when: Condition, action: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: String::new(),
            enabled: true,
            when,
            for_ms: 0,
            action: action.into(),
            params: Payload::NULL,
            cooldown_ms: a_minute(),
            max_actions: three(),
            window_ms: an_hour(),
            dry_run: false,
            approval_ms: None,
            escalate: None,
        }
    }
}

impl Default for PlaybookPolicy {
    fn default() -> Self {
        Self {
            playbooks: Vec::new(),
            max_actions: 20,
            window_ms: an_hour(),
            concurrency: 4,
            dry_run: false,
            record: 256,
            silent_ms: a_minute(),
        }
    }
}

const MOST_PLAYBOOKS: usize = 256;
const LONGEST_NAME: usize = 128;

impl PlaybookPolicy {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// [`Code::INVALID`] or [`Code::SUBJECT_INVALID`], naming the playbook and the field.
    pub fn check(&self) -> Result<()> {
        let bounds = [
            ("max_actions", u64::from(self.max_actions), 1, 10_000),
            ("window_ms", self.window_ms, 1, u64::MAX),
            ("concurrency", u64::from(self.concurrency), 1, 1_024),
            ("record", u64::from(self.record), 1, 10_000),
            ("playbooks", self.playbooks.len() as u64, 0, MOST_PLAYBOOKS as u64),
        ];
        for (field, value, least, most) in bounds {
            within(field, value, least, most)?;
        }
        let mut names = BTreeSet::new();
        for playbook in &self.playbooks {
            let name = playbook.name.as_str();
            if name.is_empty() || name.len() > LONGEST_NAME || !names.insert(name) {
                return Err(invalid("name", "must be 1 to 128 bytes, and another for each")
                    .with("playbook", name));
            }
            playbook.check().map_err(|error| error.with("playbook", name))?;
        }
        Ok(())
    }
}

impl Playbook {
    fn check(&self) -> Result<()> {
        compile(&self.when)?;
        if self.action.is_empty() || self.escalate.as_ref().is_some_and(|e| e.action.is_empty()) {
            return Err(invalid("action", "must be the name of an action"));
        }
        within("max_actions", u64::from(self.max_actions), 1, 1_000)?;
        within("window_ms", self.window_ms, 1, u64::MAX)?;
        within("approval_ms", self.approval_ms.unwrap_or(1), 1, u64::MAX)
    }
}

fn within(field: &'static str, value: u64, least: u64, most: u64) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(invalid(field, "is out of its range")
        .with("value", value)
        .with("least", least)
        .with("most", most))
}

fn invalid(field: &'static str, rule: &'static str) -> Error {
    Error::new(Code::INVALID, "the playbook policy is not valid")
        .operation("recovery.playbook")
        .with("field", field)
        .with("rule", rule)
}
