//! Rows of the room `security`: factors and logins.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::{DONE, Done, Nothing, Operation};
use super::security_shape::{Of, Removed, a_page};
use super::security_token::{TokensView, tokens_view};
use crate::base::time::Timestamp;
use crate::port::Credential;
use crate::security::authn::{ApiKeyOrder, ApiKeyView, Attempt, Offer, TotpEnrolment};
use crate::security::{LoginAnswer, SecurityStatus};
use crate::{Code, Result};

/// What any of them may answer with.
const ERRORS: &[Code] = &[
    Code::INVALID,
    Code::STORE_FAILED,
    Code::AUDIT_FAILED,
    Code::AUDIT_FULL,
    Code::PROVIDER_FAILED,
];

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::blocking(
            "security.status",
            "Figures of logins, tokens, policies, risks and the audit log.",
            &[Code::NOT_RUNNING],
            status,
        ),
        Operation::blocking(
            "security.password_set",
            "Sets somebody's password.",
            &[Code::PASSWORD_WEAK, Code::INVALID, Code::STORE_FAILED],
            password_set,
        ),
        Operation::blocking(
            "security.password_remove",
            "Takes somebody's password away.",
            &[Code::INVALID, Code::STORE_FAILED],
            password_remove,
        ),
        Operation::blocking(
            "security.totp_enrol",
            "Makes somebody a secret for one-time codes; it counts once they confirm it.",
            &[Code::INVALID, Code::STORE_FAILED, Code::AUDIT_FAILED],
            totp_enrol,
        ),
        Operation::blocking(
            "security.totp_confirm",
            "Confirms a secret for one-time codes by the first code.",
            &[Code::NOT_FOUND, Code::UNAUTHENTICATED, Code::INVALID, Code::STORE_FAILED],
            totp_confirm,
        ),
        Operation::blocking(
            "security.totp_remove",
            "Takes somebody's one-time codes away.",
            &[Code::INVALID, Code::STORE_FAILED],
            totp_remove,
        ),
        Operation::blocking(
            "security.recovery_make",
            "Makes somebody's recovery codes anew; they are shown this once.",
            &[Code::INVALID, Code::STORE_FAILED],
            recovery_make,
        ),
        Operation::blocking(
            "security.api_key_make",
            "Makes an API key; it is shown this once.",
            &[Code::INVALID, Code::STORE_FAILED],
            api_key_make,
        ),
        Operation::blocking(
            "security.api_keys",
            "The API keys, of one principal or of all, page by page.",
            &[Code::STORE_FAILED],
            api_keys,
        ),
        Operation::blocking(
            "security.api_key_revoke",
            "Ends an API key at once.",
            &[Code::STORE_FAILED],
            api_key_revoke,
        ),
        Operation::blocking(
            "security.login",
            "Begins a login with its first factor: done, with tokens; next, with the factors that may come; or refused.",
            ERRORS,
            login,
        ),
        Operation::blocking(
            "security.login_answer",
            "Answers a login with another factor.",
            &[
                Code::LOGIN_UNKNOWN,
                Code::INVALID,
                Code::STORE_FAILED,
                Code::AUDIT_FAILED,
                Code::AUDIT_FULL,
                Code::PROVIDER_FAILED,
            ],
            login_answer,
        ),
    ]);
}

fn status(surface: &Surface, _: Nothing) -> Result<SecurityStatus> {
    Ok(surface.kernel().security()?.status())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PasswordSet {
    /// Whose.
    principal: String,
    /// The password.
    password: String,
}

fn password_set(surface: &Surface, request: PasswordSet) -> Result<Done> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    kernel.security()?.set_password(&request.principal, &request.password, now)?;
    Ok(DONE)
}

fn password_remove(surface: &Surface, request: Of) -> Result<Removed> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    Ok(Removed { removed: kernel.security()?.remove_password(&request.principal, now)? })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TotpEnrol {
    /// Whose.
    principal: String,
    /// A secret that they have from elsewhere, in base 32; a new one without it.
    secret: Option<String>,
}

fn totp_enrol(surface: &Surface, request: TotpEnrol) -> Result<TotpEnrolment> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    kernel.security()?.enrol_totp(&request.principal, request.secret.as_deref(), now)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TotpConfirm {
    /// Whose.
    principal: String,
    /// The code that the authenticator shows.
    code: String,
}

fn totp_confirm(surface: &Surface, request: TotpConfirm) -> Result<Done> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    kernel.security()?.confirm_totp(&request.principal, &request.code, now)?;
    Ok(DONE)
}

fn totp_remove(surface: &Surface, request: Of) -> Result<Removed> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    Ok(Removed { removed: kernel.security()?.remove_totp(&request.principal, now)? })
}

#[derive(Serialize, JsonSchema)]
struct RecoveryCodes {
    /// The codes, each good once.
    codes: Vec<String>,
}

fn recovery_make(surface: &Surface, request: Of) -> Result<RecoveryCodes> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    Ok(RecoveryCodes { codes: kernel.security()?.make_recovery_codes(&request.principal, now)? })
}

#[derive(Serialize, JsonSchema)]
struct MadeKey {
    /// What is kept of it.
    #[serde(flatten)]
    view: ApiKeyView,
    /// What the program sends, as its token.
    key: String,
}

fn api_key_make(surface: &Surface, request: ApiKeyOrder) -> Result<MadeKey> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    let made = kernel.security()?.make_api_key(request, now)?;
    Ok(MadeKey { view: made.view, key: made.key })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ApiKeys {
    /// Of this principal only.
    principal: Option<String>,
    /// Only keys after this one: the id of the last of the page before.
    after: Option<String>,
    /// How many, at most; 100 without it.
    #[serde(default = "a_page")]
    limit: usize,
}

#[derive(Serialize, JsonSchema)]
struct Keys {
    /// The keys, by id.
    keys: Vec<ApiKeyView>,
}

fn api_keys(surface: &Surface, request: ApiKeys) -> Result<Keys> {
    let ApiKeys { principal, after, limit } = request;
    let keys = surface.kernel().security()?.api_keys();
    Ok(Keys { keys: keys.list(principal.as_deref(), after.as_deref(), limit.min(1_000))? })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Key {
    /// The key's public part.
    id: String,
}

fn api_key_revoke(surface: &Surface, request: Key) -> Result<Removed> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    Ok(Removed { removed: kernel.security()?.revoke_api_key(&request.id, now)? })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Login {
    /// The factor: `password`, `passkey`, `oidc`, `api-key`, `certificate`, or a provider of the host's.
    scheme: String,
    /// Who they say they are, if the scheme wants to be told.
    principal: Option<String>,
    /// The secret part.
    secret: String,
    /// Where it comes from: an address, as the host sees it. Guessing is slowed down by it.
    origin: Option<String>,
    /// The token that the device got at the end of a login before.
    device: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LoginAnswered {
    /// Which login.
    login: String,
    /// The factor: one of those that were offered.
    scheme: String,
    /// The secret part.
    secret: String,
}

/// Where a login stands.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "step", rename_all = "lowercase")]
enum Step {
    /// They are who they say.
    Done {
        /// Who.
        principal: String,
        /// What else is known of the session.
        attributes: BTreeMap<String, String>,
        /// For the device to keep, and to show the next time.
        device: String,
        /// The tokens.
        #[serde(flatten)]
        tokens: TokensView,
    },
    /// One more factor is wanted: any of these.
    Next {
        /// Which login this is, for the answer.
        login: String,
        /// What may come next.
        offers: Vec<Offer>,
        /// When it is over.
        ends: Timestamp,
    },
    /// They are not, or not now.
    Refused {
        /// Attempts like this one are not looked at before so many milliseconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
}

fn login(surface: &Surface, request: Login) -> Result<Step> {
    let kernel = surface.kernel();
    let Login { scheme, principal, secret, origin, device } = request;
    let mut attempt = Attempt::new(Credential::new(scheme, principal, secret.into_bytes()));
    (attempt.origin, attempt.device) = (origin, device);
    Ok(step(kernel.security()?.log_in(attempt, kernel.runtime().timestamp())?))
}

fn login_answer(surface: &Surface, request: LoginAnswered) -> Result<Step> {
    let kernel = surface.kernel();
    let LoginAnswered { login, scheme, secret } = request;
    let credential = Credential::new(scheme, None, secret.into_bytes());
    let now = kernel.runtime().timestamp();
    Ok(step(kernel.security()?.log_in_answer(&login, credential, now)?))
}

fn step(answer: LoginAnswer) -> Step {
    match answer {
        LoginAnswer::Done { login, issued } => Step::Done {
            principal: login.session.principal().to_owned(),
            attributes: login.session.attributes().clone(),
            device: login.device,
            tokens: tokens_view(&issued),
        },
        LoginAnswer::Next { login, offers, ends } => Step::Next { login, offers, ends },
        LoginAnswer::Refused { retry_after } => Step::Refused {
            retry_after_ms: retry_after
                .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1)),
        },
    }
}
