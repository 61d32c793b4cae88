//! The master key: what the keysets in the store are wrapped under, and where it comes from.
//!
//! | source | what is kept in the store | who can open it |
//! |---|---|---|
//! | [`passphrase`](Master::passphrase) | salt and cost of Argon2id | who knows it |
//! | [`file`](Master::file) | nothing | who can read the file: its owner, and root |
//! | [`env`](Master::env) | nothing | who can read the process's environment: its user, and root |
//! | [`keyring`](Master::keyring) | nothing | processes of the user, until the machine ends (Linux) |
//! | [`wrapper`](Master::wrapper) | the wrapped key | who the KMS lets unwrap it |
//! | [`key`](Master::key) | nothing | who the host gives it to |

mod file;
#[cfg(target_os = "linux")]
mod keyring;

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::primitive::passphrase::{self, Cost};
use super::primitive::random;
use super::secret::Secret;
use crate::{Code, Error, Result};

/// Wraps the master key: a KMS, an HSM, a secret manager of the platform. Called when the keys are opened
/// and when the master key is changed, never while they are used; may block. No lock is held.
pub trait KeyWrapper: Send + Sync + 'static {
    /// A name that is kept beside the wrapped key, so that the right one is asked to unwrap it.
    fn name(&self) -> &str;

    /// Wraps a key of 32 bytes, authenticated together with the context.
    ///
    /// # Errors
    /// When it cannot.
    fn wrap(&self, key: &Secret, context: &[u8]) -> Result<Vec<u8>>;

    /// Unwraps what [`wrap`](Self::wrap) made with the same context.
    ///
    /// # Errors
    /// When it cannot, or it is not authentic.
    fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<Secret>;
}

/// Where the master key comes from.
pub struct Master(Source);

enum Source {
    Passphrase { phrase: Secret, cost: Cost },
    Key(Secret),
    Wrapper(Arc<dyn KeyWrapper>),
}

/// What of it is kept beside what it wraps.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Origin {
    Passphrase { salt: Secret, cost: Cost },
    Key,
    Wrapper { name: String, wrapped: Secret },
}

const CONTEXT: &[u8] = b"sutazai.keys.master.v1";

impl Master {
    /// A passphrase, at the [default cost](Cost::default): a tenth of a second or so, and 64 MiB,
    /// whenever the keys are opened.
    pub fn passphrase(phrase: impl Into<Secret>) -> Self {
        Self::passphrase_at(phrase, Cost::default())
    }

    /// A passphrase at another cost. It counts when the master key is set; later the stored one does.
    pub fn passphrase_at(phrase: impl Into<Secret>, cost: Cost) -> Self {
        Self(Source::Passphrase { phrase: phrase.into(), cost })
    }

    /// 32 random bytes that the host has from elsewhere.
    ///
    /// # Errors
    /// [`Code::MASTER_KEY`] for another length.
    pub fn key(key: Secret) -> Result<Self> {
        if key.len() == 32 {
            Ok(Self(Source::Key(key)))
        } else {
            Err(malformed("the key that was given"))
        }
    }

    /// A file with 32 bytes: as they are, in base64 or in hexadecimal digits.
    ///
    /// # Errors
    /// [`Code::MASTER_KEY_EXPOSED`] when its group or others may read or write it, or it belongs to
    /// somebody else (root excepted); [`Code::MASTER_KEY`] when it cannot be read or is malformed.
    pub fn file(path: impl AsRef<Path>) -> Result<Self> {
        file::read(path.as_ref()).map(|key| Self(Source::Key(key)))
    }

    /// Makes such a file with a fresh key, for its owner only, on the disk when this returns.
    ///
    /// # Errors
    /// [`Code::ALREADY_EXISTS`] when there is one; [`Code::MASTER_KEY`] when it cannot be written.
    pub fn create_file(path: impl AsRef<Path>) -> Result<Self> {
        file::create(path.as_ref()).map(|key| Self(Source::Key(key)))
    }

    /// An environment variable with 32 bytes in base64 or hexadecimal digits. The variable stays:
    /// whoever may look at the process's environment sees it, and so do the processes that it starts.
    ///
    /// # Errors
    /// [`Code::MASTER_KEY`] when it is not set or malformed.
    pub fn env(variable: &str) -> Result<Self> {
        let text = Zeroizing::new(std::env::var(variable).map_err(|_| {
            Error::new(Code::MASTER_KEY, "the environment variable of the master key is not set")
                .with("variable", variable)
        })?);
        parse(&text)
            .map(|key| Self(Source::Key(key)))
            .ok_or_else(|| malformed("the environment variable").with("variable", variable))
    }

    /// A key in the kernel's keyring of the user (Linux): made when there is none of that description.
    /// No daemon is needed, nothing is written to a disk, and **it is gone when the machine restarts**:
    /// for what may be lost then, or where something else (PAM, a boot script) puts it there.
    ///
    /// # Errors
    /// [`Code::MASTER_KEY`] where the kernel has no keyrings or forbids them (as many containers do),
    /// and elsewhere than on Linux.
    pub fn keyring(description: &str) -> Result<Self> {
        #[cfg(target_os = "linux")]
        return keyring::find_or_make(description).map(|key| Self(Source::Key(key)));
        #[cfg(not(target_os = "linux"))]
        return Err(Error::new(Code::MASTER_KEY, "only Linux has a keyring in its kernel")
            .with("description", description)
            .advice("give a wrapper that asks the platform's keyring"));
    }

    /// A wrapper of the host's.
    pub fn wrapper(wrapper: Arc<dyn KeyWrapper>) -> Self {
        Self(Source::Wrapper(wrapper))
    }

    /// A key to wrap with from now on, and what is to be kept of where it comes from.
    pub(super) fn begin(&self) -> Result<(Origin, Secret)> {
        match &self.0 {
            Source::Passphrase { phrase, cost } => {
                let salt = Secret::new(random::bytes::<16>()?.to_vec());
                let key = passphrase::key(phrase, salt.expose(), *cost)?;
                Ok((Origin::Passphrase { salt, cost: *cost }, key))
            }
            Source::Key(key) => Ok((Origin::Key, key.clone())),
            Source::Wrapper(wrapper) => {
                let key = Secret::random(32)?;
                let wrapped = Secret::new(wrapper.wrap(&key, CONTEXT)?);
                Ok((Origin::Wrapper { name: wrapper.name().to_owned(), wrapped }, key))
            }
        }
    }

    /// The key that was wrapped with.
    pub(super) fn resume(&self, origin: &Origin) -> Result<Secret> {
        let key = match (&self.0, origin) {
            (Source::Passphrase { phrase, .. }, Origin::Passphrase { salt, cost }) => {
                passphrase::key(phrase, salt.expose(), *cost)?
            }
            (Source::Key(key), Origin::Key) => key.clone(),
            (Source::Wrapper(wrapper), Origin::Wrapper { name, wrapped })
                if wrapper.name() == name =>
            {
                wrapper.unwrap(wrapped.expose(), CONTEXT)?
            }
            _ => {
                return Err(Error::new(
                    Code::MASTER_KEY,
                    "the keysets are under a master key from elsewhere",
                )
                .operation("keys.open")
                .with("kept", origin.name())
                .with("given", self.name()));
            }
        };
        if key.len() == 32 { Ok(key) } else { Err(malformed("the unwrapped key")) }
    }

    fn name(&self) -> &str {
        match &self.0 {
            Source::Passphrase { .. } => "passphrase",
            Source::Key(_) => "key",
            Source::Wrapper(wrapper) => wrapper.name(),
        }
    }
}

impl Origin {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Passphrase { .. } => "passphrase",
            Self::Key => "key",
            Self::Wrapper { name, .. } => name,
        }
    }
}

impl std::fmt::Debug for Master {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Master").field(&self.name()).finish()
    }
}

/// 32 bytes in hexadecimal digits or base64.
fn parse(text: &str) -> Option<Secret> {
    let text = text.trim();
    if text.len() != 64 {
        return Secret::from_base64(text).ok().filter(|key| key.len() == 32);
    }
    let mut key = Zeroizing::new(Vec::with_capacity(32));
    for pair in text.as_bytes().chunks(2) {
        key.push(u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?);
    }
    Some(Secret::new(std::mem::take(&mut *key)))
}

fn malformed(what: &str) -> Error {
    Error::new(Code::MASTER_KEY, format!("{what} does not hold 32 bytes"))
        .advice("32 random bytes, in base64 or 64 hexadecimal digits")
}

#[cfg(test)]
mod tests;
