//! Factors of a login that are written in Swift, Kotlin or Ruby.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use sutazai_core::base::reading::from_json;
use sutazai_core::base::time::Timestamp;
use sutazai_core::port::{self, AuthStep, Session};
use sutazai_core::{Code, Error, Result};

use super::error::KernelError;
use crate::auth::provider_failed;
use crate::time::milliseconds;

/// What somebody offers to prove who they are.
#[derive(Clone, uniffi::Record)]
pub struct Credential {
    /// The scheme that it is for.
    pub scheme: String,
    /// Who they say they are, if they do; in a login that is under way, who it is for.
    pub principal: Option<String>,
    /// The secret part.
    pub secret: Vec<u8>,
    /// The login that it belongs to, where it answers a challenge.
    pub login: Option<String>,
    /// When it is asked, by the kernel's clock: milliseconds since 1970.
    pub now_ms: i64,
}

/// A factor of a login. Runs on threads that it may block, for several logins at once. What it throws, and an
/// answer that is none, is `security.provider_failed` for the login, and never an accept.
#[uniffi::export(callback_interface)]
pub trait AuthProvider: Send + Sync {
    /// Whether it is them: JSON, `{"accepted": {"principal": "ann", "attributes": {…}}}` (the attributes are texts,
    /// for policies, and may be left out) or `{"refused": "why"}`, for the audit trail. Somebody else than the
    /// credential says is refused.
    fn authenticate(&self, credential: Credential) -> std::result::Result<String, KernelError>;

    /// What this principal needs to answer with this factor: a JSON object of texts; `null` where they have not
    /// enrolled it. `login` comes back in the credential.
    fn challenge(
        &self,
        principal: String,
        login: String,
        now_ms: i64,
    ) -> std::result::Result<String, KernelError>;
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Answer {
    Accepted(Accepted),
    Refused(String),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Accepted {
    principal: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

/// In the form that the core knows.
pub(super) struct Provider {
    pub(super) scheme: String,
    pub(super) provider: Box<dyn AuthProvider>,
}

impl Provider {
    fn failed(&self, thrown: KernelError) -> Error {
        provider_failed("the provider threw instead of answering", &self.scheme, thrown.into())
    }

    /// What it gave. UniFFI takes a callback's text as it comes, and Ruby's may be anything; nothing is what is left
    /// of a provider that did not come back.
    fn read<T: serde::de::DeserializeOwned + JsonSchema>(&self, given: String) -> Result<T> {
        let text = String::from_utf8(given.into_bytes())
            .map_err(|_| Error::new(Code::INVALID, "the answer is not UTF-8"));
        text.and_then(|text| from_json("security.provider", "answer", &text)).map_err(|cause| {
            provider_failed("what the provider gave is no answer", &self.scheme, cause)
        })
    }
}

impl port::AuthProvider for Provider {
    fn scheme(&self) -> &str {
        &self.scheme
    }

    fn authenticate(&self, credential: &port::Credential, now: Timestamp) -> Result<AuthStep> {
        let given = self.provider.authenticate(Credential {
            scheme: credential.scheme.clone(),
            principal: credential.principal.clone(),
            secret: credential.secret.clone(),
            login: credential.login.clone(),
            now_ms: milliseconds(now),
        });
        Ok(match self.read(given.map_err(|thrown| self.failed(thrown))?)? {
            Answer::Accepted(Accepted { principal, attributes }) => AuthStep::Accepted(
                Session::new(principal, &self.scheme).with_attributes(attributes),
            ),
            Answer::Refused(why) => AuthStep::Refused(why),
        })
    }

    fn challenge(
        &self,
        principal: &str,
        login: &str,
        now: Timestamp,
    ) -> Result<Option<BTreeMap<String, String>>> {
        let now_ms = milliseconds(now);
        let given = self.provider.challenge(principal.to_owned(), login.to_owned(), now_ms);
        self.read(given.map_err(|thrown| self.failed(thrown))?)
    }
}
