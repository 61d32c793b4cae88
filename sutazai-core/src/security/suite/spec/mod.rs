//! How the room is set up, in a form that can be written down: as JSON for every host, and as `[security]` of a
//! manifest.

mod audit;
mod master;
mod policies;
mod text;
mod tokens;

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use audit::AuditSpec;
pub use master::MasterSpec;
pub use policies::{CedarText, DataText};
pub use tokens::{RefreshSpec, TokenSpec};

#[cfg(feature = "webauthn")]
use super::super::authn::WebauthnPolicy;
use super::super::authn::{LoginPolicy, OidcIssuer, PasswordPolicy, TotpPolicy};
use super::super::risk::RiskPolicy;
use super::options::SecurityOptions;
use crate::{Code, Error, Result};

/// How [`Security`](super::Security) is set up, in a form that can be written down: what is left out has the
/// default that [`SecurityOptions`] says. No secret stands in it, but where one is.
///
/// ```
/// use std::path::Path;
/// use sutazai_core::security::SecuritySpec;
///
/// let spec: SecuritySpec = serde_json::from_str(r#"{
///     "authorise": true,
///     "trust_inside": false,
///     "tokens": {"access_ms": 300000},
///     "policies": [{"cedar": "permit (principal == User::\"ann\", action, resource);"}]
/// }"#).unwrap();
/// let options = spec.options(Path::new(""))?;
/// assert!(options.authorise && options.policies.len() == 1);
///
/// let spec: SecuritySpec = serde_json::from_str(r#"{"tokens": {"access_ms": 5}}"#).unwrap();
/// let error = spec.check().unwrap_err();
/// assert_eq!(error.context().next(), Some(("field", "tokens.access_ms")));
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SecuritySpec {
    /// What it is called: the issuer and the audience of its tokens, and the origin of its audit log. Default:
    /// `sutazai`.
    pub name: String,
    /// What all keys are wrapped under. Default: the file `master.key` in the data directory, which is made for its
    /// owner only; in memory a random key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<MasterSpec>,
    /// Whether policies decide about calls: what none permits is refused. Default: no.
    pub authorise: bool,
    /// Whether a call without a token, from inside the process, may be made whatever the policies say. Default:
    /// yes.
    pub trust_inside: bool,
    /// Whether a call that is allowed is on the record as a decision, too. Default: no.
    pub record_allowed: bool,
    /// Whether what agents do is on the record. Default: yes.
    pub record_actions: bool,
    /// What passwords have to be.
    pub passwords: PasswordPolicy,
    /// How one-time codes are made.
    pub totp: TotpPolicy,
    /// Which factors a login takes.
    pub logins: LoginPolicy,
    /// For which relying party passkeys and security keys sign. Default: for none, and nobody has any.
    #[cfg(feature = "webauthn")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webauthn: Option<WebauthnPolicy>,
    /// Who may say by an ID token (OpenID Connect) who somebody is. Default: nobody.
    pub oidc: Vec<OidcIssuer>,
    /// How tokens are issued.
    pub tokens: TokenSpec,
    /// What raises a risk.
    pub risk: RiskPolicy,
    /// How the audit log is kept.
    pub audit: AuditSpec,
    /// Whether policies, roles and entities that were set while it ran before decide again. Default: yes.
    pub restore_policies: bool,
    /// The policies that there are from the start, each a text or a file. Default: none, which permit nothing. Where
    /// there are policies, entities or roles here, they hold at every start, and what was set while it ran before does
    /// not.
    pub policies: Vec<CedarText>,
    /// The schema that they must fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<CedarText>,
    /// What policies know of principals and resources from the start: an array, in Cedar's JSON form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entities: Option<DataText>,
    /// Roles, what they permit, and who has them: policies and entities are made of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<DataText>,
}

impl Default for SecuritySpec {
    fn default() -> Self {
        let options = SecurityOptions::default();
        Self {
            name: options.name,
            master: None,
            authorise: options.authorise,
            trust_inside: options.trust_inside,
            record_allowed: options.record_allowed,
            record_actions: options.record_actions,
            passwords: options.passwords,
            totp: options.totp,
            logins: options.logins,
            #[cfg(feature = "webauthn")]
            webauthn: options.webauthn,
            oidc: options.oidc,
            tokens: TokenSpec::default(),
            risk: options.risk,
            audit: AuditSpec::default(),
            restore_policies: options.restore_policies,
            policies: Vec::new(),
            schema: None,
            entities: None,
            roles: None,
        }
    }
}

impl SecuritySpec {
    /// Looks for what is wrong with it, as far as that can be told without a file, the environment or a keyring.
    ///
    /// # Errors
    /// All of it ([`Error::problems`]), each with the `field` that it is about: what the parts say of their
    /// policies, [`Code::POLICY_INVALID`] and the like for texts.
    pub fn check(&self) -> Result<()> {
        let parts = [
            ("name", name(&self.name)),
            ("passwords", self.passwords.check()),
            ("totp", self.totp.check()),
            ("logins", self.logins.check()),
            ("tokens", self.tokens.config(&self.name).check()),
            ("risk", self.risk.check()),
            ("audit", self.audit.options().check()),
            #[cfg(feature = "webauthn")]
            ("webauthn", self.webauthn.as_ref().map_or(Ok(()), WebauthnPolicy::check)),
            ("oidc", self.oidc.iter().try_for_each(OidcIssuer::check)),
        ];
        let wrong = parts.into_iter().filter_map(|(part, checked)| Some((part, checked.err()?)));
        let mut problems: Vec<Error> = wrong.map(|(part, error)| of_part(part, &error)).collect();
        if !self.reads_files()
            && let Err(error) = self.decides(Path::new(""))
        {
            problems.extend_from_slice(error.problems());
        }
        Error::join(problems).map_or(Ok(()), Err)
    }

    /// The options, with what they name read: policies and the like, and the master key. Relative paths begin at
    /// `base`. May block.
    ///
    /// # Errors
    /// As [`check`](Self::check); [`Code::IO`] for a file that cannot be read, [`Code::MASTER_KEY`] and
    /// [`Code::MASTER_KEY_EXPOSED`] as [`Master`](super::super::keys::Master) says. Each names its `field`.
    pub fn options(&self, base: &Path) -> Result<SecurityOptions> {
        self.check()?;
        let (policies, entities) = self.decides(base)?;
        let master = self.master.as_ref().map(|master| master.read(base)).transpose();
        Ok(SecurityOptions {
            name: self.name.clone(),
            master: master.map_err(|error| error.with("field", "master"))?,
            authorise: self.authorise,
            trust_inside: self.trust_inside,
            record_allowed: self.record_allowed,
            record_actions: self.record_actions,
            passwords: self.passwords.clone(),
            totp: self.totp.clone(),
            logins: self.logins.clone(),
            #[cfg(feature = "webauthn")]
            webauthn: self.webauthn.clone(),
            oidc: self.oidc.clone(),
            restore_policies: self.restore_policies,
            tokens: Some(self.tokens.config(&self.name)),
            risk: self.risk.clone(),
            audit: self.audit.options(),
            policies,
            entities,
            ..SecurityOptions::default()
        })
    }
}

fn name(name: &str) -> Result<()> {
    let letter = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
    if (1..=128).contains(&name.len()) && name.chars().all(letter) {
        return Ok(());
    }
    Err(Error::new(Code::INVALID, "a name has 1 to 128 bytes, and neither white space nor a plus"))
}

/// Durations of tokens: the options have them as such, the specification in milliseconds.
const MILLISECONDS: [&str; 6] =
    ["access", "leeway", "longest_other", "refresh.absolute", "refresh.idle", "refresh.grace"];

/// What a part has to say, with the whole name of the field that it is about.
fn of_part(part: &str, error: &Error) -> Error {
    let inner = error.context().find(|(key, _)| *key == "field").map(|(_, field)| field);
    let field = match inner {
        None => part.to_owned(),
        Some(field) if part == "tokens" && MILLISECONDS.contains(&field) => {
            format!("{part}.{field}_ms")
        }
        Some(field) => format!("{part}.{field}"),
    };
    let mut told = Error::new(error.code(), error.message().to_owned())
        .operation("security.options")
        .with("field", field);
    for (key, value) in error.context().filter(|(key, _)| *key != "field") {
        told = told.with_key(key.to_owned(), value);
    }
    match error.remedy() {
        Some(remedy) => told.advice(remedy.to_owned()),
        None => told,
    }
}

#[cfg(test)]
mod tests;
