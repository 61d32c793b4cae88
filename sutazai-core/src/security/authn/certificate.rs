//! Client certificates, known by their fingerprints.

use std::collections::BTreeMap;

use ring::digest::{SHA256, digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api_key::hex;
use super::names::check_principal;
use super::records::{Fate, Records};
use crate::base::time::Timestamp;
use crate::port::{AuthProvider, AuthStep, Credential, Session};
use crate::store::Store;
use crate::{Code, Error, Result};

/// A certificate that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateView {
    /// SHA-256 of its DER form, in hexadecimal.
    pub fingerprint: String,
    /// Whose it is.
    pub principal: String,
    /// When it was made known.
    pub added: Timestamp,
    /// Until when it is good here, whatever it says itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
}

/// The factor `certificate`: the fingerprint of the certificate that a client has proved to hold.
///
/// The proof is TLS's: whoever ends the connection checks chain and signature and hands in what the
/// client showed, its DER form or the fingerprint of it. Never take it from what the client says.
pub struct Certificates {
    records: Records<CertificateView>,
}

impl Certificates {
    /// The scheme: `certificate`.
    pub const SCHEME: &'static str = "certificate";

    /// Certificates known in this store.
    pub fn new(store: Store) -> Self {
        Self { records: Records::new(store, "security.certificate") }
    }

    /// Makes a certificate known, by its DER form or by the SHA-256 of that in hexadecimal (colons do not
    /// matter). It answers with the fingerprint.
    ///
    /// # Errors
    /// [`Code::INVALID`] for what is no fingerprint, [`Code::ALREADY_EXISTS`] where it is another one's.
    pub fn add(
        &self,
        principal: &str,
        certificate: &[u8],
        ends: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<String> {
        const OPERATION: &str = "security.certificate_add";
        check_principal(principal, OPERATION)?;
        let fingerprint = fingerprint(certificate).ok_or_else(|| {
            Error::new(Code::INVALID, "neither a certificate in DER form nor a SHA-256 of one")
                .operation(OPERATION)
        })?;
        let view = CertificateView {
            fingerprint: fingerprint.clone(),
            principal: principal.to_owned(),
            added: now,
            ends,
        };
        self.records.change(&fingerprint, now, |there| match there {
            Some(there) if there.principal != principal => {
                Err(Error::new(Code::ALREADY_EXISTS, "the certificate is another principal's")
                    .operation(OPERATION)
                    .with("principal", there.principal))
            }
            _ => Ok((Fate::Put(view), ())),
        })?;
        Ok(fingerprint)
    }

    /// Forgets a certificate; whether it was known.
    ///
    /// # Errors
    /// What the store answers.
    pub fn remove(&self, fingerprint: &str, now: Timestamp) -> Result<bool> {
        let Some(key) = self::fingerprint(fingerprint.as_bytes()) else { return Ok(false) };
        self.records.change(&key, now, |record| Ok((Fate::Delete, record.is_some())))
    }

    /// The certificates that are known, of one principal or of all, after `after` (a fingerprint).
    ///
    /// # Errors
    /// What the store answers.
    pub fn list(
        &self,
        principal: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<CertificateView>> {
        self.records.find(after, limit, |view| {
            Some(view).filter(|view| principal.is_none_or(|name| view.principal == name))
        })
    }

    fn known(&self, certificate: &[u8], now: Timestamp) -> Result<Option<CertificateView>> {
        let Some(key) = fingerprint(certificate) else { return Ok(None) };
        let view = self.records.get(&key)?;
        Ok(view.filter(|view| view.ends.is_none_or(|ends| now < ends)))
    }
}

impl AuthProvider for Certificates {
    fn scheme(&self) -> &str {
        Self::SCHEME
    }

    fn authenticate(&self, credential: &Credential, now: Timestamp) -> Result<AuthStep> {
        let known = self.known(&credential.secret, now)?;
        let known = known.filter(|view| {
            credential.principal.as_ref().is_none_or(|name| *name == view.principal)
        });
        Ok(match known {
            Some(view) => {
                let attributes = BTreeMap::from([(CERTIFICATE.to_owned(), view.fingerprint)]);
                let session = Session::new(view.principal, Self::SCHEME);
                AuthStep::Accepted(session.with_attributes(attributes))
            }
            None => AuthStep::Refused("the certificate is not known, or over".to_owned()),
        })
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

/// The attribute of a session that says by which certificate it came, as its fingerprint.
pub(super) const CERTIFICATE: &str = "certificate";

/// Of the DER form (a SEQUENCE), or of the fingerprint as people write it.
pub(in crate::security) fn fingerprint(certificate: &[u8]) -> Option<String> {
    if certificate.first() == Some(&0x30) && certificate.get(1).is_some_and(|b| *b >= 0x80) {
        return Some(hex(digest(&SHA256, certificate).as_ref()));
    }
    let text = std::str::from_utf8(certificate).ok()?;
    let digits: String = text.chars().filter(|c| *c != ':' && !c.is_whitespace()).collect();
    (digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
        .then(|| digits.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(known: &Certificates, shown: &[u8], now: Timestamp) -> Result<Option<String>> {
        Ok(known.known(shown, now)?.map(|view| view.principal))
    }

    #[test]
    fn the_form_and_its_fingerprint_are_one() {
        let known = Certificates::new(Store::memory(&[]).unwrap());
        let (now, later) = (Timestamp::EPOCH, Timestamp::from_nanos(10));
        let der = [&[0x30, 0x82, 0x01, 0x00][..], &[7; 256]].concat();
        let fingerprint = known.add("ann", &der, Some(later), now).unwrap();
        let colons: Vec<String> = fingerprint
            .to_uppercase()
            .as_bytes()
            .chunks(2)
            .map(|pair| String::from_utf8_lossy(pair).into_owned())
            .collect();
        assert_eq!(
            owner(&known, colons.join(":").as_bytes(), now).unwrap().as_deref(),
            Some("ann")
        );
        assert_eq!(owner(&known, &der, now).unwrap().as_deref(), Some("ann"));
        assert_eq!(owner(&known, &der, later).unwrap(), None, "over");
        assert_eq!(known.add("bob", &der, None, now).unwrap_err().code(), Code::ALREADY_EXISTS);
        assert_eq!(known.add("bob", b"x", None, now).unwrap_err().code(), Code::INVALID);
        assert_eq!(known.list(None, None, 9).unwrap().len(), 1);
        assert!(known.remove(&fingerprint, now).unwrap());
        assert_eq!(owner(&known, &der, now).unwrap(), None);
    }
}
