//! Sources that a host writes, in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;
use sutazai_core::agent::AgentState;
use sutazai_core::agent::discover::{DiscoveryPolicy, ItemState};
use sutazai_core::base::runtime::Manual;
use sutazai_core::base::time::Moment;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{
    AgentCard, DiscoverySource, FoundAgent, Notify, Sighting, Task, WatchGuard,
};
use sutazai_core::{Code, Error, Result, agent};

use crate::common::{events, gave, subscribe};

/// What a source has to say of each item.
#[derive(Clone)]
enum Says {
    Here(&'static str),
    Away,
}

#[derive(Default)]
struct World {
    items: Mutex<Vec<(&'static str, Says)>>,
    looks: AtomicUsize,
    makes: AtomicUsize,
    fails: Mutex<Option<Error>>,
    notify: Mutex<Option<Notify>>,
    kernel: Mutex<Option<Kernel>>,
}

struct Source(Arc<World>);

impl DiscoverySource for Source {
    fn name(&self) -> &str {
        "hand"
    }

    fn find(&self, _: Moment, sink: &mut dyn FnMut(FoundAgent)) -> Result<()> {
        let world = &self.0;
        world.looks.fetch_add(1, Ordering::SeqCst);
        if let Some(kernel) = &*world.kernel.lock() {
            return kernel.discover(None).map(drop);
        }
        if let Some(error) = &*world.fails.lock() {
            return Err(error.clone());
        }
        for (name, says) in world.items.lock().clone() {
            sink(match says {
                Says::Here("panics") => {
                    FoundAgent::here(name, "", "panics", || panic!("on purpose"))
                }
                Says::Here(version) => {
                    let (world, its) = (Arc::clone(world), name);
                    FoundAgent::here(name, "a hand", version, move || {
                        world.makes.fetch_add(1, Ordering::SeqCst);
                        let card = AgentCard::new(its, [its]).version(version);
                        Ok(Arc::new(agent::from_fn(card, move |_: &Task| Ok(version))))
                    })
                }
                Says::Away => {
                    let error = Error::new(Code::IO, "nobody is there");
                    FoundAgent::new(name, "a hand", Sighting::Away(error))
                }
            });
        }
        Ok(())
    }

    fn watch(&self, changed: Notify) -> Result<WatchGuard> {
        *self.0.notify.lock() = Some(changed);
        Ok(WatchGuard::new(()))
    }
}

fn started(policy: DiscoveryPolicy) -> (Kernel, Manual, Arc<World>) {
    let runtime = Manual::new();
    let world = Arc::new(World::default());
    let kernel = Kernel::builder()
        .runtime(Arc::new(runtime.clone()))
        .seed(7)
        .source(Arc::new(Source(Arc::clone(&world))), policy)
        .build()
        .unwrap();
    kernel.start().unwrap();
    (kernel, runtime, world)
}

fn set(world: &World, items: &[(&'static str, Says)]) {
    *world.items.lock() = items.to_vec();
}

fn state(kernel: &Kernel, agent: &str) -> Option<AgentState> {
    kernel.agent(agent).map(|view| view.state)
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_source_is_looked_at_by_itself() {
    let (kernel, runtime, world) = started(DiscoveryPolicy::default().jitter(0.0));
    set(&world, &[("a", Says::Here("1"))]);
    assert_eq!(state(&kernel, "a"), None, "not before the clock moves");
    runtime.run();
    runtime.advance(Duration::ZERO);
    assert_eq!(state(&kernel, "a"), Some(AgentState::Ready));
    set(&world, &[("a", Says::Here("1")), ("b", Says::Here("1"))]);
    runtime.advance(29 * SECOND);
    assert_eq!(state(&kernel, "b"), None);
    runtime.advance(SECOND);
    assert_eq!(state(&kernel, "b"), Some(AgentState::Ready));
    let looks = world.looks.load(Ordering::SeqCst);
    runtime.advance(3_000 * SECOND);
    assert_eq!(world.looks.load(Ordering::SeqCst) - looks, 100);
    assert_eq!(world.makes.load(Ordering::SeqCst), 2, "nothing is made twice");
    kernel.stop(SECOND).unwrap();
    runtime.advance(3_000 * SECOND);
    assert_eq!(
        world.looks.load(Ordering::SeqCst) - looks,
        100,
        "a kernel that has stopped does not look"
    );
}

#[test]
fn jitter_spreads_the_looks_and_follows_from_the_seed() {
    let looks = |jitter| {
        let (_kernel, runtime, world) = started(DiscoveryPolicy::default().jitter(jitter));
        let times: Vec<_> = (0..2_000)
            .filter(|_| {
                let before = world.looks.load(Ordering::SeqCst);
                runtime.advance(SECOND);
                world.looks.load(Ordering::SeqCst) > before
            })
            .collect();
        times
    };
    let spread = looks(0.5);
    assert_eq!(spread, looks(0.5));
    let gaps: Vec<_> = spread.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (14..=46).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().any(|gap| *gap < 25) && gaps.iter().any(|gap| *gap > 35), "{gaps:?}");
}

#[test]
fn away_and_back_and_given_up() {
    let policy = DiscoveryPolicy::default().jitter(0.0).away(60 * SECOND);
    let (kernel, runtime, world) = started(policy);
    set(&world, &[("a", Says::Here("1"))]);
    runtime.advance(Duration::ZERO);
    set(&world, &[("a", Says::Away)]);
    runtime.advance(30 * SECOND);
    assert_eq!(state(&kernel, "a"), Some(AgentState::Unreachable));
    assert_eq!(kernel.agent("a").unwrap().why.as_deref(), Some("nobody is there"));
    set(&world, &[("a", Says::Here("1"))]);
    runtime.advance(SECOND);
    assert_eq!(
        state(&kernel, "a"),
        Some(AgentState::Ready),
        "it is looked at again after a second"
    );
    set(&world, &[("a", Says::Away)]);
    runtime.advance(30 * SECOND);
    let mut lost = subscribe(&kernel, "agent.lost");
    runtime.advance(90 * SECOND);
    assert_eq!(state(&kernel, "a"), None);
    assert_eq!(events(&mut lost).len(), 1);
    assert_eq!(kernel.sources()[0].items[0].state, ItemState::Failed);
    set(&world, &[("a", Says::Here("1"))]);
    runtime.advance(30 * SECOND);
    assert_eq!(state(&kernel, "a"), Some(AgentState::Ready));
}

#[test]
fn a_source_may_say_that_something_has_changed() {
    let (kernel, runtime, world) = started(DiscoveryPolicy::default().every(3_600 * SECOND));
    runtime.advance(SECOND);
    set(&world, &[("a", Says::Here("1"))]);
    let notify = world.notify.lock().clone().unwrap();
    notify();
    notify();
    let looks = world.looks.load(Ordering::SeqCst);
    runtime.advance(SECOND);
    assert_eq!(state(&kernel, "a"), Some(AgentState::Ready));
    assert_eq!(world.looks.load(Ordering::SeqCst) - looks, 1, "twice is once");
    drop(kernel);
    notify();
    runtime.advance(SECOND);
    assert_eq!(world.looks.load(Ordering::SeqCst) - looks, 1);
}

#[test]
fn what_goes_wrong_is_told_once_and_stays_where_it_is() {
    let (kernel, runtime, world) = started(DiscoveryPolicy::default().jitter(0.0));
    let mut told = subscribe(&kernel, "agent.not_discovered");
    set(&world, &[("bad", Says::Here("panics")), ("good", Says::Here("1"))]);
    runtime.advance(Duration::ZERO);
    assert_eq!(state(&kernel, "good"), Some(AgentState::Ready));
    runtime.advance(300 * SECOND);
    let heard = events(&mut told);
    assert_eq!(heard.len(), 1);
    assert_eq!(
        (&heard[0]["item"], &heard[0]["error"]["name"]),
        (&json!("bad"), &json!("base.panic"))
    );
    *world.fails.lock() = Some(Error::new(Code::IO, "the place is gone"));
    runtime.advance(300 * SECOND);
    assert_eq!(state(&kernel, "good"), Some(AgentState::Ready));
    let heard = events(&mut told);
    assert_eq!((heard.len(), &heard[0]["item"]), (1, &json!(null)));
    assert_eq!(kernel.sources()[0].error.as_ref().unwrap().message(), "the place is gone");
    let looks = kernel.discover(Some("hand")).unwrap();
    assert_eq!(gave(&looks[0]), json!([[], [], [], [], []]));
    assert!(looks[0].error.is_some());
}

#[test]
fn a_source_is_taken_out_with_its_agents_or_without() {
    for keep in [false, true] {
        let (kernel, runtime, world) = started(DiscoveryPolicy::default());
        set(&world, &[("a", Says::Here("1"))]);
        runtime.advance(Duration::ZERO);
        kernel.remove_source("hand", keep).unwrap();
        assert_eq!(state(&kernel, "a").is_some(), keep);
        runtime.advance(300 * SECOND);
        assert_eq!(world.looks.load(Ordering::SeqCst), 1);
        assert_eq!(Arc::strong_count(&world), 1, "the source is let go of");
        assert_eq!(kernel.remove_source("hand", keep).unwrap_err().code(), Code::NOT_FOUND);
        let near = kernel.discover(Some("hand")).unwrap_err();
        assert_eq!(near.code(), Code::NOT_FOUND);
    }
}

#[test]
fn a_look_within_a_look_is_refused() {
    let (kernel, runtime, world) = started(DiscoveryPolicy::default());
    *world.kernel.lock() = Some(kernel.clone());
    runtime.advance(Duration::ZERO);
    let error = kernel.sources()[0].error.clone().unwrap();
    assert_eq!(error.code(), Code::WOULD_DEADLOCK);
    *world.kernel.lock() = None;
}

#[test]
fn sources_have_names_of_their_own() {
    let (kernel, _runtime, world) = started(DiscoveryPolicy::default());
    let again = kernel.add_source(Source(world), DiscoveryPolicy::default()).unwrap_err();
    assert_eq!(again.code(), Code::ALREADY_EXISTS);
    let mut wrong = DiscoveryPolicy::default();
    wrong.interval_ms = Some(1);
    let spec = crate::common::source(json!({"directory": {"path": "/"}}));
    let error = kernel.add_source_of("x", spec.clone(), wrong).unwrap_err();
    assert_eq!(error.code(), Code::INVALID);
    let error = kernel.add_source_of("not a name", spec.clone(), DiscoveryPolicy::default());
    assert_eq!(error.unwrap_err().code(), Code::INVALID);
    kernel.stop(SECOND).unwrap();
    let error = kernel.add_source_of("x", spec, DiscoveryPolicy::default()).unwrap_err();
    assert_eq!(error.code(), Code::DRAINING);
    assert_eq!(kernel.discover(None).unwrap_err().code(), Code::NOT_RUNNING);
}

#[test]
fn another_version_takes_over_and_goes_with_its_source() {
    let (kernel, runtime, world) = started(DiscoveryPolicy::default().jitter(0.0));
    set(&world, &[("a", Says::Here("1"))]);
    runtime.advance(Duration::ZERO);
    set(&world, &[("a", Says::Here("2"))]);
    runtime.advance(30 * SECOND);
    let view = kernel.agent("a").unwrap();
    assert_eq!((view.card.version.as_str(), view.standby), ("2", vec!["1".to_owned()]));
    // The version that stands by is declared again.
    set(&world, &[("a", Says::Here("1"))]);
    runtime.advance(30 * SECOND);
    let view = kernel.agent("a").unwrap();
    assert_eq!((view.card.version.as_str(), view.standby), ("1", vec!["2".to_owned()]));
    // The host puts its own in charge: it stays, whatever is declared.
    let own = agent::from_fn(AgentCard::new("a", ["a"]).version("own"), |_: &Task| Ok("own"));
    kernel.replace_agent(own).unwrap();
    set(&world, &[("a", Says::Here("3"))]);
    runtime.advance(30 * SECOND);
    assert_eq!(kernel.agent("a").unwrap().card.version, "own");
    let error = kernel.sources()[0].items[0].error.clone().unwrap();
    assert_eq!(error.code(), Code::ALREADY_EXISTS);
    set(&world, &[]);
    runtime.advance(60 * SECOND);
    let view = kernel.agent("a").unwrap();
    assert_eq!(view.card.version, "own");
    assert!(
        !view.standby.contains(&"1".to_owned()),
        "only what was found goes: {:?}",
        view.standby
    );
}
