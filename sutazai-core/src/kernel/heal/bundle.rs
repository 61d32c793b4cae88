//! The diagnosis bundle: what somebody needs to find out why the safe state was taken.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::shared::Shared;
use crate::Result;
use crate::base::id::CallId;
use crate::base::time::Timestamp;
use crate::observe::{LogQuery, LogRecord, SpanRecord};
use crate::port::SafeContext;
use crate::recovery::write_bundle;

/// Log records and spans up to the trigger, at most, each.
const MOST: usize = 1_000;
/// And since then.
const MOST_SINCE: usize = 200;

/// What there was to see when the safe state was taken, before what that set off buried it.
#[derive(Default)]
pub(super) struct Seen {
    calls: Vec<CallId>,
    logs: Vec<Arc<LogRecord>>,
    spans: Vec<SpanRecord>,
    at: Timestamp,
}

impl Seen {
    pub(super) fn now(shared: &Shared) -> Self {
        Self {
            #[cfg(feature = "agent")]
            calls: shared.in_flight.ids(),
            #[cfg(not(feature = "agent"))]
            calls: Vec::new(),
            logs: shared.kept.log().recent(&LogQuery { limit: MOST, ..LogQuery::default() }),
            spans: shared.kept.spans().recent(MOST),
            at: shared.runtime.timestamp(),
        }
    }
}

/// Writes the bundle into the data directory, below `diagnosis/`. A kernel in memory writes none.
pub(super) fn dump(shared: &Arc<Shared>, _: &SafeContext<'_>) -> Result<()> {
    let Some(dir) = &shared.data_dir else { return Ok(()) };
    let at = shared.runtime.timestamp();
    let keep = shared.heal.failsafe.policy().bundles;
    let seen = std::mem::take(&mut *shared.heal.seen.lock());
    let path = write_bundle(&dir.path().join("diagnosis"), &bundle(shared, &seen), at, keep)?;
    *shared.heal.bundle.lock() = Some(path);
    Ok(())
}

fn bundle(shared: &Arc<Shared>, seen: &Seen) -> Value {
    let heal = &shared.heal;
    let now = shared.runtime.now();
    let since = LogQuery { limit: MOST_SINCE, since: Some(seen.at), ..LogQuery::default() };
    let since = shared.kept.log().recent(&since);
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "os": {"name": std::env::consts::OS, "arch": std::env::consts::ARCH},
        "process": std::process::id(),
        "at": shared.runtime.timestamp(),
        "failsafe": heal.failsafe.status(),
        "kernel": shared.status(),
        "health": health(shared),
        "agents": agents(shared),
        "in_flight": seen.calls,
        "degradation": heal.degradation.status(now),
        "isolation": heal.isolation.list(now),
        "playbooks": heal.playbooks.record(MOST),
        "metrics": shared.kept.metrics().snapshot(),
        "spans": seen.spans,
        "logs": records(&seen.logs),
        "logs_since": records(&since),
    })
}

fn records(records: &[Arc<LogRecord>]) -> Value {
    records.iter().map(|record| json!(&**record)).collect()
}

fn health(shared: &Arc<Shared>) -> Value {
    let health = shared.lifecycle.health();
    health.into_iter().map(|(name, health)| (name, json!(health))).collect()
}

#[cfg(feature = "agent")]
fn agents(shared: &Arc<Shared>) -> Value {
    let now = shared.runtime.now();
    shared.agents.all().iter().map(|entry| json!(entry.view(now))).collect()
}

#[cfg(not(feature = "agent"))]
fn agents(_: &Arc<Shared>) -> Value {
    json!([])
}
