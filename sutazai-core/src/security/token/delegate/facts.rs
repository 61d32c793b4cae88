//! What a call is, as facts.

use std::collections::HashMap;

use biscuit_auth::AuthorizerBuilder;
use biscuit_auth::builder::{Fact, Term};
use serde_json::Value;

use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

/// The most arguments of a call that are looked at; one with more is refused.
const ARGUMENTS_MAX: usize = 256;
/// The deepest that arguments may be nested.
const DEEPEST: usize = 16;

/// The authorizer of one call: `time`, `skill`, `depth`, and an `argument` for each value in the arguments
/// that is text, a whole number or a flag, by its JSON pointer (RFC 6901).
pub(super) fn authorizer(
    skill: &str,
    arguments: &Value,
    depth: usize,
    now: Timestamp,
) -> Result<AuthorizerBuilder> {
    let mut facts = vec![
        Fact::new("time".to_owned(), vec![date(now)]),
        Fact::new("skill".to_owned(), vec![Term::Str(skill.to_owned())]),
        Fact::new(
            "depth".to_owned(),
            vec![Term::Integer(i64::try_from(depth).unwrap_or(i64::MAX))],
        ),
    ];
    collect(arguments, &mut String::new(), 0, &mut facts)?;
    let built = |e| {
        Error::new(Code::DELEGATION_DENIED, "the call cannot be judged")
            .operation("security.delegate")
            .because(e)
    };
    facts
        .into_iter()
        .try_fold(AuthorizerBuilder::new(), AuthorizerBuilder::fact)
        .and_then(|builder| {
            builder.code_with_params("allow if true", HashMap::new(), HashMap::new())
        })
        .map_err(built)
}

/// A time, in whole seconds, as Biscuits have it.
pub(super) fn date(time: Timestamp) -> Term {
    Term::Date(u64::try_from(time.as_nanos().div_euclid(1_000_000_000)).unwrap_or(0))
}

/// The JSON pointer of an argument's name: a name that begins with `/` is one.
pub(super) fn pointer(name: &str) -> String {
    if name.starts_with('/') { name.to_owned() } else { format!("/{}", escaped(name)) }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn collect(value: &Value, at: &mut String, depth: usize, facts: &mut Vec<Fact>) -> Result<()> {
    if depth > DEEPEST || facts.len() > ARGUMENTS_MAX {
        return Err(Error::new(
            Code::DELEGATION_DENIED,
            "the call has too many arguments to be judged",
        )
        .operation("security.delegate")
        .with("most", ARGUMENTS_MAX));
    }
    let term = match value {
        Value::String(text) => Term::Str(text.clone()),
        Value::Bool(flag) => Term::Bool(*flag),
        // What is no whole number of 64 bits has no fact, so that a range on it fails.
        Value::Number(number) => match number.as_i64() {
            Some(number) => Term::Integer(number),
            None => return Ok(()),
        },
        Value::Null => return Ok(()),
        Value::Array(items) => {
            return items
                .iter()
                .enumerate()
                .try_for_each(|(n, item)| within(item, &n.to_string(), at, depth, facts));
        }
        Value::Object(map) => {
            return map
                .iter()
                .try_for_each(|(key, item)| within(item, &escaped(key), at, depth, facts));
        }
    };
    facts.push(Fact::new("argument".to_owned(), vec![Term::Str(at.clone()), term]));
    Ok(())
}

fn within(
    item: &Value,
    key: &str,
    at: &mut String,
    depth: usize,
    facts: &mut Vec<Fact>,
) -> Result<()> {
    let end = at.len();
    at.push('/');
    at.push_str(key);
    let done = collect(item, at, depth + 1, facts);
    at.truncate(end);
    done
}
