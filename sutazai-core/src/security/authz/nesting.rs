//! Bounds on how deeply a text may nest.
//!
//! Cedar's parser recurses over what it reads, in frames of tens of kilobytes where nothing is optimised, and
//! so would bring the process down over a text of nothing but brackets. What is read here is bounded first, and
//! then read on a stack that is large enough for these bounds.

use std::sync::Once;

use crate::base::error::Location;
use crate::{Code, Error, Result};

/// Brackets in brackets; serde_json's bound for JSON is the same.
const NESTING: usize = 128;
/// Conditionals in one policy: each may stand in the one before.
const CONDITIONALS: usize = 1024;
/// Operators in one policy: a chain of them is a tree as deep as it is long.
const OPERATORS: usize = 8192;

const STACK: usize = 64 << 20;

/// What Cedar makes once and keeps is made on the thread's own stack, which tools that look for leaks can walk.
fn make_what_is_kept() {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        let policies = "permit (principal, action, resource) when { ip(\"::1\").isIpv6() };";
        drop(policies.parse::<cedar_policy::PolicySet>());
        drop(cedar_policy::Schema::from_cedarschema_str("entity E;").map(|(schema, _)| schema));
    });
}

/// Runs what reads a text that was checked.
pub(super) fn on_a_large_stack<R>(read: impl FnOnce() -> R) -> R {
    make_what_is_kept();
    stacker::maybe_grow(STACK / 2, STACK, read)
}

/// Runs what reads a value that is small, as a rule.
pub(super) fn on_a_stack<R>(read: impl FnOnce() -> R) -> R {
    make_what_is_kept();
    stacker::maybe_grow(512 << 10, STACK / 4, read)
}

/// Checks a text in Cedar's syntax, policies or schema.
///
/// # Errors
/// `code`, with the place at which it goes too deep.
pub(super) fn check(name: &str, text: &str, code: Code) -> Result<()> {
    let too = |at: usize, what: &str, bound: usize| {
        let advice = "write it as several policies, or with sets";
        let error = Error::new(code, format!("more than {bound} {what} in one policy"));
        Err(error.advice(advice).at(Location::in_text(name, text, at)))
    };
    let (mut nesting, mut conditionals, mut operators) = (0_usize, 0, 0);
    let (bytes, is_schema) = (text.as_bytes(), code == Code::POLICY_SCHEMA);
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        match byte {
            b'"' => at = end_of_string(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                let rest = bytes.get(at..).unwrap_or_default();
                at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            }
            b'(' | b'[' | b'{' => (nesting, operators) = (nesting + 1, operators + 1),
            b')' | b']' | b'}' => nesting = nesting.saturating_sub(1),
            // Of a type in a schema; a comparison in a policy.
            b'<' if is_schema => (nesting, operators) = (nesting + 1, operators + 1),
            b'>' if is_schema => nesting = nesting.saturating_sub(1),
            b'.' | b'+' | b'-' | b'*' | b'!' | b'&' | b'|' | b'=' => operators += 1,
            b';' => (operators, conditionals) = (0, 0),
            b'i' if is_if(bytes, at) => conditionals += 1,
            _ => {}
        }
        if nesting > NESTING {
            return too(at, "brackets in brackets", NESTING);
        }
        if conditionals > CONDITIONALS {
            return too(at, "conditionals", CONDITIONALS);
        }
        if operators > OPERATORS {
            return too(at, "operators", OPERATORS);
        }
        at += 1;
    }
    Ok(())
}

fn is_if(bytes: &[u8], at: usize) -> bool {
    let word =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    bytes.get(at + 1) == Some(&b'f')
        && !word(bytes.get(at + 2))
        && !word(at.checked_sub(1).and_then(|before| bytes.get(before)))
}

/// Where the string ends that begins here.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' => return at,
            _ => {}
        }
        at += 1;
    }
    at
}
