//! The OpenAI-compatible connector against a mock that nobody here wrote, and against one that
//! misbehaves.

#![cfg(feature = "openai")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod peer;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peer::{Line, Peer, nobody, promptly, real};
use serde_json::{Value, json};
use sutazai_core::agent::connect::http::Secret;
use sutazai_core::agent::connect::openai::{OpenAiAgent, OpenAiSpec};
use sutazai_core::base::payload::Payload;
use sutazai_core::base::ticket::{Ticket, pair};
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{Agent, Outcome, Task};
use sutazai_core::{Class, Code, Error, Result};

const LONG: Duration = Duration::from_secs(20);
const KEY: &str = "sk-test-0123456789";

fn spec(peer: &Peer) -> OpenAiSpec {
    OpenAiSpec::new("model", peer.url("/v1"), "m-1").api_key(KEY).prices(2.0, 8.0)
}

fn ask(spec: OpenAiSpec, input: impl Into<Payload>) -> Result<Outcome> {
    let (mut ticket, reply) = pair();
    OpenAiAgent::new(spec)?.handle(Task::new("chat", input), reply);
    ticket.wait_timeout(LONG).unwrap_or_else(|| panic!("no answer in time"))
}

fn failure(spec: OpenAiSpec, input: impl Into<Payload>) -> Error {
    let error = ask(spec, input).unwrap_err();
    assert!(!format!("{error:#} {error:?}").contains(KEY), "the key shows: {error:#}");
    error
}

fn context<'e>(error: &'e Error, key: &str) -> &'e str {
    error.context().find(|(name, _)| *name == key).map_or("", |(_, value)| value)
}

fn parts(ticket: &mut Ticket<Outcome>) -> Vec<Value> {
    std::iter::from_fn(|| ticket.try_part()).map(|part| (*part.value().unwrap()).clone()).collect()
}

fn piece(delta: Value) -> Value {
    json!({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": null}], "usage": null})
}

fn done(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

fn streaming(pieces: Vec<Value>) -> Peer {
    Peer::start(move |_, line| {
        line.begin_events();
        for piece in &pieces {
            line.event(piece);
        }
        line.chunk("data: [DONE]\n\n");
        line.end_events();
        true
    })
}

#[test]
fn a_text_is_answered_with_a_text_and_what_it_took() {
    let peer = Peer::start(|_, line| {
        line.json(
            200,
            &json!({"choices": [{"index": 0, "finish_reason": "stop",
                    "message": {"role": "assistant", "content": "good day"}}],
                "usage": {"prompt_tokens": 500_000, "completion_tokens": 250_000}}),
        );
        true
    });
    let spec = spec(&peer).stream(false).system("be kind").header("x-team", "blue-team");
    let outcome = ask(spec, "hello").unwrap();
    assert_eq!(outcome.output, Payload::from("good day"));
    let usage = outcome.usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.cost), (500_000, 250_000, 3.0));
    let asked = &peer.asked()[0];
    assert_eq!(asked.path, "/v1/chat/completions");
    assert_eq!(asked.header("authorization"), format!("Bearer {KEY}"));
    assert_eq!(asked.header("x-team"), "blue-team");
    assert_eq!(
        asked.json(),
        json!({"model": "m-1", "messages": [{"role": "system", "content": "be kind"},
            {"role": "user", "content": "hello"}]})
    );
}

#[test]
fn pieces_are_partial_results_and_make_the_whole() {
    let peer = streaming(vec![
        piece(json!({"role": "assistant", "content": ""})),
        piece(json!({"content": "good "})),
        piece(json!({"content": "day"})),
        done("stop"),
        json!({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 2}}),
    ]);
    let (mut ticket, reply) = pair();
    OpenAiAgent::new(spec(&peer)).unwrap().handle(Task::new("chat", "hello"), reply);
    assert_eq!(parts(&mut ticket), [json!("good "), json!("day")]);
    let outcome = ticket.wait().unwrap();
    assert_eq!(outcome.output, Payload::from("good day"));
    assert_eq!(outcome.usage.unwrap().input_tokens, 10);
    let asked = peer.asked()[0].json();
    assert_eq!(
        (&asked["stream"], &asked["stream_options"]["include_usage"]),
        (&json!(true), &json!(true))
    );
}

#[test]
fn calls_of_tools_are_put_together_by_index() {
    let tool = |piece: Value| json!({"tool_calls": [piece]});
    let peer = streaming(vec![
        piece(tool(
            json!({"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}),
        )),
        piece(tool(json!({"index": 0, "function": {"arguments": "{\"city\":"}}))),
        piece(tool(
            json!({"index": 1, "id": "c2", "function": {"name": "time", "arguments": "{}"}}),
        )),
        piece(tool(json!({"index": 0, "function": {"arguments": "\"Rome\"}"}}))),
        done("tool_calls"),
    ]);
    let input = json!({"messages": [{"role": "user", "content": "weather and time?"}],
        "tools": [{"type": "function", "function": {"name": "weather"}}]});
    let outcome = ask(spec(&peer), input).unwrap();
    let call = |id: &str, name: &str, arguments: &str| {
        json!({"id": id, "type": "function",
        "function": {"name": name, "arguments": arguments}})
    };
    assert_eq!(
        *outcome.output.value().unwrap(),
        json!({"content": null, "finish_reason": "tool_calls",
            "tool_calls": [call("c1", "weather", "{\"city\":\"Rome\"}"), call("c2", "time", "{}")]})
    );
    // Whoever asked with a text cannot do anything with it.
    let error = failure(spec(&peer), "weather?");
    assert_eq!(
        (error.class(), context(&error, "provider_code")),
        (Class::Persistent, "tool_calls")
    );
}

#[test]
fn calls_of_tools_without_an_index_are_told_apart() {
    let peer = streaming(vec![
        piece(
            json!({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]}),
        ),
        piece(json!({"tool_calls": [{"id": "b", "function": {"name": "g", "arguments": "{"}}]})),
        piece(json!({"tool_calls": [{"function": {"arguments": "}"}}]})),
        done("tool_calls"),
    ]);
    let outcome = ask(spec(&peer), json!([{"role": "user", "content": "x"}])).unwrap();
    let output = outcome.output.value().unwrap();
    let told: Vec<_> = output["tool_calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| {
            let function = &call["function"];
            (
                call["id"].as_str().unwrap(),
                function["name"].as_str().unwrap(),
                function["arguments"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, [("a", "f", "{\"x\":1}"), ("b", "g", "{}")]);
}

#[test]
fn a_stream_that_breaks_off_is_never_a_shorter_answer() {
    let broken = |how: fn(&mut Line)| {
        Peer::start(move |_, line| {
            line.begin_events();
            line.event(&piece(json!({"content": "only a "})));
            how(line);
            false
        })
    };
    type End = fn(&mut Line);
    let ends: [(&str, End); 3] = [
        ("the connection closes", |_| {}),
        ("the stream ends", Line::end_events),
        ("within an event", |line| line.raw("20\r\ndata: {\"choices\"")),
    ];
    for (name, how) in ends {
        let peer = broken(how);
        let error = failure(spec(&peer), "hello");
        assert_eq!(
            (error.code(), error.class()),
            (Code::IO, Class::Transient),
            "{name}: {error:#}"
        );
        println!("{name}: {error:#}");
    }
    // After the model has said that it is done, nothing is missing.
    let peer = broken(|line| {
        line.event(&piece(json!({"content": "whole answer"})));
        line.event(&done("stop"));
    });
    assert_eq!(ask(spec(&peer), "hello").unwrap().output, Payload::from("only a whole answer"));
}

#[test]
fn refusals_say_what_the_provider_says() {
    let peer = Peer::start(|asked, line| {
        let body = asked.json();
        match body["messages"][0]["content"].as_str().unwrap() {
            "quota" => line.json(429, &json!({"error": {"message": "You exceeded your current quota",
                "type": "insufficient_quota", "code": "insufficient_quota", "param": null}})),
            "key" => line.json(401, &json!({"error": {"message": format!("Incorrect API key provided: {KEY}."),
                "type": "invalid_request_error", "code": "invalid_api_key"}})),
            "stream" => {
                line.begin_events();
                line.event(&piece(json!({"content": "well, "})));
                line.event(&json!({"error": {"message": "Overloaded", "code": 502, "type": "overloaded_error"}}));
                line.end_events();
            }
            "array" => line.json(400, &json!([{"error": {"code": 400, "message": "API key not valid", "status": "INVALID_ARGUMENT"}}])),
            "text" => line.answer(503, &[("retry-after", "3")], &format!("<html>busy {KEY}</html>")),
            _ => line.json(422, &json!({"detail": "no such field"})),
        }
        true
    });
    let told = |input: &str| {
        let error = failure(spec(&peer), input);
        let told = ["http_status", "provider_type", "provider_code", "retry_after"]
            .map(|key| context(&error, key).to_owned());
        (error.message().to_owned(), told.join(" "), error.class())
    };
    assert_eq!(
        told("quota"),
        (
            "You exceeded your current quota".into(),
            "429 insufficient_quota insufficient_quota ".into(),
            Class::Transient
        )
    );
    assert_eq!(
        told("key"),
        (
            "Incorrect API key provided: ***.".into(),
            "401 invalid_request_error invalid_api_key ".into(),
            Class::Persistent
        )
    );
    assert_eq!(
        told("stream"),
        ("Overloaded".into(), "200 overloaded_error 502 ".into(), Class::Transient)
    );
    assert_eq!(told("array"), ("API key not valid".into(), "400  400 ".into(), Class::Transient));
    assert_eq!(
        told("text"),
        ("the endpoint answered with status 503".into(), "503   3".into(), Class::Transient)
    );
    assert_eq!(told("other"), ("no such field".into(), "422   ".into(), Class::Transient));
}

#[test]
fn what_is_no_completion_is_told() {
    let peer = Peer::start(|asked, line| {
        match asked.json()["messages"][0]["content"].as_str().unwrap() {
            "html" => line.answer(200, &[("content-type", "text/html")], "<html>welcome</html>"),
            "empty" => line.json(200, &json!({"choices": []})),
            "event" => {
                line.begin_events();
                line.chunk("data: nonsense\n\n");
                line.end_events();
            }
            "redirect" => line.answer(308, &[("location", "http://127.0.0.1:9/v1")], ""),
            "huge" => {
                line.begin_events();
                line.chunk("data: ");
                let block = "x".repeat(1 << 20);
                for _ in 0..20 {
                    line.chunk(&block);
                }
            }
            _ => {
                line.begin_events();
                let block = "x".repeat(1 << 20);
                for _ in 0..20 {
                    line.event(&piece(json!({"content": block})));
                }
            }
        }
        false
    });
    for (input, code) in [
        ("html", Code::AGENT_PROTOCOL),
        ("empty", Code::AGENT_PROTOCOL),
        ("event", Code::AGENT_PROTOCOL),
        ("redirect", Code::AGENT_FAILED),
        ("huge", Code::AGENT_PROTOCOL),
        ("much", Code::AGENT_PROTOCOL),
    ] {
        let error = failure(spec(&peer), input);
        assert_eq!(error.code(), code, "{input}: {error:#}");
        println!("{input}: {}", error.message());
    }
    let refused = OpenAiSpec::new("m", format!("http://{}/v1", nobody()), "m");
    let error = failure(refused, "x");
    assert_eq!((error.code(), error.class()), (Code::IO, Class::Transient));
    let unset = spec(&peer).api_key(Secret::env("SUTAZAI_NO_SUCH_VARIABLE"));
    assert_eq!(failure(unset, "x").code(), Code::NOT_FOUND);
}

#[test]
fn cancelling_closes_the_connection() {
    let (gone, went) = std::sync::mpsc::channel();
    let gone = std::sync::Mutex::new(gone);
    let peer = Peer::start(move |_, line| {
        line.begin_events();
        line.event(&piece(json!({"content": "a"})));
        let left = line.stall(LONG);
        let _ = gone.lock().unwrap().send((left, Instant::now()));
        false
    });
    let kernel = Kernel::builder().agent(OpenAiAgent::new(spec(&peer)).unwrap()).build().unwrap();
    kernel.start().unwrap();
    // By its caller, and by its deadline.
    let after = promptly("cancelling", || {
        let (call, mut ticket) = kernel.submit(Task::new("chat", "x"), None);
        assert_eq!(ticket.wait_part(LONG).unwrap(), Some(Payload::from("a")));
        let cancelled = Instant::now();
        assert!(kernel.cancel(call));
        assert_eq!(ticket.wait().unwrap_err().code(), Code::CANCELLED);
        let (left, at) = went.recv_timeout(LONG).unwrap();
        assert!(left, "the connection stayed");
        at - cancelled
    });
    let time = Duration::from_millis(200);
    let beyond = promptly("the deadline", || {
        let begun = Instant::now();
        let error = kernel.call(Task::new("chat", "x").timeout(time)).wait().unwrap_err();
        let took = begun.elapsed();
        assert_eq!(error.code(), Code::DEADLINE_EXCEEDED);
        let (left, at) = went.recv_timeout(LONG).unwrap();
        assert!(left && took >= time, "{took:?}");
        took.max(at - begun) - time
    });
    println!("closed {after:?} after it was cancelled; {beyond:?} beyond its deadline");
    kernel.stop(LONG).unwrap();
}

#[cfg(feature = "recovery")]
#[test]
fn a_rate_limit_is_waited_out_as_the_provider_says() {
    use sutazai_core::kernel::CallsTo;
    use sutazai_core::recovery::GuardPolicy;
    let peer = Peer::start(|asked, line| {
        if asked.json()["messages"][0]["content"] == "busy" {
            let headers = [("retry-after-ms", "400"), ("x-ratelimit-remaining-requests", "0")];
            line.answer(429, &headers, &json!({"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}}).to_string());
        } else {
            line.json(429, &json!({"error": {"message": "You exceeded your current quota, please check your plan and billing details.",
                "type": "insufficient_quota", "code": "insufficient_quota"}}));
        }
        true
    });
    let kernel = Kernel::builder().agent(OpenAiAgent::new(spec(&peer)).unwrap()).build().unwrap();
    kernel.start().unwrap();
    let policy = r#"{"retry": {"attempts": 2, "base_ms": 1, "jitter": "none"}}"#;
    kernel.guard(CallsTo::All, serde_json::from_str::<GuardPolicy>(policy).unwrap()).unwrap();
    let begun = Instant::now();
    let error = kernel.call(Task::new("chat", "busy")).wait().unwrap_err();
    let took = begun.elapsed();
    assert_eq!((error.class(), peer.asked().len()), (Class::Transient, 2), "{error:#}");
    assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(2), "{took:?}");
    println!("tried again after {took:?}: {error:#}");
    // An empty account has the same status, and no second try.
    let error = kernel.call(Task::new("chat", "broke")).wait().unwrap_err();
    assert_eq!((error.class(), peer.asked().len()), (Class::Persistent, 3), "{error:#}");
    println!("not tried again: {error:#}");
    kernel.stop(LONG).unwrap();
}

#[test]
fn a_spec_shows_no_key_and_is_checked() {
    let spec = OpenAiSpec::new("m", "http://h/v1", "m").api_key(KEY).header("x-key", KEY);
    let shown = format!("{spec:?} {}", serde_json::to_string(&spec).unwrap());
    assert!(!shown.contains(KEY), "{shown}");
    let agent = OpenAiAgent::new(spec.clone()).unwrap();
    let card = serde_json::to_string(&agent.card()).unwrap();
    assert!(card.contains("\"chat\"") && !card.contains(KEY), "{card}");
    for bad in [
        OpenAiSpec::new("m", "nowhere", "m"),
        OpenAiSpec::new("m", "http://h", ""),
        spec.clone().temperature(3.0),
        spec.clone().max_tokens(0),
        spec.clone().prices(-1.0, 0.0),
        spec.clone().timeout(Duration::ZERO),
        spec.clone().header("a b", "c"),
    ] {
        assert_eq!(OpenAiAgent::new(bad).err().unwrap().code(), Code::INVALID);
    }
}

#[test]
fn the_mock_that_others_wrote() {
    let Some(main) = real::installed("node-openai/node_modules/@dwmkerr/mock-llm/dist/main.js")
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("mock.yaml");
    let rule = |matched: &str, status: u16, content: Value| {
        json!({"path": "/v1/chat/completions",
        "match": matched, "response": {"status": status, "content": content.to_string()}})
    };
    let said = |text: &str| format!("contains(body.messages[-1].content, '{text}')");
    let rules = json!({"streaming": {"chunkSize": 4, "chunkIntervalMs": 5}, "rules": [
        rule("@", 200, json!({"id": "c", "model": "{{jmes request body.model}}", "choices": [{"message":
            {"role": "assistant", "content": "{{jmes request body.messages[-1].content}}"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}})),
        rule("body.tools", 200, json!({"choices": [{"message": {"role": "assistant", "content": null, "tool_calls":
            [{"id": "t1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}]}, "finish_reason": "tool_calls"}]})),
        rule(&said("error-401"), 401, json!({"error": {"message": "Incorrect API key provided.",
            "type": "invalid_request_error", "param": null, "code": "invalid_api_key"}})),
        rule(&said("error-429"), 429, json!({"error": {"message": "Rate limit reached for requests. Please try again in 20s.",
            "type": "requests", "param": null, "code": "rate_limit_exceeded"}})),
        rule(&said("who am i"), 200, json!({"choices": [{"message": {"role": "assistant",
            "content": "{{jmes request headers.authorization}}"}, "finish_reason": "stop"}]})),
    ]});
    std::fs::write(&config, rules.to_string()).unwrap();
    let port = real::free_port();
    let mut node = Command::new("node");
    node.arg(main)
        .arg("--config")
        .arg(&config)
        .env("HOST", "127.0.0.1")
        .env("PORT", port.to_string());
    let server = real::start(node, port);
    let whole = || {
        OpenAiSpec::new("mock", format!("http://{}/v1", server.at), "gpt-4")
            .api_key(KEY)
            .stream(false)
            .prices(1.0, 1.0)
    };

    let outcome = ask(whole(), "Hello, mock").unwrap();
    assert_eq!(outcome.output, Payload::from("Hello, mock"));
    assert_eq!(
        outcome.usage.as_ref().map(|u| (u.input_tokens, u.output_tokens, u.cost)),
        Some((7, 3, 1e-5))
    );
    println!("whole: {} {:?}", outcome.output, outcome.usage);

    let kernel = Kernel::builder()
        .shared_agent(Arc::new(OpenAiAgent::new(whole().stream(true)).unwrap()))
        .build()
        .unwrap();
    kernel.start().unwrap();
    let mut ticket = kernel.call(Task::new("chat", "a stream of pieces"));
    let mut pieces = Vec::new();
    while let Ok(Some(part)) = ticket.wait_part(LONG) {
        pieces.push(part.to::<String>().unwrap());
    }
    assert_eq!(ticket.wait().unwrap().output, Payload::from("a stream of pieces"));
    assert!(pieces.len() > 3 && pieces.concat() == "a stream of pieces", "{pieces:?}");
    println!("streamed: {pieces:?}");

    let tools = json!({"messages": [{"role": "user", "content": "weather?"}], "tools": [{"type": "function", "function": {"name": "get_weather"}}]});
    let output = ask(whole(), tools).unwrap().output;
    assert_eq!(output.value().unwrap()["tool_calls"][0]["function"]["name"], "get_weather");
    println!("tools: {output}");

    let error = failure(whole(), "error-401");
    assert_eq!(
        (error.class(), context(&error, "provider_code")),
        (Class::Persistent, "invalid_api_key")
    );
    let error = failure(whole(), "error-429");
    assert_eq!((error.class(), context(&error, "http_status")), (Class::Transient, "429"));
    // In a stream the mock says so with status 200.
    let error = kernel.call(Task::new("chat", "error-401")).wait().unwrap_err();
    assert_eq!(context(&error, "provider_code"), "invalid_api_key", "{error:#}");
    println!("refused: {error:#}");
    assert_eq!(ask(whole(), "who am i").unwrap().output, Payload::from(format!("Bearer {KEY}")));
    kernel.stop(LONG).unwrap();
}
