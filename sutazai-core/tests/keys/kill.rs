//! `kill -9` while keys rotate and the master key changes: whatever was acknowledged still opens, under
//! exactly one of the two master keys.
//!
//! The child is this test binary again. It says what it has done in a file, a line at a time; the parent
//! kills it after some line, at whatever it is doing by then.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use sutazai_core::Code;
use sutazai_core::base::time::Timestamp;
use sutazai_core::security::keys::{KeyState, Keys, Master, Purpose, Secret};
use sutazai_core::store::{DataDir, Store};

use crate::manual;

const NAMES: [&str; 3] = ["a", "b", "c"];

fn master(number: u64) -> Master {
    Master::key(Secret::new(number.to_be_bytes().repeat(4))).unwrap()
}

fn open(folder: &Path, number: u64) -> sutazai_core::Result<Keys> {
    let dir = DataDir::open(folder.join("data")).unwrap();
    let store = Store::open(&dir, &[]).unwrap();
    store.start().unwrap();
    Keys::open(store, &master(number), None, Timestamp::now())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Runs in the child only: without the variable that names its directory it is no test.
#[test]
fn child_rotates_until_it_is_killed() {
    let Some(folder) = std::env::var_os("KEYS_KILL_DIR") else { return };
    let folder = Path::new(&folder);
    let mut number: u64 = std::env::var("KEYS_KILL_MASTER").unwrap().parse().unwrap();
    let keys = open(folder, number).unwrap();
    let now = Timestamp::now();
    let mut out = std::io::stdout();
    let mut say = |line: String| {
        out.write_all(format!("#{line}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    };
    for name in NAMES {
        keys.ensure(name, manual(Purpose::Encrypt), "t", now).unwrap();
    }
    for round in 0u64.. {
        let name = NAMES[round as usize % 3];
        keys.rotate(name, "t", now).unwrap();
        let sealed = keys.encryptor(name).unwrap().encrypt(b"", name.as_bytes()).unwrap();
        say(format!("sealed {name} {}", hex(&sealed)));
        // As many keys as there may be: the oldest goes, and what it has encrypted.
        let info = keys.info(name).unwrap();
        let old: Vec<_> =
            info.keys.iter().filter(|key| key.state == KeyState::DecryptOnly).collect();
        // All that are too many: those too whose turn a kill has taken.
        for key in old.iter().take(old.len().saturating_sub(40)) {
            say(format!("destroys {name} {}", key.id));
            keys.destroy(name, key.id, "t", now).unwrap();
        }
        if round % 2 == 0 {
            say(format!("tries {}", number + 1));
            keys.change_master(&master(number + 1), "t", now).unwrap();
            number += 1;
            say(format!("master {number}"));
        }
    }
}

#[test]
fn what_was_acknowledged_still_opens_after_kills() {
    let rounds = if std::env::var_os("SUTAZAI_LONG").is_some() { 200 } else { 20 };
    let folder = tempfile::tempdir().unwrap();
    let (mut number, mut sealed, mut destroyed) = (1u64, Vec::new(), Vec::new());
    let (mut old, mut new) = (0, 0);
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "kill::child_rotates_until_it_is_killed",
                "--nocapture",
                "--test-threads=1",
            ])
            .env("KEYS_KILL_DIR", folder.path())
            .env("KEYS_KILL_MASTER", number.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut tried = None;
        let mut left = 3 + round * 7 % 40;
        let mut killed = false;
        // What it said before it died counts, also what it said after the kill was sent.
        while let Some(Ok(line)) = lines.next() {
            // The harness writes beside it.
            let Some((_, line)) = line.split_once('#') else { continue };
            let parts: Vec<_> = line.split(' ').collect();
            match parts[..] {
                ["sealed", name, text] => sealed.push((name.to_owned(), unhex(text))),
                ["destroys", name, id] => destroyed.push((name.to_owned(), id.to_owned())),
                ["tries", to] => tried = Some(to.parse::<u64>().unwrap()),
                ["master", to] => {
                    number = to.parse().unwrap();
                    tried = None;
                }
                _ => panic!("{line}"),
            }
            left -= 1;
            if left == 0 {
                for _ in 0..round * 200_003 % 3_000_017 {
                    std::hint::spin_loop();
                }
                child.kill().unwrap();
                killed = true;
            }
        }
        child.wait().unwrap();
        assert!(killed, "the child ended by itself");

        let keys = match (open(folder.path(), number), tried) {
            (Ok(keys), _) => {
                if let Some(to) = tried {
                    drop(keys);
                    old += 1;
                    assert_eq!(open(folder.path(), to).unwrap_err().code(), Code::MASTER_KEY);
                    open(folder.path(), number).unwrap()
                } else {
                    keys
                }
            }
            (Err(e), Some(to)) => {
                assert_eq!(e.code(), Code::MASTER_KEY);
                new += 1;
                number = to;
                open(folder.path(), number).unwrap()
            }
            (Err(e), None) => panic!("{e:#}"),
        };
        sealed.retain(|(name, text)| {
            let encryptor = keys.encryptor(name).unwrap();
            let id = encryptor.key_of(text).unwrap().to_string();
            let gone = destroyed.iter().any(|(n, i)| n == name && *i == id);
            match encryptor.decrypt(b"", text) {
                Ok(plain) => assert_eq!(plain, name.as_bytes()),
                Err(e) => assert!(gone, "{name}: {e:#}"),
            }
            !gone
        });
    }
    println!(
        "{rounds} kills, {} ciphertexts open; in a change of the master key {old} stayed, {new} went",
        sealed.len()
    );
    assert!(sealed.len() > 20);
}
