//! What a session is issued tokens for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::claims::{ATTRIBUTE_DELEGATION, Claims, is_reserved};
use crate::base::time::Timestamp;
use crate::port::Session;
use crate::{Code, Error, Result};

/// The longest subject, in bytes.
pub const SUBJECT_MAX: usize = 512;

/// Who gets tokens, and what these are to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Grant {
    /// Who: 1 to [`SUBJECT_MAX`] bytes.
    pub subject: String,
    /// What the tokens may be used for; empty is whatever the subject may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scope: Vec<String>,
    /// How they proved who they are: `pwd`, `otp`, … (RFC 8176).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// When they did, in nanoseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// What else the session is to know.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

impl Grant {
    /// For this subject, with nothing else to say.
    pub fn new(subject: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            scope: Vec::new(),
            amr: Vec::new(),
            auth_time: None,
            attributes: BTreeMap::new(),
        }
    }

    /// For a session that was authenticated at this time, with its attributes and its scheme as `amr`.
    ///
    /// # Errors
    /// [`Code::INVALID`] for the session of a delegated token: what was taken away would come back.
    pub fn of(session: &Session, at: Timestamp) -> Result<Self> {
        if session.scheme() == "biscuit" || session.attributes().contains_key(ATTRIBUTE_DELEGATION)
        {
            return Err(Error::new(
                Code::INVALID,
                "a delegated session is issued no tokens of its own",
            )
            .operation("security.token.issue")
            .advice("attenuate its token instead"));
        }
        let own = |(key, _): &(&String, &String)| !is_reserved(key);
        Ok(Self {
            amr: session.methods().map(str::to_owned).collect(),
            scope: session.scopes().map(str::to_owned).collect(),
            auth_time: Some(session.authenticated_at().unwrap_or(at).as_nanos()),
            attributes: session
                .attributes()
                .iter()
                .filter(own)
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            ..Self::new(session.principal())
        })
    }

    /// With scopes; a scope has no spaces.
    #[must_use]
    pub fn scope<S: Into<String>>(mut self, scope: impl IntoIterator<Item = S>) -> Self {
        self.scope = scope.into_iter().map(Into::into).collect();
        self
    }

    /// With authentication methods, and when they were used.
    #[must_use]
    pub fn authenticated<S: Into<String>>(
        mut self,
        amr: impl IntoIterator<Item = S>,
        at: Timestamp,
    ) -> Self {
        self.amr = amr.into_iter().map(Into::into).collect();
        self.auth_time = Some(at.as_nanos());
        self
    }

    /// With an attribute.
    #[must_use]
    pub fn attribute(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(key.into(), value.into());
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let invalid = |message: &'static str| {
            Err(Error::new(Code::INVALID, message).operation("security.token.issue"))
        };
        if self.subject.is_empty() || self.subject.len() > SUBJECT_MAX {
            return invalid("a subject has 1 to 512 bytes");
        }
        let words = self.scope.iter().chain(&self.amr);
        if words.clone().any(|word| word.is_empty() || word.contains(char::is_whitespace)) {
            return invalid("a scope or an authentication method is one word");
        }
        if self.attributes.keys().any(|key| is_reserved(key)) {
            return invalid(
                "attributes that begin with \"token.\", and amr, auth_time and scopes, are not for a grant to set",
            );
        }
        Ok(())
    }
}

/// What was issued. The texts are secrets: they are not shown, and are wiped when this is dropped.
#[non_exhaustive]
pub struct Issued {
    /// The access token.
    pub access: Zeroizing<String>,
    /// What it says.
    pub claims: Claims,
    /// The refresh token, to be used once; `None` when there is no family.
    pub refresh: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("claims", &self.claims).finish_non_exhaustive()
    }
}
