//! The factors `passkey` and `webauthn`: authenticators that sign a challenge (W3C Web Authentication, Level 2).
//!
//! A **passkey** verifies its user, by a PIN, a finger or a face, and is a first factor that is enough alone. A **security
//! key** is a second factor; a passkey can be one, too, but not after itself. Attestation is not asked for, and what
//! comes of it is not kept: who made an authenticator is nobody's business here.
//!
//! # A login
//!
//! With a passkey: [`Passkeys::ask`] answers options for the browser's `navigator.credentials.get`, for whoever comes or for
//! a name; the browser's answer, as JSON (`PublicKeyCredential.toJSON()`), is the secret of a login with the scheme
//! `passkey`. Which challenge it answers stands in it. As a second factor the options come with the offer of the scheme
//! `webauthn`, as the parameter `options`, and are of that login alone.
//!
//! # What is promised
//!
//! - A challenge is good once, whatever comes of it, and for five minutes
//!   ([`WebauthnPolicy::challenge_ms`]); of any number of threads that bring the same answer, one succeeds.
//! - What is signed is held against the relying party, the origins, the challenge, the user's presence and, of a
//!   first factor, verification.
//! - A signature counter that did not go on is refused, and on the record: the authenticator may have been copied. The
//!   counter is on the disk before the login goes on. Passkeys that are on several devices do not count; for them, the
//!   challenge alone stands against replay.
//! - A challenge for a name that nobody has, or that has no passkey, has the form of one for a name that has: identifiers
//!   of credentials that follow from the name and from a key of this instance, as many and as long as they usually are.
//!   They stay the same for as long as the key does. Whoever watches a name over time sees when its passkeys change, and so
//!   that it is there: to tell nothing at all, ask without a name.

mod keep;
mod policy;
mod prove;
mod register;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use keep::Shelf;
pub use keep::{PasskeyKind, PasskeyView};
pub use policy::WebauthnPolicy;
pub use prove::{PasskeyChallenge, SecurityKeys};
pub use register::{PasskeyOrder, PasskeyRequest, VerifiedPasskey};
use ring::hmac;
use serde::Deserialize;
use webauthn_rs::fake::{FakePasskeyDistribution, WebauthnFakeCredentialGenerator};
use webauthn_rs::prelude::{Uuid, Webauthn, WebauthnError};

use super::names::{check_principal, is_principal};
use super::pending::Pending;
use crate::base::time::Timestamp;
use crate::store::Store;
use crate::{Code, Error, Result};

/// The longest label, in bytes.
pub const LABEL_MAX: usize = 256;
/// The longest answer of a browser that is read, in bytes.
const ANSWER_MAX: usize = 64 * 1024;

/// The factor `passkey`, and what is known of authenticators. [`SecurityKeys`] is the second factor.
pub struct Passkeys {
    set: ArcSwapOption<Set>,
    shelf: Shelf,
    /// Makes the handles of users, which say nothing of them.
    handles: hmac::Key,
    fakes: WebauthnFakeCredentialGenerator<FakePasskeyDistribution>,
    registering: Pending<register::Registering>,
    first: Pending<prove::First>,
    second: Pending<prove::Second>,
}

/// How it is set up.
struct Set {
    policy: WebauthnPolicy,
    webauthn: Webauthn,
}

impl Passkeys {
    /// The scheme of the first factor: `passkey`.
    pub const SCHEME: &'static str = "passkey";

    /// Authenticators kept in this store. Handles of users, and what nobody has, follow from the key, which stays the
    /// same. Without a policy nobody can register or log in.
    ///
    /// # Errors
    /// As [`set_policy`](Self::set_policy).
    pub fn new(store: Store, key: &[u8; 32], policy: Option<WebauthnPolicy>) -> Result<Self> {
        let handles = hmac::Key::new(hmac::HMAC_SHA256, key);
        let fakes = hmac::sign(&handles, b"sutazai webauthn fakes");
        let fakes = WebauthnFakeCredentialGenerator::new(fakes.as_ref()).map_err(|error| {
            Error::new(Code::INTERNAL, "32 bytes are no key").operation(ASK).because(error)
        })?;
        let passkeys = Self {
            set: ArcSwapOption::empty(),
            shelf: Shelf::new(store),
            handles,
            fakes,
            registering: Pending::default(),
            first: Pending::default(),
            second: Pending::default(),
        };
        passkeys.set_policy(policy)?;
        Ok(passkeys)
    }

    /// Takes another policy from here on; without one nobody can register or log in.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that cannot be; it is as it was then.
    pub fn set_policy(&self, policy: Option<WebauthnPolicy>) -> Result<()> {
        let set = match policy {
            None => None,
            Some(policy) => Some(Arc::new(Set { webauthn: policy.webauthn()?, policy })),
        };
        self.set.store(set);
        Ok(())
    }

    /// Somebody's authenticators, in the order in which they came.
    ///
    /// # Errors
    /// What the store answers.
    pub fn list(&self, principal: &str) -> Result<Vec<PasskeyView>> {
        if !is_principal(principal) {
            return Ok(Vec::new());
        }
        Ok(self.shelf.of(principal)?.iter().map(keep::Kept::view).collect())
    }

    /// Calls one of somebody's authenticators something else; whether they have it.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a name or a label that cannot be, and what the store answers.
    pub fn rename(&self, principal: &str, id: &str, label: &str, now: Timestamp) -> Result<bool> {
        const OPERATION: &str = "security.passkey_rename";
        check_principal(principal, OPERATION)?;
        check_label(label, OPERATION)?;
        self.shelf.rename(principal, id, label, now)
    }

    /// Takes one of somebody's authenticators away; whether they had it.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a name that cannot be, and what the store answers.
    pub fn remove(&self, principal: &str, id: &str, now: Timestamp) -> Result<bool> {
        check_principal(principal, "security.passkey_remove")?;
        self.shelf.remove(principal, id, now)
    }

    /// Who has any, by name, after `after`.
    pub(in crate::security) fn names(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.shelf.users.keys(after, limit)
    }

    fn set(&self, operation: &'static str) -> Result<Arc<Set>> {
        self.set.load_full().ok_or_else(|| {
            Error::new(Code::FACTOR_OFF, "authenticators are not set up here")
                .operation(operation)
                .advice("name the relying party and its origins: SecurityOptions::webauthn, or security.webauthn_set")
        })
    }

    /// The handle of a user: 16 bytes that authenticators keep beside the key.
    fn handle(&self, principal: &str) -> Uuid {
        let text = format!("sutazai webauthn handle\n{principal}");
        let tag = hmac::sign(&self.handles, text.as_bytes());
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        Uuid::from_bytes(bytes)
    }
}

impl std::fmt::Debug for Passkeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let waiting = [self.registering.counts(), self.first.counts(), self.second.counts()];
        f.debug_struct("Passkeys")
            .field("policy", &self.set.load().as_ref().map(|set| &set.policy))
            .field("waiting", &waiting.map(|(waiting, _)| waiting))
            .field("evicted", &waiting.map(|(_, evicted)| evicted))
            .finish_non_exhaustive()
    }
}

const ASK: &str = "security.passkey_challenge";

fn check_label(label: &str, operation: &'static str) -> Result<()> {
    if label.len() <= LABEL_MAX && !label.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::new(Code::INVALID, "a label has 256 bytes at most, and no control characters")
        .operation(operation)
        .with("bytes", label.len()))
}

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// Which challenge it says that it answers; that it does is checked later, by what is signed.
fn challenge_of(client_data: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct ClientData {
        challenge: String,
    }
    let data: ClientData = serde_json::from_slice(client_data).ok()?;
    // Some pad it.
    Some(data.challenge.trim_end_matches('=').to_owned())
}

/// What is wrong with what an authenticator said, for the record.
fn why(error: &WebauthnError) -> String {
    match error {
        WebauthnError::InvalidRPOrigin => "it was signed for another origin",
        WebauthnError::InvalidRPIDHash => "it was signed for another relying party",
        WebauthnError::MismatchedChallenge => "it was signed for another challenge",
        WebauthnError::UserNotPresent => "the user was not present",
        WebauthnError::UserNotVerified => "the user was not verified",
        WebauthnError::AuthenticationFailure => "the signature does not fit",
        WebauthnError::CredentialPossibleCompromise => COPIED,
        // The crate says the same of both.
        WebauthnError::CredentialAlteredAlgFromRequest => {
            "its algorithm was not asked for, or it is registered already"
        }
        WebauthnError::CredentialNotFound => "the authenticator is not theirs",
        other => return format!("the authenticator's answer is refused: {other}"),
    }
    .to_owned()
}

const COPIED: &str = "the signature counter did not go on: the authenticator may have been copied";
