//! What a failure was found to be.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serializer;

use crate::Class;

/// What a failure was found to be, and why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct Verdict {
    /// How bad it is, and whether trying again may help.
    pub class: Class,
    /// How long to wait before trying again, when the other side or a rule says so; only for what
    /// is transient. In JSON milliseconds.
    #[serde(rename = "retry_after_ms", serialize_with = "millis")]
    #[schemars(with = "Option<u64>")]
    pub retry_after: Option<Duration>,
    /// The rule that decided: the name of a host's rule, of a built-in one (`http.status`,
    /// `text.rate_limit`), or of the error's own code.
    pub rule: Cow<'static, str>,
    /// Why, in a sentence for an operator.
    pub reason: Cow<'static, str>,
}

impl Verdict {
    /// A verdict of a class, by a rule, with its reason.
    pub fn new(
        class: Class,
        rule: impl Into<Cow<'static, str>>,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { class, retry_after: None, rule: rule.into(), reason: reason.into() }
    }

    /// Adds a remark to the reason.
    pub(super) fn remark(&mut self, remark: &str) {
        self.reason = format!("{}; {remark}", self.reason).into();
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} by {}: {}", self.class, self.rule, self.reason)
    }
}

fn millis<S: Serializer>(wait: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    // Rounded up: whoever waits a little longer is not refused again.
    let millis = wait.map(|wait| wait.as_nanos().div_ceil(1_000_000));
    millis.map(|millis| u64::try_from(millis).unwrap_or(u64::MAX)).serialize(serializer)
}

use serde::Serialize as _;
