//! Addresses of agents of the A2A protocol that go away, come back, change and end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sutazai_core::agent::AgentState;
use sutazai_core::agent::discover::ItemState;
use sutazai_core::port::Task;
use sutazai_core::{Class, Code};

use crate::common::*;
use crate::peer::{Peer, nobody};

fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < end, "{what}: not within {LONG:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What the peer does when its card is asked for.
#[derive(Default)]
struct Mood {
    card: Mutex<Value>,
    /// 0: it gives its card; 1: it hangs up; 2: there is none.
    does: AtomicUsize,
    fresh: AtomicUsize,
}

fn card(version: &str, skills: &[&str]) -> Value {
    let skills: Vec<Value> = skills.iter().map(|id| json!({"id": id, "name": id})).collect();
    json!({"name": "peer", "version": version, "skills": skills})
}

fn peer(mood: &Arc<Mood>) -> Peer {
    let mood = Arc::clone(mood);
    Peer::start(move |asked, line| {
        match mood.does.load(Ordering::SeqCst) {
            1 => return false,
            2 => {
                line.answer(404, &[], "");
                return true;
            }
            _ => {}
        }
        let mut card = mood.card.lock().unwrap().clone();
        if asked.method == "GET" {
            let version = card["version"].as_str().unwrap().to_owned();
            let tag = format!("\"{version}\"");
            if asked.header("if-none-match") == tag {
                line.answer(304, &[], "");
                return true;
            }
            mood.fresh.fetch_add(1, Ordering::SeqCst);
            let url = format!("http://{}/rpc", asked.header("host"));
            card["supportedInterfaces"] =
                json!([{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]);
            let headers = [("etag", tag.as_str()), ("content-type", "application/json")];
            line.answer(200, &headers, &card.to_string());
            return true;
        }
        let answer = json!({"jsonrpc": "2.0", "id": asked.json()["id"], "result": {"message":
            {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": card["version"]}]}}});
        line.json(200, &answer);
        true
    })
}

#[test]
fn a_peer_goes_away_comes_back_with_another_card_and_ends() {
    let mood = Arc::new(Mood::default());
    *mood.card.lock().unwrap() = card("1", &["work"]);
    let peer = peer(&mood);
    let url = peer.url("");
    let kernel = kernel();
    let mut states = subscribe(&kernel, "agent.state");
    let mut changes = subscribe(&kernel, "agent.card_changed");
    let spec = source(json!({"a2a": {"agents": [{"url": url}]}}));
    kernel.add_source_of("peers", spec, asked()).unwrap();
    assert_eq!(gave(&look(&kernel)), json!([["peer"], [], [], [], []]));
    assert_eq!(call(&kernel, "peer", "work"), "1");
    assert_eq!(gave(&look(&kernel)), json!([[], [], [], [], []]));
    assert_eq!(mood.fresh.load(Ordering::SeqCst), 1, "the card is known by its tag");

    mood.does.store(1, Ordering::SeqCst);
    events(&mut states);
    assert_eq!(gave(&look(&kernel)), json!([[], [], [], ["peer"], []]));
    assert_eq!(kernel.agent("peer").unwrap().state, AgentState::Unreachable);
    assert_eq!(state(&kernel, &url), Some(ItemState::Unreachable));
    let mut refused = kernel.call(Task::new("work", "x"));
    let refused = refused.wait_timeout(LONG).unwrap().unwrap_err();
    assert_eq!((refused.code(), refused.class()), (Code::AGENT_EXITED, Class::Transient));
    assert_eq!(gave(&look(&kernel)), json!([[], [], [], [], []]), "it is away already");

    mood.does.store(0, Ordering::SeqCst);
    assert_eq!(gave(&look(&kernel)), json!([[], [], [], [], ["peer"]]));
    assert_eq!(call(&kernel, "peer", "work"), "1");
    let turns: Vec<_> = events(&mut states).into_iter().map(|it| it["to"].clone()).collect();
    assert_eq!(turns, ["unreachable", "ready"]);

    mood.does.store(1, Ordering::SeqCst);
    look(&kernel);
    *mood.card.lock().unwrap() = card("2", &["work", "play"]);
    mood.does.store(0, Ordering::SeqCst);
    assert_eq!(gave(&look(&kernel)), json!([[], ["peer"], [], [], ["peer"]]));
    assert_eq!(call(&kernel, "peer", "play"), "2");
    let change = json!({"version": {"before": "1", "after": "2"}, "skills_added": ["play"]});
    assert_eq!(events(&mut changes)[0]["change"], change);

    mood.does.store(2, Ordering::SeqCst);
    let seen = look(&kernel);
    assert_eq!(gave(&seen), json!([[], [], ["peer"], [], []]));
    assert_eq!(seen.failed[0].error.as_ref().unwrap().code(), Code::NOT_FOUND);
    assert!(names(&kernel).is_empty());
    mood.does.store(0, Ordering::SeqCst);
    assert_eq!(gave(&look(&kernel)), json!([["peer"], [], [], [], []]));
}

#[test]
fn an_unreachable_peer_comes_back_by_itself() {
    let mood = Arc::new(Mood::default());
    *mood.card.lock().unwrap() = card("1", &["work"]);
    let peer = peer(&mood);
    let kernel = kernel();
    let spec = source(json!({"a2a": {"agents": [{"url": peer.url("")}]}}));
    kernel.add_source_of("peers", spec, asked()).unwrap();
    look(&kernel);
    mood.does.store(1, Ordering::SeqCst);
    look(&kernel);
    mood.does.store(0, Ordering::SeqCst);
    // Its interval is an hour; what is away is looked at sooner.
    until("it is back", || kernel.agent("peer").unwrap().state == AgentState::Ready);
}

#[test]
fn a_file_lists_addresses() {
    let mood = Arc::new(Mood::default());
    *mood.card.lock().unwrap() = card("1", &["work"]);
    let peer = peer(&mood);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("peers.txt");
    let down = format!("http://{}", nobody());
    write(&file, &format!("# ours\n{}\n\n{down}\nnowhere\n", peer.url("")));
    let kernel = kernel();
    let spec = source(json!({"a2a": {"file": file}}));
    kernel.add_source_of("peers", spec, asked()).unwrap();
    let seen = look(&kernel);
    assert_eq!(gave(&seen), json!([["peer"], [], [], [], []]));
    let failed = failed(&seen);
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed.iter().any(|(item, said)| *item == down && said.contains("nothing accepts")));
    let line = failed.iter().find(|(item, _)| item == "nowhere").unwrap();
    assert!(line.1.contains("peers.txt:5:1"), "{}", line.1);
    write(&file, "");
    assert_eq!(gave(&look(&kernel)), json!([[], [], ["peer"], [], []]));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(look(&kernel).error.unwrap().code(), Code::NOT_FOUND);
}

#[test]
fn an_entity_tag_that_stays_hides_a_change_and_a_new_version_takes_over() {
    let mood = Arc::new(Mood::default());
    *mood.card.lock().unwrap() = card("1", &["work"]);
    let peer = peer(&mood);
    let kernel = kernel();
    let spec = source(json!({"a2a": {"agents": [{"url": peer.url(""), "name": "p"}]}}));
    let grace = Duration::from_secs(1);
    kernel.add_source_of("peers", spec, asked().grace(grace)).unwrap();
    look(&kernel);
    // The description alone changes: the version is the same, and it is put in its place.
    let mut other = card("1", &["work"]);
    other["description"] = "does other work".into();
    other["version"] = "1".into();
    *mood.card.lock().unwrap() = other;
    assert_eq!(gave(&look(&kernel)), json!([[], [], [], [], []]), "the tag is the same");
    *mood.card.lock().unwrap() = {
        let mut other = card("1", &["work", "more"]);
        other["version"] = "1.1".into();
        other
    };
    assert_eq!(gave(&look(&kernel)), json!([[], ["p"], [], [], []]));
    assert_eq!(call(&kernel, "p", "more"), "1.1");
}
