//! Trees of supervisors that start and stop with their kernel.
#![cfg(feature = "recovery")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sutazai_core::base::payload::Payload;
use sutazai_core::base::runtime::Manual;
use sutazai_core::base::time::Moment;
use sutazai_core::event::Subscription;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{Child, ChildLife, ChildReport, ChildStart, WorkerLife, WorkerMessage};
use sutazai_core::recovery::supervise::mailbox::MailboxPolicy;
use sutazai_core::recovery::supervise::{
    AutoShutdown, Cause, ChildSpec, Restart, State, Strategy, Supervisor, SupervisorSpec,
};
use sutazai_core::{Code, Error, Result};

fn virtual_kernel() -> (Manual, Kernel) {
    let time = Manual::new();
    let kernel = Kernel::builder().runtime(Arc::new(time.clone())).seed(1).build().unwrap();
    (time, kernel)
}

/// Registers `note`, which comes down on "crash", and counts what it did.
fn note(kernel: &Kernel) -> Arc<AtomicUsize> {
    let done = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&done);
    let work = move |message: &WorkerMessage<'_>| -> Result<()> {
        if message.body.to::<String>()? == "crash" {
            return Err(Error::new(Code::AGENT_FAILED, "on purpose"));
        }
        count.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    kernel.workers().add_messages("note", MailboxPolicy::default(), Arc::new(work)).unwrap();
    done
}

fn spec() -> SupervisorSpec {
    SupervisorSpec::new(Strategy::OneForOne)
        .intensity(2, Duration::from_secs(5))
        .child(ChildSpec::worker("one").does("note"))
}

fn payloads(events: &mut Subscription) -> Vec<serde_json::Value> {
    let mut all = Vec::new();
    while let Ok(Some(delivery)) = events.try_next() {
        all.push((*delivery.event.payload.value().unwrap()).clone());
    }
    all
}

#[test]
fn a_tree_starts_and_stops_with_its_kernel() {
    let (time, kernel) = virtual_kernel();
    let done = note(&kernel);
    kernel.supervise("main", spec()).unwrap();
    assert_eq!(kernel.trees()[0].state, State::Waiting);
    assert_eq!(kernel.supervisor("main").unwrap_err().code(), Code::NOT_RUNNING);
    kernel.start().unwrap();
    assert_eq!(kernel.supervisor("main").unwrap().children[0].path, "main>one");
    kernel.workers().push("main>one", "a".into()).unwrap();
    time.run();
    assert_eq!(done.load(Ordering::SeqCst), 1);
    kernel.stop(Duration::ZERO).unwrap();
    assert_eq!(kernel.trees()[0].state, State::Stopped);
    // What comes too late is refused: nobody would do it.
    let late = kernel.push_message("main>one", "b".into()).unwrap_err();
    assert_eq!(late.code(), Code::NOT_RUNNING);
    time.run();
    assert_eq!(done.load(Ordering::SeqCst), 1);
}

#[test]
fn changes_and_poison_are_told_of() {
    let (time, kernel) = virtual_kernel();
    note(&kernel);
    kernel.start().unwrap();
    let mut changes = kernel.bus().subscribe("recovery.tree.changed").pull().unwrap();
    let mut poison = kernel.bus().subscribe("recovery.mailbox.poisoned").pull().unwrap();
    kernel.supervise("main", spec()).unwrap();
    kernel.workers().push("main>one", "crash".into()).unwrap();
    time.run();
    let poisoned = payloads(&mut poison);
    assert_eq!(poisoned.len(), 1);
    assert_eq!((&poisoned[0]["child"], &poisoned[0]["id"]), (&"main>one".into(), &1.into()));
    assert_eq!(poisoned[0]["kills"].as_array().unwrap().len(), 2);
    let exits = payloads(&mut changes);
    let exits =
        exits.iter().filter(|change| change["to"] == "exited" && change["path"] == "main>one");
    assert_eq!(exits.clone().count(), 2);
    assert!(exits.clone().all(|exit| exit["error"]["message"] == "on purpose"), "{exits:?}");
    // Two restarts are allowed, and the third ends the tree.
    kernel.workers().push("main>one", "crash".into()).unwrap();
    time.run();
    assert_eq!(kernel.trees()[0].state, State::Stopped);
    let last = payloads(&mut changes).pop().unwrap();
    assert_eq!((&last["path"], &last["cause"]), (&"main".into(), &"intensity".into()));
    let health = kernel.lifecycle().health();
    assert!(format!("{health:?}").contains("its root is stopped"), "{health:?}");
}

#[test]
fn a_tree_that_gave_up_says_why_and_starts_again_with_its_messages() {
    let (time, kernel) = virtual_kernel();
    let done = note(&kernel);
    kernel.supervise("main", spec().intensity(1, Duration::from_secs(5))).unwrap();
    assert_eq!(kernel.start_tree("main").unwrap_err().code(), Code::NOT_RUNNING);
    kernel.start().unwrap();
    let lives = kernel.start_tree("main").unwrap_err();
    assert_eq!(lives.code(), Code::INVALID);
    assert!(lives.context().any(|(key, value)| (key, value) == ("state", "running")), "{lives:#}");
    assert_eq!(kernel.start_tree("mian").unwrap_err().remedy(), Some("did you mean 'main'?"));
    assert_eq!(kernel.trees()[0].why, None);

    for text in ["crash", "a", "b"] {
        kernel.push_message("main>one", text.into()).unwrap();
    }
    time.run();
    let tree = kernel.trees().remove(0);
    assert_eq!(tree.state, State::Stopped);
    let why = tree.why.unwrap();
    assert_eq!((&why.cause, why.child.as_deref()), (&Cause::Intensity, Some("main>one")));
    assert_eq!(why.error.as_ref().unwrap().message(), "on purpose");
    assert_eq!(why.at, kernel.runtime().timestamp());
    let json = serde_json::to_value(&why).unwrap();
    assert_eq!(json["error"]["message"], "on purpose");

    let health = || format!("{:?}", kernel.lifecycle().health());
    assert!(health().contains("its root is stopped"), "{}", health());
    kernel.start_tree("main").unwrap();
    assert!(health().contains("Healthy"), "{}", health());
    assert_eq!(kernel.trees()[0].why, None);
    time.run();
    assert_eq!(done.load(Ordering::SeqCst), 2);
    let mailbox = kernel.workers().mailbox("main>one").unwrap().status();
    assert_eq!((mailbox.accepted, mailbox.done, mailbox.set_aside), (3, 2, 1));

    kernel.stop(Duration::ZERO).unwrap();
    assert_eq!(kernel.trees()[0].why.as_ref().unwrap().cause, Cause::Asked);
    assert_eq!(kernel.start_tree("main").unwrap_err().code(), Code::NOT_RUNNING);
}

#[test]
fn why_names_the_lowest_child_that_led_to_it() {
    let (time, kernel) = virtual_kernel();
    note(&kernel);
    kernel.start().unwrap();
    let why = |kernel: &Kernel| kernel.trees().remove(0).why.unwrap();
    let none = Duration::from_secs(5);
    let one_for_one = || SupervisorSpec::new(Strategy::OneForOne);
    let below = spec().intensity(0, none).child(ChildSpec::worker("two").does("note"));
    let spec = one_for_one().intensity(0, none).child(ChildSpec::supervisor("below", below));
    kernel.supervise("main", spec).unwrap();
    kernel.push_message("main>below>two", "crash".into()).unwrap();
    time.run();
    let end = why(&kernel);
    assert_eq!((&end.cause, end.child.as_deref()), (&Cause::Intensity, Some("main>below>two")));
    assert_eq!(end.error.unwrap().message(), "on purpose");
    kernel.remove_tree("main").unwrap();

    let significant = ChildSpec::worker("one").does("note").restart(Restart::Temporary);
    let spec = one_for_one().auto_shutdown(AutoShutdown::AnySignificant);
    kernel.supervise("main", spec.child(significant.significant())).unwrap();
    kernel.push_message("main>one", "crash".into()).unwrap();
    time.run();
    let end = why(&kernel);
    assert_eq!((&end.cause, end.child.as_deref()), (&Cause::AutoShutdown, Some("main>one")));
    assert_eq!(end.error.unwrap().message(), "on purpose");
}

#[test]
fn a_tree_that_did_not_start_can_be_tried_again() {
    let (_, kernel) = virtual_kernel();
    note(&kernel);
    kernel.start().unwrap();
    let spec =
        SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::worker("one").does("nota"));
    assert_eq!(kernel.supervise("main", spec).unwrap_err().code(), Code::NOT_FOUND);
    let fails = Arc::new(AtomicUsize::new(1));
    let left = Arc::clone(&fails);
    // Whatever a child is made of, its start fails as often as said.
    let children = move |life: &ChildLife| -> Result<Arc<dyn Child>> {
        match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) {
            Ok(_) => Err(Error::new(Code::IO, format!("{} has no disk", life.id))),
            Err(_) => Ok(Arc::new(Idle)),
        }
    };
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::worker("one"));
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::supervisor("low", spec));
    let (runtime, observer) = (Arc::clone(kernel.runtime()), Arc::new(|_: &_| ()));
    let tree = Supervisor::new(runtime, "main", spec, Arc::new(children), observer, 0).unwrap();
    assert_eq!(tree.start().unwrap_err().code(), Code::CHILD_START);
    let end = tree.end().unwrap();
    assert!(matches!(end.cause, Cause::StartFailed { .. }), "{end:?}");
    assert_eq!((end.child.as_deref(), &end.error), (Some("main>low>one"), &None));
    let json = serde_json::to_string(&end).unwrap();
    assert_eq!(json.matches("\"error\":").count(), 1, "{json}");
    tree.start().unwrap();
    assert_eq!(tree.end(), None);
}

/// A child that does nothing.
struct Idle;

impl Child for Idle {
    fn start(&self, report: ChildReport, _: Moment) -> Result<ChildStart> {
        // It lives without one; without it it would count as ended.
        std::mem::forget(report);
        Ok(ChildStart::Running)
    }

    fn stop(&self, _: Moment) -> Result<()> {
        Ok(())
    }

    fn kill(&self) {}
}

#[test]
fn what_is_wrong_is_said_before_anything_is_added() {
    let (_, kernel) = virtual_kernel();
    note(&kernel);
    kernel.start().unwrap();
    let unknown = spec().child(ChildSpec::worker("two").does("nota"));
    let error = kernel.supervise("main", unknown).unwrap_err();
    assert_eq!((error.code(), error.remedy()), (Code::NOT_FOUND, Some("did you mean 'note'?")));
    let twice = spec().child(ChildSpec::worker("one"));
    assert_eq!(kernel.supervise("main", twice).unwrap_err().code(), Code::INVALID);
    assert!(kernel.trees().is_empty());
    kernel.supervise("main", spec()).unwrap();
    assert_eq!(kernel.supervise("main", spec()).unwrap_err().code(), Code::ALREADY_EXISTS);
    assert_eq!(kernel.tree("mian>one").unwrap_err().remedy(), Some("did you mean 'main'?"));
}

#[test]
fn a_child_that_cannot_start_is_an_error_and_leaves_nothing() {
    let (_, kernel) = virtual_kernel();
    kernel.start().unwrap();
    let never = |_: &WorkerLife| -> Result<()> { Ok(()) };
    kernel.workers().add("loop", Arc::new(never)).unwrap();
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::worker("a").does("loop"));
    // Registered for the check, and then gone from the tree's view: a child that names nothing.
    let manifest = Kernel::builder().supervise("main", spec).build().unwrap();
    let error = manifest.start().unwrap_err();
    assert_eq!(error.code(), Code::COMPONENT_START);
    assert!(format!("{error:#}").contains("no worker of this name"), "{error:#}");
}

#[test]
fn children_are_added_restarted_and_removed_while_it_runs() {
    let (time, kernel) = virtual_kernel();
    let done = note(&kernel);
    kernel.start().unwrap();
    kernel.supervise("main", spec()).unwrap();
    kernel.start_child("main", ChildSpec::worker("two").does("note")).unwrap();
    kernel.workers().push("main>two", "x".into()).unwrap();
    time.run();
    assert_eq!(done.load(Ordering::SeqCst), 1);
    let life = |kernel: &Kernel| kernel.supervisor("main").unwrap().children[1].generation;
    let before = life(&kernel);
    kernel.restart_child("main>two").unwrap();
    assert_ne!(life(&kernel), before);
    // One that was stopped is started as well.
    kernel.tree("main").unwrap().terminate_child("main>two").unwrap();
    kernel.restart_child("main>two").unwrap();
    assert_eq!(kernel.supervisor("main").unwrap().counts.active, 2);
    kernel.remove_tree("main").unwrap();
    assert!(kernel.trees().is_empty());
    assert_eq!(kernel.workers().mailbox("main>two").unwrap_err().code(), Code::NOT_FOUND);
    kernel.supervise("main", spec()).unwrap();
}

#[test]
fn playbooks_restart_children_and_roll_back() {
    let (time, kernel) = virtual_kernel();
    note(&kernel);
    kernel.start().unwrap();
    kernel.supervise("main", spec()).unwrap();
    let playbooks = serde_json::from_str(
        r#"{"playbooks": [
            {"name": "again", "when": {"event": {"subject": "app.stuck"}}, "action": "restart",
             "params": {"child": "$/child"}},
            {"name": "back", "when": {"event": {"subject": "app.worse"}}, "action": "roll_back"}
        ]}"#,
    );
    kernel.recovery().set_playbooks(playbooks.unwrap()).unwrap();
    let generation = || kernel.supervisor("main").unwrap().children[0].generation;
    let before = generation();
    let stuck = Payload::json(&serde_json::json!({"child": "main>one"})).unwrap();
    kernel.bus().publish("app.stuck", stuck).unwrap();
    time.run();
    assert_ne!(generation(), before);
    kernel.checkpoints().create("good", None).unwrap();
    kernel.log().set_filter("debug").unwrap();
    kernel.recovery().force_level(Some("essential"), "a test").unwrap();
    kernel.bus().publish("app.worse", Payload::NULL).unwrap();
    time.run();
    let last = kernel.recovery().playbooks().record(1).pop().unwrap();
    assert_eq!(last.state.name(), "done", "{last:?}");
    // Given back to the rules, which leave it when it has dwelt there.
    assert!(!kernel.recovery().level().forced);
    time.advance(Duration::from_secs(600));
    assert_eq!(kernel.recovery().level().level.to_string(), "full");
    assert_eq!(kernel.log().filter(), "info");
}

#[test]
fn policies_come_back_with_a_checkpoint() {
    use sutazai_core::kernel::CallsTo;
    let (_, kernel) = virtual_kernel();
    kernel.start().unwrap();
    let policy = |text| Some(serde_json::from_str(text).unwrap());
    let guard = |calls, text| {
        let policy: Option<sutazai_core::recovery::GuardPolicy> = policy(text);
        kernel.guard(calls, policy).unwrap();
    };
    guard(CallsTo::All, r#"{"retry": {"attempts": 7}}"#);
    let good = kernel.checkpoints().create("good", None).unwrap();
    guard(CallsTo::All, r#"{"retry": {"attempts": 1}}"#);
    guard(CallsTo::Skill("x".into()), r#"{"timeout_ms": 5}"#);
    let isolation = serde_json::from_str(r#"{"quarantine_ms": 5}"#).unwrap();
    kernel.recovery().set_isolate_policy(isolation).unwrap();
    let changed = kernel.checkpoints().diff(good.id, None).unwrap().changed;
    assert_eq!(changed, ["recovery.policies"]);
    kernel.checkpoints().restore(good.id, None).unwrap();
    let guards: Vec<_> = kernel.guards().into_iter().map(|guard| guard.calls).collect();
    assert_eq!(guards, ["all"]);
    assert_eq!(kernel.checkpoints().diff(good.id, None).unwrap().changed, [] as [String; 0]);
}

#[test]
fn a_tree_that_gives_up_takes_the_safe_state_where_critical_errors_do() {
    let time = Manual::new();
    let failsafe = serde_json::from_str(r#"{"drain_ms": 0}"#).unwrap();
    let builder = Kernel::builder().runtime(Arc::new(time.clone())).failsafe(failsafe);
    let kernel = builder.build().unwrap();
    note(&kernel);
    kernel.start().unwrap();
    kernel.supervise("main", spec().intensity(0, Duration::from_secs(5))).unwrap();
    kernel.push_message("main>one", "crash".into()).unwrap();
    time.run();
    let status = kernel.recovery().wait_safe(Duration::from_secs(10));
    assert!(format!("{status:?}").contains("given up"), "{status:?}");
}
