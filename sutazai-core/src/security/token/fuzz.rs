//! The entrance of the fuzzer: whatever reads tokens, on any bytes.

use std::sync::{Arc, OnceLock};

use super::jwt::{Jwks, JwtAlgorithm, JwtSigner};
use super::oidc::{IdTokenPolicy, IdTokenRequest, IdTokenVerifier};
use super::{SeedKeys, TokenConfig, Tokens, paserk, paseto};
use crate::Result;
use crate::base::time::Timestamp;
use crate::security::clock::{Clock, ClockPolicy};
use crate::store::Store;

struct Target {
    tokens: Tokens,
    jwt: Jwks,
    oidc: IdTokenVerifier,
    #[cfg(feature = "biscuit")]
    delegations: super::delegate::Delegations,
}

impl Target {
    fn new() -> Result<Self> {
        let store = Store::memory(&[])?;
        let clock = Arc::new(Clock::open(store.clone(), ClockPolicy::default())?);
        let keys = Arc::new(SeedKeys::new(&[1; 32])?);
        let tokens = Tokens::open(TokenConfig::new("i", "a"), keys, store, Arc::clone(&clock))?;
        let jwt = Jwks::new([
            JwtSigner::ed25519(&[1; 32], Some("e"))?.key()?,
            JwtSigner::hs256(&[2; 32], None)?.key()?,
        ]);
        Ok(Self {
            jwt: jwt.clone(),
            oidc: IdTokenVerifier::new(IdTokenPolicy::new("i", "a"), jwt)?,
            #[cfg(feature = "biscuit")]
            delegations: super::delegate::Delegations::new(
                super::delegate::DelegationConfig::new("i", "a"),
                Arc::new(super::delegate::RootSeed::new(&[1; 32])?),
                Arc::clone(tokens.revocations()),
                clock,
            )?,
            tokens,
        })
    }
}

/// Reads any bytes as a token of every kind, as a footer's key and as a set of keys. Answers how many took
/// them, which is none, but for what was made with the keys of the fuzzer's.
#[doc(hidden)]
pub fn fuzz_token(data: &[u8]) -> usize {
    static TARGET: OnceLock<Option<Target>> = OnceLock::new();
    let Some(target) = TARGET.get_or_init(|| Target::new().ok()) else { return 0 };
    let now = Timestamp::from_nanos(1_700_000_000_000_000_000);
    let mut taken = 0;
    let mut count = |took: bool| taken += usize::from(took);
    // What is no text reaches readers of bytes only.
    if let Ok(text) = std::str::from_utf8(data) {
        for prefix in ["", paseto::PUBLIC, paseto::LOCAL] {
            count(target.tokens.verify(&format!("{prefix}{text}"), now).is_ok());
        }
        count(target.tokens.refresh(text, now).is_ok());
        count(target.tokens.refresh(&format!("{}{text}", super::REFRESH), now).is_ok());
        count(target.jwt.verify(text).is_ok());
        count(target.oidc.check(text, &IdTokenRequest::default(), now).is_ok());
        drop(Jwks::parse(text, JwtAlgorithm::Rs256));
        drop(paserk::parse(text));
    }
    drop(super::claims::kid(data));
    drop(super::claims::Claims::from_json(data));
    #[cfg(feature = "biscuit")]
    {
        let token = format!("{}{}", super::delegate::BISCUIT, super::text::encode(data));
        if let Ok(held) = target.delegations.verify(&token, now) {
            count(true);
            drop(target.delegations.permit(&held.session, "s", &serde_json::json!({"n": 1}), now));
        }
        let less = super::delegate::Attenuation::new("a").skills(["s"]);
        drop(super::delegate::attenuate(&token, &less));
    }
    taken
}
