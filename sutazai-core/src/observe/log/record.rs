//! [`LogRecord`], and how to ask for some.

use std::borrow::Cow;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::Level;
use super::filter::begins;
use crate::base::id::{SpanId, TraceId};
use crate::base::time::Timestamp;

/// What there is to know besides the message, in the order given.
pub type Fields = Vec<(Cow<'static, str>, Value)>;

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord {
    /// When.
    pub time: Timestamp,
    /// How much it matters.
    pub level: Level,
    /// Which part of the program speaks.
    pub target: Cow<'static, str>,
    /// What happened, for people.
    pub message: Cow<'static, str>,
    /// The rest, for programs.
    pub fields: Fields,
    /// The trace it belongs to.
    pub trace: Option<TraceId>,
    /// The span it belongs to.
    pub span: Option<SpanId>,
}

impl Serialize for LogRecord {
    /// `{time, level, target, message, fields?, trace?, span?}`: a line of `kernel.jsonl`. Of
    /// fields with the same name the last counts.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("time", &self.time)?;
        map.serialize_entry("level", &self.level)?;
        map.serialize_entry("target", &self.target)?;
        map.serialize_entry("message", &self.message)?;
        if !self.fields.is_empty() {
            let fields: serde_json::Map<String, Value> =
                self.fields.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
            map.serialize_entry("fields", &fields)?;
        }
        if let Some(trace) = self.trace {
            map.serialize_entry("trace", &trace.to_string())?;
        }
        if let Some(span) = self.span {
            map.serialize_entry("span", &span.to_string())?;
        }
        map.end()
    }
}

/// Which of the recent records are asked for.
#[derive(Clone, Debug)]
pub struct LogQuery {
    /// This level and above.
    pub level: Level,
    /// Targets that begin with this, as in [`Log::set_filter`](super::Log::set_filter); all when
    /// empty.
    pub target: String,
    /// Of this trace.
    pub trace: Option<TraceId>,
    /// At this time or later.
    pub since: Option<Timestamp>,
    /// At most so many, the newest.
    pub limit: usize,
}

impl Default for LogQuery {
    /// The newest hundred of all.
    fn default() -> Self {
        Self { level: Level::Trace, target: String::new(), trace: None, since: None, limit: 100 }
    }
}

impl LogQuery {
    pub(super) fn matches(&self, record: &LogRecord) -> bool {
        record.level >= self.level
            && begins(&record.target, &self.target)
            && (self.trace.is_none() || self.trace == record.trace)
            && self.since.is_none_or(|since| record.time >= since)
    }
}
