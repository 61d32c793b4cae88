//! Sealing to a public key: HPKE (RFC 9180), base mode, with HKDF-SHA256 and ChaCha20-Poly1305.

use super::aead::{Aead, not_authentic};
use crate::security::keys::Secret;
use crate::{Code, Error, Result};

/// How the key of a message is agreed on. Private keys have 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kem {
    /// DHKEM(X25519, HKDF-SHA256): public keys of 32 bytes.
    X25519,
    /// X-Wing, that is X25519 and ML-KEM-768 at once (draft-connolly-cfrg-xwing-kem): public keys of
    /// 1,216 bytes; safe while one of the two is. Experimental.
    #[cfg(feature = "post-quantum")]
    XWing,
}

/// The public key of a private one.
///
/// # Errors
/// [`Code::KEY_FORMAT`] for a private key that has not 32 bytes.
pub fn public(kem: Kem, private: &Secret) -> Result<Vec<u8>> {
    match kem {
        Kem::X25519 => x25519::public(private.key()?),
        #[cfg(feature = "post-quantum")]
        Kem::XWing => xwing::public(private.key()?),
    }
}

/// Seals to a public key: the encapsulated key (32 or 1,120 bytes), then the cipher text.
///
/// # Errors
/// [`Code::INVALID`] for a public key that is none, or of low order.
pub fn seal(kem: Kem, public: &[u8], info: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    match kem {
        Kem::X25519 => x25519::seal(public, info, plain),
        #[cfg(feature = "post-quantum")]
        Kem::XWing => xwing::seal(public, info, plain),
    }
}

/// Opens what was sealed to the private key's public one.
///
/// # Errors
/// [`Code::NOT_AUTHENTIC`] when it is not what was sealed, or to another key, or with another `info`.
pub fn open(kem: Kem, private: &Secret, info: &[u8], sealed: &[u8]) -> Result<Secret> {
    match kem {
        Kem::X25519 => x25519::open(private.key()?, info, sealed),
        #[cfg(feature = "post-quantum")]
        Kem::XWing => xwing::open(private.key()?, info, sealed),
    }
}

/// One suite. They have the same face, but orion shows no trait of it.
macro_rules! suite {
    ($suite:ident, $($kem:ident)::+: $private:ident, $public:ident, $ephemeral:ident[$random:literal], $front:ident[$len:literal]) => {
        use orion::hazardous::hpke::{ModeBase, $suite as Suite};
        use orion::hazardous::kem::$($kem)::+ as kem;

        use super::*;

        pub(super) fn public(private: &[u8; 32]) -> Result<Vec<u8>> {
            let public = kem::$public::try_from(&kem::$private::from(*private))
                .map_err(|_| Error::new(Code::INTERNAL, "no public key came of the private one"))?;
            Ok(public.as_ref().to_vec())
        }

        pub(super) fn seal(public: &[u8], info: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
            let failed = |_| Error::new(Code::INVALID, "nothing can be sealed to this public key");
            let to = kem::$public::try_from(public).map_err(failed)?;
            let random = Secret::random($random)?;
            let ephemeral = kem::$ephemeral::try_from(random.expose()).map_err(failed)?;
            let (mut sender, front) =
                ModeBase::<Suite>::new_sender_deterministic(&to, info, ephemeral).map_err(failed)?;
            let mut out = vec![0; $len + plain.len() + Aead::TAG];
            let (head, rest) = out.split_at_mut($len);
            head.copy_from_slice(front.as_ref());
            sender.seal(plain, &[], rest).map_err(failed)?;
            Ok(out)
        }

        pub(super) fn open(private: &[u8; 32], info: &[u8], sealed: &[u8]) -> Result<Secret> {
            let (front, rest) = sealed.split_at_checked($len).ok_or_else(not_authentic)?;
            let len = rest.len().checked_sub(Aead::TAG).ok_or_else(not_authentic)?;
            let front = kem::$front::try_from(front).map_err(|_| not_authentic())?;
            let private = kem::$private::from(*private);
            let mut plain = Secret::new(vec![0; len]);
            ModeBase::<Suite>::base_open(&front, &private, info, rest, &[], plain.expose_mut())
                .map_err(|_| not_authentic())?;
            Ok(plain)
        }
    };
}

mod x25519 {
    suite!(DHKEM_X25519_SHA256_CHACHA20, x25519_hkdf_sha256: PrivateKey, PublicKey, PrivateKey[32], PublicKey[32]);
}

#[cfg(feature = "post-quantum")]
mod xwing {
    suite!(MLKEM768_X25519_SHA256_CHACHA20, xwing: DecapsulationKey, EncapsulationKey, Eseed[64], Ciphertext[1120]);
}
