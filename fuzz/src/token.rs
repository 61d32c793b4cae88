//! Tokens of every kind, keys as text, sets of keys.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sutazai_core::base::time::Timestamp;
use sutazai_core::security::token::{SeedKeys, TokenKeys as _, fuzz_token, paseto};

/// Reads the bytes as each of them.
pub fn run(data: &[u8]) {
    fuzz_token(data);
}

/// Tokens that the target's own keys have made, and texts of the other kinds.
pub fn seeds() -> Vec<Vec<u8>> {
    let keys = SeedKeys::new(&[1; 32]).unwrap();
    let key = keys.current().unwrap();
    let at = |seconds: i64| Timestamp::from_nanos((1_700_000_000 + seconds) * 1_000_000_000);
    let claims = serde_json::json!({
        "iss": "i", "aud": "a", "sub": "u", "jti": "t", "fam": "f", "scope": "read write",
        "iat": at(0).to_string(), "nbf": at(0).to_string(), "exp": at(600).to_string(),
        "amr": ["pwd", "otp"], "auth_time": at(0).to_string(), "x": {"tenant": "blue"},
    });
    let footer = serde_json::json!({"kid": key.id()}).to_string();
    let signed = paseto::sign(&key, claims.to_string().as_bytes(), footer.as_bytes(), b"").unwrap();
    let local = keys.current_local().unwrap();
    let footer = serde_json::json!({"kid": local.id()}).to_string();
    let claims = claims.to_string();
    let sealed = paseto::encrypt(&local, claims.as_bytes(), footer.as_bytes(), b"").unwrap();
    let mut seeds: Vec<Vec<u8>> = [
        signed.as_str(),
        sealed.as_str(),
        claims.as_str(),
        footer.as_str(),
        key.id(),
        "k4.public.cHFyc3R1dnd4eXp7fH1-f4CBgoOEhYaHiImKi4yNjo8",
        "eyJhbGciOiJFZERTQSIsImtpZCI6ImUifQ.eyJpc3MiOiJpIiwiYXVkIjoiYSIsInN1YiI6InUifQ.AAAA",
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"e","x":"AAAA"},{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#,
        r#"{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA","use":"sig","alg":"ES256"}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    seeds.extend(biscuits());
    seeds
}

/// A delegated token, and one that was attenuated: the bytes of which the target makes the text.
fn biscuits() -> Vec<Vec<u8>> {
    use std::sync::Arc;
    use sutazai_core::security::token::delegate::{
        Attenuation, BISCUIT, DelegationConfig, Delegations, RootSeed, attenuate,
    };
    use sutazai_core::security::token::{Grant, TokenConfig, Tokens};
    use sutazai_core::security::{Clock, ClockPolicy};
    use sutazai_core::store::Store;
    let store = Store::memory(&[]).unwrap();
    let clock = Arc::new(Clock::open(store.clone(), ClockPolicy::default()).unwrap());
    let keys = Arc::new(SeedKeys::new(&[1; 32]).unwrap());
    let tokens = Tokens::open(TokenConfig::new("i", "a"), keys, store, Arc::clone(&clock)).unwrap();
    let revocations = Arc::clone(tokens.revocations());
    let root = Arc::new(RootSeed::new(&[1; 32]).unwrap());
    let all = Delegations::new(DelegationConfig::new("i", "a"), root, revocations, clock).unwrap();
    let now = Timestamp::from_nanos(1_700_000_000_000_000_000);
    let minted = all.mint(&Grant::new("u"), None, Duration::from_secs(600), now).unwrap();
    let less = Attenuation::new("x").skills(["s"]).argument_range("n", 0, 9);
    let attenuated = attenuate(&minted.token, &less).unwrap();
    [minted.token.as_str(), attenuated.as_str()]
        .map(|text| URL_SAFE_NO_PAD.decode(text.strip_prefix(BISCUIT).unwrap()).unwrap())
        .into()
}
