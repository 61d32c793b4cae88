use super::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_nanos(secs * 1_000_000_000)
}

fn token<'a>(id: &'a str, family: Option<&'a str>, subject: &'a str, issued: i64) -> Bearer<'a> {
    Bearer { id, family, subject, issued: at(issued) }
}

fn open(store: &Store, entries: usize) -> Revocations {
    let policy = RevocationPolicy { entries, longest: Duration::from_secs(100) };
    Revocations::open(store.clone(), policy).unwrap()
}

fn one(id: &str, subject: &str, expires: i64) -> Revocation {
    Revocation::Token { id: id.into(), subject: Some(subject.into()), expires: at(expires) }
}

#[test]
fn each_kind_covers_what_it_says_and_is_read_again() {
    let store = Store::memory(&[]).unwrap();
    let first = open(&store, 10);
    let generation = first.generation();
    first.revoke(&one("t1", "alice", 50), at(10)).unwrap();
    first.revoke(&Revocation::Family { id: "f1".into(), subject: None }, at(10)).unwrap();
    first.revoke(&Revocation::Subject { subject: "bob".into(), before: at(9) }, at(10)).unwrap();
    assert_eq!(first.generation(), generation + 3);
    for all in [&first, &open(&store, 10)] {
        assert!(all.is_revoked(&token("t1", None, "alice", 5)));
        assert!(!all.is_revoked(&token("t2", None, "alice", 5)));
        assert!(all.is_revoked(&token("t2", Some("f1"), "alice", 5)));
        assert!(!all.is_revoked(&token("t2", Some("f2"), "alice", 5)));
        assert!(all.is_revoked(&token("t3", None, "bob", 9)));
        assert!(!all.is_revoked(&token("t3", None, "bob", 10)));
    }
    first.revoke(&Revocation::Everything { before: at(10) }, at(11)).unwrap();
    for all in [&first, &open(&store, 10)] {
        assert!(all.is_revoked(&token("t9", None, "carol", 10)));
        assert!(!all.is_revoked(&token("t9", None, "carol", 11)));
    }
}

#[test]
fn an_earlier_time_takes_nothing_back() {
    let store = Store::memory(&[]).unwrap();
    let all = open(&store, 10);
    for before in [9, 5] {
        all.revoke(&Revocation::Subject { subject: "bob".into(), before: at(before) }, at(10))
            .unwrap();
        all.revoke(&Revocation::Everything { before: at(before - 5) }, at(10)).unwrap();
    }
    for all in [&all, &open(&store, 10)] {
        assert!(all.is_revoked(&token("t", None, "bob", 9)));
        assert!(all.is_revoked(&token("t", None, "carol", 4)));
    }
}

#[test]
fn the_future_and_the_nameless_are_refused() {
    let all = open(&Store::memory(&[]).unwrap(), 10);
    let future = Revocation::Everything { before: at(11) };
    assert_eq!(all.revoke(&future, at(10)).unwrap_err().code(), Code::INVALID);
    assert_eq!(all.revoke(&one("", "a", 50), at(10)).unwrap_err().code(), Code::INVALID);
    let long = "x".repeat(ID_MAX + 1);
    assert_eq!(all.revoke(&one(&long, "a", 50), at(10)).unwrap_err().code(), Code::INVALID);
}

#[test]
fn what_is_over_is_dropped_from_memory_and_store() {
    let store = Store::memory(&[]).unwrap();
    let all = open(&store, 10);
    all.revoke(&one("t1", "alice", 50), at(10)).unwrap();
    all.revoke(&one("t2", "alice", 90), at(10)).unwrap();
    let leeway = Duration::from_secs(5);
    assert_eq!(all.sweep(at(55), leeway), 0, "the leeway");
    assert_eq!(all.sweep(at(56), leeway), 1);
    assert!(all.is_revoked(&token("t2", None, "alice", 5)));
    store.put("test", "k", &Payload::from("v"), at(0), Durability::Process).wait().unwrap();
    assert_eq!(open(&store, 10).status().tokens, 1);
    all.revoke(&Revocation::Subject { subject: "bob".into(), before: at(9) }, at(60)).unwrap();
    assert_eq!(all.sweep(at(160), leeway), 1, "the other token");
    assert_eq!(all.sweep(at(166), leeway), 1, "the subject, so long after it was revoked");
    assert_eq!(all.status().subjects, 0);
}

#[test]
fn without_room_more_is_revoked_and_never_less() {
    let store = Store::memory(&[]).unwrap();
    let all = open(&store, 2);
    for n in 0..4 {
        all.revoke(&one(&format!("t{n}"), &format!("s{n}"), 50), at(10)).unwrap();
    }
    for n in 0..4 {
        assert!(all.is_revoked(&token(&format!("t{n}"), None, &format!("s{n}"), 5)), "{n}");
    }
    assert!(!all.is_revoked(&token("other", None, "s9", 5)), "others are spared so far");
    assert_eq!((all.status().tokens, all.status().subjects, all.status().widened), (2, 2, 2));
    all.revoke(&one("t9", "s9", 50), at(10)).unwrap();
    for all in [&all, &open(&store, 2)] {
        assert!(all.is_revoked(&token("t9", None, "s9", 5)));
        assert!(all.is_revoked(&token("any", None, "anybody", 10)));
        assert!(!all.is_revoked(&token("new", None, "anybody", 11)));
    }
}

#[test]
fn an_entry_that_cannot_be_read_is_told() {
    let store = Store::memory(&[]).unwrap();
    store.put(NAMESPACE, "t/x", &Payload::from("?"), at(0), Durability::Process).wait().unwrap();
    let error = Revocations::open(store, RevocationPolicy::default()).unwrap_err();
    assert_eq!(error.code(), Code::STORE_CORRUPT);
}
