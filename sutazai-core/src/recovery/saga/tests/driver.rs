//! Sagas on a store and a runtime: their ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::bench::{Calls, bench, cause, failing, fine, on, quick, refused, step};
use crate::base::payload::Payload;
use crate::base::runtime::{Manual, Runtime, Threads};
use crate::base::time::Moment;
use crate::port::SagaContext;
use crate::recovery::{
    MIGRATIONS, Saga, SagaConfig, SagaFilter, SagaPolicy, SagaState, SagaStepState, StepPolicy,
    step_fn,
};
use crate::store::Store;
use crate::{Class, Code};

#[test]
fn steps_get_what_those_before_gave_and_the_last_one_answers() {
    let bench = bench(SagaConfig::default());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keys = Arc::clone(&seen);
    let second = step_fn(
        move |ctx: &SagaContext<'_>| {
            assert!(!ctx.cancelled() && ctx.attempt == 1 && ctx.deadline == Moment::FAR);
            keys.lock().push(ctx.key.to_owned());
            let first: u64 = ctx.given_by("first").unwrap().to()?;
            assert!(ctx.given_by("second").is_none());
            Ok((first + ctx.input.to::<u64>()?).into())
        },
        |_: &SagaContext<'_>, _: Option<&Payload>| Ok(()),
    );
    let first = step_fn(
        |_: &SagaContext<'_>| Ok(40_u64.into()),
        |_: &SagaContext<'_>, _: Option<&Payload>| Ok(()),
    );
    bench.sagas.define(Saga::new("sum").step("first", first).step("second", second)).unwrap();
    let (id, mut ticket) = bench.sagas.run("sum", 2_u64).unwrap();
    assert_eq!(ticket.wait().unwrap(), Payload::from(42_u64));
    assert_eq!(*seen.lock(), [format!("{id}/second/do")]);
    let detail = bench.sagas.inspect(id).unwrap();
    assert_eq!((detail.view.state, detail.live), (SagaState::Done, false));
    assert_eq!(detail.steps[1].gave, Some(42_u64.into()));
    assert!(detail.steps.iter().all(|step| step.state == SagaStepState::Done));
    let events = ["begun", "step_started first", "step_done first"];
    assert_eq!(bench.news.lock()[..3], events);
    assert_eq!(bench.news.lock().len(), detail.journal.len());
    assert_eq!(bench.sagas.watch(id).unwrap().wait().unwrap(), Payload::from(42_u64));
    assert_eq!(bench.sagas.unfinished(), 0);
}

#[test]
fn what_was_done_is_undone_the_last_first_and_the_failed_one_too() {
    let (bench, calls) = (bench(SagaConfig::default()), Calls::default());
    let atomic = StepPolicy { atomic: true, ..StepPolicy::default() };
    for (name, policy) in [("open", StepPolicy::default()), ("atomic", atomic)] {
        let saga = Saga::new(name)
            .step("a", fine(&calls))
            .step("b", fine(&calls))
            .step_with("c", policy, failing(&calls, Class::Persistent))
            .step("d", fine(&calls));
        bench.sagas.define(saga).unwrap();
        let (id, mut ticket) = bench.sagas.run(name, Payload::NULL).unwrap();
        let error = ticket.wait().unwrap_err();
        assert_eq!((error.code(), cause(&error).as_str()), (Code::SAGA_UNDONE, "on purpose"));
        let detail = bench.sagas.inspect(id).unwrap();
        let states: Vec<_> = detail.steps.iter().map(|step| step.state).collect();
        let undone = SagaStepState::Undone;
        assert_eq!(states, [undone, undone, undone, SagaStepState::Waiting]);
        assert_eq!(detail.failure.unwrap().error().code(), Code::AGENT_FAILED);
    }
    let both = [
        "do a",
        "do b",
        "do c",
        "undo c nothing",
        "undo b \"b\"",
        "undo a \"a\"",
        "do a",
        "do b",
        "do c",
        "undo b \"b\"",
        "undo a \"a\"",
    ];
    assert_eq!(*calls.lock(), both);
}

#[test]
fn transient_failures_are_tried_again_as_far_as_the_policy_goes() {
    let (bench, calls) = (bench(SagaConfig::default()), Calls::default());
    let tries = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tries);
    let third = step(
        &calls,
        move |ctx| match count.fetch_add(1, Ordering::Relaxed) {
            2 => Ok(ctx.attempt.into()),
            _ => Err(refused(Class::Transient)),
        },
        |_| Ok(()),
    );
    let policy = |attempts| StepPolicy { retry: Some(quick(attempts)), ..StepPolicy::default() };
    bench.sagas.define(Saga::new("third").step_with("a", policy(3), third)).unwrap();
    let panics = step(&calls, |_| panic!("at the disco"), |_| Ok(()));
    bench.sagas.define(Saga::new("panics").step_with("a", policy(3), panics)).unwrap();
    let (_, mut ticket) = bench.sagas.run("third", Payload::NULL).unwrap();
    assert_eq!(ticket.wait().unwrap(), Payload::from(3_u32));
    let (_, mut ticket) = bench.sagas.run("panics", Payload::NULL).unwrap();
    assert!(cause(&ticket.wait().unwrap_err()).contains("at the disco"));
    assert_eq!(*calls.lock(), ["do a", "do a", "do a", "do a", "undo a nothing"]);
    // Twice is not enough for the first one.
    tries.store(0, Ordering::Relaxed);
}

#[test]
fn a_compensation_that_fails_for_good_leaves_it_stuck_until_somebody_looks() {
    let (bench, calls) = (bench(SagaConfig::default()), Calls::default());
    let broken = Arc::new(AtomicUsize::new(1));
    let state = Arc::clone(&broken);
    let b = step(
        &calls,
        |_| Ok(Payload::NULL),
        move |_| match state.load(Ordering::Relaxed) {
            0 => Ok(()),
            _ => Err(refused(Class::Transient)),
        },
    );
    let policy = SagaPolicy { undo_retry: quick(2), ..SagaPolicy::default() };
    let saga = Saga::new("s")
        .policy(policy)
        .step("a", fine(&calls))
        .step("b", b)
        .step("c", failing(&calls, Class::Persistent));
    bench.sagas.define(saga).unwrap();
    let run = || {
        let (id, mut ticket) = bench.sagas.run("s", Payload::NULL).unwrap();
        let error = ticket.wait().unwrap_err();
        assert_eq!((error.code(), error.class()), (Code::SAGA_STUCK, Class::Critical));
        id
    };
    let (first, second) = (run(), run());
    let undone: Vec<_> = calls.lock().iter().filter(|c| c.starts_with("undo")).cloned().collect();
    let once = ["undo c nothing", "undo b null", "undo b null"];
    assert_eq!(undone, [once, once].concat());
    assert_eq!(bench.sagas.unfinished(), 2);
    // Stuck stays stuck over a resume.
    assert!(bench.sagas.resume().unwrap().going.is_empty());
    let stuck = bench.sagas.list(&SagaFilter::state(SagaState::Stuck)).unwrap();
    assert_eq!(stuck.iter().map(|view| view.id).collect::<Vec<_>>(), [second, first]);
    assert_eq!(bench.sagas.watch(first).unwrap().wait().unwrap_err().code(), Code::SAGA_STUCK);
    assert!(!bench.sagas.cancel(first).unwrap());

    // Tried again by hand, in vain and then not.
    let error = bench.sagas.retry(first).unwrap().wait().unwrap_err();
    assert_eq!(error.code(), Code::SAGA_STUCK);
    broken.store(0, Ordering::Relaxed);
    let error = bench.sagas.retry(first).unwrap().wait().unwrap_err();
    assert_eq!(error.code(), Code::SAGA_UNDONE);
    assert_eq!(bench.sagas.inspect(first).unwrap().view.state, SagaState::Undone);
    assert_eq!(bench.sagas.retry(first).unwrap_err().code(), Code::INVALID);

    // Seen to by hand.
    let view = bench.sagas.resolve(second, "undone in the back office").unwrap().wait().unwrap();
    assert_eq!(view.state, SagaState::Resolved);
    let note = bench.sagas.inspect(second).unwrap().note;
    assert_eq!(note.as_deref(), Some("undone in the back office"));
    assert_eq!(bench.sagas.resolve(second, "").unwrap_err().code(), Code::INVALID);
    assert_eq!(bench.sagas.unfinished(), 0);
    let news = bench.news.lock();
    assert_eq!(news.iter().filter(|n| *n == "stuck b").count(), 3);
    assert_eq!(news.last().unwrap(), "resolved");
}

#[test]
fn cancelling_and_the_deadline_take_effect_at_the_next_boundary() {
    let calls = Calls::default();
    let runtime = Arc::new(Manual::new());
    let store = Store::memory(&[MIGRATIONS]).unwrap();
    let bench = on(runtime.clone(), store, SagaConfig::default());
    let (entered, gate) = (Arc::new(AtomicUsize::new(0)), runtime.clone());
    let count = Arc::clone(&entered);
    let slow = step(
        &calls,
        move |ctx| {
            count.fetch_add(1, Ordering::Relaxed);
            // As long as the deadline of the saga that has one.
            gate.spawn_at(gate.now() + Duration::from_secs(9), Box::new(|| ()));
            Ok((ctx.deadline == Moment::FAR).into())
        },
        |_| Ok(()),
    );
    let policy = |ms| SagaPolicy { deadline_ms: ms, ..SagaPolicy::default() };
    bench.sagas.define(Saga::new("timed").policy(policy(Some(0))).step("a", fine(&calls))).unwrap();
    bench.sagas.define(Saga::new("free").step("a", slow).step("b", fine(&calls))).unwrap();
    let until = |ticket: &mut crate::base::ticket::Ticket<Payload>| loop {
        // The store answers on a thread of its own.
        runtime.advance(Duration::from_millis(1));
        match ticket.try_take() {
            Some(answer) => return answer.unwrap_err(),
            None => std::thread::yield_now(),
        }
    };
    let (_, mut timed) = bench.sagas.run("timed", Payload::NULL).unwrap();
    assert!(cause(&until(&mut timed)).contains("deadline passed"));
    assert!(calls.lock().is_empty(), "no step was begun");

    let (id, mut free) = bench.sagas.run("free", Payload::NULL).unwrap();
    assert_eq!(free.wait().unwrap_err().code(), Code::WOULD_DEADLOCK);
    assert!(bench.sagas.cancel(id).unwrap());
    assert!(cause(&until(&mut free)).contains("cancelled"));
    assert!(!calls.lock().iter().any(|call| call == "do b"));
    assert_eq!(bench.sagas.cancel(id).ok(), Some(false));

    // A ticket that is dropped gives the saga up; one that watches does not.
    let (id, dropped) = bench.sagas.run("free", Payload::NULL).unwrap();
    let mut watched = bench.sagas.watch(id).unwrap();
    drop(bench.sagas.watch(id).unwrap());
    drop(dropped);
    assert_eq!(until(&mut watched).code(), Code::SAGA_UNDONE);
}

#[test]
fn what_a_stop_interrupts_goes_on_elsewhere() {
    let calls = Calls::default();
    let runtime = Arc::new(Threads::default());
    runtime.start().unwrap();
    let store = Store::memory(&[MIGRATIONS]).unwrap();
    let first = on(runtime.clone(), store.clone(), SagaConfig::default());
    let (enter, entered) = std::sync::mpsc::channel();
    let (leave, left) = std::sync::mpsc::channel::<bool>();
    let left = Mutex::new(left);
    let saga = |step| {
        Saga::new("s")
            .step("a", fine(&calls))
            .shared_step("b", StepPolicy::idempotent(), step)
            .step("c", fine(&calls))
    };
    let held = step(
        &calls,
        move |_| {
            enter.send(()).unwrap();
            if left.lock().recv().unwrap() {
                Ok(Payload::NULL)
            } else {
                Err(refused(Class::Persistent))
            }
        },
        |_| Ok(()),
    );
    first.sagas.define(saga(Arc::new(held))).unwrap();
    let mut tickets = Vec::new();
    let mut ids = Vec::new();
    for succeeds in [true, false] {
        let (id, ticket) = first.sagas.run("s", Payload::NULL).unwrap();
        entered.recv().unwrap();
        tickets.push((succeeds, ticket));
        ids.push(id);
        if !succeeds {
            // Both stand in their step: what runs when the stop comes ends well, or fails because of it.
            first.sagas.stop(runtime.now());
        }
    }
    leave.send(true).unwrap();
    leave.send(false).unwrap();
    for (_, mut ticket) in tickets {
        assert_eq!(ticket.wait().unwrap_err().code(), Code::NOT_RUNNING);
    }
    first.sagas.stop(runtime.now() + Duration::from_secs(60));
    assert_eq!(first.sagas.run("s", Payload::NULL).unwrap_err().code(), Code::NOT_RUNNING);
    assert!(!first.news.lock().iter().any(|n| n == "failing" || n == "set_aside"));

    let second = on(runtime.clone(), store, SagaConfig::default());
    let found = second.sagas.resume().unwrap();
    assert_eq!((found.going.len(), found.waiting.len()), (0, 2), "not defined");
    assert_eq!(second.sagas.watch(ids[0]).unwrap_err().code(), Code::NOT_RUNNING);
    second.sagas.define(saga(Arc::new(fine(&calls)))).unwrap();
    assert_eq!(second.sagas.resume().unwrap().going, ids);
    for id in ids {
        assert_eq!(second.sagas.watch(id).unwrap().wait().unwrap(), Payload::from("c"));
    }
    let begun = calls.lock().iter().filter(|call| *call == "do b").count();
    assert_eq!(begun, 3, "the one that had ended was not called again");
}

#[test]
fn other_steps_under_the_old_name_do_not_touch_old_sagas() {
    let calls = Calls::default();
    let runtime = Arc::new(Manual::new());
    let store = Store::memory(&[MIGRATIONS]).unwrap();
    let first = on(runtime.clone(), store, SagaConfig::default());
    first.sagas.define(Saga::new("s").step("a", fine(&calls))).unwrap();
    let (id, ticket) = first.sagas.run("s", Payload::NULL).unwrap();
    ticket.detach();
    // The beginning is in the store, and nothing has run.
    while first.news.lock().is_empty() {
        std::thread::yield_now();
    }
    let second = on(runtime, first.store.clone(), SagaConfig::default());
    second.sagas.define(Saga::new("s").step("z", fine(&calls))).unwrap();
    let found = second.sagas.resume().unwrap();
    assert_eq!(found.waiting.iter().map(|view| view.id).collect::<Vec<_>>(), [id]);
    assert!(calls.lock().is_empty());
}
