//! Spans: what was done, for whom, how long it took, and how it ended.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::Clock;
use super::recent::Recent;
use crate::base::id::{IdSource, SpanId, TraceId};
use crate::base::time::Timestamp;
use crate::{Class, Code, Error};

/// A piece of work that has ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpanRecord {
    /// The trace it belongs to.
    #[serde(serialize_with = "text")]
    pub trace: TraceId,
    /// Itself.
    #[serde(serialize_with = "text")]
    pub span: SpanId,
    /// What it is part of.
    #[serde(serialize_with = "text_or_null")]
    pub parent: Option<SpanId>,
    /// What kind of work: `kernel.call`, or the name of a `tracing` span.
    pub name: Cow<'static, str>,
    /// The agent that did it.
    pub agent: Option<Arc<str>>,
    /// The skill that was asked for.
    pub skill: Option<Arc<str>>,
    /// When it began.
    pub start: Timestamp,
    /// How long it took; in JSON `duration_ns`, nanoseconds.
    #[serde(rename = "duration_ns", serialize_with = "nanos")]
    pub duration: Duration,
    /// How it ended.
    pub status: SpanStatus,
}

/// How a piece of work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanStatus {
    /// Well.
    Ok,
    /// With an error.
    Failed {
        /// Its code.
        code: Code,
        /// Its class.
        class: Class,
    },
}

impl SpanStatus {
    /// The status that an outcome has.
    pub fn of<T>(outcome: &Result<T, Error>) -> Self {
        match outcome {
            Ok(_) => Self::Ok,
            Err(error) => Self::Failed { code: error.code(), class: error.class() },
        }
    }

    /// Whether it ended well.
    pub fn is_ok(self) -> bool {
        self == Self::Ok
    }
}

impl Serialize for SpanStatus {
    /// `"ok"`, or the error's `{code, name, class}`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        match self {
            Self::Ok => serializer.serialize_str("ok"),
            Self::Failed { code, class } => {
                let mut map = serializer.serialize_map(Some(3))?;
                map.serialize_entry("code", &code.number())?;
                map.serialize_entry("name", code.name())?;
                map.serialize_entry("class", class)?;
                map.end()
            }
        }
    }
}

/// Keeps the most recent spans. Clones are handles on the same one.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use sutazai_core::base::{id::IdSource, time::Timestamp};
/// use sutazai_core::observe::{SpanRecorder, SpanRecord, SpanStatus, system_clock};
/// let recorder = SpanRecorder::new(1024, Arc::new(IdSource::new(7)), system_clock());
/// let number = recorder.ids().next();
/// let trace = recorder.ids().trace(number);
/// recorder.record(SpanRecord {
///     trace, span: recorder.ids().span(number), parent: None,
///     name: "kernel.call".into(), agent: Some("scribe".into()), skill: Some("summarise".into()),
///     start: Timestamp::now(), duration: Duration::from_micros(3), status: SpanStatus::Ok,
/// });
/// assert_eq!(recorder.trace(trace).len(), 1);
/// ```
#[derive(Clone)]
pub struct SpanRecorder(Arc<Inner>);

struct Inner {
    recent: Recent<SpanRecord>,
    ids: Arc<IdSource>,
    clock: Clock,
}

impl SpanRecorder {
    /// A recorder that keeps the last `capacity` spans (at least one; about 150 bytes each, taken
    /// at once). `ids` and `clock` serve spans that do not bring their own: those of `tracing`.
    pub fn new(capacity: usize, ids: Arc<IdSource>, clock: Clock) -> Self {
        Self(Arc::new(Inner { recent: Recent::new(capacity), ids, clock }))
    }

    /// Keeps a span; forgets the oldest when full.
    #[inline]
    pub fn record(&self, span: SpanRecord) {
        self.0.recent.push(span);
    }

    /// The newest `limit` spans, oldest first.
    pub fn recent(&self, limit: usize) -> Vec<SpanRecord> {
        self.select(limit, |_| true)
    }

    /// What is still kept of a trace, in the order in which its spans ended.
    pub fn trace(&self, trace: TraceId) -> Vec<SpanRecord> {
        self.select(usize::MAX, |span| span.trace == trace)
    }

    /// How many spans were recorded since the start.
    pub fn recorded(&self) -> u64 {
        self.0.recent.pushed()
    }

    /// How many of them were forgotten.
    pub fn dropped(&self) -> u64 {
        self.0.recent.forgotten()
    }

    /// Where spans without ids get them.
    pub fn ids(&self) -> &IdSource {
        &self.0.ids
    }

    /// The time, as the recorder sees it.
    pub fn now(&self) -> Timestamp {
        (self.0.clock)()
    }

    fn select(&self, limit: usize, wanted: impl Fn(&SpanRecord) -> bool) -> Vec<SpanRecord> {
        self.0
            .recent
            .newest(limit, |_, span| wanted(span))
            .into_iter()
            .map(|(_, span)| span)
            .collect()
    }
}

impl std::fmt::Debug for SpanRecorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpanRecorder").field("recorded", &self.recorded()).finish_non_exhaustive()
    }
}

pub(super) fn text<S: Serializer>(id: &impl std::fmt::Display, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(id)
}

pub(super) fn text_or_null<S: Serializer>(
    id: &Option<impl std::fmt::Display>,
    s: S,
) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => s.collect_str(id),
        None => s.serialize_none(),
    }
}

fn nanos<S: Serializer>(duration: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_u64(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(trace: u128, span: u64) -> SpanRecord {
        SpanRecord {
            trace: TraceId(trace),
            span: SpanId(span),
            parent: (span > 1).then_some(SpanId(1)),
            name: "kernel.call".into(),
            agent: Some("a".into()),
            skill: None,
            start: Timestamp::EPOCH,
            duration: Duration::from_nanos(5),
            status: SpanStatus::of::<()>(&Err(Error::new(Code::TIMEOUT, "slow"))),
        }
    }

    #[test]
    fn keeps_the_newest_and_finds_a_trace() {
        let clock: Clock = Arc::new(|| Timestamp::from_nanos(9));
        let recorder = SpanRecorder::new(4, Arc::new(IdSource::new(1)), clock);
        for n in 1..=6 {
            recorder.record(span(u128::from(n % 2), n));
        }
        let ids = |spans: Vec<SpanRecord>| spans.iter().map(|s| s.span.0).collect::<Vec<_>>();
        assert_eq!(ids(recorder.recent(2)), [5, 6]);
        assert_eq!(ids(recorder.trace(TraceId(1))), [3, 5]);
        assert_eq!((recorder.recorded(), recorder.dropped()), (6, 2));
        assert_eq!(recorder.now(), Timestamp::from_nanos(9));
    }

    #[test]
    fn has_a_json_form() {
        let json = serde_json::to_value(span(1, 2)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "trace": "00000000000000000000000000000001", "span": "0000000000000002",
                "parent": "0000000000000001", "name": "kernel.call", "agent": "a", "skill": null,
                "start": "1970-01-01T00:00:00Z", "duration_ns": 5,
                "status": {"code": 16, "name": "base.timeout", "class": "transient"}
            })
        );
    }
}
