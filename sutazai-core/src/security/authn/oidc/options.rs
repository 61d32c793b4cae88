//! Which issuers may say who somebody is, and who that is here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::logins::AUTHENTICATOR;
use super::{ISSUER, SET, SUBJECT};
use crate::port::Session;
use crate::security::token::RESERVED;
use crate::security::token::jwt::{Jwks, JwtAlgorithm};
use crate::security::token::oidc::{IdTokenPolicy, IdTokenVerifier};
use crate::{Code, Error, Result};

/// Whom an ID token's subject is, here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OidcPrincipal {
    /// The principal `issuer#sub`: unique, and never another one's.
    #[default]
    Subject,
    /// The principal whose name this claim has, a text; `email` only where the issuer says that it has verified it
    /// (`email_verified`). Only for an issuer that may name any principal here.
    Claim(String),
    /// The principal that the subject was linked to; without a link nobody.
    Linked,
}

/// An issuer of ID tokens that may say who somebody is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OidcIssuer {
    /// The issuer, exactly as its metadata has it: 1 to 200 bytes, without `#`.
    pub issuer: String,
    /// This client's identifier there: the audience of its tokens.
    pub client: String,
    /// Other audiences that a token may name besides. Default: none.
    #[serde(default)]
    pub trusted_audiences: BTreeSet<String>,
    /// The algorithm of its tokens: `EdDSA`, `ES256`, `RS256` or `PS256`.
    pub algorithm: JwtAlgorithm,
    /// Its keys, as its `jwks_uri` answers: the host fetches them, here and whenever the issuer rotates them. Empty: none
    /// yet, and all its tokens are refused.
    #[serde(default)]
    pub keys: String,
    /// How far its clock and this machine's may be apart, in milliseconds: up to 600,000. Default: 60,000.
    #[serde(default = "a_minute")]
    pub leeway_ms: u64,
    /// How old a token may be, by its `iat`, in milliseconds: 1,000 to 86,400,000. Default: 600,000.
    #[serde(default = "ten_minutes")]
    pub oldest_ms: u64,
    /// The most milliseconds that may have gone by since they proved who they are to the issuer; without it,
    /// any.
    #[serde(default)]
    pub max_age_ms: Option<u64>,
    /// Whom a subject is, here. Default: `issuer#sub`.
    #[serde(default)]
    pub principal: OidcPrincipal,
    /// Claims that become attributes of the session: the attribute's name, and the claim's. A text is taken as it is,
    /// anything else as JSON; what is not in the token is left out. Default: none.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

fn a_minute() -> u64 {
    60_000
}

fn ten_minutes() -> u64 {
    600_000
}

impl OidcIssuer {
    /// The defaults, for this issuer and client, with this algorithm and without keys.
    pub fn new(
        issuer: impl Into<String>,
        client: impl Into<String>,
        algorithm: JwtAlgorithm,
    ) -> Self {
        Self {
            issuer: issuer.into(),
            client: client.into(),
            trusted_audiences: BTreeSet::new(),
            algorithm,
            keys: String::new(),
            leeway_ms: a_minute(),
            oldest_ms: ten_minutes(),
            max_age_ms: None,
            principal: OidcPrincipal::default(),
            attributes: BTreeMap::new(),
        }
    }

    /// With these keys, a JSON Web Key Set.
    #[must_use]
    pub fn keys(mut self, jwks: impl Into<String>) -> Self {
        self.keys = jwks.into();
        self
    }

    /// That it can be.
    pub(in crate::security) fn check(&self) -> Result<()> {
        self.verifier().map(drop)
    }

    /// What verifies its tokens.
    pub(super) fn verifier(&self) -> Result<IdTokenVerifier> {
        let invalid = |what: &'static str| {
            Error::new(Code::INVALID, what).operation(SET).with("issuer", &self.issuer)
        };
        if !(1..=200).contains(&self.issuer.len()) || self.issuer.contains('#') {
            return Err(invalid("an issuer has 1 to 200 bytes, and no #"));
        }
        let own = [
            Session::METHODS,
            Session::AUTHENTICATED_AT,
            Session::SCOPES,
            AUTHENTICATOR,
            ISSUER,
            SUBJECT,
            "device",
            "risk",
        ];
        let taken = |name: &&String| {
            name.is_empty() || name.starts_with(RESERVED) || own.contains(&name.as_str())
        };
        if let Some(name) = self.attributes.keys().find(taken) {
            return Err(
                invalid("an attribute of this name is the session's own").with("attribute", name)
            );
        }
        let mut policy = IdTokenPolicy::new(&*self.issuer, &*self.client);
        policy.trusted_audiences.clone_from(&self.trusted_audiences);
        policy.algorithms = BTreeSet::from([self.algorithm]);
        policy.leeway = Duration::from_millis(self.leeway_ms);
        policy.oldest = Duration::from_millis(self.oldest_ms);
        IdTokenVerifier::new(policy, self.read_keys(&self.keys)?)
            .map_err(|error| error.with("issuer", &self.issuer))
    }

    /// Reads a set of its keys.
    pub(super) fn read_keys(&self, jwks: &str) -> Result<Jwks> {
        if jwks.is_empty() {
            return Ok(Jwks::default());
        }
        Jwks::parse(jwks, self.algorithm).map_err(|error| error.with("issuer", &self.issuer))
    }
}
