//! Where the master key is.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::super::keys::Master;
use crate::{Code, Error, Result};

/// Where the master key is; not the key. One from elsewhere (a KMS, an HSM) is for the host's code to give:
/// [`Master::wrapper`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MasterSpec {
    /// A file with 32 bytes, as they are, in base64 or in hexadecimal digits, which its owner alone may read.
    File(PathBuf),
    /// The name of an environment variable with 32 bytes, in base64 or in hexadecimal digits.
    Env(String),
    /// The name of an environment variable with a passphrase.
    PassphraseEnv(String),
    /// The description of a key in the keyring that the system keeps for the user (Linux); made where there is
    /// none, and gone when the machine restarts.
    Keyring(String),
}

impl MasterSpec {
    pub(super) fn read(&self, base: &Path) -> Result<Master> {
        match self {
            Self::File(path) => Master::file(base.join(path)),
            Self::Env(variable) => Master::env(variable),
            Self::PassphraseEnv(variable) => {
                let phrase = std::env::var(variable).unwrap_or_default();
                if phrase.is_empty() {
                    let what = "the environment variable of the passphrase is not set";
                    return Err(Error::new(Code::MASTER_KEY, what).with("variable", variable));
                }
                let phrase = Zeroizing::new(phrase);
                Ok(Master::passphrase(phrase.as_str()))
            }
            Self::Keyring(description) => Master::keyring(description),
        }
    }
}
