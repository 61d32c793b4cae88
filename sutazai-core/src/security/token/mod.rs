//! What they carry: tokens, refreshed, revoked and attenuated.
//!
//! [`Tokens`] issues access tokens, which are PASETO version 4 ([`paseto`], [`paserk`]) and live for a quarter of
//! an hour, and refresh tokens, which are rotated at each use. [`Revocations`] holds what is no longer good.
//! [`TokenAuthenticator`] is the authenticate step of the guarded call: it tells kinds of tokens apart
//! by how they begin ([`TokenScheme`]). [`jwt`] and [`oidc`] verify what others issue, and `delegate` (feature
//! `biscuit`) lets somebody hand an agent less than they may do themselves.
//!
//! **Invariants.**
//! - The algorithm follows from the type of the key. Nothing that a token says of itself chooses one.
//! - A revocation holds from before it returns, and is on the disk when it has. What cannot be kept for want of
//!   room is widened, never dropped.
//! - The time is that of a clock that does not go back ([`Clock`](super::Clock)).
//! - A verified token is never answered from the cache at or after its end, nor once it is revoked; nothing
//!   is kept of a token that failed.
//! - What is issued, refreshed or revoked is on the audit trail before it is acknowledged.

mod cache;
mod claims;
#[cfg(feature = "biscuit")]
pub mod delegate;
mod fault;
mod fuzz;
mod grant;
pub mod jwt;
mod keys;
pub mod oidc;
pub mod paserk;
pub mod paseto;
mod refresh;
mod revoke;
mod scheme;
mod service;
mod text;

pub use cache::CacheStatus;
pub use claims::{
    ATTRIBUTE_ACTOR, ATTRIBUTE_ACTORS, ATTRIBUTE_AMR, ATTRIBUTE_AUTH_TIME, ATTRIBUTE_DELEGATION,
    ATTRIBUTE_EXPIRES, ATTRIBUTE_FAMILY, ATTRIBUTE_ID, ATTRIBUTE_ISSUED, ATTRIBUTE_SCOPE, Claims,
    RESERVED,
};
#[doc(hidden)]
pub use fuzz::fuzz_token;
pub use grant::{Grant, Issued, SUBJECT_MAX};
pub use keys::{LocalKey, SeedKeys, SigningKey, TokenKeys, VerifyingKey};
pub use refresh::{REFRESH, RefreshPolicy, RefreshStatus};
pub use revoke::{Bearer, ID_MAX, Revocation, RevocationPolicy, RevocationStatus, Revocations};
pub use scheme::{TokenAuthenticator, TokenScheme};
pub use service::{TokenConfig, TokenPurpose, TokenStatus, Tokens, Verified};

/// The longest token that is read or made, in bytes.
pub const MAX_TOKEN: usize = 16 * 1024;
