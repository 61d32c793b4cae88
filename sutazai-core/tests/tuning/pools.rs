//! Pools whose size follows their load, at each level of autonomy.

use std::sync::Arc;

use serde_json::Map;
use sutazai_core::Code;
use sutazai_core::agent::create::{PoolPolicy, Template, TemplateKind};
use sutazai_core::base::runtime::Manual;
use sutazai_core::event::Subscription;
use sutazai_core::kernel::{Kernel, PoolView, Scaling};
use sutazai_core::port::{Agent, AgentOrder, Task};
use sutazai_core::tune::{Autonomy, ScaleCause, ScalePolicy};

use super::world::{Server, kernel, ms, seconds, told};

struct World {
    kernel: Kernel,
    events: Subscription,
    calls: Vec<sutazai_core::base::ticket::Ticket<sutazai_core::port::Outcome>>,
}

impl World {
    /// A pool of one, whose agents take a task at a time, for half a second.
    fn new(scaling: impl FnOnce(&mut Scaling)) -> Self {
        let runtime = Arc::new(Manual::new());
        let (kernel, events) = kernel(&runtime);
        let made = Arc::clone(&runtime);
        let factory = move |order: &AgentOrder| {
            let mut server = Server::new(&order.name, &made, 1, ms(500));
            server.card.concurrency = Some(1);
            Ok(Arc::new(server) as Arc<dyn Agent>)
        };
        kernel.add_agent_factory("server", factory).unwrap();
        let template = Template::new("server", ["serve"], TemplateKind::Factory("server".into()));
        kernel.add_template(template, false).unwrap();
        kernel.add_pool("servers", "server", Map::new(), PoolPolicy::between(1, 40)).unwrap();
        kernel.advance(seconds(1)).unwrap();
        let mut wanted = Scaling::default();
        wanted.policy.start_up_ms = 500;
        wanted.policy.hold_ms = 30_000;
        scaling(&mut wanted);
        kernel.scale_pool("servers", wanted).unwrap();
        Self { kernel, events, calls: Vec::new() }
    }

    /// So many calls a second for so many seconds, of which as many as find no agent are lost.
    fn load(&mut self, per_s: u64, for_seconds: u64) {
        for _ in 0..for_seconds * per_s {
            self.calls.push(self.kernel.call(Task::new("serve", 1)));
            self.kernel.advance(ms(1_000 / per_s)).unwrap();
            self.calls.retain(|call| !call.is_done());
        }
    }

    /// So many callers, each of which makes a call when the last one is answered, and tries again after so long where it is turned
    /// away. How many were answered and turned away.
    fn callers(&mut self, callers: usize, again_ms: u64, for_seconds: u64) -> (usize, usize) {
        let mut open: Vec<Option<sutazai_core::base::ticket::Ticket<sutazai_core::port::Outcome>>> =
            (0..callers).map(|_| None).collect();
        let (mut answered, mut refused) = (0, 0);
        for _ in 0..for_seconds * 1_000 / again_ms {
            for caller in &mut open {
                match caller.as_mut().map(|call| call.try_take()) {
                    Some(None) => continue,
                    Some(Some(Ok(_))) => answered += 1,
                    Some(Some(Err(_))) => refused += 1,
                    None => {}
                }
                *caller = Some(self.kernel.call(Task::new("serve", 1)));
            }
            self.kernel.advance(ms(again_ms)).unwrap();
        }
        (answered, refused)
    }

    fn scaled(&self) -> sutazai_core::kernel::ScaledPool {
        self.kernel.scaled_pools().remove(0)
    }

    fn pool(&self) -> PoolView {
        self.kernel.pools().remove(0)
    }

    fn subjects(&mut self) -> Vec<String> {
        told(&mut self.events).into_iter().map(|(subject, _)| subject).collect()
    }
}

#[test]
fn a_pool_grows_with_what_comes_in_and_shrinks_when_that_ends() {
    let mut world = World::new(|_| {});
    world.load(10, 40);
    // Five are busy all the time, and some more so that few calls find none.
    let pool = world.pool();
    assert!((6..=14).contains(&pool.agents.len()), "{pool:?}");
    assert!(pool.why.as_ref().is_some_and(|why| why.contains("scaled by its load")), "{pool:?}");
    let scaled = world.kernel.scaled_pools().remove(0);
    assert!((8.0..12.0).contains(&scaled.sample.arrivals_per_s), "{scaled:?}");
    assert!((400.0..600.0).contains(&scaled.sample.service_ms), "{scaled:?}");
    assert!(world.subjects().contains(&"tune.scale".to_owned()));
    world.kernel.advance(seconds(20)).unwrap();
    assert!(world.pool().agents.len() >= 5, "they are held");
    world.kernel.advance(seconds(60)).unwrap();
    assert_eq!(world.pool().agents.len(), 1);
    world.kernel.unscale_pool("servers").unwrap();
    assert_eq!(world.kernel.unscale_pool("servers").unwrap_err().code(), Code::NOT_FOUND);
}

#[test]
fn who_is_turned_away_counts_at_each_level() {
    for autonomy in [Autonomy::Observe, Autonomy::Suggest, Autonomy::Approve] {
        for again_ms in [100, 20] {
            let mut world = World::new(|scaling| scaling.autonomy = autonomy);
            let (answered, refused) = world.callers(10, again_ms, 6);
            assert!(answered <= 12 && refused > 400, "{answered} {refused}");
            let scaled = world.scaled();
            assert!(scaled.sample.refused_per_s > 70.0, "{scaled:?}");
            // Ten are busy all the time; some more so that few calls find none. How often they try again makes no difference.
            let needed = scaled.decision.unwrap().needed;
            assert!((10..=18).contains(&needed), "{autonomy:?} {again_ms} {scaled:?}");
            if autonomy == Autonomy::Approve {
                assert!(scaled.waiting.unwrap().target >= 10);
            }
        }
    }
}

#[test]
fn a_pool_is_large_enough_for_who_is_turned_away_in_one_go() {
    let mut world = World::new(|_| {});
    world.callers(10, 100, 4);
    let size = world.pool().agents.len();
    assert!((10..=18).contains(&size), "{size}");
    // What is under way ends.
    world.kernel.advance(seconds(1)).unwrap();
    let (_, refused) = world.callers(10, 100, 20);
    assert_eq!(refused, 0, "all are taken");
    let scaled = world.scaled();
    assert!(world.pool().agents.len() <= 18 && scaled.sample.refused_per_s == 0.0, "{scaled:?}");
}

#[test]
fn a_load_that_has_ended_is_forgotten_within_seconds() {
    let mut world = World::new(|scaling| {
        (scaling.policy.hold_ms, scaling.forecast) = (5_000, false);
    });
    world.callers(10, 100, 30);
    assert!(world.scaled().decision.unwrap().needed >= 10);
    world.kernel.advance(seconds(8)).unwrap();
    let scaled = world.scaled();
    assert_eq!(scaled.sample.arrivals_per_s, 0.0, "{scaled:?}");
    assert_eq!(scaled.decision.unwrap().needed, 0, "{scaled:?}");
    world.kernel.advance(seconds(7)).unwrap();
    assert_eq!(
        world.pool().agents.len(),
        1,
        "it was held, and is not any more: {:?}",
        world.pool()
    );
}

#[test]
fn a_forecast_that_a_load_goes_on_gives_way_when_it_does_not() {
    let mut world = World::new(|scaling| scaling.policy.hold_ms = 5_000);
    world.callers(10, 100, 30);
    world.kernel.advance(seconds(60)).unwrap();
    assert!(world.pool().agents.len() <= 2, "{:?} {:?}", world.pool(), world.scaled());
}

#[test]
fn a_call_counts_once_however_often_its_guard_tries_it() {
    let mut world = World::new(|scaling| scaling.autonomy = Autonomy::Observe);
    let policy: sutazai_core::recovery::GuardPolicy =
        serde_json::from_str(r#"{"retry": {"attempts": 4, "base_ms": 10, "max_ms": 20}}"#).unwrap();
    world.kernel.guard(sutazai_core::kernel::CallsTo::All, Some(policy)).unwrap();
    world.load(10, 20);
    let sample = world.scaled().sample;
    let all = sample.arrivals_per_s + sample.refused_per_s;
    assert!((8.0..=12.0).contains(&all) && sample.refused_per_s > 5.0, "{sample:?}");
}

#[test]
fn cost_has_a_ceiling() {
    let mut world = World::new(|scaling| {
        scaling.policy.worker_per_hour = 2.0;
        scaling.policy.cost_per_hour = Some(7.0);
    });
    world.load(10, 30);
    assert_eq!(world.pool().agents.len(), 3);
    let decision = world.kernel.scaled_pools().remove(0).decision.unwrap();
    assert_eq!((decision.target, decision.cause), (3, ScaleCause::Bound));
    assert!(decision.needed > 5 && decision.cost_per_hour <= 7.0, "{decision:?}");
}

#[test]
fn who_observes_or_suggests_changes_nothing() {
    for (autonomy, says) in [(Autonomy::Observe, false), (Autonomy::Suggest, true)] {
        let mut world = World::new(|scaling| scaling.autonomy = autonomy);
        world.load(10, 30);
        assert_eq!(world.pool().agents.len(), 1, "{autonomy:?}");
        assert!(world.kernel.scaled_pools().remove(0).decision.unwrap().target > 1);
        let subjects = world.subjects();
        assert_eq!(subjects.contains(&"tune.suggest".to_owned()), says, "{subjects:?}");
        assert!(!subjects.contains(&"tune.scale".to_owned()));
    }
}

#[test]
fn who_asks_does_what_is_approved() {
    let mut world = World::new(|scaling| {
        scaling.autonomy = Autonomy::Approve;
        scaling.approval_ms = 20_000;
    });
    let error = world.kernel.answer_scaling("servers", 1, true, "ann").unwrap_err();
    assert_eq!(error.code(), Code::INVALID, "nothing was asked: {error}");
    world.load(10, 10);
    assert_eq!(world.pool().agents.len(), 1);
    let waiting = world.kernel.scaled_pools().remove(0).waiting.unwrap();
    assert!(waiting.target > 1 && world.subjects().contains(&"tune.ask".to_owned()));
    let other = world.kernel.answer_scaling("servers", waiting.proposal + 1, true, "ann");
    assert_eq!(other.unwrap_err().code(), Code::INVALID, "what was asked waits on");
    world.kernel.answer_scaling("servers", waiting.proposal, true, "ann").unwrap();
    world.load(10, 3);
    assert_eq!(world.pool().agents.len(), waiting.target as usize);
    let none = world.kernel.answer_scaling("none", 1, true, "").unwrap_err();
    assert_eq!(none.code(), Code::NOT_FOUND);
}

#[test]
fn a_size_beyond_the_pools_bounds_is_told_once() {
    let mut world = World::new(|scaling| scaling.policy.min = 60);
    world.kernel.advance(seconds(60)).unwrap();
    assert_eq!(world.pool().target, 40);
    assert_eq!(world.subjects(), ["tune.scale"]);
}

#[test]
fn a_load_that_is_forecast_is_there_in_time() {
    // The load comes and goes every two minutes; agents take 20 s to start.
    let mut world = World::new(|scaling| {
        scaling.policy.start_up_ms = 20_000;
        scaling.policy.hold_ms = 10_000;
    });
    let there: Vec<_> = (0..12)
        .map(|_| {
            world.load(1, 90);
            let there = world.pool().agents.len();
            world.load(8, 30);
            there
        })
        .collect();
    // One or two are enough for what comes in until then, and four are busy after.
    assert!(there[0] <= 3, "{there:?}");
    let in_time = there.iter().skip(7).filter(|agents| **agents >= 4).count();
    assert!(in_time >= 4, "{there:?}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let world = World::new(|_| {});
    let scale = |pool: &str, change: &dyn Fn(&mut Scaling)| {
        let mut scaling = Scaling::default();
        change(&mut scaling);
        world.kernel.scale_pool(pool, scaling).unwrap_err().code()
    };
    assert_eq!(scale("none", &|_| {}), Code::NOT_FOUND);
    assert_eq!(scale("servers", &|scaling| scaling.every_ms = 1), Code::INVALID);
    assert_eq!(scale("servers", &|scaling| scaling.approval_ms = 0), Code::INVALID);
    let most = |scaling: &mut Scaling| {
        scaling.policy = {
            let mut p = ScalePolicy::default();
            p.max = 0;
            p
        }
    };
    assert_eq!(scale("servers", &most), Code::INVALID);
}

#[test]
fn bounds_that_come_and_go_do_not_hold_a_size() {
    let mut world = World::new(|_| {});
    world.load(10, 20);
    let before = world.pool().target;
    assert!(before > 5, "{before}");
    world.kernel.set_knob("pool/servers/max", &sutazai_core::tune::KnobValue::Integer(5)).unwrap();
    world.load(10, 5);
    assert_eq!(world.pool().target, 5);
    world.kernel.set_knob("pool/servers/max", &sutazai_core::tune::KnobValue::Integer(40)).unwrap();
    world.load(10, 5);
    assert!(world.pool().target > 5, "{} after {before}", world.pool().target);
}
