//! Arguments that a tool wants to see in headers (`x-mcp-header`), and how values stand in them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// An argument that goes into a header as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mirrored {
    path: Vec<String>,
    header: String,
}

/// The arguments that the schema of a tool's input marks.
///
/// # Errors
/// Why the schema may not mark them so; the tool is not to be used then.
pub(super) fn mirrored(schema: &Value) -> Result<Vec<Mirrored>, String> {
    let mut found = Vec::new();
    visit(schema, &mut Vec::new(), true, &mut found)?;
    Ok(found)
}

fn visit(
    schema: &Value,
    path: &mut Vec<String>,
    reachable: bool,
    found: &mut Vec<Mirrored>,
) -> Result<(), String> {
    match schema {
        Value::Object(fields) => {
            if let Some(mark) = schema.get("x-mcp-header") {
                found.push(marked(schema, mark, path, reachable, found)?);
            }
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("properties", Value::Object(properties)) => {
                        for (name, property) in properties {
                            path.push(name.clone());
                            visit(property, path, reachable, found)?;
                            path.pop();
                        }
                    }
                    // Data, and no schemas.
                    ("const" | "enum" | "default" | "examples", _) => {}
                    _ => visit(value, path, false, found)?,
                }
            }
            Ok(())
        }
        Value::Array(several) => {
            several.iter().try_for_each(|schema| visit(schema, path, false, found))
        }
        _ => Ok(()),
    }
}

fn marked(
    schema: &Value,
    mark: &Value,
    path: &[String],
    reachable: bool,
    found: &[Mirrored],
) -> Result<Mirrored, String> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let name = mark.as_str().filter(|name| !name.is_empty() && name.chars().all(token));
    let Some(name) = name else { return Err(format!("{mark} is no name of a header")) };
    if !reachable || path.is_empty() {
        return Err(format!("the argument for the header {name:?} is not always in one place"));
    }
    let kind = schema.get("type").and_then(Value::as_str).unwrap_or_default();
    if !matches!(kind, "integer" | "string" | "boolean") {
        return Err(format!("the argument for the header {name:?} is no text, integer or boolean"));
    }
    if found.iter().any(|other| other.header.eq_ignore_ascii_case(name)) {
        return Err(format!("two arguments are for the header {name:?}"));
    }
    Ok(Mirrored { path: path.to_vec(), header: name.to_owned() })
}

/// The headers for a call's arguments.
pub(super) fn headers(mirrored: &[Mirrored], arguments: &Value) -> Vec<(String, String)> {
    let value = |mirrored: &Mirrored| {
        let mut at = arguments;
        for name in &mirrored.path {
            at = at.get(name)?;
        }
        match at {
            Value::String(text) => Some(encoded(text)),
            Value::Bool(_) => Some(at.to_string()),
            Value::Number(_) => Some(at.to_string().trim_end_matches(".0").to_owned()),
            _ => None,
        }
    };
    let header = |m: &Mirrored| Some((format!("Mcp-Param-{}", m.header), value(m)?));
    mirrored.iter().filter_map(header).collect()
}

/// A text as the value of a header.
pub(super) fn encoded(text: &str) -> String {
    let plain = text.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~'))
        && text.trim() == text
        && !(text.starts_with("=?base64?") && text.ends_with("?="));
    if plain { text.to_owned() } else { format!("=?base64?{}?=", STANDARD.encode(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_specification_s_own_examples() {
        for (text, value) in [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ] {
            assert_eq!(encoded(text), value);
        }
    }

    #[test]
    fn marked_arguments_become_headers() {
        let schema = json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "deep": {"type": "object", "properties": {
                "n": {"type": "integer", "x-mcp-header": "N"},
                "flag": {"type": "boolean", "x-mcp-header": "Flag"}}},
            "x-mcp-header": {"type": "string", "default": {"x-mcp-header": 7}}}});
        let marked = mirrored(&schema).unwrap();
        let mut given =
            headers(&marked, &json!({"region": "é", "deep": {"n": -7.0, "flag": true}}));
        given.sort();
        let expected = [("Flag", "true"), ("N", "-7"), ("Region", "=?base64?w6k=?=")];
        let expected =
            expected.map(|(name, value)| (format!("Mcp-Param-{name}"), value.to_owned()));
        assert_eq!(given, expected);
        assert!(headers(&marked, &json!({"region": null, "deep": 1})).is_empty());
    }

    #[test]
    fn marks_that_may_not_be_are_found() {
        let string = |mark: Value| json!({"type": "string", "x-mcp-header": mark});
        for properties in [
            json!({"a": string(json!(""))}),
            json!({"a": string(json!("a b"))}),
            json!({"a": string(json!(1))}),
            json!({"a": {"type": "number", "x-mcp-header": "A"}}),
            json!({"a": string(json!("A")), "b": string(json!("a"))}),
            json!({"a": {"type": "array", "items": string(json!("A"))}}),
            json!({"a": {"anyOf": [string(json!("A"))]}}),
        ] {
            let schema = json!({"type": "object", "properties": properties});
            assert!(mirrored(&schema).is_err(), "{schema}");
        }
        assert!(mirrored(&string(json!("A"))).is_err(), "the root is no argument");
        assert_eq!(mirrored(&json!({})), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn a_value_can_always_stand_in_a_header(text in ".{0,40}") {
            let value = encoded(&text);
            prop_assert!(value.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')));
            prop_assert_eq!(value.trim(), &value);
            let inner = value.strip_prefix("=?base64?").and_then(|v| v.strip_suffix("?="));
            match inner {
                Some(inner) => prop_assert_eq!(STANDARD.decode(inner).unwrap(), text.into_bytes()),
                None => prop_assert_eq!(value, text),
            }
        }
    }
}
