//! What healing does is told on the bus and in the log.

use std::sync::Arc;

use serde::Serialize;

use super::super::shared::Shared;
use crate::base::payload::Payload;
use crate::observe::Level;
use crate::recovery::{
    EntryState, FailsafeStatus, IsolateChange, IsolateState, LevelChange, PlaybookEntry, SafeState,
};

/// Has the machines tell this kernel, which they hold weakly.
pub(super) fn connect(shared: &Arc<Shared>) {
    let heal = &shared.heal;
    let weak = Arc::downgrade(shared);
    heal.degradation.on_change(Arc::new(move |change: &LevelChange| {
        if let Some(shared) = weak.upgrade() {
            tell(&shared, Level::Warn, "recovery.degrade.changed", change);
        }
    }));
    let weak = Arc::downgrade(shared);
    heal.isolation.on_change(Arc::new(move |change: &IsolateChange| {
        let (level, subject) = match change.to {
            IsolateState::Healthy => (Level::Info, "recovery.isolate.healthy"),
            IsolateState::Suspect => (Level::Info, "recovery.isolate.suspect"),
            IsolateState::Quarantined => (Level::Warn, "recovery.isolate.quarantined"),
            IsolateState::Probing => (Level::Info, "recovery.isolate.probing"),
        };
        if let Some(shared) = weak.upgrade() {
            tell(&shared, level, subject, change);
            #[cfg(feature = "agent")]
            shared.set_apart(&change.target, &change.why.to_string());
            shared.arm();
        }
    }));
    let weak = Arc::downgrade(shared);
    heal.playbooks.on_entry(Arc::new(move |entry: &PlaybookEntry| {
        let level = match entry.state {
            EntryState::Failed { .. } => Level::Error,
            EntryState::Refused { .. } | EntryState::Pending { .. } => Level::Warn,
            _ => Level::Info,
        };
        if let Some(shared) = weak.upgrade() {
            tell(&shared, level, &format!("recovery.playbook.{}", entry.state.name()), entry);
            shared.arm();
        }
    }));
    let weak = Arc::downgrade(shared);
    heal.failsafe.on_change(Arc::new(move |status: &FailsafeStatus| {
        let subject = match status.state {
            SafeState::Safe => "recovery.failsafe.safe",
            SafeState::Armed | SafeState::Taking => "recovery.failsafe.triggered",
        };
        if let Some(shared) = weak.upgrade() {
            tell(&shared, Level::Error, subject, status);
        }
    }));
}

fn tell(shared: &Shared, level: Level, subject: &str, what: &impl Serialize) {
    let event = Payload::json(what).unwrap_or_default();
    let fields = event.value().unwrap_or_default();
    let fields = fields.as_object().cloned().unwrap_or_default();
    shared.kept.log().record(level, "sutazai.recovery", subject.to_owned(), fields);
    // The subjects are well-formed.
    let _ = shared.bus.publish(subject, event);
}
