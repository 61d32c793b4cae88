//! Personal details: sealed, opened, erased.

use std::sync::Arc;

use sutazai_core::Code;
use sutazai_core::port::{AuditClass, AuditEvent, AuditValue};
use sutazai_core::security::audit::{AuditLog, Disk, StoredSubjectKeys, verify};
use sutazai_core::store::Store;

use super::{at, key, signer, small};

#[test]
fn erased_details_are_gone_everywhere_and_the_tree_still_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::memory(&[]).unwrap();
    let open = || {
        let mut options = small();
        options.subjects = Some(Arc::new(StoredSubjectKeys::new(store.clone(), &[3; 32]).unwrap()));
        AuditLog::open_with(Arc::new(Disk::open(dir.path()).unwrap()), signer(), options).unwrap()
    };
    let log = open();
    let mut indices = Vec::new();
    for n in 0..300 {
        let subject = if n % 2 == 0 { "ann" } else { "bob" };
        let personal =
            [("mail", AuditValue::Text("secret@example.org")), ("n", AuditValue::Int(n))];
        let event = AuditEvent::new(AuditClass::Action, "user.seen", "login", at(n as u64))
            .personal(subject, &personal);
        indices.push(log.record(&event).unwrap());
    }
    let kept = log.integrate(at(0)).unwrap();
    let personal =
        |log: &AuditLog, index: u64| log.personal(&log.get(index).unwrap().unwrap()).unwrap();
    assert_eq!(personal(&log, 4).unwrap()["n"], 4);
    drop(log);
    let log = open();
    assert_eq!(personal(&log, 4).unwrap()["mail"], "secret@example.org");
    // Sealed for one record, they do not open in another.
    let mut moved = log.get(4).unwrap().unwrap();
    moved.at = at(99);
    assert_eq!(log.personal(&moved).unwrap_err().code(), Code::AUDIT_PROOF);
    let evidence = log.prove(4, at(0)).unwrap();

    assert!(log.erase("ann", "officer", at(400)).unwrap());
    assert!(!log.erase("ann", "officer", at(400)).unwrap());
    for &index in &indices {
        assert_eq!(personal(&log, index).is_none(), index % 2 == 0, "{index}");
    }
    // Somebody of that name who comes later has a key of their own.
    let again = [("mail", AuditValue::Text("new@example.org"))];
    let event =
        AuditEvent::new(AuditClass::Action, "user.seen", "login", at(500)).personal("ann", &again);
    let index = log.record(&event).unwrap();
    assert_eq!(personal(&log, index).unwrap()["mail"], "new@example.org");
    assert!(personal(&log, 4).is_none());
    log.integrate(at(0)).unwrap();
    evidence.verify(&key()).unwrap();
    drop(log);
    assert!(verify(dir.path(), &key(), Some(&kept)).unwrap().is_intact());
    assert!(personal(&open(), 4).is_none());
    let mut folders = vec![dir.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                assert!(!text.contains("example.org\""), "{}", path.display());
            }
        }
    }
}

#[test]
fn without_a_place_for_keys_they_are_withheld_and_that_is_said() {
    let log = AuditLog::memory(signer(), small()).unwrap();
    let personal = [("mail", AuditValue::Text("secret@example.org"))];
    let event =
        AuditEvent::new(AuditClass::Action, "user.seen", "login", at(0)).personal("ann", &personal);
    log.record(&event).unwrap();
    let record = log.get(0).unwrap().unwrap();
    assert_eq!(record.personal.as_ref().unwrap().withheld, Some(1));
    assert_eq!(log.status().withheld, 1);
    assert_eq!(log.personal(&record).unwrap(), None);
    assert_eq!(log.erase("ann", "officer", at(1)).unwrap_err().code(), Code::UNSUPPORTED);
}

#[test]
fn another_master_key_opens_nothing() {
    let store = Store::memory(&[]).unwrap();
    let keys = |master| StoredSubjectKeys::new(store.clone(), &[master; 32]).unwrap();
    use sutazai_core::security::audit::SubjectKeys as _;
    let sealed = keys(1).seal("ann", b"a", b"text").unwrap();
    assert_eq!(keys(1).open("ann", b"a", &sealed).unwrap().unwrap(), b"text");
    assert_eq!(keys(2).open("ann", b"a", &sealed).unwrap_err().code(), Code::AUDIT_PROOF);
    assert_eq!(keys(1).open("ann", b"b", &sealed).unwrap_err().code(), Code::AUDIT_PROOF);
    for at in 8..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(keys(1).open("ann", b"a", &changed).is_err());
    }
    assert_eq!(keys(1).open("bob", b"a", &sealed).unwrap(), None);
}
