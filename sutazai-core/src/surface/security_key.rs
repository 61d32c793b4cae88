//! Rows of the room `security`: keysets and the life of their keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::{Nothing, Operation};
use super::who::By;
use crate::base::time::Timestamp;
use crate::security::keys::{
    Algorithm, Cost, Export, ExportTo, ImportWith, KeyEvent, KeyId, KeyState, KeysetInfo, Purpose,
    Schedule, Secret, Spec,
};
use crate::{Code, Error, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::blocking(
            "security.keyset_create",
            "Makes a keyset with an active key, for one purpose: encrypt, sign, mac, derive or wrap.",
            &[
                Code::ALREADY_EXISTS,
                Code::INVALID,
                Code::DENIED,
                Code::KEY_PURPOSE,
                Code::KEYS_FULL,
                Code::STORE_FAILED,
                Code::AUDIT_FAILED,
            ],
            create,
        ),
        Operation::blocking(
            "security.keysets",
            "The keysets, those of the room's own among them, by name.",
            &[Code::NOT_RUNNING],
            keysets,
        ),
        Operation::blocking(
            "security.keyset",
            "What may be known of a keyset: its keys and where each is in its life, but no key itself.",
            &[Code::KEY_UNKNOWN],
            keyset,
        ),
        Operation::blocking(
            "security.keyset_remove",
            "Removes a keyset with all its keys: what only they can open is lost.",
            &[Code::KEY_UNKNOWN, Code::DENIED, Code::STORE_FAILED, Code::AUDIT_FAILED],
            remove,
        ),
        Operation::blocking(
            "security.keyset_export",
            "Exports a keyset, its keys wrapped under a passphrase or to the public key of a recipient.",
            &[Code::KEY_UNKNOWN, Code::DENIED, Code::INVALID, Code::AUDIT_FAILED],
            export,
        ),
        Operation::blocking(
            "security.keyset_import",
            "Imports a keyset that was exported, under the name that it had.",
            &[
                Code::NOT_AUTHENTIC,
                Code::ALREADY_EXISTS,
                Code::DENIED,
                Code::INVALID,
                Code::KEY_FORMAT,
                Code::KEY_PURPOSE,
                Code::KEY_UNKNOWN,
                Code::KEYS_FULL,
                Code::STORE_FAILED,
                Code::AUDIT_FAILED,
            ],
            import,
        ),
        Operation::blocking(
            "security.key_rotate",
            "A fresh key takes over in a keyset at once; the one before still decrypts and verifies. A keyset has 64 keys that \
             are not destroyed, at most.",
            &[
                Code::KEY_UNKNOWN,
                Code::INVALID,
                Code::KEYS_FULL,
                Code::STORE_FAILED,
                Code::AUDIT_FAILED,
            ],
            rotate,
        ),
        Operation::blocking(
            "security.key_stage",
            "Makes a keyset's next key before it is needed, so that its public half can be handed out.",
            &[
                Code::KEY_UNKNOWN,
                Code::KEY_STATE,
                Code::INVALID,
                Code::DENIED,
                Code::KEYS_FULL,
                Code::STORE_FAILED,
                Code::AUDIT_FAILED,
            ],
            stage,
        ),
        Operation::blocking(
            "security.key_promote",
            "Lets a keyset's next key take over at once; the one before still decrypts and verifies.",
            &[
                Code::KEY_UNKNOWN,
                Code::KEY_STATE,
                Code::DENIED,
                Code::STORE_FAILED,
                Code::AUDIT_FAILED,
            ],
            promote,
        ),
        Operation::blocking(
            "security.key_destroy",
            "Destroys a key that is not active: what only it can open is lost.",
            &[
                Code::KEY_UNKNOWN,
                Code::KEY_STATE,
                Code::DENIED,
                Code::STORE_FAILED,
                Code::AUDIT_FAILED,
            ],
            destroy,
        ),
        Operation::blocking(
            "security.key_public",
            "The public keys of a keyset that signs, or the active one of a recipient.",
            &[Code::KEY_UNKNOWN, Code::KEY_PURPOSE, Code::DENIED],
            public,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// Its name: 1 to 64 letters, digits, dots, dashes, underscores and slashes.
    keyset: String,
    /// The one thing that it is for.
    purpose: Purpose,
    /// How its keys work; the purpose's own without it.
    algorithm: Option<Algorithm>,
    /// When keys come and go; without it one is active for 90 days, and none is destroyed.
    #[serde(default)]
    schedule: Schedule,
    /// Who makes it.
    by: By,
}

fn create(surface: &Surface, request: Create) -> Result<KeyEvent> {
    let kernel = surface.kernel();
    let Create { keyset, purpose, algorithm, schedule, by } = request;
    let spec = Spec { purpose, algorithm, schedule };
    let keys = kernel.security()?.host_keys(&keyset)?;
    keys.create(&keyset, spec, &by, kernel.runtime().timestamp())
}

#[derive(Serialize, JsonSchema)]
struct Keysets {
    /// The keysets.
    keysets: Vec<KeysetInfo>,
}

fn keysets(surface: &Surface, _: Nothing) -> Result<Keysets> {
    Ok(Keysets { keysets: surface.kernel().security()?.keys().list() })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Named {
    /// The keyset.
    keyset: String,
}

fn keyset(surface: &Surface, request: Named) -> Result<KeysetInfo> {
    surface.kernel().security()?.keys().info(&request.keyset)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Changed {
    /// The keyset.
    keyset: String,
    /// Who changes it.
    by: By,
}

fn remove(surface: &Surface, request: Changed) -> Result<KeyEvent> {
    let kernel = surface.kernel();
    let keys = kernel.security()?.host_keys(&request.keyset)?;
    keys.remove(&request.keyset, &request.by, kernel.runtime().timestamp())
}

fn rotate(surface: &Surface, request: Changed) -> Result<KeyEvent> {
    let kernel = surface.kernel();
    kernel.security()?.rotate(&request.keyset, &request.by, kernel.runtime().timestamp())
}

fn promote(surface: &Surface, request: Changed) -> Result<KeyEvent> {
    let kernel = surface.kernel();
    let keys = kernel.security()?.host_keys(&request.keyset)?;
    keys.promote(&request.keyset, &request.by, kernel.runtime().timestamp())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Stage {
    /// The keyset.
    keyset: String,
    /// When it takes over by itself; without it only `security.key_promote` lets it, or a century.
    starts: Option<Timestamp>,
    /// Who makes it.
    by: By,
}

/// A hundred years.
const CENTURY: std::time::Duration = std::time::Duration::from_secs(36_525 * 86_400);

fn stage(surface: &Surface, request: Stage) -> Result<KeyEvent> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    let keys = kernel.security()?.host_keys(&request.keyset)?;
    let starts = request.starts.unwrap_or(now + CENTURY);
    keys.stage(&request.keyset, starts, &request.by, now)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Destroy {
    /// The keyset.
    keyset: String,
    /// The key's number.
    key: KeyId,
    /// Who destroys it.
    by: By,
}

fn destroy(surface: &Surface, request: Destroy) -> Result<KeyEvent> {
    let kernel = surface.kernel();
    let keys = kernel.security()?.host_keys(&request.keyset)?;
    keys.destroy(&request.keyset, request.key, &request.by, kernel.runtime().timestamp())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Exported {
    /// The keyset.
    keyset: String,
    /// Who knows this passphrase can import it.
    passphrase: Option<String>,
    /// What making a key of the passphrase costs; 64 MiB, 3 passes and 4 lanes without it.
    cost: Option<Cost>,
    /// Who has the keyset of this public key can import it: base64, as `security.key_public` gives it.
    recipient: Option<Secret>,
    /// Who exports it.
    by: By,
}

#[derive(Serialize, JsonSchema)]
struct ExportView {
    /// The keyset, wrapped.
    export: Export,
}

fn export(surface: &Surface, request: Exported) -> Result<ExportView> {
    let kernel = surface.kernel();
    let Exported { keyset, passphrase, cost, recipient, by } = request;
    let passphrase = passphrase.map(Secret::from);
    let to = match (&passphrase, &recipient) {
        (Some(phrase), None) => ExportTo::Passphrase(phrase, cost.unwrap_or_default()),
        (None, Some(public)) if cost.is_none() => ExportTo::Recipient(public.expose()),
        (None, Some(_)) => return Err(one_of("export", "what a passphrase costs is for one")),
        _ => return Err(one_of("export", "give either a passphrase or a recipient")),
    };
    let keys = kernel.security()?.host_keys(&keyset)?;
    let (export, _) = keys.export(&keyset, &to, &by, kernel.runtime().timestamp())?;
    Ok(ExportView { export })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Imported {
    /// What was exported.
    export: Export,
    /// The passphrase that it is wrapped under.
    passphrase: Option<String>,
    /// The keyset of ours whose public key it is wrapped to.
    recipient: Option<String>,
    /// Who imports it.
    by: By,
}

fn import(surface: &Surface, request: Imported) -> Result<KeyEvent> {
    let kernel = surface.kernel();
    let security = kernel.security()?;
    let Imported { export, passphrase, recipient, by } = request;
    let passphrase = passphrase.map(Secret::from);
    let ours = match &recipient {
        Some(keyset) => Some(security.host_keys(keyset)?.wrapping(keyset)?),
        None => None,
    };
    let with = match (&passphrase, &ours) {
        (Some(phrase), None) => ImportWith::Passphrase(phrase),
        (None, Some(keyset)) => ImportWith::Recipient(keyset),
        _ => return Err(one_of("import", "give either a passphrase or a recipient")),
    };
    security.import_keyset(&export, &with, &by, kernel.runtime().timestamp())
}

fn one_of(what: &str, message: &'static str) -> Error {
    Error::new(Code::INVALID, message).operation(format!("security.keyset_{what}"))
}

#[derive(Serialize, JsonSchema)]
struct PublicKeys {
    /// The keys, the oldest first.
    keys: Vec<PublicView>,
}

#[derive(Serialize, JsonSchema)]
struct PublicView {
    /// The key's number.
    id: KeyId,
    /// Where it is in its life; one that is pre-active is to sign later.
    state: KeyState,
    /// The public key, in base64.
    public: Secret,
}

fn public(surface: &Surface, request: Named) -> Result<PublicKeys> {
    let keys = surface.kernel().security()?.host_keys(&request.keyset)?;
    let view = |id, state, bytes| PublicView { id, state, public: Secret::new(bytes) };
    let keys = match keys.signing(&request.keyset) {
        Ok(signing) => {
            let keys = signing.public_keys();
            keys.into_iter().map(|key| view(key.id, key.state, key.bytes.to_vec())).collect()
        }
        Err(error) if error.code() == Code::KEY_PURPOSE => {
            let (id, bytes) = keys.wrapping(&request.keyset)?.public_key()?;
            vec![view(id, KeyState::Active, bytes)]
        }
        Err(error) => return Err(error),
    };
    Ok(PublicKeys { keys })
}
