//! Parameters in the texts of a template: `{name}`.
//!
//! Whatever else stands in braces is left as it is, so that a program or a piece of JSON in a text needs no
//! care; `{{name}}` is the text `{name}`.

use serde_json::{Map, Value};

/// Whether this can be a parameter: a letter, then letters, digits and `_`.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.len() <= 64
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A piece of a text.
enum Piece<'t> {
    Plain(&'t str),
    Name(&'t str),
}

/// The pieces of a text, in order.
fn pieces(mut rest: &str) -> impl Iterator<Item = Piece<'_>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let open = rest.find('{').unwrap_or(rest.len());
        let (plain, from_open) = rest.split_at(open);
        if !plain.is_empty() {
            rest = from_open;
            return Some(Piece::Plain(plain));
        }
        if let Some((name, after)) = named(from_open, "{{", "}}") {
            // One pair of the braces stays.
            let shown = from_open.get(1..name.len() + 3).unwrap_or(name);
            rest = after;
            return Some(Piece::Plain(shown));
        }
        if let Some((name, after)) = named(from_open, "{", "}") {
            rest = after;
            return Some(Piece::Name(name));
        }
        let (brace, after) = from_open.split_at(1);
        rest = after;
        Some(Piece::Plain(brace))
    })
}

/// The name that a text begins with, between `open` and `close`, and what comes after.
fn named<'t>(text: &'t str, open: &str, close: &str) -> Option<(&'t str, &'t str)> {
    let (name, after) = text.strip_prefix(open)?.split_once(close)?;
    is_name(name).then_some((name, after))
}

/// The parameters that a text has.
pub(super) fn names_in(text: &str) -> impl Iterator<Item = &str> {
    pieces(text).filter_map(|piece| match piece {
        Piece::Name(name) => Some(name),
        Piece::Plain(_) => None,
    })
}

/// Runs `f` with every text of a value.
pub(super) fn each_text(value: &Value, f: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => f(text),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, f)),
        Value::Object(fields) => fields.values().for_each(|item| each_text(item, f)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A text with the values of its parameters in it.
///
/// # Errors
/// What is wrong with one, by its name.
pub(super) fn text(text: &str, values: &Map<String, Value>) -> Result<String, (String, String)> {
    let mut filled = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Plain(plain) => filled.push_str(plain),
            Piece::Name(name) => match values.get(name) {
                Some(Value::String(value)) => filled.push_str(value),
                Some(value @ (Value::Number(_) | Value::Bool(_))) => {
                    filled.push_str(&value.to_string());
                }
                Some(_) => {
                    let why =
                        format!("a list, an object or null cannot stand within a text: {text:?}");
                    return Err((name.to_owned(), why));
                }
                None => return Err((name.to_owned(), "it has no value".to_owned())),
            },
        }
    }
    Ok(filled)
}

/// Data with the values of its parameters in it. A text that is one parameter becomes its value.
///
/// # Errors
/// What is wrong with one, by its name.
pub(super) fn value(data: &Value, values: &Map<String, Value>) -> Result<Value, (String, String)> {
    match data {
        Value::String(whole) => {
            if let Some((name, "")) = named(whole, "{", "}") {
                let none = || (name.to_owned(), "it has no value".to_owned());
                return values.get(name).cloned().ok_or_else(none);
            }
            text(whole, values).map(Value::String)
        }
        Value::Array(items) => items.iter().map(|item| value(item, values)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, item)| Ok((key.clone(), value(item, values)?)))
            .collect::<Result<Map<_, _>, _>>()
            .map(Value::Object),
        other => Ok(other.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn values() -> Map<String, Value> {
        let Value::Object(values) =
            json!({"model": "m-1", "depth": 3, "words": ["a", "b"], "hot": true, "none": null})
        else {
            unreachable!()
        };
        values
    }

    #[test]
    fn a_text_has_values_where_its_parameters_stood() {
        for (given, filled) in [
            ("", ""),
            ("--model={model}", "--model=m-1"),
            ("{model}:{depth}:{hot}", "m-1:3:true"),
            ("{{model}}", "{model}"),
            ("{{model}} is {model}", "{model} is m-1"),
            ("json.dumps({'a': {}})", "json.dumps({'a': {}})"),
            ("{", "{"),
            ("}{model}{", "}m-1{"),
            ("{ model }", "{ model }"),
            ("{0}{_x}", "{0}{_x}"),
            ("ä{model}ö", "äm-1ö"),
        ] {
            assert_eq!(text(given, &values()).as_deref(), Ok(filled), "{given}");
        }
        assert_eq!(names_in("{a}{{b}}{c} {d e}").collect::<Vec<_>>(), ["a", "c"]);
    }

    #[test]
    fn a_text_that_is_one_parameter_becomes_its_value() {
        let data =
            json!({"command": ["run", "{depth}"], "words": "{words}", "n": 1, "x": "{none}"});
        let filled = json!({"command": ["run", 3], "words": ["a", "b"], "n": 1, "x": null});
        assert_eq!(value(&data, &values()), Ok(filled));
    }

    #[test]
    fn what_has_no_value_or_no_text_is_named() {
        assert_eq!(text("{other}", &values()).unwrap_err().0, "other");
        assert_eq!(value(&json!(["{other}"]), &values()).unwrap_err().0, "other");
        let (name, why) = text("a {words}", &values()).unwrap_err();
        assert_eq!(name, "words");
        assert!(why.contains("a {words}"), "{why}");
    }
}
