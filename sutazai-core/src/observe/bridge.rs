//! The bridge from the crate `tracing`: its events become log records, its spans span records.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use super::log::{Fields, Level, Log};
use super::span::{SpanRecord, SpanRecorder, SpanStatus};
use crate::base::id::{SpanId, TraceId};
use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

/// A layer for the host's own subscriber. Events that pass the log's filter become its records;
/// every span becomes a span of the recorder when it closes. A span's fields `agent` and `skill`
/// name what they say; one with a field `error` counts as failed, with the code `host`.
///
/// The layer never disables a callsite, since the host's other layers may want it.
pub fn tracing_layer(recorder: &SpanRecorder, log: &Log) -> TracingLayer {
    TracingLayer { recorder: recorder.clone(), log: log.clone() }
}

/// Makes [`tracing_layer`] the process's subscriber, for hosts that have none of their own.
///
/// # Errors
/// [`Code::ALREADY_EXISTS`] when there is one; nothing is changed then.
pub fn install_global(recorder: &SpanRecorder, log: &Log) -> Result<()> {
    let subscriber = tracing_subscriber::registry().with(tracing_layer(recorder, log));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| {
        Error::new(Code::ALREADY_EXISTS, "the process has a tracing subscriber already")
            .operation("observe.install_global")
            .advice("add observe::tracing_layer(…) to that subscriber instead")
    })
}

/// See [`tracing_layer`].
#[derive(Clone, Debug)]
pub struct TracingLayer {
    recorder: SpanRecorder,
    log: Log,
}

/// What a `tracing` span carries until it closes.
struct Open {
    trace: TraceId,
    span: SpanId,
    parent: Option<SpanId>,
    start: Timestamp,
    words: Words,
}

impl<S> Layer<S> for TracingLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let parent = span.parent().and_then(|parent| {
            parent.extensions().get::<Open>().map(|open| (open.trace, open.span))
        });
        let ids = self.recorder.ids();
        let number = ids.next();
        let mut words = Words::default();
        attributes.record(&mut words);
        let open = Open {
            trace: parent.map_or_else(|| ids.trace(number), |(trace, _)| trace),
            span: ids.span(number),
            parent: parent.map(|(_, span)| span),
            start: self.recorder.now(),
            words,
        };
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            values.record(&mut open.words);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let level = Level::from(metadata.level());
        if !self.log.enabled(level, metadata.target()) {
            return;
        }
        let mut said = Said::default();
        event.record(&mut said);
        let within = context
            .event_span(event)
            .and_then(|span| span.extensions().get::<Open>().map(|open| (open.trace, open.span)));
        let target = Cow::Borrowed(metadata.target());
        self.log.emit(level, target, said.message.into(), said.fields, within);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(open) = span.extensions_mut().remove::<Open>() else { return };
        let took = self.recorder.now().as_nanos().saturating_sub(open.start.as_nanos());
        let status = if open.words.failed {
            let code = Code::host(0);
            SpanStatus::Failed { code, class: code.class() }
        } else {
            SpanStatus::Ok
        };
        self.recorder.record(SpanRecord {
            trace: open.trace,
            span: open.span,
            parent: open.parent,
            name: Cow::Borrowed(span.name()),
            agent: open.words.agent,
            skill: open.words.skill,
            start: open.start,
            // Zero when the wall clock was set back meanwhile.
            duration: Duration::from_nanos(u64::try_from(took).unwrap_or(0)),
            status,
        });
    }
}

/// The fields of a span that the recorder knows.
#[derive(Default)]
struct Words {
    agent: Option<Arc<str>>,
    skill: Option<Arc<str>>,
    failed: bool,
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "agent" => self.agent = Some(value.into()),
            "skill" => self.skill = Some(value.into()),
            "error" => self.failed = true,
            _ => {}
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "error" {
            self.failed = value;
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if matches!(field.name(), "agent" | "skill" | "error") {
            self.record_str(field, &format!("{value:?}"));
        }
    }
}

/// The message and fields of an event.
#[derive(Default)]
struct Said {
    message: String,
    fields: Fields,
}

impl Said {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.push((Cow::Borrowed(field.name()), value.into()));
    }
}

impl Visit for Said {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = value.to_owned();
        } else {
            self.add(field, value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::IdSource;
    use crate::observe::{Clock, LogQuery};

    fn both() -> (SpanRecorder, Log) {
        let ticks = Arc::new(std::sync::atomic::AtomicI64::new(0));
        let clock: Clock = Arc::new(move || {
            Timestamp::from_nanos(ticks.fetch_add(10, std::sync::atomic::Ordering::Relaxed))
        });
        let ids = Arc::new(IdSource::new(1));
        (SpanRecorder::new(16, ids, Arc::clone(&clock)), Log::new(16, clock))
    }

    #[test]
    fn spans_and_events_arrive_with_their_relations() {
        let (recorder, log) = both();
        let subscriber = tracing_subscriber::registry().with(tracing_layer(&recorder, &log));
        tracing::subscriber::with_default(subscriber, || {
            let outer = tracing::info_span!("call", agent = "scribe", skill = %"sum", error = tracing::field::Empty);
            let _in_outer = outer.enter();
            tracing::info_span!("step")
                .in_scope(|| tracing::warn!(left = 3, why = ?Some(1), "careful {}", 1));
            outer.record("error", "it broke");
            tracing::debug!("not wanted");
        });
        let spans = recorder.recent(9);
        let [step, call] = spans.as_slice() else { panic!("{spans:?}") };
        assert_eq!((step.name.as_ref(), call.name.as_ref()), ("step", "call"));
        assert_eq!((step.parent, call.parent), (Some(call.span), None));
        assert_eq!(step.trace, call.trace);
        assert_eq!((call.agent.as_deref(), call.skill.as_deref()), (Some("scribe"), Some("sum")));
        assert_eq!((step.status.is_ok(), call.status.is_ok()), (true, false));
        assert!(call.duration > step.duration && step.duration > Duration::ZERO);

        let records = log.recent(&LogQuery::default());
        let [record] = records.as_slice() else { panic!("{records:?}") };
        assert_eq!((record.level, record.message.as_ref()), (Level::Warn, "careful 1"));
        assert_eq!(record.target, module_path!());
        assert_eq!((record.trace, record.span), (Some(step.trace), Some(step.span)));
        let fields = serde_json::to_value(&**record).unwrap();
        assert_eq!(fields["fields"], serde_json::json!({"left": 3, "why": "Some(1)"}));
    }

    /// Runs in a process of its own, since what it does stays with the process.
    #[test]
    #[ignore = "the other process of the next test"]
    fn child_installs() {
        assert!(!tracing::dispatcher::has_been_set(), "somebody installed one unasked");
        let (recorder, log) = both();
        install_global(&recorder, &log).unwrap();
        tracing::error!("heard");
        assert_eq!(log.recent(&LogQuery::default())[0].message, "heard");
        let error = install_global(&recorder, &log).unwrap_err();
        assert_eq!(error.code(), Code::ALREADY_EXISTS);
        assert!(error.remedy().is_some());
    }

    #[test]
    fn the_global_subscriber_is_installed_on_request_and_once() {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "observe::bridge::tests::child_installs", "--ignored"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && said.contains("1 passed"), "{said}");
    }
}
