//! Long because: the planner, the machine and the driver are tested against one model.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Barrier, mpsc};
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;

use super::progress::{Event, Phase, Progress, Within};
use super::*;
use crate::base::runtime::{Manual, Runtime, Threads};
use crate::base::time::Moment;
use crate::port::{Component, Health};
use crate::{Class, Code, Error, Result};

const SECOND: Duration = Duration::from_secs(1);

/// What a component does when it is called.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Done,
    Fails,
    /// Returns this many seconds later, which may be after its deadline, and then succeeds.
    After(u64),
    Hangs,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        6 => Just(Outcome::Done),
        1 => Just(Outcome::Fails),
        3 => (0_u64..8).prop_map(Outcome::After),
        1 => Just(Outcome::Hangs),
    ]
}

#[derive(Clone, Debug)]
struct Node {
    needs: Vec<usize>,
    start: Outcome,
    stop: Outcome,
}

fn graphs() -> impl Strategy<Value = Vec<Node>> {
    let node =
        (proptest::collection::vec(any::<prop::sample::Index>(), 0..4), outcome(), outcome());
    proptest::collection::vec(node, 1..14).prop_map(|nodes| {
        let node = |(n, (needs, start, stop)): (usize, (Vec<prop::sample::Index>, _, _))| {
            // Needs point to earlier nodes only; the names make the order of adding meaningless.
            let mut needs: Vec<usize> =
                if n == 0 { Vec::new() } else { needs.iter().map(|i| i.index(n)).collect() };
            needs.sort_unstable();
            needs.dedup();
            Node { needs, start, stop }
        };
        nodes.into_iter().enumerate().map(node).collect()
    })
}

fn name(n: usize) -> String {
    format!("part-{n}")
}

/// Runs a state machine against simulated components, and checks at each call that it is allowed.
struct Simulation {
    progress: Progress,
    nodes: Vec<Node>,
    now: Moment,
    /// When a call returns: moment, node, whether it is a start, and whether it succeeds.
    due: Vec<(Moment, usize, bool, bool)>,
    /// Nodes whose `start` was called and is not known to have failed, and whose `stop` was not.
    up: Vec<bool>,
    results: Vec<(&'static str, Result<()>)>,
    transitions: Vec<Transition>,
}

impl Simulation {
    fn new(nodes: Vec<Node>) -> Self {
        let mut progress = Progress::new();
        let within = Within { start: 5 * SECOND, stop: 3 * SECOND };
        for (n, node) in nodes.iter().enumerate() {
            let needs = node.needs.iter().map(|need| name(*need)).collect();
            assert_eq!(progress.add(&name(n), needs, within, Moment::ZERO).unwrap(), n as u64);
        }
        let up = vec![false; nodes.len()];
        let (due, results, transitions) = (Vec::new(), Vec::new(), Vec::new());
        Self { progress, nodes, now: Moment::ZERO, due, up, results, transitions }
    }

    fn state(&self, n: usize) -> State {
        self.progress.state(n as u64).unwrap()
    }

    fn users(&self, n: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes.len()).filter(move |user| self.nodes[*user].needs.contains(&n))
    }

    fn drain(&mut self) {
        while let Some(event) = self.progress.poll() {
            match event {
                Event::Start(n, until) => {
                    let n = n as usize;
                    assert!(until > self.now);
                    for need in &self.nodes[n].needs {
                        assert_eq!(
                            self.state(*need),
                            State::Running,
                            "{n} starts before {need} runs"
                        );
                    }
                    self.up[n] = true;
                    self.schedule(n, true, self.nodes[n].start);
                }
                Event::Stop(n, _) => {
                    let n = n as usize;
                    assert!(self.up[n], "{n} is stopped without having started");
                    for user in self.users(n) {
                        let state = self.state(user);
                        let active =
                            matches!(state, State::Starting | State::Running | State::Stopping);
                        assert!(!active, "{n} stops while {user} is {state:?}");
                    }
                    self.up[n] = false;
                    self.schedule(n, false, self.nodes[n].stop);
                }
                Event::Changed(transition) => self.transitions.push(transition),
                Event::Up(result) => self.results.push(("up", result)),
                Event::Down(result) => self.results.push(("down", result)),
                Event::Added(_, result) => self.results.push(("added", result)),
                Event::Removed(_, result) => self.results.push(("removed", result)),
            }
        }
    }

    fn schedule(&mut self, n: usize, start: bool, outcome: Outcome) {
        match outcome {
            Outcome::Done => self.due.push((self.now, n, start, true)),
            Outcome::Fails => self.due.push((self.now, n, start, false)),
            Outcome::After(seconds) => {
                let at = self.now + Duration::from_secs(seconds);
                self.due.push((at, n, start, true));
            }
            Outcome::Hangs => {}
        }
    }

    /// Lets everything happen that happens within `time`, in an order that `pick` chooses.
    fn pass(&mut self, time: Duration, mut pick: impl FnMut(usize) -> usize) {
        let end = self.now + time;
        self.drain();
        while self.now <= end {
            let ready: Vec<usize> =
                (0..self.due.len()).filter(|i| self.due[*i].0 <= self.now).collect();
            if ready.is_empty() {
                self.progress.tick(self.now);
                self.drain();
                if self.due.iter().all(|due| due.0 > self.now) {
                    self.now = self.now + SECOND;
                }
                continue;
            }
            let (_, n, start, good) = self.due.swap_remove(ready[pick(ready.len())]);
            let result = if good { Ok(()) } else { Err(Error::new(Code::IO, "no")) };
            if start {
                if !good {
                    self.up[n] = false;
                }
                self.progress.started(n as u64, result, self.now);
            } else {
                self.progress.stopped(n as u64, result, self.now);
            }
            self.drain();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn order_deadlines_and_unwinding_hold_in_every_schedule(
        nodes in graphs(),
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 32),
        stop_at in proptest::option::of(0_u64..20),
        stop_within in 0_u64..12,
    ) {
        let mut at = 0;
        let mut pick = |of: usize| { at += 1; picks[at % picks.len()].index(of) };
        let mut sim = Simulation::new(nodes.clone());
        sim.progress.begin(sim.now).unwrap();
        sim.pass(Duration::from_secs(stop_at.unwrap_or(200)), &mut pick);
        // Without a stop from outside, the start has ended, one way or the other.
        let clean = nodes.iter().all(|n| matches!(n.start, Outcome::Done | Outcome::After(0..=5)));
        if stop_at.is_none() {
            prop_assert_eq!(sim.results[0].0, "up");
            prop_assert_eq!(sim.results[0].1.is_ok(), clean, "{:?}", &sim.results);
            if clean {
                prop_assert!((0..nodes.len()).all(|n| sim.state(n) == State::Running));
            }
        }
        if let Some((_, Err(error))) = sim.results.first() {
            let named = error.context().any(|(k, v)| k == "component" && v.starts_with("part-"));
            prop_assert!(named && error.code() == Code::COMPONENT_START);
        }
        let end = sim.now + Duration::from_secs(stop_within);
        sim.progress.finish(sim.now, end);
        sim.pass(Duration::from_secs(stop_within), &mut pick);
        // What hangs holds up the stop to its deadline, and each level below by the last grace.
        sim.pass(Duration::from_secs(nodes.len() as u64), &mut pick);
        prop_assert_eq!(sim.progress.phase(), Phase::Down);
        prop_assert_eq!(sim.results.iter().filter(|(what, _)| *what == "up").count(), 1);
        prop_assert!(sim.results.iter().any(|(what, _)| *what == "down"));
        // Later still, nothing is left that started: late starts were stopped as well.
        sim.pass(Duration::from_secs(60), &mut pick);
        for (n, node) in nodes.iter().enumerate() {
            prop_assert!(!sim.up[n] || node.start == Outcome::Hangs, "{} is left running", n);
            let state = sim.state(n);
            match state {
                State::StartTimedOut => prop_assert_eq!(node.start, Outcome::Hangs),
                State::StopTimedOut => prop_assert_eq!(node.stop, Outcome::Hangs),
                state => prop_assert!(matches!(state, State::Stopped | State::Failed), "{:?}", state),
            }
        }
        // The transitions of each component join up, from waiting to the state it is in.
        for n in 0..nodes.len() {
            let mut state = State::Waiting;
            for t in sim.transitions.iter().filter(|t| *t.component == *name(n)) {
                prop_assert_eq!(t.from, state);
                prop_assert!(t.reason.is_some() == matches!(
                    t.to, State::Failed | State::StartTimedOut | State::StopTimedOut));
                state = t.to;
            }
            prop_assert_eq!(state, sim.state(n));
        }
    }

    #[test]
    fn any_order_found_is_an_order(nodes in graphs(), extra in proptest::option::of((0_usize..14, 0_usize..14))) {
        let names: Vec<String> = (0..nodes.len()).map(name).collect();
        let mut needs: Vec<Vec<String>> =
            nodes.iter().map(|node| node.needs.iter().map(|n| name(*n)).collect()).collect();
        if let Some((from, to)) = extra {
            let (from, to) = (from % nodes.len(), to % nodes.len());
            needs[from].push(name(to));
        }
        let parts: Vec<(&str, &[String])> =
            names.iter().zip(&needs).map(|(name, needs)| (name.as_str(), &needs[..])).collect();
        match plan::order(&parts) {
            Ok(order) => {
                prop_assert_eq!(order.len(), parts.len());
                for (at, n) in order.iter().enumerate() {
                    for need in &needs[*n] {
                        prop_assert!(order[..at].iter().any(|m| names[*m] == *need));
                    }
                }
            }
            Err(error) => {
                prop_assert_eq!(error.code(), Code::COMPONENT_CYCLE);
                let path = error.context().find(|(k, _)| *k == "path").unwrap().1.to_owned();
                let way: Vec<&str> = path.split(" → ").collect();
                prop_assert_eq!(way.first(), way.last());
                for pair in way.windows(2) {
                    let n = names.iter().position(|name| name == pair[0]).unwrap();
                    prop_assert!(needs[n].iter().any(|need| need == pair[1]));
                }
            }
        }
    }
}

type Action = Box<dyn Fn(Moment) -> Result<()> + Send + Sync>;

struct Part {
    name: &'static str,
    needs: &'static [&'static str],
    start: Action,
    stop: Action,
}

impl Component for Part {
    fn name(&self) -> &str {
        self.name
    }
    fn needs(&self) -> Vec<String> {
        self.needs.iter().map(ToString::to_string).collect()
    }
    fn start(&self, deadline: Moment) -> Result<()> {
        (self.start)(deadline)
    }
    fn stop(&self, deadline: Moment) -> Result<()> {
        (self.stop)(deadline)
    }
    fn health(&self) -> Health {
        Health::Degraded("as ever".to_owned())
    }
}

fn part(
    name: &'static str,
    needs: &'static [&'static str],
    start: impl Fn(Moment) -> Result<()> + Send + Sync + 'static,
    stop: impl Fn(Moment) -> Result<()> + Send + Sync + 'static,
) -> Arc<dyn Component> {
    Arc::new(Part { name, needs, start: Box::new(start), stop: Box::new(stop) })
}

fn good(name: &'static str, needs: &'static [&'static str]) -> Arc<dyn Component> {
    part(name, needs, |_| Ok(()), |_| Ok(()))
}

type Log = Arc<Mutex<Vec<String>>>;

fn observed(runtime: Arc<dyn Runtime>) -> (Lifecycle, Log) {
    let log: Log = Arc::default();
    let seen = Arc::clone(&log);
    let observer =
        move |t: &Transition| seen.lock().push(format!("{} {}", t.component, t.to.name()));
    (Lifecycle::new(runtime, Arc::new(observer)), log)
}

fn threads() -> Threads {
    let runtime = Threads::default();
    runtime.start().unwrap();
    runtime
}

#[test]
fn misspelt_needs_and_circles_are_found_before_anything_starts() {
    let (lifecycle, log) = observed(Arc::new(Manual::new()));
    lifecycle.add(good("database", &[])).unwrap();
    lifecycle.add(good("server", &["databse"])).unwrap();
    let error = lifecycle.start().unwrap_err();
    assert_eq!(
        (error.code(), error.remedy()),
        (Code::COMPONENT_MISSING, Some("did you mean \"database\"?"))
    );
    lifecycle.remove("server").unwrap();
    lifecycle.add(good("server", &["cache"])).unwrap();
    lifecycle.add(good("cache", &["server", "database"])).unwrap();
    let error = lifecycle.check().unwrap_err();
    assert_eq!(error.code(), Code::COMPONENT_CYCLE);
    assert!(error.message().ends_with("server → cache → server"), "{error}");
    assert_eq!(lifecycle.add(good("cache", &[])).unwrap_err().code(), Code::ALREADY_EXISTS);
    assert!(log.lock().is_empty());
}

#[test]
fn under_virtual_time_the_blocking_forms_run_in_place() {
    let (lifecycle, log) = observed(Arc::new(Manual::new()));
    lifecycle.add(good("b", &["a"])).unwrap();
    lifecycle.add(good("a", &[])).unwrap();
    lifecycle.start().unwrap();
    assert_eq!(lifecycle.health()[0], ("a".to_owned(), Health::Degraded("as ever".to_owned())));
    assert_eq!(lifecycle.start().unwrap_err().code(), Code::NOT_RUNNING);
    lifecycle.stop(Moment::FAR).unwrap();
    assert_eq!(
        *log.lock(),
        [
            "a starting",
            "a running",
            "b starting",
            "b running",
            "b stopping",
            "b stopped",
            "a stopping",
            "a stopped",
        ]
    );
    lifecycle.start().unwrap();
    assert!(lifecycle.states().iter().all(|status| status.state == State::Running));
}

#[test]
fn independent_components_start_side_by_side() {
    let runtime = threads();
    let (lifecycle, _) = observed(Arc::new(runtime.clone()));
    // Passes only when all three are in their `start` at once.
    let meet = Arc::new(Barrier::new(3));
    for name in ["a", "b", "c"] {
        let meet = Arc::clone(&meet);
        lifecycle
            .add(part(
                name,
                &[],
                move |_| {
                    meet.wait();
                    Ok(())
                },
                |_| Ok(()),
            ))
            .unwrap();
    }
    lifecycle.start().unwrap();
    lifecycle.stop(Moment::FAR).unwrap();
    runtime.stop(SECOND);
}

#[test]
fn a_panicking_start_unwinds_and_is_named() {
    let runtime = threads();
    let (lifecycle, _) = observed(Arc::new(runtime.clone()));
    let order: Log = Arc::default();
    for (name, needs) in [("a", &[][..]), ("b", &["a"][..])] {
        let order = Arc::clone(&order);
        lifecycle
            .add(part(
                name,
                needs,
                |_| Ok(()),
                move |_| {
                    order.lock().push(name.to_owned());
                    Ok(())
                },
            ))
            .unwrap();
    }
    let tries = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tries);
    let bad = move |_| if count.fetch_add(1, SeqCst) == 0 { panic!("on fire") } else { Ok(()) };
    lifecycle.add(part("c", &["b"], bad, |_| Ok(()))).unwrap();
    lifecycle.add(good("d", &["c"])).unwrap();
    let error = lifecycle.start().unwrap_err();
    assert_eq!((error.code(), error.class()), (Code::COMPONENT_START, Class::Critical));
    assert_eq!(
        format!("{error:#}"),
        "the component \"c\" failed to start (component=c): the component panicked (panic=on fire)"
    );
    assert_eq!(*order.lock(), ["b", "a"]);
    let states: Vec<_> =
        lifecycle.states().into_iter().map(|s| (s.state, s.reason.map(|e| e.code()))).collect();
    assert_eq!(
        states,
        [
            (State::Stopped, None),
            (State::Stopped, None),
            (State::Failed, Some(Code::PANIC)),
            (State::Stopped, None)
        ]
    );
    lifecycle.start().unwrap();
    lifecycle.stop(Moment::FAR).unwrap();
    runtime.stop(SECOND);
}

#[test]
fn an_overrun_start_is_given_up_and_stopped_when_it_comes_after_all() {
    let runtime = Manual::new();
    let threads = threads();
    // Virtual time for the deadlines, real threads for what blocks.
    let mixed = Arc::new(Mixed { time: runtime.clone(), threads: threads.clone() });
    let (lifecycle, log) = observed(mixed);
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let (stopped, is_stopped) = mpsc::channel();
    lifecycle
        .add(part(
            "slow",
            &[],
            move |_| gone.lock().recv().map_err(|_| Error::new(Code::IO, "gone")),
            move |_| {
                stopped.send(()).unwrap();
                Ok(())
            },
        ))
        .unwrap();
    let mut start = lifecycle.begin_start();
    runtime.advance(30 * SECOND);
    let error = start.wait().unwrap_err();
    assert!(format!("{error:#}").contains("did not start before its deadline"), "{error:#}");
    assert_eq!(lifecycle.states()[0].state, State::StartTimedOut);
    assert_eq!(lifecycle.start().unwrap_err().code(), Code::NOT_RUNNING);
    go.send(()).unwrap();
    is_stopped.recv().unwrap();
    // The last transition is reported after the state has changed.
    while log.lock().len() < 4 {
        std::thread::yield_now();
    }
    let seen = log.lock().clone();
    assert_eq!(seen, ["slow starting", "slow start_timed_out", "slow stopping", "slow stopped"]);
    threads.stop(SECOND);
}

#[test]
fn an_overrun_stop_is_reported_and_does_not_hold_up_the_others() {
    let runtime = Manual::new();
    let threads = threads();
    let mixed = Arc::new(Mixed { time: runtime.clone(), threads: threads.clone() });
    let (lifecycle, _) = observed(mixed);
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let (entered, is_entered) = mpsc::channel();
    lifecycle.add(good("base", &[])).unwrap();
    lifecycle
        .add(part(
            "slow",
            &["base"],
            |_| Ok(()),
            move |_| {
                entered.send(()).unwrap();
                let _ = gone.lock().recv();
                Ok(())
            },
        ))
        .unwrap();
    lifecycle.start().unwrap();
    let mut stop = lifecycle.begin_stop(runtime.now() + SECOND);
    is_entered.recv().unwrap();
    runtime.advance(SECOND);
    let error = stop.wait().unwrap_err();
    assert_eq!(error.code(), Code::COMPONENT_STOP);
    let states: Vec<_> = lifecycle.states().into_iter().map(|s| s.state).collect();
    assert_eq!(states, [State::Stopped, State::StopTimedOut]);
    drop(go);
    threads.stop(SECOND);
}

#[test]
fn components_come_and_go_while_others_run() {
    let runtime = threads();
    let (lifecycle, _) = observed(Arc::new(runtime.clone()));
    lifecycle.add(good("base", &[])).unwrap();
    lifecycle.start().unwrap();
    let error = lifecycle.add(good("b", &["bsae"])).unwrap_err();
    assert_eq!(
        (error.code(), error.remedy()),
        (Code::COMPONENT_MISSING, Some("did you mean \"base\"?"))
    );
    lifecycle.add(good("b", &["base"])).unwrap();
    let error = lifecycle.remove("base").unwrap_err();
    assert_eq!(error.message(), "\"base\" is needed by \"b\"");
    let failing = part("c", &["base"], |_| Err(Error::new(Code::IO, "no port")), |_| Ok(()));
    let error = lifecycle.add(failing).unwrap_err();
    assert_eq!(format!("{error:#}"), "the component \"c\" failed to start (component=c): no port");
    let states =
        |l: &Lifecycle| l.states().into_iter().map(|s| (s.name, s.state)).collect::<Vec<_>>();
    let named = |n: &str, s| (n.to_owned(), s);
    assert_eq!(
        states(&lifecycle),
        [named("base", State::Running), named("b", State::Running), named("c", State::Failed)]
    );
    for gone in ["c", "b", "base"] {
        lifecycle.remove(gone).unwrap();
    }
    assert_eq!(states(&lifecycle), []);
    lifecycle.add(good("base", &[])).unwrap();
    lifecycle.stop(Moment::FAR).unwrap();
    runtime.stop(SECOND);
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
    fn timestamp(&self) -> crate::base::time::Timestamp {
        self.time.timestamp()
    }
    fn spawn(
        &self,
        future: crate::base::runtime::BoxFuture,
    ) -> Result<(), crate::base::runtime::Refused<crate::base::runtime::BoxFuture>> {
        self.threads.spawn(future)
    }
    fn spawn_blocking(
        &self,
        job: crate::base::runtime::Job,
    ) -> Result<(), crate::base::runtime::Refused<crate::base::runtime::Job>> {
        self.threads.spawn_blocking(job)
    }
    fn spawn_at(&self, at: Moment, job: crate::base::runtime::Job) -> crate::base::id::TimerId {
        self.time.spawn_at(at, job)
    }
    fn cancel(&self, timer: crate::base::id::TimerId) -> bool {
        self.time.cancel(timer)
    }
}
