//! Tokens in use: issuing, revocation, the clock, the record; refresh, races and random schedules.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(feature = "security")]

#[path = "token_service/random.rs"]
mod random;
#[path = "token_service/refresh.rs"]
mod refresh;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sutazai_core::base::time::Timestamp;
use sutazai_core::port::{AuditEvent, AuditTrail, Authenticator as _, Session};
use sutazai_core::security::token::jwt::JwtSigner;
use sutazai_core::security::token::{
    Grant, Issued, LocalKey, Revocation, SeedKeys, SigningKey, TokenAuthenticator, TokenConfig,
    TokenKeys, TokenPurpose, Tokens, VerifyingKey, paseto,
};
use sutazai_core::security::{Clock, ClockPolicy};
use sutazai_core::store::Store;
use sutazai_core::{Code, Error, Result};

const T: i64 = 1_700_000_000;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_nanos(secs * 1_000_000_000)
}

fn config() -> TokenConfig {
    TokenConfig::new("us", "here")
}

fn open(config: TokenConfig, store: &Store) -> Tokens {
    let clock = Arc::new(Clock::open(store.clone(), ClockPolicy::default()).unwrap());
    let keys = Arc::new(SeedKeys::new(&[7; 32]).unwrap());
    Tokens::open(config, keys, store.clone(), clock).unwrap()
}

fn fresh(config: TokenConfig) -> Tokens {
    open(config, &Store::memory(&[]).unwrap())
}

fn refresh_of(issued: &Issued) -> &str {
    issued.refresh.as_deref().unwrap()
}

fn code<T>(answer: Result<T>) -> Code {
    answer.map(drop).unwrap_err().code()
}

#[test]
fn both_purposes_are_issued_and_verified() {
    for purpose in [TokenPurpose::Public, TokenPurpose::Local] {
        let mut config = config();
        config.purpose = purpose;
        let tokens = fresh(config);
        let grant = Grant::new("alice").scope(["read"]).authenticated(["pwd", "otp"], at(T - 9));
        let issued = tokens.issue(&grant.attribute("team", "blue"), at(T)).unwrap();
        let verified = tokens.verify(&issued.access, at(T + 1)).unwrap();
        assert_eq!(verified.claims, issued.claims);
        assert_eq!(verified.session.attributes()["amr"], "pwd otp");
        assert_eq!(code(tokens.verify(&issued.access, at(T + 905))), Code::TOKEN_EXPIRED);
        assert!(!issued.access.contains("alice"), "base64, or encrypted");
        assert!(!format!("{issued:?}").contains(issued.access.as_str()));
    }
}

#[test]
fn a_session_is_issued_what_it_knows() {
    let tokens = fresh(config());
    let attributes =
        [("team", "blue"), ("token.id", "old")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let session = Session::new("alice", "password").with_attributes(attributes.into());
    let issued = tokens.issue(&Grant::of(&session, at(T)).unwrap(), at(T)).unwrap();
    let got = tokens.verify(&issued.access, at(T)).unwrap().session.clone();
    assert_eq!((got.principal(), got.attributes()["team"].as_str()), ("alice", "blue"));
    assert_eq!(got.attributes()["amr"], "password");
    assert_eq!(got.attributes()["token.id"], issued.claims.jti);
}

#[test]
fn grants_that_would_speak_for_the_token_are_refused() {
    let tokens = fresh(config());
    for grant in [
        Grant::new(""),
        Grant::new("x".repeat(513)),
        Grant::new("a").attribute("token.id", "1"),
        Grant::new("a").scope(["two words"]),
        Grant::new("a").attribute("long", "x".repeat(20_000)),
    ] {
        assert_eq!(code(tokens.issue(&grant, at(T))), Code::INVALID);
        assert_eq!(code(tokens.login(&grant, at(T))), Code::INVALID);
    }
    assert_eq!(tokens.status().refresh.families, 0, "none was left behind");
}

/// Keys of which one may be taken away.
struct Two(Arc<SigningKey>, Arc<VerifyingKey>, Arc<LocalKey>, AtomicBool);

impl TokenKeys for Two {
    fn current(&self) -> Result<Arc<SigningKey>> {
        Ok(Arc::clone(&self.0))
    }
    fn verifier(&self, kid: &str) -> Option<Arc<VerifyingKey>> {
        (kid == self.1.id() && !self.3.load(Ordering::SeqCst)).then(|| Arc::clone(&self.1))
    }
    fn local(&self, kid: &str) -> Option<Arc<LocalKey>> {
        (kid == self.2.id()).then(|| Arc::clone(&self.2))
    }
    fn generation(&self) -> u64 {
        u64::from(self.3.load(Ordering::SeqCst))
    }
}

#[test]
fn keys_do_one_thing_and_can_be_taken_away() {
    let store = Store::memory(&[]).unwrap();
    let clock = Arc::new(Clock::open(store.clone(), ClockPolicy::default()).unwrap());
    let signing = Arc::new(SigningKey::from_seed(&[1; 32]).unwrap());
    // The attack: the public key's bytes as the shared key of `v4.local`, whose name is then known.
    let public = *signing.verifying().as_bytes();
    let local = Arc::new(LocalKey::from_bytes(&[2; 32]).unwrap());
    let keys = Arc::new(Two(
        Arc::clone(&signing),
        Arc::clone(signing.verifying()),
        local,
        AtomicBool::new(false),
    ));
    let tokens =
        Tokens::open(config(), Arc::clone(&keys) as Arc<dyn TokenKeys>, store, clock).unwrap();
    let issued = tokens.issue(&Grant::new("alice"), at(T)).unwrap();
    let message = paseto::verify(signing.verifying(), &issued.access, b"").unwrap().message;
    let forged = LocalKey::from_bytes(&public).unwrap();
    for kid in [forged.id().to_owned(), signing.id().to_owned(), "k4.lid.none".to_owned()] {
        let footer = format!(r#"{{"kid":"{kid}"}}"#);
        let token = paseto::encrypt(&forged, &message, footer.as_bytes(), b"").unwrap();
        assert_eq!(code(tokens.verify(&token, at(T))), Code::TOKEN_KEY);
        // And relabelled, either way.
        let relabelled = token.replacen("v4.local.", "v4.public.", 1);
        assert!(tokens.verify(&relabelled, at(T)).is_err());
    }
    let relabelled = issued.access.replacen("v4.public.", "v4.local.", 1);
    assert_eq!(code(tokens.verify(&relabelled, at(T))), Code::TOKEN_KEY);
    // A JWT under the same Ed25519 key is no PASETO, and the other way round.
    let jwt = JwtSigner::ed25519(&[1; 32], Some(signing.id())).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&message).unwrap();
    assert_eq!(code(tokens.verify(&jwt.sign(&claims).unwrap(), at(T))), Code::TOKEN_MALFORMED);
    let jwks = sutazai_core::security::token::jwt::Jwks::new([jwt.key().unwrap()]);
    assert!(jwks.verify(&issued.access).is_err());
    // Without a footer no key is chosen.
    let bare = paseto::sign(&signing, &message, b"", b"").unwrap();
    assert_eq!(code(tokens.verify(&bare, at(T))), Code::TOKEN_KEY);
    // Taken away, and not answered from the cache either.
    assert!(tokens.verify(&issued.access, at(T)).is_ok());
    keys.3.store(true, Ordering::SeqCst);
    assert_eq!(code(tokens.verify(&issued.access, at(T))), Code::TOKEN_KEY);
}

#[test]
fn revoking_a_subject_ends_what_was_and_not_what_comes() {
    let tokens = fresh(config());
    let before = tokens.login(&Grant::new("alice"), at(T)).unwrap();
    let bob = tokens.login(&Grant::new("bob"), at(T)).unwrap();
    let all = Revocation::Subject { subject: "alice".into(), before: at(T + 1) };
    tokens.revoke(&all, "root", at(T + 1)).unwrap();
    assert_eq!(code(tokens.verify(&before.access, at(T + 1))), Code::TOKEN_REVOKED);
    assert_eq!(code(tokens.refresh(refresh_of(&before), at(T + 1))), Code::REFRESH_INVALID);
    // A login at that very instant is after it.
    let after = tokens.login(&Grant::new("alice"), at(T + 1)).unwrap();
    assert!(tokens.verify(&after.access, at(T + 1)).is_ok());
    let next = tokens.refresh(refresh_of(&after), at(T + 1)).unwrap();
    assert!(tokens.verify(&next.access, at(T + 1)).is_ok());
    assert!(tokens.verify(&bob.access, at(T + 1)).is_ok());
}

#[test]
fn a_logout_needs_the_token_only() {
    let tokens = fresh(config());
    let [one, other] = [0, 1].map(|n| tokens.login(&Grant::new("alice"), at(T + n)).unwrap());
    tokens.revoke_token(&one.access, "alice", at(T + 2)).unwrap();
    assert_eq!(code(tokens.verify(&one.access, at(T + 2))), Code::TOKEN_REVOKED);
    assert!(tokens.verify(&other.access, at(T + 2)).is_ok());
    assert_eq!(code(tokens.revoke_token("garbage", "alice", at(T + 2))), Code::TOKEN_MALFORMED);
    assert!(tokens.revoke_token(&other.access, "alice", at(T + 2000)).is_ok(), "it has expired");
}

#[test]
fn a_clock_set_back_revives_nothing() {
    let store = Store::memory(&[]).unwrap();
    let issued = {
        let tokens = open(config(), &store);
        let issued = tokens.login(&Grant::new("alice"), at(T)).unwrap();
        assert_eq!(code(tokens.verify(&issued.access, at(T + 1000))), Code::TOKEN_EXPIRED);
        assert_eq!(
            code(tokens.verify(&issued.access, at(T + 10))),
            Code::TOKEN_EXPIRED,
            "set back"
        );
        tokens.close().unwrap();
        issued
    };
    let tokens = open(config(), &store);
    assert_eq!(
        code(tokens.verify(&issued.access, at(T + 10))),
        Code::TOKEN_EXPIRED,
        "and restarted"
    );
    // What is issued meanwhile is good, and time goes on.
    let next = tokens.issue(&Grant::new("alice"), at(T + 10)).unwrap();
    assert!(tokens.verify(&next.access, at(T + 11)).is_ok());
    assert_eq!(code(tokens.verify(&next.access, at(T + 10 + 905))), Code::TOKEN_EXPIRED);
}

#[test]
fn a_leap_is_taken_back_without_reviving() {
    let tokens = fresh(config());
    let before = tokens.issue(&Grant::new("alice"), at(T)).unwrap();
    let year = 365 * 86_400;
    let wrong = tokens.issue(&Grant::new("alice"), at(T + year)).unwrap();
    assert!(tokens.verify(&wrong.access, at(T + 1)).is_ok(), "nothing is bricked meanwhile");
    assert_eq!(code(tokens.reset_clock(at(T - 1), "root")), Code::CLOCK_RESET_REFUSED);
    tokens.reset_clock(at(T + 2), "root").unwrap();
    assert_eq!(code(tokens.verify(&before.access, at(T + 3))), Code::TOKEN_REVOKED);
    assert_eq!(code(tokens.verify(&wrong.access, at(T + 3))), Code::TOKEN_EARLY);
    let after = tokens.issue(&Grant::new("alice"), at(T + 3)).unwrap();
    assert!(tokens.verify(&after.access, at(T + 4)).is_ok());
}

/// A trail that can be told to fail.
#[derive(Default)]
struct Trail {
    fails: AtomicBool,
    seen: Mutex<Vec<String>>,
}

impl AuditTrail for Trail {
    fn record(&self, event: &AuditEvent<'_>) -> Result<()> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(Error::new(Code::IO, "the disk is full"));
        }
        self.seen.lock().unwrap().push(format!("{} {:?}", event.action, event.outcome));
        Ok(())
    }
}

#[test]
fn nothing_is_acknowledged_that_is_not_on_the_record() {
    let trail = Arc::new(Trail::default());
    let tokens = fresh(config()).with_audit(Arc::clone(&trail) as Arc<dyn AuditTrail>);
    let first = tokens.login(&Grant::new("alice"), at(T)).unwrap();
    trail.fails.store(true, Ordering::SeqCst);
    assert_eq!(code(tokens.login(&Grant::new("bob"), at(T))), Code::IO);
    assert_eq!(tokens.status().refresh.families, 1, "nothing is left of it");
    assert_eq!(code(tokens.refresh(refresh_of(&first), at(T + 1))), Code::IO);
    let token = Revocation::Token {
        id: first.claims.jti.clone(),
        subject: None,
        expires: first.claims.exp,
    };
    assert_eq!(code(tokens.revoke(&token, "root", at(T + 1))), Code::IO);
    assert_eq!(code(tokens.verify(&first.access, at(T + 1))), Code::TOKEN_REVOKED, "all the same");
    trail.fails.store(false, Ordering::SeqCst);
    // The client never had the next one: it is none that was used.
    let second = tokens.refresh(refresh_of(&first), at(T + 2)).unwrap();
    assert_eq!(code(tokens.refresh(refresh_of(&first), at(T + 3))), Code::REFRESH_REUSED);
    assert_eq!(code(tokens.refresh(refresh_of(&second), at(T + 3))), Code::REFRESH_INVALID);
    let seen = trail.seen.lock().unwrap();
    assert_eq!(*seen, ["token.issue Success", "token.refresh Success", "token.reuse Denied"]);
}

#[test]
fn the_authenticator_says_little() {
    let tokens = Arc::new(fresh(config()));
    let authenticator = TokenAuthenticator::new().with(Arc::clone(&tokens) as _);
    let issued = tokens.issue(&Grant::new("alice"), at(T)).unwrap();
    let session = authenticator.authenticate(Some(&issued.access), at(T + 1)).unwrap();
    assert_eq!((session.principal(), session.scheme()), ("alice", "paseto"));
    let said = |token: Option<&str>, secs| {
        let error = authenticator.authenticate(token, at(secs)).unwrap_err();
        assert_eq!(error.code(), Code::UNAUTHENTICATED);
        error.to_string()
    };
    let garbage = said(Some("garbage"), T + 1);
    let mut changed = issued.access.to_string();
    changed.replace_range(20..21, if &changed[20..21] == "A" { "B" } else { "A" });
    assert_eq!(said(Some(&changed), T + 1), garbage);
    assert_eq!(said(None, T + 1), garbage);
    assert_ne!(said(Some(&issued.access), T + 905), garbage, "so that it is refreshed");
    let refused: u64 = authenticator.refused().map(|(_, count)| count).sum();
    assert_eq!(refused, 3);
}
