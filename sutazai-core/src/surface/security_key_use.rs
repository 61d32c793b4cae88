//! Rows of the room `security`: what keys do. Bytes are in base64; a context is text.

use std::ops::ControlFlow;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::Operation;
use crate::security::keys::Secret;
use crate::{Code, Result};

/// What making something with a keyset may answer.
const MAKES: &[Code] = &[Code::KEY_UNKNOWN, Code::KEY_PURPOSE, Code::DENIED];
/// What opening something with one may answer.
const OPENS: &[Code] = &[
    Code::NOT_AUTHENTIC,
    Code::KEY_UNKNOWN,
    Code::KEY_PURPOSE,
    Code::KEY_STATE,
    Code::KEY_FORMAT,
    Code::DENIED,
];
/// What it may besides, with files.
const FILES: &[Code] = &[
    Code::NOT_AUTHENTIC,
    Code::KEY_UNKNOWN,
    Code::KEY_PURPOSE,
    Code::KEY_STATE,
    Code::KEY_FORMAT,
    Code::DENIED,
    Code::NOT_FOUND,
    Code::ALREADY_EXISTS,
    Code::INVALID,
    Code::IO,
];

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::blocking(
            "security.key_encrypt",
            "Encrypts with the active key of a keyset; what comes out names its key.",
            MAKES,
            encrypt,
        ),
        Operation::blocking(
            "security.key_decrypt",
            "Decrypts with the key of the keyset that encrypted.",
            OPENS,
            decrypt,
        ),
        Operation::blocking(
            "security.key_rewrap",
            "Encrypts under the active key what an older one of the keyset has encrypted.",
            OPENS,
            rewrap,
        ),
        Operation::blocking(
            "security.key_encrypt_file",
            "Encrypts a file of any length into another one, which is there as a whole or not at all.",
            FILES,
            encrypt_file,
        ),
        Operation::blocking(
            "security.key_decrypt_file",
            "Decrypts a file into another one, which is there only if all of it is authentic.",
            FILES,
            decrypt_file,
        ),
        Operation::blocking(
            "security.key_sign",
            "Signs with the active key of a keyset, so that others can verify.",
            MAKES,
            sign,
        ),
        Operation::blocking(
            "security.key_verify",
            "Whether a signature is one of the keyset's, of this message and context.",
            OPENS,
            verify,
        ),
        Operation::blocking(
            "security.key_mac",
            "Makes a tag that only who has the keyset can make and check.",
            MAKES,
            mac,
        ),
        Operation::blocking(
            "security.key_mac_verify",
            "Whether a tag is one of the keyset's, of this message and context.",
            OPENS,
            mac_verify,
        ),
        Operation::blocking(
            "security.key_wrap",
            "Wraps a secret under a keyset of the purpose wrap, or seals it to the keyset's public key (HPKE).",
            MAKES,
            wrap,
        ),
        Operation::blocking(
            "security.key_unwrap",
            "Unwraps a secret that was wrapped under the keyset, or sealed to it.",
            OPENS,
            unwrap,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Plain {
    /// The keyset.
    keyset: String,
    /// What it belongs to (a table and row, a file's name): without the same it cannot be opened.
    #[serde(default)]
    context: String,
    /// The plain text, in base64.
    plain: Secret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sealed {
    /// The keyset.
    keyset: String,
    /// What it belongs to.
    #[serde(default)]
    context: String,
    /// What was made of the plain text, in base64.
    sealed: Secret,
}

#[derive(Serialize, JsonSchema)]
struct SealedView {
    /// What was made of the plain text, in base64.
    sealed: Secret,
}

#[derive(Serialize, JsonSchema)]
struct PlainView {
    /// The plain text, in base64.
    plain: Secret,
}

fn encrypt(surface: &Surface, request: Plain) -> Result<SealedView> {
    let Plain { keyset, context, plain } = request;
    let keys = surface.kernel().security()?.host_keys(&keyset)?;
    let sealed = keys.encryptor(&keyset)?.encrypt(context.as_bytes(), plain.expose())?;
    Ok(SealedView { sealed: Secret::new(sealed) })
}

fn decrypt(surface: &Surface, request: Sealed) -> Result<PlainView> {
    let Sealed { keyset, context, sealed } = request;
    let keys = surface.kernel().security()?.host_keys(&keyset)?;
    let plain = keys.encryptor(&keyset)?.decrypt(context.as_bytes(), sealed.expose())?;
    Ok(PlainView { plain: Secret::new(plain) })
}

#[derive(Serialize, JsonSchema)]
struct Rewrapped {
    /// The ciphertext under the active key, in base64.
    sealed: Secret,
    /// Whether it is another one than before.
    changed: bool,
}

fn rewrap(surface: &Surface, request: Sealed) -> Result<Rewrapped> {
    let Sealed { keyset, context, sealed } = request;
    let keys = surface.kernel().security()?.host_keys(&keyset)?;
    let again = keys.encryptor(&keyset)?.rewrap(context.as_bytes(), sealed.expose())?;
    let changed = again.is_some();
    Ok(Rewrapped { sealed: again.map_or(sealed, Secret::new), changed })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Files {
    /// The keyset.
    keyset: String,
    /// What it belongs to.
    #[serde(default)]
    context: String,
    /// The file that is read.
    from: String,
    /// The file that is written, for its owner only.
    to: String,
    /// Whether a file that is there may be replaced.
    #[serde(default)]
    replace: bool,
}

#[derive(Serialize, JsonSchema)]
struct Passed {
    /// Bytes of plain text.
    bytes: u64,
}

fn encrypt_file(surface: &Surface, request: Files) -> Result<Passed> {
    let Files { keyset, context, from, to, replace } = request;
    let (from, to) = (PathBuf::from(from), PathBuf::from(to));
    let security = surface.kernel().security()?;
    let keys = security.host_keys(&keyset)?;
    security.outside(&from)?;
    security.outside(&to)?;
    let go_on = &mut |_| ControlFlow::Continue(());
    let encryptor = keys.encryptor(&keyset)?;
    let bytes = encryptor.encrypt_file(context.as_bytes(), &from, &to, replace, go_on)?;
    Ok(Passed { bytes })
}

fn decrypt_file(surface: &Surface, request: Files) -> Result<Passed> {
    let Files { keyset, context, from, to, replace } = request;
    let (from, to) = (PathBuf::from(from), PathBuf::from(to));
    let security = surface.kernel().security()?;
    let keys = security.host_keys(&keyset)?;
    security.outside(&from)?;
    security.outside(&to)?;
    let go_on = &mut |_| ControlFlow::Continue(());
    let encryptor = keys.encryptor(&keyset)?;
    let bytes = encryptor.decrypt_file(context.as_bytes(), &from, &to, replace, go_on)?;
    Ok(Passed { bytes })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Message {
    /// The keyset.
    keyset: String,
    /// What it belongs to.
    #[serde(default)]
    context: String,
    /// The message, in base64.
    message: Secret,
}

#[derive(Serialize, JsonSchema)]
struct Signed {
    /// The signature, in base64; it names its key.
    signature: Secret,
}

fn sign(surface: &Surface, request: Message) -> Result<Signed> {
    let Message { keyset, context, message } = request;
    let keys = surface.kernel().security()?.host_keys(&keyset)?;
    let signature = keys.signing(&keyset)?.sign(context.as_bytes(), message.expose())?;
    Ok(Signed { signature: Secret::new(signature) })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SignedMessage {
    /// The keyset.
    keyset: String,
    /// What it belongs to.
    #[serde(default)]
    context: String,
    /// The message, in base64.
    message: Secret,
    /// The signature, in base64.
    signature: Secret,
}

#[derive(Serialize, JsonSchema)]
struct Valid {
    /// Whether it is.
    valid: bool,
}

fn verify(surface: &Surface, request: SignedMessage) -> Result<Valid> {
    let SignedMessage { keyset, context, message, signature } = request;
    let keys = surface.kernel().security()?.host_keys(&keyset)?;
    let signing = keys.signing(&keyset)?;
    valid(signing.verify(context.as_bytes(), message.expose(), signature.expose()))
}

#[derive(Serialize, JsonSchema)]
struct Tagged {
    /// The tag, in base64; it names its key.
    tag: Secret,
}

fn mac(surface: &Surface, request: Message) -> Result<Tagged> {
    let Message { keyset, context, message } = request;
    let keys = surface.kernel().security()?.host_keys(&keyset)?;
    let tag = keys.mac(&keyset)?.tag(context.as_bytes(), message.expose())?;
    Ok(Tagged { tag: Secret::new(tag) })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TaggedMessage {
    /// The keyset.
    keyset: String,
    /// What it belongs to.
    #[serde(default)]
    context: String,
    /// The message, in base64.
    message: Secret,
    /// The tag, in base64.
    tag: Secret,
}

fn mac_verify(surface: &Surface, request: TaggedMessage) -> Result<Valid> {
    let TaggedMessage { keyset, context, message, tag } = request;
    let keys = surface.kernel().security()?.host_keys(&keyset)?;
    valid(keys.mac(&keyset)?.verify(context.as_bytes(), message.expose(), tag.expose()))
}

/// That it is not authentic is an answer; what else is wrong with it is an error.
fn valid(checked: Result<()>) -> Result<Valid> {
    match checked {
        Ok(()) => Ok(Valid { valid: true }),
        Err(error) if error.code() == Code::NOT_AUTHENTIC => Ok(Valid { valid: false }),
        Err(error) => Err(error),
    }
}

fn wrap(surface: &Surface, request: Plain) -> Result<SealedView> {
    let Plain { keyset, context, plain } = request;
    let keys = surface.kernel().security()?.host_keys(&keyset)?;
    let sealed = keys.wrapping(&keyset)?.wrap(context.as_bytes(), &plain)?;
    Ok(SealedView { sealed: Secret::new(sealed) })
}

fn unwrap(surface: &Surface, request: Sealed) -> Result<PlainView> {
    let Sealed { keyset, context, sealed } = request;
    let keys = surface.kernel().security()?.host_keys(&keyset)?;
    let plain = keys.wrapping(&keyset)?.unwrap(context.as_bytes(), sealed.expose())?;
    Ok(PlainView { plain })
}
