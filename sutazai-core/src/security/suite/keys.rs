//! The keys of the room's own parts, from its keysets.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::super::audit::Ed25519Signer;
use super::super::keys::{DerivingKeyset, KeyState, Keys, Purpose, Schedule, Secret, Spec};
use super::super::token::{SigningKey, TokenKeys, VerifyingKey};
use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

/// The keysets of the room's own, by what they are for.
pub(super) const AUDIT: &str = "sutazai.audit";
pub(super) const SUBJECTS: &str = "sutazai.subjects";
pub(super) const SECRETS: &str = "sutazai.secrets";
pub(super) const TOKENS: &str = "sutazai.tokens";
#[cfg(feature = "biscuit")]
pub(super) const DELEGATIONS: &str = "sutazai.delegations";
/// Whether a keyset is, or could be, of the room's own.
pub(super) fn is_own(keyset: &str) -> bool {
    keyset.starts_with("sutazai.")
}

#[cfg(feature = "webauthn")]
pub(super) const ACCOUNTS: &str = "sutazai.accounts";
/// Who makes them.
pub(super) const BY: &str = "sutazai";

/// Makes the room's keysets, where they are not there. A log is known by its key, what is sealed for subjects is not
/// sealed anew, and authenticators know their users by handles: those stay.
pub(super) fn ensure(keys: &Keys, now: Timestamp) -> Result<()> {
    let stays = Spec::new(Purpose::Derive).schedule(Schedule::MANUAL);
    keys.ensure(AUDIT, stays, BY, now)?;
    keys.ensure(SUBJECTS, stays, BY, now)?;
    #[cfg(feature = "biscuit")]
    keys.ensure(DELEGATIONS, stays, BY, now)?;
    #[cfg(feature = "webauthn")]
    keys.ensure(ACCOUNTS, stays, BY, now)?;
    keys.ensure(SECRETS, Spec::new(Purpose::Encrypt), BY, now)?;
    keys.ensure(TOKENS, Spec::new(Purpose::Derive), BY, now)?;
    Ok(())
}

/// Whether a keyset stays as it is.
pub(super) fn stays(keyset: &str) -> bool {
    #[cfg(feature = "webauthn")]
    if keyset == ACCOUNTS {
        return true;
    }
    #[cfg(feature = "biscuit")]
    if keyset == DELEGATIONS {
        return true;
    }
    [AUDIT, SUBJECTS].contains(&keyset)
}

/// 32 bytes of the active key of a keyset, for this use.
pub(super) fn derived(keys: &Keys, keyset: &str, context: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
    let (_, secret) = keys.deriving(keyset)?.derive(context, 32)?;
    Ok(bytes(&secret))
}

pub(super) fn audit_signer(keys: &Keys, origin: &str) -> Result<Ed25519Signer> {
    Ed25519Signer::from_seed(origin, &*derived(keys, AUDIT, b"checkpoint")?)
}

fn bytes(secret: &Secret) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    out.iter_mut().zip(secret.expose()).for_each(|(to, from)| *to = *from);
    out
}

/// The keys of tokens: derived from those of a keyset, which rotates. What is made of them is kept until
/// [`renew`](Self::renew) is told that the keyset has changed.
pub(super) struct KeysetTokens {
    keys: Keys,
    keyset: DerivingKeyset,
    now: ArcSwap<Made>,
    /// Held while they are made: what is stored last was read last.
    renewing: Mutex<()>,
}

struct Made {
    generation: u64,
    active: Option<Arc<SigningKey>>,
    accepted: Vec<(String, Arc<VerifyingKey>)>,
}

impl KeysetTokens {
    pub(super) fn new(keys: &Keys) -> Result<Self> {
        let made = Made { generation: 0, active: None, accepted: Vec::new() };
        let (keys, keyset) = (keys.clone(), keys.deriving(TOKENS)?);
        let now = ArcSwap::from_pointee(made);
        let tokens = Self { keys, keyset, now, renewing: Mutex::new(()) };
        tokens.renew()?;
        Ok(tokens)
    }

    /// Makes the keys anew, after the keyset was rotated or one of its keys destroyed.
    pub(super) fn renew(&self) -> Result<()> {
        let _one = self.renewing.lock();
        let mut made =
            Made { generation: self.now.load().generation + 1, active: None, accepted: Vec::new() };
        for key in self.keys.info(TOKENS)?.keys {
            let active = key.state == KeyState::Active;
            if !active && key.state != KeyState::DecryptOnly {
                continue;
            }
            let secret = self.keyset.derive_of(key.id, b"v4.public", 32)?;
            let signing = Arc::new(SigningKey::from_seed(&bytes(&secret))?);
            made.accepted.push((signing.id().to_owned(), Arc::clone(signing.verifying())));
            if active {
                made.active = Some(signing);
            }
        }
        self.now.store(Arc::new(made));
        Ok(())
    }
}

impl TokenKeys for KeysetTokens {
    fn current(&self) -> Result<Arc<SigningKey>> {
        self.now.load().active.clone().ok_or_else(|| {
            Error::new(Code::TOKEN_KEY, "the keyset of tokens has no active key")
                .with("keyset", TOKENS)
                .advice("rotate it")
        })
    }

    fn verifier(&self, kid: &str) -> Option<Arc<VerifyingKey>> {
        let made = self.now.load();
        let found = made.accepted.iter().find(|(id, _)| id == kid)?;
        Some(Arc::clone(&found.1))
    }

    fn generation(&self) -> u64 {
        self.now.load().generation
    }
}
