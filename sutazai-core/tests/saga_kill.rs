//! Sagas in processes that are killed: `kill -9` at every boundary of a step and inside every step.
//!
//! The child is this test binary again. Its steps write to a ledger, a file outside the store that takes
//! each idempotency key once, as a service outside would; and it kills itself at the point that it is
//! told. The parent starts children on the same data directory until one comes to the end, and reads the
//! ledger.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(all(unix, feature = "recovery", feature = "store"))]

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sutazai_core::base::payload::Payload;
use sutazai_core::base::runtime::{Runtime, Threads};
use sutazai_core::port::{SagaContext, SagaStep};
use sutazai_core::recovery::{
    MIGRATIONS, OnResume, Saga, SagaConfig, SagaPolicy, SagaState, Sagas, StepPolicy, effect_of,
    once,
};
use sutazai_core::store::{DataDir, Migrations, Step, Store};
use sutazai_core::{Code, Error, Result};

const STEPS: usize = 4;

/// The tables of the other side of `once`: how often each effect in the store was made.
const BANK: Migrations = Migrations {
    room: "bank",
    steps: &[Step {
        version: 1,
        oldest_reader: 1,
        sql: "CREATE TABLE bank_effect (what TEXT NOT NULL) STRICT;",
    }],
};

/// What kind of saga is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Its last step fails, so that it goes all the way back, whether or not it is killed.
    Fails,
    /// It succeeds; after a kill it goes on.
    Forward,
    /// It succeeds; after a kill it is undone.
    Back,
    /// It would go on after a kill, but for steps that may not be called twice.
    Once,
}

const KINDS: [Kind; 4] = [Kind::Fails, Kind::Forward, Kind::Back, Kind::Once];

impl Kind {
    fn named(name: &str) -> Self {
        KINDS.into_iter().find(|kind| format!("{kind:?}") == name).unwrap()
    }
}

// ---- the child ----

/// Counts the points at which a kill is possible, and dies at the one that it was told.
struct Killer {
    at: usize,
    passed: AtomicUsize,
}

impl Killer {
    fn point(&self) {
        if self.passed.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            let me = std::process::id().to_string();
            Command::new("kill").args(["-9", &me]).status().unwrap();
            loop {
                std::thread::park();
            }
        }
    }
}

/// The outside: a file with a line an effect, each key once, and a line a call besides.
struct Ledger(PathBuf);

impl Ledger {
    fn lines(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn write(&self, line: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(&self.0).unwrap();
        writeln!(file, "{line}").unwrap();
    }

    /// Takes the effect of this key, once.
    fn take(&self, key: &str) {
        self.write(&format!("call {key}"));
        let effect = format!("effect {key}");
        if !Self::lines(&self.0).contains(&effect) {
            self.write(&effect);
        }
    }
}

struct Outside {
    fails: bool,
    ledger: Arc<Ledger>,
    killer: Arc<Killer>,
}

impl Outside {
    fn effect(&self, ctx: &SagaContext<'_>) -> Result<()> {
        self.killer.point();
        self.ledger.take(ctx.key);
        self.killer.point();
        let line = ctx.key.split_once('/').unwrap().1.to_owned();
        once(ctx, "store", move |tx| {
            tx.execute("INSERT INTO bank_effect VALUES (?)", [line])?;
            Ok(Payload::NULL)
        })?;
        self.killer.point();
        Ok(())
    }
}

impl SagaStep for Outside {
    fn act(&self, ctx: &SagaContext<'_>) -> Result<Payload> {
        self.effect(ctx)?;
        if self.fails {
            return Err(Error::new(Code::AGENT_FAILED, "on purpose").with("key", ctx.key));
        }
        Ok(ctx.key.into())
    }

    fn undo(&self, ctx: &SagaContext<'_>, gave: Option<&Payload>) -> Result<()> {
        // What is known of the action agrees with what was done in the store.
        let made = effect_of(ctx, "store")?;
        assert!(gave.is_none() || made.is_some());
        self.effect(ctx)
    }
}

/// Runs in the child only: without the variable that names its directory it is no test.
#[test]
fn child_runs_a_saga() {
    let Some(folder) = std::env::var_os("SAGA_KILL_DIR").map(PathBuf::from) else { return };
    let kind = Kind::named(&std::env::var("SAGA_KILL_KIND").unwrap());
    let at = std::env::var("SAGA_KILL_AT").unwrap().parse().unwrap();
    let killer = Arc::new(Killer { at, passed: AtomicUsize::new(0) });
    let ledger = Arc::new(Ledger(folder.join("ledger")));
    let dir = DataDir::open(folder.join("data")).unwrap();
    let store = Store::open(&dir, &[MIGRATIONS, BANK]).unwrap();
    let runtime = Arc::new(Threads::default());
    runtime.start().unwrap();
    let watching = Arc::clone(&killer);
    let observer = Arc::new(move |_: &sutazai_core::recovery::SagaNews<'_>| watching.point());
    // Another seed each time, as a kernel has.
    let seed = u64::from(std::process::id());
    let sagas =
        Sagas::new(runtime.clone(), store.clone(), seed, SagaConfig::default(), observer).unwrap();
    let mut policy = SagaPolicy::default();
    if kind == Kind::Back {
        policy.on_resume = OnResume::Compensate;
    }
    let mut saga = Saga::new("order").policy(policy);
    for step in 0..STEPS {
        let mut policy = StepPolicy::default();
        policy.idempotent = kind != Kind::Once;
        let fails = kind == Kind::Fails && step == STEPS - 1;
        let outside = Outside { fails, ledger: Arc::clone(&ledger), killer: Arc::clone(&killer) };
        saga = saga.step_with(format!("s{step}"), policy, outside);
    }
    sagas.define(saga).unwrap();
    let mut ids = sagas.resume().unwrap().going;
    if ids.is_empty() && sagas.list(&Default::default()).unwrap().is_empty() {
        ids.push(sagas.begin("order", "input").unwrap().wait().unwrap());
    }
    for id in ids {
        drop(sagas.watch(id).unwrap().wait());
    }
    let all = sagas.list(&Default::default()).unwrap();
    assert_eq!(all.len(), 1);
    let rows = store.read(|conn| {
        let mut statement = conn.prepare("SELECT what FROM bank_effect ORDER BY rowid")?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        Ok(rows.collect::<sutazai_core::store::sql::Result<Vec<_>>>()?)
    });
    let end = match all[0].state {
        SagaState::Done => "done",
        SagaState::Undone => "undone",
        other => panic!("no end: {other:?}"),
    };
    let passed = killer.passed.load(Ordering::SeqCst);
    let report = format!("{end}\n{passed}\n{}", rows.unwrap().join("\n"));
    std::fs::write(folder.join("end"), report).unwrap();
    runtime.stop(Duration::from_secs(5));
}

// ---- the parent ----

/// Runs a child that dies at this point, if it comes to it; whether it was killed.
fn child(folder: &Path, kind: Kind, at: usize) -> bool {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_runs_a_saga", "--nocapture", "--test-threads=1"])
        .env("SAGA_KILL_DIR", folder)
        .env("SAGA_KILL_KIND", format!("{kind:?}"))
        .env("SAGA_KILL_AT", at.to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let killed = output.status.signal() == Some(9);
    assert!(
        killed || output.status.success(),
        "{kind:?} at {at}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    killed
}

/// How it ended: done or not, the points that the last process passed, and the effects in the store.
struct End {
    done: bool,
    points: usize,
    store: Vec<String>,
    ledger: Vec<String>,
}

/// A saga killed at these points, one a process, and then left to come to its end.
fn killed_at(kind: Kind, kills: &[usize]) -> End {
    let folder = tempfile::tempdir().unwrap();
    for (number, at) in kills.iter().enumerate() {
        let killed = child(folder.path(), kind, *at);
        assert!(killed || number > 0, "{kind:?} is not killed at {at}");
    }
    if !folder.path().join("end").exists() || kills.is_empty() {
        assert!(!child(folder.path(), kind, 0));
    }
    let report = std::fs::read_to_string(folder.path().join("end")).unwrap();
    let mut lines = report.lines().map(str::to_owned);
    let done = lines.next().unwrap() == "done";
    let points = lines.next().unwrap().parse().unwrap();
    let store = lines.filter(|line| !line.is_empty()).collect();
    End { done, points, store, ledger: Ledger::lines(&folder.path().join("ledger")) }
}

/// What is wrong with an end, if something is.
fn verify(kind: Kind, kills: usize, end: &End) -> std::result::Result<(), String> {
    let mut calls = BTreeMap::<&str, usize>::new();
    let mut effects: Vec<(String, bool)> = Vec::new();
    let mut saga = None;
    for line in &end.ledger {
        let (what, key) = line.split_once(' ').ok_or("a line that is none")?;
        let mut parts = key.split('/');
        let (Some(id), Some(step), Some(way)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(format!("a key that is none: {key}"));
        };
        if *saga.get_or_insert(id) != id {
            return Err(format!("two sagas: {id} and {saga:?}"));
        }
        match what {
            "call" => *calls.entry(key).or_default() += 1,
            _ => effects.push((step.to_owned(), way == "undo")),
        }
    }
    if let Some((key, times)) = calls.iter().find(|(_, times)| **times > 1 + kills) {
        return Err(format!("{key} was called {times} times for {kills} kills"));
    }
    let of = |undo: bool| effects.iter().filter(move |e| e.1 == undo).map(|e| e.0.as_str());
    let (done, undone): (Vec<_>, Vec<_>) = (of(false).collect(), of(true).collect());
    let turned = effects.iter().position(|effect| effect.1).unwrap_or(effects.len());
    if effects.iter().skip(turned).any(|effect| !effect.1) {
        return Err(format!("a step was done after the saga turned back: {effects:?}"));
    }
    let in_order: Vec<String> = (0..done.len()).map(|n| format!("s{n}")).collect();
    if done != in_order {
        return Err(format!("steps were not done once each, in order: {done:?}"));
    }
    if end.done {
        if kind == Kind::Fails || done.len() != STEPS || !undone.is_empty() {
            return Err(format!("it is done with {done:?} and {undone:?}"));
        }
    } else {
        // One that was interrupted before its effect is undone as well: that is in doubt.
        let most = (done.len() + 1).min(STEPS);
        let reverse = |count: usize| (0..count).rev().map(|n| format!("s{n}")).collect::<Vec<_>>();
        if undone != reverse(done.len()) && (kills == 0 || undone != reverse(most)) {
            return Err(format!("{done:?} was undone as {undone:?}"));
        }
        if kind == Kind::Forward || kills == 0 && kind != Kind::Fails {
            return Err("it should have gone on".to_owned());
        }
    }
    // In the store each effect is made once, whoever counts keys.
    let mut counted = end.store.clone();
    counted.sort_unstable();
    counted.dedup();
    if counted.len() != end.store.len() {
        return Err(format!("an effect in the store was made twice: {:?}", end.store));
    }
    let undone_in_store = end.store.iter().filter(|line| line.contains("/undo"));
    if undone_in_store.count() != undone.len() {
        return Err(format!("store and ledger differ: {:?}, {effects:?}", end.store));
    }
    Ok(())
}

fn long() -> bool {
    std::env::var_os("SUTAZAI_LONG").is_some()
}

fn try_all(kind: Kind, every: usize, offset: usize) -> usize {
    let whole = killed_at(kind, &[]);
    verify(kind, 0, &whole).unwrap_or_else(|problem| panic!("{kind:?}: {problem}"));
    let mut tried = 0;
    for at in (1 + offset..=whole.points).step_by(every) {
        let end = killed_at(kind, &[at]);
        verify(kind, 1, &end).unwrap_or_else(|problem| panic!("{kind:?} at {at}: {problem}"));
        tried += 1;
    }
    tried
}

#[test]
fn killed_on_its_way_back_every_compensation_takes_effect_once_in_reverse() {
    let tried = try_all(Kind::Fails, if long() { 1 } else { 2 }, 0);
    assert!(tried >= 20, "{tried}");
}

#[test]
fn killed_on_its_way_forward_it_goes_on_where_it_may() {
    try_all(Kind::Forward, if long() { 1 } else { 3 }, 1);
}

#[test]
fn killed_on_its_way_forward_it_goes_back_where_it_must() {
    try_all(Kind::Back, if long() { 1 } else { 3 }, 2);
    try_all(Kind::Once, if long() { 1 } else { 3 }, 0);
}

/// Killed again on its way back from a kill, and once more.
#[test]
fn killed_again_and_again_nothing_is_done_twice() {
    let points: &[[usize; 3]] = if long() {
        &[
            [9, 1, 1],
            [9, 2, 3],
            [10, 4, 2],
            [11, 5, 5],
            [13, 3, 4],
            [14, 6, 1],
            [16, 7, 2],
            [17, 8, 8],
            [19, 2, 2],
            [20, 9, 3],
            [21, 1, 9],
            [22, 10, 4],
            [23, 3, 3],
            [24, 4, 6],
            [25, 5, 1],
            [27, 2, 7],
            [30, 3, 2],
            [33, 4, 4],
            [36, 1, 1],
            [39, 2, 1],
        ]
    } else {
        &[[11, 5, 5], [20, 9, 3], [27, 2, 7]]
    };
    for kind in [Kind::Fails, Kind::Back] {
        // Who succeeds passes fewer points than who has to go back.
        let most = killed_at(kind, &[]).points;
        let reached: Vec<_> = points.iter().filter(|kills| kills[0] <= most).collect();
        assert!(reached.len() >= 2, "{kind:?} passes {most} points only");
        for kills in reached {
            let end = killed_at(kind, kills);
            verify(kind, 3, &end).unwrap_or_else(|problem| panic!("{kind:?} {kills:?}: {problem}"));
        }
    }
}

/// The check can fail: ledgers of runners that do it wrong are found out.
#[test]
fn a_wrong_ledger_is_found_out() {
    let key = |step: usize, way: &str| format!("00/s{step}/{way}");
    let ledger = |keys: &[String]| {
        keys.iter().flat_map(|key| [format!("call {key}"), format!("effect {key}")]).collect()
    };
    let stored = |keys: &[String]| keys.iter().map(|key| key[3..].to_owned()).collect::<Vec<_>>();
    let end =
        |keys: &[String]| End { done: false, points: 0, store: stored(keys), ledger: ledger(keys) };
    let all: Vec<_> = (0..STEPS).map(|n| key(n, "do")).collect();
    let back: Vec<_> = (0..STEPS).rev().map(|n| key(n, "undo")).collect();
    let right = [all.clone(), back.clone()].concat();
    verify(Kind::Fails, 1, &end(&right)).unwrap();
    let without = |at: usize| {
        let mut keys = right.clone();
        keys.remove(at);
        keys
    };
    let mut forward = back.clone();
    forward.reverse();
    let wrong = [
        ("one is not undone", without(STEPS + 1)),
        ("none is undone", all.clone()),
        ("in the order of doing", [all.clone(), forward].concat()),
        (
            "twice, with another key",
            [right.clone(), vec!["00/s0/undo2".into()], back.clone()].concat(),
        ),
        ("a step is left out", without(1)),
        ("a step is done afterwards", [back, all].concat()),
    ];
    for (what, keys) in wrong {
        assert!(verify(Kind::Fails, 1, &end(&keys)).is_err(), "{what}");
    }
    let mut often = end(&right);
    often.ledger.extend(vec![format!("call {}", key(0, "undo")); 2]);
    assert!(verify(Kind::Fails, 1, &often).is_err(), "called more often than killed");
    let mut twice = end(&right);
    twice.store.push("s0/undo".to_owned());
    assert!(verify(Kind::Fails, 1, &twice).is_err(), "twice in the store");
    let mut done = end(&right);
    done.done = true;
    assert!(verify(Kind::Forward, 1, &done).is_err(), "done, and undone");
}
