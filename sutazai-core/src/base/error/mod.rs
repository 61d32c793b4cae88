//! One error type: a stable [`Code`], a [`Class`], what was being done, context, and a source.
//!
//! ```
//! use sutazai_core::base::error::{Class, Code, Error};
//! let error = Error::new(Code::NOT_FOUND, "no agent has the skill")
//!     .operation("kernel.call")
//!     .with("skill", "translate")
//!     .advice("register an agent with this skill, or check its spelling");
//! assert_eq!(error.code().name(), "base.not_found");
//! assert_eq!(error.class(), Class::Persistent);
//! ```

mod code;
mod problems;
mod report;
mod repr;
mod text;

pub use code::{Class, Code};

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use repr::{Repr, Shared, View};

/// `std::result::Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. One pointer wide, cheap to clone.
///
/// The message says what was wrong, [`Location`] where (for anything parsed), and
/// [`advice`](Error::advice) what to do. An error made of a [`Fixed`] does not allocate.
#[derive(Clone)]
pub struct Error(Repr);

/// An error that is known when the program is compiled; `Error::from(&FIXED)` does not allocate.
#[derive(Debug)]
#[repr(align(8))]
pub struct Fixed {
    /// The stable code.
    pub code: Code,
    /// What was wrong.
    pub message: &'static str,
}

/// Where, in something that was parsed. Lines and columns count from 1; columns count characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file as the user named it, or a name for text that came from elsewhere.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The offending line, without its line break.
    pub excerpt: String,
}

impl Error {
    /// An error with the class that its code has by default.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Repr::shared(Shared::new(code, message.into())))
    }

    /// Overrides the class.
    #[must_use]
    pub fn classed(self, class: Class) -> Self {
        self.change(|s| s.class = class)
    }

    /// Says which operation failed, as `room.verb`.
    #[must_use]
    pub fn operation(self, operation: impl Into<Cow<'static, str>>) -> Self {
        self.change(|s| s.operation = Some(operation.into()))
    }

    /// Adds a piece of context, unless it is there already with the same value.
    #[must_use]
    pub fn with(self, key: &'static str, value: impl fmt::Display) -> Self {
        self.with_key(key, value)
    }

    /// Adds a piece of context whose key is known at run time only (a host's, for example).
    #[must_use]
    pub fn with_key(self, key: impl Into<Cow<'static, str>>, value: impl fmt::Display) -> Self {
        let added = (key.into(), value.to_string());
        self.change(|s| {
            if !s.context.contains(&added) {
                s.context.push(added);
            }
        })
    }

    /// Says what to do about it.
    #[must_use]
    pub fn advice(self, advice: impl Into<Cow<'static, str>>) -> Self {
        self.change(|s| s.advice = Some(advice.into()))
    }

    /// Says where, in something that was parsed.
    #[must_use]
    pub fn at(self, location: Location) -> Self {
        self.change(|s| s.location = Some(location))
    }

    /// Names the error that caused this one.
    #[must_use]
    pub fn because(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.change(|s| s.source = Some(Arc::from(source.into())))
    }

    /// The stable code.
    #[inline]
    pub fn code(&self) -> Code {
        match self.0.view() {
            View::Fixed(fixed) => fixed.code,
            View::Shared(shared) => shared.code,
        }
    }

    /// Whether trying again may help, and how bad it is.
    #[inline]
    pub fn class(&self) -> Class {
        match self.0.view() {
            View::Fixed(fixed) => fixed.code.class(),
            View::Shared(shared) => shared.class,
        }
    }

    /// What was wrong, without operation, context or source.
    pub fn message(&self) -> &str {
        match self.0.view() {
            View::Fixed(fixed) => fixed.message,
            View::Shared(shared) => &shared.message,
        }
    }

    /// Which operation failed.
    pub fn failed_operation(&self) -> Option<&str> {
        self.shared().and_then(|s| s.operation.as_deref())
    }

    /// The context, in the order it was added.
    pub fn context(&self) -> impl Iterator<Item = (&str, &str)> {
        self.shared()
            .map(|s| s.context.as_slice())
            .unwrap_or_default()
            .iter()
            .map(|(k, v)| (k.as_ref(), v.as_str()))
    }

    /// What to do about it.
    pub fn remedy(&self) -> Option<&str> {
        self.shared().and_then(|s| s.advice.as_deref())
    }

    /// Where, in something that was parsed.
    pub fn location(&self) -> Option<&Location> {
        self.shared().and_then(|s| s.location.as_ref())
    }

    fn shared(&self) -> Option<&Shared> {
        match self.0.view() {
            View::Fixed(_) => None,
            View::Shared(shared) => Some(shared),
        }
    }

    fn change(self, f: impl FnOnce(&mut Shared)) -> Self {
        let mut shared = match self.0.into_shared() {
            Ok(shared) => shared,
            Err(fixed) => Arc::new(Shared::new(fixed.code, Cow::Borrowed(fixed.message))),
        };
        f(Arc::make_mut(&mut shared));
        Self(Repr::from_arc(shared))
    }
}

impl From<&'static Fixed> for Error {
    #[inline]
    fn from(fixed: &'static Fixed) -> Self {
        Self(Repr::fixed(fixed))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.shared().and_then(|s| s.source.as_deref()).map(|e| e as _)
    }
}

impl PartialEq for Error {
    /// Equal when they would be handled and read alike: code, class and what `{:#}` prints.
    fn eq(&self, other: &Self) -> bool {
        self.code() == other.code()
            && self.class() == other.class()
            && format!("{self:#}") == format!("{other:#}")
    }
}

impl serde::Serialize for Error {
    /// `{code, name, class, message, operation?, context?, advice?, location?, causes?, problems?}`:
    /// what every host reads. An error that stands for several has the first one's fields, and all
    /// of them as `problems`.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("code", &self.code().number())?;
        map.serialize_entry("name", self.code().name())?;
        map.serialize_entry("class", self.class().name())?;
        map.serialize_entry("message", self.message())?;
        if let Some(operation) = self.failed_operation() {
            map.serialize_entry("operation", operation)?;
        }
        let context: serde_json::Map<_, _> =
            self.context().map(|(k, v)| (k.to_owned(), v.into())).collect();
        if !context.is_empty() {
            map.serialize_entry("context", &context)?;
        }
        if let Some(advice) = self.remedy() {
            map.serialize_entry("advice", advice)?;
        }
        if let Some(at) = self.location() {
            map.serialize_entry(
                "location",
                &serde_json::json!({"file": at.file, "line": at.line, "column": at.column, "excerpt": at.excerpt}),
            )?;
        }
        let causes: Vec<_> = self.causes().collect();
        if !causes.is_empty() {
            map.serialize_entry("causes", &causes)?;
        }
        if self.problems().len() > 1 {
            map.serialize_entry("problems", self.problems())?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static CANCELLED: Fixed = Fixed { code: Code::CANCELLED, message: "cancelled" };

    #[test]
    fn is_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Option<Error>>(), size_of::<usize>());
        assert_eq!(size_of::<Result<(), Error>>(), size_of::<usize>());
    }

    #[test]
    fn fixed_errors_gain_context_without_touching_their_kind() {
        let plain = Error::from(&CANCELLED);
        let rich = plain.clone().with("call", 7).operation("kernel.call");
        assert_eq!(plain.to_string(), "cancelled");
        assert_eq!(rich.to_string(), "kernel.call: cancelled (call=7)");
        assert_eq!(plain.code(), rich.code());
    }

    #[test]
    fn clones_do_not_share_later_changes() {
        let one = Error::new(Code::INVALID, "bad");
        let two = one.clone().with("k", "v");
        assert_eq!(one.context().count(), 0);
        assert_eq!(two.context().collect::<Vec<_>>(), [("k", "v")]);
    }

    #[test]
    fn serialises_what_hosts_need() {
        let error = Error::new(Code::NOT_FOUND, "no such agent").with("agent", "a").advice("look");
        let json = serde_json::to_value(&error).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"code": 7, "name": "base.not_found", "class": "persistent",
                "message": "no such agent", "context": {"agent": "a"}, "advice": "look"})
        );
    }
}
