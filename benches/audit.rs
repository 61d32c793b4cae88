//! The audit log beside the bare disk, and beside SQLite.
//!
//! *Bare* is an append of the same bytes to a file in the same directory, and fdatasync: what a program
//! that keeps its own log does. All contestants take turns, round by round, and work in a directory on a
//! disk (`target/`, or `SUTAZAI_BENCH_DIR`): on a file system in memory the figures mean nothing.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

mod bar;

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sutazai_core::base::ticket::Ticket;
use sutazai_core::base::time::Timestamp;
use sutazai_core::port::{AuditClass, AuditEvent, AuditOutcome, AuditValue};
use sutazai_core::security::audit::{AuditLog, Ed25519Signer, Options};
use sutazai_core::store::{DataDir, sql};

const ROUNDS: usize = 20;
const WRITERS: u64 = 64;

/// What is written: a login, as the room of authentication tells of it.
fn event<'a>(who: &'a str, details: &'a [(&'a str, AuditValue<'a>)]) -> AuditEvent<'a> {
    AuditEvent::new(
        AuditClass::Authentication,
        "authn.password",
        who,
        Timestamp::from_nanos(1_700_000_000_123_456_789),
    )
    .object("tenant/7")
    .outcome(AuditOutcome::Success)
    .details(details)
}

const DETAILS: [(&str, AuditValue<'static>); 3] = [
    ("address", AuditValue::Text("192.0.2.17")),
    ("attempt", AuditValue::Int(1)),
    ("factor", AuditValue::Text("password")),
];

/// The bytes of that record.
const BYTES: &str = r#"{"action":"authn.password","at":"1700000000123456789","class":"authentication","details":{"address":"192.0.2.17","attempt":1,"factor":"password"},"object":"tenant/7","outcome":"success","principal":"somebody@example.org","v":1}"#;

fn place() -> PathBuf {
    let root = std::env::var_os("SUTAZAI_BENCH_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let path = root.join(format!("bench-audit-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// The median of what a contestant took, in nanoseconds an operation.
fn median(times: &[(Duration, u64)]) -> f64 {
    let mut all: Vec<f64> =
        times.iter().map(|(time, count)| time.as_nanos() as f64 / *count as f64).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn line(name: &str, ours: f64, peer: &str, theirs: f64, goal: f64) {
    let ratio = ours / theirs;
    let met = if ratio <= goal { "met" } else { "missed" };
    println!(
        "bar {name} ours={:.2}us peer={peer}:{:.2}us ratio={ratio:.4} goal=<={goal} {met}",
        ours / 1e3,
        theirs / 1e3
    );
}

fn main() {
    let root = place();
    let dir = DataDir::open(root.join("data")).unwrap();
    let signer = Arc::new(Ed25519Signer::ephemeral("bench.example/audit").unwrap());
    let log = AuditLog::open(&dir, signer, Options::default()).unwrap();
    log.start().unwrap();
    let mut bare = File::options().append(true).create(true).open(root.join("bare")).unwrap();
    let sqlite = Sqlite::new(root.join("sqlite"));

    let mut rounds: [Vec<(Duration, u64)>; 6] = Default::default();
    // The first round warms up and does not count.
    for round in 0..=ROUNDS {
        for turn in 0..rounds.len() {
            let who = (turn + round) % rounds.len();
            let took = match who {
                0 => one(&log),
                1 => bar::timed(40, || {
                    for _ in 0..40 {
                        bare.write_all(BYTES.as_bytes()).unwrap();
                        bare.sync_data().unwrap();
                    }
                }),
                2 => many(|writer, each| {
                    let name = format!("writer{writer}@example.org");
                    for _ in 0..each {
                        log.record(&event(&name, &DETAILS)).unwrap();
                    }
                }),
                3 => outstanding(&log),
                4 => sqlite.shared(),
                _ => sqlite.each(),
            };
            if round > 0 {
                rounds[who].push(took);
            }
        }
    }
    let [one, bare, many, outstanding, shared, each] = rounds.map(|times| median(&times));
    line("security.audit1", one, "append+fdatasync", bare, 1.25);
    line("security.audit64", many, "one-writer", one, 0.12);
    line("security.audit_async", outstanding, "one-writer", one, 0.01);
    println!(
        "    security.audit_sqlite: a connection each {:.2}us, one shared {:.2}us",
        each / 1e3,
        shared / 1e3
    );
    line("security.audit_sqlite", many, "sqlite-wal-full", each.min(shared), 0.2);
    process(&log);
    println!("    {:?}", log.status());
    log.close(Timestamp::now()).unwrap();
    drop((log, dir));
    std::fs::remove_dir_all(root).unwrap();
}

/// One blocking writer.
fn one(log: &AuditLog) -> (Duration, u64) {
    bar::timed(40, || {
        for _ in 0..40 {
            log.record(&event("somebody@example.org", &DETAILS)).unwrap();
        }
    })
}

/// 64 threads; they are made, and meet, before the clock starts.
fn many(write: impl Fn(u64, u64) + Sync) -> (Duration, u64) {
    const EACH: u64 = 16;
    let gate = std::sync::Barrier::new(WRITERS as usize + 1);
    let start = std::sync::OnceLock::new();
    let took = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (gate, write) = (&gate, &write);
                scope.spawn(move || {
                    gate.wait();
                    write(writer, EACH);
                    Instant::now()
                })
            })
            .collect();
        let began = *start.get_or_init(Instant::now);
        gate.wait();
        let ends = threads.into_iter().map(|thread| thread.join().unwrap());
        ends.max().unwrap().duration_since(began)
    });
    (took, WRITERS * EACH)
}

/// One thread that has 1,024 tickets outstanding all the time.
fn outstanding(log: &AuditLog) -> (Duration, u64) {
    const TICKETS: usize = 1024;
    const ALL: u64 = 20_000;
    bar::timed(ALL, || {
        let mut waiting: std::collections::VecDeque<Ticket<u64>> = Default::default();
        for _ in 0..ALL {
            if waiting.len() == TICKETS {
                waiting.pop_front().unwrap().wait().unwrap();
            }
            waiting.push_back(log.submit(&event("somebody@example.org", &DETAILS)));
        }
        for mut ticket in waiting {
            ticket.wait().unwrap();
        }
    })
}

/// Records that need survive the process only.
fn process(log: &AuditLog) {
    const ALL: u64 = 20_000;
    let refused = AtomicU64::new(0);
    bar::alone("security.audit_process", "ns", f64::INFINITY, &mut || {
        // What the round before left is in the tree by then.
        log.integrate(Timestamp::now()).unwrap();
        bar::timed(ALL, || {
            for _ in 0..ALL {
                let mut event = event("somebody@example.org", &DETAILS);
                event.class = AuditClass::Action;
                if log.record(&event).is_err() {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    });
    assert_eq!(refused.into_inner(), 0);
}

/// The same record as a row of a table, each in a transaction of its own.
struct Sqlite {
    path: PathBuf,
    shared: parking_lot::Mutex<sql::Connection>,
}

impl Sqlite {
    fn new(path: PathBuf) -> Self {
        let connection = connect(&path);
        connection
            .execute_batch(
                "CREATE TABLE record (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;",
            )
            .unwrap();
        Self { path, shared: parking_lot::Mutex::new(connection) }
    }

    /// All threads have one connection.
    fn shared(&self) -> (Duration, u64) {
        many(|_, each| {
            for _ in 0..each {
                insert(&self.shared.lock());
            }
        })
    }

    /// Each thread has its own.
    fn each(&self) -> (Duration, u64) {
        let connections: Vec<_> =
            (0..WRITERS).map(|_| parking_lot::Mutex::new(connect(&self.path))).collect();
        many(|writer, each| {
            let connection = connections[writer as usize].lock();
            for _ in 0..each {
                insert(&connection);
            }
        })
    }
}

fn connect(path: &std::path::Path) -> sql::Connection {
    let connection = sql::Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(60)).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    connection
}

fn insert(connection: &sql::Connection) {
    connection
        .prepare_cached("INSERT INTO record (body) VALUES (?)")
        .unwrap()
        .execute([BYTES.as_bytes()])
        .unwrap();
}
