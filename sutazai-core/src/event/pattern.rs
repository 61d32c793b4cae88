//! [`Pattern`]: which subjects a subscription wants.

use std::fmt;
use std::sync::Arc;

use super::subject::{Grammar, check};
use crate::{Error, Result};

/// A subject with wildcards: `*` stands for exactly one token, a last `>` for one or more.
///
/// As in NATS, a wildcard is one only when it is a whole token: `a*` matches the token `a*`.
///
/// ```
/// use sutazai_core::event::Pattern;
/// let pattern: Pattern = "agent.*.>".parse()?;
/// assert!(pattern.matches("agent.reviewer.task.done"));
/// assert!(!pattern.matches("agent.reviewer"));
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`Code::SUBJECT_INVALID`](crate::Code::SUBJECT_INVALID), with the place of the first fault.
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        let text = text.as_ref();
        check(text, Grammar::Pattern)?;
        Ok(Self(Arc::from(text)))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an event of this subject is wanted; false for what is not a subject.
    pub fn matches(&self, subject: &str) -> bool {
        if check(subject, Grammar::Literal).is_err() {
            return false;
        }
        let mut tokens = subject.split('.');
        for wanted in self.tokens() {
            match (wanted, tokens.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(token)) if wanted == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }

    /// The tokens, in order.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }
}

impl std::str::FromStr for Pattern {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl AsRef<str> for Pattern {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({})", self.0)
    }
}
