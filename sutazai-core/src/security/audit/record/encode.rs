//! A record's bytes, straight from what it borrows.

use super::text::{hex, integer, order, string};
use super::{ACTION_MAX, DETAIL_MAX, DETAILS_MAX, KEY_MAX, NAME_MAX, RECORD_MAX, too_long};
use crate::base::time::Timestamp;
use crate::port::{AuditClass, AuditEvent, AuditOutcome, AuditValue};
use crate::{Code, Error, Result};

/// Whole numbers up to here are exact as JSON numbers.
const EXACT: u64 = 1 << 53;

type Details<'a> = &'a [(&'a str, AuditValue<'a>)];

/// Everything that is written, borrowed.
pub(in crate::security::audit) struct View<'a> {
    pub class: AuditClass,
    pub action: &'a str,
    pub principal: &'a str,
    pub object: &'a str,
    pub outcome: AuditOutcome,
    pub at: Timestamp,
    pub trace: Option<(u128, u64)>,
    pub details: Details<'a>,
    /// Details that are cut already, and how long they were: of a record that is written again.
    pub cut: &'a [(&'a str, u64)],
    pub personal: Option<Personal<'a>>,
}

/// The personal details, as they are kept.
#[derive(Clone, Copy)]
pub(in crate::security::audit) enum Personal<'a> {
    Sealed { subject: &'a str, sealed: &'a str },
    Withheld { subject: &'a str, fields: u64 },
}

impl<'a> View<'a> {
    pub(in crate::security::audit) fn of(
        event: &AuditEvent<'a>,
        personal: Option<Personal<'a>>,
    ) -> Self {
        Self {
            class: event.class,
            action: event.action,
            principal: event.principal,
            object: event.object,
            outcome: event.outcome,
            at: event.at,
            trace: event.trace.map(|t| (t.trace.0, t.span.0)),
            details: event.details,
            cut: &[],
            personal,
        }
    }
}

/// Writes the canonical form of a record.
pub(in crate::security::audit) fn encode(out: &mut Vec<u8>, view: &View<'_>) -> Result<()> {
    check(view)?;
    out.extend_from_slice(b"{\"action\":");
    string(out, view.action);
    out.extend_from_slice(b",\"at\":\"");
    integer(out, view.at.as_nanos());
    out.extend_from_slice(b"\",\"class\":\"");
    out.extend_from_slice(view.class.name().as_bytes());
    out.push(b'"');
    if !view.cut.is_empty() || view.details.iter().any(is_long) {
        cut(out, view)?;
    }
    if !view.details.is_empty() {
        out.extend_from_slice(b",\"details\":");
        details(out, view.details, DETAIL_MAX)?;
    }
    if !view.object.is_empty() {
        out.extend_from_slice(b",\"object\":");
        string(out, view.object);
    }
    out.extend_from_slice(b",\"outcome\":\"");
    out.extend_from_slice(view.outcome.name().as_bytes());
    out.push(b'"');
    match view.personal {
        None => {}
        Some(Personal::Sealed { subject, sealed }) => {
            out.extend_from_slice(b",\"personal\":{\"sealed\":");
            string(out, sealed);
            out.extend_from_slice(b",\"subject\":");
            string(out, subject);
            out.push(b'}');
        }
        Some(Personal::Withheld { subject, fields }) => {
            out.extend_from_slice(b",\"personal\":{\"subject\":");
            string(out, subject);
            out.extend_from_slice(b",\"withheld\":");
            integer(out, i64::try_from(fields).unwrap_or(i64::MAX));
            out.push(b'}');
        }
    }
    out.extend_from_slice(b",\"principal\":");
    string(out, view.principal);
    if let Some((trace, span)) = view.trace {
        out.extend_from_slice(b",\"span\":\"");
        hex(out, u128::from(span), 16);
        out.extend_from_slice(b"\",\"trace\":\"");
        hex(out, trace, 32);
        out.push(b'"');
    }
    out.extend_from_slice(b",\"v\":1}");
    if out.len() > RECORD_MAX {
        return Err(too_long("record", out.len(), RECORD_MAX));
    }
    Ok(())
}

/// Writes the canonical form of details alone; none may be too long.
pub(in crate::security::audit) fn encode_details(
    out: &mut Vec<u8>,
    all: Details<'_>,
) -> Result<()> {
    if all.len() > DETAILS_MAX {
        return Err(too_long("personal details", all.len(), DETAILS_MAX));
    }
    if let Some((_, AuditValue::Text(text))) = all.iter().find(|d| is_long(d)) {
        return Err(too_long("personal detail", text.len(), DETAIL_MAX));
    }
    details(out, all, usize::MAX)
}

#[inline]
fn check(view: &View<'_>) -> Result<()> {
    let longest = [
        ("action", view.action.len(), ACTION_MAX),
        ("principal", view.principal.len(), NAME_MAX),
        ("object", view.object.len(), NAME_MAX),
        ("details", view.details.len(), DETAILS_MAX),
    ];
    for (what, bytes, most) in longest {
        if bytes > most {
            return Err(too_long(what, bytes, most));
        }
    }
    if view.action.is_empty() || view.principal.is_empty() {
        return Err(nobody(view));
    }
    Ok(())
}

#[cold]
fn nobody(view: &View<'_>) -> Error {
    Error::new(Code::INVALID, "an audit record says who did it, and what was done")
        .operation("audit.record")
        .with("action", view.action)
        .with("principal", view.principal)
}

fn is_long((_, value): &(&str, AuditValue<'_>)) -> bool {
    matches!(value, AuditValue::Text(text) if text.len() > DETAIL_MAX)
}

#[cold]
fn cut(out: &mut Vec<u8>, view: &View<'_>) -> Result<()> {
    let mut all: Vec<(&str, u64)> = view.cut.to_vec();
    all.extend(view.details.iter().filter(|d| is_long(d)).map(|(key, value)| match value {
        AuditValue::Text(text) => (*key, text.len() as u64),
        AuditValue::Int(_) | AuditValue::Bool(_) => (*key, 0),
    }));
    all.sort_by(|a, b| order(a.0, b.0));
    out.extend_from_slice(b",\"cut\":{");
    for (at, (key, bytes)) in all.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        string(out, key);
        out.push(b':');
        integer(out, i64::try_from(*bytes).unwrap_or(i64::MAX));
    }
    out.push(b'}');
    Ok(())
}

fn details(out: &mut Vec<u8>, all: Details<'_>, longest: usize) -> Result<()> {
    out.push(b'{');
    let ordered = all.windows(2).all(|pair| match pair {
        [a, b] => order(a.0, b.0).is_lt(),
        _ => true,
    });
    if ordered {
        for (at, detail) in all.iter().enumerate() {
            one(out, at, detail, longest)?;
        }
    } else {
        let mut sorted: Vec<_> = all.iter().collect();
        sorted.sort_by(|a, b| order(a.0, b.0));
        if let Some([twice, _]) = sorted.windows(2).find(|w| matches!(w, [a, b] if a.0 == b.0)) {
            return Err(Error::new(Code::INVALID, "a detail of the audit record is there twice")
                .operation("audit.record")
                .with("detail", twice.0.chars().take(KEY_MAX).collect::<String>()));
        }
        for (at, detail) in sorted.into_iter().enumerate() {
            one(out, at, detail, longest)?;
        }
    }
    out.push(b'}');
    Ok(())
}

#[inline]
fn one(
    out: &mut Vec<u8>,
    at: usize,
    (key, value): &(&str, AuditValue<'_>),
    longest: usize,
) -> Result<()> {
    if key.len() > KEY_MAX {
        return Err(too_long("name of a detail", key.len(), KEY_MAX));
    }
    if at > 0 {
        out.push(b',');
    }
    string(out, key);
    out.push(b':');
    match *value {
        AuditValue::Text(text) => {
            let text = if text.len() > longest {
                text.get(..text.floor_char_boundary(longest)).unwrap_or_default()
            } else {
                text
            };
            string(out, text);
        }
        AuditValue::Bool(true) => out.extend_from_slice(b"true"),
        AuditValue::Bool(false) => out.extend_from_slice(b"false"),
        AuditValue::Int(value) if value.unsigned_abs() > EXACT => {
            out.push(b'"');
            integer(out, value);
            out.push(b'"');
        }
        AuditValue::Int(value) => integer(out, value),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{SpanId, TraceId};
    use crate::port::Trace;

    fn encoded(event: &AuditEvent<'_>) -> String {
        let mut out = Vec::new();
        encode(&mut out, &View::of(event, None)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn it_is_the_canonical_form() {
        let details = [
            // RFC 8785, section 3.2.3: U+1F600 sorts by its surrogates, before U+FB33.
            ("\u{fb33}", AuditValue::Int(1)),
            ("\u{1f600}", AuditValue::Bool(true)),
            ("\u{20ac}", AuditValue::Text("\u{8}\u{c}\n\r\t\"\\\u{1}/é")),
            ("1", AuditValue::Int(-(1 << 53))),
            ("2", AuditValue::Int(i64::MIN)),
        ];
        let trace = Trace { trace: TraceId(0xabc), span: SpanId(7) };
        let event =
            AuditEvent::new(AuditClass::Key, "key.rotate", "ann", Timestamp::from_nanos(-5))
                .object("signing")
                .outcome(AuditOutcome::Failure)
                .trace(trace)
                .details(&details);
        assert_eq!(
            encoded(&event),
            concat!(
                r#"{"action":"key.rotate","at":"-5","class":"key","details":{"1":-9007199254740992,"#,
                r#""2":"-9223372036854775808","€":"\b\f\n\r\t\"\\\u0001/é","😀":true,""#,
                "\u{fb33}",
                r#"":1},"#,
                r#""object":"signing","outcome":"failure","principal":"ann","#,
                r#""span":"0000000000000007","trace":"00000000000000000000000000000abc","v":1}"#
            )
        );
    }

    #[test]
    fn what_is_too_long_is_refused_or_cut_with_a_mark() {
        let long = "ü".repeat(DETAIL_MAX);
        let details = [("note", AuditValue::Text(&long)), ("short", AuditValue::Text("s"))];
        let event = AuditEvent::new(AuditClass::Action, "a.b", "p", Timestamp::EPOCH);
        let text = encoded(&event.details(&details));
        assert!(text.contains(r#""cut":{"note":8192},"details":{"note":"ü"#), "{}", &text[..120]);
        assert!(text.len() < 5000);
        let name = "x".repeat(NAME_MAX + 1);
        let refused = |event: &AuditEvent<'_>| {
            let error = encode(&mut Vec::new(), &View::of(event, None)).unwrap_err();
            assert_eq!(error.code(), Code::INVALID);
            error.to_string()
        };
        assert!(refused(&event.object(&name)).contains("what=object"));
        for (action, principal) in [("", "p"), ("a.b", "")] {
            let event = AuditEvent::new(AuditClass::Action, action, principal, Timestamp::EPOCH);
            assert!(refused(&event).contains("says who did it"));
        }
        let twice = [("a", AuditValue::Int(1)), ("a", AuditValue::Int(2))];
        assert!(refused(&event.details(&twice)).contains("detail=a"));
        let huge = "\u{1}".repeat(4000);
        let all: Vec<_> = ["a", "b", "c"].map(|k| (k, AuditValue::Text(&huge))).into();
        assert!(refused(&event.details(&all)).contains("what=record"));
    }
}
