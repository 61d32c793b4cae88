//! Principals who are disabled, and who has which factors.
#![cfg(feature = "security")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, its helper functions too")]

use std::time::Duration;

use sutazai_core::Code;
use sutazai_core::base::time::Timestamp;
use sutazai_core::port::{Authenticator, Credential, Session};
use sutazai_core::security::audit::Query;
use sutazai_core::security::authn::{ApiKeyOrder, Attempt, PrincipalView};
use sutazai_core::security::risk::RiskSignal;
use sutazai_core::security::token::Grant;
use sutazai_core::security::{LoginAnswer, Security, SecurityOptions, TokenStep};
use sutazai_core::store::{DataDir, Store};

const PASSWORD: &str = "correct horse battery";

fn at(ms: i64) -> Timestamp {
    Timestamp::from_nanos((1_700_000_000_000 + ms) * 1_000_000)
}

fn options() -> SecurityOptions {
    let mut options = SecurityOptions::default();
    options.passwords.memory_kib = 7168;
    options.passwords.passes = 5;
    options
}

fn security() -> Security {
    Security::open(Store::memory(&[]).unwrap(), None, options(), at(0)).unwrap()
}

fn attempt(scheme: &str, who: Option<&str>, secret: &str) -> Attempt {
    Attempt::new(Credential::new(scheme, who.map(str::to_owned), secret.into()))
}

fn password(security: &Security, text: &str, now: Timestamp) -> LoginAnswer {
    security.log_in(attempt("password", Some("ann"), text), now).unwrap()
}

fn order(principal: &str) -> ApiKeyOrder {
    ApiKeyOrder {
        principal: principal.to_owned(),
        label: String::new(),
        scopes: Vec::new(),
        lasts_ms: None,
    }
}

fn records(security: &Security, action: &str) -> Vec<String> {
    let query = Query { action: Some(action.to_owned()), ..Query::default() };
    let page = security.audit().query(&query).unwrap();
    page.records.iter().map(|found| serde_json::to_string(found).unwrap()).collect()
}

#[test]
fn nothing_of_theirs_is_good_and_keys_are_again() {
    let security = security();
    let step = TokenStep::new(&security, Session::new("local", "local"));
    security.set_password("ann", PASSWORD, at(0)).unwrap();
    let key = security.make_api_key(order("ann"), at(0)).unwrap().key;
    let certificate = "ab".repeat(32);
    security.certificates().add("ann", certificate.as_bytes(), None, at(0)).unwrap();
    let LoginAnswer::Done { issued, .. } = password(&security, PASSWORD, at(1)) else { panic!() };
    let (access, refresh) = (issued.access.clone(), issued.refresh.clone().unwrap());
    let session = step.authenticate(Some(&access), at(2)).unwrap();
    let of_key = step.authenticate(Some(&key), at(2)).unwrap();

    assert!(security.disable_principal("ann", "left the firm", "ops", at(10)).unwrap());
    let wrong = format!("{:?}", password(&security, "a wrong guess", at(11)));
    assert_eq!(format!("{:?}", password(&security, PASSWORD, at(12))), wrong);
    for (scheme, secret) in [("api-key", &*key), ("certificate", &*certificate)] {
        let came = security.log_in(attempt(scheme, None, secret), at(13)).unwrap();
        assert!(matches!(came, LoginAnswer::Refused { retry_after: None }), "{scheme}");
    }
    let code = |result: sutazai_core::Result<()>| result.unwrap_err().code();
    assert_eq!(code(security.tokens().verify(&access, at(14)).map(drop)), Code::TOKEN_REVOKED);
    let refreshed = security.tokens().refresh(&refresh, at(14)).map(drop);
    assert_eq!(code(refreshed), Code::REFRESH_INVALID);
    for token in [&*access, &*key] {
        assert_eq!(code(step.authenticate(Some(token), at(15)).map(drop)), Code::UNAUTHENTICATED);
    }
    assert!(
        step.still_good(&session, at(15)).is_err() && step.still_good(&of_key, at(15)).is_err()
    );
    let vouched = security.vouch(&Grant::new("ann"), "host", at(16)).map(drop);
    assert_eq!(code(vouched), Code::PRINCIPAL_DISABLED);
    // Somebody else's are.
    security.vouch(&Grant::new("bob"), "host", at(16)).unwrap();

    assert!(security.enable_principal("ann", "ops", at(20)).unwrap());
    assert!(!security.enable_principal("ann", "ops", at(20)).unwrap());
    step.authenticate(Some(&key), at(21)).unwrap();
    let came = security.log_in(attempt("certificate", None, &certificate), at(21)).unwrap();
    assert!(matches!(came, LoginAnswer::Done { .. }));
    // What was issued before is revoked for good.
    assert!(step.authenticate(Some(&access), at(22)).is_err());
    assert!(security.tokens().refresh(&refresh, at(22)).is_err());
    let LoginAnswer::Done { issued, .. } = password(&security, PASSWORD, at(23)) else { panic!() };
    step.authenticate(Some(&issued.access), at(24)).unwrap();
}

#[test]
fn the_record_says_why_and_the_answer_does_not() {
    let security = security();
    security.set_password("ann", PASSWORD, at(0)).unwrap();
    security.disable_principal("ann", "left the firm", "chief", at(1)).unwrap();
    password(&security, PASSWORD, at(2));
    let query = Query { action: Some("principal.disable".to_owned()), ..Query::default() };
    let disabled = &security.audit().query(&query).unwrap().records[0].record;
    assert_eq!((&*disabled.principal, &*disabled.object), ("chief", "ann"));
    // It is about a person, and can be erased.
    let personal = security.audit().personal(disabled).unwrap().unwrap();
    assert_eq!(personal["reason"], "left the firm");
    assert!(records(&security, "login.begin")[0].contains("the principal is disabled"));
    security.enable_principal("ann", "chief", at(3)).unwrap();
    assert_eq!(records(&security, "principal.enable").len(), 1);
    // What fails is on the record, too.
    let long = "x".repeat(513);
    let error = security.disable_principal("ann", &long, "chief", at(4)).unwrap_err();
    assert_eq!(error.code(), Code::INVALID);
    assert!(records(&security, "principal.disable")[0].contains("failure"));
    assert!(!security.principals().is_disabled("ann"));
}

#[test]
fn a_login_that_was_under_way_ends() {
    let security = security();
    security.set_password("ann", PASSWORD, at(0)).unwrap();
    let codes = security.make_recovery_codes("ann", at(0)).unwrap();
    let LoginAnswer::Next { login, .. } = password(&security, PASSWORD, at(1)) else { panic!() };
    security.disable_principal("ann", "", "ops", at(2)).unwrap();
    // Neither now nor when they are enabled again: what was proved before does not count.
    let mut came = Vec::new();
    for second in [3, 5] {
        let credential = Credential::new("recovery", None, codes[0].clone().into());
        came.push(security.log_in_answer(&login, credential, at(second)).unwrap_err().code());
        security.enable_principal("ann", "ops", at(4)).unwrap();
    }
    assert_eq!(came, [Code::LOGIN_UNKNOWN; 2]);
    // Nor does a password that is theirs no more.
    let LoginAnswer::Next { login, .. } = password(&security, PASSWORD, at(6)) else { panic!() };
    security.set_password("ann", "another horse battery", at(7)).unwrap();
    let credential = Credential::new("recovery", None, codes[0].clone().into());
    let error = security.log_in_answer(&login, credential, at(8)).unwrap_err();
    assert_eq!(error.code(), Code::LOGIN_UNKNOWN);
}

#[test]
fn it_outlasts_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let open = |now| {
        let data = DataDir::open(dir.path()).unwrap();
        let store = Store::open(&data, &[]).unwrap();
        store.start().unwrap();
        let security = Security::open(store.clone(), Some(&data), options(), now).unwrap();
        (data, store, security)
    };
    let opened = open(at(0));
    let security = &opened.2;
    security.set_password("ann", PASSWORD, at(0)).unwrap();
    let key = security.make_api_key(order("ann"), at(0)).unwrap().key;
    let LoginAnswer::Done { issued, .. } = password(security, PASSWORD, at(1)) else { panic!() };
    security.disable_principal("ann", "left", "ops", at(2)).unwrap();
    security.close(at(3)).unwrap();
    opened.1.close(Duration::from_secs(10)).unwrap();
    drop(opened);
    let opened = open(at(10));
    let security = &opened.2;
    let step = TokenStep::new(security, Session::new("local", "local"));
    assert!(matches!(password(security, PASSWORD, at(11)), LoginAnswer::Refused { .. }));
    let verified = security.tokens().verify(&issued.access, at(11)).map(drop);
    assert_eq!(verified.unwrap_err().code(), Code::TOKEN_REVOKED);
    assert!(security.tokens().refresh(issued.refresh.as_ref().unwrap(), at(11)).is_err());
    assert!(step.authenticate(Some(&key), at(11)).is_err());
    security.enable_principal("ann", "ops", at(12)).unwrap();
    step.authenticate(Some(&key), at(13)).unwrap();
    let verified = security.tokens().verify(&issued.access, at(13)).map(drop);
    assert_eq!(verified.unwrap_err().code(), Code::TOKEN_REVOKED);
    security.close(at(14)).unwrap();
    opened.1.close(Duration::from_secs(10)).unwrap();
}

#[test]
fn who_has_what_is_listed_page_by_page() {
    let security = security();
    security.set_password("ann", PASSWORD, at(0)).unwrap();
    security.make_recovery_codes("ann", at(0)).unwrap();
    security.make_api_key(order("bot"), at(0)).unwrap();
    security.make_api_key(order("bot"), at(0)).unwrap();
    security.make_api_key(ApiKeyOrder { lasts_ms: Some(1), ..order("old") }, at(0)).unwrap();
    security.certificates().add("ann", "cd".repeat(32).as_bytes(), None, at(0)).unwrap();
    security.totp().enrol("cid", at(0)).unwrap();
    security.link_oidc("dora", "https://id.example", "7", at(0)).unwrap();
    security.disable_principal("eve", "never here", "ops", at(3)).unwrap();
    let list = |after: Option<String>, limit| {
        security.list_principals(after.as_deref(), limit, at(10)).unwrap()
    };
    let all = list(None, 100);
    let told: Vec<(&str, String)> =
        all.iter().map(|one| (&*one.principal, one.factors.join(" "))).collect();
    let expected = [
        ("ann", "certificate password recovery"),
        ("bot", "api-key"),
        ("cid", ""),
        ("dora", "oidc"),
        ("eve", ""),
    ];
    assert_eq!(told, expected.map(|(name, factors)| (name, factors.to_owned())));
    let disabled = all[4].disabled.as_ref().unwrap();
    assert_eq!((&*disabled.reason, disabled.since), ("never here", at(3)));
    let mut pages: Vec<PrincipalView> = Vec::new();
    loop {
        let page = list(pages.last().map(|one| one.principal.clone()), 2);
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 2);
        pages.extend(page);
    }
    assert_eq!(pages, all);
    assert_eq!(list(None, 0), []);
}

/// Whose key, certificate and risk it was can be told from the records alone.
#[test]
fn records_name_what_was_changed_and_what_was_used() {
    let security = security();
    let made = security.make_api_key(order("ann"), at(0)).unwrap();
    assert!(records(&security, "api_key.make")[0].contains(&made.view.id));
    let wrong = security.make_api_key(order(""), at(1)).unwrap_err();
    assert_eq!(wrong.code(), Code::INVALID);
    assert!(records(&security, "api_key.make").iter().any(|record| record.contains("failure")));
    let answer = security.log_in(attempt("api-key", None, &made.key), at(2)).unwrap();
    assert!(matches!(answer, LoginAnswer::Done { .. }));
    assert!(records(&security, "login.done")[0].contains(&made.view.id));
    let fingerprint = "ab".repeat(32);
    security.add_certificate("ann", fingerprint.as_bytes(), None, at(3)).unwrap();
    assert!(records(&security, "certificate.add")[0].contains(&fingerprint));
    let answer = security.log_in(attempt("certificate", None, &fingerprint), at(4)).unwrap();
    assert!(matches!(answer, LoginAnswer::Done { .. }));
    assert!(records(&security, "login.done").iter().any(|record| record.contains(&fingerprint)));
    security.raise_risk("ann", RiskSignal::Threat, 0.5, at(5)).unwrap();
    let raised = &records(&security, "risk.raise")[0];
    assert!(raised.contains("threat") && raised.contains("0.500"), "{raised}");
    assert!(security.risks().score("ann", &[], at(5)) > 0.0);
    assert_eq!(
        security.raise_risk("", RiskSignal::Threat, 1.0, at(6)).unwrap_err().code(),
        Code::INVALID
    );
}
