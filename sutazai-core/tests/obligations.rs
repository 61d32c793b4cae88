//! What policies ask for where they allow: the kernel sees to each. And in whose name calls within calls are.
#![cfg(all(feature = "agent", feature = "recovery"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, its helper functions too")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use sutazai_core::agent::from_fn;
use sutazai_core::base::id::CallId;
use sutazai_core::base::payload::Payload;
use sutazai_core::base::runtime::Manual;
use sutazai_core::base::ticket::{Reply, Ticket};
use sutazai_core::base::time::Timestamp;
use sutazai_core::kernel::{CallsTo, Kernel};
use sutazai_core::port::{
    Access, Agent, AgentCard, Authenticator, Decision, Obligation, Outcome, Policy, RunMode,
    Session, SkillCard, Task,
};
use sutazai_core::recovery::GuardPolicy;
use sutazai_core::{Code, Error, Result};

/// A token is who it is of; `name+scheme@seconds` has proved a factor then.
struct Names(Mutex<Vec<String>>);

impl Authenticator for Names {
    fn authenticate(&self, token: Option<&str>, now: Timestamp) -> Result<Session> {
        let session = |name: &str| Session::new(name, "token");
        let session = match token.and_then(|token| token.split_once('+')) {
            None => session(token.unwrap_or("local")),
            Some((name, factor)) => {
                let (scheme, at) = factor.split_once('@').unwrap();
                let at = Timestamp::from_nanos(at.parse::<i64>().unwrap() * 1_000_000_000);
                let attributes = [
                    (Session::METHODS, scheme.replace(',', " ")),
                    (Session::AUTHENTICATED_AT, at.to_string()),
                ];
                let attributes = attributes.map(|(key, value)| (key.to_owned(), value));
                session(name).with_attributes(BTreeMap::from(attributes))
            }
        };
        self.still_good(&session, now).map(|()| session)
    }

    fn still_good(&self, session: &Session, _: Timestamp) -> Result<()> {
        if self.0.lock().iter().any(|gone| gone == session.principal()) {
            return Err(Error::new(Code::UNAUTHENTICATED, "revoked"));
        }
        Ok(())
    }
}

type Rule = Box<dyn Fn(&Access<'_>) -> Decision + Send + Sync>;

struct Rules(Arc<Mutex<Rule>>);

impl Policy for Rules {
    fn decide(&self, access: &Access<'_>) -> Decision {
        (self.0.lock())(access)
    }
}

struct World {
    time: Manual,
    kernel: Kernel,
    rule: Arc<Mutex<Rule>>,
    gone: Arc<Names>,
    /// Skill, principal, actor of every decision.
    decided: Arc<Mutex<Vec<String>>>,
}

struct Shared(Arc<Names>);

impl Authenticator for Shared {
    fn authenticate(&self, token: Option<&str>, now: Timestamp) -> Result<Session> {
        self.0.authenticate(token, now)
    }
    fn still_good(&self, session: &Session, now: Timestamp) -> Result<()> {
        self.0.still_good(session, now)
    }
}

impl World {
    /// Whoever calls `guarded` is asked for this.
    fn new(obligations: Vec<Obligation>) -> Self {
        Self::with(move |access| match access.task.skill() {
            "guarded" => Decision::AllowIf(obligations.clone().into()),
            _ => Decision::Allow,
        })
    }

    fn with(rule: impl Fn(&Access<'_>) -> Decision + Send + Sync + 'static) -> Self {
        let time = Manual::new();
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Box::new(rule)));
        let gone = Arc::new(Names(Mutex::default()));
        let decided: Arc<Mutex<Vec<String>>> = Arc::default();
        let inner = Arc::clone(&rule);
        let log = Arc::clone(&decided);
        let logged: Rule = Box::new(move |access| {
            let actor = access.actor.unwrap_or("-");
            let line = format!("{} {} {actor}", access.task.skill(), access.session.principal());
            log.lock().push(line);
            (inner.lock())(access)
        });
        let kernel = Kernel::builder()
            .runtime(Arc::new(time.clone()))
            .authenticator(Shared(Arc::clone(&gone)))
            .policy(Rules(Arc::new(Mutex::new(logged))))
            .agent(echo())
            .build()
            .unwrap();
        kernel.start().unwrap();
        let outer = kernel.clone();
        // Does what it is asked for by asking for it.
        let relay = Relay(Arc::new(move |task: &Task| {
            let inner = task.input().to::<(String, Value)>().unwrap();
            outer.call(Task::new(inner.0, Payload::from(inner.1)))
        }));
        kernel.add_agent(relay).unwrap();
        Self { time, kernel, rule, gone, decided }
    }

    fn call(&self, token: &str, skill: &str, input: Value) -> Result<Value> {
        self.try_call(token, skill, input).unwrap()
    }

    fn try_call(&self, token: &str, skill: &str, input: Value) -> Option<Result<Value>> {
        let mut ticket = self.kernel.call_as(token, Task::new(skill, input));
        self.time.advance(Duration::ZERO);
        taken(&mut ticket)
    }
}

fn taken(ticket: &mut Ticket<Outcome>) -> Option<Result<Value>> {
    let answer = ticket.try_take()?;
    Some(answer.map(|outcome| outcome.output.value().unwrap().as_ref().clone()))
}

/// Answers what it gets; `reading` changes nothing, it says.
fn echo() -> impl Agent {
    let mut card = AgentCard::new("echo", ["guarded", "reading", "writing"]).run(RunMode::Inline);
    let mut about = SkillCard::new("reads");
    about.read_only = true;
    card.about.insert("reading".to_owned(), about);
    from_fn(card, |task: &Task| Ok(task.input().clone()))
}

type Next = Arc<dyn Fn(&Task) -> Ticket<Outcome> + Send + Sync>;

struct Relay(Next);

impl Agent for Relay {
    fn card(&self) -> AgentCard {
        let mut card = AgentCard::new("relay", ["relayed"]).run(RunMode::Inline);
        let mut about = SkillCard::new("asks others");
        about.read_only = true;
        card.about.insert("relayed".to_owned(), about);
        card
    }
    fn handle(&self, task: Task, reply: Reply<Outcome>) {
        (self.0)(&task).on_done(move |answer| drop(reply.answer(answer)));
    }
}

fn code(answer: Result<Value>) -> Code {
    answer.unwrap_err().code()
}

#[test]
fn a_call_within_a_call_is_in_the_name_of_whoever_made_that() {
    let world = World::with(|access| match (access.task.skill(), access.session.principal()) {
        ("writing", who) if who != "ann" => Decision::Deny { reason: "ann's".to_owned() },
        _ => Decision::Allow,
    });
    assert_eq!(world.call("ann", "relayed", json!(["writing", 1])).unwrap(), json!(1));
    assert_eq!(code(world.call("bob", "relayed", json!(["writing", 1]))), Code::DENIED);
    let deep = json!(["relayed", ["relayed", ["writing", 2]]]);
    assert_eq!(code(world.call("bob", "relayed", deep)), Code::DENIED);
    assert_eq!(
        *world.decided.lock(),
        [
            "relayed ann -",
            "writing ann relay",
            "relayed bob -",
            "writing bob relay",
            "relayed bob -",
            "relayed bob relay",
            "relayed bob relay",
            "writing bob relay",
        ]
    );
    // A token that is revoked is none for them either.
    world.gone.0.lock().push("ann".to_owned());
    assert_eq!(code(world.call("ann", "writing", json!(1))), Code::UNAUTHENTICATED);
}

#[test]
fn a_session_that_is_revoked_ends_within_its_calls() {
    let world = World::new(vec![]);
    let gone = Arc::clone(&world.gone);
    *world.rule.lock() = Box::new(move |access| {
        // The moment between the outer call and the inner one.
        if access.task.skill() == "relayed" {
            gone.0.lock().push("ann".to_owned());
        }
        Decision::Allow
    });
    assert_eq!(code(world.call("ann", "relayed", json!(["writing", 1]))), Code::UNAUTHENTICATED);
}

#[test]
fn a_factor_is_asked_for() {
    let step_up = Obligation::StepUp { schemes: vec!["totp".to_owned()], within_s: Some(60) };
    let world = World::new(vec![step_up]);
    let error = world.call("ann", "guarded", json!(1)).unwrap_err();
    assert_eq!(error.code(), Code::STEP_UP);
    assert!(error.context().any(|(key, value)| key == "schemes" && value == "totp"));
    let now = world.kernel.runtime().timestamp().as_nanos() / 1_000_000_000;
    let token = |scheme: &str, at: i64| format!("ann+{scheme}@{at}");
    assert_eq!(code(world.call(&token("password", now), "guarded", json!(1))), Code::STEP_UP);
    assert_eq!(code(world.call(&token("totp", now - 61), "guarded", json!(1))), Code::STEP_UP);
    assert_eq!(code(world.call(&token("totp", now + 61), "guarded", json!(1))), Code::STEP_UP);
    assert_eq!(
        world.call(&token("password,totp", now - 59), "guarded", json!(1)).unwrap(),
        json!(1)
    );
}

#[test]
fn who_may_only_read_reaches_nothing_that_writes() {
    let world = World::with(|_| Decision::AllowIf(Arc::new([Obligation::ReadOnly])));
    assert_eq!(world.call("ann", "reading", json!(1)).unwrap(), json!(1));
    assert_eq!(code(world.call("ann", "writing", json!(1))), Code::AGENT_NONE_FITS);
    // Nor through another one, although nothing is asked for there.
    *world.rule.lock() = Box::new(|access| match access.task.skill() {
        "relayed" => Decision::AllowIf(Arc::new([Obligation::ReadOnly])),
        _ => Decision::Allow,
    });
    assert_eq!(world.call("ann", "relayed", json!(["reading", 1])).unwrap(), json!(1));
    assert_eq!(code(world.call("ann", "relayed", json!(["writing", 1]))), Code::AGENT_NONE_FITS);
    assert_eq!(world.call("ann", "writing", json!(1)).unwrap(), json!(1), "by itself it may");
}

#[test]
fn so_many_calls_in_so_much_time() {
    let limit = Obligation::RateLimit { calls: 2, per_s: 60, of: String::new() };
    let world = World::new(vec![limit]);
    for _ in 0..2 {
        world.call("ann", "guarded", json!(1)).unwrap();
    }
    assert_eq!(code(world.call("ann", "guarded", json!(1))), Code::RATE_LIMITED);
    world.call("bob", "guarded", json!(1)).unwrap();
    world.time.advance(Duration::from_secs(31));
    world.call("ann", "guarded", json!(1)).unwrap();
}

#[test]
fn fields_are_not_for_everybody() {
    let redact = Obligation::Redact { fields: vec!["ssn".to_owned(), "/card".to_owned()] };
    let input = json!({"ssn": 1, "card": 2, "in": [{"ssn": 3, "card": 4}]});
    let hidden = json!({"ssn": "[redacted]", "card": "[redacted]",
        "in": [{"ssn": "[redacted]", "card": 4}]});
    let world = World::new(vec![redact]);
    assert_eq!(world.call("ann", "guarded", input.clone()).unwrap(), hidden);
    // Guards change nothing about it.
    world.kernel.guard(CallsTo::All, Some(GuardPolicy::default())).unwrap();
    assert_eq!(world.call("ann", "guarded", input).unwrap(), hidden);
    assert_eq!(world.call("ann", "guarded", json!("free text")).unwrap(), json!("[redacted]"));
}

fn approval(by: &[&str]) -> Obligation {
    let by = by.iter().map(|one| (*one).to_owned()).collect();
    Obligation::Approval { by, within_s: 60 }
}

#[test]
fn a_human_approves_or_does_not() {
    for guarded in [false, true] {
        let world = World::new(vec![approval(&["ops", "ann"])]);
        if guarded {
            world.kernel.guard(CallsTo::All, Some(GuardPolicy::default())).unwrap();
        }
        let ask = |token: &str| {
            let ticket = world.kernel.call_as(token, Task::new("guarded", json!({"amount": 7})));
            let waiting = world.kernel.approvals().pop().unwrap();
            assert_eq!((&*waiting.principal, &*waiting.skill), ("ann", "guarded"));
            assert_eq!(waiting.input.to_string(), r#"{"amount":7}"#);
            (waiting.call, ticket)
        };
        let (call, mut ticket) = ask("ann");
        assert!(taken(&mut ticket).is_none());
        for nobody in ["bob", "ann"] {
            let error = world.kernel.approve(call, nobody).unwrap_err();
            assert_eq!(error.code(), Code::DENIED, "{nobody}");
        }
        world.kernel.approve(call, "ops").unwrap();
        world.time.advance(Duration::ZERO);
        assert_eq!(taken(&mut ticket).unwrap().unwrap(), json!({"amount": 7}));
        assert_eq!(world.kernel.approve(call, "ops").unwrap_err().code(), Code::NOT_FOUND);

        let (call, mut ticket) = ask("ann");
        world.kernel.reject(call, "ops", "too much").unwrap();
        let error = taken(&mut ticket).unwrap().unwrap_err();
        assert_eq!(error.code(), Code::NOT_APPROVED);
        assert!(error.context().any(|(key, value)| key == "why" && value == "too much"));

        let (_, mut ticket) = ask("ann");
        world.time.advance(Duration::from_secs(61));
        assert_eq!(code(taken(&mut ticket).unwrap()), Code::NOT_APPROVED);
        let (call, mut ticket) = ask("ann");
        assert!(world.kernel.cancel(call));
        assert_eq!(code(taken(&mut ticket).unwrap()), Code::CANCELLED);
        let (_, ticket) = ask("ann");
        drop(ticket);
        assert!(world.kernel.approvals().is_empty() && world.kernel.calls().is_empty());
    }
}

#[test]
fn what_changed_while_it_waited_counts() {
    let world = World::new(vec![approval(&[])]);
    let ask = || world.kernel.call_as("ann", Task::new("guarded", json!(1)));
    let approve = |by: &str| {
        let call = world.kernel.approvals()[0].call;
        world.kernel.approve(call, by).unwrap();
        world.time.advance(Duration::ZERO);
    };
    let mut ticket = ask();
    world.gone.0.lock().push("ann".to_owned());
    approve("ops");
    assert_eq!(code(taken(&mut ticket).unwrap()), Code::UNAUTHENTICATED);
    world.gone.0.lock().clear();

    let mut ticket = ask();
    *world.rule.lock() = Box::new(|_| Decision::Deny { reason: "not any more".to_owned() });
    approve("ops");
    assert_eq!(code(taken(&mut ticket).unwrap()), Code::DENIED);

    // Approved by somebody who may not any more, it waits again.
    *world.rule.lock() = Box::new(|_| Decision::AllowIf(Arc::new([approval(&[])])));
    let mut ticket = ask();
    *world.rule.lock() = Box::new(|_| Decision::AllowIf(Arc::new([approval(&["chief"])])));
    approve("ops");
    assert!(taken(&mut ticket).is_none());
    approve("chief");
    assert_eq!(taken(&mut ticket).unwrap().unwrap(), json!(1));
}

#[test]
fn several_policies_ask_for_what_all_of_them_ask_for() {
    let world = World::new(vec![approval(&["ops", "chief"]), approval(&[]), approval(&["chief"])]);
    let mut ticket = world.kernel.call_as("ann", Task::new("guarded", json!(1)));
    let waiting = world.kernel.approvals().pop().unwrap();
    assert_eq!(waiting.by, ["chief"]);
    assert_eq!(world.kernel.approve(waiting.call, "ops").unwrap_err().code(), Code::DENIED);
    world.kernel.approve(waiting.call, "chief").unwrap();
    world.time.advance(Duration::ZERO);
    assert_eq!(taken(&mut ticket).unwrap().unwrap(), json!(1));
    assert_eq!(world.kernel.approve(CallId(99), "chief").unwrap_err().code(), Code::NOT_FOUND);
}

#[test]
fn stopping_answers_those_that_wait() {
    let world = World::new(vec![approval(&[])]);
    let mut ticket = world.kernel.call_as("ann", Task::new("guarded", json!(1)));
    world.kernel.stop(Duration::ZERO).unwrap();
    world.time.advance(Duration::from_secs(1));
    assert_eq!(code(taken(&mut ticket).unwrap()), Code::CANCELLED);
    assert!(world.kernel.approvals().is_empty());
}
