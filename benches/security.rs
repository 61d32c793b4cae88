//! The whole way of a call that somebody makes with a token, and the login that the token comes from.
//!
//! The way: verify, authorise, an agent that does nothing, one record on the disk. Nothing comes from a cache: every
//! token is used once, and every request is another one. *Bare* is an append of the same bytes to a file in the
//! same directory, and fdatasync; both take turns, in a directory on a disk (`target/`, or `SUTAZAI_BENCH_DIR`).

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

mod bar;

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sutazai_core::base::payload::Payload;
use sutazai_core::base::ticket::Reply;
use sutazai_core::base::time::Timestamp;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{Agent, AgentCard, AuditClass, Credential, Outcome, RunMode, Task};
use sutazai_core::security::authn::{Attempt, PasswordPolicy, Passwords};
use sutazai_core::security::authz::{Entities, PolicySet};
use sutazai_core::security::token::{Grant, TokenConfig};
use sutazai_core::security::{LoginAnswer, SecurityOptions};
use sutazai_core::store::{Durability, Store};

/// Calls in a row before the other one has its turn, and turns.
const ROW: usize = 10;
const TURNS: usize = 200;
const PRINCIPALS: usize = 100;

struct Noop;

impl Agent for Noop {
    fn card(&self) -> AgentCard {
        AgentCard::new("noop", ["noop"]).run(RunMode::Inline)
    }
    fn handle(&self, _task: Task, reply: Reply<Outcome>) {
        let _ = reply.send(Outcome::default());
    }
}

fn options(action: Durability) -> SecurityOptions {
    let mut options = SecurityOptions::default();
    options.authorise = true;
    let mut tokens = TokenConfig::new("https://issuer.example", "kernel");
    // Every token is verified, whoever has shown it before.
    tokens.cache = 0;
    options.tokens = Some(tokens);
    options.audit.durability = vec![(AuditClass::Action, action)];
    options
}

fn main() {
    let root = place();
    call(&root);
    login();
    std::fs::remove_dir_all(root).unwrap();
}

fn place() -> PathBuf {
    let root = std::env::var_os("SUTAZAI_BENCH_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let path = root.join(format!("bench-security-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// A hundred policies, one or two of which concern a request, and the groups that they speak of.
fn policies() -> (PolicySet, Entities) {
    let mut text = String::new();
    for at in 0..PRINCIPALS {
        text.push_str(&format!(
            "permit (principal == User::\"user-{at}\", action == Action::\"call\", resource == Skill::\"noop\")\n\
             when {{ context.methods.contains(\"pwd\") }};\n"
        ));
    }
    text.push_str("forbid (principal in Group::\"blocked\", action, resource);\n");
    (PolicySet::from_cedar("bench", &text).unwrap(), Entities::empty())
}

fn call(root: &std::path::Path) {
    // The same, with a record that survives the process and not the machine: what it costs beside the disk.
    for (name, durability) in [("process", Durability::Process), ("fsync", Durability::Fsync)] {
        let dir = root.join(name);
        let kernel = Kernel::builder()
            .security(options(durability))
            .data_dir(&dir)
            .agent(Noop)
            .build()
            .unwrap();
        kernel.start().unwrap();
        let security = kernel.security().unwrap();
        let (set, entities) = policies();
        security.policies().replace_entities(entities);
        security.set_policies(set, "bench", Timestamp::now()).unwrap();
        match durability {
            Durability::Fsync => durable(&kernel, root),
            _ => alone(&kernel),
        }
        kernel.stop(Duration::from_secs(5)).unwrap();
    }
}

/// Tokens that nobody has shown yet, with a request each that was never decided.
fn tokens(kernel: &Kernel, count: usize) -> Vec<String> {
    let security = kernel.security().unwrap();
    let now = Timestamp::now();
    (0..count)
        .map(|at| {
            let grant = Grant::new(format!("user-{}", at % PRINCIPALS))
                .authenticated(["pwd", "otp"], now)
                .attribute("device", &*format!("{at:08x}"));
            security.tokens().login(&grant, now).unwrap().access.to_string()
        })
        .collect()
}

fn one(kernel: &Kernel, token: &str) {
    kernel.call_as(token, Task::new("noop", Payload::NULL)).wait().unwrap();
}

fn alone(kernel: &Kernel) {
    const CALLS: usize = 500;
    let held = tokens(kernel, CALLS * 16);
    let mut rounds = held.chunks(CALLS);
    bar::alone("security.e2e_process", "us", f64::INFINITY, &mut || {
        let tokens = rounds.next().unwrap();
        bar::timed(CALLS as u64, || tokens.iter().for_each(|token| one(kernel, token)))
    });
}

fn durable(kernel: &Kernel, root: &std::path::Path) {
    let held = tokens(kernel, ROW * (TURNS + 1));
    let (warm, held) = held.split_at(ROW);
    warm.iter().for_each(|token| one(kernel, token));
    // What such a call leaves on the record.
    let audit = kernel.security().unwrap().audit();
    let last = audit.status().records - 1;
    let bytes = audit.get(last).unwrap().unwrap().canonical().unwrap();
    let mut bare = File::options().append(true).create(true).open(root.join("bare")).unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for (turn, tokens) in held.chunks(ROW).enumerate() {
        for who in [turn % 2, (turn + 1) % 2] {
            for token in tokens {
                let began = Instant::now();
                if who == 0 {
                    one(kernel, token);
                    ours.push(began.elapsed());
                } else {
                    bare.write_all(&bytes).unwrap();
                    bare.sync_data().unwrap();
                    theirs.push(began.elapsed());
                }
            }
        }
    }
    for (name, share, goal) in [("security.e2e_p50", 50, f64::INFINITY), ("security.e2e", 99, 1.5)]
    {
        let (ours, theirs) = (percentile(&mut ours, share), percentile(&mut theirs, share));
        let ratio = ours / theirs;
        let met = if ratio <= goal { "met" } else { "missed" };
        println!(
            "bar {name} ours={ours:.1}us peer=append+fdatasync:{theirs:.1}us ratio={ratio:.3} goal=<={goal} {met}"
        );
    }
}

fn percentile(times: &mut [Duration], share: usize) -> f64 {
    times.sort_unstable();
    times[(times.len() - 1) * share / 100].as_nanos() as f64 / 1e3
}

/// A login with a password, whose parameters are those of the default policy, beside the hash alone.
fn login() {
    let kernel =
        Kernel::builder().security(options(Durability::Process)).agent(Noop).build().unwrap();
    kernel.start().unwrap();
    let security = kernel.security().unwrap();
    security.passwords().set("ann", "correct horse battery", Timestamp::now()).unwrap();
    let credential =
        || Credential::new("password", Some("ann".into()), b"correct horse battery".to_vec());
    let alone = Passwords::new(Store::memory(&[]).unwrap(), PasswordPolicy::default()).unwrap();
    alone.set("ann", "correct horse battery", Timestamp::now()).unwrap();
    bar::compare(
        "security.login",
        "ms",
        f64::INFINITY,
        &mut || {
            bar::timed(4, || {
                for _ in 0..4 {
                    let answer = security.log_in(Attempt::new(credential()), Timestamp::now());
                    assert!(matches!(answer, Ok(LoginAnswer::Done { .. })));
                }
            })
        },
        &mut [("argon2id", &mut || {
            bar::timed(4, || {
                for _ in 0..4 {
                    use sutazai_core::port::AuthProvider as _;
                    alone.authenticate(&credential(), Timestamp::now()).unwrap();
                }
            })
        })],
    );
    kernel.stop(Duration::from_secs(5)).unwrap();
}
