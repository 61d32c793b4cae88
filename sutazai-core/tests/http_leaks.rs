//! What is left of calls that were cancelled, late or refused. Alone in its process, which it counts.

#![cfg(all(target_os = "linux", feature = "http"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod peer;

use std::time::{Duration, Instant};

use peer::{Peer, nobody};
use sutazai_core::agent::connect::http::{HttpCall, HttpClient, HttpRequest};

fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

#[test]
fn nothing_is_left_of_calls_that_came_to_nothing() {
    let peer = Peer::start(|asked, line| match asked.path.as_str() {
        "/stall" => {
            line.stall(Duration::from_secs(20));
            false
        }
        "/half" => {
            line.raw("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc");
            false
        }
        _ => {
            line.answer(200, &[], "fine");
            true
        }
    });
    let nowhere = format!("http://{}/", nobody());
    let client = HttpClient::new();
    let round = |n: u64| {
        let call =
            HttpCall::within(Duration::from_millis(if n.is_multiple_of(4) { 2 } else { 5_000 }));
        let canceller = call.clone();
        let other = (n % 4 == 1).then(|| {
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(1));
                canceller.cancel();
            })
        });
        let url = match n % 4 {
            0 | 1 => peer.url("/stall"),
            2 => peer.url("/half"),
            _ => nowhere.clone(),
        };
        let request = HttpRequest::get(&url).unwrap();
        assert!(client.send(&request, &call).and_then(|answer| answer.bytes(100)).is_err());
        if let Some(other) = other {
            other.join().unwrap();
        }
    };
    (0..8).for_each(round);
    let settled = |what: &str, most: usize, time: Duration| {
        let until = Instant::now() + time;
        while count(what) > most && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        count(what)
    };
    let soon = Duration::from_millis(300);
    let (files, threads) = (settled("fd", 0, soon), settled("task", 0, soon));
    (0..1000).for_each(round);
    let late = Duration::from_secs(20);
    let (files_after, threads_after) = (settled("fd", files, late), settled("task", threads, late));
    println!(
        "files {files} → {files_after}, threads {threads} → {threads_after} after 1,000 calls"
    );
    assert!(files_after <= files && threads_after <= threads);
    let request = HttpRequest::get(&peer.url("/")).unwrap();
    let answer = client.send(&request, &HttpCall::within(Duration::from_secs(5))).unwrap();
    assert_eq!(answer.bytes(100).unwrap(), b"fine");
}
