//! What is scarce is divided by what agents make of it: each level of autonomy, and what goes wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use sutazai_core::base::runtime::Manual;
use sutazai_core::event::Subscription;
use sutazai_core::kernel::{
    CallsTo, Kernel, ShareMember, ShareSpec, SharedOut, TuneSpec, TunedKnob,
};
use sutazai_core::observe::LogQuery;
use sutazai_core::port::{AgentCard, RunMode, Task};
use sutazai_core::recovery::GuardPolicy;
use sutazai_core::tune::{Adjust, Autonomy, KnobKind, KnobScale, KnobValue, TunerPolicy};
use sutazai_core::{Code, Error, Result};

use super::world::{Server, kernel, ms, seconds, told};

fn knob_of(kernel: &Kernel, name: &str) -> i64 {
    let knob = kernel.knobs().into_iter().find(|knob| knob.name == name).unwrap();
    match knob.value.unwrap() {
        KnobValue::Integer(value) => value,
        other => unreachable!("{other:?}"),
    }
}

fn bulkhead(agent: &str) -> String {
    format!("guard/agent:{agent}/bulkhead/concurrency")
}

/// The writer makes something of 40 calls at once, the critic of 4.
#[test]
fn calls_at_once_go_to_the_agent_that_makes_more_of_them() {
    let runtime = Arc::new(Manual::new());
    let (kernel, _events) = kernel(&runtime);
    let mut members = Vec::new();
    for (name, capacity) in [("writer", 40), ("critic", 4)] {
        let mut server = Server::new(name, &runtime, capacity, ms(50));
        server.card = AgentCard::new(name, [name]).run(RunMode::Inline);
        kernel.add_agent(server).unwrap();
        let guard: GuardPolicy = serde_json::from_value(
            serde_json::json!({"bulkhead": {"concurrency": 3, "queue": 256}}),
        )
        .unwrap();
        kernel.guard(CallsTo::Agent(name.to_owned()), guard).unwrap();
        members.push((name.to_owned(), ShareMember::knob(bulkhead(name))));
    }
    let mut spec = ShareSpec::new(20, members);
    spec.every_ms = 2_000;
    kernel.share_out("calls", spec).unwrap();
    let at_once = || ["writer", "critic"].map(|name| knob_of(&kernel, &bulkhead(name)));
    assert_eq!(at_once(), [10, 10], "even, as nothing is known yet");

    let mut calls: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    let mut writer = 0;
    for quarter in 0..4 * 600 {
        for name in ["writer", "critic"] {
            let open = calls.entry(name).or_default();
            open.retain(|call: &sutazai_core::base::ticket::Ticket<_>| !call.is_done());
            while open.len() < 60 {
                open.push(kernel.call(Task::new(name, 1).timeout(seconds(60))));
            }
        }
        kernel.advance(ms(250)).unwrap();
        let now = at_once();
        assert!(now.iter().sum::<i64>() <= 20 && now.iter().all(|units| *units >= 1), "{now:?}");
        writer += if quarter >= 4 * 500 { now[0] } else { 0 };
    }
    let mean = writer as f64 / 400.0;
    assert!(mean >= 13.5, "the writer has {mean} of 20 calls at once: 16 would be best");
    let [shared] = &kernel.shared_out()[..] else { unreachable!() };
    // Where it has got to, one more call at once is worth as much to both, as far as it shows.
    let of = ["writer", "critic"].map(|who| (shared.view.agents[who], shared.benefits[who]));
    for (view, benefit) in of {
        // Beside what it makes of one whole in the mean that is known well.
        assert!(view.error.unwrap() < 0.05 * benefit / view.share, "that is known: {shared:?}");
    }
    let [(writer, _), (critic, _)] = of;
    let error = writer.error.unwrap() + critic.error.unwrap();
    assert!((writer.marginal - critic.marginal).abs() <= 4.0 * error, "{shared:?}");
    assert!(shared.benefits["writer"] > 2.0 * shared.benefits["critic"], "{shared:?}");
}

/// Something of the host's with a number of places.
struct Places {
    name: &'static str,
    value: AtomicI64,
    stuck: AtomicBool,
    tries: AtomicI64,
}

impl Adjust for Places {
    fn name(&self) -> &str {
        self.name
    }
    fn kind(&self) -> KnobKind {
        KnobKind::Integer { low: 2, high: 90, scale: KnobScale::Linear }
    }
    fn value(&self) -> Result<KnobValue> {
        Ok(KnobValue::Integer(self.value.load(Ordering::SeqCst)))
    }
    fn set(&self, value: &KnobValue) -> Result<()> {
        self.tries.fetch_add(1, Ordering::SeqCst);
        match value {
            _ if self.stuck.load(Ordering::SeqCst) => {
                Err(Error::new(Code::IO, "the valve is stuck"))
            }
            KnobValue::Integer(value) => {
                self.value.store(*value, Ordering::SeqCst);
                Ok(())
            }
            _ => Err(Error::new(Code::INVALID, "a whole number")),
        }
    }
}

struct World {
    kernel: Kernel,
    events: Subscription,
    knobs: [Arc<Places>; 2],
}

impl World {
    fn new(autonomy: Autonomy) -> Self {
        let (kernel, events) = kernel(&Arc::new(Manual::new()));
        let knobs = ["a", "b"].map(|name| {
            let value = AtomicI64::new(30);
            let knob = Arc::new(Places {
                name,
                value,
                stuck: AtomicBool::new(false),
                tries: AtomicI64::new(0),
            });
            kernel.add_knob(knob.clone()).unwrap();
            knob
        });
        kernel.share_out("places", spec(autonomy)).unwrap();
        Self { kernel, events, knobs }
    }

    fn now(&self) -> [i64; 2] {
        [0, 1].map(|one: usize| self.knobs[one].value.load(Ordering::SeqCst))
    }

    /// Time goes on; `a` makes four times as much of the square root of what it has.
    fn run(&self, rounds: u64) {
        for _ in 0..rounds * 10 {
            let [a, b] = self.now().map(|places| (places as f64).sqrt());
            let made = BTreeMap::from([("a".to_owned(), 4.0 * a), ("b".to_owned(), b)]);
            self.kernel.report_benefits("places", &made).unwrap();
            self.kernel.advance(seconds(1)).unwrap();
        }
    }

    fn shared(&self) -> SharedOut {
        self.kernel.shared_out().pop().unwrap()
    }

    fn subjects(&mut self) -> Vec<String> {
        told(&mut self.events).into_iter().map(|(subject, _)| subject).collect()
    }
}

fn spec(autonomy: Autonomy) -> ShareSpec {
    let members = ["a", "b"].map(|name| (name.to_owned(), ShareMember::knob(name)));
    let mut spec = ShareSpec::new(100, members);
    (spec.autonomy, spec.approval_ms) = (autonomy, 60_000);
    spec
}

#[test]
fn who_acts_divides_by_what_one_more_is_worth() {
    let mut world = World::new(Autonomy::Act);
    assert_eq!(world.now(), [50, 50]);
    world.run(300);
    let [a, b] = world.now();
    // 16 : 1 is best, where a further place is worth as much to both; what a knob takes bounds it.
    assert!((75..=90).contains(&a) && b >= 2 && a + b <= 100, "{a} and {b}");
    assert!(world.subjects().iter().all(|subject| subject == "tune.share"));
    world.kernel.unshare("places").unwrap();
    assert_eq!(world.now(), [a, b], "what they have they keep");
    world.kernel.advance(seconds(60)).unwrap();
    assert_eq!(world.now(), [a, b]);
    assert_eq!(world.kernel.unshare("places").unwrap_err().code(), Code::NOT_FOUND);
}

#[test]
fn who_observes_or_suggests_sets_nothing() {
    for (autonomy, says) in [(Autonomy::Observe, false), (Autonomy::Suggest, true)] {
        let mut world = World::new(autonomy);
        world.run(30);
        assert_eq!(world.now(), [30, 30]);
        let said = world.subjects();
        assert_eq!(!said.is_empty(), says);
        // Once a minute, not each round.
        assert!(
            said.iter().all(|subject| subject == "tune.suggest") && said.len() <= 6,
            "{said:?}"
        );
        let shared = world.shared();
        assert_eq!(shared.units, BTreeMap::from([("a".to_owned(), 30), ("b".to_owned(), 30)]));
        assert!((shared.benefits["a"] - 4.0 * 30_f64.sqrt()).abs() < 1e-9, "{shared:?}");
    }
}

#[test]
fn what_is_asked_is_given_when_it_is_approved() {
    let mut world = World::new(Autonomy::Approve);
    world.run(2);
    assert_eq!(world.now(), [30, 30]);
    let waiting = world.shared().waiting.unwrap();
    assert_eq!(world.subjects(), ["tune.ask"]);
    let other = world.kernel.answer_shares("places", waiting.proposal + 1, true, "ann");
    assert_eq!(other.unwrap_err().code(), Code::INVALID, "what was asked waits on");
    world.kernel.answer_shares("places", waiting.proposal, true, "ann").unwrap();
    let [a, b] = world.now().map(|places| u64::try_from(places).unwrap());
    assert_eq!(waiting.units, BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]));
    assert_eq!(world.subjects(), ["tune.share"]);
    let again = world.kernel.answer_shares("places", waiting.proposal, true, "ann").unwrap_err();
    assert_eq!(again.code(), Code::INVALID);
    // What is denied is not asked again at once.
    world.run(2);
    assert_eq!(world.subjects(), ["tune.ask"]);
    let before = world.now();
    let waiting = world.shared().waiting.unwrap();
    world.kernel.answer_shares("places", waiting.proposal, false, "ann").unwrap();
    world.run(4);
    assert_eq!((world.now(), world.subjects().len()), (before, 0));
    world.run(3);
    assert_eq!(world.subjects(), ["tune.ask"]);
    // And what nobody answers goes by.
    let asked = world.shared().waiting.unwrap();
    world.run(7);
    assert_ne!(world.shared().waiting.map(|one| one.until), Some(asked.until));
}

#[test]
fn what_somebody_else_sets_teaches_nothing_and_what_cannot_be_set_is_told() {
    let world = World::new(Autonomy::Act);
    world.run(3);
    world.kernel.set_knob("a", &KnobValue::Integer(3)).unwrap();
    world.run(1);
    let shared = world.shared();
    assert!(!shared.benefits.contains_key("a") && shared.benefits.contains_key("b"), "{shared:?}");
    let [a, b] = world.now();
    assert!(a > 10 && a + b <= 100, "it is given what it should have again: {a} and {b}");
    // Of one that cannot be made smaller nothing is given to the other.
    world.knobs.iter().for_each(|knob| knob.stuck.store(true, Ordering::SeqCst));
    let before = world.now();
    world.run(3);
    assert_eq!(world.now(), before);
    assert_eq!(world.shared().trouble.unwrap().code(), Code::IO);
    world.knobs.iter().for_each(|knob| knob.stuck.store(false, Ordering::SeqCst));
    world.run(2);
    assert!(world.shared().trouble.is_none());
}

#[test]
fn what_cannot_be_set_for_long_is_tried_less_and_less_and_told_once() {
    let world = World::new(Autonomy::Act);
    world.run(3);
    world.knobs.iter().for_each(|knob| knob.stuck.store(true, Ordering::SeqCst));
    let tries = || world.knobs.iter().map(|knob| knob.tries.load(Ordering::SeqCst)).sum::<i64>();
    let before = tries();
    world.run(90);
    let tried = tries() - before;
    assert!((8..=45).contains(&tried), "{tried} tries in 90 rounds");
    assert_eq!(world.shared().trouble.unwrap().code(), Code::IO, "it is still so");
    let logged = world.kernel.log().recent(&LogQuery::default());
    let told = logged.iter().filter(|one| one.message == "shares were not given").count();
    assert!((1..=2).contains(&told), "once of each member: {told}");
    world.knobs.iter().for_each(|knob| knob.stuck.store(false, Ordering::SeqCst));
    world.run(20);
    assert!(world.shared().trouble.is_none());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let world = World::new(Autonomy::Act);
    let code = |name: &str, spec: ShareSpec| world.kernel.share_out(name, spec).unwrap_err().code();
    assert_eq!(code("other", spec(Autonomy::Act)), Code::ALREADY_EXISTS);
    assert_eq!(code("", spec(Autonomy::Act)), Code::INVALID);
    let with = |change: &dyn Fn(&mut ShareSpec)| {
        let mut spec = spec(Autonomy::Act);
        change(&mut spec);
        spec
    };
    let member = |name: &str, member: ShareMember| {
        let name = name.to_owned();
        move |spec: &mut ShareSpec| {
            spec.members.insert(name.clone(), member.clone());
        }
    };
    for odd in [
        with(&|spec| spec.units = 0),
        with(&|spec| spec.every_ms = 5),
        with(&|spec| spec.approval_ms = 0),
        with(&|spec| spec.members.truncate_to("a")),
        with(&|spec| spec.policy.explore = f64::NAN),
        with(&member("c", ShareMember::host().bounds(5, 4))),
        with(&member("c", ShareMember::host().bounds(99, 100))),
        with(&member("", ShareMember::host())),
    ] {
        assert_eq!(code("places", odd.clone()), Code::INVALID, "{odd:?}");
    }
    assert_eq!(code("places", with(&member("c", ShareMember::knob("none")))), Code::NOT_FOUND);
    assert_eq!(code("places", with(&member("c", ShareMember::knob("a")))), Code::ALREADY_EXISTS);
    // A knob is a tuner's, or has a share.
    let tune = TuneSpec::new(vec![TunedKnob::new("a")], TunerPolicy::default());
    let taken = world.kernel.add_tuner("tuner", tune.clone()).unwrap_err();
    assert_eq!(taken.code(), Code::ALREADY_EXISTS);
    world.kernel.unshare("places").unwrap();
    world.kernel.add_tuner("tuner", tune).unwrap();
    assert_eq!(code("places", spec(Autonomy::Act)), Code::ALREADY_EXISTS);
    let report = |name: &str, who: &str, benefit: f64| {
        let made = BTreeMap::from([(who.to_owned(), benefit)]);
        world.kernel.report_benefits(name, &made).unwrap_err().code()
    };
    assert_eq!(report("places", "a", 1.0), Code::NOT_FOUND);
    world.kernel.remove_tuner("tuner").unwrap();
    world.kernel.share_out("places", spec(Autonomy::Act)).unwrap();
    assert_eq!(report("places", "nobody", 1.0), Code::INVALID);
    assert_eq!(report("places", "a", f64::INFINITY), Code::INVALID);
}

#[test]
fn units_that_nobody_may_have_are_told() {
    let world = World::new(Autonomy::Act);
    assert_eq!(world.shared().unplaced, 0);
    let warned = |kernel: &Kernel| {
        let logged = kernel.log().recent(&LogQuery::default());
        logged.iter().filter(|one| one.message.contains("some units are nobody's")).count()
    };
    assert_eq!(warned(&world.kernel), 0);
    let mut few = spec(Autonomy::Act);
    few.members.get_mut("a").unwrap().ceiling = Some(20);
    few.members.get_mut("b").unwrap().ceiling = Some(30);
    world.kernel.share_out("places", few).unwrap();
    let shared = world.shared();
    assert_eq!((shared.unplaced, shared.units.values().sum::<u64>()), (50, 50), "{shared:?}");
    assert_eq!((world.now(), warned(&world.kernel)), ([20, 30], 1));
    // What knobs take is a ceiling as well: 90 each.
    let mut many = spec(Autonomy::Act);
    many.units = 200;
    world.kernel.share_out("places", many).unwrap();
    assert_eq!((world.shared().unplaced, world.now()), (20, [90, 90]));
}

#[test]
fn what_is_not_known_to_be_free_is_given_to_nobody() {
    let (kernel, _events) = kernel(&Arc::new(Manual::new()));
    let value = AtomicI64::new(30);
    let knob = Arc::new(Places {
        name: "a",
        value,
        stuck: AtomicBool::new(true),
        tries: AtomicI64::new(0),
    });
    kernel.add_knob(knob).unwrap();
    let members =
        [("a".to_owned(), ShareMember::knob("a")), ("host".to_owned(), ShareMember::host())];
    kernel.share_out("places", ShareSpec::new(40, members)).unwrap();
    kernel.advance(seconds(60)).unwrap();
    // It cannot be taken from `a`, which has more than half.
    let shared = kernel.shared_out().pop().unwrap();
    assert_eq!(shared.units["a"], 30);
    assert!(shared.units["host"] <= 20, "{shared:?}");
    assert_eq!(shared.trouble.unwrap().code(), Code::IO);
}

/// Leaves but one entry.
trait Only {
    fn truncate_to(&mut self, key: &str);
}

impl<V> Only for BTreeMap<String, V> {
    fn truncate_to(&mut self, key: &str) {
        self.retain(|name, _| name == key);
    }
}

#[test]
fn the_host_gives_what_it_is_told() {
    let (kernel, mut events) = kernel(&Arc::new(Manual::new()));
    let members = ["x", "y", "z"].map(|name| (name.to_owned(), ShareMember::host().bounds(1, 8)));
    let mut spec = ShareSpec::new(10, members);
    spec.every_ms = 1_000;
    kernel.share_out("tokens", spec).unwrap();
    let mut given = BTreeMap::new();
    for round in 0..400 {
        for (subject, event) in told(&mut events) {
            assert_eq!((&*subject, event["shares"].as_str()), ("tune.share", Some("tokens")));
            given =
                serde_json::from_value::<BTreeMap<String, u64>>(event["units"].clone()).unwrap();
        }
        assert_eq!(given.values().sum::<u64>(), 10, "round {round}: {given:?}");
        assert!(given.values().all(|units| (1..=8).contains(units)), "{given:?}");
        // Only x makes anything of it.
        let made = BTreeMap::from([
            ("x".to_owned(), given["x"] as f64),
            ("y".to_owned(), 1.0),
            ("z".to_owned(), 1.0),
        ]);
        kernel.report_benefits("tokens", &made).unwrap();
        kernel.advance(seconds(1)).unwrap();
    }
    assert!(given["x"] >= 6, "{given:?}");
}
