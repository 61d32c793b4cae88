//! JSON Schema, where what somebody says is held to it. The crate `jsonschema` does the work; a schema that
//! refers to others outside of itself is refused, for nothing is fetched.

use serde_json::Value;

/// What does not fit a schema, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// A JSON Pointer (RFC 6901) into the value; empty for the whole of it.
    pub(super) field: String,
    pub(super) why: String,
}

/// Whether this is a schema.
///
/// # Errors
/// Why not.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    jsonschema::validator_for(schema).map(drop).map_err(|error| short(&error.to_string()))
}

/// Whether the value fits the schema.
///
/// # Errors
/// The first thing that does not, in the order of the value's fields. A schema that is none fits nothing.
pub(super) fn fits(schema: &Value, value: &Value) -> Result<(), Misfit> {
    let validator = jsonschema::validator_for(schema).map_err(|error| Misfit {
        field: String::new(),
        why: format!("the schema is none: {}", short(&error.to_string())),
    })?;
    let misfits = validator.iter_errors(value).take(MOST).map(|error| Misfit {
        field: error.instance_path().to_string(),
        why: short(&error.to_string()),
    });
    misfits.min_by(|a, b| a.field.cmp(&b.field)).map_or(Ok(()), Err)
}

/// Misfits that are looked at, at most.
const MOST: usize = 100;

/// The longest text that is shown of what somebody said, in characters.
const SHOWN: usize = 200;

/// A text of foreign origin, as it is shown.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_misfit_is_named_by_its_place() {
        let schema = json!({"type": "object", "properties": {
            "b": {"type": "array", "items": {"type": "integer"}}, "a": {"type": "string"}}});
        assert_eq!(fits(&schema, &json!({"a": "x", "b": [1, 2]})), Ok(()));
        let misfit = fits(&schema, &json!({"a": "x", "b": [1, "two"]})).unwrap_err();
        assert_eq!(misfit.field, "/b/1");
        assert!(misfit.why.contains("two") && misfit.why.contains("integer"), "{misfit:?}");
        let first = fits(&schema, &json!({"b": ["x"], "a": 1})).unwrap_err();
        assert_eq!(first.field, "/a");
    }

    #[test]
    fn what_is_no_schema_or_would_have_to_be_fetched_is_refused() {
        assert!(check(&json!({"type": "integer"})).is_ok());
        for wrong in
            [json!({"type": "no such type"}), json!({"$ref": "http://127.0.0.1:9/s"}), json!(3)]
        {
            assert!(check(&wrong).is_err(), "{wrong}");
            assert!(fits(&wrong, &json!(1)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let long = "ä".repeat(SHOWN + 1);
        assert_eq!(short(&long), format!("{}…", "ä".repeat(SHOWN)));
        assert_eq!(short("ä"), "ä");
    }
}
