//! What the recorded table does not have: deadlines, kills, pauses, and a world that is slow.

use std::time::Duration;

use super::super::super::{
    AutoShutdown, Backoff, Cause, ChildSpec, Counts, Restart, Shutdown, State, Strategy,
    SupervisorSpec,
};
use super::super::{KILL_WITHIN, Request};
use super::world::{SECOND, World, error, failure, workers};
use crate::base::time::Moment;
use crate::port::{ChildExit, ChildStart};
use crate::{Code, Error};

fn one_for_one() -> SupervisorSpec {
    SupervisorSpec::new(Strategy::OneForOne)
}

fn often(spec: SupervisorSpec) -> SupervisorSpec {
    spec.intensity(1000, SECOND)
}

#[test]
fn children_start_one_after_the_other_and_stop_in_reverse() {
    let mut world = World::new(workers(one_for_one(), ["a", "b", "c"]));
    world.tree.start(world.now).unwrap();
    assert_eq!(world.tree.start(world.now).unwrap_err().code(), Code::INVALID);
    world.hear();
    assert_eq!(world.story(), ["main starting", "a starting"]);
    world.start_ends(world.life("main>a"), Ok(ChildStart::Running));
    assert_eq!(world.story(), ["a running", "b starting"]);
    world.start_ends(world.life("main>b"), Ok(ChildStart::Ignored));
    assert_eq!(world.story(), ["b stopped", "c starting"]);
    world.start_ends(world.life("main>c"), Ok(ChildStart::Running));
    assert_eq!(world.story(), ["c running", "main running"]);
    assert_eq!(world.up.take(), Some(Ok(())));
    let counts = Counts { specs: 3, active: 2, supervisors: 0, workers: 3 };
    assert_eq!(world.tree.counts("main"), Some(counts));
    world.stop(Moment::FAR);
    assert_eq!(world.story(), ["main stopping", "c stopping"]);
    world.exits(world.life("main>c"), failure());
    let failed = &world.tree.status(world.now).unwrap().children[2].last_failure;
    assert_eq!(*failed, Some(Cause::StopFailed { error: error() }));
    assert_eq!(world.story(), ["c stopped", "a stopping"]);
    world.obey();
    assert_eq!(world.story(), ["a stopped", "main stopped"]);
    assert_eq!(world.down.take(), Some(Cause::Asked));
    world.assert_empty();
    // It can be started again, and a stop of what is down is answered.
    world.stop(Moment::FAR);
    assert_eq!(world.down.take(), Some(Cause::Asked));
    world.tree.start(world.now).unwrap();
    world.obey();
    assert_eq!(world.up.take(), Some(Ok(())));
}

#[test]
fn a_start_that_fails_undoes_those_before_and_says_which() {
    let inner = workers(one_for_one(), ["b"]);
    let spec = workers(one_for_one(), ["a"])
        .child(ChildSpec::supervisor("inner", inner))
        .child(ChildSpec::worker("c"));
    let mut world = World::new(spec);
    world.tree.start(world.now).unwrap();
    world.hear();
    world.start_ends(world.life("main>a"), Ok(ChildStart::Running));
    world.start_ends(world.life("main>inner>b"), Err(error()));
    world.obey();
    let failed = world.up.take().unwrap().unwrap_err();
    assert_eq!(failed.code(), Code::CHILD_START);
    assert_eq!(
        format!("{failed:#}"),
        "the child \"main>inner\" failed to start (child=main>inner): the child \"main>inner>b\" \
         failed to start (child=main>inner>b): on purpose"
    );
    assert_eq!((world.state("main>a"), world.state("main")), (State::Stopped, State::Stopped));
    assert_eq!(world.down, None);
    world.assert_empty();
}

#[test]
fn a_start_that_overruns_is_killed_and_counts_as_failed() {
    let child = ChildSpec::worker("a").start_timeout(2 * SECOND);
    let mut world = World::new(one_for_one().child(child));
    world.tree.start(world.now).unwrap();
    world.hear();
    let life = world.life("main>a");
    world.advance(2 * SECOND - Duration::from_nanos(1));
    assert!(world.killing.is_empty());
    world.advance(Duration::from_nanos(1));
    assert!(world.killing.contains(&life));
    // Its start returns after all: nobody wants it.
    assert!(!world.start_ends(life, Ok(ChildStart::Running)));
    assert_eq!(world.up, None);
    world.starting.insert(life, "main>a".into());
    world.kill_ends(life);
    let failed = world.up.take().unwrap().unwrap_err();
    assert!(format!("{failed:#}").contains("did not start before its deadline"), "{failed:#}");
    world.assert_empty();
}

#[test]
fn a_kill_that_does_not_return_is_not_waited_for() {
    let child = ChildSpec::worker("a").start_timeout(SECOND);
    let mut world = World::new(one_for_one().child(child));
    world.tree.start(world.now).unwrap();
    world.hear();
    world.advance(SECOND);
    let life = world.life("main>a");
    world.advance(KILL_WITHIN - Duration::from_nanos(1));
    assert_eq!(world.up, None);
    world.abandoned(life);
    world.advance(Duration::from_nanos(1));
    assert!(world.up.take().unwrap().is_err());
    world.assert_empty();
    // Whatever it says now, nobody hears.
    assert!(!world.tree.started(life, Ok(ChildStart::Running), world.now));
    world.tree.exited(life, ChildExit::Normal, world.now);
    world.tree.killed(life, world.now);
    world.hear();
    assert_eq!(world.state("main"), State::Stopped);
}

#[test]
fn a_stop_that_overruns_ends_with_a_kill() {
    let spec = often(SupervisorSpec::new(Strategy::OneForAll))
        .child(ChildSpec::worker("a").shutdown(Shutdown::TimeoutMs(500)))
        .child(ChildSpec::worker("b"));
    let mut world = World::started(spec);
    let old = world.life("main>a");
    world.exits(world.life("main>b"), ChildExit::Normal);
    assert_eq!(world.story(), ["b exited", "a stopping"]);
    world.advance(Duration::from_millis(500));
    assert!(world.killing.contains(&old));
    world.kill_ends(old);
    assert_eq!(world.story(), ["a waiting", "a starting"]);
    world.obey();
    assert_ne!(world.life("main>a"), old);
    // The late report of the old life changes nothing.
    world.tree.exited(old, failure(), world.now);
    world.hear();
    assert_eq!((world.state("main>a"), world.state("main>b")), (State::Running, State::Running));
}

#[test]
fn the_deadline_of_the_stop_kills_whatever_is_left() {
    let slow = ChildSpec::worker("slow").shutdown(Shutdown::Infinity);
    let inner = one_for_one().child(slow).child(ChildSpec::worker("b"));
    let spec = workers(one_for_one(), ["a"]).child(ChildSpec::supervisor("inner", inner));
    let mut world = World::started(spec);
    let token = world.ask(Request::TerminateChild { path: "main>inner>slow".to_owned() });
    world.stop(world.now + 5 * SECOND);
    world.advance(4 * SECOND);
    assert_eq!(world.stopping.len(), 1);
    // A later deadline does not help.
    world.stop(Moment::FAR);
    world.advance(SECOND);
    assert_eq!(world.killing.len(), 3);
    assert_eq!(world.answers[&token].as_ref().unwrap_err().code(), Code::NOT_RUNNING);
    let lives: Vec<_> = world.alive.keys().copied().collect();
    world.kill_ends(lives[1]);
    world.kill_ends(lives[0]);
    assert_eq!(world.down, None);
    world.advance(KILL_WITHIN);
    assert_eq!(world.down.take(), Some(Cause::Killed));
    assert_eq!(world.state("main>inner>slow"), State::Stopped);
    world.assert_empty();
}

#[test]
fn a_stop_in_the_middle_of_the_start_comes_after_it_or_kills_it() {
    let spec = workers(one_for_one(), ["a", "b"]);
    let mut world = World::new(spec.clone());
    world.tree.start(world.now).unwrap();
    world.stop(Moment::FAR);
    world.obey();
    assert_eq!(world.up.take(), Some(Ok(())));
    assert_eq!(world.down.take(), Some(Cause::Asked));

    let mut world = World::new(spec);
    world.tree.start(world.now).unwrap();
    world.hear();
    world.start_ends(world.life("main>a"), Ok(ChildStart::Running));
    world.stop(world.now + SECOND);
    world.advance(SECOND);
    assert_eq!(world.killing.len(), 2);
    world.obey();
    assert_eq!(world.up.take().unwrap().unwrap_err().code(), Code::CANCELLED);
    assert_eq!(world.down.take(), Some(Cause::Killed));
    world.assert_empty();
}

#[test]
fn an_end_during_the_start_is_heard_when_the_start_is_over() {
    let spec = often(workers(one_for_one(), ["a", "b"]));
    let mut world = World::new(spec);
    world.tree.start(world.now).unwrap();
    world.hear();
    let first = world.life("main>a");
    world.tree.exited(first, failure(), world.now);
    world.hear();
    assert_eq!(world.story(), ["main starting", "a starting"]);
    assert!(world.tree.started(first, Ok(ChildStart::Running), world.now));
    world.starting.remove(&first);
    world.hear();
    assert_eq!(world.story(), ["a running", "a exited", "b starting"]);
    assert_eq!(world.tree.counts("main").unwrap().active, 0);
    world.obey();
    assert_eq!(world.story(), ["b running", "main running", "a starting", "a running"]);
}

#[test]
fn too_many_restarts_climb_the_tree() {
    let inner = workers(one_for_one().intensity(1, SECOND), ["a"]);
    let spec = one_for_one()
        .intensity(1, 10 * SECOND)
        .child(ChildSpec::supervisor("inner", inner))
        .child(ChildSpec::worker("b"));
    let mut world = World::started(spec);
    let crash = |world: &mut World| {
        world.exits(world.life("main>inner>a"), failure());
        world.obey();
    };
    crash(&mut world);
    let status = world.tree.supervisor("main>inner", world.now).unwrap();
    assert_eq!((status.recent_restarts, status.children[0].restarts), (1, 1));
    crash(&mut world);
    let status = world.tree.status(world.now).unwrap();
    assert_eq!((status.recent_restarts, status.children[0].restarts), (1, 1));
    assert_eq!(status.children[0].last_failure, Some(Cause::Intensity));
    crash(&mut world);
    world.changes.clear();
    crash(&mut world);
    assert_eq!(
        world.story(),
        [
            "inner>a exited",
            "inner>a stopped",
            "inner stopping",
            "inner exited",
            "inner stopped",
            "main stopping",
            "b stopping",
            "b stopped",
            "main stopped"
        ]
    );
    assert_eq!(world.down.take(), Some(Cause::Intensity));
    world.assert_empty();
}

#[test]
fn a_transient_supervisor_that_gives_up_is_not_restarted() {
    let inner = workers(one_for_one().intensity(0, SECOND), ["a"]);
    let inner = ChildSpec::supervisor("inner", inner).restart(Restart::Transient);
    let mut world = World::started(one_for_one().child(inner));
    world.exits(world.life("main>inner>a"), failure());
    world.obey();
    assert_eq!((world.state("main>inner"), world.state("main")), (State::Stopped, State::Running));
    let path = || "main>inner".to_owned();
    let token = world.ask(Request::RestartChild { path: path() });
    world.obey();
    assert_eq!((&world.answers[&token], world.state("main>inner>a")), (&Ok(()), State::Running));
    let token = world.ask(Request::DeleteChild { path: path() });
    let error = world.answers[&token].clone().unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::INVALID, "the child lives, or is about to"));
}

#[test]
fn pauses_come_before_restarts_and_grow() {
    let backoff = Backoff { jitter: 0.0, calm_ms: 10_000, ..Backoff::default() };
    let spec = often(SupervisorSpec::new(Strategy::RestForOne)).backoff(backoff);
    let mut world = World::started(workers(spec, ["a", "b", "c"]));
    world.exits(world.life("main>b"), ChildExit::Normal);
    assert_eq!(world.story(), ["b exited", "c stopping"]);
    world.obey();
    assert_eq!(world.story(), ["c waiting", "b restarting"]);
    let paused = |world: &World| world.tree.status(world.now).unwrap().children[1].pause_ms;
    assert_eq!(paused(&world), Some(100));
    // Requests see what they would see in OTP between two tries.
    let path = || "main>b".to_owned();
    let token = world.ask(Request::RestartChild { path: path() });
    let error = world.answers[&token].clone().unwrap_err();
    assert_eq!(error.context().last(), Some(("state", "restarting")));
    world.advance(Duration::from_millis(99));
    assert_eq!(paused(&world), Some(1));
    assert_eq!(world.story(), [""; 0]);
    world.advance(Duration::from_millis(1));
    // A start that fails waits for longer.
    world.start_ends(world.life("main>b"), Err(self::error()));
    assert_eq!(world.story(), ["b starting", "b restarting", "b restarting"]);
    assert_eq!(paused(&world), Some(200));
    world.settle();
    assert_eq!(world.story(), ["b starting", "b running", "c starting", "c running"]);
    world.exits(world.life("main>b"), failure());
    world.obey();
    assert_eq!(paused(&world), Some(400));
    world.settle();
    // Ten seconds of life are enough to start over.
    world.advance(10 * SECOND);
    world.exits(world.life("main>b"), failure());
    world.obey();
    assert_eq!(paused(&world), Some(100));
    // One that is terminated in its pause is not started when the pause is over.
    let token = world.ask(Request::TerminateChild { path: path() });
    assert_eq!(world.answers[&token], Ok(()));
    assert_eq!(world.tree.next_tick(), None);
    world.settle();
    assert_eq!((world.state("main>b"), world.state("main>c")), (State::Stopped, State::Waiting));
    world.stop(Moment::FAR);
    world.obey();
    world.assert_empty();
}

#[test]
fn a_sibling_that_ends_in_a_pause_takes_it_over() {
    let backoff = Backoff { jitter: 0.0, ..Backoff::default() };
    let spec = often(SupervisorSpec::new(Strategy::OneForAll)).backoff(backoff);
    let mut world = World::started(workers(spec, ["a", "b"]));
    let token = world.ask(Request::TerminateChild { path: "main>b".to_owned() });
    world.obey();
    assert_eq!(world.answers[&token], Ok(()));
    world.exits(world.life("main>a"), failure());
    world.obey();
    world.advance(Duration::from_millis(50));
    let token = world.ask(Request::RestartChild { path: "main>b".to_owned() });
    world.obey();
    assert_eq!(world.answers[&token], Ok(()));
    world.exits(world.life("main>b"), failure());
    world.obey();
    world.story();
    // The first pause would be over now; the second one holds.
    world.advance(Duration::from_millis(50));
    assert_eq!(world.story(), [""; 0]);
    world.advance(Duration::from_millis(50));
    assert_eq!(world.story(), ["a starting"]);
    world.obey();
    assert_eq!(world.story(), ["a running", "b starting", "b running"]);
}

#[test]
fn requests_wait_for_their_turn_and_are_bounded() {
    let mut world = World::started(workers(often(one_for_one()), ["a"]));
    world.exits(world.life("main>a"), failure());
    let tokens: Vec<_> =
        (0..1025).map(|_| world.ask(Request::DeleteChild { path: "main>x".to_owned() })).collect();
    assert_eq!(world.answers.len(), 1);
    let refused = world.answers[&tokens[1024]].clone().unwrap_err();
    assert_eq!(refused.code(), Code::OVERLOADED);
    world.obey();
    assert_eq!(world.answers.len(), 1025);
    let error = world.answers[&tokens[0]].clone().unwrap_err();
    assert_eq!(error.to_string(), "supervise.ask: there is no such child (child=main>x)");
    for (path, code) in [("main", Code::INVALID), ("other>a", Code::NOT_FOUND)] {
        let token = world.ask(Request::TerminateChild { path: path.to_owned() });
        assert_eq!(world.answers[&token].clone().unwrap_err().code(), code);
    }
}

#[test]
fn a_request_to_a_supervisor_that_ends_is_answered() {
    let mut world = World::started(workers(one_for_one().intensity(0, SECOND), ["a", "b"]));
    world.exits(world.life("main>a"), failure());
    let spec = Box::new(ChildSpec::worker("c"));
    let token = world.ask(Request::StartChild { supervisor: "main".to_owned(), spec });
    world.obey();
    let error: Error = world.answers[&token].clone().unwrap_err();
    assert_eq!(error.code(), Code::NOT_RUNNING);
}

#[test]
fn significant_children_end_their_supervisor() {
    let all = one_for_one().auto_shutdown(AutoShutdown::AllSignificant);
    let child = |id| ChildSpec::worker(id).restart(Restart::Transient).significant();
    let inner = all.child(child("a")).child(child("b")).child(ChildSpec::worker("c"));
    let inner = ChildSpec::supervisor("inner", inner).restart(Restart::Temporary);
    let mut world = World::started(one_for_one().child(inner));
    world.exits(world.life("main>inner>a"), ChildExit::Normal);
    assert_eq!(world.story(), ["inner>a exited", "inner>a stopped"]);
    world.exits(world.life("main>inner>b"), ChildExit::Shutdown);
    world.obey();
    assert_eq!(world.changes[2].cause, Cause::AutoShutdown);
    assert_eq!((world.state("main>inner"), world.state("main")), (State::Removed, State::Running));
    assert_eq!(world.tree.counts("main"), Some(Counts::default()));
}

#[test]
fn a_supervisor_is_changed_while_it_runs_and_stays_so() {
    let inner = workers(one_for_one().intensity(0, SECOND), ["a", "b"]);
    let spec = often(one_for_one()).child(ChildSpec::supervisor("in", inner));
    let mut world = World::started(spec);
    let change = |world: &mut World, path: &str, spec: SupervisorSpec| {
        let request = Request::Change { supervisor: path.to_owned(), spec: Box::new(spec) };
        let token = world.ask(request);
        world.answers[&token].clone()
    };
    let all = SupervisorSpec::new(Strategy::OneForAll).intensity(1, SECOND);
    assert_eq!(change(&mut world, "main>in", all), Ok(()));
    let crash = |world: &mut World| {
        world.exits(world.life("main>in>b"), failure());
        world.obey();
        world.story().len()
    };
    world.story();
    // exited, a stopping, waiting, starting, running, b starting, running
    assert_eq!(crash(&mut world), 7);
    // The next one is too much; started anew, the supervisor is what it was changed to.
    crash(&mut world);
    assert_eq!(crash(&mut world), 7);
    let status = world.tree.supervisor("main>in", world.now).unwrap();
    assert_eq!((status.strategy, status.intensity), (Strategy::OneForAll, 1));
    // What is not valid changes nothing; a significant child holds on to the automatic shutdown.
    let none = SupervisorSpec::new(Strategy::OneForOne).intensity(1, Duration::ZERO);
    assert_eq!(change(&mut world, "main>in", none).unwrap_err().code(), Code::INVALID);
    let any = one_for_one().auto_shutdown(AutoShutdown::AnySignificant);
    assert_eq!(change(&mut world, "main", any), Ok(()));
    let spec = ChildSpec::worker("s").restart(Restart::Temporary).significant();
    world.ask(Request::StartChild { supervisor: "main".to_owned(), spec: Box::new(spec) });
    world.obey();
    assert_eq!(change(&mut world, "main", one_for_one()).unwrap_err().code(), Code::INVALID);
    world.exits(world.life("main>s"), ChildExit::Normal);
    world.obey();
    assert_eq!(world.down.take(), Some(Cause::AutoShutdown));
    // The root, too, starts anew as it was changed.
    world.tree.start(world.now).unwrap();
    world.obey();
    let status = world.tree.status(world.now).unwrap();
    assert_eq!(status.auto_shutdown, AutoShutdown::AnySignificant);
}

#[test]
fn changes_have_a_json_form() {
    let mut world = World::started(workers(often(one_for_one()), ["a"]));
    world.exits(world.life("main>a"), failure());
    let told: Vec<_> = world.changes.iter().map(|c| serde_json::to_value(c).unwrap()).collect();
    assert_eq!(
        told,
        [
            serde_json::json!({
                "path": "main>a", "kind": "worker", "generation": 2, "from": "running",
                "to": "exited", "cause": "exited", "exit": "failed", "error": error()
            }),
            serde_json::json!({
                "path": "main>a", "kind": "worker", "generation": 3, "from": "exited",
                "to": "starting", "cause": "restart"
            })
        ]
    );
    let request = r#"{"request":"terminate_child","path":"main>a"}"#;
    world.ask(serde_json::from_str(request).unwrap());
    world.obey();
    assert_eq!(world.state("main>a"), State::Stopped);
}
