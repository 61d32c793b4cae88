use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::engine::{Effects, Engine, When};
use super::*;
use crate::base::payload::Payload;
use crate::base::runtime::{Manual, Runtime, Threads};
use crate::base::time::{Moment, Timestamp};
use crate::port::{ActionContext, PlaybookAction};
use crate::{Code, Error, Result};

fn when(ms: u64) -> When {
    let ago = Duration::from_millis(ms);
    When { now: Moment::ZERO + ago, at: Timestamp::EPOCH + ago }
}

fn policy(policy: Value) -> PlaybookPolicy {
    serde_json::from_value(policy).unwrap()
}

/// One playbook that answers every event `a`, and these fields over that.
fn book(changes: Value) -> PlaybookPolicy {
    let mut book = json!({"name": "b", "when": {"event": {"subject": "a"}}, "action": "act"});
    book.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    policy(json!({"playbooks": [book]}))
}

fn engine_of(changes: Value) -> Engine {
    Engine::new(book(changes)).unwrap()
}

fn come(engine: &mut Engine, ms: u64) -> Effects {
    engine.event("a", &Payload::NULL, when(ms))
}

fn states(engine: &Engine) -> Vec<&'static str> {
    engine.record(100).iter().map(|entry| entry.state.name()).collect()
}

fn refused(reason: RefusedWhy, times: u64) -> EntryState {
    EntryState::Refused { reason, times }
}

#[test]
fn it_rests_after_an_action_has_ended_and_refusals_are_one_line() {
    let mut engine = engine_of(json!({"cooldown_ms": 1_000}));
    assert_eq!(come(&mut engine, 0).orders.len(), 1);
    assert_eq!(come(&mut engine, 10_000).orders.len(), 0, "the first is under way");
    engine.finished(1, Ok(Payload::NULL), when(10_000));
    (0..5).for_each(|n| drop(come(&mut engine, 10_001 + n)));
    assert_eq!(come(&mut engine, 11_000).orders.len(), 1);
    let record: Vec<_> = engine.record(9).into_iter().map(|entry| entry.state).collect();
    let expected = [
        EntryState::Done { answer: Payload::NULL },
        refused(RefusedWhy::UnderWay, 1),
        refused(RefusedWhy::CoolingDown, 5),
        EntryState::Running,
    ];
    assert_eq!(record, expected);
}

#[test]
fn only_so_many_actions_in_a_window() {
    let mut engine = engine_of(json!({"cooldown_ms": 0, "max_actions": 2, "window_ms": 100}));
    for ms in [0, 10] {
        let order = come(&mut engine, ms).orders.pop().unwrap();
        engine.finished(order.id, Ok(Payload::NULL), when(ms));
    }
    assert!(come(&mut engine, 99).orders.is_empty());
    assert_eq!(engine.record(1)[0].state, refused(RefusedWhy::PlaybookLimit, 1));
    assert_eq!(come(&mut engine, 100).orders.len(), 1);
}

#[test]
fn playbooks_that_set_each_other_off_end_as_well() {
    let one = |name: &str, on: &str| {
        json!({"name": name, "when": {"event": {"subject": on}}, "action": "act", "cooldown_ms": 0,
               "max_actions": 1_000})
    };
    let both =
        policy(json!({"playbooks": [one("x", "y.did"), one("y", "x.did")], "max_actions": 7}));
    let mut engine = Engine::new(both).unwrap();
    let mut orders = engine.event("y.did", &Payload::NULL, when(0)).orders;
    let mut ran = 0;
    while let Some(order) = orders.pop() {
        ran += 1;
        engine.finished(order.id, Ok(Payload::NULL), when(0));
        orders.extend(
            engine.event(&format!("{}.did", order.playbook), &Payload::NULL, when(0)).orders,
        );
    }
    assert_eq!(ran, 7);
    assert_eq!(engine.record(1)[0].state, refused(RefusedWhy::OverallLimit, 1));
}

#[test]
fn its_own_events_set_nothing_off() {
    let mut engine = engine_of(json!({"when": {"event": {"subject": ">"}}}));
    assert!(engine.event("recovery.playbook.done", &Payload::NULL, when(0)).orders.is_empty());
    assert_eq!(engine.event("recovery.degrade.changed", &Payload::NULL, when(0)).orders.len(), 1);
}

#[test]
fn parameters_take_from_the_event() {
    let mut engine =
        engine_of(json!({"params": {"who": "$/agent/name", "on": ["$subject", "$5", 1]}}));
    let event = json!({"agent": {"name": "x"}}).into();
    let order = engine.event("a", &event, when(0)).orders.pop().unwrap();
    assert_eq!(order.params, json!({"who": "x", "on": ["a", "$5", 1]}).into());
    assert_eq!(
        order.trigger,
        json!({"event": {"subject": "a", "payload": {"agent": {"name": "x"}}}}).into()
    );
    let long: Payload = "x".repeat(5_000).into();
    let mut another = engine_of(json!({}));
    let order = another.event("a", &long, when(0)).orders.pop().unwrap();
    assert_eq!(order.trigger, json!({"event": {"subject": "a", "omitted_bytes": 5_002}}).into());
}

#[test]
fn what_must_be_approved_waits_and_expires() {
    let mut engine = engine_of(json!({"approval_ms": 1_000, "cooldown_ms": 100}));
    assert!(come(&mut engine, 0).orders.is_empty());
    come(&mut engine, 1);
    assert_eq!(engine.record(1)[0].state, refused(RefusedWhy::WaitsForApproval, 1));
    assert_eq!(engine.approve(9, "me", when(1)).unwrap_err().code(), Code::NOT_FOUND);
    assert_eq!(engine.approve(2, "me", when(1)).unwrap_err().code(), Code::ACTION_REFUSED);
    let effects = engine.approve(1, "me", when(2)).unwrap();
    assert_eq!((effects.orders[0].id, effects.notes[0].by.as_deref()), (1, Some("me")));
    engine.finished(1, Ok(Payload::NULL), when(2));
    come(&mut engine, 200);
    engine.deny(3, "you", when(201)).unwrap();
    assert!(come(&mut engine, 202).notes[0].state == refused(RefusedWhy::CoolingDown, 1));
    come(&mut engine, 400);
    assert_eq!(engine.next_tick(), Some(when(1_400).now));
    assert_eq!(engine.approve(5, "late", when(1_400)).unwrap_err().code(), Code::ACTION_REFUSED);
    assert_eq!(states(&engine), ["done", "refused", "denied", "refused", "expired"]);
}

#[test]
fn a_failed_action_escalates_once() {
    let mut engine =
        engine_of(json!({"escalate": {"action": "harder", "params": {"at": "$subject"}}}));
    come(&mut engine, 0);
    let failed = || Err(Error::new(Code::IO, "no"));
    let effects = engine.finished(1, failed(), when(1));
    let order = &effects.orders[0];
    assert_eq!((&*order.action, order.params.clone()), ("harder", json!({"at": "a"}).into()));
    assert!(engine.finished(order.id, failed(), when(2)).orders.is_empty());
    let entry = engine.record(1).pop().unwrap();
    assert_eq!((entry.escalation_of, entry.state.name()), (Some(1), "failed"));
    assert!(come(&mut engine, 3).orders.is_empty(), "it rests after the escalation");
}

#[test]
fn a_signal_acts_when_it_begins_to_hold_and_again_after_the_cool_down() {
    let signal = json!({"signal": {"name": "health", "op": "lt", "value": 0.5}});
    let mut engine = engine_of(json!({"when": signal, "cooldown_ms": 1_000}));
    assert!(!engine.signal("other", 0.0, when(0)).0);
    assert!(engine.signal("health", 0.6, when(0)).1.orders.is_empty());
    let (heard, effects) = engine.signal("health", 0.4, when(10));
    assert!(heard);
    assert_eq!(effects.orders[0].trigger, json!({"signals": {"health": 0.4}}).into());
    engine.finished(1, Ok(Payload::NULL), when(20));
    assert!(engine.signal("health", 0.3, when(30)).1.orders.is_empty());
    assert_eq!(engine.record(9).len(), 1, "going on to hold is no news");
    assert_eq!(engine.next_tick(), Some(when(1_020).now));
    assert_eq!(engine.tick(when(1_020)).orders.len(), 1);
    engine.finished(2, Ok(Payload::NULL), when(1_020));
    assert!(engine.tick(when(70_000)).orders.is_empty(), "the signal has gone silent");
    assert_eq!(engine.next_tick(), None);
}

#[test]
fn a_condition_must_hold_for_as_long_as_is_said() {
    let failed = json!([{"at": "/to", "op": "eq", "value": "failed"}]);
    let mut engine = engine_of(json!({"when": {"event": {"subject": "a", "fields": failed}},
        "for_ms": 1_000, "params": {"of": "$/of"}}));
    let to = |to: &str| Payload::from(json!({"to": to, "of": "db"}));
    engine.event("a", &to("failed"), when(0));
    engine.event("a", &to("running"), when(999));
    assert_eq!(engine.next_tick(), None);
    engine.event("a", &to("failed"), when(2_000));
    engine.event("a", &to("failed"), when(2_500));
    assert!(engine.tick(when(2_999)).orders.is_empty());
    assert_eq!(engine.next_tick(), Some(when(3_000).now));
    let effects = engine.tick(when(3_000));
    assert_eq!(effects.orders[0].params, json!({"of": "db"}).into());
    assert_eq!(engine.next_tick(), None, "the event has had its effect");
}

#[test]
fn a_dry_run_is_told_apart_and_does_not_use_up_the_bound_of_all() {
    let mut all = book(json!({"cooldown_ms": 0, "max_actions": 100, "approval_ms": 1_000}));
    (all.dry_run, all.max_actions) = (true, 1);
    let mut engine = Engine::new(all).unwrap();
    for id in 1..=5 {
        let orders = come(&mut engine, id).orders;
        assert!(orders[0].dry && orders[0].id == id);
        engine.finished(id, Ok(Payload::NULL), when(id));
    }
    assert!(engine.record(9).iter().all(|entry| entry.dry_run));
}

#[test]
fn another_policy_keeps_what_playbooks_of_the_same_name_did() {
    let mut engine = engine_of(json!({"cooldown_ms": 1_000, "approval_ms": 500}));
    come(&mut engine, 0);
    let effects = engine.change_policy(policy(json!({})), when(1)).unwrap();
    assert_eq!(effects.notes[0].state, EntryState::Expired);

    let mut engine = engine_of(json!({"cooldown_ms": 1_000}));
    come(&mut engine, 0);
    engine.change_policy(book(json!({"cooldown_ms": 50})), when(1)).unwrap();
    assert!(come(&mut engine, 2).orders.is_empty(), "it is under way still");
    engine.finished(1, Ok(Payload::NULL), when(10));
    assert_eq!(come(&mut engine, 60).orders.len(), 1);
    assert!(engine.change_policy(policy(json!({"record": 0})), when(61)).is_err());
    assert_eq!(engine.policy().playbooks.len(), 1);
}

#[test]
fn policies_that_make_no_sense_are_refused() {
    let field = |policy: PlaybookPolicy| {
        let error = policy.check().unwrap_err();
        error.context().find(|(key, _)| *key == "field").unwrap().1.to_owned()
    };
    assert_eq!(field(book(json!({"name": ""}))), "name");
    assert_eq!(field(book(json!({"action": ""}))), "action");
    assert_eq!(field(book(json!({"approval_ms": 0}))), "approval_ms");
    assert_eq!(field(book(json!({"max_actions": 0}))), "max_actions");
    assert_eq!(field(policy(json!({"concurrency": 0}))), "concurrency");
    let one = book(json!({})).playbooks.remove(0);
    let twice = vec![one.clone(), one];
    assert_eq!(field(PlaybookPolicy { playbooks: twice, ..PlaybookPolicy::default() }), "name");
}

/// What was run: the parameters, and whether it was a dry run.
type Did = Arc<Mutex<Vec<(Payload, bool)>>>;

/// Does what its parameters say.
struct Act(Did);

impl PlaybookAction for Act {
    fn name(&self) -> &str {
        "act"
    }
    fn schema(&self) -> Value {
        json!({"type": "string"})
    }
    fn run(&self, _: &ActionContext<'_>, params: &Payload, dry: bool) -> Result<Payload> {
        self.0.lock().push((params.clone(), dry));
        match params.to::<String>().as_deref() {
            Ok("panic") => panic!("on purpose"),
            Ok("fail") => Err(Error::new(Code::IO, "on purpose")),
            _ => Ok("did".into()),
        }
    }
}

fn at_work(changes: Value) -> (Manual, Playbooks, Did) {
    let runtime = Manual::new();
    let playbooks = Playbooks::new(Arc::new(runtime.clone()), book(changes)).unwrap();
    let did = Did::default();
    playbooks.register(Arc::new(Act(Arc::clone(&did)))).unwrap();
    (runtime, playbooks, did)
}

#[test]
fn actions_run_on_the_runtime_and_whatever_they_do_is_in_the_record() {
    for (params, expected) in [("ok", "done"), ("fail", "failed"), ("panic", "failed")] {
        let (runtime, playbooks, did) = at_work(json!({"params": params}));
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&told);
        playbooks.on_entry(Arc::new(move |entry: &PlaybookEntry| {
            list.lock().push(entry.state.name());
        }));
        playbooks.event("a", &Payload::NULL);
        assert!(did.lock().is_empty(), "nothing runs on the thread that brings the event");
        runtime.run();
        assert_eq!(*told.lock(), ["running", expected]);
        assert_eq!(*did.lock(), [(params.into(), false)]);
    }
}

#[test]
fn an_action_that_nobody_knows_fails_with_its_name() {
    let (runtime, playbooks, _) = at_work(json!({"action": "akt"}));
    assert!(!playbooks.list()[0].known);
    playbooks.event("a", &Payload::NULL);
    runtime.run();
    let EntryState::Failed { error } = playbooks.record(1).remove(0).state else { panic!() };
    assert_eq!(error.value().unwrap()["advice"], "did you mean 'act'?");
    let twice = playbooks.register(Arc::new(Act(Arc::default())));
    assert_eq!(twice.unwrap_err().code(), Code::ALREADY_EXISTS);
    assert_eq!(playbooks.actions()[0].schema, json!({"type": "string"}));
}

#[test]
fn a_dry_run_reaches_the_action_as_one() {
    let (runtime, playbooks, did) = at_work(json!({"dry_run": true}));
    playbooks.event("a", &Payload::NULL);
    runtime.run();
    assert_eq!(*did.lock(), [(Payload::NULL, true)]);
}

#[test]
fn an_action_that_the_runtime_refuses_has_failed() {
    // Never started, it refuses everything.
    let runtime: Arc<dyn Runtime> = Arc::new(Threads::default());
    let playbooks = Playbooks::new(runtime, book(json!({}))).unwrap();
    playbooks.event("a", &Payload::NULL);
    assert_eq!(playbooks.record(1)[0].state.name(), "failed");
    assert_eq!(playbooks.list()[0].under_way, None);
}

#[derive(Clone, Debug)]
enum Step {
    Event(u8, i64),
    Signal(f64),
    Tick,
    Wait(u64),
    Finish(bool),
    Approve,
    Deny,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u8..3, 0_i64..3).prop_map(|(subject, n)| Step::Event(subject, n)),
        3 => (0.0_f64..1.0).prop_map(Step::Signal),
        3 => Just(Step::Tick),
        5 => (0_u64..400).prop_map(Step::Wait),
        5 => any::<bool>().prop_map(Step::Finish),
        2 => Just(Step::Approve),
        1 => Just(Step::Deny),
    ]
}

fn three_books() -> PlaybookPolicy {
    policy(json!({
        "max_actions": 6, "window_ms": 3_000, "concurrency": 2, "record": 5, "silent_ms": 1_000,
        "playbooks": [
            {"name": "0", "when": {"event": {"subject": "a.0"}}, "action": "act", "cooldown_ms": 200,
             "max_actions": 3, "window_ms": 2_000, "escalate": {"action": "harder"}},
            {"name": "1", "when": {"any": [
                {"event": {"subject": "a.*", "fields": [{"at": "/n", "op": "ge", "value": 1}]}},
                {"signal": {"name": "s", "op": "gt", "value": 0.7}}]},
             "for_ms": 150, "action": "act", "cooldown_ms": 50, "max_actions": 4, "window_ms": 1_000,
             "approval_ms": 500},
            {"name": "2", "when": {"signal": {"name": "s", "op": "lt", "value": 0.5}}, "action": "act",
             "cooldown_ms": 100, "max_actions": 5, "window_ms": 1_500},
        ],
    }))
}

/// What is known of the orders given so far.
struct Seen {
    policy: PlaybookPolicy,
    /// Playbook, when, whether it escalates.
    begun: Vec<(String, u64, bool)>,
    under_way: Vec<(u64, String)>,
    ended: BTreeMap<String, u64>,
    last: BTreeMap<u64, &'static str>,
}

impl Seen {
    fn take(&mut self, effects: Effects, now: u64) -> std::result::Result<(), TestCaseError> {
        let policy = &self.policy;
        for note in &effects.notes {
            let before = self.last.insert(note.id, note.state.name());
            let follows = match before {
                None => !matches!(note.state.name(), "done" | "failed" | "denied" | "expired"),
                Some("pending") => matches!(note.state.name(), "running" | "denied" | "expired"),
                Some("running") => matches!(note.state.name(), "done" | "failed"),
                Some(_) => false,
            };
            prop_assert!(follows, "{before:?} then {:?}", note.state);
        }
        for order in effects.orders {
            let name = order.playbook.to_string();
            let book = policy.playbooks.iter().find(|book| book.name == name).unwrap();
            let escalates = &*order.action == "harder";
            prop_assert!(!self.under_way.iter().any(|(_, other)| *other == name), "one at a time");
            if let Some(ended) = self.ended.get(&name).filter(|_| !escalates) {
                prop_assert!(now - ended >= book.cooldown_ms || book.approval_ms.is_some());
            }
            self.begun.push((name.clone(), now, escalates));
            self.under_way.push((order.id, name.clone()));
            prop_assert!(self.under_way.len() <= policy.concurrency as usize);
            let within = |window: u64| move |at: u64| now - at < window;
            let all = self.begun.iter().filter(|begun| within(policy.window_ms)(begun.1)).count();
            prop_assert!(all <= policy.max_actions as usize, "{all} in all");
            let own =
                self.begun.iter().filter(|b| b.0 == name && !b.2 && within(book.window_ms)(b.1));
            prop_assert!(own.count() <= book.max_actions as usize);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Any schedule of events, signals, approvals and ends: bounds and cool-downs hold, entries go their
    /// way and end once, the record stays short, and the next tick is never behind the clock.
    #[test]
    fn bounds_hold_whatever_comes(steps in proptest::collection::vec(step(), 1..250)) {
        let policy = three_books();
        let mut engine = Engine::new(policy.clone()).unwrap();
        let mut seen = Seen {
            policy,
            begun: Vec::new(),
            under_way: Vec::new(),
            ended: BTreeMap::new(),
            last: BTreeMap::new(),
        };
        let mut now = 0_u64;
        for step in steps {
            let effects = match step {
                Step::Event(subject, n) => {
                    engine.event(&format!("a.{subject}"), &json!({"n": n}).into(), when(now))
                }
                Step::Signal(value) => engine.signal("s", value, when(now)).1,
                Step::Tick => engine.tick(when(now)),
                Step::Wait(ms) => {
                    now += ms;
                    Effects::default()
                }
                Step::Finish(well) => match seen.under_way.pop() {
                    Some((id, name)) => {
                        seen.ended.insert(name, now);
                        let answer = if well { Ok(Payload::NULL) } else { Err(Error::new(Code::IO, "no")) };
                        engine.finished(id, answer, when(now))
                    }
                    None => Effects::default(),
                },
                Step::Approve | Step::Deny => {
                    let pending = engine.standing().find_map(|(_, standing)| standing.pending);
                    let id = pending.unwrap_or(u64::MAX);
                    let answer = match step {
                        Step::Approve => engine.approve(id, "me", when(now)),
                        _ => engine.deny(id, "me", when(now)),
                    };
                    prop_assert!(pending.is_some() || answer.is_err());
                    answer.unwrap_or_default()
                }
            };
            seen.take(effects, now)?;
            // Two under way, one that waits, and those that are over.
            prop_assert!(engine.record(100).len() <= 8);
            let effects = engine.tick(when(now));
            seen.take(effects, now)?;
            prop_assert!(engine.next_tick().is_none_or(|due| due > when(now).now), "time stands still");
        }
    }
}
