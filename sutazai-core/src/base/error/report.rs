//! Errors for people: several lines, with the offending line and a caret below the mistake.

use std::fmt;

use super::{Error, Location};

/// Excerpts of longer lines are cut: a line may be as long as its file.
const LONGEST: usize = 200;
/// How much of a cut line is kept before the column.
const BEFORE: usize = 100;

impl Location {
    /// The place of a byte of `text`, which came from `file`. An offset inside of a character
    /// counts as that character's first; one beyond the end as the end.
    ///
    /// ```
    /// use sutazai_core::base::error::Location;
    /// let at = Location::in_text("a.toml", "one = 1\ntwo = ?\n", 14);
    /// assert_eq!((at.line, at.column, at.excerpt.as_str()), (2, 7, "two = ?"));
    /// ```
    pub fn in_text(file: impl Into<String>, text: &str, offset: usize) -> Self {
        let offset = text.floor_char_boundary(offset);
        let (before, after) = text.split_at(offset);
        let begin = before.rfind('\n').map_or(0, |at| at + 1);
        let end = after.find('\n').map_or(text.len(), |at| offset + at);
        let line = text.get(begin..end).unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line);
        let column = before.get(begin..).unwrap_or_default().chars().count();
        let number = before.bytes().filter(|byte| *byte == b'\n').count();
        Self {
            file: file.into(),
            line: saturate(number + 1),
            column: saturate(column + 1),
            excerpt: cut(line, column),
        }
    }

    /// How many characters of the excerpt stand before the mistake.
    fn indent(&self) -> usize {
        let column = self.column.saturating_sub(1) as usize;
        let cut = column > LONGEST && self.excerpt.starts_with('…');
        if cut { BEFORE + 1 } else { column }
    }
}

fn cut(line: &str, column: usize) -> String {
    let mut rest = line.chars();
    let mut out = String::new();
    if column > LONGEST {
        out.push('…');
        rest.nth(column - BEFORE - 1);
    }
    out.extend(rest.by_ref().take(LONGEST));
    if rest.next().is_some() {
        out.push('…');
    }
    out
}

fn saturate(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Error {
    /// The error as a person wants to read it: message, place with the offending line and a caret,
    /// context, advice, causes, and every further problem. Ends without a line break.
    ///
    /// ```text
    /// error: unknown key "concurency"
    ///   --> sutazai.toml:4:1
    ///    |
    ///  4 | concurency = 4
    ///    | ^
    ///    = did you mean "concurrency"?
    /// ```
    pub fn report(&self) -> impl fmt::Display + '_ {
        Report(self)
    }
}

struct Report<'e>(&'e Error);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problems = self.0.problems();
        for (number, problem) in problems.iter().enumerate() {
            if number > 0 {
                f.write_str("\n\n")?;
            }
            one(f, problem)?;
        }
        if problems.len() > 1 {
            write!(f, "\n\n{} problems", problems.len())?;
        }
        Ok(())
    }
}

fn one(f: &mut fmt::Formatter<'_>, error: &Error) -> fmt::Result {
    write!(f, "error: {}", Plain(error.message()))?;
    let mut width = 1;
    if let Some(at) = error.location() {
        width = at.line.to_string().len();
        write!(f, "\n{:width$}--> {}:{}:{}", "", Plain(&at.file), at.line, at.column)?;
        if !at.excerpt.is_empty() {
            write!(f, "\n{:width$} |\n", "")?;
            excerpt(f, at)?;
        }
    }
    if let Some(operation) = error.failed_operation() {
        write!(f, "\n{:width$} = in {}", "", Plain(operation))?;
    }
    for (key, value) in error.context() {
        write!(f, "\n{:width$} = {}: {}", "", Plain(key), Plain(value))?;
    }
    if let Some(advice) = error.remedy() {
        write!(f, "\n{:width$} = {}", "", Plain(advice))?;
    }
    error.causes().try_for_each(|cause| write!(f, "\n{:width$} = caused by: {}", "", Plain(&cause)))
}

/// The offending line, and a caret below the mistake.
pub(super) fn excerpt(f: &mut fmt::Formatter<'_>, at: &Location) -> fmt::Result {
    let width = at.line.to_string().len();
    write!(f, "{} | {}\n{:width$} | ", at.line, Plain(&at.excerpt), "")?;
    for c in at.excerpt.chars().chain(std::iter::repeat(' ')).take(at.indent()) {
        // A tab stays one, so that the caret stands where the terminal put the mistake.
        f.write_str(if c == '\t' { "\t" } else { " " })?;
    }
    f.write_str("^")
}

/// Text from outside without control characters, which a terminal would obey.
struct Plain<'t>(&'t str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        self.0.chars().try_for_each(|c| {
            f.write_char(if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    #[test]
    fn shows_the_line_and_a_caret() {
        let text = "[limits]\r\n\tqueue = \"many\"\r\n";
        let at = Location::in_text("s.toml", text, 19);
        assert_eq!((at.line, at.column), (2, 10));
        let error = Error::new(Code::MANIFEST_INVALID, "\"queue\" must be an integer")
            .at(at)
            .with("key", "queue")
            .because(Error::new(Code::IO, "a\u{1b}[2J cause"))
            .advice("write a number");
        let expected = "error: \"queue\" must be an integer\n --> s.toml:2:10\n  |\n2 | \tqueue = \"many\"\n  | \t        ^\n  = key: queue\n  = write a number\n  = caused by: a\u{fffd}[2J cause";
        assert_eq!(error.report().to_string(), expected);
        let all = Error::join(vec![error, Error::new(Code::INVALID, "two")]).unwrap();
        assert!(all.report().to_string().ends_with("\n\nerror: two\n\n2 problems"));
    }

    #[test]
    fn long_lines_are_cut_around_the_column() {
        let text = format!("{}?{}", "é".repeat(5000), "x".repeat(5000));
        let at = Location::in_text("s.toml", &text, 10_000);
        assert_eq!(at.column, 5001);
        assert_eq!(at.excerpt.chars().count(), LONGEST + 2);
        assert_eq!(at.excerpt.chars().nth(at.indent()), Some('?'));
        let end = Location::in_text("s.toml", "ab\n", 99);
        assert_eq!((end.line, end.column, end.excerpt.as_str()), (2, 1, ""));
    }
}
