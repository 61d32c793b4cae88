//! What a source says of an agent, what the agent says itself, and what the host does meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sutazai_core::agent::discover::DiscoveryPolicy;
use sutazai_core::agent::{AgentState, AgentView, Vitality};
use sutazai_core::base::runtime::Manual;
use sutazai_core::base::ticket::Reply;
use sutazai_core::base::time::Moment;
use sutazai_core::kernel::{Builder, Kernel};
use sutazai_core::port::{
    Agent, AgentCard, AgentHost, Beat, DiscoverySource, FoundAgent, LivenessPolicy, Outcome,
    Sighting, Task,
};
use sutazai_core::{Code, Error, Result};

/// What an agent answers when it is asked whether it lives.
#[derive(Clone, Copy)]
enum Answers {
    Well,
    Never,
    Refused,
}

/// A source of one agent, and the agent.
struct World {
    /// What its agent is made of; nothing while it is away, and gone without.
    declared: Mutex<Option<Option<&'static str>>>,
    answers: Mutex<Answers>,
    asked: Mutex<Vec<Reply<Beat>>>,
    held: Mutex<Vec<Reply<Outcome>>>,
    host: Mutex<Option<AgentHost>>,
    made: AtomicU32,
    stopped: Mutex<Vec<String>>,
    /// Stops with the next start, while a call is under way.
    stops: Mutex<Option<Kernel>>,
}

struct Source(Arc<World>);

impl DiscoverySource for Source {
    fn name(&self) -> &str {
        "one"
    }

    fn find(&self, _: Moment, sink: &mut dyn FnMut(FoundAgent)) -> Result<()> {
        match *self.0.declared.lock() {
            Some(Some(version)) => {
                let world = Arc::clone(&self.0);
                sink(FoundAgent::here("a", "a hand", version, move || {
                    world.made.fetch_add(1, Ordering::SeqCst);
                    Ok(Arc::new(Found(world, version)))
                }));
            }
            Some(None) => {
                let error = Error::new(Code::IO, "nobody is there");
                sink(FoundAgent::new("a", "a hand", Sighting::Away(error)));
            }
            None => {}
        }
        Ok(())
    }
}

/// An agent, of a version.
struct Found(Arc<World>, &'static str);

impl Agent for Found {
    fn card(&self) -> AgentCard {
        AgentCard::new("a", ["s"]).version(self.1)
    }

    fn handle(&self, _: Task, reply: Reply<Outcome>) {
        self.0.held.lock().push(reply);
    }

    fn start(&self, host: &AgentHost) -> Result<()> {
        *self.0.host.lock() = Some(host.clone());
        if let Some(kernel) = self.0.stops.lock().take() {
            std::thread::spawn(move || kernel.stop(Duration::from_secs(1)));
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn stop(&self, _: Moment) {
        self.0.stopped.lock().push(self.1.to_owned());
    }

    fn liveness(&self) -> Option<LivenessPolicy> {
        Some(LivenessPolicy::default())
    }

    fn beat(&self, reply: Reply<Beat>) {
        match *self.0.answers.lock() {
            Answers::Well => drop(reply.send(Beat::Alive)),
            Answers::Never => self.0.asked.lock().push(reply),
            Answers::Refused => {
                let refused = Error::new(Code::IO, "connection refused");
                drop(reply.send(Beat::Unreachable(refused)));
            }
        }
    }
}

struct Bench {
    kernel: Kernel,
    world: Arc<World>,
}

fn bench(builder: Builder) -> Bench {
    let world = Arc::new(World {
        declared: Mutex::new(Some(Some("1"))),
        answers: Mutex::new(Answers::Well),
        asked: Mutex::default(),
        held: Mutex::default(),
        host: Mutex::default(),
        made: AtomicU32::new(0),
        stopped: Mutex::default(),
        stops: Mutex::default(),
    });
    let hour = Duration::from_secs(3_600);
    let policy =
        DiscoveryPolicy::default().jitter(0.0).every(hour).away(hour).probe(Duration::ZERO);
    let kernel = builder.source(Arc::new(Source(Arc::clone(&world))), policy).build().unwrap();
    kernel.start().unwrap();
    kernel.discover(None).unwrap();
    Bench { kernel, world }
}

fn in_virtual_time() -> Bench {
    let time = Manual::new();
    time.advance(SECOND);
    let bench = bench(Kernel::builder().runtime(Arc::new(time)).seed(1));
    bench.passes(30);
    bench
}

impl Bench {
    fn passes(&self, seconds: u32) {
        self.kernel.advance(SECOND * seconds).unwrap();
    }

    fn declares(&self, what: Option<Option<&'static str>>) {
        *self.world.declared.lock() = what;
        self.kernel.discover(None).unwrap();
    }

    fn view(&self) -> AgentView {
        self.kernel.agent("a").unwrap()
    }

    fn state(&self) -> (AgentState, Vitality) {
        let view = self.view();
        (view.state, view.liveness.unwrap().state)
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn one_that_is_away_is_not_back_by_taking_longer_to_answer() {
    let bench = in_virtual_time();
    *bench.world.answers.lock() = Answers::Never;
    bench.declares(Some(None));
    let mut slow = false;
    for _ in 0..8 {
        bench.passes(1);
        let (state, vitality) = bench.state();
        assert_eq!(state, AgentState::Unreachable);
        slow |= vitality == Vitality::Slow;
    }
    assert!(slow, "its silence was noticed");
    *bench.world.answers.lock() = Answers::Well;
    let asked = std::mem::take(&mut *bench.world.asked.lock());
    asked.into_iter().for_each(|reply| drop(reply.send(Beat::Alive)));
    assert_eq!(bench.state(), (AgentState::Ready, Vitality::Alive), "it has answered");
}

#[test]
fn one_that_is_declared_again_takes_tasks_when_it_answers() {
    let bench = in_virtual_time();
    *bench.world.answers.lock() = Answers::Refused;
    bench.declares(Some(None));
    bench.passes(10);
    assert_eq!(bench.state(), (AgentState::Unreachable, Vitality::Unreachable));
    bench.declares(Some(Some("1")));
    bench.passes(60);
    assert_eq!(bench.state(), (AgentState::Unreachable, Vitality::Unreachable));
    *bench.world.answers.lock() = Answers::Well;
    bench.passes(10);
    assert_eq!(bench.state(), (AgentState::Ready, Vitality::Alive));
}

#[test]
fn one_that_has_ended_does_not_come_back_with_its_source() {
    let bench = in_virtual_time();
    let host = bench.world.host.lock().clone().unwrap();
    host.ended(Error::new(Code::AGENT_EXITED, "exit status 1"));
    for declared in [None, Some("1")] {
        bench.declares(Some(declared));
        assert_eq!(bench.state(), (AgentState::Failed, Vitality::Dead));
    }
    bench.declares(Some(Some("2")));
    assert_eq!(bench.view().state, AgentState::Ready, "another version is another agent");
}

#[cfg(feature = "recovery")]
#[test]
fn one_that_comes_back_is_still_quarantined() {
    let bench = in_virtual_time();
    bench.declares(Some(None));
    bench.kernel.recovery().quarantine("a", None, "test").unwrap();
    bench.declares(Some(Some("1")));
    assert_eq!(bench.view().state, AgentState::Quarantined);
    bench.kernel.recovery().release("a", "test").unwrap();
    assert_eq!(bench.view().state, AgentState::Ready);
}

#[test]
fn a_version_of_the_hosts_stays_when_the_one_that_was_found_goes() {
    let bench = in_virtual_time();
    bench.declares(Some(Some("2")));
    bench.kernel.replace_agent(Found(Arc::clone(&bench.world), "own")).unwrap();
    for in_charge in ["1", "2"] {
        bench.kernel.switch_agent("a", in_charge).unwrap();
    }
    bench.declares(None);
    bench.passes(10);
    bench.kernel.discover(None).unwrap();
    let view = bench.view();
    assert_eq!((view.card.version.as_str(), view.state), ("own", AgentState::Ready));
    assert!(view.standby.is_empty(), "{:?}", view.standby);
    assert_eq!(*bench.world.stopped.lock(), ["1", "2"]);
}

#[test]
fn a_stop_amid_a_look_stops_every_version() {
    let bench = bench(Kernel::builder());
    let call = bench.kernel.call(Task::new("s", 1));
    *bench.world.stops.lock() = Some(bench.kernel.clone());
    bench.declares(Some(Some("2")));
    bench.world.held.lock().clear();
    drop(call);
    let waits = std::time::Instant::now();
    while bench.world.stopped.lock().len() < 2 && waits.elapsed() < SECOND * 10 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut stopped = bench.world.stopped.lock().clone();
    stopped.sort();
    assert_eq!(stopped, ["1", "2"]);
}
