//! Keysets that travel: [`Export`], wrapped under a passphrase or to a recipient's public key.

use serde::{Deserialize, Serialize};

use super::event::{KeyChange, KeyEvent};
use super::lifecycle::Keyset;
use super::primitive::aead::{Aead, not_authentic};
use super::primitive::chunked::ChunkedKey;
use super::primitive::hpke::{self, Kem};
use super::primitive::passphrase::{self, Cost};
use super::primitive::random;
use super::secret::Secret;
use super::service::{Keys, check_name};
use super::shelf::{from_json, to_json};
use super::spec::Algorithm;
use super::wrap::WrappingKeyset;
use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

/// An exported keyset, all its keys with it. Safe to store as far as its passphrase is strong, or the
/// recipient's key is kept; whose it is, it does not say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// The version of this format: 1.
    pub format: u32,
    /// How it is wrapped.
    pub wrapped: Wrapped,
    /// The keyset, sealed, in base64.
    pub sealed: Secret,
}

/// How an export is wrapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "under", rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
pub enum Wrapped {
    /// A key of a passphrase, made by Argon2id.
    Passphrase {
        /// The salt, in base64.
        salt: Secret,
        /// What making the key costs.
        cost: Cost,
    },
    /// HPKE, to a recipient.
    Recipient {
        /// The recipient's algorithm.
        algorithm: Algorithm,
    },
}

/// Who is to be able to import.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExportTo<'a> {
    /// Who knows the passphrase.
    Passphrase(&'a Secret, Cost),
    /// Who has the keyset with this public key ([`WrappingKeyset::public_key`]).
    Recipient(&'a [u8]),
}

/// What an import is opened with.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImportWith<'a> {
    /// The passphrase.
    Passphrase(&'a Secret),
    /// The recipient's keyset.
    Recipient(&'a WrappingKeyset),
}

impl Keys {
    /// Exports a keyset.
    ///
    /// # Errors
    /// [`Code::KEY_UNKNOWN`]; [`Code::INVALID`] for a cost or public key that is none, or an empty passphrase.
    pub fn export(
        &self,
        name: &str,
        to: &ExportTo<'_>,
        by: &str,
        now: Timestamp,
    ) -> Result<(Export, KeyEvent)> {
        let event = KeyEvent::new(KeyChange::Exported, name, None, now);
        let plain = self.0.peek(name, to_json)?;
        let export = self.0.record(by, &event, || match to {
            ExportTo::Passphrase(phrase, _) if phrase.is_empty() => {
                Err(Error::new(Code::INVALID, "an empty passphrase protects nothing"))
            }
            ExportTo::Passphrase(phrase, cost) => {
                let salt = Secret::new(random::bytes::<16>()?.to_vec());
                let key = passphrase::key(phrase, salt.expose(), *cost)?;
                let wrapped = Wrapped::Passphrase { salt, cost: *cost };
                let sealed = ChunkedKey::new(Aead::Aes256Gcm, key.expose())?
                    .seal(&[&context(1, &wrapped)?], &plain)?;
                Ok(Export { format: 1, wrapped, sealed: Secret::new(sealed) })
            }
            ExportTo::Recipient(public) => {
                let (kem, algorithm) = recipient(public)?;
                let wrapped = Wrapped::Recipient { algorithm };
                let sealed = hpke::seal(kem, public, &context(1, &wrapped)?, &plain)?;
                Ok(Export { format: 1, wrapped, sealed: Secret::new(sealed) })
            }
        })?;
        Ok((export, event))
    }

    /// Imports a keyset, under the name that it was exported with: what it has made is bound to that.
    ///
    /// # Errors
    /// [`Code::NOT_AUTHENTIC`] when it was altered, or for another passphrase or recipient;
    /// [`Code::ALREADY_EXISTS`]; [`Code::KEY_FORMAT`] for a format that is not known; [`Code::INVALID`]
    /// for a cost out of bounds.
    pub fn import(
        &self,
        export: &Export,
        with: &ImportWith<'_>,
        by: &str,
        now: Timestamp,
    ) -> Result<KeyEvent> {
        self.import_if(export, with, |_| Ok(()), by, now)
    }

    /// The same, where `may` has nothing against the keyset's name, which only the opened export tells.
    ///
    /// # Errors
    /// As [`import`](Self::import), and what `may` answers.
    pub fn import_if(
        &self,
        export: &Export,
        with: &ImportWith<'_>,
        may: impl FnOnce(&str) -> Result<()>,
        by: &str,
        now: Timestamp,
    ) -> Result<KeyEvent> {
        let refused = |_: &Error| {
            // What it says of itself is not to be believed, so the record names no keyset.
            self.0.denied(by, &KeyEvent::new(KeyChange::Imported, "", None, now));
        };
        let keyset = open(export, with).inspect_err(refused)?;
        may(&keyset.name).inspect_err(refused)?;
        self.0.is_free(&keyset.name)?;
        let event = KeyEvent::new(KeyChange::Imported, &keyset.name, None, now);
        self.0.record(by, &event, || self.0.add(keyset, now))?;
        Ok(event)
    }
}

/// The keyset in an export.
fn open(export: &Export, with: &ImportWith<'_>) -> Result<Keyset> {
    if export.format != 1 {
        return Err(Error::new(
            Code::KEY_FORMAT,
            "the export is of a format that is not known here",
        )
        .with("format", export.format));
    }
    let context = context(export.format, &export.wrapped)?;
    let plain = match (with, &export.wrapped) {
        (ImportWith::Passphrase(phrase), Wrapped::Passphrase { salt, cost }) => {
            let key = passphrase::key(phrase, salt.expose(), *cost)?;
            let sealer = ChunkedKey::new(Aead::Aes256Gcm, key.expose())?;
            Secret::new(sealer.open(&[&context], export.sealed.expose())?)
        }
        (ImportWith::Recipient(keyset), Wrapped::Recipient { algorithm })
            if keyset.algorithm() == *algorithm =>
        {
            keyset.open_any(&context, export.sealed.expose())?
        }
        _ => {
            return Err(Error::new(
                Code::INVALID,
                "the export is wrapped in another way than it is to be opened",
            ));
        }
    };
    // Whoever could seal it could put anything into it.
    let keyset = from_json(plain.expose()).ok_or_else(not_authentic)?;
    check_name(&keyset.name)?;
    Ok(keyset)
}

/// How to seal to a public key: their lengths differ.
fn recipient(public: &[u8]) -> Result<(Kem, Algorithm)> {
    match public.len() {
        32 => Ok((Kem::X25519, Algorithm::HpkeX25519)),
        #[cfg(feature = "post-quantum")]
        1216 => Ok((Kem::XWing, Algorithm::HpkeXWing)),
        bytes => {
            Err(Error::new(Code::INVALID, "it is no public key of a recipient")
                .with("bytes", bytes))
        }
    }
}

/// What an export's sealed part is bound to: everything else of it.
fn context(format: u32, wrapped: &Wrapped) -> Result<Vec<u8>> {
    let mut context = b"sutazai.keys.export.v1".to_vec();
    context.extend_from_slice(&format.to_be_bytes());
    let wrapped = serde_json::to_vec(wrapped)
        .map_err(|_| Error::new(Code::INTERNAL, "an export has no JSON form"))?;
    context.extend(wrapped);
    Ok(context)
}
