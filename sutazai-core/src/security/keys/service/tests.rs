use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::port::audit::{AuditClass, AuditEvent, AuditOutcome};
use crate::security::keys::{Purpose, Schedule};

const NOW: Timestamp = Timestamp::EPOCH;

fn store() -> Store {
    Store::memory(&[]).unwrap()
}

fn master(byte: u8) -> Master {
    Master::key(Secret::new(vec![byte; 32])).unwrap()
}

fn open(store: &Store, byte: u8) -> Result<Keys> {
    Keys::open(store.clone(), &master(byte), None, NOW)
}

fn manual(purpose: Purpose) -> Spec {
    Spec::new(purpose).schedule(Schedule::MANUAL)
}

#[derive(Default)]
struct Trail {
    told: Mutex<Vec<(String, String, AuditOutcome)>>,
    refuses: AtomicBool,
    keys: Mutex<Option<Keys>>,
}

impl AuditTrail for Trail {
    fn record(&self, event: &AuditEvent<'_>) -> Result<()> {
        assert_eq!(event.class, AuditClass::Key);
        if self.refuses.load(Ordering::SeqCst) {
            return Err(Error::new(Code::STORE_FAILED, "no room on the record"));
        }
        // Whoever keeps the record may use keys, and look at them.
        if let Some(keys) = &*self.keys.lock() {
            keys.list();
            keys.due();
        }
        self.told.lock().push((event.action.to_owned(), event.object.to_owned(), event.outcome));
        Ok(())
    }
}

#[test]
fn a_change_of_the_master_key_that_is_cut_off_anywhere_leaves_one_of_the_two() {
    let (mut old, mut new) = (0, 0);
    for writes in 0.. {
        let store = store();
        let keys = open(&store, 1).unwrap();
        let mut sealed = Vec::new();
        for name in ["a", "b", "c"] {
            keys.create(name, manual(Purpose::Encrypt), "t", NOW).unwrap();
            let encryptor = keys.encryptor(name).unwrap();
            sealed.push((name, encryptor.encrypt(b"", name.as_bytes()).unwrap()));
            keys.rotate(name, "t", NOW).unwrap();
            sealed.push((name, encryptor.encrypt(b"", name.as_bytes()).unwrap()));
        }
        keys.0.shelf.writes_left.store(writes, Ordering::SeqCst);
        let changed = keys.change_master(&master(2), "t", NOW);
        let all = keys.0.shelf.writes_left.load(Ordering::SeqCst) > 0;
        drop(keys);
        let (by_old, by_new) = (open(&store, 1), open(&store, 2));
        assert_eq!(by_old.is_ok(), by_new.is_err(), "after {writes} writes");
        assert_eq!(by_new.is_ok(), changed.is_ok());
        let wrong = by_old.as_ref().err().or(by_new.as_ref().err()).unwrap();
        assert_eq!(wrong.code(), Code::MASTER_KEY);
        *if by_old.is_ok() { &mut old } else { &mut new } += 1;
        let keys = by_old.or(by_new).unwrap();
        for (name, sealed) in &sealed {
            let plain = keys.encryptor(name).unwrap().decrypt(b"", sealed).unwrap();
            assert_eq!(plain, name.as_bytes());
        }
        // Nothing of what was begun is left, and it can be done again.
        let rows = store.list("security.keys", "g", None, 100).unwrap();
        assert_eq!(rows.len(), 3);
        keys.change_master(&master(3), "t", NOW).unwrap();
        assert_eq!(open(&store, 3).unwrap().list().len(), 3);
        if all {
            break;
        }
    }
    // Three rows and the head; then the rows that nobody needs any more.
    assert!(old == 4 && new >= 3, "{old} {new}");
}

#[test]
fn what_a_change_that_was_broken_off_left_is_in_nobodys_way() {
    let store = store();
    let keys = open(&store, 1).unwrap();
    for name in ["a", "b", "c"] {
        keys.create(name, manual(Purpose::Encrypt), "t", NOW).unwrap();
    }
    keys.0.shelf.writes_left.store(2, Ordering::SeqCst);
    keys.change_master(&master(2), "t", NOW).unwrap_err();
    keys.0.shelf.writes_left.store(usize::MAX, Ordering::SeqCst);
    let rows = || store.list("security.keys", "g", None, 100).unwrap().len();
    assert_eq!(rows(), 5);
    // Without the one that was wrapped anew already.
    keys.remove("a", "t", NOW).unwrap();
    keys.change_master(&master(2), "t", NOW).unwrap();
    assert_eq!(rows(), 2);
    drop(keys);
    assert_eq!(open(&store, 2).unwrap().list().len(), 2);
}

#[test]
fn a_change_of_a_keyset_that_is_not_written_has_not_happened() {
    let store = store();
    let keys = open(&store, 1).unwrap();
    keys.create("a", manual(Purpose::Encrypt), "t", NOW).unwrap();
    let before = keys.info("a").unwrap();
    keys.0.shelf.writes_left.store(0, Ordering::SeqCst);
    keys.rotate("a", "t", NOW).unwrap_err();
    keys.create("b", manual(Purpose::Encrypt), "t", NOW).unwrap_err();
    keys.remove("a", "t", NOW).unwrap_err();
    assert_eq!(keys.info("a").unwrap(), before);
    assert!(keys.encryptor("b").is_err());
    keys.encryptor("a").unwrap().encrypt(b"", b"").unwrap();
    drop(keys);
    assert_eq!(open(&store, 1).unwrap().info("a").unwrap(), before);
}

#[test]
fn what_is_not_on_the_record_is_not_done() {
    let trail = Arc::new(Trail::default());
    let audit: Arc<dyn AuditTrail> = trail.clone();
    let keys = open(&store(), 1).unwrap();
    keys.audit_to(audit.clone()).unwrap();
    assert_eq!(keys.audit_to(audit).unwrap_err().code(), Code::ALREADY_EXISTS);
    *trail.keys.lock() = Some(keys.clone());
    let event = keys.create("a", manual(Purpose::Wrap), "t", NOW).unwrap();
    let first = event.key.unwrap();
    keys.rotate("a", "t", NOW).unwrap();
    let before = keys.info("a").unwrap();

    trail.refuses.store(true, Ordering::SeqCst);
    let phrase = Secret::from("p");
    let cost = crate::security::keys::Cost { memory_kib: 8, passes: 1, lanes: 1 };
    let to = crate::security::keys::ExportTo::Passphrase(&phrase, cost);
    let refused = [
        keys.create("b", manual(Purpose::Wrap), "t", NOW).unwrap_err(),
        keys.rotate("a", "t", NOW).unwrap_err(),
        keys.destroy("a", first, "t", NOW).unwrap_err(),
        keys.remove("a", "t", NOW).unwrap_err(),
        keys.change_master(&master(2), "t", NOW).unwrap_err(),
        keys.export("a", &to, "t", NOW).unwrap_err(),
    ];
    assert!(refused.iter().all(|e| e.code() == Code::STORE_FAILED), "{refused:?}");
    assert_eq!(keys.list(), [before]);

    trail.refuses.store(false, Ordering::SeqCst);
    keys.0.shelf.writes_left.store(0, Ordering::SeqCst);
    keys.rotate("a", "t", NOW).unwrap_err();
    keys.0.shelf.writes_left.store(usize::MAX, Ordering::SeqCst);
    keys.export("a", &to, "t", NOW).unwrap();
    keys.destroy("a", first, "t", NOW).unwrap();
    keys.remove("a", "t", NOW).unwrap();
    let (mut forged, _) = {
        keys.create("a", manual(Purpose::Wrap), "t", NOW).unwrap();
        keys.export("a", &to, "t", NOW).unwrap()
    };
    forged.sealed = Secret::new(forged.sealed.expose().iter().map(|byte| byte ^ 1).collect());
    let with = crate::security::keys::ImportWith::Passphrase(&phrase);
    keys.import(&forged, &with, "t", NOW).unwrap_err();
    let told = trail.told.lock();
    let told: Vec<_> = told.iter().map(|(a, _, o)| (a.as_str(), o.name())).collect();
    let good = "success";
    assert_eq!(
        told,
        [
            ("keys.create", good),
            ("keys.rotate", good),
            ("keys.rotate", good),
            ("keys.rotate", "failure"),
            ("keys.export", good),
            ("keys.destroy", good),
            ("keys.remove", good),
            ("keys.create", good),
            ("keys.export", good),
            ("keys.import", "denied"),
        ]
    );
    drop(trail.keys.lock().take());
}

#[test]
fn a_stored_row_with_any_byte_altered_is_refused() {
    let store = store();
    let keys = open(&store, 1).unwrap();
    keys.create("a", manual(Purpose::Encrypt), "t", NOW).unwrap();
    drop(keys);
    let rows = store.list("security.keys", "", None, 10).unwrap();
    let row = rows.iter().find(|row| row.key.ends_with("/a")).unwrap();
    let head = rows.iter().find(|row| row.key == "head").unwrap();
    let mut tried = 0;
    for (entry, code) in [(row, Code::KEYS_CORRUPT), (head, Code::MASTER_KEY)] {
        let put = |payload: &crate::base::payload::Payload| {
            store
                .put("security.keys", &entry.key, payload, NOW, crate::store::Durability::Memory)
                .wait()
                .unwrap();
        };
        let value = entry.value.value().unwrap();
        let sealed = Secret::from_base64(value["sealed"].as_str().unwrap()).unwrap();
        for at in 0..=sealed.len() {
            let mut bytes = sealed.expose().to_vec();
            match bytes.get_mut(at) {
                Some(byte) => *byte ^= 1 << (at % 8),
                None => bytes.truncate(at - 1),
            }
            let mut altered = (*value).clone();
            altered["sealed"] = serde_json::to_value(Secret::new(bytes)).unwrap();
            put(&altered.into());
            assert_eq!(open(&store, 1).unwrap_err().code(), code, "{} at {at}", entry.key);
            tried += 1;
        }
        // The text itself, byte by byte: refused in one way or another.
        let text = entry.value.to_text();
        for at in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] ^= 1;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            let Ok(payload) = crate::base::payload::Payload::json_text(text) else { continue };
            put(&payload);
            open(&store, 1).unwrap_err();
            tried += 1;
        }
        put(&entry.value);
    }
    assert!(tried > 400, "{tried}");
    open(&store, 1).unwrap();
    // Under another name it is not what it was.
    let elsewhere = row.key.replace("/a", "/b");
    store
        .put("security.keys", &elsewhere, &row.value, NOW, crate::store::Durability::Memory)
        .wait()
        .unwrap();
    assert_eq!(open(&store, 1).unwrap_err().code(), Code::KEYS_CORRUPT);
}

#[test]
fn what_is_in_the_store_shows_no_key_and_what_was_destroyed_is_gone() {
    let store = store();
    let keys = open(&store, 1).unwrap();
    let first = keys.create("a", manual(Purpose::Encrypt), "t", NOW).unwrap().key.unwrap();
    let material =
        |id: KeyId| keys.0.peek("a", |set| Ok(set.key(id).unwrap().material.clone())).unwrap();
    let secret = material(first).unwrap();
    let shows = |needle: &Secret| {
        let root = keys.0.state.lock();
        let sets = keys.0.shelf.load(&root.root).unwrap();
        let plain = crate::security::keys::shelf::to_json(&sets[0]).unwrap();
        String::from_utf8_lossy(&plain).contains(&**needle.to_base64())
    };
    let all = store.list("security.keys", "", None, 10).unwrap();
    let text: String = all.iter().map(|row| row.value.to_string()).collect();
    assert!(!text.contains(&**secret.to_base64()));
    keys.rotate("a", "t", NOW).unwrap();
    assert!(shows(&secret));
    keys.destroy("a", first, "t", NOW).unwrap();
    assert!(!shows(&secret));
    assert_eq!(material(first), None);
    let debug = format!("{keys:?} {:?} {:?}", keys.list(), keys.encryptor("a").unwrap());
    assert!(!debug.contains(&**material(keys.info("a").unwrap().keys[1].id).unwrap().to_base64()));
}

#[test]
fn two_who_create_one_name_get_one_keyset() {
    let keys = open(&store(), 1).unwrap();
    let made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| match keys.create("a", manual(Purpose::Mac), "t", NOW) {
                Ok(_) => {
                    made.fetch_add(1, Ordering::SeqCst);
                }
                Err(e) => assert_eq!(e.code(), Code::ALREADY_EXISTS),
            });
        }
    });
    assert_eq!(made.into_inner(), 1);
    assert!(keys.ensure("a", manual(Purpose::Mac), "t", NOW).unwrap().is_none());
    let other = keys.ensure("a", manual(Purpose::Sign), "t", NOW).unwrap_err();
    assert_eq!(other.code(), Code::KEY_PURPOSE);
}
