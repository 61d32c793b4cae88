//! The words of a login: what comes in, and where it stands.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::time::Timestamp;
use crate::port::{Credential, Session};

/// The first step of a login.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The first factor.
    pub credential: Credential,
    /// Where it comes from: an address, as the host sees it. Guessing is slowed down by it.
    pub origin: Option<String>,
    /// The token that the device got at the end of a login before.
    pub device: Option<String>,
}

impl Attempt {
    /// With this factor, from who knows where.
    pub fn new(credential: Credential) -> Self {
        Self { credential, origin: None, device: None }
    }

    /// Where it comes from.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// The token that the device got at the end of a login before.
    #[must_use]
    pub fn device(mut self, token: impl Into<String>) -> Self {
        self.device = Some(token.into());
        self
    }
}

/// A factor that may come next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Offer {
    /// Its scheme.
    pub scheme: String,
    /// What is needed to answer it.
    pub parameters: BTreeMap<String, String>,
}

/// Where a login stands.
#[derive(Clone, Debug)]
pub enum LoginStep {
    /// They are who they say.
    Done(LoggedIn),
    /// One more factor is wanted: any of these.
    Next {
        /// Which login this is, for the answer.
        login: String,
        /// What may come next.
        offers: Vec<Offer>,
        /// When it is over.
        ends: Timestamp,
    },
    /// They are not, or not now. Why, the audit trail knows; whoever tries does not.
    Refused {
        /// Attempts like this one are not looked at before so long; `None` where the next may come at once.
        retry_after: Option<Duration>,
    },
}

/// The end of a login.
#[derive(Clone)]
#[non_exhaustive]
pub struct LoggedIn {
    /// Who, by which [methods](Session::methods), and [when](Session::authenticated_at). Its other attributes: `device`, `known` or `new`; `risk`, 0 to 1; and what the providers said.
    pub session: Session,
    /// For the device to keep, and to show the next time. A secret.
    pub device: String,
}

impl std::fmt::Debug for LoggedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoggedIn").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Figures of logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LoginStatus {
    /// Logins that wait for another factor.
    pub under_way: usize,
    /// Logins that had to go for others.
    pub evicted: u64,
    /// What guessing is counted in.
    pub buckets: usize,
    /// Buckets that had to go for others.
    pub buckets_evicted: u64,
    /// Attempts that were refused because they came too soon.
    pub throttled: u64,
}
