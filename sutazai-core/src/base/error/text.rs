//! Errors as text: one line each, and what was parsed with a caret below the mistake.

use std::fmt;

use super::report::excerpt;
use super::{Error, Location};

impl fmt::Display for Error {
    /// One line: operation, place, message, context, advice. Of something that was parsed, the
    /// offending line and a caret follow. An error that stands for [several](Error::problems) says
    /// how many, and then each in turn, from a line of its own. Causes are in [`causes`](Error::causes);
    /// the alternate form `{:#}` appends them.
    ///
    /// ```text
    /// config.manifest: 2 problems
    /// sutazai.toml:4:1: unknown key "concurency"; did you mean "concurrency"?
    /// 4 | concurency = 4
    ///   | ^
    /// sutazai.toml:9:9: "queue" is out of range; it must be from 1 to 10000000
    /// 9 | queue = 0
    ///   |         ^
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problems = self.problems();
        let operation = self.failed_operation();
        if problems.len() == 1 {
            return whole(f, self, operation);
        }
        if let Some(operation) = operation {
            write!(f, "{operation}: ")?;
        }
        write!(f, "{} problems", problems.len())?;
        // The first is this error, with what was added to it since.
        for problem in std::iter::once(self).chain(problems.iter().skip(1)) {
            f.write_str("\n")?;
            whole(f, problem, problem.failed_operation().filter(|own| Some(*own) != operation))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    /// What `{:#}` shows, behind the code's name: it is what a `main` that returns an error prints.
    /// The alternate form `{:#?}` shows the fields.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return write!(f, "[{}] {self:#}", self.code());
        }
        let mut s = f.debug_struct("Error");
        s.field("code", &self.code())
            .field("class", &self.class())
            .field("message", &self.message());
        if let Some(shared) = self.shared() {
            s.field("operation", &shared.operation)
                .field("context", &shared.context)
                .field("advice", &shared.advice)
                .field("location", &shared.location)
                .field("source", &shared.source)
                .field("problems", &shared.problems);
        }
        s.finish()
    }
}

impl Error {
    /// The errors that led to it, the nearest first, each in one line.
    pub fn causes(&self) -> impl Iterator<Item = String> {
        let first = std::error::Error::source(self);
        std::iter::successors(first, |cause| cause.source()).map(|cause| {
            match cause.downcast_ref::<Self>() {
                Some(error) => OneLine(error).to_string(),
                None => cause.to_string(),
            }
        })
    }
}

/// An error without the text it is about.
struct OneLine<'e>(&'e Error);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, self.0, self.0.failed_operation())
    }
}

fn whole(f: &mut fmt::Formatter<'_>, error: &Error, operation: Option<&str>) -> fmt::Result {
    line(f, error, operation)?;
    if f.alternate() {
        error.causes().try_for_each(|cause| write!(f, ": {cause}"))?;
    }
    match error.location() {
        Some(at) if !at.excerpt.is_empty() => {
            f.write_str("\n")?;
            excerpt(f, at)
        }
        _ => Ok(()),
    }
}

fn line(f: &mut fmt::Formatter<'_>, error: &Error, operation: Option<&str>) -> fmt::Result {
    if let Some(operation) = operation {
        write!(f, "{operation}: ")?;
    }
    if let Some(Location { file, line, column, .. }) = error.location() {
        write!(f, "{file}:{line}:{column}: ")?;
    }
    f.write_str(error.message())?;
    let mut separator = " (";
    for (key, value) in error.context() {
        write!(f, "{separator}{key}={value}")?;
        separator = ", ";
    }
    if separator == ", " {
        f.write_str(")")?;
    }
    if let Some(advice) = error.remedy() {
        write!(f, "; {advice}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::Code;

    #[test]
    fn alternate_form_shows_the_causes() {
        let io = std::io::Error::other("disk on fire");
        let error = Error::new(Code::IO, "cannot write").because(io);
        let outer = Error::new(Code::INTERNAL, "no audit").because(error);
        assert_eq!(format!("{outer:#}"), "no audit: cannot write: disk on fire");
        assert!(outer.source().is_some());
    }

    #[test]
    fn each_problem_has_a_line_its_text_and_a_caret() {
        let text = "queue = 0\n\tqueu\u{1b} = 1\n";
        let at = |offset| Location::in_text("s.toml", text, offset);
        let one = Error::new(Code::INVALID, "out of range")
            .operation("config.manifest")
            .because(std::io::Error::other("why"))
            .at(at(8));
        let two = Error::new(Code::INVALID, "unknown").operation("config.manifest").at(at(11));
        let three = Error::new(Code::INVALID, "another").operation("config.other").advice("stop");
        assert_eq!(
            one.to_string(),
            "config.manifest: s.toml:1:9: out of range\n1 | queue = 0\n  |         ^"
        );
        let all = Error::join(vec![one, two, three]).unwrap();
        assert_eq!(
            format!("{all:#}"),
            "config.manifest: 3 problems\n\
             s.toml:1:9: out of range: why\n1 | queue = 0\n  |         ^\n\
             s.toml:2:2: unknown\n2 | \tqueu\u{fffd} = 1\n  | \t^\n\
             config.other: another; stop"
        );
        let outer = Error::new(Code::INTERNAL, "no kernel").because(all);
        assert_eq!(
            format!("{outer:#}"),
            "no kernel: config.manifest: s.toml:1:9: out of range: why",
            "a cause has one line"
        );
    }
}
