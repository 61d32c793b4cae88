//! Rows of the room `security`: passkeys and security keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dispatch::Surface;
use super::operation::{DONE, Done, Operation};
use super::security_shape::{Of, Removed};
use super::who::By;
use crate::security::Registered;
use crate::security::authn::{
    PasskeyChallenge, PasskeyOrder, PasskeyRequest, PasskeyView, WebauthnPolicy,
};
use crate::{Code, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::blocking(
            "security.webauthn_set",
            "Says for which relying party authenticators sign, until the process ends; without a policy, for none.",
            &[Code::INVALID, Code::AUDIT_FAILED],
            webauthn_set,
        ),
        Operation::blocking(
            "security.passkey_register",
            "Options for the browser, so that somebody gets a passkey or registers a security key.",
            &[Code::FACTOR_OFF, Code::INVALID, Code::STORE_FAILED],
            register,
        ),
        Operation::blocking(
            "security.passkey_finish",
            "Finishes a registration with what the browser answered: done, or refused and why.",
            &[
                Code::FACTOR_OFF,
                Code::INVALID,
                Code::ALREADY_EXISTS,
                Code::STORE_FAILED,
                Code::AUDIT_FAILED,
            ],
            finish,
        ),
        Operation::blocking(
            "security.passkey_challenge",
            "Options for the browser, so that somebody logs in with a passkey: in a name, or whoever comes.",
            &[Code::FACTOR_OFF, Code::INVALID, Code::STORE_FAILED],
            challenge,
        ),
        Operation::blocking(
            "security.passkeys",
            "Somebody's passkeys and security keys.",
            &[Code::STORE_FAILED],
            passkeys,
        ),
        Operation::blocking(
            "security.passkey_rename",
            "Calls one of somebody's passkeys or security keys something else.",
            &[Code::INVALID, Code::STORE_FAILED, Code::AUDIT_FAILED],
            rename,
        ),
        Operation::blocking(
            "security.passkey_remove",
            "Takes one of somebody's passkeys or security keys away.",
            &[Code::INVALID, Code::STORE_FAILED, Code::AUDIT_FAILED],
            remove,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Policy {
    /// The policy; without one, nobody can register or log in.
    policy: Option<WebauthnPolicy>,
    /// Who does it. Default: `host`.
    #[serde(default)]
    by: By,
}

fn webauthn_set(surface: &Surface, request: Policy) -> Result<Done> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    kernel.security()?.set_webauthn(request.policy, &request.by, now)?;
    Ok(DONE)
}

fn register(surface: &Surface, request: PasskeyOrder) -> Result<PasskeyRequest> {
    let kernel = surface.kernel();
    let security = kernel.security()?;
    let now = security.clock().observe(kernel.runtime().timestamp());
    security.passkeys().register(request, now)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Finish {
    /// Whose.
    principal: String,
    /// What the browser answered: `PublicKeyCredential.toJSON()`.
    credential: Value,
}

/// What came of a registration.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "step", rename_all = "lowercase")]
enum Finished {
    /// It is kept, and counts.
    Done {
        /// What is known of it.
        passkey: PasskeyView,
    },
    /// What the browser answered does not hold.
    Refused {
        /// Why.
        why: String,
    },
}

fn finish(surface: &Surface, request: Finish) -> Result<Finished> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    let answer = request.credential.to_string();
    Ok(match kernel.security()?.finish_passkey(&request.principal, &answer, now)? {
        Registered::Done(passkey) => Finished::Done { passkey },
        Registered::Refused { why } => Finished::Refused { why },
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Challenge {
    /// In whose name; whoever comes, without it.
    principal: Option<String>,
    /// Where they are, as in `security.login`: of too many challenges, those of whoever asks for the most go first.
    origin: Option<String>,
}

fn challenge(surface: &Surface, request: Challenge) -> Result<PasskeyChallenge> {
    let kernel = surface.kernel();
    let security = kernel.security()?;
    let now = security.clock().observe(kernel.runtime().timestamp());
    security.passkeys().ask(request.principal.as_deref(), request.origin.as_deref(), now)
}

#[derive(Serialize, JsonSchema)]
struct Passkeys {
    /// Them, in the order in which they came.
    passkeys: Vec<PasskeyView>,
}

fn passkeys(surface: &Surface, request: Of) -> Result<Passkeys> {
    let security = surface.kernel().security()?;
    Ok(Passkeys { passkeys: security.passkeys().list(&request.principal)? })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rename {
    /// Whose.
    principal: String,
    /// Which.
    id: String,
    /// What it is called from now on: up to 256 bytes.
    label: String,
}

#[derive(Serialize, JsonSchema)]
struct Renamed {
    /// Whether they have it.
    renamed: bool,
}

fn rename(surface: &Surface, request: Rename) -> Result<Renamed> {
    let kernel = surface.kernel();
    let Rename { principal, id, label } = request;
    let now = kernel.runtime().timestamp();
    Ok(Renamed { renamed: kernel.security()?.rename_passkey(&principal, &id, &label, now)? })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Remove {
    /// Whose.
    principal: String,
    /// Which.
    id: String,
}

fn remove(surface: &Surface, request: Remove) -> Result<Removed> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    let (principal, id) = (&*request.principal, &*request.id);
    Ok(Removed { removed: kernel.security()?.remove_passkey(principal, id, now)? })
}
