//! [`Subject`]: the name an event is published under.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::base::error::Location;
use crate::{Code, Error, Result};

/// The longest subject or pattern, in bytes.
pub const MAX_BYTES: usize = 1024;

/// The most tokens that a subject or pattern may have.
pub const MAX_TOKENS: usize = 128;

/// What an event is published under: tokens separated by dots, as in `agent.reviewer.started`.
///
/// The grammar is that of a NATS server for publishing (in its pedantic mode): a token is one or
/// more characters other than dot, space, tab, carriage return and line feed, and is neither `*` nor
/// `>` alone; inside a longer token these two are ordinary characters. Other Unicode is allowed and
/// compared byte by byte. Beyond NATS there are bounds: [`MAX_BYTES`] and [`MAX_TOKENS`].
///
/// A clone never allocates: up to 30 bytes stand in the value itself (so that threads which pass
/// events on do not meet at one reference count), longer ones are shared.
///
/// ```
/// use sutazai_core::event::Subject;
/// let subject: Subject = "agent.reviewer.started".parse()?;
/// assert_eq!(subject.tokens().count(), 3);
/// assert!("agent..started".parse::<Subject>().is_err());
/// assert!("agent.*".parse::<Subject>().is_err());
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Subject(Text);

const SHORT: usize = 30;

#[derive(Clone)]
enum Text {
    Short { len: u8, bytes: [u8; SHORT] },
    Long(Arc<str>),
}

impl Subject {
    /// Parses a subject.
    ///
    /// # Errors
    /// [`Code::SUBJECT_INVALID`], with the place of the first fault.
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        let text = text.as_ref();
        check(text, Grammar::Literal)?;
        Ok(Self(Text::new(text)))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // Made of a whole `&str`, so the check always passes; for at most 30 bytes it costs
            // less than the cache miss that it saves.
            Text::Short { .. } => std::str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Text::Long(text) => text,
        }
    }

    /// The tokens, in order.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.as_str().split('.')
    }

    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Text::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Text::Long(text) => text.as_bytes(),
        }
    }
}

impl Text {
    fn new(text: &str) -> Self {
        let mut bytes = [0; SHORT];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(text.as_bytes());
                Self::Short { len, bytes }
            }
            _ => Self::Long(Arc::from(text)),
        }
    }
}

/// Which wildcards are allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Grammar {
    /// A subject: none.
    Literal,
    /// A pattern: `*` anywhere, `>` at the end.
    Pattern,
}

/// Checks a subject or pattern.
pub(super) fn check(text: &str, grammar: Grammar) -> Result<()> {
    let fault = |at: usize, why: &'static str| Err(invalid(text, grammar, at, why));
    if text.is_empty() {
        return fault(0, "it is empty");
    }
    if text.len() > MAX_BYTES {
        return fault(text.floor_char_boundary(MAX_BYTES), "it is longer than 1024 bytes");
    }
    let (mut at, mut count, mut tail) = (0, 0, None);
    for token in text.split('.') {
        count += 1;
        if count > MAX_TOKENS {
            return fault(at, "it has more than 128 tokens");
        }
        if let Some(tail) = tail {
            return fault(tail, "`>` stands for all the rest and must be the last token");
        }
        if let Some(space) = token.bytes().position(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
            return fault(at + space, "spaces, tabs and line breaks are not allowed");
        }
        match (token, grammar) {
            ("", _) => return fault(at, "a token is empty"),
            ("*" | ">", Grammar::Literal) => {
                return fault(at, "a wildcard cannot be published to");
            }
            (">", Grammar::Pattern) => tail = Some(at),
            _ => {}
        }
        at += token.len() + 1;
    }
    Ok(())
}

fn invalid(text: &str, grammar: Grammar, at: usize, why: &'static str) -> Error {
    let (what, advice) = match grammar {
        Grammar::Literal => {
            ("subject", "write tokens separated by single dots, like `agent.reviewer.started`")
        }
        Grammar::Pattern => (
            "pattern",
            "write tokens separated by single dots; `*` is any one token, a last `>` all that follow",
        ),
    };
    let before = text.get(..at).unwrap_or_default().chars().count();
    Error::new(Code::SUBJECT_INVALID, why)
        .at(Location {
            file: format!("<{what}>"),
            line: 1,
            column: u32::try_from(before + 1).unwrap_or(u32::MAX),
            excerpt: text.chars().take(80).collect(),
        })
        .with(what, format_args!("{:?}", text.chars().take(80).collect::<String>()))
        .advice(advice)
}

impl std::str::FromStr for Subject {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl AsRef<str> for Subject {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Subject {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Subject {}

impl PartialEq<str> for Subject {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Subject {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Hash for Subject {
    /// As `str` hashes, which [`Borrow<str>`] demands.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({})", self.as_str())
    }
}

impl serde::Serialize for Subject {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_texts_read_back() {
        for len in [1, 29, 30, 31, MAX_BYTES] {
            let text = "a".repeat(len);
            assert_eq!(Subject::new(&text).unwrap().as_str(), text);
        }
        let umlauts = "ä".repeat(15);
        assert_eq!(Subject::new(&umlauts).unwrap(), *umlauts);
        assert_eq!(size_of::<Subject>(), 32);
    }

    #[test]
    fn faults_name_their_place() {
        let column = |text| Subject::new(text).unwrap_err().location().unwrap().column;
        assert_eq!(column(""), 1);
        assert_eq!(column("."), 1);
        assert_eq!(column("a."), 3);
        assert_eq!(column("ä..b"), 3);
        assert_eq!(column("ä.b c"), 4);
        assert_eq!(column("a.*"), 3);
        let error = check("a.>.b", Grammar::Pattern).unwrap_err();
        assert_eq!(error.code(), Code::SUBJECT_INVALID);
        assert_eq!(error.location().unwrap().column, 3);
    }

    #[test]
    fn bounds_hold() {
        assert!(Subject::new("a".repeat(MAX_BYTES + 1)).is_err());
        assert!(Subject::new("ä".repeat(MAX_BYTES / 2 + 1)).is_err());
        assert!(Subject::new(vec!["a"; MAX_TOKENS].join(".")).is_ok());
        assert!(Subject::new(vec!["a"; MAX_TOKENS + 1].join(".")).is_err());
    }

    #[test]
    fn wildcards_inside_a_token_are_ordinary() {
        for text in ["a*", "*a", "a.>b", "**", ">>", "a.b>"] {
            assert!(Subject::new(text).is_ok(), "{text}");
        }
    }
}
