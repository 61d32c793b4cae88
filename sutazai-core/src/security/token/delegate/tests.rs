use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::{
    ATTRIBUTE_ACTOR, ATTRIBUTE_ACTORS, Grant, Revocation, RevocationPolicy, Revocations,
};
use super::*;
use crate::Code;
use crate::base::time::Timestamp;
use crate::security::clock::{Clock, ClockPolicy};
use crate::store::Store;

const T: i64 = 1_700_000_000;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_nanos(secs * 1_000_000_000)
}

fn delegations(seed: u8) -> Delegations {
    let store = Store::memory(&[]).unwrap();
    let clock = Arc::new(Clock::open(store.clone(), ClockPolicy::default()).unwrap());
    let revocations = Arc::new(Revocations::open(store, RevocationPolicy::default()).unwrap());
    let mut config = DelegationConfig::new("us", "here");
    // Machines that run tests may be slow.
    config.limits.time = Duration::from_secs(60);
    let keys = Arc::new(RootSeed::new(&[seed; 32]).unwrap());
    Delegations::new(config, keys, revocations, clock).unwrap()
}

fn mint(delegations: &Delegations) -> Minted {
    let grant = Grant::new("alice").scope(["mail"]).attribute("team", "blue");
    delegations.mint(&grant, Some("fam"), Duration::from_secs(600), at(T)).unwrap()
}

/// Whether a token lets a call through, by the code of what refuses it.
fn call(
    d: &Delegations,
    token: &str,
    skill: &str,
    arguments: &Value,
    secs: i64,
) -> Result<(), Code> {
    let held = d.verify(token, at(secs)).map_err(|e| e.code())?;
    d.permit(&held.session, skill, arguments, at(secs)).map_err(|e| e.code())
}

const DENIED: Result<(), Code> = Err(Code::DELEGATION_DENIED);

#[test]
fn a_root_token_is_the_users_session() {
    let d = delegations(1);
    let root = mint(&d);
    let held = d.verify(&root.token, at(T)).unwrap();
    assert_eq!((held.session.principal(), held.session.scheme()), ("alice", "biscuit"));
    assert_eq!(held.session.attributes()["team"], "blue");
    assert!(!held.session.attributes().contains_key(ATTRIBUTE_ACTOR));
    assert_eq!(Grant::of(&held.session, at(T)).unwrap_err().code(), Code::INVALID, "no laundering");
    assert_eq!(call(&d, &root.token, "anything", &json!({}), T + 1), Ok(()));
    assert_eq!(call(&d, &root.token, "anything", &json!({}), T + 605), Err(Code::TOKEN_EXPIRED));
    assert_eq!(call(&delegations(2), &root.token, "x", &json!({}), T), Err(Code::TOKEN_SIGNATURE));
}

#[test]
fn each_condition_takes_away() {
    let d = delegations(1);
    let root = mint(&d);
    let less = Attenuation::new("mailer")
        .skills(["mail.send", "mail.read"])
        .argument_prefix("to", "team-")
        .argument_range("count", 1, 10)
        .argument_one_of("/options/kind", ["plain", "html"])
        .until(at(T + 60));
    let token = attenuate(&root.token, &less).unwrap();
    let good = json!({"to": "team-a", "count": 10, "options": {"kind": "html"}});
    assert_eq!(call(&d, &token, "mail.send", &good, T + 59), Ok(()));
    assert_eq!(call(&d, &token, "mail.delete", &good, T), DENIED);
    for (pointer, value) in [
        ("/to", json!("other")),
        ("/to", json!(7)),
        ("/to", json!(null)),
        ("/to", json!(["team-a"])),
        ("/count", json!(11)),
        ("/count", json!(0)),
        ("/count", json!(1.5)),
        ("/count", json!("5")),
        ("/count", json!(u64::MAX)),
        ("/options/kind", json!("exe")),
        ("/options", json!("plain")),
    ] {
        let mut wrong = good.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        assert_eq!(call(&d, &token, "mail.send", &wrong, T), DENIED, "{wrong}");
    }
    assert_eq!(call(&d, &token, "mail.send", &json!({}), T), DENIED);
    assert_eq!(call(&d, &token, "mail.send", &good, T + 60), Err(Code::TOKEN_EXPIRED));
}

#[test]
fn an_argument_is_where_its_pointer_says() {
    let d = delegations(1);
    let less = Attenuation::new("a").argument_one_of("a/b", ["x"]);
    let token = attenuate(&mint(&d).token, &less).unwrap();
    assert_eq!(call(&d, &token, "s", &json!({"a/b": "x"}), T), Ok(()));
    assert_eq!(call(&d, &token, "s", &json!({"a": {"b": "x"}}), T), DENIED);
    let many: Vec<_> = (0..300).collect();
    assert_eq!(call(&d, &token, "s", &json!({"a/b": "x", "many": many}), T), DENIED);
}

#[test]
fn code_in_a_text_is_text() {
    let d = delegations(1);
    let evil = r#"x") or true; allow if true; //"#;
    let less = Attenuation::new("a").skills([evil]).argument_prefix(evil, evil);
    let token = attenuate(&mint(&d).token, &less).unwrap();
    assert_eq!(call(&d, &token, "x", &json!({}), T), DENIED);
    assert_eq!(call(&d, &token, evil, &json!({evil: evil}), T), Ok(()));
}

#[test]
fn handing_on_never_gives_back() {
    let d = delegations(1);
    let first = Attenuation::new("planner").skills(["a", "b"]).depth(1);
    let first = attenuate(&mint(&d).token, &first).unwrap();
    let second = attenuate(&first, &Attenuation::new("worker").skills(["b", "c"])).unwrap();
    let session = d.verify(&second, at(T)).unwrap().session.clone();
    assert_eq!(session.attributes()[ATTRIBUTE_ACTOR], "worker");
    assert_eq!(session.attributes()[ATTRIBUTE_ACTORS], "planner worker");
    assert_eq!(call(&d, &second, "b", &json!({}), T), Ok(()));
    assert_eq!(call(&d, &second, "a", &json!({}), T), DENIED);
    assert_eq!(call(&d, &second, "c", &json!({}), T), DENIED);
    let third = attenuate(&second, &Attenuation::new("too-far")).unwrap();
    assert_eq!(call(&d, &third, "b", &json!({}), T), Err(Code::TOKEN_CLAIMS));
    for agent in ["", "two words", &"x".repeat(257)] {
        let error = attenuate(&first, &Attenuation::new(agent)).unwrap_err();
        assert_eq!(error.code(), Code::INVALID);
    }
}

#[test]
fn revocations_reach_delegated_tokens() {
    let d = delegations(1);
    let root = mint(&d);
    let one = attenuate(&root.token, &Attenuation::new("one")).unwrap();
    let two = attenuate(&root.token, &Attenuation::new("two")).unwrap();
    let session = d.verify(&one, at(T)).unwrap().session.clone();
    let id = d.verify(&one, at(T)).unwrap().revocation_ids[1].clone();
    let revoke = |what| d.revocations().revoke(&what, at(T + 1)).unwrap();
    revoke(Revocation::Token { id, subject: None, expires: root.claims.exp });
    assert_eq!(call(&d, &one, "s", &json!({}), T + 1), Err(Code::TOKEN_REVOKED));
    let further = attenuate(&one, &Attenuation::new("three")).unwrap();
    assert_eq!(call(&d, &further, "s", &json!({}), T + 1), Err(Code::TOKEN_REVOKED));
    let denied = d.permit(&session, "s", &json!({}), at(T + 1)).unwrap_err();
    assert_eq!(denied.code(), Code::DELEGATION_DENIED, "a session held on to");
    assert_eq!(call(&d, &two, "s", &json!({}), T + 1), Ok(()));
    revoke(Revocation::Family { id: "fam".into(), subject: None });
    assert_eq!(call(&d, &two, "s", &json!({}), T + 1), Err(Code::TOKEN_REVOKED));
    assert_eq!(call(&d, &root.token, "s", &json!({}), T + 1), Err(Code::TOKEN_REVOKED));
}

#[test]
fn other_sessions_are_not_asked_and_forged_ones_not_known() {
    let d = delegations(1);
    let other = crate::port::Session::new("alice", "paseto");
    assert!(d.permit(&other, "s", &json!({}), at(T)).is_ok());
    let forged = crate::port::Session::new("alice", "biscuit");
    assert_eq!(
        d.permit(&forged, "s", &json!({}), at(T)).unwrap_err().code(),
        Code::DELEGATION_DENIED
    );
}

#[test]
fn mangled_tokens_are_refused() {
    let d = delegations(1);
    let token = attenuate(&mint(&d).token, &Attenuation::new("a").skills(["s"])).unwrap();
    let bytes = bytes_of(&token).unwrap();
    // Every third byte: signatures are slow where nothing is optimised.
    for at_byte in (0..bytes.len()).step_by(3) {
        {
            let mut other = bytes.clone();
            other[at_byte] ^= 1 << (at_byte % 8);
            // A flip in what Protocol Buffers do not look at leaves the token what it was.
            if let Ok(held) = d.verify(&text_of(&other).unwrap(), at(T)) {
                assert_eq!(held.actors, ["a"]);
                assert!(d.permit(&held.session, "other", &json!({}), at(T)).is_err());
            }
        }
        assert!(d.verify(&text_of(&bytes[..at_byte]).unwrap(), at(T)).is_err());
    }
}
