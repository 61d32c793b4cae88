//! One tree of supervisors on every runtime: threads of its own, tokio with one thread and with
//! several; waited for and awaited.
#![cfg(all(feature = "recovery", feature = "tokio"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;
use sutazai_core::base::runtime::{Runtime, Threads, Tokio};
use sutazai_core::base::ticket::Ticket;
use sutazai_core::base::time::Moment;
use sutazai_core::port::{Child, ChildExit, ChildLife, ChildReport, ChildStart};
use sutazai_core::recovery::supervise::{
    Cause, ChildSpec, Observer, Shutdown, State, Strategy, Supervisor, SupervisorSpec, Transition,
};
use sutazai_core::{Code, Error, Result};

/// A thread that lives until its channel says how it ends, or is closed.
#[derive(Default)]
struct Worker {
    orders: Mutex<Option<mpsc::Sender<ChildExit>>>,
    desk: Arc<Mutex<Vec<mpsc::Sender<ChildExit>>>>,
}

impl Child for Worker {
    fn start(&self, report: ChildReport, _deadline: Moment) -> Result<ChildStart> {
        let (send, receive) = mpsc::channel();
        *self.orders.lock() = Some(send.clone());
        self.desk.lock().push(send);
        std::thread::spawn(move || match receive.recv() {
            Ok(ChildExit::Failed(error)) if error.code() == Code::PANIC => {
                let _report = report;
                std::panic::resume_unwind(Box::new("as ordered"));
            }
            Ok(exit) => report.exited(exit),
            Err(_) => report.exited(ChildExit::Shutdown),
        });
        Ok(ChildStart::Running)
    }
    fn stop(&self, _deadline: Moment) -> Result<()> {
        // The thread's own report ends the wait of the supervisor, or this return does.
        let orders = self.orders.lock().take();
        orders.map_or(Ok(()), |orders| {
            let _ = orders.send(ChildExit::Shutdown);
            Ok(())
        })
    }
    fn kill(&self) {
        self.orders.lock().take();
    }
}

fn suite(runtime: Arc<dyn Runtime>, wait: &dyn Fn(Ticket<()>) -> Result<()>) {
    let desk: Arc<Mutex<Vec<mpsc::Sender<ChildExit>>>> = Arc::default();
    let children = {
        let desk = Arc::clone(&desk);
        move |_: &ChildLife| -> Result<Arc<dyn Child>> {
            Ok(Arc::new(Worker { desk: Arc::clone(&desk), ..Worker::default() }))
        }
    };
    let (told, hear) = mpsc::channel();
    let told = Mutex::new(told);
    let observer: Observer = Arc::new(move |change: &Transition| {
        // The test may be over.
        let _ = told.lock().send(change.clone());
    });
    let spec = SupervisorSpec::new(Strategy::OneForAll)
        .intensity(2, Duration::from_secs(3600))
        .child(ChildSpec::worker("a"))
        .child(ChildSpec::worker("b").shutdown(Shutdown::BrutalKill));
    let main = Supervisor::new(runtime, "main", spec, Arc::new(children), observer, 0).unwrap();
    wait(main.begin_start()).unwrap();
    let until = |path: &str, to: State| loop {
        let change = hear.recv_timeout(Duration::from_secs(60)).unwrap();
        if *change.path == *path && change.to == to {
            return change.cause;
        }
    };
    until("main", State::Running);
    let orders = [
        ChildExit::Failed(Error::new(Code::PANIC, "as ordered")),
        ChildExit::Normal,
        ChildExit::Failed(Error::new(Code::IO, "no disk")),
    ];
    for (count, order) in orders.into_iter().enumerate() {
        let first = desk.lock().drain(..).next().unwrap();
        first.send(order).unwrap();
        let cause = until("main>a", State::Exited);
        match (count, &cause) {
            (0, Cause::Exited(ChildExit::Failed(error))) => assert_eq!(error.code(), Code::PANIC),
            (1, Cause::Exited(ChildExit::Normal)) => {}
            (2, Cause::Exited(ChildExit::Failed(error))) => assert_eq!(error.code(), Code::IO),
            other => panic!("{other:?}"),
        }
        if count < 2 {
            until("main>b", State::Running);
        }
    }
    // Two restarts are allowed, so the third end is that of the tree.
    assert_eq!(until("main", State::Stopping), Cause::Intensity);
    assert_eq!(until("main", State::Stopped), Cause::Intensity);
    wait(main.begin_start()).unwrap();
    wait(main.begin_stop(Moment::FAR)).unwrap();
    assert_eq!(main.state(), State::Stopped);
}

#[test]
fn on_threads() {
    let runtime = Threads::default();
    runtime.start().unwrap();
    suite(Arc::new(runtime.clone()), &|mut ticket| ticket.wait());
    suite(Arc::new(runtime.clone()), &smol::block_on);
    runtime.stop(Duration::from_secs(5));
}

#[test]
fn on_tokio_with_several_threads() {
    let host = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let runtime = Tokio::new(host.handle().clone());
    runtime.start().unwrap();
    suite(Arc::new(runtime.clone()), &|ticket| host.block_on(ticket));
    suite(Arc::new(runtime), &|mut ticket| ticket.wait());
}

#[test]
fn on_tokio_with_one_thread() {
    let host = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let runtime = Tokio::new(host.handle().clone());
    runtime.start().unwrap();
    suite(Arc::new(runtime), &|ticket| host.block_on(ticket));
}
