//! Verifying tokens, beside pasetors, and how much of it is the signature.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

mod bar;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use pasetors::claims::ClaimsValidationRules;
use pasetors::keys::AsymmetricPublicKey;
use pasetors::token::UntrustedToken;
use pasetors::version4::V4;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::json;
use sutazai_core::base::time::Timestamp;
use sutazai_core::security::token::delegate::{
    Attenuation, DelegationConfig, Delegations, RootSeed, attenuate,
};
use sutazai_core::security::token::{Grant, SeedKeys, TokenConfig, TokenKeys as _, Tokens, paseto};
use sutazai_core::security::{Clock, ClockPolicy};
use sutazai_core::store::Store;

const ROUND: u64 = 2_000;
/// Nothing is asked of these.
const NO_GOAL: f64 = f64::INFINITY;

fn tokens(cache: usize) -> Tokens {
    let store = Store::memory(&[]).unwrap();
    let clock = Arc::new(Clock::open(store.clone(), ClockPolicy::default()).unwrap());
    let mut config = TokenConfig::new("https://issuer.example", "kernel");
    config.cache = cache;
    Tokens::open(config, Arc::new(SeedKeys::new(&[7; 32]).unwrap()), store, clock).unwrap()
}

/// What a session of an ordinary service says.
fn grant(now: Timestamp) -> Grant {
    Grant::new("user-4711")
        .scope(["read", "write"])
        .authenticated(["pwd", "otp"], now)
        .attribute("tenant", "blue")
        .attribute("device", "3f1c9d")
}

fn main() {
    verify();
    cached();
    delegated();
}

/// The very same token on all sides. Ours chooses the key by the footer, checks issuer, audience and times, and asks
/// the revocations; pasetors has its key, and checks issuer, audience and times; ring has the message.
fn verify() {
    let ours = tokens(0);
    let now = Timestamp::now();
    let issued = ours.login(&grant(now), now).unwrap();
    let token = issued.access.as_str();

    let keys = SeedKeys::new(&[7; 32]).unwrap();
    let public = *keys.current().unwrap().verifying().as_bytes();
    let key = AsymmetricPublicKey::<V4>::from(&public).unwrap();
    let mut rules = ClaimsValidationRules::new();
    rules.validate_issuer_with("https://issuer.example");
    rules.validate_audience_with("kernel");

    let (message, signature) = signed(token);
    bar::compare(
        "security.verify",
        "us",
        0.67,
        &mut || {
            bar::timed(ROUND, || {
                for _ in 0..ROUND {
                    black_box(ours.verify(black_box(token), Timestamp::now()).unwrap());
                }
            })
        },
        &mut [("pasetors", &mut || {
            bar::timed(ROUND, || {
                for _ in 0..ROUND {
                    let untrusted = UntrustedToken::try_from(black_box(token)).unwrap();
                    let verified = pasetors::public::verify(&key, &untrusted, &rules, None, None);
                    black_box(verified.unwrap());
                }
            })
        })],
    );
    bar::alone("security.verify_ring_ed25519", "us", NO_GOAL, &mut || {
        bar::timed(ROUND, || {
            for _ in 0..ROUND {
                let key = UnparsedPublicKey::new(&ED25519, black_box(&public));
                key.verify(black_box(&message), &signature).unwrap();
            }
        })
    });
}

/// A message of the token's length, and ring's signature of it.
fn signed(token: &str) -> (Vec<u8>, Vec<u8>) {
    use ring::signature::Ed25519KeyPair;
    let opened = {
        let keys = SeedKeys::new(&[7; 32]).unwrap();
        paseto::verify(keys.current().unwrap().verifying(), token, b"").unwrap()
    };
    // Header, message, footer, and the five lengths of the encoding before the signature.
    let message = vec![b'x'; 50 + opened.message.len() + opened.footer.len()];
    let seed = seed_of_seven();
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let signature = pair.sign(&message).as_ref().to_vec();
    (message, signature)
}

/// The seed that the signing key of `SeedKeys::new(&[7; 32])` is derived from.
fn seed_of_seven() -> [u8; 32] {
    use ring::hkdf;
    let mut seed = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"sutazai tokens")
        .extract(&[7; 32])
        .expand(&[b"sutazai v4.public"], hkdf::HKDF_SHA256)
        .unwrap()
        .fill(&mut seed)
        .unwrap();
    seed
}

fn cached() {
    const HITS: u64 = 100_000;
    let ours = tokens(8192);
    let now = Timestamp::now();
    let held: Vec<_> = (0..256).map(|_| ours.login(&grant(now), now).unwrap()).collect();
    for issued in &held {
        ours.verify(&issued.access, now).unwrap();
    }
    bar::alone("security.verify_cached", "ns", NO_GOAL, &mut || {
        bar::timed(HITS, || {
            for issued in held.iter().cycle().take(HITS as usize) {
                black_box(ours.verify(black_box(&issued.access), now).unwrap());
            }
        })
    });
}

/// A token that was attenuated once: reading it with its three signatures, and judging a call by it.
fn delegated() {
    const CALLS: usize = 200;
    let store = Store::memory(&[]).unwrap();
    let clock = Arc::new(Clock::open(store, ClockPolicy::default()).unwrap());
    let tokens = tokens(0);
    let mut config = DelegationConfig::new("https://issuer.example", "kernel");
    config.cache = 1;
    let keys = Arc::new(RootSeed::new(&[7; 32]).unwrap());
    let revocations = Arc::clone(tokens.revocations());
    let ours = Delegations::new(config, keys, revocations, clock).unwrap();
    let now = Timestamp::now();
    let root = ours.mint(&grant(now), None, Duration::from_secs(3600), now).unwrap();
    let less = Attenuation::new("mailer").skills(["mail.send"]).argument_range("count", 1, 10);
    // Each is another token, so that the cache knows none when it comes again.
    let held: Vec<_> = (0..CALLS).map(|_| attenuate(&root.token, &less).unwrap()).collect();
    bar::alone("security.verify_biscuit", "us", NO_GOAL, &mut || {
        bar::timed(CALLS as u64, || {
            for token in &held {
                black_box(ours.verify(black_box(token), now).unwrap());
            }
        })
    });
    let arguments = json!({"count": 3, "to": "somebody"});
    let held = ours.verify(&held[0], now).unwrap();
    bar::alone("security.permit_biscuit", "us", NO_GOAL, &mut || {
        bar::timed(CALLS as u64, || {
            for _ in 0..CALLS {
                ours.permit(&held.session, "mail.send", black_box(&arguments), now).unwrap();
            }
        })
    });
}
