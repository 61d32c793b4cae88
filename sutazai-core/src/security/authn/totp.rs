//! One-time codes by time: RFC 6238.

use std::collections::BTreeMap;
use std::sync::Arc;

use ring::rand::{SecureRandom as _, SystemRandom};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::names::{check_principal, is_principal};
use super::records::{Fate, Records};
use super::seal::Sealer;
use crate::base::time::Timestamp;
use crate::port::{AuthProvider, AuthStep, Credential, Session};
use crate::store::Store;
use crate::{Code, Error, Result};

const ENROL: &str = "security.totp_enrol";

/// The hash that codes are made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TotpAlgorithm {
    /// SHA-1: what every authenticator knows, and strong enough here (RFC 6238 §1.2).
    #[default]
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How codes are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TotpPolicy {
    /// Who issues them, as authenticators show it. Default: `SutazAI`.
    pub issuer: String,
    /// The hash. Default: `sha1`.
    pub algorithm: TotpAlgorithm,
    /// Digits of a code: 6 to 8. Default: 6.
    pub digits: u8,
    /// Seconds that a code is good for: 15 to 120. Default: 30.
    pub period_s: u64,
    /// Periods that a code may be early or late by: 0 to 4. Default: 1.
    pub skew: u16,
}

impl Default for TotpPolicy {
    fn default() -> Self {
        Self {
            issuer: "SutazAI".to_owned(),
            algorithm: TotpAlgorithm::default(),
            digits: 6,
            period_s: 30,
            skew: 1,
        }
    }
}

impl TotpPolicy {
    pub(in crate::security) fn check(&self) -> Result<()> {
        let invalid = |field: &'static str, what: &'static str| {
            Err(Error::new(Code::INVALID, what).operation("security.totp").with("field", field))
        };
        if self.issuer.is_empty() || self.issuer.len() > 128 || self.issuer.contains(':') {
            return invalid("issuer", "the issuer of codes has 1 to 128 bytes and no colon");
        }
        if !(6..=8).contains(&self.digits) {
            return invalid("digits", "a code has 6 to 8 digits");
        }
        if !(15..=120).contains(&self.period_s) {
            return invalid("period_s", "the period of codes is 15 to 120 seconds");
        }
        if self.skew > 4 {
            return invalid("skew", "the skew of codes is 4 periods at most");
        }
        Ok(())
    }
}

/// What a principal gives their authenticator.
#[derive(Clone, Serialize, JsonSchema)]
pub struct TotpEnrolment {
    /// The secret, in base 32, for typing.
    pub secret: String,
    /// The same as `otpauth://` address, for a QR code.
    pub url: String,
}

impl std::fmt::Debug for TotpEnrolment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TotpEnrolment").finish_non_exhaustive()
    }
}

/// The factor `totp`.
///
/// A code is consumed before it counts: the period it stands for is on the disk as used, and neither it nor
/// an earlier one is good again, whatever the clock says.
pub struct Totp {
    records: Records<Record>,
    policy: TotpPolicy,
    sealer: Arc<dyn Sealer>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Record {
    /// The secret, sealed; base 64.
    secret: String,
    algorithm: TotpAlgorithm,
    digits: u8,
    period_s: u64,
    /// Whether the principal has shown that they have it.
    confirmed: bool,
    /// The number of the newest period of which a code was used.
    used: Option<u64>,
    /// A secret that takes the place of this one once it is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<Box<Record>>,
}

impl Totp {
    /// The scheme: `totp`.
    pub const SCHEME: &'static str = "totp";

    /// Codes whose secrets are kept in this store, sealed.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a policy that cannot be.
    pub fn new(store: Store, policy: TotpPolicy, sealer: Arc<dyn Sealer>) -> Result<Self> {
        policy.check()?;
        Ok(Self { records: Records::new(store, "security.totp"), policy, sealer })
    }

    /// Makes a secret for somebody. It counts once they [confirm](Self::confirm) it; a secret they have is
    /// good until then.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a name that cannot be, and what sealer and store answer.
    pub fn enrol(&self, principal: &str, now: Timestamp) -> Result<TotpEnrolment> {
        // As long as the hash's output (RFC 4226 §4, R6).
        let length = match self.policy.algorithm {
            TotpAlgorithm::Sha1 => 20,
            TotpAlgorithm::Sha256 => 32,
            TotpAlgorithm::Sha512 => 64,
        };
        let mut secret = Zeroizing::new(vec![0; length]);
        SystemRandom::new().fill(&mut secret).map_err(|_| {
            Error::new(Code::IO, "the operating system gave no random bytes").operation(ENROL)
        })?;
        self.enrol_with(principal, &secret, now)
    }

    /// As [`enrol`](Self::enrol), with a secret that somebody has from elsewhere, in base 32: 16 bytes at least.
    ///
    /// # Errors
    /// As [`enrol`](Self::enrol), and [`Code::INVALID`] for what is no secret.
    pub fn import(&self, principal: &str, secret: &str, now: Timestamp) -> Result<TotpEnrolment> {
        let secret = totp_rs::Secret::try_from_base32(secret.trim()).ok();
        let secret = secret.filter(|secret| (16..=64).contains(&secret.as_bytes().len()));
        let secret = secret.ok_or_else(|| {
            Error::new(Code::INVALID, "a secret for codes is 16 to 64 bytes in base 32")
                .operation(ENROL)
        })?;
        self.enrol_with(principal, secret.as_bytes(), now)
    }

    fn enrol_with(&self, principal: &str, secret: &[u8], now: Timestamp) -> Result<TotpEnrolment> {
        check_principal(principal, ENROL)?;
        let record = Record {
            secret: base64(&self.sealer.seal(&context(principal), secret)?),
            algorithm: self.policy.algorithm,
            digits: self.policy.digits,
            period_s: self.policy.period_s,
            confirmed: false,
            used: None,
            next: None,
        };
        // A colon parts issuer and account in the address; authenticators show the rest.
        let account = principal.replace(':', "_");
        let totp = builder(&record, secret, self.policy.skew)
            .with_issuer(Some(self.policy.issuer.clone()))
            .with_account_name(account)
            .build()
            .map_err(broken)?;
        let enrolment = TotpEnrolment {
            secret: totp.secret().to_base32(),
            url: totp.to_url().map_err(broken)?,
        };
        self.records.change(principal, now, |there| {
            let record = match there {
                Some(there) if there.confirmed => Record { next: Some(Box::new(record)), ..there },
                _ => record,
            };
            Ok((Fate::Put(record), ()))
        })?;
        Ok(enrolment)
    }

    /// Shows that a principal has the secret they were made: from now on their codes count. The code is used
    /// by that.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] without a secret to confirm, [`Code::UNAUTHENTICATED`] for a wrong code.
    pub fn confirm(&self, principal: &str, code: &str, now: Timestamp) -> Result<()> {
        const OPERATION: &str = "security.totp_confirm";
        check_principal(principal, OPERATION)?;
        self.records.change(principal, now, |there| {
            let pending = match there {
                Some(Record { next: Some(next), .. }) => *next,
                Some(there) if !there.confirmed => there,
                _ => {
                    return Err(Error::new(Code::NOT_FOUND, "there is no secret to confirm")
                        .operation(OPERATION)
                        .advice("enrol first"));
                }
            };
            let step = self.matches(principal, &pending, code, seconds(now))?.ok_or_else(|| {
                Error::new(Code::UNAUTHENTICATED, "the code is not the one of this time")
                    .operation(OPERATION)
                    .advice("check the authenticator's clock")
            })?;
            Ok((Fate::Put(Record { confirmed: true, used: Some(step), ..pending }), ()))
        })
    }

    /// Takes somebody's secret away; whether there was one.
    ///
    /// # Errors
    /// What the store answers.
    pub fn remove(&self, principal: &str, now: Timestamp) -> Result<bool> {
        check_principal(principal, "security.totp_remove")?;
        self.records.change(principal, now, |record| Ok((Fate::Delete, record.is_some())))
    }

    /// Whether somebody has a secret whose codes count.
    ///
    /// # Errors
    /// What the store answers.
    pub fn is_enrolled(&self, principal: &str) -> Result<bool> {
        if !is_principal(principal) {
            return Ok(false);
        }
        Ok(self.records.get(principal)?.is_some_and(|record| record.confirmed))
    }

    /// Who has any, by name, after `after`.
    pub(in crate::security) fn names(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.records.keys(after, limit)
    }

    /// Uses a code up; whether it was good.
    fn consume(&self, principal: &str, code: &str, now: Timestamp) -> Result<bool> {
        self.consume_at(principal, code, seconds(now), now)
    }

    fn consume_at(
        &self,
        principal: &str,
        code: &str,
        seconds: u64,
        now: Timestamp,
    ) -> Result<bool> {
        if !is_principal(principal) {
            return Ok(false);
        }
        self.records.change(principal, now, |there| {
            let Some(record) = there.filter(|record| record.confirmed) else {
                return Ok((Fate::Keep, false));
            };
            match self.matches(principal, &record, code, seconds)? {
                Some(step) if record.used.is_none_or(|used| used < step) => {
                    Ok((Fate::Put(Record { used: Some(step), ..record }), true))
                }
                _ => Ok((Fate::Keep, false)),
            }
        })
    }

    /// The number of the period that this is the code of, if it is of one near now.
    fn matches(
        &self,
        principal: &str,
        record: &Record,
        code: &str,
        seconds: u64,
    ) -> Result<Option<u64>> {
        let sealed = unbase64(&record.secret)?;
        let secret = self.sealer.open(&context(principal), &sealed)?;
        let totp = builder(record, &secret, self.policy.skew).build().map_err(broken)?;
        // People type spaces; authenticators show them.
        let code: String = code.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        if code.len() != usize::from(record.digits) || !code.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(None);
        }
        Ok(totp.check(&code, seconds))
    }
}

impl AuthProvider for Totp {
    fn scheme(&self) -> &str {
        Self::SCHEME
    }

    fn authenticate(&self, credential: &Credential, now: Timestamp) -> Result<AuthStep> {
        let principal = credential.principal.as_deref().unwrap_or("");
        let code = std::str::from_utf8(&credential.secret).unwrap_or("");
        Ok(if self.consume(principal, code, now)? {
            AuthStep::Accepted(Session::new(principal, Self::SCHEME))
        } else {
            AuthStep::Refused("the code is wrong, was used, or nobody has one here".to_owned())
        })
    }

    fn challenge(
        &self,
        principal: &str,
        _login: &str,
        _now: Timestamp,
    ) -> Result<Option<BTreeMap<String, String>>> {
        Ok(self.is_enrolled(principal)?.then(BTreeMap::new))
    }
}

impl std::fmt::Debug for Totp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Totp").field("policy", &self.policy).finish_non_exhaustive()
    }
}

fn builder(record: &Record, secret: &[u8], skew: u16) -> totp_rs::Builder {
    let algorithm = match record.algorithm {
        TotpAlgorithm::Sha1 => totp_rs::Algorithm::SHA1,
        TotpAlgorithm::Sha256 => totp_rs::Algorithm::SHA256,
        TotpAlgorithm::Sha512 => totp_rs::Algorithm::SHA512,
    };
    totp_rs::Builder::new()
        .with_algorithm(algorithm)
        .with_digits(record.digits)
        .with_step_duration(record.period_s)
        .with_skew(skew)
        .with_secret(totp_rs::Secret::new(secret.into()))
}

fn seconds(now: Timestamp) -> u64 {
    u64::try_from(now.as_nanos() / 1_000_000_000).unwrap_or(0)
}

fn context(principal: &str) -> String {
    format!("security.totp:{principal}")
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn unbase64(text: &str) -> Result<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).map_err(|error| {
        Error::new(Code::STORE_CORRUPT, "a sealed secret is not one")
            .operation("security.totp")
            .because(error)
    })
}

#[cold]
fn broken(error: totp_rs::TotpError) -> Error {
    Error::new(Code::INTERNAL, "a one-time code could not be made")
        .operation("security.totp")
        .because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::keys::{Keys, Master, Purpose, Secret, Spec};

    /// RFC 6238, appendix B: time, and the codes of the three hashes.
    const VECTORS: [(u64, [&str; 3]); 6] = [
        (59, ["94287082", "46119246", "90693936"]),
        (1_111_111_109, ["07081804", "68084774", "25091201"]),
        (1_111_111_111, ["14050471", "67062674", "99943326"]),
        (1_234_567_890, ["89005924", "91819424", "93441116"]),
        (2_000_000_000, ["69279037", "90698825", "38618901"]),
        (20_000_000_000, ["65353130", "77737706", "47863826"]),
    ];

    #[test]
    fn the_vectors_of_the_rfc() {
        let store = Store::memory(&[]).unwrap();
        let master = Master::key(Secret::new(vec![1; 32])).unwrap();
        let keys = Keys::open(store.clone(), &master, None, Timestamp::EPOCH).unwrap();
        keys.create("rfc", Spec::new(Purpose::Encrypt), "test", Timestamp::EPOCH).unwrap();
        let sealer: Arc<dyn Sealer> = Arc::new(keys.encryptor("rfc").unwrap());
        let digits = "1234567890".repeat(7);
        let hashes =
            [(TotpAlgorithm::Sha1, 20), (TotpAlgorithm::Sha256, 32), (TotpAlgorithm::Sha512, 64)];
        for (at, codes) in VECTORS {
            for ((algorithm, length), code) in hashes.into_iter().zip(codes) {
                let policy = TotpPolicy { algorithm, digits: 8, skew: 0, ..TotpPolicy::default() };
                let totp = Totp::new(store.clone(), policy, Arc::clone(&sealer)).unwrap();
                let secret = sealer.seal(&context("rfc"), &digits.as_bytes()[..length]).unwrap();
                let record = Record {
                    secret: base64(&secret),
                    algorithm,
                    digits: 8,
                    period_s: 30,
                    confirmed: true,
                    used: None,
                    next: None,
                };
                let now = Timestamp::EPOCH;
                totp.records.change("rfc", now, |_| Ok((Fate::Put(record), ()))).unwrap();
                assert!(!totp.consume_at("rfc", "00000000", at, now).unwrap());
                assert!(totp.consume_at("rfc", code, at, now).unwrap(), "{algorithm:?} at {at}");
                assert!(!totp.consume_at("rfc", code, at, now).unwrap(), "used");
            }
        }
    }
}
