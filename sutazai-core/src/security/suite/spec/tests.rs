use serde_json::json;

use super::*;
use crate::security::token::TokenPurpose;

fn spec(value: serde_json::Value) -> SecuritySpec {
    serde_json::from_value(value).unwrap()
}

/// The fields that are wrong.
fn wrong(value: serde_json::Value) -> Vec<String> {
    let error = spec(value).check().unwrap_err();
    let field = |one: &Error| {
        one.context().find(|(key, _)| *key == "field").map(|(_, field)| field.to_owned()).unwrap()
    };
    error.problems().iter().map(field).collect()
}

#[test]
fn nothing_said_is_the_default() {
    let (told, usual) =
        (spec(json!({})).options(Path::new("")).unwrap(), SecurityOptions::default());
    let tokens = super::super::super::token::TokenConfig::new("sutazai", "sutazai");
    assert_eq!(told.tokens, Some(tokens));
    assert_eq!((told.name, told.authorise, told.trust_inside), ("sutazai".into(), false, true));
    assert_eq!((told.record_allowed, told.record_actions), (false, true));
    assert_eq!((told.passwords, told.totp), (usual.passwords, usual.totp));
    assert_eq!((told.logins, told.risk), (usual.logins, usual.risk));
    assert_eq!(format!("{:?}", told.audit), format!("{:?}", usual.audit));
    assert!(told.master.is_none() && told.policies.is_empty() && told.entities.is_empty());
}

#[test]
fn what_is_written_is_read_again() {
    let whole = spec(json!({
        "name": "fleet", "master": {"env": "KEY"}, "authorise": true,
        "tokens": {"purpose": "local", "access_ms": 60_000},
        "audit": {"durability": {"action": "fsync"}},
        "policies": [{"cedar": "permit (principal, action, resource);"}, {"file": "a.cedar"}],
        "entities": {"json": []}, "roles": {"file": "roles.json"},
    }));
    let text = serde_json::to_string(&whole).unwrap();
    assert_eq!(serde_json::from_str::<SecuritySpec>(&text).unwrap(), whole);
    assert_eq!(whole.tokens.config("fleet").purpose, TokenPurpose::Local);
}

#[test]
fn every_mistake_names_its_field() {
    let found = wrong(json!({
        "name": "a b", "passwords": {"memory_kib": 8}, "totp": {"digits": 9},
        "logins": {"tries": 0}, "tokens": {"refresh": {"idle_ms": 1}},
        "risk": {"signals": {"threat": {"weight": 2, "half_life_ms": 1}}},
        "audit": {"segments": 1}, "policies": [{"cedar": ""}, {"cedar": "permit"}],
    }));
    assert_eq!(
        found,
        [
            "name",
            "passwords",
            "totp.digits",
            "logins.tries",
            "tokens.refresh.idle_ms",
            "risk.signals.threat.weight",
            "audit.segments",
            "policies[1]"
        ]
    );
    assert_eq!(wrong(json!({"entities": {"json": [3]}})), ["entities"]);
    assert_eq!(wrong(json!({"schema": {"cedar": "entity ;"}})), ["schema"]);
    assert_eq!(
        wrong(json!({"roles": {"json": {"roles": [{"name": "a", "inherits": ["b"]}]}}})),
        ["roles"]
    );
}

#[test]
fn a_master_key_is_where_it_says() {
    let dir = tempfile::tempdir().unwrap();
    crate::security::keys::Master::create_file(dir.path().join("key")).unwrap();
    let given = spec(json!({"master": {"file": "key"}}));
    assert!(given.options(dir.path()).unwrap().master.is_some());
    let error = given.options(Path::new("/nowhere")).unwrap_err();
    assert_eq!(error.code(), Code::MASTER_KEY);
    for not_set in [json!({"env": "SUTAZAI_NO_KEY"}), json!({"passphrase_env": "SUTAZAI_NO_KEY"})] {
        let error = spec(json!({ "master": not_set })).options(Path::new("")).unwrap_err();
        assert_eq!(error.code(), Code::MASTER_KEY);
        assert!(error.context().any(|pair| pair == ("field", "master")), "{error:#}");
    }
    assert!(serde_json::from_value::<SecuritySpec>(json!({"master": {"key": "0"}})).is_err());
}

#[test]
fn roles_become_policies_and_entities() {
    let options = spec(json!({
        "entities": {"json": [{"uid": {"type": "Page", "id": "home"}, "attrs": {}, "parents": []}]},
        "roles": {"json": {
            "roles": [{"name": "reader", "permits": [{"actions": ["Action::\"call\""]}]}],
            "assignments": [{"principal": "User::\"ann\"", "role": "reader"}],
        }},
    }))
    .options(Path::new(""))
    .unwrap();
    assert_eq!(options.policies.len(), 1);
    let ann = "User::\"ann\"".parse().unwrap();
    assert!(options.entities.is_in(&ann, &"Role::\"reader\"".parse().unwrap()));
}
