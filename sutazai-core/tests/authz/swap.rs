//! Changes hold at once, however many threads ask.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sutazai_core::security::authz::{Entities, PolicyEngine, PolicySet, Request};

const THREADS: usize = 64;

fn request() -> Request {
    Request::new(
        r#"User::"alice""#.parse().unwrap(),
        r#"Action::"read""#.parse().unwrap(),
        r#"Page::"home""#.parse().unwrap(),
    )
}

/// In even rounds the change permits, in odd ones it does not. Threads ask all the while; one that sees
/// the round's number, which is published after the change has returned, must get what holds since, or what
/// a later round says.
fn storm(rounds: u64, change: impl Fn(&PolicyEngine, bool) -> u64) {
    let engine = PolicyEngine::new(PolicySet::empty(), Entities::empty());
    engine.swap(
        PolicySet::from_cedar("p", r#"permit (principal in Group::"g", action, resource);"#)
            .unwrap(),
    );
    let first = change(&engine, true);
    let published = AtomicU64::new(first);
    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let request = request();
                while !stop.load(Ordering::Relaxed) {
                    let at_least = published.load(Ordering::Acquire);
                    let answer = engine.decide(&request);
                    assert!(answer.generation() >= at_least, "an old state answered");
                    let permits = (answer.generation() - first).is_multiple_of(2);
                    assert_eq!(answer.is_allowed(), permits, "generation {}", answer.generation());
                    if asked.fetch_add(1, Ordering::Relaxed) % 16 == 0 {
                        std::thread::yield_now();
                    }
                }
            });
        }
        for round in 1..=rounds {
            let generation = change(&engine, round % 2 == 0);
            published.store(generation, Ordering::Release);
            let answer = engine.decide(&request());
            assert_eq!(answer.is_allowed(), round % 2 == 0, "just after the change");
            if round % 16 == 0 {
                std::thread::yield_now();
            }
        }
        while asked.load(Ordering::Relaxed) < rounds {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
    });
    println!("{rounds} changes, {} answers", asked.into_inner());
}

#[test]
fn no_answer_of_the_old_policies_after_a_swap() {
    let permit = PolicySet::from_cedar("p", "permit (principal, action, resource);").unwrap();
    storm(400, |engine, permits| {
        engine.swap(if permits { permit.clone() } else { PolicySet::empty() })
    });
}

#[test]
fn no_answer_by_the_old_entities_after_a_change() {
    let alice = |groups: &str| {
        format!(
            r#"[{{"uid": {{"type": "User", "id": "alice"}}, "attrs": {{}}, "parents": [{groups}]}}]"#
        )
    };
    let [inside, outside] = [alice(r#"{"type": "Group", "id": "g"}"#), alice("")];
    storm(400, |engine, permits| {
        engine.upsert_entities(if permits { &inside } else { &outside }).unwrap()
    });
}

#[test]
fn what_was_in_a_removed_entity_is_in_it_no_more() {
    let policies =
        PolicySet::from_cedar("p", r#"permit (principal in Org::"o", action, resource);"#);
    let entities = Entities::from_json(
        r#"[{"uid": {"type": "User", "id": "alice"}, "attrs": {}, "parents": [{"type": "Group", "id": "g"}]},
            {"uid": {"type": "Group", "id": "g"}, "attrs": {}, "parents": [{"type": "Org", "id": "o"}]}]"#,
        None,
    );
    let engine = PolicyEngine::new(policies.unwrap(), entities.unwrap());
    assert!(engine.decide(&request()).is_allowed());
    engine.remove_entities(&[r#"Group::"g""#.parse().unwrap()]).unwrap();
    assert!(!engine.decide(&request()).is_allowed());
}
