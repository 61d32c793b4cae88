//! For which relying party, and how much of everything.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use webauthn_rs::prelude::{Url, Webauthn, WebauthnBuilder};

use crate::{Code, Error, Result};

/// For which relying party authenticators sign, and how much of everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebauthnPolicy {
    /// The relying party: the domain that credentials are for. It cannot be changed later without everybody registering
    /// anew.
    pub rp_id: String,
    /// What people are shown. Default: the same.
    #[serde(default)]
    pub rp_name: String,
    /// Where people log in, such as `https://login.example.org`: of the domain, or below it; and, for apps, origins
    /// of other schemes (`android:apk-key-hash:…`), which are compared as they are.
    pub origins: Vec<String>,
    /// Whether a second factor, too, must verify its user, by a PIN or a finger, and not only be touched. Default: no. A
    /// first factor must in any case.
    #[serde(default)]
    pub verify_second: bool,
    /// How long a challenge is good, in milliseconds: 10,000 to 3,600,000. Default: 300,000 (5 minutes).
    #[serde(default = "five_minutes")]
    pub challenge_ms: u64,
    /// Challenges of one kind that wait at once; of more, the oldest goes. Default: 10,000.
    #[serde(default = "at_once")]
    pub at_once: usize,
    /// Authenticators of one principal: 1 to 64. Default: 20.
    #[serde(default = "most")]
    pub most: usize,
}

fn five_minutes() -> u64 {
    300_000
}

fn at_once() -> usize {
    10_000
}

fn most() -> usize {
    20
}

impl WebauthnPolicy {
    /// The defaults, for this relying party and origin.
    pub fn new(rp_id: impl Into<String>, origin: impl Into<String>) -> Self {
        Self {
            rp_id: rp_id.into(),
            rp_name: String::new(),
            origins: vec![origin.into()],
            verify_second: false,
            challenge_ms: five_minutes(),
            at_once: at_once(),
            most: most(),
        }
    }

    /// That it can be.
    pub(in crate::security) fn check(&self) -> Result<()> {
        self.webauthn().map(drop)
    }

    /// How long a challenge is good.
    pub(super) fn lasts(&self) -> Duration {
        Duration::from_millis(self.challenge_ms)
    }

    /// How long a challenge is good, and how many of a kind wait.
    pub(super) fn room(&self) -> (Duration, usize) {
        (self.lasts(), self.at_once)
    }

    /// What checks what authenticators say.
    pub(super) fn webauthn(&self) -> Result<Webauthn> {
        let invalid = |what: &'static str| {
            Error::new(Code::INVALID, what)
                .operation("security.webauthn_set")
                .with("rp_id", &self.rp_id)
        };
        if self.rp_id.is_empty() || self.rp_id.len() > 253 {
            return Err(invalid("a relying party is a domain"));
        }
        if !(10_000..=3_600_000).contains(&self.challenge_ms) {
            return Err(invalid("a challenge lasts ten seconds to an hour"));
        }
        if self.at_once == 0 || !(1..=64).contains(&self.most) {
            return Err(invalid(
                "one challenge at least, and 1 to 64 authenticators of one principal",
            ));
        }
        let mut origins = Vec::new();
        for origin in &self.origins {
            let url = Url::parse(origin).ok().filter(|url| self.is_origin(url));
            origins.push(url.ok_or_else(|| {
                invalid("an origin is https, and of the relying party's domain or below it")
                    .with("origin", origin)
            })?);
        }
        // The first one is a web page's: the crate takes no other.
        let web = origins.iter().position(|url| url.domain().is_some());
        let first = web.map(|at| origins.remove(at));
        let first = first.ok_or_else(|| invalid("there is an origin on the web at least"))?;
        let name = if self.rp_name.is_empty() { &self.rp_id } else { &self.rp_name };
        let mut builder = WebauthnBuilder::new(&self.rp_id, &first)
            .map_err(|error| invalid("the relying party cannot be").because(error))?
            .rp_name(name)
            .timeout(self.lasts());
        for origin in &origins {
            builder = builder.append_allowed_origin(origin);
        }
        builder.build().map_err(|error| invalid("the relying party cannot be").because(error))
    }

    fn is_origin(&self, url: &Url) -> bool {
        let Some(domain) = url.domain() else {
            // Apps: compared as they are. An address is no domain.
            return !url.has_host();
        };
        let below = domain.strip_suffix(&self.rp_id).is_some_and(|rest| rest.ends_with('.'));
        let safe = url.scheme() == "https" || (url.scheme() == "http" && domain == "localhost");
        safe && (domain == self.rp_id || below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_of_the_relying_party() {
        let good = |rp_id: &str, origins: &[&str]| {
            let mut policy = WebauthnPolicy::new(rp_id, "");
            policy.origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
            policy.webauthn().is_ok()
        };
        assert!(good("example.org", &["https://example.org", "https://a.b.example.org:8443"]));
        assert!(good("localhost", &["http://localhost:3000"]));
        assert!(good("example.org", &["android:apk-key-hash:abc", "https://example.org"]));
        assert!(!good("example.org", &["android:apk-key-hash:abc"]));
        assert!(!good("example.org", &[]) && !good("", &["https://example.org"]));
        assert!(!good("example.org", &["http://example.org"]), "in clear");
        assert!(!good("example.org", &["https://badexample.org"]));
        assert!(!good("example.org", &["https://example.org", "https://example.net"]));
        assert!(!good("example.org", &["https://127.0.0.1"]) && !good("example.org", &["x"]));
        let short = WebauthnPolicy {
            challenge_ms: 1,
            ..WebauthnPolicy::new("example.org", "https://example.org")
        };
        assert_eq!(short.webauthn().unwrap_err().code(), Code::INVALID);
    }
}
