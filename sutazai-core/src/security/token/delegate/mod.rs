//! Delegation: somebody hands an agent a token that may do less than they may themselves.
//!
//! A root token is a Biscuit (<https://www.biscuitsec.org>) minted for a user's session. Whoever holds it may
//! **attenuate** it, without asking anybody: add a block of checks that only ever take away. An agent that was handed
//! an attenuated token cannot take a block off again. Verification is offline: the root's public key, and the
//! revocations.
//!
//! The session of such a token has the **user** as its principal, whose rights it draws on, and says who acts: the
//! attribute [`ATTRIBUTE_ACTOR`](super::ATTRIBUTE_ACTOR) is the agent that it was handed to last,
//! [`ATTRIBUTE_ACTORS`](super::ATTRIBUTE_ACTORS) all of them in order (as `act` in RFC 8693, §4.1). Each
//! name was given by the one before it, the first by the user.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use serde_json::json;
//! use sutazai_core::base::time::Timestamp;
//! use sutazai_core::security::token::delegate::{Attenuation, DelegationConfig, Delegations, RootSeed, attenuate};
//! use sutazai_core::security::token::{Grant, RevocationPolicy, Revocations};
//! use sutazai_core::security::{Clock, ClockPolicy};
//! use sutazai_core::store::Store;
//!
//! let store = Store::memory(&[])?;
//! let clock = Arc::new(Clock::open(store.clone(), ClockPolicy::default())?);
//! let revocations = Arc::new(Revocations::open(store, RevocationPolicy::default())?);
//! let mut config = DelegationConfig::new("https://issuer.example", "kernel");
//! # config.limits.time = Duration::from_secs(10);
//! let delegations = Delegations::new(config, Arc::new(RootSeed::new(&[7; 32])?), revocations, clock)?;
//!
//! let now = Timestamp::now();
//! let root = delegations.mint(&Grant::new("alice"), None, Duration::from_secs(600), now)?;
//! let less = Attenuation::new("mailer")
//!     .skills(["mail.send"])
//!     .argument_range("count", 1, 10)
//!     .until(now + Duration::from_secs(60));
//! let token = attenuate(&root.token, &less)?;
//!
//! let session = &delegations.verify(&token, now)?.session;
//! assert_eq!((session.principal(), session.attributes()["token.actor"].as_str()), ("alice", "mailer"));
//! delegations.permit(session, "mail.send", &json!({"count": 3}), now)?;
//! assert!(delegations.permit(session, "mail.send", &json!({"count": 30}), now).is_err());
//! assert!(delegations.permit(session, "mail.read", &json!({"count": 3}), now).is_err());
//! # Ok::<(), sutazai_core::Error>(())
//! ```

mod attenuate;
mod datalog;
mod facts;
mod root;
mod service;
mod types;

pub use attenuate::{Attenuation, attenuate};
pub use datalog::{DelegationLimits, authorize_datalog, revocation_ids};
pub use root::{DelegationKeys, RootKey, RootPublicKey, RootSeed};
pub use service::Delegations;
pub use types::{Delegated, DelegationConfig, Minted};

use super::{MAX_TOKEN, fault, text};
use crate::Result;

/// What delegated tokens begin with.
pub const BISCUIT: &str = "biscuit:";

/// The most blocks of a token, the first one included.
pub const BLOCKS_MAX: usize = 16;

const PANICKED: &str = "the reader of Biscuits panicked";

/// The bytes of a token's text.
fn bytes_of(token: &str) -> Result<Vec<u8>> {
    if token.len() > MAX_TOKEN {
        return Err(fault::too_long());
    }
    let body = token.strip_prefix(BISCUIT).ok_or_else(fault::malformed)?;
    text::decode(body).filter(|bytes| !bytes.is_empty()).ok_or_else(fault::malformed)
}

/// The text of a token's bytes.
fn text_of(bytes: &[u8]) -> Result<zeroize::Zeroizing<String>> {
    let mut token = zeroize::Zeroizing::new(String::with_capacity(bytes.len() * 4 / 3 + 16));
    token.push_str(BISCUIT);
    text::encode_to(bytes, &mut token);
    if token.len() > MAX_TOKEN { Err(fault::too_long()) } else { Ok(token) }
}

#[cfg(test)]
mod tests;
