//! The HTTP client against servers that behave, and servers that do not.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod peer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use peer::{Peer, nobody, promptly};
use serde_json::{Value, json};
use sutazai_core::agent::connect::http::{HttpCall, HttpClient, HttpRequest, Secret};
use sutazai_core::{Class, Code, Error};

const LONG: Duration = Duration::from_secs(20);

fn call() -> HttpCall {
    HttpCall::within(LONG)
}

fn get(client: &HttpClient, url: &str) -> sutazai_core::Result<Value> {
    client.send(&HttpRequest::get(url)?, &call())?.success("test.get")?.json(1 << 20)
}

fn context<'e>(error: &'e Error, key: &str) -> &'e str {
    error.context().find(|(name, _)| *name == key).map_or("", |(_, value)| value)
}

#[test]
fn a_connection_is_used_again() {
    let peer = Peer::start(|asked, line| {
        line.json(200, &json!({"path": asked.path, "body": asked.json()}));
        true
    });
    let client = HttpClient::new();
    let request = HttpRequest::post_json(&peer.url("/a?b=c"), &json!({"x": [1, 2]})).unwrap();
    for _ in 0..3 {
        let answer: Value = client.send(&request, &call()).unwrap().json(1000).unwrap();
        assert_eq!(answer, json!({"path": "/a?b=c", "body": {"x": [1, 2]}}));
    }
    assert_eq!(peer.connections(), 1);
    let asked = &peer.asked()[0];
    assert_eq!((asked.method.as_str(), asked.header("content-type")), ("POST", "application/json"));
    assert!(asked.header("user-agent").starts_with("sutazai/"));
}

#[test]
fn a_stalled_call_ends_at_its_deadline() {
    // Before the status, in the headers, and in the body, which drips.
    let peer = Peer::start(|asked, line| {
        match asked.path.as_str() {
            "/silent" => {}
            "/headers" => line.raw("HTTP/1.1 200 OK\r\nx-a: b\r\n"),
            _ => {
                line.raw("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{");
                for _ in 0..200 {
                    line.raw(" ");
                    std::thread::sleep(Duration::from_millis(7));
                }
            }
        }
        line.stall(LONG);
        false
    });
    let client = HttpClient::new();
    for path in ["/silent", "/headers", "/drip"] {
        let time = Duration::from_millis(150);
        let beyond = promptly(path, || {
            let begun = Instant::now();
            let request = HttpRequest::get(&peer.url(path)).unwrap();
            let error = client
                .send(&request, &HttpCall::within(time))
                .and_then(|answer| answer.bytes(1 << 20))
                .unwrap_err();
            let took = begun.elapsed();
            assert_eq!(error.code(), Code::DEADLINE_EXCEEDED, "{path}: {error:#}");
            assert!(took >= time, "{path} took {took:?} only");
            took - time
        });
        println!("{path}: {beyond:?} beyond {time:?}");
    }
}

#[test]
fn a_cancelled_call_frees_its_thread_and_the_next_one_is_fine() {
    let peer = Peer::start(|asked, line| match asked.path.as_str() {
        "/stall" => {
            line.stall(LONG);
            false
        }
        "/events" => {
            line.begin_events();
            line.chunk("data: 1\n\n");
            line.stall(LONG);
            false
        }
        _ => {
            line.json(200, &json!("fine"));
            true
        }
    });
    let client = HttpClient::new();
    assert_eq!(get(&client, &peer.url("/")).unwrap(), "fine");
    for path in ["/stall", "/events"] {
        let after = promptly(path, || {
            let call = call();
            let canceller = call.clone();
            let other = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(100));
                canceller.cancel();
                Instant::now()
            });
            let request = HttpRequest::get(&peer.url(path)).unwrap();
            let error = client
                .send(&request, &call)
                .and_then(|answer| {
                    let mut events = answer.events(100);
                    assert_eq!(events.next().unwrap().unwrap().data, "1");
                    events.next().unwrap()
                })
                .unwrap_err();
            assert_eq!(error.code(), Code::CANCELLED, "{error:#}");
            other.join().unwrap().elapsed()
        });
        println!("{path}: ended {after:?} after it was cancelled");
        assert_eq!(get(&client, &peer.url("/")).unwrap(), "fine");
    }
    let cancelled = call();
    cancelled.cancel();
    let error = client.send(&HttpRequest::get(&peer.url("/")).unwrap(), &cancelled).err().unwrap();
    assert_eq!(error.code(), Code::CANCELLED);
}

#[test]
fn a_call_that_several_threads_wait_for_frees_them_all() {
    let peer = Peer::start(|_, line| {
        line.stall(LONG);
        false
    });
    let (client, call) = (HttpClient::new(), call());
    let url = peer.url("/");
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| client.send(&HttpRequest::get(&url).unwrap(), &call).err()))
            .collect();
        while peer.asked().len() < 4 {
            std::thread::sleep(Duration::from_millis(5));
        }
        call.cancel();
        for thread in waiting {
            assert_eq!(thread.join().unwrap().unwrap().code(), Code::CANCELLED);
        }
    });
}

#[test]
fn cancelling_never_hits_the_connection_of_another_call() {
    let peer = Peer::start(|_, line| {
        line.json(200, &json!("fine"));
        true
    });
    let client = HttpClient::new();
    // The one call ends about when it is cancelled, and its connection goes to the next.
    for round in 0..300_u64 {
        let call = call();
        let canceller = call.clone();
        let other = std::thread::spawn(move || {
            let until = Instant::now() + Duration::from_micros(20 * (round % 30));
            while Instant::now() < until {}
            canceller.cancel();
        });
        let request = HttpRequest::get(&peer.url("/")).unwrap();
        let first = client.send(&request, &call).and_then(|answer| answer.json::<Value>(100));
        if let Err(error) = first {
            assert_eq!(error.code(), Code::CANCELLED, "{error:#}");
        }
        assert_eq!(get(&client, &peer.url("/")).unwrap(), "fine", "round {round}");
        other.join().unwrap();
    }
}

#[test]
fn nothing_listens() {
    let error = get(&HttpClient::new(), &format!("http://{}/", nobody())).unwrap_err();
    assert_eq!((error.code(), error.class()), (Code::IO, Class::Transient));
    assert_eq!(error.message(), "nothing accepts connections there");
    assert!(context(&error, "url").starts_with("http://127.0.0.1:"));
    let error = get(&HttpClient::new(), "http://nowhere.invalid/").unwrap_err();
    assert_eq!(error.code(), Code::IO, "{error:#}");
    println!("{error:#}");
}

#[test]
fn what_is_not_http_or_breaks_off_is_told_apart() {
    let peer = Peer::start(|asked, line| {
        match asked.path.as_str() {
            "/garbage" => line.raw("220 smtp.example.com ESMTP\r\n\r\n"),
            "/nothing" => {}
            "/half" => line.raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"a\":"),
            "/chunk" => {
                line.raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n")
            }
            "/size" => line.raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
            "/html" => line.answer(200, &[("content-type", "text/html; charset=x")], "<html>"),
            "/long" => line.answer(200, &[], &"x".repeat(3 << 20)),
            "/heads" => {
                line.raw("HTTP/1.1 200 OK\r\n");
                for _ in 0..3000 {
                    line.raw(format!("x-a: {}\r\n", "b".repeat(1000)));
                }
            }
            _ => {}
        }
        false
    });
    let client = HttpClient::new();
    let expected = [
        ("/garbage", Code::AGENT_PROTOCOL, "the answer is not HTTP"),
        ("/nothing", Code::IO, "the connection was closed before the answer was whole"),
        ("/half", Code::IO, "the connection was closed before the answer was whole"),
        ("/chunk", Code::IO, "the connection was closed before the answer was whole"),
        ("/size", Code::AGENT_PROTOCOL, "the answer is not HTTP"),
        ("/html", Code::AGENT_PROTOCOL, "the answer is not the JSON that was expected"),
        ("/long", Code::AGENT_PROTOCOL, "the answer is longer than allowed"),
        ("/heads", Code::AGENT_PROTOCOL, "the answer's headers are longer than allowed"),
    ];
    for (path, code, message) in expected {
        let error = get(&client, &peer.url(path)).unwrap_err();
        assert_eq!((error.code(), error.message()), (code, message), "{path}: {error:#}");
    }
}

#[test]
fn a_refusal_says_what_classifying_it_takes() {
    let peer = Peer::start(|asked, line| {
        if asked.path == "/404" {
            line.answer(404, &[], "no such thing");
        } else {
            let headers = [
                ("Retry-After", "7"),
                ("X-RateLimit-Remaining-Requests", "0"),
                ("x-ratelimit-reset-requests", "1s"),
                ("x-request-id", "req_1"),
                ("set-cookie", "not for logs"),
            ];
            line.answer(429, &headers, "slow down");
        }
        true
    });
    let client = HttpClient::new();
    let error = get(&client, &peer.url("/?key=hidden")).unwrap_err();
    assert_eq!((error.code(), error.class()), (Code::AGENT_FAILED, Class::Transient));
    let told: Vec<_> = error.context().filter(|(key, _)| *key != "url").collect();
    assert_eq!(
        told,
        [
            ("body", "slow down"),
            ("http_status", "429"),
            ("retry_after", "7"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1s"),
            ("request_id", "req_1"),
        ]
    );
    assert!(!format!("{error:#}").contains("hidden"));
    let error = get(&client, &peer.url("/404")).unwrap_err();
    assert_eq!(error.class(), Class::Persistent);
}

#[test]
fn redirects_stay_at_home_or_leave_the_keys_there() {
    let elsewhere = Peer::start(|asked, line| {
        line.json(200, &json!({"key": asked.header("x-key"), "path": asked.path}));
        true
    });
    let away = elsewhere.url("/away");
    let peer = Peer::start(move |asked, line| {
        match asked.path.as_str() {
            "/mcp" => line.answer(307, &[("location", "/mcp/")], ""),
            "/moved" => line.answer(302, &[("location", &away)], "moved"),
            "/post" => line.answer(308, &[("location", &away)], ""),
            "/loop" => line.answer(302, &[("location", "loop")], ""),
            _ => line.json(200, &json!({"key": asked.header("x-key"), "body": asked.body})),
        }
        true
    });
    let client = HttpClient::new();
    let key = Secret::new("k3y");
    let ask = |request: HttpRequest| {
        let request = request.secret("x-key", "", &key).unwrap();
        client.send(&request, &call())?.success("test")?.json::<Value>(1000)
    };
    let posted = ask(HttpRequest::post_json(&peer.url("/mcp"), &1).unwrap()).unwrap();
    assert_eq!(posted, json!({"key": "k3y", "body": "1"}));
    let moved = ask(HttpRequest::get(&peer.url("/moved")).unwrap()).unwrap();
    assert_eq!(moved, json!({"key": "", "path": "/away"}));
    let error = ask(HttpRequest::post_json(&peer.url("/post"), &1).unwrap()).unwrap_err();
    assert_eq!(context(&error, "http_status"), "308", "{error:#}");
    assert_eq!(elsewhere.asked().len(), 1, "a POST went elsewhere");
    let error = ask(HttpRequest::get(&peer.url("/loop")).unwrap()).unwrap_err();
    assert_eq!(error.message(), "redirected too often");
}

#[test]
fn events_come_as_they_are_sent() {
    let sent = Arc::new(AtomicBool::new(false));
    let all = Arc::clone(&sent);
    let peer = Peer::start(move |_, line| {
        line.begin_events();
        for n in 0..3 {
            line.chunk(&format!("id: {n}\r\nda"));
            line.chunk(&format!("ta: {n}\r\n\r\n"));
            std::thread::sleep(Duration::from_millis(100));
        }
        all.store(true, Ordering::SeqCst);
        line.chunk("data: not whole");
        line.end_events();
        true
    });
    let client = HttpClient::new();
    let answer = client.send(&HttpRequest::get(&peer.url("/")).unwrap(), &call()).unwrap();
    assert_eq!(answer.head().content_type(), "text/event-stream");
    let mut events = answer.events(1000);
    assert_eq!(events.next().unwrap().unwrap().data, "0");
    assert!(!sent.load(Ordering::SeqCst), "the first came when all were sent");
    let rest: Vec<_> = events.by_ref().map(|event| event.unwrap().data).collect();
    assert_eq!((rest, events.last_id()), (vec!["1".to_owned(), "2".to_owned()], "2"));
}
