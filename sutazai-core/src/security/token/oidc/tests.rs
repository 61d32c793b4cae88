use parking_lot::Mutex;
use serde_json::json;

use super::super::jwt::JwtSigner;
use super::*;

const T: i64 = 1_700_000_000;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_nanos(secs * 1_000_000_000)
}

fn signer() -> JwtSigner {
    JwtSigner::ed25519(&[1; 32], Some("k")).unwrap()
}

fn verifier() -> IdTokenVerifier {
    let mut policy = IdTokenPolicy::new("https://id.example", "client");
    policy.trusted_audiences.insert("api".to_owned());
    IdTokenVerifier::new(policy, Jwks::new([signer().key().unwrap()])).unwrap()
}

fn claims() -> Value {
    json!({"iss": "https://id.example", "aud": "client", "sub": "alice", "iat": T, "exp": T + 300, "nonce": "n"})
}

/// What comes of the claims with these changed; null takes one away.
fn with(changes: Value, request: IdTokenRequest<'_>, now: i64) -> Result<String, IdTokenRefusal> {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    let token = signer().sign(&claims).unwrap();
    verifier().check(&token, &request, at(now)).map(|id| id.subject)
}

#[test]
fn each_mismatch_has_its_own_reason() {
    let usual = IdTokenRequest::new("n");
    let good = Ok("alice".to_owned());
    let refused = |changes| with(changes, usual, T + 1).unwrap_err();
    assert_eq!(with(json!({}), usual, T + 1), good);
    assert_eq!(with(json!({"aud": ["client", "api"], "azp": "client"}), usual, T + 1), good);
    assert_eq!(refused(json!({"iss": "https://id.example/"})), IdTokenRefusal::Issuer);
    assert_eq!(refused(json!({"iss": null})), IdTokenRefusal::Issuer);
    for aud in [
        json!("other"),
        json!([]),
        json!(["client", "stranger"]),
        json!(["client", 1]),
        json!(null),
    ] {
        assert_eq!(refused(json!({"aud": aud, "azp": "client"})), IdTokenRefusal::Audience);
    }
    assert_eq!(refused(json!({"aud": ["client", "api"]})), IdTokenRefusal::AuthorizedParty);
    assert_eq!(refused(json!({"azp": "other"})), IdTokenRefusal::AuthorizedParty);
    assert_eq!(refused(json!({"sub": null})), IdTokenRefusal::Subject);
    assert_eq!(refused(json!({"sub": "x".repeat(256)})), IdTokenRefusal::Subject);
    for (name, value) in
        [("exp", json!(null)), ("iat", json!("now")), ("iat", json!(-1)), ("nbf", json!(1e300))]
    {
        assert_eq!(refused(json!({name: value})), IdTokenRefusal::Times, "{name}");
    }
    assert_eq!(refused(json!({"nonce": "m"})), IdTokenRefusal::Nonce);
    assert_eq!(refused(json!({"nonce": null})), IdTokenRefusal::Nonce);
    assert_eq!(with(json!({}), IdTokenRequest::default(), T + 1), Err(IdTokenRefusal::Nonce));
    assert_eq!(with(json!({"nonce": null}), IdTokenRequest::default(), T + 1), good);
    assert_eq!(with(json!({}), usual, T + 359), good, "the leeway");
    assert_eq!(with(json!({}), usual, T + 360), Err(IdTokenRefusal::Expired));
    assert_eq!(with(json!({}), usual, T - 61), Err(IdTokenRefusal::Early));
    assert_eq!(refused(json!({"nbf": T + 100})), IdTokenRefusal::Early);
    assert_eq!(with(json!({"exp": T + 9999}), usual, T + 660), Err(IdTokenRefusal::Old));
}

#[test]
fn the_access_token_and_the_login_must_fit() {
    let hash = text::encode(&digest::digest(&digest::SHA512, b"at").as_ref()[..32]);
    let usual = IdTokenRequest::new("n");
    let refused = |changes, request| with(changes, request, T + 1).err();
    assert_eq!(refused(json!({"at_hash": hash}), usual.access_token("at")), None);
    assert_eq!(
        refused(json!({"at_hash": hash}), usual.access_token("other")),
        Some(IdTokenRefusal::AccessHash)
    );
    assert_eq!(
        refused(json!({"at_hash": 1}), usual.access_token("at")),
        Some(IdTokenRefusal::AccessHash)
    );
    let age = usual.max_age(Duration::from_secs(10));
    assert_eq!(refused(json!({}), age), Some(IdTokenRefusal::AuthTime));
    assert_eq!(refused(json!({"auth_time": T - 100}), age), Some(IdTokenRefusal::AuthTime));
    assert_eq!(refused(json!({"auth_time": T - 50}), age), None);
}

#[test]
fn keys_and_algorithms_are_the_issuers() {
    let check = |signer: &JwtSigner| {
        let token = signer.sign(&claims()).unwrap();
        verifier().check(&token, &IdTokenRequest::new("n"), at(T + 1)).map(drop)
    };
    let other = JwtSigner::ed25519(&[2; 32], Some("k")).unwrap();
    assert_eq!(check(&other), Err(IdTokenRefusal::Signature));
    let other = JwtSigner::ed25519(&[1; 32], Some("j")).unwrap();
    assert_eq!(check(&other), Err(IdTokenRefusal::Key));
    let shared = JwtSigner::hs256(&[1; 32], Some("k")).unwrap();
    assert_eq!(check(&shared), Err(IdTokenRefusal::Algorithm));
    let verifier = verifier();
    let only = |algorithm| {
        let mut policy = verifier.policy.clone();
        policy.algorithms = BTreeSet::from([algorithm]);
        IdTokenVerifier::new(policy, Jwks::new([signer().key().unwrap()]))
    };
    let token = signer().sign(&claims()).unwrap();
    let rsa_only = only(JwtAlgorithm::Rs256).unwrap();
    let refused = rsa_only.check(&token, &IdTokenRequest::new("n"), at(T + 1));
    assert_eq!(refused.unwrap_err(), IdTokenRefusal::Algorithm);
    assert_eq!(only(JwtAlgorithm::Hs256).unwrap_err().code(), Code::INVALID);
    verifier.set_keys(Jwks::default());
    let gone = verifier.check(&token, &IdTokenRequest::new("n"), at(T + 1));
    assert_eq!(gone.unwrap_err(), IdTokenRefusal::Key);
}

struct Trail(Mutex<Vec<String>>);

impl AuditTrail for Trail {
    fn record(&self, event: &AuditEvent<'_>) -> Result<()> {
        self.0.lock().push(format!("{} {:?} {:?}", event.action, event.outcome, event.details));
        Ok(())
    }
}

#[test]
fn the_caller_gets_one_answer_and_the_trail_the_reason() {
    let trail = Arc::new(Trail(Mutex::default()));
    let verifier = verifier().with_audit(Arc::clone(&trail) as Arc<dyn AuditTrail>);
    let token = signer().sign(&claims()).unwrap();
    let nonce = verifier.verify(&token, &IdTokenRequest::new("m"), at(T + 1)).unwrap_err();
    let late = verifier.verify(&token, &IdTokenRequest::new("n"), at(T + 999)).unwrap_err();
    let garbage = verifier.verify("x", &IdTokenRequest::new("n"), at(T)).unwrap_err();
    assert_eq!(nonce.code(), Code::ID_TOKEN_REFUSED);
    assert_eq!(format!("{nonce:?}"), format!("{late:?}"));
    assert_eq!(format!("{nonce:?}"), format!("{garbage:?}"));
    verifier.verify(&token, &IdTokenRequest::new("n"), at(T + 1)).unwrap();
    let seen = trail.0.lock();
    for (line, reason) in seen.iter().zip(["nonce", "expired", "form", "Success"]) {
        assert!(line.contains(reason), "{line}");
    }
    assert_eq!(seen.len(), 4);
}
