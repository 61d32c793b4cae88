//! The keys as data in and data out: names in, base64 out. What a JSON surface dispatches to.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::lifecycle::KeyState;
use super::portable::{Export, ExportTo, ImportWith};
use super::primitive::passphrase::Cost;
use super::secret::Secret;
use super::service::Keys;
use super::spec::{Algorithm, KeyId, Purpose, Schedule, Spec};
use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

/// What is asked of the keys. Bytes are in base64; a context is text, and empty when absent.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum KeysRequest {
    /// Every keyset; answers a list of [`KeysetInfo`](super::KeysetInfo).
    List,
    /// One keyset.
    Info {
        /// The keyset.
        keyset: String,
    },
    /// A new keyset; answers the [`KeyEvent`](super::KeyEvent), as all that change something do.
    Create {
        /// Its name.
        keyset: String,
        /// What for.
        purpose: Purpose,
        /// How; the purpose's own when absent.
        #[serde(default)]
        algorithm: Option<Algorithm>,
        /// When keys come and go.
        #[serde(default)]
        schedule: Schedule,
    },
    /// A fresh key takes over.
    Rotate {
        /// The keyset.
        keyset: String,
    },
    /// Destroys a key.
    Destroy {
        /// The keyset.
        keyset: String,
        /// The key.
        key: KeyId,
    },
    /// Removes a keyset.
    Remove {
        /// The keyset.
        keyset: String,
    },
    /// Does what is due; answers `{events, failures}`.
    Tick,
    /// Encrypts; answers `{sealed}`.
    Encrypt {
        /// The keyset.
        keyset: String,
        /// What it belongs to.
        #[serde(default)]
        context: String,
        /// The plain text.
        plain: Secret,
    },
    /// Decrypts; answers `{plain}`.
    Decrypt {
        /// The keyset.
        keyset: String,
        /// What it belongs to.
        #[serde(default)]
        context: String,
        /// The ciphertext.
        sealed: Secret,
    },
    /// Encrypts under the active key; answers `{sealed, changed}`.
    Rewrap {
        /// The keyset.
        keyset: String,
        /// What it belongs to.
        #[serde(default)]
        context: String,
        /// The ciphertext.
        sealed: Secret,
    },
    /// Signs; answers `{signature}`.
    Sign {
        /// The keyset.
        keyset: String,
        /// What it belongs to.
        #[serde(default)]
        context: String,
        /// The message.
        message: Secret,
    },
    /// Verifies a signature; answers `{valid}`.
    Verify {
        /// The keyset.
        keyset: String,
        /// What it belongs to.
        #[serde(default)]
        context: String,
        /// The message.
        message: Secret,
        /// The signature.
        signature: Secret,
    },
    /// The public keys; answers a list of `{id, state, public}`.
    PublicKeys {
        /// The keyset.
        keyset: String,
    },
    /// Makes a tag; answers `{tag}`.
    Mac {
        /// The keyset.
        keyset: String,
        /// What it belongs to.
        #[serde(default)]
        context: String,
        /// The message.
        message: Secret,
    },
    /// Checks a tag; answers `{valid}`.
    VerifyMac {
        /// The keyset.
        keyset: String,
        /// What it belongs to.
        #[serde(default)]
        context: String,
        /// The message.
        message: Secret,
        /// The tag.
        tag: Secret,
    },
    /// Exports; answers the [`Export`].
    Export {
        /// The keyset.
        keyset: String,
        /// Under this passphrase, in base64.
        #[serde(default)]
        passphrase: Option<Secret>,
        /// At this cost.
        #[serde(default)]
        cost: Cost,
        /// To this public key.
        #[serde(default)]
        recipient: Option<Secret>,
    },
    /// Imports.
    Import {
        /// What was exported.
        export: Export,
        /// Under this passphrase, in base64.
        #[serde(default)]
        passphrase: Option<Secret>,
        /// To this keyset of ours.
        #[serde(default)]
        recipient: Option<String>,
    },
}

impl Keys {
    /// Answers a request. Deriving and unwrapping are not offered: they would put keys into JSON.
    ///
    /// # Errors
    /// Those of the operation asked for.
    pub fn answer(&self, request: KeysRequest, by: &str, now: Timestamp) -> Result<Value> {
        use KeysRequest as R;
        let sealed = |bytes: Vec<u8>| Secret::new(bytes);
        Ok(match request {
            R::List => to_value(&self.list())?,
            R::Info { keyset } => to_value(&self.info(&keyset)?)?,
            R::Create { keyset, purpose, algorithm, schedule } => {
                let spec = Spec { purpose, algorithm, schedule };
                to_value(&self.create(&keyset, spec, by, now)?)?
            }
            R::Rotate { keyset } => to_value(&self.rotate(&keyset, by, now)?)?,
            R::Destroy { keyset, key } => to_value(&self.destroy(&keyset, key, by, now)?)?,
            R::Remove { keyset } => to_value(&self.remove(&keyset, by, now)?)?,
            R::Tick => {
                let ticked = self.tick(by, now);
                json!({"events": ticked.events, "failures": ticked.failures})
            }
            R::Encrypt { keyset, context, plain } => {
                let made = self.encryptor(&keyset)?.encrypt(context.as_bytes(), plain.expose())?;
                json!({"sealed": sealed(made)})
            }
            R::Decrypt { keyset, context, sealed: text } => {
                let plain = self.encryptor(&keyset)?.decrypt(context.as_bytes(), text.expose())?;
                json!({"plain": sealed(plain)})
            }
            R::Rewrap { keyset, context, sealed: text } => {
                let again = self.encryptor(&keyset)?.rewrap(context.as_bytes(), text.expose())?;
                let changed = again.is_some();
                json!({"sealed": again.map_or(text, sealed), "changed": changed})
            }
            R::Sign { keyset, context, message } => {
                let made = self.signing(&keyset)?.sign(context.as_bytes(), message.expose())?;
                json!({"signature": sealed(made)})
            }
            R::Verify { keyset, context, message, signature } => {
                let keyset = self.signing(&keyset)?;
                valid(keyset.verify(context.as_bytes(), message.expose(), signature.expose()))?
            }
            R::PublicKeys { keyset } => Value::Array(self.public_keys(&keyset)?),
            R::Mac { keyset, context, message } => {
                let made = self.mac(&keyset)?.tag(context.as_bytes(), message.expose())?;
                json!({"tag": sealed(made)})
            }
            R::VerifyMac { keyset, context, message, tag } => {
                let keyset = self.mac(&keyset)?;
                valid(keyset.verify(context.as_bytes(), message.expose(), tag.expose()))?
            }
            R::Export { keyset, passphrase, cost, recipient } => {
                let to = match (&passphrase, &recipient) {
                    (Some(phrase), None) => ExportTo::Passphrase(phrase, cost),
                    (None, Some(public)) => ExportTo::Recipient(public.expose()),
                    _ => return Err(one_of("export")),
                };
                to_value(&self.export(&keyset, &to, by, now)?.0)?
            }
            R::Import { export, passphrase, recipient } => {
                let ours = recipient.map(|name| self.wrapping(&name)).transpose()?;
                let with = match (&passphrase, &ours) {
                    (Some(phrase), None) => ImportWith::Passphrase(phrase),
                    (None, Some(keyset)) => ImportWith::Recipient(keyset),
                    _ => return Err(one_of("import")),
                };
                to_value(&self.import(&export, &with, by, now)?)?
            }
        })
    }

    /// The public keys of a keyset that signs, or the active one of a recipient.
    fn public_keys(&self, keyset: &str) -> Result<Vec<Value>> {
        let row =
            |id, state, bytes| json!({"id": id, "state": state, "public": Secret::new(bytes)});
        match self.signing(keyset) {
            Ok(signing) => {
                let keys = signing.public_keys();
                Ok(keys.into_iter().map(|key| row(key.id, key.state, key.bytes.to_vec())).collect())
            }
            Err(e) if e.code() == Code::KEY_PURPOSE => {
                let (id, bytes) = self.wrapping(keyset)?.public_key()?;
                Ok(vec![row(id, KeyState::Active, bytes)])
            }
            Err(e) => Err(e),
        }
    }
}

fn to_value<T: Serialize>(answer: &T) -> Result<Value> {
    serde_json::to_value(answer)
        .map_err(|e| Error::new(Code::INTERNAL, "the answer has no JSON form").because(e))
}

/// Not authentic is an answer; anything else wrong with it is an error.
fn valid(checked: Result<()>) -> Result<Value> {
    match checked {
        Ok(()) => Ok(json!({"valid": true})),
        Err(e) if e.code() == Code::NOT_AUTHENTIC => Ok(json!({"valid": false})),
        Err(e) => Err(e),
    }
}

fn one_of(op: &str) -> Error {
    Error::new(Code::INVALID, "give either a passphrase or a recipient")
        .operation(format!("keys.{op}"))
}
