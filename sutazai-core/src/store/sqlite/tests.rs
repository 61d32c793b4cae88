//! Long because: every way to open and to break one database.
//!
//! Tests of the store on real files.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::Class;
use crate::store::Step;

const NOTES: Migrations = Migrations {
    room: "notes",
    steps: &[Step {
        version: 1,
        oldest_reader: 1,
        sql: "CREATE TABLE notes_line (n INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
              CREATE INDEX notes_text ON notes_line (text);",
    }],
};

/// Nothing here takes so long; it bounds a hang.
const HANG: Duration = Duration::from_secs(60);

fn data() -> (tempfile::TempDir, DataDir) {
    let folder = tempfile::tempdir().unwrap();
    let dir = DataDir::open(folder.path().join("data")).unwrap();
    (folder, dir)
}

fn quick() -> Options {
    Options { busy_timeout: Duration::from_millis(50), ..Options::default() }
}

fn line(store: &Store, n: i64, durability: Durability) -> Ticket<()> {
    store.write("notes", durability, move |tx| {
        tx.prepare_cached("INSERT INTO notes_line VALUES (?, ?)")?
            .execute((n, format!("line {n}")))?;
        Ok(())
    })
}

fn count(store: &Store) -> i64 {
    store.read(|c| Ok(c.query_row("SELECT count(*) FROM notes_line", [], |r| r.get(0))?)).unwrap()
}

/// Holds the writer thread until the sender is used or dropped.
fn hold(store: &Store) -> (Ticket<()>, mpsc::Sender<()>) {
    let (go, wait) = mpsc::channel();
    let (running, started) = mpsc::channel();
    let ticket = store.write("notes", Durability::Process, move |_| {
        let _ = running.send(());
        let _ = wait.recv();
        Ok(())
    });
    started.recv().unwrap();
    (ticket, go)
}

#[test]
fn what_is_written_is_there_after_opening_again() {
    let (_folder, dir) = data();
    for round in 0..3 {
        let store = Store::open(&dir, &[NOTES]).unwrap();
        assert_eq!(count(&store), round);
        assert_eq!(
            store.status().rooms,
            BTreeMap::from([("notes".into(), 1), ("store".into(), 1)])
        );
        line(&store, round, Durability::Process).wait().unwrap();
        store.close(HANG).unwrap();
        assert_eq!(
            line(&store, 9, Durability::Process).wait().unwrap_err().code(),
            Code::NOT_RUNNING
        );
        assert_eq!(store.get("a", "b").unwrap_err().code(), Code::NOT_RUNNING);
    }
    assert!(
        !dir.database().with_extension("db-wal").exists(),
        "the log was not folded in on close"
    );
}

#[test]
fn a_memory_store_has_the_same_face() {
    let store = Store::memory(&[NOTES]).unwrap();
    line(&store, 1, Durability::Fsync).wait().unwrap();
    assert_eq!(count(&store), 1);
    let status = store.status();
    assert_eq!((status.place.as_str(), status.writes, status.syncs), ("memory", 1, 0));
    assert!(status.engine.starts_with("sqlite 3."), "{status:?}");
    assert!(status.bytes > 0);
}

#[test]
fn queued_writes_share_a_transaction_and_fail_alone() {
    let (_folder, dir) = data();
    let store = Store::open(&dir, &[NOTES]).unwrap();
    let (held, go) = hold(&store);
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for n in 0..50 {
        good.push(line(&store, n, Durability::Process));
        // A constraint, an error of its own after a change, a panic after a change.
        bad.push((line(&store, n, Durability::Process), Code::STORE_FAILED));
        bad.push((
            store.write("notes", Durability::Process, move |tx| {
                tx.execute("INSERT INTO notes_line VALUES (?, 'x')", [1000 + n])?;
                Err(Error::new(Code::INVALID, "changed my mind"))
            }),
            Code::INVALID,
        ));
        bad.push((
            store.write("notes", Durability::Process, move |tx| -> Result<()> {
                tx.execute("INSERT INTO notes_line VALUES (?, 'x')", [2000 + n])?;
                std::panic::resume_unwind(Box::new("no"))
            }),
            Code::PANIC,
        ));
    }
    drop(go);
    held.detach();
    for mut ticket in good {
        ticket.wait().unwrap();
    }
    for (mut ticket, code) in bad {
        let error = ticket.wait().unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains("room=notes"), "{error}");
    }
    assert_eq!(count(&store), 50);
    let status = store.status();
    assert_eq!((status.writes, status.failed), (51, 150));
    assert!(status.commits <= 3, "no group commit: {status:?}");
}

#[test]
fn a_write_may_not_end_the_batch() {
    let store = Store::memory(&[NOTES]).unwrap();
    for sql in ["COMMIT", "ROLLBACK", "BEGIN", "ATTACH ':memory:' AS x", "PRAGMA synchronous=OFF"] {
        let error = store
            .write("notes", Durability::Process, move |tx| Ok(tx.execute_batch(sql)?))
            .wait()
            .unwrap_err();
        assert_eq!(error.code(), Code::INVALID, "{sql}: {error:#}");
        assert!(error.context().any(|(key, _)| key == "refused"), "{error}");
    }
    line(&store, 1, Durability::Process).wait().unwrap();
    assert_eq!(count(&store), 1);
}

#[test]
fn a_full_queue_refuses_and_counts() {
    let (_folder, dir) = data();
    let store =
        Store::open_with(&dir, &[NOTES], Options { queue: 2, ..Options::default() }).unwrap();
    let (mut held, go) = hold(&store);
    let mut queued = [line(&store, 1, Durability::Process), line(&store, 2, Durability::Process)];
    assert_eq!(store.status().queued, 2);
    let error = line(&store, 3, Durability::Process).wait().unwrap_err();
    assert_eq!((error.code(), error.class()), (Code::OVERLOADED, Class::Transient));
    let status = store.status();
    assert_eq!((status.refused, status.failed), (1, 0));
    drop(go);
    held.wait().unwrap();
    for ticket in &mut queued {
        ticket.wait().unwrap();
    }
    assert_eq!(count(&store), 2);
}

#[test]
fn a_cancelled_write_that_has_not_run_does_not_run() {
    let store = Store::memory(&[NOTES]).unwrap();
    let (mut held, go) = hold(&store);
    drop(line(&store, 1, Durability::Process));
    line(&store, 2, Durability::Process).detach();
    let mut last = line(&store, 3, Durability::Process);
    drop(go);
    held.wait().unwrap();
    last.wait().unwrap();
    let lines: Vec<i64> = store
        .read(|c| {
            let mut statement = c.prepare("SELECT n FROM notes_line ORDER BY n")?;
            let rows = statement.query_map([], |r| r.get(0))?;
            Ok(rows.collect::<std::result::Result<_, _>>()?)
        })
        .unwrap();
    assert_eq!(lines, [2, 3]);
}

#[test]
fn closing_finishes_what_is_queued() {
    let (_folder, dir) = data();
    let store = Store::open(&dir, &[NOTES]).unwrap();
    let (held, go) = hold(&store);
    let tickets: Vec<_> = (0..300).map(|n| line(&store, n, Durability::Process)).collect();
    drop(go);
    store.close(HANG).unwrap();
    held.detach();
    for mut ticket in tickets {
        ticket.wait().unwrap();
    }
    let again = Store::open(&dir, &[NOTES]).unwrap();
    assert_eq!(count(&again), 300);
}

/// Opens the directory once it is free; the test ends only when it is.
fn owner_of(path: &std::path::Path) -> DataDir {
    loop {
        match DataDir::open(path) {
            Ok(dir) => return dir,
            Err(error) => assert_eq!(error.code(), Code::STORE_LOCKED, "{error:#}"),
        }
        std::thread::yield_now();
    }
}

#[test]
fn closing_does_not_wait_for_a_write_that_hangs() {
    let (folder, dir) = data();
    let path = dir.path().to_owned();
    let store = Store::open(&dir, &[NOTES]).unwrap();
    let (mut held, go) = hold(&store);
    let mut behind = line(&store, 1, Durability::Process);
    let error = store.close(Duration::ZERO).unwrap_err();
    assert_eq!((error.code(), error.class()), (Code::STORE_HANGS, Class::Critical));
    assert_eq!(error.message(), "the closure of a write does not return");
    assert_eq!(error.context().collect::<Vec<_>>(), [("room", "notes")]);
    assert_eq!(line(&store, 2, Durability::Process).wait().unwrap_err().code(), Code::NOT_RUNNING);
    store.close(HANG).unwrap();
    // The writer may still write, so the directory is nobody else's, whatever handles are dropped.
    drop((store, dir));
    assert_eq!(DataDir::open(&path).unwrap_err().code(), Code::STORE_LOCKED);
    drop(go);
    held.wait().unwrap();
    behind.wait().unwrap();
    assert_eq!(count(&Store::open(&owner_of(&path), &[NOTES]).unwrap()), 1);
    drop(folder);
}

#[test]
fn a_writer_that_was_left_behind_frees_the_directory_whoever_holds_it() {
    let (_folder, dir) = data();
    let store = Store::open(&dir, &[NOTES]).unwrap();
    let (go, wait) = mpsc::channel::<()>();
    let (running, started) = mpsc::channel();
    line(&store, 1, Durability::Process).on_done(move |_| {
        let _ = running.send(());
        let _ = wait.recv();
    });
    started.recv().unwrap();
    let error = store.close(Duration::ZERO).unwrap_err();
    assert_eq!(error.message(), "a callback of a write's ticket does not return");
    drop(go);
    let next = owner_of(dir.path());
    // Its own handle is the old owner's, and takes nothing from the new one.
    drop((store, dir));
    assert_eq!(DataDir::open(next.path()).unwrap_err().code(), Code::STORE_LOCKED);
}

#[test]
fn a_callback_may_use_the_store_but_not_wait_for_a_write() {
    let (_folder, dir) = data();
    let store = Store::open(&dir, &[NOTES]).unwrap();
    let (told, hear) = mpsc::channel();
    let (held, go) = hold(&store);
    let inner = store.clone();
    line(&store, 1, Durability::Process).on_done(move |_| {
        let seen = count(&inner);
        let waited = line(&inner, 2, Durability::Process).wait().unwrap_err().code();
        // The last handle may go on this thread; it must not join itself.
        drop(inner);
        let _ = told.send((seen, waited));
    });
    drop(store);
    drop(go);
    held.detach();
    assert_eq!(hear.recv().unwrap(), (1, Code::WOULD_DEADLOCK));
}

#[test]
fn each_durability_is_what_it_says() {
    let (_folder, dir) = data();
    let options = Options { sync_every: Duration::from_millis(1), ..Options::default() };
    let store = Store::open_with(&dir, &[NOTES], options).unwrap();
    let level = |durability| {
        store
            .write("notes", durability, |tx| {
                Ok(tx.query_row("PRAGMA synchronous", [], |r| r.get::<_, i64>(0))?)
            })
            .wait()
            .unwrap()
    };
    const NORMAL: i64 = 1;
    const FULL: i64 = 2;
    assert_eq!(level(Durability::Process), NORMAL);
    assert_eq!(level(Durability::Memory), NORMAL);
    assert_eq!(store.status().syncs, 0);
    assert_eq!(level(Durability::Fsync), FULL);
    assert_eq!(level(Durability::Process), NORMAL);
    line(&store, 1, Durability::Fsync).wait().unwrap();
    assert_eq!(store.status().syncs, 2);
    line(&store, 3, Durability::Interval).wait().unwrap();
    // The sync comes by itself; the test ends only when it did.
    while store.status().syncs < 3 {
        std::thread::yield_now();
    }
}

#[test]
fn reads_see_a_snapshot_and_do_not_nest_in_memory() {
    let (_folder, dir) = data();
    let store = Store::open(&dir, &[NOTES]).unwrap();
    line(&store, 1, Durability::Process).wait().unwrap();
    store
        .read(|conn| {
            let n = |c: &Connection| {
                c.query_row("SELECT count(*) FROM notes_line", [], |r| r.get::<_, i64>(0))
            };
            assert_eq!(n(conn)?, 1);
            line(&store, 2, Durability::Process).wait()?;
            assert_eq!(n(conn)?, 1, "the snapshot moved");
            let error = conn.execute("DELETE FROM notes_line", []).unwrap_err();
            assert_eq!(Error::from(error).code(), Code::STORE_READ_ONLY);
            Ok(())
        })
        .unwrap();
    assert_eq!(count(&store), 2);

    let memory = Store::memory_with(&[NOTES], quick()).unwrap();
    let nested = memory.read(|_| memory.read(|_| Ok(()))).unwrap_err();
    assert_eq!(nested.code(), Code::OVERLOADED);
    let error = memory.read(|c| Ok(c.execute("INSERT INTO notes_line VALUES (1, 'x')", [])?));
    assert_eq!(error.unwrap_err().code(), Code::STORE_READ_ONLY);
    line(&memory, 1, Durability::Process).wait().unwrap();
    // A read that fails or panics gives its connection back.
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        memory.read(|_| -> Result<()> { std::panic::resume_unwind(Box::new("no")) })
    }));
    assert!(panicked.is_err());
    assert_eq!(count(&memory), 1);
    line(&memory, 2, Durability::Process).wait().unwrap();
}

#[test]
fn keys_and_values() {
    let (_folder, dir) = data();
    for store in [Store::open(&dir, &[]).unwrap(), Store::memory(&[]).unwrap()] {
        let at = Timestamp::from_nanos(7);
        for key in ["b", "a/1", "a/2", "a/3", "a0", "ä"] {
            store.put("n", key, &Payload::from(key), at, Durability::Process).wait().unwrap();
        }
        store.put("other", "a/0", &Payload::NULL, at, Durability::Process).wait().unwrap();
        let entry = store.get("n", "a/1").unwrap().unwrap();
        assert_eq!(entry, Entry { key: "a/1".into(), value: Payload::from("a/1"), updated: at });
        assert_eq!(store.get("n", "A/1").unwrap(), None);
        let keys = |prefix, after, limit| -> Vec<String> {
            store.list("n", prefix, after, limit).unwrap().into_iter().map(|e| e.key).collect()
        };
        assert_eq!(keys("a/", None, 10), ["a/1", "a/2", "a/3"]);
        assert_eq!(keys("a/", Some("a/1"), 1), ["a/2"]);
        assert_eq!(keys("a/", Some("z"), 9), [""; 0]);
        assert_eq!(keys("b", Some("a"), 9), ["b"]);
        assert_eq!(keys("", None, 100), ["a/1", "a/2", "a/3", "a0", "b", "ä"]);
        assert!(store.delete("n", "b", Durability::Process).wait().unwrap());
        assert!(!store.delete("n", "b", Durability::Process).wait().unwrap());
        store.put("n", "a0", &Payload::NULL, at, Durability::Process).wait().unwrap();
        assert!(store.get("n", "a0").unwrap().unwrap().value.is_null());
        let long = "x".repeat(crate::store::VALUE_MAX);
        for (ns, key, value) in [("", "k", "v"), ("n", "", "v"), ("n", "k", long.as_str())] {
            let put = store.put(ns, key, &Payload::from(value), at, Durability::Process).wait();
            assert_eq!(put.unwrap_err().code(), Code::INVALID);
        }
    }
}

// Migrations.

fn with_steps(steps: &'static [Step]) -> [Migrations; 1] {
    [Migrations { room: "notes", steps }]
}

#[test]
fn a_newer_database_is_refused_unless_it_permits_older_readers() {
    let (_folder, dir) = data();
    const SQL: &str = "CREATE TABLE notes_a (x) ";
    const MORE: &str = "ALTER TABLE notes_a ADD COLUMN y";
    const ONE: &[Step] = &[Step { version: 1, oldest_reader: 1, sql: SQL }];
    const TWO: &[Step] = &[
        Step { version: 1, oldest_reader: 1, sql: SQL },
        Step { version: 2, oldest_reader: 1, sql: MORE },
    ];
    const THREE: &[Step] = &[
        Step { version: 1, oldest_reader: 1, sql: SQL },
        Step { version: 2, oldest_reader: 1, sql: MORE },
        Step { version: 3, oldest_reader: 2, sql: "ALTER TABLE notes_a DROP COLUMN x" },
    ];
    Store::open(&dir, &with_steps(TWO)).unwrap();
    let older = Store::open(&dir, &with_steps(ONE)).unwrap();
    assert_eq!(older.status().rooms["notes"], 2);
    drop(older);
    Store::open(&dir, &with_steps(THREE)).unwrap();
    Store::open(&dir, &with_steps(TWO)).unwrap();
    let error = Store::open(&dir, &with_steps(ONE)).unwrap_err();
    assert_eq!(error.code(), Code::STORE_NEWER);
    let text = error.to_string();
    for part in ["room=notes", "found=3", "supported=1", "oldest_reader=2", "state.db"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(error.remedy().is_some());
    // A room that is not in this build is left alone.
    Store::open(&dir, &[]).unwrap();
}

#[test]
fn a_failing_migration_is_undone_whole_and_named() {
    let (_folder, dir) = data();
    const BAD: &[Step] = &[
        Step { version: 1, oldest_reader: 1, sql: "CREATE TABLE notes_a (x)" },
        Step {
            version: 2,
            oldest_reader: 1,
            sql: "INSERT INTO notes_a VALUES (1); INSERT INTO notes_b VALUES (1)",
        },
    ];
    let error = Store::open(&dir, &with_steps(BAD)).unwrap_err();
    assert_eq!((error.code(), error.class()), (Code::STORE_FAILED, Class::Persistent));
    assert!(error.to_string().contains("room=notes, version=2"), "{error}");
    let store = Store::open(&dir, &[]).unwrap();
    assert!(!store.status().rooms.contains_key("notes"));
    let tables: i64 = store
        .read(|c| {
            let sql = "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'notes%'";
            Ok(c.query_row(sql, [], |r| r.get(0))?)
        })
        .unwrap();
    assert_eq!(tables, 0);
}

#[test]
fn a_migration_keeps_to_its_rooms_tables() {
    let (_folder, dir) = data();
    const CASES: &[&[Step]] = &[
        &[Step { version: 1, oldest_reader: 1, sql: "CREATE TABLE other_a (x)" }],
        &[Step { version: 1, oldest_reader: 1, sql: "CREATE TABLE notesa (x)" }],
        &[Step { version: 1, oldest_reader: 1, sql: "CREATE VIEW v AS SELECT 1" }],
        &[Step { version: 1, oldest_reader: 1, sql: "CREATE INDEX notes_i ON store_kv (key)" }],
        &[Step { version: 1, oldest_reader: 1, sql: "DROP TABLE store_kv" }],
        &[Step { version: 1, oldest_reader: 1, sql: "DELETE FROM store_kv" }],
        &[Step { version: 1, oldest_reader: 1, sql: "CREATE TABLE notes_a (x); COMMIT" }],
        &[Step {
            version: 1,
            oldest_reader: 1,
            sql: "CREATE TABLE notes_a (x); ALTER TABLE notes_a RENAME TO away",
        }],
        &[Step { version: 1, oldest_reader: 1, sql: "PRAGMA user_version = 5" }],
    ];
    for steps in CASES {
        let error = Store::open(&dir, &with_steps(steps)).unwrap_err();
        assert_eq!(error.code(), Code::INVALID, "{}: {error:#}", steps[0].sql);
        assert!(error.to_string().contains("room=notes, version=1"), "{error}");
    }
    Store::open(&dir, &[NOTES]).unwrap();
}

// Files that are not what they should be.

#[test]
fn what_is_not_a_database_is_told() {
    let (_folder, dir) = data();
    for garbage in [b"hello".to_vec(), vec![0xa5; 100_000]] {
        std::fs::write(dir.database(), &garbage).unwrap();
        let error = Store::open(&dir, &[]).unwrap_err();
        assert_eq!(error.code(), Code::STORE_CORRUPT, "{error:#}");
        assert!(error.to_string().contains("state.db") && error.remedy().is_some(), "{error}");
        assert_eq!(std::fs::read(dir.database()).unwrap(), garbage, "the file was touched");
    }
}

fn filled(dir: &DataDir) -> Vec<u8> {
    let store = Store::open(dir, &[NOTES]).unwrap();
    for n in 0..2000 {
        line(&store, n, Durability::Process).detach();
    }
    store.close(HANG).unwrap();
    std::fs::read(dir.database()).unwrap()
}

#[test]
fn a_truncated_database_is_told() {
    let (_folder, dir) = data();
    let whole = filled(&dir);
    for length in [whole.len() - 4096, whole.len() / 2, 4096, 1000, 50] {
        std::fs::write(dir.database(), &whole[..length]).unwrap();
        let error = Store::open(&dir, &[NOTES]).unwrap_err();
        assert_eq!(error.code(), Code::STORE_CORRUPT, "{length}: {error:#}");
    }
    std::fs::write(dir.database(), &whole).unwrap();
    assert_eq!(count(&Store::open(&dir, &[NOTES]).unwrap()), 2000);
}

#[test]
fn swapped_and_overwritten_pages_are_told() {
    let (_folder, dir) = data();
    let whole = filled(&dir);
    let pages = whole.len() / 4096;
    assert!(pages > 10, "{pages} pages");
    let mut swapped = whole.clone();
    let (front, back) = swapped.split_at_mut((pages - 1) * 4096);
    front[5 * 4096..6 * 4096].swap_with_slice(&mut back[..4096]);
    let mut overwritten = whole.clone();
    overwritten[6 * 4096..7 * 4096].fill(0xff);
    for (name, damaged) in [("swapped", swapped), ("overwritten", overwritten)] {
        std::fs::write(dir.database(), damaged).unwrap();
        let error = Store::open(&dir, &[NOTES]).unwrap_err();
        assert_eq!((error.code(), error.class()), (Code::STORE_CORRUPT, Class::Critical), "{name}");
    }
}

#[test]
fn another_programs_database_is_left_alone() {
    let (_folder, dir) = data();
    let other = Connection::open(dir.database()).unwrap();
    other.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(other);
    let error = Store::open(&dir, &[]).unwrap_err();
    assert_eq!(error.code(), Code::STORE_CORRUPT);
    assert!(error.message().contains("another program"), "{error}");
}

#[test]
fn a_lock_held_by_another_user_of_the_file_is_an_error_not_a_hang() {
    let (_folder, dir) = data();
    Store::open(&dir, &[NOTES]).unwrap().close(HANG).unwrap();
    let other = Connection::open(dir.database()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let store = Store::open_with(&dir, &[NOTES], quick()).unwrap();
    let error = line(&store, 1, Durability::Process).wait().unwrap_err();
    assert_eq!((error.code(), error.class()), (Code::STORE_LOCKED, Class::Transient), "{error:#}");
    other.execute_batch("COMMIT").unwrap();
    line(&store, 1, Durability::Process).wait().unwrap();
    drop((store, other));
    // And when it cannot even be opened.
    let other = Connection::open(dir.database()).unwrap();
    other
        .execute_batch("PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE x (y); COMMIT")
        .unwrap();
    let error = Store::open_with(&dir, &[NOTES], quick()).unwrap_err();
    assert_eq!(error.code(), Code::STORE_LOCKED, "{error:#}");
    assert!(error.to_string().contains("state.db") && error.remedy().is_some(), "{error}");
}

/// Runs `f` on a thread that file permissions apply to: root's do not.
#[cfg(target_os = "linux")]
fn as_an_ordinary_user<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                if rustix::process::geteuid().is_root() {
                    // The plain system call changes this thread only.
                    let nobody = rustix::process::Uid::from_raw(65534);
                    rustix::thread::set_thread_res_uid(None, Some(nobody), None).unwrap();
                }
                f()
            })
            .join()
            .unwrap()
    })
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_is_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let (folder, dir) = data();
    Store::open(&dir, &[NOTES]).unwrap().close(HANG).unwrap();
    mode(folder.path(), 0o555);
    mode(dir.path(), 0o555);
    mode(&dir.database(), 0o444);
    let below = folder.path().join("new");
    let (open, create) = as_an_ordinary_user(|| {
        (Store::open(&dir, &[NOTES]).unwrap_err(), DataDir::open(&below).unwrap_err())
    });
    mode(folder.path(), 0o755);
    mode(dir.path(), 0o755);
    for (error, name) in [(open, "state.db"), (create, "new")] {
        assert_eq!(error.code(), Code::STORE_READ_ONLY, "{error:#}");
        assert!(error.to_string().contains(name) && error.remedy().is_some(), "{error}");
    }
}

// Other processes. The child is this test binary again, asked for one test by name.

const ROLE: &str = "SUTAZAI_STORE_TEST_DIR";

fn child(test: &str, dir: &std::path::Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("store::sqlite::tests::{test}"), "--ignored", "--nocapture"])
        .env(ROLE, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The child's part: writes lines for ever, saying after each that it was acknowledged.
#[test]
#[ignore = "the other process of the next test"]
fn child_writes_until_killed() {
    let Some(path) = std::env::var_os(ROLE) else { return };
    let dir = DataDir::open(path).unwrap();
    let store = Store::open(&dir, &[NOTES]).unwrap();
    let mut out = std::io::stdout();
    for n in 0.. {
        line(&store, n, Durability::Process).wait().unwrap();
        writeln!(out, "\nacknowledged {n}").unwrap();
    }
}

#[test]
fn kill_nine_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = child("child_writes_until_killed", folder.path());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = -1;
    while last < 500 {
        let line = lines.next().unwrap().unwrap();
        if let Some(n) = line.strip_prefix("acknowledged ") {
            last = n.parse().unwrap();
        }
    }
    // It is alive, so it holds the directory.
    let error = DataDir::open(folder.path()).unwrap_err();
    assert_eq!(error.code(), Code::STORE_LOCKED);
    assert!(error.message().contains(&format!("process {}", child.id())), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had acknowledged before it died is in the pipe.
    for line in lines.map_while(std::io::Result::ok) {
        if let Some(n) = line.strip_prefix("acknowledged ") {
            last = n.parse().unwrap_or(last);
        }
    }
    let dir = DataDir::open(folder.path()).expect("the lock ended with its owner");
    let store = Store::open(&dir, &[NOTES]).unwrap();
    let (lines, highest): (i64, i64) = store
        .read(|c| {
            let sql = "SELECT count(*), max(n) FROM notes_line";
            Ok(c.query_row(sql, [], |r| Ok((r.get(0)?, r.get(1)?)))?)
        })
        .unwrap();
    assert!(highest >= last, "acknowledged up to {last}, found up to {highest}");
    assert_eq!(lines, highest + 1, "there are holes");
}
