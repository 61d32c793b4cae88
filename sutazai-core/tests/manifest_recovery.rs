//! `[recovery]` of a manifest: read, checked with everything else, and in force.
#![cfg(all(feature = "agent", feature = "recovery", feature = "config"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use sutazai_core::agent;
use sutazai_core::base::payload::Payload;
use sutazai_core::base::runtime::Manual;
use sutazai_core::config::Manifest;
use sutazai_core::kernel::{self, Kernel};
use sutazai_core::port::{AgentCard, RunMode, Task};
use sutazai_core::{Class, Code, Error, Result};

const WHOLE: &str = r#"
data_dir = ":memory:"

[recovery.guards.all]
timeout = "30s"
retry = { attempts = 4, base = "50ms", jitter = "equal" }
budget = { per_second = 2 }

[recovery.guards.skill.review]
attempt_timeout = "1m 30s"
breaker = { consecutive = 3, open = "10s", window = { time = "1m" } }
bulkhead = { concurrency = 8 }
rate = { calls = 100, period = "1s" }
share = { rate = "provider" }

[recovery.guards.agent.flaky]
breaker = {}

[recovery.classification]
rules = [
    { name = "indexing", class = "transient", http_status = 409, retry_after = "2s" },
]
history = { times = 5, over = "1m" }

[recovery.degradation]
levels = ["full", "essential"]
rules = [{ level = "essential", signal = "load", enter = 0.9, leave = 0.5 }]
features = { summary = { essential = "off" }, search = { essential = { fallback = "cache" } } }
down_dwell = "5s"

[recovery.isolation]
quarantine = "1m"
crash_loop = { crashes = 3, window = "30s" }

[recovery.playbooks]
max_actions = 10

[[recovery.playbook]]
name = "degrade under load"
when = { signal = { name = "load", op = "gt", value = 0.9 } }
for = "30s"
action = "degrade"
params = { level = "essential", note = 1 }

[[recovery.playbook]]
name = "tell of failures"
when = { all = [{ event = { subject = "call.failed", fields = [{ at = "/class", op = "eq", value = "critical" }] } }] }
action = "publish"
params = { subject = "operator.page" }

[recovery.failsafe]
on_critical = false
drain = "10s"
"#;

fn mistakes(text: &str) -> Vec<(u32, String, Option<String>)> {
    let error = kernel::grammar().parse("sutazai.toml", text).unwrap_err();
    assert!(error.problems().iter().all(|e| e.code() == Code::MANIFEST_INVALID), "{error:?}");
    let told = error.problems().iter();
    let told = told.map(|e| {
        (e.location().unwrap().line, e.message().to_owned(), e.remedy().map(str::to_owned))
    });
    told.collect()
}

fn lines(text: &str) -> Vec<(u32, String)> {
    mistakes(text).into_iter().map(|(line, message, _)| (line, message)).collect()
}

fn one(text: &str) -> (u32, String, Option<String>) {
    let told = mistakes(text);
    assert_eq!(told.len(), 1, "{told:?}");
    told.into_iter().next().unwrap()
}

#[test]
fn everything_is_read_and_in_force() {
    let manifest = kernel::grammar().parse("sutazai.toml", WHOLE).unwrap();
    let time = Manual::new();
    let builder = Kernel::builder().manifest(&manifest).runtime(Arc::new(time.clone()));
    let kernel = builder.seed(1).build().unwrap();
    kernel.start().unwrap();
    let guards: Vec<_> = kernel.guards().into_iter().map(|guard| guard.calls).collect();
    assert_eq!(guards, ["all", "skill:review"]);
    assert_eq!(kernel.classifier().rules()[0].retry_after_ms, Some(2_000));
    let recovery = kernel.recovery();
    assert_eq!(recovery.level().level.to_string(), "full");
    recovery.force_level(Some("essential"), "a test").unwrap();
    assert_eq!(recovery.check("summary").unwrap_err().code(), Code::DEGRADED);
    let playbooks: Vec<_> =
        recovery.playbooks().list().into_iter().map(|view| view.playbook.name).collect();
    assert_eq!(playbooks, ["degrade under load", "tell of failures"]);
}

#[test]
fn a_guard_of_the_manifest_retries() {
    let text = "[recovery.guards.all]\nretry = { base = \"100ms\", jitter = \"none\" }\n";
    let (time, kernel) = running(text);
    let card = AgentCard::new("a", ["work"]).run(RunMode::Inline);
    let made = std::sync::atomic::AtomicUsize::new(0);
    let agent = agent::from_fn(card, move |_: &Task| -> Result<Payload> {
        match made.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Err(Error::new(Code::AGENT_FAILED, "not now")),
            n => Ok(Payload::from(format!("{n}"))),
        }
    });
    kernel.add_agent(agent).unwrap();
    let mut ticket = kernel.call(Task::new("work", "x"));
    time.advance(Duration::from_millis(99));
    assert!(ticket.try_take().is_none());
    time.advance(Duration::from_millis(1));
    assert_eq!(ticket.try_take().unwrap().unwrap().output, Payload::from("1"));
}

#[test]
fn a_hosts_rule_and_the_history_decide_what_is_tried_again() {
    let text = r#"
[recovery.guards.all]
retry = { attempts = 3, base = "100ms", jitter = "none" }
[recovery.classification]
rules = [{ name = "no such repository", class = "persistent", text = "repository * not found" }]
history = { times = 5, over = "1m" }
"#;
    let (time, kernel) = running(text);
    let card = AgentCard::new("a", ["work"]).run(RunMode::Inline);
    let agent = agent::from_fn(card, move |task: &Task| -> Result<Payload> {
        let said = task.input().to::<String>().unwrap();
        Err(Error::new(Code::AGENT_FAILED, said))
    });
    kernel.add_agent(agent).unwrap();
    let call = |said: &str| {
        let mut ticket = kernel.call(Task::new("work", said));
        time.advance(Duration::from_secs(5));
        ticket.try_take().unwrap().unwrap_err()
    };
    let attempts = |error: &Error| {
        let mut context = error.context();
        context.find(|(key, _)| *key == "attempts").map(|(_, n)| n.to_owned())
    };
    let error = call("repository x/y not found");
    assert_eq!((error.class(), attempts(&error)), (Class::Persistent, None));
    assert!(error.context().any(|pair| pair == ("rule", "no such repository")), "{error:?}");
    // Three tries, and three; the seventh comes after a minute, and is one too many.
    let first = call("not now");
    assert_eq!((first.class(), attempts(&first).as_deref()), (Class::Transient, Some("3")));
    assert_eq!(call("not now").class(), Class::Transient);
    time.advance(Duration::from_secs(60));
    let last = call("not now");
    assert_eq!((last.class(), attempts(&last)), (Class::Persistent, None));
    assert!(last.context().any(|pair| pair == ("rule", "history")), "{last:?}");
    // Others are judged on their own.
    kernel.classification(Default::default()).unwrap();
    let error = call("repository x/y not found");
    assert!(!error.context().any(|pair| pair == ("rule", "no such repository")), "{error:?}");
}

#[test]
fn a_rule_that_says_critical_takes_the_safe_state() {
    let text = r#"
[recovery.guards.all]
retry = {}
[recovery.classification]
rules = [{ name = "fire", class = "critical", text = "on fire" }]
[recovery.failsafe]
drain = "0s"
"#;
    let (time, kernel) = running(text);
    let card = AgentCard::new("a", ["work"]).run(RunMode::Inline);
    let agent = agent::from_fn(card, |_: &Task| -> Result<Payload> {
        Err(Error::new(Code::AGENT_FAILED, "the rack is on fire"))
    });
    kernel.add_agent(agent).unwrap();
    let mut ticket = kernel.call(Task::new("work", "x"));
    time.advance(Duration::from_secs(1));
    assert_eq!(ticket.try_take().unwrap().unwrap_err().class(), Class::Critical);
    kernel.recovery().wait_safe(Duration::from_secs(10));
    let mut refused = kernel.call(Task::new("work", "x"));
    assert_eq!(refused.wait().unwrap_err().code(), Code::SAFE_STATE);
}

fn running(text: &str) -> (Manual, Kernel) {
    let text = format!("data_dir = \":memory:\"\n{text}");
    let manifest = kernel::grammar().parse("sutazai.toml", &text).unwrap();
    let time = Manual::new();
    let builder = Kernel::builder().manifest(&manifest).runtime(Arc::new(time.clone()));
    let kernel = builder.seed(1).build().unwrap();
    kernel.start().unwrap();
    (time, kernel)
}

#[test]
fn mistakes_are_told_with_all_others_in_the_order_of_the_text() {
    let text = r#"
[limit]

[recovery.guards.all]
timeout = 30
retry = { attempts = 0, jitter = "ful", base = "1" }

[recovery.guards.skill.review]
bulkhed = { concurrency = 8 }
breaker = { failure_rate = "high" }

[log]
level = "loud"
"#;
    let told = lines(text);
    let expected = [
        (2, "unknown key \"limit\""),
        (5, "\"timeout\" must be a duration such as"),
        (6, "\"jitter\" cannot be \"ful\""),
        (6, "\"base\" must be a duration such as"),
        (9, "unknown key \"bulkhed\""),
        (10, "\"failure_rate\" must be a number, not \"high\""),
        (13, "\"level\" cannot be \"loud\""),
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for ((line, message), (at, begins)) in told.iter().zip(expected) {
        assert!(*line == at && message.starts_with(begins), "{line}: {message}");
    }
}

#[test]
fn a_mistake_says_what_to_do() {
    let all = |line: &str| format!("[recovery.guards.all]\n{line}\n");
    let remedy = |text: &str| one(text).2.unwrap_or_default();
    assert_eq!(remedy(&all("timeout = 30")), "say the unit: \"30s\" or \"30ms\"");
    assert_eq!(remedy(&all("timeout_ms = 30")), "did you mean \"timeout\"?");
    assert_eq!(remedy(&all("retry = { jitter = \"ful\" }")), "did you mean \"full\"?");
    assert!(remedy(&all("nonsense = 1")).starts_with("valid here: "), "all that is valid");
    assert_eq!(remedy(&all("bulkhead = { concurrency = -1 }")), "it must be from 0 to 4294967295");
    assert_eq!(
        remedy(
            "[[recovery.playbook]]\nname = \"x\"\nwhen = { signal = { name = \"a\", op = \"gt\", value = 1 } }\n"
        ),
        "add action = …"
    );
}

#[test]
fn policies_are_checked_where_they_stand() {
    let (line, message, _) =
        one("[recovery.guards.all]\ntimeout = \"1s\"\nretry = { attempts = 0 }\n");
    assert_eq!(line, 3, "{message}");
    let (line, message, remedy) = one("[recovery.guards.agent.flaky]\nbreaker = {}\nretry = {}\n");
    assert_eq!(line, 1, "{message}");
    assert!(remedy.unwrap().contains("skill"));
    let (line, message, _) = one("[recovery.guards.agent.x]\nhedge = {}\n");
    assert_eq!(line, 1, "{message}");
    let (line, ..) =
        one("\n[recovery.classification]\nrules = [{ name = \"a\", class = \"transient\" }]\n");
    assert_eq!(line, 3);
    let (line, ..) = one("\n\n[recovery.degradation]\nlevels = []\n");
    assert_eq!(line, 4);
    let told = mistakes(
        "[recovery.failsafe]\ntotal = \"1s\"\ndrain = \"2s\"\nignore = [\"base.panic\",\n  \"base.panik\"]\n",
    );
    let told: Vec<_> = told.into_iter().map(|(line, _, remedy)| (line, remedy.unwrap())).collect();
    assert_eq!(told[0].0, 3);
    assert_eq!(told[1], (5, "did you mean \"base.panic\"?".to_owned()));
    let (line, message, _) = one(
        "[recovery.classification]\nrules = [\n  { name = 'a', class = 'transient', http_status = 700 },\n]\n",
    );
    assert_eq!((line, message.as_str()), (3, "700 is no status of HTTP"));
}

#[test]
fn mistakes_of_trees_have_their_place() {
    let told = lines(
        "[recovery.tree.main]\nperiod = \"0s\"\nchildren = [\n  { id = \"a\" },\n  { id = \"b\", start_timeout = \"0s\" },\n  \
         { id = \"c\", supervisor = { children = [{ id = \"d\", significant = true }] } },\n]\n",
    );
    let at: Vec<_> = told.iter().map(|(line, _)| *line).collect();
    assert_eq!(at, [2, 5, 6, 6], "{told:?}");
    let (line, message, _) = one("[recovery.tree.main]\nchildren = [\n  { does = \"poll\" },\n]\n");
    assert_eq!((line, message.as_str()), (3, "\"id\" is missing"));
}

#[test]
fn a_manifest_that_was_read_without_the_sections_is_checked_by_the_kernel() {
    let text = "data_dir = \":memory:\"\n[recovery.guards.all]\nretri = {}\n";
    let manifest = Manifest::parse("sutazai.toml", text).unwrap();
    let error = Kernel::builder().manifest(&manifest).build().unwrap_err();
    assert_eq!((error.code(), error.location().unwrap().line), (Code::MANIFEST_INVALID, 3));
}

#[test]
fn what_is_no_table_is_a_mistake() {
    assert_eq!(lines("recovery = 3\n")[0].1, "\"recovery\" must be a table, not an integer");
    assert_eq!(lines("[recovery]\nguards = []\n").len(), 1);
    assert_eq!(
        lines("[recovery.playbook]\nname = 'x'\n")[0].1,
        "\"playbook\" must be an array, not a table"
    );
}
