//! [`VerifierKey`]: the public half of a key that signs notes.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::{Code, Error, Result};

/// Ed25519 over the note's text.
const CHECKPOINT: u8 = 1;
/// Ed25519 over the note's text and a time: a witness's.
const COSIGNATURE: u8 = 4;

/// The public key that a log's checkpoints, or a witness's co-signatures, are checked with. Prints and
/// parses as C2SP signed-note's `<name>+<key id>+<key>`.
///
/// ```
/// use sutazai_core::security::audit::VerifierKey;
/// let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
/// let key: VerifierKey = text.parse()?;
/// assert_eq!((key.name(), key.to_string().as_str()), ("PeterNeumann", text));
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: u8,
    key: [u8; 32],
    id: u32,
}

impl VerifierKey {
    /// The key of a log.
    ///
    /// # Errors
    /// [`Code::INVALID`] for a name that is empty or has white space or a plus sign.
    pub fn of_log(name: impl Into<String>, key: [u8; 32]) -> Result<Self> {
        Self::new(name.into(), CHECKPOINT, key)
    }

    /// The key of a witness.
    ///
    /// # Errors
    /// As [`of_log`](Self::of_log).
    pub fn of_witness(name: impl Into<String>, key: [u8; 32]) -> Result<Self> {
        Self::new(name.into(), COSIGNATURE, key)
    }

    fn new(name: String, kind: u8, key: [u8; 32]) -> Result<Self> {
        if !signed_note::is_key_name_valid(&name) || name.chars().any(char::is_control) {
            return Err(Error::new(Code::INVALID, "not a name for a key")
                .with("name", name.chars().take(64).collect::<String>())
                .advice("use a name like a host's, without white space or `+`"));
        }
        let id = signed_note::key_id(&name, &Self::typed(kind, &key));
        Ok(Self { name, kind, key, id })
    }

    fn typed(kind: u8, key: &[u8; 32]) -> Vec<u8> {
        std::iter::once(kind).chain(*key).collect()
    }

    /// Its name: of a log, its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The short number by which signatures name it.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The Ed25519 public key.
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Whether it is a witness's.
    pub fn is_witness(&self) -> bool {
        self.kind == COSIGNATURE
    }

    /// What a witness signs: the text, with the time (seconds since 1970) in front.
    pub(super) fn timed(body: &str, seconds: u64) -> Vec<u8> {
        format!("cosignature/v1\ntime {seconds}\n{body}").into_bytes()
    }
}

impl signed_note::Verifier for VerifierKey {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, &self.key);
        if self.kind == CHECKPOINT {
            return key.verify(message, signature).is_ok();
        }
        let (Some((time, signature)), Ok(body)) =
            (signature.split_first_chunk::<8>(), std::str::from_utf8(message))
        else {
            return false;
        };
        let timed = Self::timed(body, u64::from_be_bytes(*time));
        key.verify(&timed, signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = STANDARD.encode(Self::typed(self.kind, &self.key));
        write!(f, "{}+{:08x}+{key}", self.name, self.id)
    }
}

impl FromStr for VerifierKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &'static str| {
            Error::new(Code::INVALID, format!("not a verifier key: {why}"))
                .advice("it has the form <name>+<key id>+<key>, on one line")
        };
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad("it has fewer than three parts"));
        };
        let key = STANDARD.decode(key).map_err(|e| bad("the key is no Base64").because(e))?;
        let parsed = match key.split_first() {
            Some((&kind @ (CHECKPOINT | COSIGNATURE), key)) => {
                let key = key.try_into().map_err(|_| bad("the key does not have 32 bytes"))?;
                Self::new(name.to_owned(), kind, key)?
            }
            _ => return Err(bad("of a kind that is not known here")),
        };
        if id != format!("{:08x}", parsed.id) {
            return Err(bad("the key id is not that of the key"));
        }
        Ok(parsed)
    }
}
