//! ID tokens as a factor of logins.
#![cfg(feature = "security")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, its helper functions too")]

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use sutazai_core::Code;
use sutazai_core::base::time::Timestamp;
use sutazai_core::port::Credential;
use sutazai_core::security::audit::Query;
use sutazai_core::security::authn::{Attempt, LoggedIn, OidcIssuer, OidcPrincipal};
use sutazai_core::security::token::jwt::{JwtAlgorithm, JwtSigner};
use sutazai_core::security::{LoginAnswer, Security, SecurityOptions};
use sutazai_core::store::Store;

const ISSUER: &str = "https://id.example";
const T: i64 = 1_700_000_000;
/// The public keys of the seeds 1 and 2.
const KEYS: [&str; 2] =
    ["iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w", "gTl3Dqh9F19Wo1Rmw0x-zMuNipG07jeiXfYPW4_Js5Q"];

fn at(secs: i64) -> Timestamp {
    Timestamp::from_nanos((T + secs) * 1_000_000_000)
}

fn jwks(n: usize) -> String {
    let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": KEYS[n - 1]});
    json!({"keys": [key]}).to_string()
}

fn signer(n: u8) -> JwtSigner {
    JwtSigner::ed25519(&[n; 32], Some("k")).unwrap()
}

fn issuer() -> OidcIssuer {
    OidcIssuer::new(ISSUER, "client", JwtAlgorithm::EdDsa).keys(jwks(1))
}

fn security(issuers: Vec<OidcIssuer>) -> Security {
    let mut options = SecurityOptions::default();
    options.oidc = issuers;
    Security::open(Store::memory(&[]).unwrap(), None, options, at(0)).unwrap()
}

/// A login: what was asked for at second `now`, with these claims changed; null takes one away.
fn log_in_by(
    security: &Security,
    signer: &JwtSigner,
    changes: Value,
    who: Option<&str>,
    now: i64,
) -> LoginAnswer {
    let asked = security.oidc().ask(ISSUER, None, at(now)).unwrap();
    let mut claims = json!({
        "iss": ISSUER, "aud": "client", "sub": "ann", "nonce": asked.nonce,
        "iat": T + now, "exp": T + now + 300,
    });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    let token = signer.sign(&claims).unwrap();
    security.log_in(attempt(&asked.state, &token, who), at(now + 1)).unwrap()
}

fn log_in(security: &Security, changes: Value, now: i64) -> LoginAnswer {
    log_in_by(security, &signer(1), changes, None, now)
}

fn attempt(state: &str, token: &str, who: Option<&str>) -> Attempt {
    let secret = json!({"state": state, "id_token": token}).to_string();
    Attempt::new(Credential::new("oidc", who.map(str::to_owned), secret.into()))
}

fn done(answer: LoginAnswer) -> LoggedIn {
    match answer {
        LoginAnswer::Done { login, .. } => login,
        other => panic!("{other:?}"),
    }
}

/// It was refused, and the record says why.
#[track_caller]
fn refused(security: &Security, answer: &LoginAnswer, why: &str) {
    assert!(matches!(answer, LoginAnswer::Refused { .. }), "{why}: {answer:?}");
    let query = Query { action: Some("login.begin".to_owned()), limit: 1, ..Query::default() };
    let page = security.audit().query(&query).unwrap();
    let text = serde_json::to_string(&page.records[0]).unwrap();
    assert!(text.contains(why), "{text}");
}

#[test]
fn an_issuer_says_who_it_is() {
    let mut options = issuer();
    options.attributes = BTreeMap::from([
        ("mail".to_owned(), "email".to_owned()),
        ("groups".to_owned(), "groups".to_owned()),
        ("vip".to_owned(), "vip".to_owned()),
        ("absent".to_owned(), "absent".to_owned()),
    ]);
    let security = security(vec![options]);
    let claims = json!({"email": "a@b.example", "groups": ["x y", "z"], "vip": true});
    let login = done(log_in(&security, claims, 0));
    assert_eq!(login.session.principal(), "https://id.example#ann");
    assert_eq!(login.session.methods().collect::<Vec<_>>(), ["oidc"]);
    let said = login.session.attributes();
    assert_eq!((&*said["oidc_issuer"], &*said["oidc_subject"]), (ISSUER, "ann"));
    assert_eq!(
        (&*said["mail"], &*said["groups"], &*said["vip"]),
        ("a@b.example", "[\"x y\",\"z\"]", "true")
    );
    assert!(!said.contains_key("absent"));
    // The record has the issuer; who they are there can be erased.
    let query = Query { action: Some("login.done".to_owned()), limit: 1, ..Query::default() };
    let record = security.audit().query(&query).unwrap().records.remove(0).record;
    let details = serde_json::to_value(&record.details).unwrap();
    assert_eq!(details, json!({"scheme": "oidc", "oidc_issuer": ISSUER}));
    let personal = security.audit().personal(&record).unwrap().unwrap();
    assert_eq!(personal, json!({"oidc_subject": "ann"}));
    refused(&security, &log_in(&security, json!({"email": "x".repeat(4097)}), 10), "too long");
}

#[test]
fn what_does_not_fit_is_refused() {
    let security = security(vec![issuer()]);
    let mut now = 0;
    let mut of = |signer: &JwtSigner, changes: Value, why: &str| {
        now += 10;
        let came = log_in_by(&security, signer, changes, None, now);
        refused(&security, &came, why);
    };
    let own = signer(1);
    of(&own, json!({"aud": "other"}), "audience");
    of(&own, json!({"aud": ["client", "other"]}), "audience");
    of(&own, json!({"iss": "https://id.example.net"}), "issuer");
    of(&own, json!({"nonce": "other"}), "nonce");
    of(&own, json!({"nonce": null}), "nonce");
    of(&own, json!({"exp": T - 100}), "expired");
    of(&own, json!({"iat": T - 9_000}), "old");
    of(&own, json!({"sub": ""}), "subject");
    of(&signer(2), json!({}), "signature");
    of(&JwtSigner::ed25519(&[1; 32], Some("j")).unwrap(), json!({}), "key");
    of(&JwtSigner::hs256(&[1; 32], Some("k")).unwrap(), json!({}), "algorithm");
    // The algorithm is the one that was pinned.
    let rsa = OidcIssuer::new(ISSUER, "client", JwtAlgorithm::Rs256).keys(jwks(1));
    security.set_oidc(vec![rsa], "ops", at(200)).unwrap();
    refused(&security, &log_in(&security, json!({}), 201), "algorithm");
    // Without keys nobody gets in.
    let none = OidcIssuer::new(ISSUER, "client", JwtAlgorithm::EdDsa);
    security.set_oidc(vec![none], "ops", at(210)).unwrap();
    refused(&security, &log_in(&security, json!({}), 211), "key");
}

#[test]
fn a_challenge_is_good_once_and_for_ten_minutes() {
    let security = security(vec![issuer()]);
    let asked = security.oidc().ask(ISSUER, None, at(0)).unwrap();
    let token = |nonce: &str, now: i64| {
        let claims = json!({
            "iss": ISSUER, "aud": "client", "sub": "ann", "nonce": nonce,
            "iat": T + now, "exp": T + now + 300,
        });
        signer(1).sign(&claims).unwrap()
    };
    let good = token(&asked.nonce, 0);
    done(security.log_in(attempt(&asked.state, &good, None), at(1)).unwrap());
    let again = security.log_in(attempt(&asked.state, &good, None), at(2)).unwrap();
    refused(&security, &again, "was used");
    // A token of one challenge is none of another.
    let other = security.oidc().ask(ISSUER, None, at(3)).unwrap();
    let came = security.log_in(attempt(&other.state, &good, None), at(4)).unwrap();
    refused(&security, &came, "nonce");
    let late = security.oidc().ask(ISSUER, None, at(10)).unwrap();
    assert_eq!(late.ends, at(610));
    let came = security.log_in(attempt(&late.state, &token(&late.nonce, 600), None), at(610));
    refused(&security, &came.unwrap(), "is over");
    let garbage = Attempt::new(Credential::new("oidc", None, b"{}".to_vec()));
    refused(&security, &security.log_in(garbage, at(611)).unwrap(), "not the answer");
    // Of many threads with one answer, one gets in.
    let asked = security.oidc().ask(ISSUER, None, at(700)).unwrap();
    let good = token(&asked.nonce, 700);
    let (ready, count) = (Barrier::new(32), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                ready.wait();
                let came = security.log_in(attempt(&asked.state, &good, None), at(701)).unwrap();
                if matches!(came, LoginAnswer::Done { .. }) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn keys_are_replaced_while_it_runs() {
    let security = security(vec![issuer()]);
    done(log_in(&security, json!({}), 0));
    assert_eq!(security.set_oidc_keys(ISSUER, &jwks(2), "ops", at(5)).unwrap(), 1);
    refused(&security, &log_in(&security, json!({}), 10), "signature");
    done(log_in_by(&security, &signer(2), json!({}), None, 20));
    let bad = security.set_oidc_keys(ISSUER, "{}", "ops", at(25)).unwrap_err();
    assert_eq!(bad.code(), Code::TOKEN_KEY);
    done(log_in_by(&security, &signer(2), json!({}), None, 30));
    let unknown = security.set_oidc_keys("https://other.example", &jwks(1), "ops", at(35));
    assert_eq!(unknown.unwrap_err().code(), Code::FACTOR_OFF);
    let unknown = security.oidc().ask("https://other.example", None, at(35)).unwrap_err();
    assert_eq!(unknown.code(), Code::FACTOR_OFF);
}

#[test]
fn the_principal_is_whom_the_options_say() {
    let by = |principal| OidcIssuer { principal, ..issuer() };
    let security = security(vec![by(OidcPrincipal::Claim("email".to_owned()))]);
    let verified = json!({"email": "ann@b.example", "email_verified": true});
    assert_eq!(done(log_in(&security, verified, 0)).session.principal(), "ann@b.example");
    for told in [json!(false), json!("true"), Value::Null] {
        let claims = json!({"email": "ann@b.example", "email_verified": told});
        refused(&security, &log_in(&security, claims, 10), "not verified the address");
    }
    security.set_oidc(vec![by(OidcPrincipal::Claim("login".to_owned()))], "ops", at(20)).unwrap();
    let login = log_in(&security, json!({"login": "ann"}), 21);
    assert_eq!(done(login).session.principal(), "ann");
    for login in [json!(7), json!(""), json!("a\nb"), Value::Null] {
        let came = log_in(&security, json!({"login": login}), 30);
        refused(&security, &came, "no principal here");
    }
    // Whoever says beforehand who they are is that one, or nobody.
    let claims = || json!({"login": "ann"});
    done(log_in_by(&security, &signer(1), claims(), Some("ann"), 40));
    let came = log_in_by(&security, &signer(1), claims(), Some("bob"), 50);
    refused(&security, &came, "another principal");

    security.set_oidc(vec![by(OidcPrincipal::Linked)], "ops", at(60)).unwrap();
    refused(&security, &log_in(&security, json!({}), 61), "no principal here");
    security.link_oidc("anna", ISSUER, "ann", at(70)).unwrap();
    let taken = security.link_oidc("bob", ISSUER, "ann", at(70)).unwrap_err();
    assert_eq!(taken.code(), Code::ALREADY_EXISTS);
    assert_eq!(done(log_in(&security, json!({}), 71)).session.principal(), "anna");
    let links = security.oidc().links(Some("anna"), 9).unwrap();
    assert_eq!((links.len(), &*links[0].subject), (1, "ann"));
    assert!(security.unlink_oidc(ISSUER, "ann", at(80)).unwrap());
    assert!(!security.unlink_oidc(ISSUER, "ann", at(80)).unwrap());
    refused(&security, &log_in(&security, json!({}), 81), "no principal here");
}

#[test]
fn they_proved_who_they_are_not_too_long_ago() {
    let security = security(vec![OidcIssuer { max_age_ms: Some(60_000), ..issuer() }]);
    assert_eq!(security.oidc().ask(ISSUER, None, at(0)).unwrap().max_age_s, Some(60));
    refused(&security, &log_in(&security, json!({}), 0), "auth_time");
    refused(&security, &log_in(&security, json!({"auth_time": T - 200}), 10), "auth_time");
    done(log_in(&security, json!({"auth_time": T + 15}), 20));
}

#[test]
fn options_that_cannot_be_are_refused() {
    let code = |issuers: Vec<OidcIssuer>| {
        let mut options = SecurityOptions::default();
        options.oidc = issuers;
        Security::open(Store::memory(&[]).unwrap(), None, options, at(0)).unwrap_err().code()
    };
    assert_eq!(code(vec![issuer(), issuer()]), Code::ALREADY_EXISTS);
    assert_eq!(code(vec![OidcIssuer { issuer: "a#b".into(), ..issuer() }]), Code::INVALID);
    let shared = OidcIssuer { algorithm: JwtAlgorithm::Hs256, ..issuer() };
    assert_eq!(code(vec![shared]), Code::INVALID);
    assert_eq!(code(vec![issuer().keys("x")]), Code::TOKEN_KEY);
    assert_eq!(code(vec![OidcIssuer { leeway_ms: 600_001, ..issuer() }]), Code::INVALID);
    for own in ["amr", "token.id", "authenticator", "risk", ""] {
        let attributes = BTreeMap::from([(own.to_owned(), "x".to_owned())]);
        assert_eq!(code(vec![OidcIssuer { attributes, ..issuer() }]), Code::INVALID, "{own}");
    }
    let read: OidcIssuer = serde_json::from_value(json!({
        "issuer": ISSUER, "client": "client", "algorithm": "ES256", "principal": {"claim": "email"},
    }))
    .unwrap();
    assert_eq!(read.principal, OidcPrincipal::Claim("email".to_owned()));
    assert_eq!((read.algorithm, read.leeway_ms), (JwtAlgorithm::Es256, 60_000));
}
