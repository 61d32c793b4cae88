//! Revocation, rotation and the clock in processes that are killed with `kill -9`.
//!
//! The child is this test binary again: it does one thing, says that it was acknowledged, and dies. The parent
//! opens the same data directory and looks whether it holds.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(all(unix, feature = "security", feature = "store"))]

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use sutazai_core::Code;
use sutazai_core::base::time::Timestamp;
use sutazai_core::security::token::{Grant, Revocation, SeedKeys, TokenConfig, Tokens};
use sutazai_core::security::{Clock, ClockPolicy};
use sutazai_core::store::{DataDir, Store};

const T: i64 = 1_700_000_000;
const CHILD: &str = "SUTAZAI_TOKEN_KILL_CHILD";

fn at(secs: i64) -> Timestamp {
    Timestamp::from_nanos(secs * 1_000_000_000)
}

fn open(dir: &Path) -> Tokens {
    let dir = DataDir::open(dir).unwrap();
    let store = Store::open(&dir, &[]).unwrap();
    store.start().unwrap();
    let clock = Arc::new(Clock::open(store.clone(), ClockPolicy::default()).unwrap());
    let keys = Arc::new(SeedKeys::new(&[7; 32]).unwrap());
    Tokens::open(TokenConfig::new("us", "here"), keys, store, clock).unwrap()
}

/// What a child is told: what to do, where, and with which tokens.
fn child(what: &str, dir: &Path, access: &str, refresh: &str) {
    let me = std::env::current_exe().unwrap();
    let output = Command::new(me)
        .args(["--exact", "the_child", "--nocapture"])
        .env(CHILD, what)
        .env("SUTAZAI_TOKEN_KILL_DIR", dir)
        .env("SUTAZAI_TOKEN_KILL_ACCESS", access)
        .env("SUTAZAI_TOKEN_KILL_REFRESH", refresh)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("acknowledged"), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.signal(), Some(9), "it was killed");
}

#[test]
fn the_child() {
    let Ok(what) = std::env::var(CHILD) else { return };
    let var = |name: &str| std::env::var(name).unwrap();
    let tokens = open(Path::new(&var("SUTAZAI_TOKEN_KILL_DIR")));
    let (access, refresh) = (var("SUTAZAI_TOKEN_KILL_ACCESS"), var("SUTAZAI_TOKEN_KILL_REFRESH"));
    let claims = || tokens.verify(&access, at(T + 1)).unwrap().claims.clone();
    let revoke = |what| tokens.revoke(&what, "root", at(T + 1)).unwrap();
    match what.as_str() {
        "token" => {
            let claims = claims();
            revoke(Revocation::Token { id: claims.jti, subject: None, expires: claims.exp });
        }
        "family" => revoke(Revocation::Family { id: claims().fam.unwrap(), subject: None }),
        "subject" => revoke(Revocation::Subject { subject: "alice".into(), before: at(T + 1) }),
        "everything" => revoke(Revocation::Everything { before: at(T + 1) }),
        "rotate" => drop(tokens.refresh(&refresh, at(T + 1)).unwrap()),
        "reuse" => {
            tokens.refresh(&refresh, at(T + 1)).unwrap();
            assert_eq!(
                tokens.refresh(&refresh, at(T + 1)).unwrap_err().code(),
                Code::REFRESH_REUSED
            );
        }
        "time" => {
            assert_eq!(
                tokens.verify(&access, at(T + 1000)).unwrap_err().code(),
                Code::TOKEN_EXPIRED
            );
            tokens.clock().persist().unwrap();
        }
        other => panic!("{other}"),
    }
    println!("acknowledged");
    let me = std::process::id().to_string();
    Command::new("kill").args(["-9", &me]).status().unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn what_was_acknowledged_holds_after_kill_9() {
    for what in ["token", "family", "subject", "everything", "rotate", "reuse", "time"] {
        let dir = tempfile::tempdir().unwrap();
        let (first, other) = {
            let tokens = open(dir.path());
            let login = |who: &str| tokens.login(&Grant::new(who), at(T)).unwrap();
            (login("alice"), login("bob"))
        };
        let refresh = first.refresh.as_deref().unwrap();
        child(what, dir.path(), &first.access, refresh);
        let tokens = open(dir.path());
        let access = tokens.verify(&first.access, at(T + 2)).map(drop).map_err(|e| e.code());
        let wanted = match what {
            "rotate" => Ok(()),
            "time" => Err(Code::TOKEN_EXPIRED),
            _ => Err(Code::TOKEN_REVOKED),
        };
        assert_eq!(access, wanted, "{what}");
        let spared = tokens.verify(&other.access, at(T + 2)).is_ok();
        assert_eq!(spared, !matches!(what, "everything" | "time"), "{what}");
        // One token was revoked, and not its family; a used one is found out after the kill, too.
        let again = tokens.refresh(refresh, at(T + 2)).map(drop).map_err(|e| e.code());
        let wanted = match what {
            "token" | "time" => Ok(()),
            "rotate" => Err(Code::REFRESH_REUSED),
            _ => Err(Code::REFRESH_INVALID),
        };
        assert_eq!(again, wanted, "{what}");
    }
}
