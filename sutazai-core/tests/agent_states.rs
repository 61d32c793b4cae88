//! Whatever happens to agents, in whatever order: each of their states follows from the one before, every
//! change is told in order and with a reason, and the last that was told is the state that is seen.
#![cfg(all(feature = "agent", feature = "recovery"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;
use sutazai_core::agent::AgentState;
use sutazai_core::base::runtime::Manual;
use sutazai_core::base::ticket::Reply;
use sutazai_core::event::{Overflow, Subscription};
use sutazai_core::kernel::{Kernel, Supervision};
use sutazai_core::port::{Agent, AgentCard, AgentHost, Beat, LivenessPolicy, Outcome, Task};
use sutazai_core::recovery::Evidence;
use sutazai_core::{Code, Error, Result};

/// How the agents of one schedule are at the moment, by name.
#[derive(Default)]
struct Fates {
    silent: Mutex<HashMap<&'static str, bool>>,
    away: Mutex<HashMap<&'static str, bool>>,
    hosts: Mutex<HashMap<&'static str, AgentHost>>,
}

struct Mortal {
    name: &'static str,
    version: String,
    starts: bool,
    fates: Arc<Fates>,
}

impl Agent for Mortal {
    fn card(&self) -> AgentCard {
        AgentCard::new(self.name, ["s"]).version(&self.version)
    }

    fn handle(&self, task: Task, reply: Reply<Outcome>) {
        let _ = match task.input().to::<bool>() {
            Ok(true) => reply.send("done".into()),
            _ => reply.fail(Error::new(Code::AGENT_EXITED, "it went down")),
        };
    }

    fn start(&self, host: &AgentHost) -> Result<()> {
        self.fates.hosts.lock().insert(self.name, host.clone());
        if self.starts { Ok(()) } else { Err(Error::new(Code::AGENT_START, "no licence")) }
    }

    fn liveness(&self) -> Option<LivenessPolicy> {
        Some(LivenessPolicy::default())
    }

    fn beat(&self, reply: Reply<Beat>) {
        if self.fates.silent.lock().get(self.name) == Some(&true) {
            return;
        }
        let _ = reply.send(match self.fates.away.lock().get(self.name) {
            Some(true) => Beat::Unreachable(Error::new(Code::IO, "connection refused")),
            _ => Beat::Alive,
        });
    }
}

const NAMES: [&str; 3] = ["a", "b", "c"];

/// What happens, to which agent.
#[derive(Clone, Debug)]
enum Act {
    Add { starts: bool },
    Supervise { starts: bool },
    Replace { version: u8, starts: bool },
    Switch(u8),
    Retire(u8),
    Remove,
    Quarantine,
    Release,
    Crash,
    Dies,
    Silent(bool),
    Away(bool),
    Call(bool),
    Passes(u64),
}

fn act() -> impl Strategy<Value = (usize, Act)> {
    let act = prop_oneof![
        2 => any::<bool>().prop_map(|starts| Act::Add { starts }),
        2 => any::<bool>().prop_map(|starts| Act::Supervise { starts }),
        4 => (0_u8..4, prop::bool::weighted(0.8)).prop_map(|(version, starts)| Act::Replace { version, starts }),
        2 => (0_u8..4).prop_map(Act::Switch),
        1 => (0_u8..4).prop_map(Act::Retire),
        1 => Just(Act::Remove),
        2 => Just(Act::Quarantine),
        2 => Just(Act::Release),
        2 => Just(Act::Crash),
        2 => Just(Act::Dies),
        2 => any::<bool>().prop_map(Act::Silent),
        2 => any::<bool>().prop_map(Act::Away),
        3 => any::<bool>().prop_map(Act::Call),
        4 => (0_u64..40_000).prop_map(Act::Passes),
    ];
    (0..NAMES.len(), act)
}

fn apply(kernel: &Kernel, fates: &Arc<Fates>, name: &'static str, act: &Act) {
    let mortal =
        |version: String, starts| Mortal { name, version, starts, fates: Arc::clone(fates) };
    // What an operation says does not matter here; what it does is told.
    match act {
        Act::Add { starts } => drop(kernel.add_agent(mortal(String::new(), *starts))),
        Act::Supervise { starts } => {
            let (fates, starts) = (Arc::clone(fates), *starts);
            let make = move || {
                let mortal =
                    Mortal { name, version: String::new(), starts, fates: Arc::clone(&fates) };
                Ok(Arc::new(mortal) as Arc<dyn Agent>)
            };
            let spec = Supervision::default().intensity(1, Duration::from_secs(60));
            drop(kernel.supervise_agent(spec, Arc::new(make)));
        }
        Act::Replace { version, starts } => {
            drop(kernel.replace_agent(mortal(version.to_string(), *starts)));
        }
        Act::Switch(version) => drop(kernel.switch_agent(name, &version.to_string())),
        Act::Retire(version) => {
            drop(kernel.retire_agent(name, &version.to_string(), Duration::ZERO));
        }
        Act::Remove => drop(kernel.remove_agent(name, Duration::ZERO)),
        Act::Quarantine => drop(kernel.recovery().quarantine(name, None, "test")),
        Act::Release => drop(kernel.recovery().release(name, "test")),
        Act::Crash => drop(kernel.recovery().observe(name, Evidence::Crash)),
        Act::Dies => {
            let host = fates.hosts.lock().get(name).cloned();
            if let Some(host) = host {
                host.ended(Error::new(Code::AGENT_EXITED, "exit status 1"));
            }
        }
        Act::Silent(silent) => drop(fates.silent.lock().insert(name, *silent)),
        Act::Away(away) => drop(fates.away.lock().insert(name, *away)),
        Act::Call(well) => kernel.call(Task::new("s", *well)).detach(),
        Act::Passes(ms) => drop(kernel.advance(Duration::from_millis(*ms))),
    }
}

/// The paths of the agents' states: by name and version, one after the other where one of these came again.
#[derive(Default)]
struct Paths(HashMap<(String, String), AgentState>);

impl Paths {
    fn follow(&mut self, events: &mut Subscription) {
        while let Some(delivery) = events.try_next().unwrap() {
            assert_eq!(delivery.missed_before, 0);
            let event = delivery.event.payload.value().unwrap();
            let text = |key: &str| event[key].as_str().unwrap().to_owned();
            let (from, to) = (state(&event["from"]), state(&event["to"]));
            assert!(from.may_become(to), "{event}");
            assert!(!text("why").is_empty(), "{event}");
            let key = (text("agent"), text("version"));
            let before = self.0.insert(key, to);
            // One that has failed to start, or was stopped, is gone, and another may come in its place.
            let fresh = from == AgentState::Registered;
            let gone = |state| matches!(state, AgentState::Stopped | AgentState::Failed);
            match before {
                Some(before) if fresh => assert!(gone(before), "{before:?} and then {event}"),
                Some(before) => assert_eq!(before, from, "{event}"),
                None => assert!(fresh, "{event}"),
            }
        }
    }

    fn agree(&self, kernel: &Kernel) {
        for view in kernel.agents() {
            let key = (view.card.name.to_string(), view.card.version.clone());
            match self.0.get(&key) {
                // One that has gone before, with a name and version that another one has now.
                Some(AgentState::Stopped | AgentState::Failed)
                    if view.state == AgentState::Registered => {}
                Some(told) => assert_eq!(*told, view.state, "{key:?}"),
                None => assert_eq!(view.state, AgentState::Registered),
            }
        }
    }
}

fn state(name: &serde_json::Value) -> AgentState {
    use AgentState as S;
    let all = [
        S::Registered,
        S::Starting,
        S::Ready,
        S::Standby,
        S::Unreachable,
        S::Quarantined,
        S::Failed,
        S::Draining,
        S::Stopped,
    ];
    all.into_iter().find(|state| name == state.name()).unwrap()
}

fn subscribed(kernel: &Kernel) -> Subscription {
    let events = kernel.bus().subscribe("agent.state").capacity(100_000);
    events.overflow(Overflow::DropNewest).pull().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn states_follow_from_one_another(
        acts in prop::collection::vec(act(), 1..80),
        starts_after in 0_usize..6,
        stops in any::<bool>(),
    ) {
        let time = Manual::new();
        time.advance(Duration::from_millis(1));
        let kernel = Kernel::builder().runtime(Arc::new(time)).seed(7).build().unwrap();
        let fates: Arc<Fates> = Arc::default();
        let mut events = subscribed(&kernel);
        let mut paths = Paths::default();
        for (index, (who, act)) in acts.iter().enumerate() {
            if index == starts_after {
                // Where one of its agents does not start the kernel does not either.
                drop(kernel.start());
            }
            apply(&kernel, &fates, NAMES[*who], act);
            paths.follow(&mut events);
            paths.agree(&kernel);
        }
        if stops {
            drop(kernel.stop(Duration::from_millis(10)));
            paths.follow(&mut events);
            paths.agree(&kernel);
            for view in kernel.agents() {
                prop_assert!(matches!(view.state, AgentState::Registered | AgentState::Stopped));
            }
        }
    }
}

/// The same from several threads at once, in real time.
#[test]
fn changes_from_several_threads_are_told_in_order() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..10 {
        let kernel = Kernel::builder().build().unwrap();
        let fates: Arc<Fates> = Arc::default();
        let mut events = subscribed(&kernel);
        kernel.start().unwrap();
        let schedules: Vec<Vec<(usize, Act)>> = (0..4)
            .map(|_| {
                let tree = prop::collection::vec(act(), 100).new_tree(&mut runner).unwrap();
                proptest::strategy::ValueTree::current(&tree)
            })
            .collect();
        std::thread::scope(|scope| {
            for acts in &schedules {
                let (kernel, fates) = (&kernel, &fates);
                scope.spawn(move || {
                    for (who, act) in acts {
                        if !matches!(act, Act::Passes(_)) {
                            apply(kernel, fates, NAMES[*who], act);
                        }
                    }
                });
            }
        });
        kernel.stop(Duration::from_secs(5)).unwrap();
        // Versions of one name and number may come and go at once here: only what each event says counts.
        while let Some(delivery) = events.try_next().unwrap() {
            let event = delivery.event.payload.value().unwrap();
            assert!(state(&event["from"]).may_become(state(&event["to"])), "{event}");
            assert!(event["why"].as_str().is_some_and(|why| !why.is_empty()), "{event}");
        }
        for view in kernel.agents() {
            assert!(matches!(view.state, AgentState::Registered | AgentState::Stopped), "{view:?}");
        }
    }
}

/// One whose start has the host replace it, and fails.
struct Replaced(Kernel, Arc<Fates>);

impl Agent for Replaced {
    fn card(&self) -> AgentCard {
        AgentCard::new("a", ["s"])
    }

    fn handle(&self, _: Task, reply: Reply<Outcome>) {
        drop(reply);
    }

    fn start(&self, _: &AgentHost) -> Result<()> {
        let next =
            Mortal { name: "a", version: "2".to_owned(), starts: true, fates: Arc::clone(&self.1) };
        self.0.replace_agent(next)?;
        Err(Error::new(Code::AGENT_START, "no licence"))
    }

    fn restarts(&self) -> u64 {
        panic!("on purpose")
    }
}

#[test]
fn a_start_that_fails_takes_no_other_version_with_it() {
    let kernel = Kernel::builder().runtime(Arc::new(Manual::new())).build().unwrap();
    kernel.start().unwrap();
    let error = kernel.add_agent(Replaced(kernel.clone(), Arc::default())).unwrap_err();
    assert_eq!(error.code(), Code::AGENT_START);
    let view = kernel.agent("a").unwrap();
    assert_eq!((view.card.version.as_str(), view.state), ("2", AgentState::Ready));
    assert!(view.standby.is_empty());
}

#[test]
fn an_agent_that_panics_over_its_restarts_is_seen_and_removed() {
    let kernel = Kernel::builder().runtime(Arc::new(Manual::new())).build().unwrap();
    kernel.add_agent(Replaced(kernel.clone(), Arc::default())).unwrap();
    assert_eq!(kernel.agents()[0].restarts, 0);
    kernel.remove_agent("a", Duration::ZERO).unwrap();
    assert!(kernel.agents().is_empty());
}
