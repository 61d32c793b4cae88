//! Agents under supervision, under a clock that the test moves.
#![cfg(all(feature = "agent", feature = "recovery"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;
use sutazai_core::agent::create::{MakeAgent, Template, TemplateKind};
use sutazai_core::agent::{AgentState, Vitality, from_fn};
use sutazai_core::base::runtime::Manual;
use sutazai_core::base::ticket::{Reply, Ticket};
use sutazai_core::base::time::Moment;
use sutazai_core::event::Subscription;
use sutazai_core::kernel::{Kernel, Supervision, TemplateOrder};
use sutazai_core::port::{
    Agent, AgentCard, AgentHost, AgentOrder, Beat, LivenessPolicy, Outcome, Task, WorkerMessage,
};
use sutazai_core::recovery::supervise::mailbox::MailboxPolicy;
use sutazai_core::recovery::supervise::{ChildSpec, State, Strategy, SupervisorSpec};
use sutazai_core::{Class, Code, Error, Result};

/// What the lives of one agent have in common.
#[derive(Default)]
struct Common {
    made: AtomicU32,
    stopped: AtomicU32,
    broken: Mutex<Option<&'static str>>,
    host: Mutex<Option<AgentHost>>,
    work: Mutex<Vec<Reply<Outcome>>>,
    silent: Mutex<bool>,
    /// The life that says that it is dead.
    dead: AtomicU32,
    /// The life whose start takes a second.
    late: AtomicU32,
    most: Mutex<Option<u32>>,
    beats: Mutex<Vec<Reply<Beat>>>,
}

impl Common {
    fn made(&self) -> u32 {
        self.made.load(Ordering::SeqCst)
    }

    fn dies(&self) {
        let host = self.host.lock().clone().unwrap();
        host.ended(Error::new(Code::AGENT_EXITED, "exit status 1"));
    }
}

/// One life: answers its number.
struct Life {
    name: &'static str,
    number: u32,
    common: Arc<Common>,
}

impl Agent for Life {
    fn card(&self) -> AgentCard {
        let card = AgentCard::new(self.name, ["work", self.name]);
        match *self.common.most.lock() {
            Some(most) => card.concurrency(most),
            None => card,
        }
    }

    fn handle(&self, task: Task, reply: Reply<Outcome>) {
        if task.input().to::<String>().is_ok_and(|input| input == "hang") {
            self.common.work.lock().push(reply);
        } else {
            let _ = reply.send(self.number.into());
        }
    }

    fn start(&self, host: &AgentHost) -> Result<()> {
        assert!(host.supervised);
        *self.common.host.lock() = Some(host.clone());
        if self.common.late.load(Ordering::SeqCst) == self.number {
            std::thread::sleep(ms(1_000));
        }
        match *self.common.broken.lock() {
            Some("ends") => {
                host.ended(Error::new(Code::AGENT_EXITED, "it ended at once"));
                Ok(())
            }
            Some(what) => Err(Error::new(Code::AGENT_START, what)),
            None => Ok(()),
        }
    }

    fn stop(&self, _: Moment) {
        self.common.stopped.fetch_add(1, Ordering::SeqCst);
    }

    fn liveness(&self) -> Option<LivenessPolicy> {
        Some(LivenessPolicy::default())
    }

    fn beat(&self, reply: Reply<Beat>) {
        if self.common.dead.load(Ordering::SeqCst) == self.number {
            let dead = Error::new(Code::AGENT_EXITED, "exit status 2");
            return drop(reply.send(Beat::Dead(dead)));
        }
        match *self.common.silent.lock() {
            true => self.common.beats.lock().push(reply),
            false => drop(reply.send(Beat::Alive)),
        }
    }
}

fn make(name: &'static str) -> (Arc<Common>, MakeAgent) {
    let common: Arc<Common> = Arc::default();
    let given = Arc::clone(&common);
    let make = move || {
        let number = given.made.fetch_add(1, Ordering::SeqCst) + 1;
        Ok(Arc::new(Life { name, number, common: Arc::clone(&given) }) as Arc<dyn Agent>)
    };
    (common, Arc::new(make))
}

fn kernel() -> (Kernel, Subscription) {
    let time = Manual::new();
    time.advance(Duration::from_millis(1));
    let kernel = Kernel::builder().runtime(Arc::new(time)).seed(1).build().unwrap();
    let events = kernel.bus().subscribe("agent.*").pull().unwrap();
    (kernel, events)
}

fn running() -> (Kernel, Subscription) {
    let (kernel, events) = kernel();
    kernel.start().unwrap();
    (kernel, events)
}

/// `subject to` of the events about an agent.
fn told(events: &mut Subscription, agent: &str) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(delivery) = events.try_next().unwrap() {
        let event = delivery.event.payload.value().unwrap();
        if event["agent"] == agent {
            let subject = delivery.event.subject.as_str().strip_prefix("agent.").unwrap();
            told.push(match event["to"].as_str() {
                Some(to) => to.to_owned(),
                None => subject.to_owned(),
            });
        }
    }
    told
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn call(kernel: &Kernel, skill: &str, input: &str) -> Ticket<Outcome> {
    let ticket = kernel.call(Task::new(skill, input).timeout(ms(60_000)));
    kernel.advance(Duration::ZERO).unwrap();
    ticket
}

fn answer(ticket: &mut Ticket<Outcome>) -> Result<u32> {
    ticket.try_take().unwrap().and_then(|outcome| outcome.output.to())
}

fn state(kernel: &Kernel, agent: &str) -> AgentState {
    kernel.agent(agent).unwrap().state
}

#[test]
fn an_agent_that_ends_is_made_anew_and_calls_wait_for_it() {
    let (kernel, mut events) = running();
    let (common, make) = make("a");
    kernel.supervise_agent(Supervision::default(), make).unwrap();
    assert_eq!(told(&mut events, "a"), ["starting", "ready", "registered"]);
    assert_eq!(answer(&mut call(&kernel, "work", "x")).unwrap(), 1);

    let mut had = call(&kernel, "work", "hang");
    common.dies();
    let error = had.try_take().unwrap().unwrap_err();
    assert_eq!((error.code(), error.class()), (Code::AGENT_EXITED, Class::Transient), "{error}");
    assert_eq!(state(&kernel, "a"), AgentState::Failed);
    let mut waits = call(&kernel, "work", "x");
    let mut by_name = kernel.call(Task::new("work", "x").to_agent("a"));
    assert!(!waits.is_done());
    kernel.advance(ms(200)).unwrap();
    assert_eq!((answer(&mut waits).unwrap(), answer(&mut by_name).unwrap()), (2, 2));
    let view = kernel.agent("a").unwrap();
    assert_eq!((view.state, view.restarts, view.stats.calls), (AgentState::Ready, 1, 4));
    assert_eq!(told(&mut events, "a"), ["failed", "starting", "ready"]);
    assert_eq!(common.made(), 2);

    kernel.stop(ms(1_000)).unwrap();
    assert_eq!(
        common.stopped.load(Ordering::SeqCst),
        1,
        "the life that ended itself is not stopped"
    );
    assert_eq!(told(&mut events, "a"), ["draining", "stopped", "removed"]);
}

#[test]
fn where_others_can_do_it_nobody_waits() {
    let (kernel, _) = running();
    let (one, make_one) = make("a");
    let (_, make_other) = make("b");
    kernel.supervise_agent(Supervision::default(), make_one).unwrap();
    kernel.supervise_agent(Supervision::default(), make_other).unwrap();
    one.dies();
    for _ in 0..10 {
        assert!(answer(&mut call(&kernel, "work", "x")).is_ok());
    }
    assert!(!call(&kernel, "a", "x").is_done(), "this skill nobody else has");
    kernel.advance(ms(200)).unwrap();
    assert_eq!(answer(&mut call(&kernel, "a", "x")).unwrap(), 2);
}

#[test]
fn who_waits_waits_no_longer_than_its_deadline() {
    let (kernel, _) = running();
    let (common, make) = make("a");
    kernel.supervise_agent(Supervision::default(), make).unwrap();
    *common.broken.lock() = Some("not now");
    common.dies();
    let mut waits = kernel.call(Task::new("work", "x").timeout(ms(50)));
    kernel.advance(ms(60)).unwrap();
    assert_eq!(answer(&mut waits).unwrap_err().code(), Code::DEADLINE_EXCEEDED);
    assert_eq!(kernel.agent("a").unwrap().in_flight, 0, "it has left the queue");
}

#[test]
fn one_that_ends_too_often_has_failed_and_takes_no_other_with_it() {
    let (kernel, mut events) = running();
    let (bad, make_bad) = make("bad");
    let (good, make_good) = make("good");
    let spec = Supervision::default().intensity(3, ms(60_000));
    kernel.supervise_agent(spec.clone(), make_bad).unwrap();
    kernel.supervise_agent(spec, make_good).unwrap();
    told(&mut events, "bad");
    *bad.broken.lock() = Some("no licence");
    bad.dies();
    let mut waits = call(&kernel, "bad", "x");
    kernel.advance(ms(60_000)).unwrap();
    let error = answer(&mut waits).unwrap_err();
    assert_eq!((error.code(), error.class()), (Code::AGENT_EXITED, Class::Persistent), "{error}");
    assert!(error.to_string().contains("not started again"), "{error}");
    assert_eq!(bad.made(), 4, "3 restarts");
    let view = kernel.agent("bad").unwrap();
    assert_eq!(view.state, AgentState::Failed);
    assert!(view.why.as_ref().unwrap().contains("no licence"), "{:?}", view.why);
    let error = answer(&mut call(&kernel, "bad", "x")).unwrap_err();
    assert_eq!((error.code(), error.class()), (Code::AGENT_EXITED, Class::Persistent), "{error}");
    let told = told(&mut events, "bad");
    assert_eq!(told.last().map(String::as_str), Some("failed"));
    assert_eq!(told.iter().filter(|to| *to == "starting").count(), 3, "{told:?}");

    assert_eq!((good.made(), answer(&mut call(&kernel, "good", "x")).unwrap()), (1, 1));
    let tree = kernel.supervisor("agents").unwrap();
    let states: Vec<_> = tree.children.iter().map(|child| (&*child.id, child.state)).collect();
    assert_eq!(states, [("bad", State::Stopped), ("good", State::Running)]);

    *bad.broken.lock() = None;
    kernel.restart_child("agents>bad").unwrap();
    assert_eq!(answer(&mut call(&kernel, "bad", "x")).unwrap(), 5);
    assert_eq!(state(&kernel, "bad"), AgentState::Ready);
}

#[test]
fn one_that_is_silent_is_stopped_and_made_anew() {
    let (kernel, mut events) = running();
    let (common, make) = make("a");
    kernel.supervise_agent(Supervision::default(), make).unwrap();
    kernel.advance(ms(20_000)).unwrap();
    *common.silent.lock() = true;
    let mut had = call(&kernel, "work", "hang");
    kernel.advance(ms(30_000)).unwrap();
    assert_eq!(kernel.agent("a").unwrap().liveness.unwrap().state, Vitality::Slow, "it has work");
    drop(std::mem::take(&mut *common.work.lock()));
    assert!(had.try_take().unwrap().is_err());
    kernel.advance(ms(20_000)).unwrap();
    *common.silent.lock() = false;
    kernel.advance(ms(30_000)).unwrap();
    assert_eq!(common.stopped.load(Ordering::SeqCst), 1 + common.made() - 2);
    assert!(common.made() >= 2);
    let view = kernel.agent("a").unwrap();
    assert_eq!((view.state, view.liveness.unwrap().state), (AgentState::Ready, Vitality::Alive));
    let told = told(&mut events, "a");
    assert!(told.windows(2).any(|pair| pair == ["dead", "failed"]), "{told:?}");
}

#[test]
fn one_that_says_that_it_is_dead_is_made_anew() {
    let (kernel, _) = running();
    let (common, make) = make("a");
    common.dead.store(1, Ordering::SeqCst);
    kernel.supervise_agent(Supervision::default(), make).unwrap();
    kernel.advance(ms(60_000)).unwrap();
    assert_eq!((common.made(), state(&kernel, "a")), (2, AgentState::Ready));
    assert_eq!(answer(&mut call(&kernel, "work", "x")).unwrap(), 2);
}

#[test]
fn a_start_that_ends_too_late_does_not_touch_the_next_life() {
    let kernel = Kernel::builder().build().unwrap();
    kernel.start().unwrap();
    let (common, make) = make("a");
    common.late.store(2, Ordering::SeqCst);
    let spec = json!({"start_timeout_ms": 100, "backoff": null});
    let spec = serde_json::from_value(spec).unwrap();
    kernel.supervise_agent(spec, make).unwrap();
    common.dies();
    let answers = || {
        let outcome = kernel.call(Task::new("work", "x").timeout(ms(10_000))).wait();
        outcome.unwrap().output.to::<u32>().unwrap()
    };
    assert_eq!(answers(), 3, "another one is made when the time of the second is over");
    while common.stopped.load(Ordering::SeqCst) == 0 {
        std::thread::sleep(ms(10));
    }
    // What has started too late was stopped, and nobody else.
    std::thread::sleep(ms(100));
    assert_eq!((answers(), state(&kernel, "a")), (3, AgentState::Ready));
    assert_eq!((common.made(), common.stopped.load(Ordering::SeqCst)), (3, 1));
    kernel.stop(ms(1_000)).unwrap();
}

#[test]
fn between_two_lives_no_more_wait_than_it_has_places() {
    let (kernel, _) = running();
    let (common, make) = make("a");
    *common.most.lock() = Some(1);
    kernel.supervise_agent(Supervision::default(), make).unwrap();
    common.dies();
    let mut waits = call(&kernel, "work", "x");
    for task in [Task::new("work", "x"), Task::new("work", "x").to_agent("a")] {
        let error = answer(&mut kernel.call(task)).unwrap_err();
        assert_eq!((error.code(), error.class()), (Code::OVERLOADED, Class::Transient), "{error}");
    }
    kernel.advance(ms(200)).unwrap();
    assert_eq!(answer(&mut waits).unwrap(), 2);
}

#[test]
fn a_start_that_fails_registers_nothing() {
    let (kernel, _) = running();
    for what in ["no licence", "ends"] {
        let (common, make) = make("a");
        *common.broken.lock() = Some(what);
        let error = kernel.supervise_agent(Supervision::default(), make).unwrap_err();
        assert_eq!(error.code(), Code::CHILD_START, "{error}");
        assert!(kernel.agents().is_empty());
        assert!(kernel.supervisor("agents").unwrap().children.is_empty());
    }
    let (_, make) = make("a");
    kernel.supervise_agent(Supervision::default(), make).unwrap();
    let (_, again) = self::make("a");
    let error = kernel.supervise_agent(Supervision::default(), again).unwrap_err();
    assert_eq!(error.code(), Code::ALREADY_EXISTS);
    let (_, below) = self::make("b");
    let error = kernel.supervise_agent(Supervision::default().under("nowhere"), below).unwrap_err();
    assert_eq!(error.code(), Code::NOT_FOUND, "{error}");
    let none: MakeAgent = Arc::new(|| Err(Error::new(Code::IO, "no such file")));
    let error = kernel.supervise_agent(Supervision::default(), none).unwrap_err();
    assert_eq!((error.code(), error.failed_operation()), (Code::IO, Some("agent.supervise")));
    let bad = Supervision::default().intensity(1, Duration::ZERO);
    let (_, make) = self::make("c");
    assert_eq!(kernel.supervise_agent(bad, make).unwrap_err().code(), Code::INVALID);
    assert_eq!(kernel.agents().len(), 1);
}

#[test]
fn it_starts_with_its_kernel() {
    let (kernel, mut events) = kernel();
    let (common, make) = make("a");
    kernel.supervise_agent(Supervision::default(), make).unwrap();
    assert_eq!(state(&kernel, "a"), AgentState::Registered);
    kernel.start().unwrap();
    assert_eq!(answer(&mut call(&kernel, "work", "x")).unwrap(), 1);
    kernel.remove_agent("a", ms(10)).unwrap();
    kernel.advance(ms(10)).unwrap();
    assert_eq!(common.stopped.load(Ordering::SeqCst), 1);
    assert!(kernel.supervisor("agents").unwrap().children.is_empty(), "its child has gone");
    let told = told(&mut events, "a");
    assert_eq!(told, ["starting", "ready", "registered", "draining", "stopped", "removed"]);

    let (kernel, _) = self::kernel();
    let (common, make) = self::make("a");
    *common.broken.lock() = Some("no licence");
    kernel.supervise_agent(Supervision::default(), make).unwrap();
    assert_eq!(kernel.start().unwrap_err().code(), Code::CHILD_START);
}

#[test]
fn it_shares_the_fate_of_a_supervisor_of_the_hosts() {
    let (kernel, mut events) = kernel();
    let mail = |message: &WorkerMessage<'_>| -> Result<()> {
        match message.body.to::<String>()?.as_str() {
            "bad" if message.kills == 0 => Err(Error::new(Code::AGENT_FAILED, "no mail")),
            _ => Ok(()),
        }
    };
    kernel.workers().add_messages("mail", MailboxPolicy::default(), Arc::new(mail)).unwrap();
    let spec = SupervisorSpec::new(Strategy::RestForOne)
        .intensity(2, ms(60_000))
        .child(ChildSpec::worker("mail"));
    kernel.supervise("main", spec).unwrap();
    let (common, make) = make("a");
    kernel.supervise_agent(Supervision::default().under("main"), make).unwrap();
    kernel.start().unwrap();
    let ids: Vec<String> =
        kernel.supervisor("main").unwrap().children.into_iter().map(|child| child.id).collect();
    assert_eq!(ids, ["mail", "a"]);
    told(&mut events, "a");

    // The sibling before it fails once: it is restarted as well.
    kernel.push_message("main>mail", "bad".into()).unwrap();
    kernel.advance(ms(1)).unwrap();
    assert_eq!((common.made(), common.stopped.load(Ordering::SeqCst)), (2, 1));
    assert_eq!(told(&mut events, "a"), ["failed", "starting", "ready"]);
    // Then it fails by itself, which the same supervisor counts: twice is enough, a third time too much.
    common.dies();
    kernel.advance(ms(1)).unwrap();
    assert_eq!((common.made(), state(&kernel, "a")), (3, AgentState::Ready));
    common.dies();
    kernel.advance(ms(1)).unwrap();
    assert_eq!((common.made(), state(&kernel, "a")), (3, AgentState::Failed));
    let error = answer(&mut call(&kernel, "work", "x")).unwrap_err();
    assert_eq!(error.class(), Class::Persistent, "{error}");
    assert_eq!(kernel.trees()[0].state, State::Stopped);
    assert_eq!(told(&mut events, "a").last().map(String::as_str), Some("failed"));
    // The host's tree begins with what its specification says, and that is not the agent.
    kernel.start_tree("main").unwrap();
    assert_eq!(state(&kernel, "a"), AgentState::Failed);
}

#[test]
fn an_agent_that_is_removed_between_two_lives_does_not_come_back() {
    let (kernel, mut events) = running();
    let (common, make) = make("a");
    kernel.supervise_agent(Supervision::default(), make).unwrap();
    common.dies();
    let mut waits = call(&kernel, "work", "x");
    told(&mut events, "a");
    kernel.remove_agent("a", Duration::ZERO).unwrap();
    assert_eq!(answer(&mut waits).unwrap_err().code(), Code::NOT_RUNNING);
    kernel.advance(ms(60_000)).unwrap();
    assert_eq!(common.made(), 1);
    assert_eq!(told(&mut events, "a"), ["draining", "stopped", "removed"]);
}

#[test]
fn a_template_makes_each_life() {
    let (kernel, _) = running();
    let made: Arc<AtomicU32> = Arc::default();
    let count = Arc::clone(&made);
    let factory = move |order: &AgentOrder| -> Result<Arc<dyn Agent>> {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        if order.parameters["breaks"] == number {
            return Err(Error::new(Code::AGENT_START, "no licence"));
        }
        let card = AgentCard::new("its own name", &order.skills);
        Ok(Arc::new(from_fn(card, move |_: &Task| Ok(number))))
    };
    kernel.add_agent_factory("counter", factory).unwrap();
    let template = Template::new("counted", ["count"], TemplateKind::Factory("counter".into()))
        .parameter("breaks", json!({"type": "integer"}), Some(json!(0)))
        .most(2);
    kernel.add_template(template, false).unwrap();
    let order = TemplateOrder::new("counted");
    let supervise =
        |order: &TemplateOrder| kernel.supervise_template(order, Supervision::default());
    assert_eq!(&*supervise(&order).unwrap(), "counted-1");
    assert_eq!(answer(&mut call(&kernel, "count", "")).unwrap(), 1);
    let view = kernel.agent("counted-1").unwrap();
    assert_eq!(view.template.as_deref(), Some("counted"));
    let figures = |kernel: &Kernel| kernel.templates()[0].figures.living;
    assert_eq!(figures(&kernel), 1);
    kernel.restart_child("agents>counted-1>life").unwrap();
    assert_eq!(answer(&mut call(&kernel, "count", "")).unwrap(), 2);

    let error = supervise(&order.clone().parameter("breaks", 3).agent("b")).unwrap_err();
    assert!(error.to_string().contains("no licence"), "{error}");
    assert_eq!(&*supervise(&order.clone().agent("b")).unwrap(), "b", "its name was let go of");
    let error = supervise(&order).unwrap_err();
    assert_eq!(
        (error.code(), error.failed_operation()),
        (Code::OVERLOADED, Some("agent.supervise"))
    );
    kernel.remove_agent("counted-1", ms(10)).unwrap();
    let taken = supervise(&order.clone().agent("b")).unwrap_err();
    assert_eq!(taken.code(), Code::ALREADY_EXISTS);
    let wrong = supervise(&order.parameter("breaks", "x")).unwrap_err();
    assert_eq!(wrong.code(), Code::INVALID);
    let none = supervise(&TemplateOrder::new("counter")).unwrap_err();
    assert_eq!((none.code(), none.remedy()), (Code::NOT_FOUND, Some("did you mean 'counted'?")));
    assert_eq!(figures(&kernel), 1);
}
