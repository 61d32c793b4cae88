//! Records for other programs: JSON lines, and ArcSight's Common Event Format.

use std::io::{self, Write};

use super::query::Found;
use crate::port::AuditOutcome;

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A JSON object a line: the record's fields, its `index` in the log, and its time as RFC 3339.
    JsonLines,
    /// CEF version 0 ("Implementing ArcSight Common Event Format", revision 26): one line a record,
    /// without a syslog header.
    Cef,
}

impl Format {
    pub(super) fn write(self, out: &mut dyn Write, found: &Found) -> io::Result<()> {
        match self {
            Self::JsonLines => {
                serde_json::to_writer(&mut *out, found)?;
                out.write_all(b"\n")
            }
            Self::Cef => cef(out, found),
        }
    }
}

fn cef(out: &mut dyn Write, found: &Found) -> io::Result<()> {
    let record = &found.record;
    let severity = match record.outcome {
        AuditOutcome::Success => 3,
        AuditOutcome::Failure => 5,
        AuditOutcome::Denied => 7,
    };
    let class = record.class.name();
    write!(
        out,
        "CEF:0|SutazAI|sutazai|{}|{}|{} {}|{severity}|",
        env!("CARGO_PKG_VERSION"),
        header(&record.action),
        header(&record.action),
        record.outcome.name(),
    )?;
    write!(out, "rt={} externalId={}", record.at.as_millis(), found.index)?;
    let mut field = |key: &str, value: &str| write!(out, " {key}={}", extension(value));
    field("cat", class)?;
    field("act", &record.action)?;
    field("outcome", record.outcome.name())?;
    field("suser", &record.principal)?;
    let mut custom = |at: u8, label: &str, value: &str| {
        field(&format!("cs{at}Label"), label)?;
        field(&format!("cs{at}"), value)
    };
    if !record.object.is_empty() {
        custom(1, "object", &record.object)?;
    }
    if let Some(trace) = &record.trace {
        custom(2, "trace", trace)?;
    }
    if !record.details.is_empty() {
        custom(3, "details", &serde_json::to_string(&record.details)?)?;
    }
    if let Some(personal) = &record.personal {
        custom(4, "subject", &personal.subject)?;
    }
    out.write_all(b"\n")
}

/// In the header, `\` and `|` are escaped; there are no line breaks.
fn header(text: &str) -> String {
    escaped(text, |c| match c {
        '\\' => Some("\\\\"),
        '|' => Some("\\|"),
        '\n' | '\r' => Some(" "),
        _ => None,
    })
}

/// In an extension's value, `\` and `=` are escaped, and line breaks are `\n` and `\r`.
fn extension(text: &str) -> String {
    escaped(text, |c| match c {
        '\\' => Some("\\\\"),
        '=' => Some("\\="),
        '\n' => Some("\\n"),
        '\r' => Some("\\r"),
        _ => None,
    })
}

/// What else is a control character, which a terminal or a collector may obey, stands there as its picture (`\u{1b}` as
/// `␛`) or, where it has none, as `\u{fffd}`.
fn escaped(text: &str, escape: impl Fn(char) -> Option<&'static str>) -> String {
    /// The pictures of the control characters from NUL on, and of DEL.
    const PICTURES: u32 = 0x2400;
    const DEL: char = '\u{2421}';
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match (escape(c), c) {
            (Some(escaped), _) => out.push_str(escaped),
            (None, '\0'..='\u{1f}') => {
                out.push(
                    char::from_u32(PICTURES + u32::from(c)).unwrap_or(char::REPLACEMENT_CHARACTER),
                );
            }
            (None, '\u{7f}') => out.push(DEL),
            (None, c) if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            (None, c) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::record::Record;
    use super::*;

    #[test]
    fn nothing_in_cef_is_obeyed_by_a_terminal() {
        let text = extension("a\u{1b}[2Jb\0\u{7f}\u{9b}c\td");
        assert_eq!(text, "a\u{241b}[2Jb\u{2400}\u{2421}\u{fffd}c\u{2409}d");
        assert!(!header("x\u{1b}]0;y\u{7}").chars().any(char::is_control));
    }

    #[test]
    fn both_formats_escape_what_they_must() {
        let text = br#"{"action":"a|b\\c","at":"1700000000123000000","class":"token","details":{"k=1":"x\ny"},"object":"o=1","outcome":"denied","principal":"ann\\=\n","v":1}"#;
        let found = Found { index: 7, record: Record::parse(text).unwrap() };
        let mut out = Vec::new();
        Format::Cef.write(&mut out, &found).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(
                "CEF:0|SutazAI|sutazai|{version}|a\\|b\\\\c|a\\|b\\\\c denied|7|rt=1700000000123 \
                 externalId=7 cat=token act=a|b\\\\c outcome=denied suser=ann\\\\\\=\\n \
                 cs1Label=object cs1=o\\=1 cs3Label=details cs3={{\"k\\=1\":\"x\\\\ny\"}}\n"
            )
        );
        let mut out = Vec::new();
        Format::JsonLines.write(&mut out, &found).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert!(line.starts_with(r#"{"index":7,"class":"token","action":"a|b\\c""#), "{line}");
        assert!(line.contains(r#""at":"2023-11-14T22:13:20.123Z""#), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
    }
}
