//! Agents that are made when they are wanted, in virtual time: the best template that works, what is left behind of
//! those that do not, and pools.
//!
//! Long because: one world of factories is what all of it happens in.
#![cfg(feature = "agent")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, json};
use sutazai_core::agent::create::{
    PoolPolicy, ReasonCode, Surroundings, Template, TemplateKind, TemplateVerdict, Want,
};
use sutazai_core::agent::{self};
use sutazai_core::base::runtime::Manual;
use sutazai_core::base::ticket::Reply;
use sutazai_core::base::time::Moment;
use sutazai_core::kernel::{CreateOptions, Created, Kernel, PoolView};
use sutazai_core::port::{
    Agent, AgentCard, AgentHost, AgentOrder, Beat, LivenessPolicy, Outcome, SkillCard, SkillProbe,
    Task,
};
use sutazai_core::{Class, Code, Error, Result};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A kernel with factories: `good` doubles, `liar` does not, `broken` cannot be made, `dead` does not start,
/// `silent` never answers. All count who lives.
struct World {
    kernel: Kernel,
    living: Arc<AtomicU32>,
    /// Replies that nobody has answered.
    held: Arc<Mutex<Vec<Reply<Outcome>>>>,
    /// The agent that cannot be reached.
    away: Arc<Mutex<Option<Arc<str>>>>,
    events: Mutex<sutazai_core::event::Subscription>,
}

/// An agent of a factory, which counts itself from its start to its stop.
struct Counted {
    card: AgentCard,
    kind: &'static str,
    living: Arc<AtomicU32>,
    lives: AtomicBool,
    held: Arc<Mutex<Vec<Reply<Outcome>>>>,
    away: Arc<Mutex<Option<Arc<str>>>>,
}

impl Agent for Counted {
    fn card(&self) -> AgentCard {
        self.card.clone()
    }

    fn start(&self, _: &AgentHost) -> Result<()> {
        if self.kind == "dead" {
            return Err(Error::new(Code::AGENT_START, "the engine is cold"));
        }
        self.lives.store(true, Ordering::SeqCst);
        self.living.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn handle(&self, task: Task, reply: Reply<Outcome>) {
        match self.kind {
            "good" => {
                let doubled = task.input().to::<i64>().map(|n| Outcome::new(2 * n));
                let _ = reply.answer(doubled);
            }
            "liar" => drop(reply.send(Outcome::new("42"))),
            _ => self.held.lock().unwrap().push(reply),
        }
    }

    fn liveness(&self) -> Option<LivenessPolicy> {
        Some(LivenessPolicy::default())
    }

    fn beat(&self, reply: Reply<Beat>) {
        let _ = reply.send(match self.away.lock().unwrap().as_ref() == Some(&self.card.name) {
            true => Beat::Unreachable(Error::new(Code::IO, "connection refused")),
            false => Beat::Alive,
        });
    }

    fn stop(&self, _: Moment) {
        if self.lives.swap(false, Ordering::SeqCst) {
            self.living.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl World {
    fn new() -> Self {
        let kernel = Kernel::builder().runtime(Arc::new(Manual::new())).seed(1).build().unwrap();
        kernel.start().unwrap();
        let living = Arc::new(AtomicU32::new(0));
        let (held, away) = (Arc::default(), Arc::default());
        for kind in ["good", "liar", "broken", "dead", "silent", "slow"] {
            let (living, held) = (Arc::clone(&living), Arc::clone(&held));
            let away = Arc::clone(&away);
            let factory = move |order: &AgentOrder| -> Result<Arc<dyn Agent>> {
                if kind == "broken" {
                    return Err(Error::new(Code::INVALID, "no blueprint"));
                }
                let card = AgentCard::new(&order.name, &order.skills);
                let lives = AtomicBool::new(false);
                let (living, held) = (Arc::clone(&living), Arc::clone(&held));
                let away = Arc::clone(&away);
                Ok(Arc::new(Counted { card, kind, living, lives, held, away }))
            };
            kernel.add_agent_factory(kind, factory).unwrap();
        }
        let events = kernel.bus().subscribe("agent.>").pull().unwrap();
        Self { kernel, living, held, away, events: Mutex::new(events) }
    }

    fn template(&self, kind: &str, cost: f64) -> &Self {
        let probe = SkillProbe::new(json!(21)).equals(json!(42)).within_ms(500);
        let template = Template::new(kind, ["double"], TemplateKind::Factory(kind.into()))
            .about("double", SkillCard::new("doubles").probe(probe))
            .cost(cost);
        self.kernel.add_template(template, false).unwrap();
        self
    }

    fn create(&self, want: Want, options: CreateOptions) -> Result<Created> {
        let mut ticket = self.kernel.create_agent(want, options);
        self.kernel.advance(Duration::from_secs(120)).unwrap();
        ticket.try_take().unwrap()
    }

    fn living(&self) -> u32 {
        self.living.load(Ordering::SeqCst)
    }

    fn subjects(&self) -> Vec<String> {
        let mut events = self.events.lock().unwrap();
        std::iter::from_fn(|| events.try_next().unwrap())
            .map(|delivery| delivery.event.subject.to_string())
            .collect()
    }

    fn pool(&self) -> PoolView {
        self.kernel.pools().remove(0)
    }
}

fn default() -> CreateOptions {
    CreateOptions::default()
}

#[test]
fn the_best_template_that_works_has_its_turn() {
    let world = World::new();
    world.template("broken", 0.0).template("dead", 1.0).template("liar", 2.0).template("good", 9.0);
    let created = world.create(Want::new("double"), default().tries(4)).unwrap();
    assert_eq!((&*created.agent, created.template.as_str()), ("good-1", "good"));
    let failed: Vec<_> = created
        .failed
        .iter()
        .map(|it| (it.template.as_str(), it.stage, it.error.message().to_owned()))
        .collect();
    assert_eq!(
        failed,
        [
            ("broken", "make", "no blueprint".to_owned()),
            ("dead", "start", "the engine is cold".to_owned()),
            ("liar", "probe", "it does not pass its probe: 42 is wanted, not \"42\"".to_owned()),
        ]
    );
    let choice = created.choice.unwrap();
    assert_eq!(choice.template.as_deref(), Some("good"));
    assert!(
        choice.why.ends_with("but \"broken\" made no agent, and \"good\" did"),
        "{}",
        choice.why
    );
    let verdict = |name: &str| choice.considered.iter().find(|it| it.template == name).unwrap();
    assert_eq!(verdict("good").verdict, TemplateVerdict::Chosen);
    assert_eq!(verdict("dead").verdict, TemplateVerdict::Failed);
    assert_eq!(verdict("dead").reasons[0].code, ReasonCode::Failed);
    assert_eq!(verdict("dead").reasons[0].why, "start: the engine is cold");

    assert_eq!(world.living(), 1, "what did not pass has been stopped");
    let agents = world.kernel.agents();
    assert_eq!(agents.len(), 1);
    assert_eq!((agents[0].template.as_deref(), agents[0].stats.calls), (Some("good"), 0));
    assert_eq!(agents[0].card.cost, Some(9.0), "the template's word counts until calls say more");
    let registered = world.subjects().into_iter().filter(|it| it == "agent.registered").count();
    assert_eq!(registered, 1, "the others were never said to be there");
    let mut call = world.kernel.call(Task::new("double", 4));
    world.kernel.advance(ms(1)).unwrap();
    assert_eq!(call.try_take().unwrap().unwrap().output.to::<i64>().unwrap(), 8);
    let figures: Vec<_> = world.kernel.templates();
    let good = figures.iter().find(|it| it.template.name == "good").unwrap().figures;
    assert!(good.made > 0.9 && good.made <= 1.0, "it fades: {}", good.made);
    assert_eq!((good.calls, good.failed, good.living), (1.0, 0.0, 1));
}

#[test]
fn what_failed_is_not_tried_first_again() {
    let world = World::new();
    world.template("dead", 1.0).template("good", 1.1);
    let first = world.create(Want::new("double"), default()).unwrap();
    assert_eq!(first.failed.len(), 1);
    let second = world.create(Want::new("double"), default()).unwrap();
    assert_eq!((&*second.agent, second.failed.len()), ("good-2", 0));
}

#[test]
fn where_all_fail_one_error_has_every_reason_and_nothing_is_left() {
    let world = World::new();
    world
        .template("dead", 1.0)
        .template("liar", 2.0)
        .template("silent", 3.0)
        .template("broken", 4.0);
    let other = Template::new("other", ["cook"], TemplateKind::Factory("good".into()));
    world.kernel.add_template(other, false).unwrap();
    let error = world.create(Want::new("double"), default()).unwrap_err();
    assert_eq!(error.code(), Code::AGENT_NOT_MADE);
    let told: Vec<String> = error
        .problems()
        .iter()
        .skip(1)
        .map(|one| {
            let of = |key: &str| {
                one.context().find(|(k, _)| *k == key).map_or("", |(_, v)| v).to_owned()
            };
            format!("{} {}{}: {}", of("template"), of("stage"), of("reason"), one.message())
        })
        .collect();
    assert_eq!(
        told,
        [
            "dead start: the engine is cold",
            "liar probe: it does not pass its probe: 42 is wanted, not \"42\"",
            "silent probe: it does not pass its probe: it did not answer within 500 ms",
            "broken : it was not tried: as many as may be had been",
        ]
        .map(str::to_owned)
    );
    assert_eq!(world.living(), 0);
    assert!(world.kernel.agents().is_empty());
    assert_eq!(world.kernel.calls(), []);
    let subjects = world.subjects();
    assert!(
        !subjects.iter().any(|it| it == "agent.registered" || it == "agent.removed"),
        "{subjects:?}"
    );
    // Its name is free again.
    world.template("good", 0.0);
    assert_eq!(
        &*world.create(Want::new("double").name("dead-1"), default()).unwrap().agent,
        "dead-1"
    );
}

#[test]
fn whoever_gives_up_or_is_late_leaves_nothing_behind() {
    let world = World::new();
    world.template("silent", 1.0).template("good", 2.0);
    let ticket = world.kernel.create_agent(Want::new("double"), default());
    world.kernel.advance(ms(10)).unwrap();
    assert_eq!(world.living(), 1, "it is being asked");
    drop(ticket);
    world.kernel.advance(ms(10)).unwrap();
    assert_eq!((world.living(), world.kernel.agents().len()), (0, 0), "and no other is made");

    let error = world.create(Want::new("double"), default().within(ms(300))).unwrap_err();
    assert_eq!(error.code(), Code::DEADLINE_EXCEEDED);
    assert_eq!((world.living(), world.kernel.agents().len()), (0, 0));
    // With the time that it needs, the next has its turn.
    assert_eq!(world.create(Want::new("double"), default()).unwrap().template, "good");

    let mut stopped = world.kernel.create_agent(Want::new("double").exclude("good"), default());
    world.kernel.advance(ms(10)).unwrap();
    assert_eq!(world.living(), 2);
    world.kernel.stop(Duration::ZERO).unwrap();
    world.kernel.advance(ms(10)).unwrap();
    assert_eq!(world.living(), 0, "the stop of the kernel is theirs too");
    assert!(stopped.try_take().unwrap().is_err());
    let late = world.kernel.create_agent(Want::new("double"), default()).try_take().unwrap();
    assert_eq!(late.unwrap_err().code(), Code::DRAINING);
}

#[test]
fn a_name_that_is_there_is_the_answer_where_it_is_what_is_wanted() {
    let world = World::new();
    world.template("good", 1.0);
    let want = || Want::new("double").name("twice");
    let first = world.create(want(), default()).unwrap();
    let again = world.create(want(), default()).unwrap();
    assert!(!first.existing && again.existing && first.agent == again.agent);
    assert_eq!(world.living(), 1);
    let other =
        agent::from_fn(AgentCard::new("other", ["double"]), |task: &Task| Ok(task.input().clone()));
    world.kernel.add_agent(other).unwrap();
    let error = world.create(Want::new("double").name("other"), default()).unwrap_err();
    assert_eq!(error.code(), Code::ALREADY_EXISTS, "it was not made from a template");
    let error = world.create(Want::new("double").name("a b"), default()).unwrap_err();
    assert_eq!(error.code(), Code::AGENT_NOT_MADE);
}

#[test]
fn what_there_is_can_be_said_and_then_nothing_is_looked_at() {
    let world = World::new();
    world.template("good", 1.0);
    let choice =
        world.kernel.explain_creation(&Want::new("double"), Some(Surroundings::default())).unwrap();
    assert_eq!(choice.template, None);
    assert_eq!(choice.considered[0].reasons[0].code, ReasonCode::Factory);
    let choice = world.kernel.explain_creation(&Want::new("double"), None).unwrap();
    assert_eq!(choice.template.as_deref(), Some("good"));
    assert_eq!(world.living(), 0);
}

#[test]
fn a_pool_keeps_its_least_grows_with_those_who_wait_and_shrinks_when_idle() {
    let world = World::new();
    let template =
        Template::new("slow", ["wait"], TemplateKind::Factory("slow".into())).concurrency(1);
    world.kernel.add_template(template, false).unwrap();
    let policy = PoolPolicy::between(1, 3).idle(ms(5_000));
    world.kernel.add_pool("waiters", "slow", Map::new(), policy).unwrap();
    let step = |n: u64| {
        world.kernel.advance(ms(n)).unwrap();
    };
    step(100);
    assert_eq!((world.living(), world.pool().agents.len()), (1, 1));

    // Each call occupies one; those that find none free are what it grows by.
    let mut calls = Vec::new();
    for _ in 0..60 {
        if calls.len() < 3 {
            let call = world.kernel.call(Task::new("wait", 1).timeout(Duration::from_secs(20)));
            step(1);
            if !call.is_done() {
                calls.push(call);
            }
        }
        step(99);
    }
    assert_eq!(world.living(), 3, "as many as it may have");
    assert_eq!((world.pool().target, world.pool().in_flight), (3, 3));
    drop(calls);
    world.held.lock().unwrap().clear();
    step(4_500);
    assert_eq!(world.living(), 3, "not yet");
    step(1_000);
    assert_eq!(world.living(), 2);
    step(30_000);
    assert_eq!((world.living(), world.pool().agents.len()), (1, 1));

    // One that is gone is replaced.
    let agent = world.pool().agents[0].clone();
    world.kernel.remove_agent(&agent, Duration::ZERO).unwrap();
    step(200);
    assert_eq!(world.living(), 1);

    world.kernel.set_pool("waiters", PoolPolicy::between(2, 3)).unwrap();
    step(200);
    assert_eq!(world.living(), 2);
    world.kernel.remove_pool("waiters").unwrap();
    assert_eq!((world.living(), world.kernel.agents().len()), (0, 0));
    step(10_000);
    assert_eq!(world.living(), 0, "it stays so");
    let changes = world.subjects().into_iter().filter(|it| it == "agent.pool").count();
    assert!(changes >= 6, "{changes}");
}

#[test]
fn a_pool_of_none_makes_one_for_who_asks() {
    let world = World::new();
    let template = Template::new("good", ["double"], TemplateKind::Factory("good".into()));
    world.kernel.add_template(template, false).unwrap();
    let policy = PoolPolicy::between(0, 2).idle(ms(5_000));
    world.kernel.add_pool("p", "good", Map::new(), policy).unwrap();
    world.kernel.advance(ms(10_000)).unwrap();
    assert_eq!(world.living(), 0);
    for _ in 0..2 {
        let ask = || {
            let mut ticket = world.kernel.call(Task::new("double", 4));
            world.kernel.advance(ms(100)).unwrap();
            ticket.try_take().unwrap()
        };
        let error = ask().unwrap_err();
        assert_eq!((error.code(), error.class()), (Code::OVERLOADED, Class::Transient), "{error}");
        let answered = (0..50).find_map(|_| ask().ok());
        assert_eq!(answered.unwrap().output, 8.into());
        // When nobody wants it any more there is none again, and then again one.
        world.kernel.advance(ms(60_000)).unwrap();
        assert_eq!(world.living(), 0);
    }
    world.kernel.remove_pool("p").unwrap();
    let error = world.kernel.call(Task::new("double", 4)).wait_timeout(ms(1)).unwrap().unwrap_err();
    assert_eq!(error.code(), Code::AGENT_NO_SKILL);
}

#[test]
fn a_pool_whose_agents_cannot_be_made_tries_less_and_less_often() {
    let world = World::new();
    let template = Template::new("dead", ["s"], TemplateKind::Factory("dead".into()));
    world.kernel.add_template(template, false).unwrap();
    world.kernel.add_pool("p", "dead", Map::new(), PoolPolicy::between(1, 1)).unwrap();
    world.kernel.advance(Duration::from_secs(60)).unwrap();
    let pool = world.pool();
    assert_eq!(pool.trouble.unwrap().code(), Code::AGENT_NOT_MADE);
    let tried = world.subjects().into_iter().filter(|it| it == "agent.not_made").count();
    assert!((6..=8).contains(&tried), "0.5 + 1 + 2 + 4 + 8 + 16 + 32 s: {tried}");
}

#[test]
fn what_is_no_pool_is_refused() {
    let world = World::new();
    world.template("good", 1.0);
    let add = |name: &str, template: &str, policy: PoolPolicy| {
        world.kernel.add_pool(name, template, Map::new(), policy).err().map(|error| error.code())
    };
    assert_eq!(add("a b", "good", PoolPolicy::default()), Some(Code::INVALID));
    assert_eq!(add("p", "bad", PoolPolicy::default()), Some(Code::NOT_FOUND));
    assert_eq!(add("p", "good", PoolPolicy::between(3, 2)), Some(Code::INVALID));
    assert_eq!(add("p", "good", PoolPolicy::default()), None);
    assert_eq!(add("p", "good", PoolPolicy::default()), Some(Code::ALREADY_EXISTS));
    let parameters = Map::from_iter([("size".to_owned(), json!(1))]);
    let error = world.kernel.add_pool("q", "good", parameters, PoolPolicy::default()).unwrap_err();
    assert_eq!(error.message(), "the template has no parameter \"size\"");
    assert_eq!(
        world.kernel.set_pool("q", PoolPolicy::default()).unwrap_err().code(),
        Code::NOT_FOUND
    );
    assert_eq!(world.kernel.remove_pool("q").unwrap_err().code(), Code::NOT_FOUND);
}

/// Whether any process has this in its command line.
#[cfg(target_os = "linux")]
fn runs(marker: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(marker)
    })
}

#[cfg(target_os = "linux")]
#[test]
fn a_process_that_never_gets_ready_is_ended_with_the_creation() {
    let kernel = Kernel::builder().build().unwrap();
    kernel.start().unwrap();
    let marker = format!("sutazai-creation-{}", std::process::id());
    let script = "import time; time.sleep(3600)";
    let process =
        json!({"command": ["python3", "-c", script, "{mark}"], "start_timeout_ms": 3_600_000});
    let template = Template::new("stuck", ["s"], TemplateKind::Process(process)).parameter(
        "mark",
        json!({"type": "string"}),
        None,
    );
    kernel.add_template(template, false).unwrap();
    let want = || Want::new("s").parameter("mark", marker.as_str());
    let until = |ends: &dyn Fn() -> bool| {
        let began = std::time::Instant::now();
        while !ends() {
            assert!(began.elapsed() < Duration::from_secs(60), "it does not come to that");
            std::thread::sleep(ms(10));
        }
    };
    let late = kernel.create_agent(want(), default().within(ms(200))).wait().unwrap_err();
    assert_eq!(late.code(), Code::DEADLINE_EXCEEDED);
    until(&|| !runs(&marker));

    let ticket = kernel.create_agent(want(), default());
    until(&|| runs(&marker));
    drop(ticket);
    until(&|| !runs(&marker));
    assert!(kernel.agents().is_empty());
    kernel.stop(Duration::from_secs(5)).unwrap();
}

#[test]
fn a_pool_makes_another_one_for_one_that_cannot_be_reached() {
    let world = World::new();
    world.template("good", 0.0);
    world.kernel.add_pool("p", "good", Map::new(), PoolPolicy::between(1, 2)).unwrap();
    let seconds = |n: u64| {
        world.kernel.advance(Duration::from_secs(n)).unwrap();
    };
    seconds(1);
    let first = world.pool().agents[0].clone();
    *world.away.lock().unwrap() = Some(first.clone());
    seconds(10);
    assert_eq!((world.pool().agents.len(), world.living()), (2, 2), "it may come back");
    let mut call = world.kernel.call(Task::new("double", 4));
    seconds(0);
    assert_eq!(call.try_take().unwrap().unwrap().output.to::<i64>().unwrap(), 8);
    // The second one is away: the first has to make room for a third.
    let second = world.pool().agents.iter().find(|name| **name != first).unwrap().clone();
    *world.away.lock().unwrap() = Some(second);
    seconds(10);
    assert_eq!((world.pool().agents.len(), world.living()), (1, 1), "the first one is back");
}
