//! Tests of the log, its filter and its sinks.

use std::sync::atomic::AtomicUsize;

use parking_lot::Mutex;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::Code;
use crate::base::time::Timestamp;

const NONE: [(&str, i32); 0] = [];

fn log() -> Log {
    Log::new(8, Arc::new(|| Timestamp::from_nanos(1_700_000_000_123_456_789)))
}

fn messages(log: &Log, query: &LogQuery) -> Vec<String> {
    log.recent(query).iter().map(|record| record.message.to_string()).collect()
}

#[test]
fn records_are_kept_and_found() {
    let log = log();
    let context = (TraceId(5), SpanId(6));
    log.record(Level::Info, "a", "one", [("n", 1)]);
    log.record(Level::Warn, "a.b", "two", [("text", "x")]);
    log.record_in(context, Level::Error, "ab", "three", NONE);
    log.record(Level::Debug, "a", "not wanted", NONE);
    let query = LogQuery::default();
    assert_eq!(messages(&log, &query), ["one", "two", "three"]);
    assert_eq!(messages(&log, &LogQuery { level: Level::Warn, ..query.clone() }), ["two", "three"]);
    assert_eq!(messages(&log, &LogQuery { target: "a".into(), ..query.clone() }), ["one", "two"]);
    assert_eq!(messages(&log, &LogQuery { trace: Some(TraceId(5)), ..query.clone() }), ["three"]);
    assert_eq!(messages(&log, &LogQuery { limit: 1, ..query.clone() }), ["three"]);
    let later = Some(Timestamp::from_nanos(i64::MAX));
    assert!(messages(&log, &LogQuery { since: later, ..query }).is_empty());
    for n in 0..10 {
        log.record(Level::Info, "a", format!("{n}"), NONE);
    }
    let status = log.status();
    assert_eq!((status.records["info"], status.records["debug"], status.forgotten), (11, 0, 5));
}

#[test]
fn a_record_has_a_json_form() {
    let log = log();
    log.record_in(
        (TraceId(5), SpanId(6)),
        Level::Error,
        "t",
        "m",
        [("a", json!(1)), ("a", json!([2]))],
    );
    let record = serde_json::to_value(&*log.recent(&LogQuery::default())[0]).unwrap();
    assert_eq!(
        record,
        json!({"time": "2023-11-14T22:13:20.123456789Z", "level": "error", "target": "t",
            "message": "m", "fields": {"a": [2]}, "trace": format!("{:032x}", 5), "span": format!("{:016x}", 6)})
    );
}

#[test]
fn the_longest_prefix_decides() {
    let log = log();
    log.set_filter(" warn, a=debug, a.b=off ,a.b.c=trace").unwrap();
    let cases = [
        (Level::Info, "z", false),
        (Level::Warn, "z", true),
        (Level::Debug, "a", true),
        (Level::Trace, "a", false),
        (Level::Debug, "a::x", true),
        (Level::Debug, "ax", false),
        (Level::Error, "a.b", false),
        (Level::Error, "a.b.x", false),
        (Level::Trace, "a.b.c", true),
        (Level::Trace, "a.b.c/d", true),
    ];
    for (level, target, enabled) in cases {
        assert_eq!(log.enabled(level, target), enabled, "{level} {target}");
    }
    assert_eq!(log.filter(), "warn,a.b.c=trace,a.b=off,a=debug");
    log.set_filter("off").unwrap();
    assert!(!log.enabled(Level::Error, "z"));
}

#[test]
fn a_filter_that_is_none_is_refused_and_changes_nothing() {
    let log = log();
    for bad in ["loud", "a=", "=info", "info,a=b=c", "info debug"] {
        let error = log.set_filter(bad).unwrap_err();
        assert_eq!(error.code(), Code::INVALID, "{bad}");
        assert!(error.context().any(|(key, _)| key == "piece"), "{error}");
    }
    assert_eq!(log.filter(), "info");
}

proptest! {
    #[test]
    fn a_filters_text_is_the_filter(
        default in 0..6_usize, rules in prop::collection::btree_map("[a-c](\\.[a-c]){0,2}", 0..6_usize, 0..5),
        probe in "[a-c](\\.[a-c]){0,3}", level in 0..5_usize,
    ) {
        let names = ["trace", "debug", "info", "warn", "error", "off"];
        let mut text = names[default].to_owned();
        rules.iter().for_each(|(t, rank)| text.push_str(&format!(",{t}={}", names[*rank])));
        let (one, two) = (log(), log());
        one.set_filter(&text).unwrap();
        two.set_filter(&one.filter()).unwrap();
        prop_assert_eq!(one.filter(), two.filter());
        // The plain reading: the longest rule that the target is or lies below.
        let rank = rules
            .iter()
            .filter(|(t, _)| probe == **t || probe.starts_with(&format!("{t}.")))
            .max_by_key(|(t, _)| t.len())
            .map_or(default, |(_, rank)| *rank);
        prop_assert_eq!(one.enabled(Level::ALL[level], &probe), level >= rank);
    }
}

/// Does to each record what it was made with.
struct Act<F>(F);

impl<F: Fn(&Arc<LogRecord>) + Send + Sync> LogSink for Act<F> {
    fn name(&self) -> &str {
        "act"
    }
    fn write(&self, record: &Arc<LogRecord>) {
        (self.0)(record);
    }
}

#[test]
fn a_panicking_sink_is_detached_and_its_neighbours_stay() {
    let log = log();
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    let called = Arc::new(AtomicUsize::new(0));
    let calls = Arc::clone(&called);
    log.attach(Arc::new(Act(move |_: &Arc<LogRecord>| {
        calls.fetch_add(1, Ordering::Relaxed);
        std::panic::resume_unwind(Box::new("no"));
    })))
    .unwrap();
    let good = log
        .attach(Arc::new(Act(move |_: &Arc<LogRecord>| {
            count.fetch_add(1, Ordering::Relaxed);
        })))
        .unwrap();
    for _ in 0..5 {
        log.record(Level::Info, "t", "m", NONE);
    }
    assert_eq!((called.load(Ordering::Relaxed), heard.load(Ordering::Relaxed)), (3, 5));
    let status = log.status();
    assert_eq!((status.sink_panics, status.sinks), (3, vec!["act".to_owned()]));
    assert!(log.detach(good) && !log.detach(good));
    log.record(Level::Info, "t", "m", NONE);
    assert_eq!(heard.load(Ordering::Relaxed), 5);
}

#[test]
fn a_sink_may_use_the_log_but_does_not_feed_itself() {
    let log = log();
    let inner = log.clone();
    let id = Arc::new(Mutex::new(None));
    let own = Arc::clone(&id);
    let attached = log
        .attach(Arc::new(Act(move |_: &Arc<LogRecord>| {
            inner.record(Level::Error, "t", "nested", NONE);
            assert_eq!(inner.recent(&LogQuery::default()).len(), 1);
            if let Some(id) = *own.lock() {
                inner.detach(id);
            }
        })))
        .unwrap();
    *id.lock() = Some(attached);
    log.record(Level::Info, "t", "outer", NONE);
    let status = log.status();
    assert_eq!((status.nested, status.sink_panics, status.sinks.len()), (1, 0, 0));
    assert_eq!(messages(&log, &LogQuery::default()), ["outer"]);
}

#[test]
fn a_sink_may_pass_on_to_another_log_but_not_in_a_circle() {
    let (one, two) = (log(), log());
    for (from, to) in [(&one, &two), (&two, &one)] {
        let to = to.clone();
        let pass =
            move |r: &Arc<LogRecord>| to.record(r.level, r.target.clone(), r.message.clone(), NONE);
        from.attach(Arc::new(Act(pass))).unwrap();
    }
    one.record(Level::Info, "t", "m", NONE);
    let seen = |log: &Log| (messages(log, &LogQuery::default()), log.status().nested);
    assert_eq!(seen(&one), (vec!["m".to_owned()], 1));
    assert_eq!(seen(&two), (vec!["m".to_owned()], 0));
}

#[test]
fn sinks_are_bounded() {
    let log = log();
    for _ in 0..SINKS_MAX {
        log.attach(Arc::new(Act(|_: &Arc<LogRecord>| {}))).unwrap();
    }
    let error = log.attach(Arc::new(Act(|_: &Arc<LogRecord>| {}))).unwrap_err();
    assert_eq!(error.code(), Code::OVERLOADED);
    assert_eq!(log.status().sinks.len(), SINKS_MAX);
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_terminal_shows_plain_lines_that_cannot_be_faked() {
    let log = log();
    let out = Shared::default();
    log.attach(Arc::new(Terminal::new(out.clone(), false))).unwrap();
    log.record(
        Level::Warn,
        "backup",
        "red\x1b[31m\nline",
        [("n", json!(1)), ("path", json!("a b")), ("word", json!("w")), ("bad", json!("\x07"))],
    );
    let text = String::from_utf8(out.0.lock().clone()).unwrap();
    let expected =
        "22:13:20.123 WARN  backup: red\\u{1b}[31m\\nline n=1 path=\"a b\" word=w bad=\\u{7}\n";
    assert_eq!(text, expected);

    let coloured = Shared::default();
    log.attach(Arc::new(Terminal::new(coloured.clone(), true))).unwrap();
    log.record(Level::Error, "t", "m", NONE);
    assert!(
        String::from_utf8(coloured.0.lock().clone()).unwrap().contains("\x1b[31;1mERROR\x1b[0m")
    );
}
