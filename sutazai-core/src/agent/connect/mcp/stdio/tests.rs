use super::*;
use crate::base::id::{CallId, SpanId, TraceId};
use crate::base::payload::Payload;
use crate::port::Trace;
use proptest::prelude::*;

const PROBE: Duration = Duration::from_secs(3);

fn server(era: Option<Era>) -> Stdio {
    Stdio::new("srv".into(), era, PROBE, Duration::from_secs(1))
}

fn said(heard: &[Heard]) -> Vec<Value> {
    let lines = heard.iter().filter_map(|heard| match heard {
        Heard::Say(line) => Some(serde_json::from_str(line).unwrap()),
        _ => None,
    });
    lines.collect()
}

fn hear(server: &Stdio, message: Value) -> Vec<Heard> {
    server.hear(message.to_string().as_bytes(), Moment::ZERO)
}

/// A server that is ready, with one tool.
fn ready(era: Era) -> Stdio {
    let server = server(Some(era));
    let begin: Value = serde_json::from_str(&server.begin(Moment::ZERO)[0]).unwrap();
    let result = match era {
        Era::Legacy => json!({"protocolVersion": "2025-11-25"}),
        Era::Modern => json!({"supportedVersions": ["2026-07-28"]}),
    };
    let asked =
        said(&hear(&server, json!({"jsonrpc": "2.0", "id": begin["id"], "result": result})));
    let id = &asked.last().unwrap()["id"];
    let tools = json!({"tools": [{"name": "do it"}]});
    let heard = hear(&server, json!({"jsonrpc": "2.0", "id": id, "result": tools}));
    assert!(matches!(heard.last(), Some(Heard::Ready)), "{heard:?}");
    server
}

#[test]
fn a_call_is_one_line_with_what_its_era_wants() {
    let input = Payload::json_text("{\n \"a\": \"b\\n\" }").unwrap();
    let place = Trace { trace: TraceId(1), span: SpanId(2) };
    let task = Task::new("do_it", input).called(&"m".into(), CallId(9), place, Moment::FAR);
    let text = task.input().to_text();
    for era in [Era::Legacy, Era::Modern] {
        let server = ready(era);
        let line = server.task(7, &task, &text, None).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.len() <= server.task_length(&task, &text), "{}", line.len());
        let call: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&call["id"], &call["method"]), (&json!(14), &json!("tools/call")));
        assert_eq!(call["params"]["name"], "do it");
        assert_eq!(call["params"]["arguments"], json!({"a": "b\n"}));
        let meta = &call["params"]["_meta"];
        assert_eq!(meta["progressToken"], 14);
        let parent = "00-00000000000000000000000000000001-0000000000000002-01";
        assert_eq!(meta["traceparent"], parent);
        let revision = meta.get("io.modelcontextprotocol/protocolVersion");
        assert_eq!(revision.is_some(), era == Era::Modern);
        let none = Task::new("dance", Payload::NULL);
        assert_eq!(server.task(8, &none, "{}", None).unwrap_err().code(), Code::NOT_FOUND);
    }
}

#[test]
fn inputs_are_objects() {
    let server = server(None);
    let given = |payload: Payload| server.input(&Task::new("s", payload));
    assert_eq!(&*given(Payload::NULL).unwrap(), "{}");
    assert_eq!(&*given(json!({"a": 1}).into()).unwrap(), r#"{"a":1}"#);
    for payload in [Payload::from("x"), json!([1]).into(), Payload::bytes(*b"x")] {
        assert_eq!(given(payload).unwrap_err().code(), Code::INVALID);
    }
}

#[test]
fn silence_is_the_older_era() {
    let server = server(None);
    assert_eq!(server.begin(Moment::ZERO).len(), 1);
    assert_eq!(server.due(), Some(Moment::ZERO + PROBE));
    let steps = said(&server.tick(Moment::ZERO + PROBE));
    assert_eq!(steps[0]["method"], "initialize");
    assert_eq!(server.due(), None);
    assert!(!server.again(), "it is being initialised already");
}

#[test]
fn an_end_at_the_probe_is_tried_once_more() {
    let server = server(None);
    server.begin(Moment::ZERO);
    assert!(server.again());
    assert!(server.begin(Moment::ZERO)[0].contains("initialize"));
    assert!(!server.again());
}

#[test]
fn what_a_server_asks_is_answered() {
    let server = ready(Era::Legacy);
    for (method, has) in [("ping", "result"), ("sampling/createMessage", "error")] {
        let heard = hear(&server, json!({"jsonrpc": "2.0", "id": "q", "method": method}));
        let answer = &said(&heard)[0];
        assert!(answer["id"] == "q" && answer.get(has).is_some(), "{answer}");
    }
}

#[test]
fn answers_and_progress_find_their_task() {
    let server = ready(Era::Modern);
    for id in [json!(14), json!("14")] {
        let heard = hear(&server, json!({"jsonrpc": "2.0", "id": id, "result": {"content": []}}));
        assert!(matches!(heard[..], [Heard::Answer { id: 7, answer: Ok(_) }]), "{heard:?}");
        let params =
            json!({"progressToken": id, "progress": 1, "total": 2, "message": "m", "x": 3});
        let heard = hear(
            &server,
            json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}),
        );
        let [Heard::Progress { id: 7, part, may_be_late: true }] = &heard[..] else {
            panic!("{heard:?}")
        };
        assert_eq!(*part, json!({"progress": 1, "total": 2, "message": "m"}));
    }
    let heard = hear(&server, json!({"jsonrpc": "2.0", "id": 99, "result": {}}));
    assert!(matches!(heard[..], [Heard::Breach(_)]), "{heard:?}");
    let error = json!({"code": -32700, "message": "what?"});
    let heard = hear(&server, json!({"jsonrpc": "2.0", "id": null, "error": error}));
    assert!(matches!(heard[..], [Heard::Log { .. }]), "{heard:?}");
}

#[test]
fn tools_that_changed_are_listed_again() {
    let server = ready(Era::Legacy);
    let changed = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
    let asked = said(&hear(&server, changed.clone()));
    assert_eq!(asked[0]["method"], "tools/list");
    // Once more meanwhile: once more afterwards.
    assert!(hear(&server, changed).is_empty());
    let tools = json!({"tools": [{"name": "new"}]});
    let heard = hear(&server, json!({"jsonrpc": "2.0", "id": asked[0]["id"], "result": tools}));
    assert_eq!(server.found().unwrap().order, ["new"]);
    let asked = said(&heard);
    assert_eq!(asked[0]["method"], "tools/list");
    assert!(!heard.iter().any(|heard| matches!(heard, Heard::Ready)));
    // One that fails changes nothing.
    let error = json!({"code": -32603, "message": "no"});
    hear(&server, json!({"jsonrpc": "2.0", "id": asked[0]["id"], "error": error}));
    assert_eq!(server.found().unwrap().order, ["new"]);
}

/// Messages of a server that does what it likes.
fn anything() -> impl Strategy<Value = Value> {
    let id = prop_oneof![(0_u64..12).prop_map(Value::from), Just(Value::Null), Just(json!("3"))];
    let result = prop_oneof![
        Just(json!({"result": {"supportedVersions": ["2026-07-28"]}})),
        Just(json!({"result": {"supportedVersions": ["2025-11-25"]}})),
        Just(json!({"result": {"protocolVersion": "2025-06-18"}})),
        Just(json!({"result": {"tools": [{"name": "t"}], "nextCursor": "n"}})),
        Just(json!({"result": {"tools": []}})),
        Just(json!({"error": {"code": -32022, "data": {"supported": ["2026-07-28"]}}})),
        Just(json!({"error": {"code": -32022, "data": {"supported": ["2025-11-25"]}}})),
        Just(json!({"error": {"code": -32601, "message": "no"}})),
        Just(json!({"method": "ping"})),
        Just(json!({"method": "notifications/tools/list_changed"})),
    ];
    (id, result).prop_map(|(id, mut message)| {
        message["jsonrpc"] = "2.0".into();
        message["id"] = id;
        message
    })
}

proptest! {
    /// Whatever a server says: it is asked a bounded number of things, and is ready at most once.
    #[test]
    fn no_server_keeps_this_side_busy(messages in prop::collection::vec(anything(), 0..60)) {
        let server = server(None);
        server.begin(Moment::ZERO);
        let mut readies = 0;
        for message in messages {
            let heard = hear(&server, message);
            readies += heard.iter().filter(|heard| matches!(heard, Heard::Ready)).count();
            prop_assert!(said(&heard).len() <= 2);
        }
        prop_assert!(readies <= 1);
        prop_assert!(server.state.lock().asked.len() <= 8);
    }
}
