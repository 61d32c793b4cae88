//! Rows of the room `security`: principals, and who they are elsewhere.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dispatch::Surface;
use super::operation::{DONE, Done, Operation};
use super::security_shape::{Removed, a_page};
use super::who::By;
use crate::security::authn::{OidcChallenge, OidcIssuer, OidcLink, PrincipalView};
use crate::{Code, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::blocking(
            "security.principals",
            "Who has which factors, and who is disabled, page by page.",
            &[Code::STORE_FAILED],
            principals,
        ),
        Operation::blocking(
            "security.principal_disable",
            "Disables somebody: no login of theirs succeeds, and no token, key or certificate of theirs is good.",
            &[Code::INVALID, Code::STORE_FAILED, Code::AUDIT_FAILED],
            principal_disable,
        ),
        Operation::blocking(
            "security.principal_enable",
            "Enables somebody again; what they were issued before stays revoked.",
            &[Code::INVALID, Code::STORE_FAILED, Code::AUDIT_FAILED],
            principal_enable,
        ),
        Operation::blocking(
            "security.oidc_set",
            "Names the issuers of ID tokens that may say who somebody is, in place of all, until the process ends.",
            &[Code::INVALID, Code::ALREADY_EXISTS, Code::TOKEN_KEY, Code::AUDIT_FAILED],
            oidc_set,
        ),
        Operation::blocking(
            "security.oidc_keys",
            "Takes other keys of an issuer of ID tokens: it has rotated them.",
            &[Code::FACTOR_OFF, Code::TOKEN_KEY, Code::AUDIT_FAILED],
            oidc_keys,
        ),
        Operation::blocking(
            "security.oidc_challenge",
            "What a request to an issuer of ID tokens takes with it: state and nonce, good once.",
            &[Code::FACTOR_OFF, Code::INVALID],
            oidc_challenge,
        ),
        Operation::blocking(
            "security.oidc_link",
            "Links an account at an issuer to a principal.",
            &[Code::INVALID, Code::ALREADY_EXISTS, Code::STORE_FAILED, Code::AUDIT_FAILED],
            oidc_link,
        ),
        Operation::blocking(
            "security.oidc_unlink",
            "Ends the link of an account at an issuer.",
            &[Code::STORE_FAILED, Code::AUDIT_FAILED],
            oidc_unlink,
        ),
        Operation::blocking(
            "security.oidc_links",
            "The accounts elsewhere that are linked, of one principal or of all.",
            &[Code::STORE_FAILED],
            oidc_links,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Page {
    /// Only principals after this one: the last of the page before.
    after: Option<String>,
    /// How many, at most; 100 without it, and never more than 1,000.
    #[serde(default = "a_page")]
    limit: usize,
}

#[derive(Serialize, JsonSchema)]
struct Principals {
    /// The principals, by name.
    principals: Vec<PrincipalView>,
}

fn principals(surface: &Surface, request: Page) -> Result<Principals> {
    let kernel = surface.kernel();
    let (after, limit) = (request.after.as_deref(), request.limit);
    let now = kernel.runtime().timestamp();
    Ok(Principals { principals: kernel.security()?.list_principals(after, limit, now)? })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Disable {
    /// Who.
    principal: String,
    /// Why: up to 512 bytes. It goes on the record as a personal detail, and is listed.
    reason: String,
    /// Who does it. Default: `host`.
    #[serde(default)]
    by: By,
}

#[derive(Serialize, JsonSchema)]
struct Changed {
    /// Whether it was otherwise before.
    changed: bool,
}

fn principal_disable(surface: &Surface, request: Disable) -> Result<Changed> {
    let kernel = surface.kernel();
    let Disable { principal, reason, by } = request;
    let now = kernel.runtime().timestamp();
    Ok(Changed { changed: kernel.security()?.disable_principal(&principal, &reason, &by, now)? })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Enable {
    /// Who.
    principal: String,
    /// Who does it. Default: `host`.
    #[serde(default)]
    by: By,
}

fn principal_enable(surface: &Surface, request: Enable) -> Result<Changed> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    let (principal, by) = (&*request.principal, &*request.by);
    Ok(Changed { changed: kernel.security()?.enable_principal(principal, by, now)? })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Issuers {
    /// The issuers.
    issuers: Vec<OidcIssuer>,
    /// Who does it. Default: `host`.
    #[serde(default)]
    by: By,
}

#[derive(Serialize, JsonSchema)]
struct IssuersSet {
    /// How many there are.
    issuers: usize,
}

fn oidc_set(surface: &Surface, request: Issuers) -> Result<IssuersSet> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    Ok(IssuersSet { issuers: kernel.security()?.set_oidc(request.issuers, &request.by, now)? })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// The issuer.
    issuer: String,
    /// Its keys: what its `jwks_uri` answers, as it is.
    jwks: String,
    /// Who does it. Default: `host`.
    #[serde(default)]
    by: By,
}

#[derive(Serialize, JsonSchema)]
struct KeysSet {
    /// How many of them can be used.
    keys: usize,
}

fn oidc_keys(surface: &Surface, request: Keys) -> Result<KeysSet> {
    let kernel = surface.kernel();
    let Keys { issuer, jwks, by } = request;
    let now = kernel.runtime().timestamp();
    Ok(KeysSet { keys: kernel.security()?.set_oidc_keys(&issuer, &jwks, &by, now)? })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Challenge {
    /// The issuer.
    issuer: String,
    /// Where they are, as in `security.login`: of too many challenges, those of whoever asks for the most go first.
    origin: Option<String>,
}

fn oidc_challenge(surface: &Surface, request: Challenge) -> Result<OidcChallenge> {
    let kernel = surface.kernel();
    let security = kernel.security()?;
    let now = security.clock().observe(kernel.runtime().timestamp());
    security.oidc().ask(&request.issuer, request.origin.as_deref(), now)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Link {
    /// Whose it is here.
    principal: String,
    /// The issuer.
    issuer: String,
    /// Whom the issuer means: the `sub` of its tokens.
    subject: String,
}

fn oidc_link(surface: &Surface, request: Link) -> Result<Done> {
    let kernel = surface.kernel();
    let Link { principal, issuer, subject } = request;
    let now = kernel.runtime().timestamp();
    kernel.security()?.link_oidc(&principal, &issuer, &subject, now)?;
    Ok(DONE)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Unlink {
    /// The issuer.
    issuer: String,
    /// Whom the issuer means.
    subject: String,
}

fn oidc_unlink(surface: &Surface, request: Unlink) -> Result<Removed> {
    let kernel = surface.kernel();
    let now = kernel.runtime().timestamp();
    let (issuer, subject) = (&*request.issuer, &*request.subject);
    Ok(Removed { removed: kernel.security()?.unlink_oidc(issuer, subject, now)? })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Links {
    /// Of this principal only.
    principal: Option<String>,
    /// How many, at most; 100 without it, and never more than 1,000.
    #[serde(default = "a_page")]
    limit: usize,
}

#[derive(Serialize, JsonSchema)]
struct LinksView {
    /// The links.
    links: Vec<OidcLink>,
}

fn oidc_links(surface: &Surface, request: Links) -> Result<LinksView> {
    let Links { principal, limit } = request;
    let security = surface.kernel().security()?;
    Ok(LinksView { links: security.oidc().links(principal.as_deref(), limit.min(1_000))? })
}
