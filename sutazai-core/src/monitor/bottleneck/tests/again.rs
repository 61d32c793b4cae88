//! Tasks done again: what is changed, what cannot be done again, and how long it takes.

use super::*;
use crate::monitor::bottleneck::{blame::POOL, words};

/// Calls of four clients to an agent that lets one at a time go on, each for 10 ms.
fn locked(looks: Activity) -> BottleneckDetector {
    let mut detector = detector();
    for i in 0..200_u64 {
        let t = i as f64 * 0.01;
        let mut one = span(i, None, "index", [t, t, t + 0.04]);
        (one.client, one.activity) = (i % 4, looks);
        detector.record(one);
    }
    detector
}

#[test]
fn more_places_are_no_more_locks() {
    let detector = locked(Activity { locked: 3, asleep: 1, ..Activity::default() });
    let around = room(&[("index", 8.0)]);
    let what_if = |by| detector.what_if(at(10.0), &around, "index", None, by).unwrap().unwrap();
    let more = what_if(Improvement::MoreCapacity(1));
    assert!((more.throughput - 1.0).abs() < 0.03 && (more.latency - 1.0).abs() < 0.03, "{more:?}");
    let faster = what_if(Improvement::Faster(0.5));
    assert!((faster.throughput - 2.0).abs() < 0.1, "{faster:?}");
}

#[test]
fn what_waits_little_for_a_lock_is_not_all_within_it() {
    let mut detector = detector();
    for i in 0..200_u64 {
        // Eight at a time, which all of the work under one lock could not be.
        let t = i as f64 * 0.01;
        let mut one = span(i, None, "index", [t, t, t + 0.08]);
        one.activity = Activity { locked: 1, asleep: 9, ..Activity::default() };
        detector.record(one);
    }
    let found = detector.look(at(10.0), &room(&[("index", 16.0)]));
    assert!(found.replayed.is_some_and(|it| (0.8..1.2).contains(&it)), "{:?}", found.replayed);
}

#[test]
fn who_was_given_a_thread_need_not_have_kept_it() {
    let mut detector = detector();
    for i in 0..200_u64 {
        // Each is on a thread for a moment, and answers later: twenty at a time, on two threads.
        let t = i as f64 * 0.01;
        let mut one = span(i, None, "index", [t, t + 0.001, t + 0.201]);
        let (from, to) = (one.arrived, one.started);
        one.waits.push(Wait { on: WaitFor::Pool, what: POOL.into(), from, to });
        detector.record(one);
    }
    let found = detector.look(at(10.0), &room(&[(POOL, 2.0)]));
    assert!(found.replayed.is_some_and(|it| (it - 1.0).abs() < 0.01), "{:?}", found.replayed);
}

#[test]
fn estimates_that_are_rough_are_said_to_be() {
    let what_if = WhatIf {
        change: Improvement::Faster(0.2),
        throughput: 1.1,
        latency: 0.9,
        tasks_per_s: 11.0,
        latency_s: 0.09,
    };
    let all = [what_if];
    let said = |replayed| words::estimates(&all, replayed);
    assert_eq!((said(Some(1.0)).len(), said(None).len()), (1, 1));
    assert!(said(Some(14.27))[1].contains("14.3 times as long"), "{:?}", said(Some(14.27)));
}

#[test]
fn who_has_the_only_place_does_not_wait_for_himself() {
    let mut detector = detector();
    for i in 0..40_u64 {
        let t = i as f64 * 0.01;
        let mut one = span(i, None, "index", [0.0, t, t + 0.01]);
        one.activity = Activity { locked: 1, asleep: 3, ..Activity::default() };
        detector.record(one);
    }
    let found = detector.look(at(10.0), &room(&[("index", 1.0)]));
    assert!(found.replayed.is_some_and(|it| it > 0.7), "{:?}", found.replayed);
    assert_eq!(found.ranked[0].what_if.len(), 2, "{:?}", found.ranked[0]);
}

#[test]
fn what_cannot_be_done_again_has_no_estimate() {
    let mut detector = detector();
    // A part for which the only place is wanted that its whole has; and a task that has nothing to do with them.
    detector.record(span(1, None, "a", [0.0, 0.0, 1.0]));
    detector.record(span(2, Some(1), "a", [0.2, 0.2, 0.8]));
    detector.record(span(3, None, "b", [0.0, 0.0, 1.0]));
    let around = room(&[("a", 1.0)]);
    let found = detector.look(at(2.0), &around);
    assert_eq!((found.replayed, found.ranked[0].what_if.len()), (None, 0), "{found:?}");
    assert_eq!(found.verdict, BottleneckVerdict::Found);
    let half = Improvement::Faster(0.5);
    assert_eq!(detector.what_if(at(2.0), &around, "a", None, half).unwrap(), None);
}

#[test]
fn parts_of_what_has_not_ended_are_tasks() {
    let mut detector = detector();
    for i in 0..50_u64 {
        let (id, t) = (1_000 + i * 10, i as f64 * 0.1);
        let mut call = WorkSpan::new(id, "plan", at(t));
        (call.parent, call.agent, call.ended) = (Some(7), Some("planner".into()), at(t + 0.09));
        detector.record(call);
        detector.record(span(id + 1, Some(id), "searcher", [t + 0.01, t + 0.01, t + 0.08]));
        // A wait of the main loop itself is no task.
        let mut wait = WorkSpan::new(id + 2, "index", at(t + 0.09));
        (wait.parent, wait.started, wait.ended) = (Some(7), at(t + 0.095), at(t + 0.095));
        let (from, to) = (wait.arrived, wait.ended);
        wait.waits.push(Wait { on: WaitFor::Lock, what: "index".into(), from, to });
        detector.record(wait);
    }
    let found = detector.look(at(10.0), &Surroundings::default());
    assert_eq!((found.verdict, found.tasks), (BottleneckVerdict::Found, 50));
    assert_eq!(found.ranked[0].component, "searcher");
    assert!((found.ranked[0].share - 7.0 / 9.0).abs() < 0.01, "{:?}", found.ranked);
    assert!(found.replayed.is_some_and(|it| (it - 1.0).abs() < 0.01), "{:?}", found.replayed);
    // It is the same client: who is faster is asked again sooner.
    let half = Improvement::Faster(0.5);
    let around = Surroundings::default();
    let faster = detector.what_if(at(10.0), &around, "searcher", None, half).unwrap().unwrap();
    assert!((faster.throughput - 0.1 / 0.065).abs() < 0.02, "{faster:?}");
    // A task that is under way is none yet.
    let mut usual = WorkSpan::new(1, "usual", at(0.0));
    usual.ended = at(1.0);
    detector.record(usual);
    detector.record(span(2, Some(8), "searcher", [4.0, 4.0, 4.5]));
    detector.record(span(3, Some(8), "searcher", [4.5, 4.5, 4.9]));
    assert_eq!(detector.look(at(10.0), &Surroundings::default()).tasks, 51);
    // Once it has ended, they are its parts.
    let mut whole = WorkSpan::new(7, "main loop", at(0.0));
    whole.ended = at(5.0);
    detector.record(whole);
    assert_eq!(detector.look(at(10.0), &Surroundings::default()).tasks, 2);
}

/// With every part compared to every other one this takes longer than a test may.
#[test]
fn many_parts_of_one_task_are_looked_at_soon() {
    let policy = || BottleneckPolicy { spans: 100_000, window_s: 86_400.0, ..Default::default() };
    let whole = |ended: f64| {
        let mut whole = WorkSpan::new(0, "whole", at(0.0));
        whole.ended = at(ended);
        whole
    };
    let name = |i: u64| format!("agent {}", i % 10);
    // Each overlaps with the next one.
    let mut chain = BottleneckDetector::new(policy()).unwrap();
    for i in 0..50_000_u64 {
        let t = i as f64 * 0.01;
        chain.record(span(i + 1, Some(0), &name(i), [t, t, t + 0.015]));
    }
    chain.record(whole(500.1));
    // All at once, for two processors.
    let mut burst = BottleneckDetector::new(policy()).unwrap();
    for i in 0..50_000_u64 {
        let took = 0.01 * (i + 1) as f64 / 2.0;
        let mut one = span(i + 1, Some(0), &name(i), [0.0, 0.0, took]);
        one.activity = Activity {
            measured_s: took,
            cpu_s: 0.01,
            runnable_s: took - 0.01_f64.min(took),
            ..Activity::default()
        };
        burst.record(one);
    }
    burst.record(whole(250.1));
    for detector in [chain, burst] {
        let found = detector.look(at(1e3), &room(&[]));
        assert_eq!(found.tasks, 1);
        assert!(found.ranked.len() > 2, "{:?}", found.ranked);
        assert!(found.replayed.is_some_and(|it| it > 0.9), "{:?}", found.replayed);
        assert!(found.ranked.iter().all(|one| !one.what_if.is_empty()));
    }
}
