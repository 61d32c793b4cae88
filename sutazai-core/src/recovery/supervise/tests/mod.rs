mod worker;

use super::*;
use crate::base::runtime::{BoxFuture, Job, Manual, Refused, Runtime, Threads};
use crate::base::time::{Moment, Timestamp};
use crate::port::{Child, ChildExit, ChildLife, ChildReport, ChildStart, Children, Generation};
use crate::{Code, Error, Result};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

type Begin = Box<dyn Fn(&ChildLife) -> Result<ChildStart> + Send + Sync>;
type End = Box<dyn Fn(&ChildLife) -> Result<()> + Send + Sync>;
type Die = Box<dyn Fn(&ChildLife) + Send + Sync>;

/// What the children of a test do, and the reports of those that live.
struct Zoo {
    begin: Begin,
    end: End,
    die: Die,
    reports: Mutex<HashMap<String, ChildReport>>,
}

impl Zoo {
    fn new() -> Self {
        Self {
            begin: Box::new(|_| Ok(ChildStart::Running)),
            end: Box::new(|_| Ok(())),
            die: Box::new(|_| ()),
            reports: Mutex::default(),
        }
    }

    fn exits(&self, id: &str, exit: ChildExit) {
        let report = self.reports.lock().remove(id).unwrap();
        report.exited(exit);
    }
}

struct Animal(Arc<Zoo>, ChildLife);

impl Child for Animal {
    fn start(&self, report: ChildReport, _: Moment) -> Result<ChildStart> {
        assert_eq!(report.generation(), self.1.generation);
        let before = self.0.reports.lock().insert(self.1.id.to_string(), report);
        // What the life before it has to say, nobody hears.
        drop(before);
        (self.0.begin)(&self.1)
    }
    fn stop(&self, _: Moment) -> Result<()> {
        (self.0.end)(&self.1)
    }
    fn kill(&self) {
        (self.0.die)(&self.1);
    }
}

type Log = Arc<Mutex<Vec<String>>>;

fn supervisor(
    runtime: Arc<dyn Runtime>,
    spec: SupervisorSpec,
    zoo: &Arc<Zoo>,
) -> (Supervisor, Log) {
    let log: Log = Arc::default();
    let seen = Arc::clone(&log);
    let observer = move |change: &Transition| {
        seen.lock().push(format!("{} {}", change.path, change.to.name()));
    };
    let zoo = Arc::clone(zoo);
    let children = move |life: &ChildLife| -> Result<Arc<dyn Child>> {
        Ok(Arc::new(Animal(Arc::clone(&zoo), life.clone())))
    };
    let observer: Observer = Arc::new(observer);
    let made = Supervisor::new(runtime, "main", spec, Arc::new(children), observer, 0);
    (made.unwrap(), log)
}

fn spec(ids: &[&str]) -> SupervisorSpec {
    let spec = SupervisorSpec::new(Strategy::OneForOne).intensity(1000, SECOND);
    ids.iter().fold(spec, |spec, id| spec.child(ChildSpec::worker(*id)))
}

fn threads() -> Threads {
    let runtime = Threads::default();
    runtime.start().unwrap();
    runtime
}

/// Waits for what other threads are about to do.
fn until(what: impl Fn() -> bool) {
    while !what() {
        std::thread::yield_now();
    }
}

fn runs(main: &Supervisor, path: &str) -> Option<Generation> {
    let mut left: Vec<ChildStatus> = main.status()?.children;
    while let Some(child) = left.pop() {
        if child.path == path && child.state == State::Running {
            return child.generation;
        }
        left.extend(child.supervisor.into_iter().flat_map(|below| below.children));
    }
    None
}

#[test]
fn under_virtual_time_the_blocking_forms_run_in_place() {
    let zoo = Arc::new(Zoo::new());
    let inner = ChildSpec::supervisor("in", spec(&["b"]));
    let runtime = Manual::new();
    let (main, log) = supervisor(Arc::new(runtime.clone()), spec(&["a"]).child(inner), &zoo);
    assert_eq!(main.state(), State::Waiting);
    main.start().unwrap();
    assert_eq!(main.start().unwrap_err().code(), Code::INVALID);
    main.start_child("main>in", ChildSpec::worker("c")).unwrap();
    main.terminate_child("main>in>b").unwrap();
    main.delete_child("main>in>b").unwrap();
    assert_eq!(main.restart_child("main>in>b").unwrap_err().code(), Code::NOT_FOUND);
    zoo.exits("c", ChildExit::Normal);
    assert_eq!(runs(&main, "main>in>c"), None, "nothing happens before the runtime's turn");
    runtime.run();
    assert_eq!(runs(&main, "main>in>c"), Some(Generation(6)));
    main.stop(Moment::FAR).unwrap();
    assert_eq!(
        *log.lock(),
        [
            "main starting",
            "main>a starting",
            "main>a running",
            "main>in starting",
            "main>in>b starting",
            "main>in>b running",
            "main>in running",
            "main running",
            "main>in>c starting",
            "main>in>c running",
            "main>in>b stopping",
            "main>in>b stopped",
            "main>in>b removed",
            "main>in>c exited",
            "main>in>c starting",
            "main>in>c running",
            "main stopping",
            "main>in stopping",
            "main>in>c stopping",
            "main>in>c stopped",
            "main>in stopped",
            "main>a stopping",
            "main>a stopped",
            "main stopped",
        ]
    );
    assert_eq!((main.state(), main.status()), (State::Stopped, None));
    // As if nothing had been.
    main.start().unwrap();
    assert_eq!(main.counts("main>in").unwrap().active, 1);
}

#[test]
fn a_child_that_panics_has_failed_and_nothing_else_has() {
    let mut zoo = Zoo::new();
    zoo.begin = Box::new(|life| match &*life.id {
        "bad" => std::panic::resume_unwind(Box::new("on fire")),
        _ => Ok(ChildStart::Running),
    });
    zoo.end = Box::new(|_| std::panic::resume_unwind(Box::new("wet".to_owned())));
    let zoo = Arc::new(zoo);
    let runtime = threads();
    let (main, _) = supervisor(Arc::new(runtime.clone()), spec(&["good"]), &zoo);
    main.start().unwrap();
    let error = main.start_child("main", ChildSpec::worker("bad")).unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "the child \"main>bad\" failed to start (child=main>bad): the child panicked (panic=on fire)"
    );
    main.terminate_child("main>good").unwrap();
    let good = &main.status().unwrap().children[0];
    let Some(Cause::StopFailed { error }) = &good.last_failure else { panic!("{good:?}") };
    assert_eq!((error.code(), good.state), (Code::PANIC, State::Stopped));
    main.stop(Moment::FAR).unwrap();
    runtime.stop(SECOND);
}

#[test]
fn children_are_restarted_on_threads() {
    let zoo = Arc::new(Zoo::new());
    let runtime = threads();
    let (main, log) = supervisor(Arc::new(runtime.clone()), spec(&["a", "b"]), &zoo);
    main.start().unwrap();
    for _ in 0..100 {
        let before = runs(&main, "main>a");
        zoo.exits("a", ChildExit::Failed(Error::new(Code::IO, "on purpose")));
        until(|| runs(&main, "main>a").is_some_and(|now| Some(now) != before));
    }
    assert_eq!(main.status().unwrap().children[0].restarts, 100);
    assert_eq!(main.status().unwrap().recent_restarts.min(1), 1);
    main.stop(Moment::FAR).unwrap();
    // Every change was told once, in order.
    let told = log.lock().iter().filter(|line| *line == "main>a exited").count();
    assert_eq!(told, 100);
    runtime.stop(SECOND);
}

#[test]
fn a_thread_that_hangs_is_abandoned_and_its_late_word_ignored() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let (said, heard) = mpsc::channel();
    let mut zoo = Zoo::new();
    let kills = said.clone();
    zoo.die = Box::new(move |life| kills.send(("kill", life.generation.0)).unwrap());
    zoo.begin = Box::new(move |life| {
        if life.generation == Generation(2) {
            said.send(("hang", 2)).unwrap();
            let _ = gone.lock().recv();
        }
        Ok(ChildStart::Running)
    });
    let zoo = Arc::new(zoo);
    let time = Manual::new();
    let threads = threads();
    let mixed = Arc::new(Mixed { time: time.clone(), threads: threads.clone() });
    let (main, _) = supervisor(mixed, spec(&["slow"]), &zoo);
    let mut start = main.begin_start();
    assert_eq!(heard.recv().unwrap(), ("hang", 2));
    time.advance(30 * SECOND);
    until(|| {
        time.advance(Duration::ZERO);
        start.is_done()
    });
    assert_eq!(heard.recv().unwrap(), ("kill", 2));
    let error = start.wait().unwrap_err();
    assert!(format!("{error:#}").contains("did not start before its deadline"), "{error:#}");
    // It can be started again while the first life still hangs.
    main.begin_start().wait().unwrap();
    assert_eq!(runs(&main, "main>slow"), Some(Generation(4)));
    // The start that nobody waits for any more succeeds: it is killed once more.
    go.send(()).unwrap();
    assert_eq!(heard.recv().unwrap(), ("kill", 2));
    assert_eq!(runs(&main, "main>slow"), Some(Generation(4)));
    main.begin_stop(Moment::FAR).wait().unwrap();
    threads.stop(SECOND);
}

#[test]
fn stops_do_not_wait_for_the_pool() {
    let zoo = Arc::new(Zoo::new());
    let config = crate::base::runtime::ThreadsConfig { blocking: 1, ..Default::default() };
    let runtime = Threads::new(config);
    runtime.start().unwrap();
    let (main, _) = supervisor(Arc::new(runtime.clone()), spec(&["a", "b"]), &zoo);
    main.start().unwrap();
    let full = Arc::new(Barrier::new(2));
    let hangs = Arc::clone(&full);
    runtime
        .spawn_blocking(Box::new(move || {
            hangs.wait();
        }))
        .unwrap();
    main.stop(Moment::FAR).unwrap();
    full.wait();
    runtime.stop(SECOND);
}

#[test]
fn a_stop_that_hangs_ends_with_the_deadline_of_all() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let (entered, is_entered) = mpsc::channel();
    let mut zoo = Zoo::new();
    zoo.end = Box::new(move |_| {
        entered.send(()).unwrap();
        let _ = gone.lock().recv();
        Ok(())
    });
    let zoo = Arc::new(zoo);
    let (time, threads) = (Manual::new(), threads());
    let mixed = Arc::new(Mixed { time: time.clone(), threads: threads.clone() });
    let child = ChildSpec::worker("slow").shutdown(Shutdown::Infinity);
    let (main, _) = supervisor(mixed, spec(&["a"]).child(child), &zoo);
    main.begin_start().wait().unwrap();
    let mut stop = main.begin_stop(time.now() + SECOND);
    is_entered.recv().unwrap();
    time.advance(SECOND);
    // The thread that carries out the stop may set its timer after that.
    until(|| {
        time.advance(Duration::ZERO);
        stop.is_done()
    });
    stop.wait().unwrap();
    assert_eq!(main.state(), State::Stopped);
    drop(go);
    threads.stop(SECOND);
}

#[test]
fn the_last_handle_stops_the_tree() {
    let zoo = Arc::new(Zoo::new());
    let runtime = Manual::new();
    let (main, log) = supervisor(Arc::new(runtime.clone()), spec(&["a"]), &zoo);
    let clone = main.clone();
    main.start().unwrap();
    drop(main);
    assert_eq!(clone.state(), State::Running);
    drop(clone);
    runtime.run();
    assert_eq!(log.lock().last().unwrap(), "main stopped");
    assert_eq!(runtime.stats().timers, 0);
    // One that never started has nothing to stop.
    let (idle, log) = supervisor(Arc::new(runtime.clone()), spec(&["a"]), &zoo);
    drop(idle);
    assert!(log.lock().is_empty());
}

#[test]
fn the_observer_may_call_back() {
    let zoo = Arc::new(Zoo::new());
    let runtime = Manual::new();
    let slot: Arc<Mutex<Option<Supervisor>>> = Arc::default();
    let seen: Log = Arc::default();
    let (inside, log) = (Arc::clone(&slot), Arc::clone(&seen));
    let observer: Observer = Arc::new(move |change| {
        let main = inside.lock().clone().unwrap();
        log.lock().push(format!("{} {:?}", change.path, main.state()));
        if change.path.ends_with("a") && change.to == State::Running {
            main.ask(Request::TerminateChild { path: change.path.to_string() }).detach();
        }
        std::panic::resume_unwind(Box::new("an observer that panics is no reason to stop"));
    });
    let children = {
        let zoo = Arc::clone(&zoo);
        move |life: &ChildLife| -> Result<Arc<dyn Child>> {
            Ok(Arc::new(Animal(Arc::clone(&zoo), life.clone())))
        }
    };
    let children: Arc<dyn Children> = Arc::new(children);
    let main = Supervisor::new(
        Arc::new(runtime.clone()),
        "main",
        spec(&["a", "b"]),
        children,
        observer,
        0,
    );
    *slot.lock() = Some(main.unwrap());
    let main = slot.lock().clone().unwrap();
    main.start().unwrap();
    runtime.run();
    assert_eq!((runs(&main, "main>a"), runs(&main, "main>b")), (None, Some(Generation(3))));
    assert_eq!(seen.lock().len(), 8);
}

#[test]
fn pauses_are_kept_on_the_runtimes_clock() {
    let zoo = Arc::new(Zoo::new());
    let runtime = Manual::new();
    let backoff = Backoff { jitter: 0.0, ..Backoff::default() };
    let (main, _) = supervisor(Arc::new(runtime.clone()), spec(&["a"]).backoff(backoff), &zoo);
    main.start().unwrap();
    for pause in [100, 200, 400] {
        zoo.exits("a", ChildExit::Normal);
        runtime.advance(Duration::from_millis(pause - 1));
        assert_eq!(main.status().unwrap().children[0].pause_ms, Some(1));
        runtime.advance(Duration::from_millis(1));
        assert!(runs(&main, "main>a").is_some());
    }
    main.stop(Moment::FAR).unwrap();
    assert_eq!(runtime.stats().timers, 0);
}

/// Time from one runtime, threads from another.
struct Mixed {
    time: Manual,
    threads: Threads,
}

impl Runtime for Mixed {
    fn name(&self) -> &'static str {
        "mixed"
    }
    fn now(&self) -> Moment {
        self.time.now()
    }
    fn timestamp(&self) -> Timestamp {
        self.time.timestamp()
    }
    fn spawn(&self, future: BoxFuture) -> Result<(), Refused<BoxFuture>> {
        self.threads.spawn(future)
    }
    fn spawn_blocking(&self, job: Job) -> Result<(), Refused<Job>> {
        self.threads.spawn_blocking(job)
    }
    fn spawn_at(&self, at: Moment, job: Job) -> crate::base::id::TimerId {
        self.time.spawn_at(at, job)
    }
    fn cancel(&self, timer: crate::base::id::TimerId) -> bool {
        self.time.cancel(timer)
    }
}
