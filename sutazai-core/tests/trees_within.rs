//! What a worker may ask of its own tree and kernel, and what a stop does not wait for.
//!
//! A worker that is not refused waits until it is given up, after a minute: whatever these tests measure is
//! far below that.
#![cfg(feature = "recovery")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sutazai_core::base::payload::Payload;
use sutazai_core::base::runtime::Manual;
use sutazai_core::base::time::Moment;
use sutazai_core::kernel::{Kernel, Phase};
use sutazai_core::port::{
    Child, ChildLife, ChildReport, ChildStart, Component, WorkerLife, WorkerMessage,
};
use sutazai_core::recovery::supervise::mailbox::MailboxPolicy;
use sutazai_core::recovery::supervise::{
    ChildSpec, Shutdown, Strategy, Supervisor, SupervisorSpec,
};
use sutazai_core::surface::Surface;
use sutazai_core::{Code, Error, Result};

const MINUTE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(30);

/// What a worker is to do with its kernel.
type Deed = Box<dyn Fn(&Kernel) -> Result<()> + Send>;

/// Registers `does`, which does what it is given as it comes, and answers what came of it; and `calm`, which
/// does nothing.
fn doer(kernel: &Kernel) -> (Sender<Deed>, Receiver<Result<()>>) {
    let (give, deeds) = mpsc::channel::<Deed>();
    let (told, came) = mpsc::channel();
    let deeds = Mutex::new((deeds, told));
    // The worker belongs to the kernel, and must not keep it.
    let of = kernel.clone();
    let holder = Arc::new(Mutex::new(Some(of)));
    let does = move |_: &WorkerMessage<'_>| -> Result<()> {
        let deeds = deeds.lock();
        let kernel = holder.lock().take().unwrap();
        let done = deeds.0.recv().unwrap()(&kernel);
        *holder.lock() = (kernel.phase() == Phase::Running).then_some(kernel);
        deeds.1.send(done).unwrap();
        Ok(())
    };
    kernel.workers().add_messages("does", MailboxPolicy::default(), Arc::new(does)).unwrap();
    let calm = |_: &WorkerMessage<'_>| -> Result<()> { Ok(()) };
    kernel.workers().add_messages("calm", MailboxPolicy::default(), Arc::new(calm)).unwrap();
    (give, came)
}

fn minute(id: &str) -> ChildSpec {
    ChildSpec::worker(id).shutdown(Shutdown::TimeoutMs(60_000))
}

fn spec() -> SupervisorSpec {
    let low = SupervisorSpec::new(Strategy::OneForOne).child(minute("one").does("does"));
    SupervisorSpec::new(Strategy::OneForOne)
        .child(minute("calm"))
        .child(ChildSpec::supervisor("low", low))
}

fn invoke(kernel: &Kernel, operation: &str, path: &str) -> Result<()> {
    let request = serde_json::json!({"path": path}).to_string();
    Surface::new(kernel).invoke_waiting(operation, &request).wait().map(drop)
}

#[test]
fn a_handler_that_would_wait_for_its_own_end_is_refused() {
    let kernel = Kernel::builder().build().unwrap();
    let (give, came) = doer(&kernel);
    kernel.start().unwrap();
    kernel.supervise("main", spec()).unwrap();
    let mut pushed = 0;
    let mut by_it = |deed: Deed| {
        give.send(deed).unwrap();
        kernel.push_message("main>low>one", Payload::NULL).unwrap();
        pushed += 1;
        came.recv_timeout(SOON).unwrap()
    };
    let refused: Vec<Deed> = vec![
        Box::new(|kernel| kernel.restart_child("main>low>one")),
        Box::new(|kernel| kernel.tree("main")?.terminate_child("main>low>one")),
        Box::new(|kernel| kernel.tree("main")?.terminate_child("main>low")),
        Box::new(|kernel| kernel.tree("main")?.stop(Moment::FAR)),
        Box::new(|kernel| kernel.remove_tree("main")),
        Box::new(|kernel| kernel.stop(MINUTE)),
        Box::new(|kernel| invoke(kernel, "recovery.child_restart", "main>low")),
        Box::new(|kernel| invoke(kernel, "recovery.child_terminate", "main>low>one")),
    ];
    for (number, deed) in refused.into_iter().enumerate() {
        let error = by_it(deed).unwrap_err();
        assert_eq!(error.code(), Code::WOULD_DEADLOCK, "{number}: {error:#}");
        assert!(error.context().any(|(key, _)| key == "child"), "{number}: {error:#}");
        assert!(error.remedy().unwrap().contains("another thread"), "{number}: {error:#}");
    }
    let allowed: Vec<Deed> = vec![
        Box::new(|kernel| kernel.start_child("main>low", minute("two").does("calm"))),
        Box::new(|kernel| kernel.restart_child("main>low>two")),
        Box::new(|kernel| invoke(kernel, "recovery.child_terminate", "main>low>two")),
        Box::new(|kernel| kernel.tree("main")?.delete_child("main>low>two")),
        Box::new(|kernel| kernel.restart_child("main>calm")),
        Box::new(|kernel| kernel.supervise("other", SupervisorSpec::new(Strategy::OneForOne))),
        Box::new(|kernel| kernel.remove_tree("other")),
    ];
    for (number, deed) in allowed.into_iter().enumerate() {
        assert_eq!(by_it(deed), Ok(()), "{number}");
    }
    // Nothing came of any of it: it is the first life, and all of its messages are done.
    kernel.stop(SOON).unwrap();
    let mailbox = kernel.workers().mailbox("main>low>one").unwrap().status();
    assert_eq!((mailbox.done, mailbox.returned, mailbox.set_aside), (pushed, 0, 0));
}

#[test]
fn a_worker_asks_for_its_own_restart_without_waiting() {
    let kernel = Kernel::builder().build().unwrap();
    let (give, came) = doer(&kernel);
    kernel.start().unwrap();
    kernel.supervise("main", spec()).unwrap();
    let generation = || kernel.supervisor("main>low").unwrap().children[0].generation;
    let before = generation();
    let ticket = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&ticket);
    let later = move |kernel: &Kernel| {
        let request = r#"{"path": "main>low>one"}"#;
        *keep.lock() = Some(Surface::new(kernel).invoke("recovery.child_restart", request));
        Ok(())
    };
    give.send(Box::new(later)).unwrap();
    kernel.push_message("main>low>one", Payload::NULL).unwrap();
    assert_eq!(came.recv_timeout(SOON), Ok(Ok(())));
    let mut ticket = ticket.lock().take().unwrap();
    ticket.wait_timeout(SOON).unwrap().unwrap();
    assert_ne!(generation(), before);
    let mailbox = kernel.workers().mailbox("main>low>one").unwrap().status();
    assert_eq!((mailbox.done, mailbox.set_aside), (1, 0));
    // The worker keeps the kernel.
    give.send(Box::new(|_| Ok(()))).unwrap();
    kernel.stop(SOON).unwrap();
}

#[test]
fn a_loop_that_would_wait_for_its_own_end_is_refused_also_when_told_to_stop() {
    let kernel = Kernel::builder().build().unwrap();
    let (told, came) = mpsc::channel();
    let told = Mutex::new(told);
    let of = Arc::new(Mutex::new(Some(kernel.clone())));
    let selfish = move |life: &WorkerLife| -> Result<()> {
        let kernel = of.lock().take().unwrap();
        let told = told.lock();
        told.send(kernel.restart_child("main>one").unwrap_err()).unwrap();
        told.send(kernel.stop(MINUTE).unwrap_err()).unwrap();
        while !life.wait(MINUTE) {}
        // Its supervisor waits for it.
        told.send(kernel.start_child("main", minute("two")).unwrap_err()).unwrap();
        Ok(())
    };
    kernel.workers().add("selfish", Arc::new(selfish)).unwrap();
    let calm = |life: &WorkerLife| -> Result<()> {
        while !life.wait(MINUTE) {}
        Ok(())
    };
    kernel.workers().add("two", Arc::new(calm)).unwrap();
    kernel.start().unwrap();
    let child = minute("one").does("selfish");
    kernel.supervise("main", SupervisorSpec::new(Strategy::OneForOne).child(child)).unwrap();
    for _ in 0..2 {
        assert_eq!(came.recv_timeout(SOON).unwrap().code(), Code::WOULD_DEADLOCK);
    }
    kernel.stop(MINUTE).unwrap();
    let error = came.recv_timeout(SOON).unwrap();
    assert_eq!(error.code(), Code::WOULD_DEADLOCK);
    assert!(format!("{error:#}").contains("told to stop"), "{error:#}");
}

/// A supervisor stops its children, the last first. The first asks it for another child meanwhile, and is
/// answered when its turn to stop comes: or at once, when it asks so late.
#[test]
fn a_child_that_waits_for_its_supervisor_is_answered_when_it_is_to_stop() {
    let kernel = Kernel::builder().build().unwrap();
    let (told, came) = mpsc::channel();
    let (ask, asked) = mpsc::channel::<()>();
    let (go, gone) = mpsc::channel::<()>();
    let (stops, stopping) = mpsc::channel::<()>();
    let first = Mutex::new((asked, told, Some(kernel.clone())));
    let first = move |_: &WorkerLife| -> Result<()> {
        let mut first = first.lock();
        first.0.recv().unwrap();
        let kernel = first.2.take().unwrap();
        let code = kernel.start_child("main", minute("third")).unwrap_err().code();
        first.1.send(code).unwrap();
        Ok(())
    };
    let second = Mutex::new((gone, stops));
    let second = move |life: &WorkerLife| -> Result<()> {
        while !life.wait(MINUTE) {}
        let second = second.lock();
        second.1.send(()).unwrap();
        second.0.recv().unwrap();
        Ok(())
    };
    kernel.workers().add("first", Arc::new(first)).unwrap();
    kernel.workers().add("second", Arc::new(second)).unwrap();
    kernel.workers().add("third", Arc::new(|_: &WorkerLife| Ok(()))).unwrap();
    kernel.start().unwrap();
    let spec = SupervisorSpec::new(Strategy::OneForOne);
    kernel.supervise("main", spec.child(minute("first")).child(minute("second"))).unwrap();
    let stop = kernel.tree("main").unwrap().begin_stop(Moment::FAR);
    stopping.recv_timeout(SOON).unwrap();
    ask.send(()).unwrap();
    go.send(()).unwrap();
    assert_eq!(came.recv_timeout(SOON), Ok(Code::WOULD_DEADLOCK));
    let mut stop = stop;
    assert_eq!(stop.wait_timeout(SOON), Some(Ok(())));
    kernel.stop(SOON).unwrap();
}

/// A child of the host's own, whose start asks for a sibling.
struct Greedy(Arc<Mutex<Option<Supervisor>>>);

impl Child for Greedy {
    fn start(&self, _: ChildReport, _: Moment) -> Result<ChildStart> {
        let main = self.0.lock().take().unwrap();
        main.start_child("main", ChildSpec::worker("two")).map(|()| ChildStart::Running)
    }

    fn stop(&self, _: Moment) -> Result<()> {
        Ok(())
    }

    fn kill(&self) {}
}

#[test]
fn a_start_that_would_wait_for_its_own_supervisor_is_refused() {
    let runtime = Arc::new(Manual::new());
    let held = Arc::new(Mutex::new(None));
    let of = Arc::clone(&held);
    let children =
        move |_: &ChildLife| -> Result<Arc<dyn Child>> { Ok(Arc::new(Greedy(Arc::clone(&of)))) };
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(ChildSpec::worker("one"));
    let observer = Arc::new(|_: &_| ());
    let main = Supervisor::new(runtime, "main", spec, Arc::new(children), observer, 0).unwrap();
    *held.lock() = Some(main.clone());
    let error: Error = main.start().unwrap_err();
    assert_eq!(error.code(), Code::CHILD_START);
    assert!(format!("{error:#}").contains("waits for the start or stop"), "{error:#}");
}

#[test]
fn under_virtual_time_it_is_refused_as_well() {
    let time = Manual::new();
    let kernel = Kernel::builder().runtime(Arc::new(time.clone())).build().unwrap();
    let (give, came) = doer(&kernel);
    kernel.start().unwrap();
    kernel.supervise("main", spec()).unwrap();
    let deeds: Vec<Deed> = vec![
        Box::new(|kernel| kernel.restart_child("main>low>one")),
        Box::new(|kernel| kernel.stop(MINUTE)),
    ];
    for deed in deeds {
        give.send(deed).unwrap();
        kernel.push_message("main>low>one", Payload::NULL).unwrap();
        time.run();
        assert_eq!(came.try_recv().unwrap().unwrap_err().code(), Code::WOULD_DEADLOCK);
    }
    kernel.stop(Duration::ZERO).unwrap();
    let mailbox = kernel.workers().mailbox("main>low>one").unwrap().status();
    assert_eq!((mailbox.done, mailbox.returned), (2, 0));
}

/// Says when it is stopped.
struct Told(Sender<()>);

impl Component for Told {
    fn name(&self) -> &str {
        "told"
    }

    fn start(&self, _: Moment) -> Result<()> {
        Ok(())
    }

    fn stop(&self, _: Moment) -> Result<()> {
        let _ = self.0.send(());
        Ok(())
    }
}

#[test]
fn a_worker_that_drops_the_last_handle_does_not_wait_for_the_stop() {
    let (told, stopped) = mpsc::channel();
    let kernel = Kernel::builder().component(Told(told)).build().unwrap();
    let last = Arc::new(Mutex::new(None));
    let (held, of) = mpsc::channel::<()>();
    let drops = {
        let (last, of) = (Arc::clone(&last), Mutex::new(of));
        move |life: &WorkerLife| -> Result<()> {
            of.lock().recv().unwrap();
            let kernel: Option<Kernel> = last.lock().take();
            drop(kernel);
            while !life.wait(MINUTE) {}
            Ok(())
        }
    };
    kernel.workers().add("drops", Arc::new(drops)).unwrap();
    kernel.start().unwrap();
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(minute("drops"));
    kernel.supervise("main", spec).unwrap();
    *last.lock() = Some(kernel);
    held.send(()).unwrap();
    stopped.recv_timeout(SOON).unwrap();
}

#[test]
fn a_stop_does_not_wait_for_a_handler_that_is_killed_brutally() {
    let kernel = Kernel::builder().build().unwrap();
    let (begun, has_begun) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new((gone, begun));
    let hang = move |_: &WorkerMessage<'_>| -> Result<()> {
        let gone = gone.lock();
        gone.1.send(()).unwrap();
        let _ = gone.0.recv();
        Ok(())
    };
    kernel.workers().add_messages("hang", MailboxPolicy::default(), Arc::new(hang)).unwrap();
    kernel.start().unwrap();
    let child = ChildSpec::worker("one").does("hang").shutdown(Shutdown::BrutalKill);
    kernel.supervise("main", SupervisorSpec::new(Strategy::OneForOne).child(child)).unwrap();
    kernel.push_message("main>one", "x".into()).unwrap();
    has_begun.recv().unwrap();
    let mailbox = kernel.workers().mailbox("main>one").unwrap();
    let begun = Instant::now();
    kernel.stop(MINUTE).unwrap();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    // The handler is still at it, and its message went back.
    let status = mailbox.status();
    assert_eq!((status.in_hand, status.waiting, status.returned, status.done), (0, 1, 1, 0));
    drop(go);
}
