use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::base::runtime::{Manual, Threads};
use crate::base::time::Moment;
use crate::port::WorkerLife;
use crate::recovery::supervise::{State, Strategy, Supervisor};

fn tree(workers: &Workers, runtime: Arc<dyn Runtime>, spec: SupervisorSpec) -> Supervisor {
    let observer = Arc::new(|_: &_| ());
    Supervisor::new(runtime, "main", spec, Arc::new(workers.clone()), observer, 0).unwrap()
}

fn quiet() -> OnPoison {
    Arc::new(|_, _| ())
}

fn spec(does: &str) -> SupervisorSpec {
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(10, Duration::from_secs(60));
    spec.child(ChildSpec::worker("one").does(does))
}

fn until(done: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("not within ten seconds");
}

#[test]
fn a_loop_runs_until_it_is_told_to_stop() {
    let runtime = Arc::new(Threads::default());
    runtime.start().unwrap();
    let workers = Workers::new(runtime.clone(), quiet());
    let stopped = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stopped);
    let body = move |life: &WorkerLife| -> Result<()> {
        assert_eq!(&*life.life().path, "main>one");
        while !life.wait(Duration::from_secs(3600)) {}
        seen.store(true, Ordering::SeqCst);
        Ok(())
    };
    workers.add("loop", Arc::new(body)).unwrap();
    let main = tree(&workers, runtime.clone(), spec("loop"));
    main.start().unwrap();
    assert_eq!(main.counts("main").unwrap().active, 1);
    main.stop(Moment::FAR).unwrap();
    assert!(stopped.load(Ordering::SeqCst));
    assert_eq!(main.state(), State::Stopped);
    runtime.stop(Duration::from_secs(1));
}

#[test]
fn a_loop_that_fails_or_panics_is_started_again() {
    let runtime = Arc::new(Threads::default());
    runtime.start().unwrap();
    let workers = Workers::new(runtime.clone(), quiet());
    let lives = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&lives);
    let body = move |life: &WorkerLife| -> Result<()> {
        match counted.fetch_add(1, Ordering::SeqCst) {
            0 => Err(Error::new(Code::AGENT_FAILED, "the first life")),
            1 => panic!("the second life"),
            _ => {
                life.wait(Duration::from_secs(3600));
                Ok(())
            }
        }
    };
    workers.add("loop", Arc::new(body)).unwrap();
    let main = tree(&workers, runtime.clone(), spec("loop"));
    main.start().unwrap();
    until(|| lives.load(Ordering::SeqCst) == 3);
    assert_eq!(main.state(), State::Running);
    until(|| main.status().unwrap().children[0].state == State::Running);
    assert_eq!(main.status().unwrap().children[0].restarts, 2);
    main.stop(Moment::FAR).unwrap();
    runtime.stop(Duration::from_secs(1));
}

#[test]
fn a_loop_that_does_not_listen_is_left_behind() {
    let runtime = Arc::new(Threads::default());
    runtime.start().unwrap();
    let workers = Workers::new(runtime.clone(), quiet());
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let body = move |_: &WorkerLife| -> Result<()> {
        let _ = gone.lock().recv();
        Ok(())
    };
    workers.add("deaf", Arc::new(body)).unwrap();
    let main = tree(&workers, runtime.clone(), spec("deaf"));
    main.start().unwrap();
    main.stop(runtime.now() + Duration::from_millis(20)).unwrap();
    assert_eq!(main.state(), State::Stopped);
    drop(go);
    runtime.stop(Duration::from_secs(1));
}

#[test]
fn messages_outlive_their_child_and_poison_is_set_aside() {
    let runtime = Arc::new(Manual::new());
    let told: Arc<Mutex<Vec<(String, u64, usize)>>> = Arc::default();
    let ears = Arc::clone(&told);
    let on_poison: OnPoison = Arc::new(move |path, poison| {
        ears.lock().push((path.to_owned(), poison.id, poison.kills.len()));
    });
    let workers = Workers::new(runtime.clone(), on_poison);
    let done: Arc<Mutex<Vec<String>>> = Arc::default();
    let notes = Arc::clone(&done);
    let work = move |message: &WorkerMessage<'_>| -> Result<()> {
        let text: String = message.body.to()?;
        if text == "crash" {
            return Err(Error::new(Code::AGENT_FAILED, "on purpose"));
        }
        notes.lock().push(text);
        Ok(())
    };
    workers.add_messages("note", MailboxPolicy::default(), Arc::new(work)).unwrap();
    let none = MailboxPolicy::default().capacity(0).kills(0);
    let refused = workers.add_messages("none", none, Arc::new(|_: &WorkerMessage<'_>| Ok(())));
    let refused = refused.unwrap_err();
    assert_eq!((refused.code(), refused.problems().len()), (Code::INVALID, 2));
    assert!(refused.to_string().contains("field=capacity"), "{refused}");
    assert_eq!(workers.names(), ["note"]);
    let main = tree(&workers, runtime.clone(), spec("note"));
    let missing = workers.push("main>one", "early".into()).unwrap_err();
    assert_eq!(missing.code(), Code::NOT_FOUND);
    main.start().unwrap();
    let ids: Vec<u64> = ["a", "crash", "b", "c"]
        .into_iter()
        .map(|text| workers.push("main>one", text.into()).unwrap())
        .collect();
    runtime.run();
    assert_eq!(*done.lock(), ["a", "b", "c"]);
    assert_eq!(*told.lock(), [("main>one".to_owned(), ids[1], 2)]);
    let mailbox = workers.mailbox("main>one").unwrap();
    assert_eq!((mailbox.status().done, mailbox.status().set_aside), (3, 1));
    assert_eq!(main.status().unwrap().children[0].restarts, 2);
    main.stop(Moment::FAR).unwrap();
    workers.forget("main");
    assert_eq!(workers.mailbox("main>one").unwrap_err().code(), Code::NOT_FOUND);
}

#[test]
fn what_is_not_registered_is_named_before_anything_starts() {
    let workers = Workers::new(Arc::new(Manual::new()), quiet());
    let nothing = |_: &WorkerMessage<'_>| -> Result<()> { Ok(()) };
    let policy = MailboxPolicy::default;
    workers.add_messages("note", policy(), Arc::new(nothing)).unwrap();
    let below = SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::worker("x").does("y"));
    let spec = spec("nott").child(ChildSpec::supervisor("below", below));
    let error = workers.check(&spec).unwrap_err();
    assert_eq!(error.problems().len(), 2);
    assert_eq!((error.code(), error.remedy()), (Code::NOT_FOUND, Some("did you mean 'note'?")));
    let twice = workers.add_messages("note", policy(), Arc::new(nothing)).unwrap_err();
    assert_eq!(twice.code(), Code::ALREADY_EXISTS);
    assert_eq!(
        workers.add("", Arc::new(|_: &WorkerLife| Ok(()))).unwrap_err().code(),
        Code::INVALID
    );
}
