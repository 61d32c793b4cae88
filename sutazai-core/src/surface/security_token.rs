//! Rows of the room `security`: tokens, and approvals of calls that wait.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
#[cfg(feature = "agent")]
use super::operation::Nothing;
use super::operation::Operation;
use super::who::By;
#[cfg(feature = "agent")]
use crate::base::id::CallId;
use crate::base::time::Timestamp;
#[cfg(feature = "agent")]
use crate::kernel::ApprovalView;
use crate::security::token::{Grant, Issued, Revocation};
use crate::{Code, Error, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::blocking(
            "security.token_issue",
            "Issues tokens for somebody whom the host vouches for; on the record as an override of the logins.",
            &[
                Code::INVALID,
                Code::PRINCIPAL_DISABLED,
                Code::STORE_FAILED,
                Code::OVERLOADED,
                Code::AUDIT_FAILED,
            ],
            issue,
        ),
        Operation::blocking(
            "security.token_refresh",
            "Takes a refresh token and issues the next tokens; one that was used before revokes all that came of it.",
            &[Code::REFRESH_INVALID, Code::REFRESH_REUSED, Code::STORE_FAILED],
            refresh,
        ),
        Operation::blocking(
            "security.token_verify",
            "What a token says, if it is good.",
            &[
                Code::TOKEN_MALFORMED,
                Code::TOKEN_KEY,
                Code::TOKEN_SIGNATURE,
                Code::TOKEN_CLAIMS,
                Code::TOKEN_EARLY,
                Code::TOKEN_EXPIRED,
                Code::TOKEN_REVOKED,
            ],
            verify,
        ),
        Operation::blocking(
            "security.token_revoke",
            "Revokes one token, all of somebody's, or all, that were issued until now; at once, and after a restart.",
            &[
                Code::INVALID,
                Code::STORE_FAILED,
                Code::TOKEN_MALFORMED,
                Code::TOKEN_KEY,
                Code::TOKEN_SIGNATURE,
            ],
            revoke,
        ),
    ]);
    #[cfg(feature = "agent")]
    table.extend([
        Operation::now(
            "security.approvals",
            "The calls that wait to be approved, the oldest first.",
            &[Code::REQUEST_INVALID],
            approvals,
        ),
        Operation::blocking(
            "security.approve",
            "Approves a call that waits, in the name of somebody whom the host has made sure of.",
            &[Code::NOT_FOUND, Code::DENIED, Code::AUDIT_FAILED],
            approve,
        ),
        Operation::blocking(
            "security.reject",
            "Refuses a call that waits to be approved.",
            &[Code::NOT_FOUND, Code::DENIED, Code::AUDIT_FAILED],
            reject,
        ),
    ]);
}

/// Tokens that were issued.
#[derive(Serialize, JsonSchema)]
pub(super) struct TokensView {
    /// The access token: what calls are made with.
    access: String,
    /// When it ends.
    expires: Timestamp,
    /// The refresh token, to be used once.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh: Option<String>,
}

pub(super) fn tokens_view(issued: &Issued) -> TokensView {
    TokensView {
        access: issued.access.to_string(),
        expires: issued.claims.exp,
        refresh: issued.refresh.as_deref().cloned(),
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Who gets them.
    principal: String,
    /// What they may be used for: skills, or how they begin (`mail.*`); whatever the principal may without it.
    #[serde(default)]
    scopes: Vec<String>,
    /// The factors that the host has seen proved.
    #[serde(default)]
    methods: Vec<String>,
    /// What else the session is to know.
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    /// Who vouches.
    by: By,
}

fn issue(surface: &Surface, request: Wanted) -> Result<TokensView> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    let mut grant = Grant::new(request.principal).scope(request.scopes);
    if !request.methods.is_empty() {
        grant = grant.authenticated(request.methods, now);
    }
    grant.attributes = request.attributes;
    Ok(tokens_view(&kernel.security()?.vouch(&grant, &request.by, now)?))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Refresh {
    /// The refresh token.
    refresh: String,
}

fn refresh(surface: &Surface, request: Refresh) -> Result<TokensView> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    Ok(tokens_view(&kernel.security()?.tokens().refresh(&request.refresh, now)?))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Token {
    /// The access token.
    token: String,
}

#[derive(Serialize, JsonSchema)]
struct VerifiedView {
    /// Whose it is.
    principal: String,
    /// When it ends.
    expires: Timestamp,
    /// What is known of the session.
    attributes: BTreeMap<String, String>,
}

fn verify(surface: &Surface, request: Token) -> Result<VerifiedView> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    let verified = kernel.security()?.tokens().verify(&request.token, now)?;
    Ok(VerifiedView {
        principal: verified.session.principal().to_owned(),
        expires: verified.claims.exp,
        attributes: verified.session.attributes().clone(),
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Revoke {
    /// This access token, or the session that a refresh token keeps alive.
    token: Option<String>,
    /// With an access token, the session that it came of: its refresh token, and every access token of that.
    #[serde(default)]
    family: bool,
    /// All of this principal's that were issued until now.
    principal: Option<String>,
    /// All that were issued until now.
    #[serde(default)]
    everything: bool,
    /// Of the principal, or everything, what was issued until then instead; not in the future.
    before: Option<Timestamp>,
    /// Who revokes.
    by: By,
}

#[derive(Serialize, JsonSchema)]
struct Revoked {
    /// Always true; failing to is an error.
    revoked: bool,
}

fn revoke(surface: &Surface, request: Revoke) -> Result<Revoked> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    let tokens = kernel.security()?.tokens();
    let by = &*request.by;
    let until = request.before.unwrap_or(now);
    match (request.token, request.principal, request.everything) {
        (Some(token), None, false) if request.family && request.before.is_none() => {
            tokens.revoke_family_of(&token, by, now)?;
        }
        (Some(token), None, false) if request.before.is_none() => {
            tokens.revoke_token(&token, by, now)?;
        }
        (None, Some(subject), false) if !request.family => {
            tokens.revoke(&Revocation::Subject { subject, before: until }, by, now)?;
        }
        (None, None, true) if !request.family => {
            tokens.revoke(&Revocation::Everything { before: until }, by, now)?;
        }
        _ => {
            return Err(Error::new(
                Code::INVALID,
                "one of token, principal and everything says what; family goes with a token, before with the others",
            )
            .operation("security.token_revoke"));
        }
    }
    Ok(Revoked { revoked: true })
}

#[cfg(feature = "agent")]
#[derive(Serialize, JsonSchema)]
struct Approvals {
    /// The calls.
    waiting: Vec<ApprovalView>,
}

#[cfg(feature = "agent")]
fn approvals(surface: &Surface, _: Nothing) -> Result<Approvals> {
    Ok(Approvals { waiting: surface.kernel().approvals() })
}

#[cfg(feature = "agent")]
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Approve {
    /// The call.
    call: CallId,
    /// Who.
    by: By,
    /// Why not, where it is refused.
    #[serde(default)]
    why: String,
}

#[cfg(feature = "agent")]
#[derive(Serialize, JsonSchema)]
struct Approved {
    /// Always true; failing to is an error.
    done: bool,
}

#[cfg(feature = "agent")]
fn approve(surface: &Surface, request: Approve) -> Result<Approved> {
    surface.kernel().approve(request.call, &request.by)?;
    Ok(Approved { done: true })
}

#[cfg(feature = "agent")]
fn reject(surface: &Surface, request: Approve) -> Result<Approved> {
    surface.kernel().reject(request.call, &request.by, &request.why)?;
    Ok(Approved { done: true })
}
