//! JSON, read as a type that has a schema.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use schemars::JsonSchema;
use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as _, Deserializer};
use serde_json::Value;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use super::say::{article, quoted};
use super::schema::{ANYTHING, Leaves, is_anything};
use super::shape::{At, Property, Seen, Shape, Step, Written, items, of_kind};
use crate::base::error::Location;
use crate::{Code, Error, Result};

/// What a text is read for: how its mistakes are named.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// What a mistake in it is an error of.
    pub code: Code,
    /// The operation that it is for, `room.verb`.
    pub operation: &'static str,
    /// What the text is, such as "policy".
    pub what: &'static str,
}

/// Reads JSON that somebody wrote, such as a policy.
///
/// ```
/// use sutazai_core::base::reading::from_json;
///
/// #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Pause { pause_ms: u32 }
///
/// let pause: Pause = from_json("example.pause", "policy", r#"{"pause_ms": 5}"#)?;
/// assert_eq!(pause.pause_ms, 5);
///
/// let wrong = from_json::<Pause>("example.pause", "policy", r#"{"pause": 5}"#).unwrap_err();
/// assert_eq!(wrong.message(), r#"unknown key "pause""#);
/// let wrong = from_json::<Pause>("example.pause", "policy", r#"{"pause_ms": "5"}"#).unwrap_err();
/// assert_eq!(wrong.message(), r#""pause_ms" must be an integer, not "5""#);
/// assert_eq!(wrong.context().collect::<Vec<_>>(), [("field", "pause_ms")]);
/// # Ok::<(), sutazai_core::Error>(())
/// ```
///
/// # Errors
/// [`Code::INVALID`]. With the place in the text if it is not well-formed JSON; else with the path of the
/// mistake as the context `field`, `retry.attempts` or `playbooks[0].name`. [`Error::problems`] has all of
/// them.
pub fn from_json<T>(operation: &'static str, what: &'static str, text: &str) -> Result<T>
where
    T: DeserializeOwned + JsonSchema,
{
    Form { code: Code::INVALID, operation, what }.read(text)
}

/// As [`from_json`], of JSON that is parsed already.
///
/// # Errors
/// [`Code::INVALID`], as [`from_json`] has it.
pub fn from_value<T>(operation: &'static str, what: &'static str, value: &Value) -> Result<T>
where
    T: DeserializeOwned + JsonSchema,
{
    let form = Form { code: Code::INVALID, operation, what };
    match T::deserialize(value) {
        Ok(read) if !has_arrays(value) => return Ok(read),
        _ => {}
    }
    match Error::join(form.hold(&schema_of::<T>(), value)) {
        Some(error) => Err(error),
        None => form.rest(value),
    }
}

impl Form {
    /// As [`from_json`], with this form's code.
    ///
    /// # Errors
    /// Of the form's code; see [`from_json`].
    pub fn read<T: DeserializeOwned + JsonSchema>(&self, text: &str) -> Result<T> {
        self.read_by(text, &OnceLock::new())
    }

    /// As [`read`](Self::read); the type's schema is made once, when it is needed, and kept in `schema`.
    pub(crate) fn read_by<T: DeserializeOwned + JsonSchema>(
        &self,
        text: &str,
        schema: &OnceLock<Value>,
    ) -> Result<T> {
        let schema = || schema.get_or_init(schema_of::<T>);
        if let Ok(read) = serde_json::from_str(text) {
            // serde takes an array for a struct as well; a struct is written as an object.
            if !text.contains('[') || arrays_are_arrays(schema(), text) {
                return Ok(read);
            }
        }
        let value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) => return Err(self.syntax(text, &error)),
        };
        match Error::join(self.hold(schema(), &value)) {
            Some(error) => Err(error),
            // Of the value serde says more; but the text may have a key twice.
            None => self
                .rest::<T, _>(&value)
                .and_then(|_| self.rest(&mut serde_json::Deserializer::from_str(text))),
        }
    }

    /// Reads what the schema finds nothing wrong with; serde may all the same.
    fn rest<'de, T, D>(&self, deserializer: D) -> Result<T>
    where
        T: DeserializeOwned,
        D: Deserializer<'de, Error = serde_json::Error>,
    {
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            let path = steps(error.path());
            let said = bare(error.inner());
            let message = match path.as_slice() {
                [] => said,
                path => format!("{}: {said}", quoted_path(path)),
            };
            self.mistake(&path, message, None)
        })
    }

    /// What a schema finds wrong with the value.
    fn hold(&self, schema: &Value, value: &Value) -> Vec<Error> {
        let mut json = Json { form: self, found: Vec::new() };
        Shape::of(schema).read(value, &mut json);
        json.found
    }

    fn syntax(&self, text: &str, error: &serde_json::Error) -> Error {
        let column = error.column().saturating_sub(1);
        let begin = match error.line() {
            0 | 1 => 0,
            line => text.match_indices('\n').nth(line - 2).map_or(0, |(at, _)| at + 1),
        };
        let offset = match error.classify() {
            Category::Eof => text.len(),
            _ => begin + column,
        };
        Error::new(self.code, format!("not well-formed JSON: {}", bare(error)))
            .operation(self.operation)
            .at(Location::in_text(self.what, text, offset))
    }

    fn mistake(&self, path: &[Step], message: String, advice: Option<String>) -> Error {
        let mut error = Error::new(self.code, message).operation(self.operation);
        if !path.is_empty() {
            error = error.with("field", shown(path));
        }
        match advice {
            Some(advice) => error.advice(advice),
            None => error,
        }
    }
}

fn has_arrays(value: &Value) -> bool {
    match value {
        Value::Array(_) => true,
        Value::Object(map) => map.values().any(has_arrays),
        _ => false,
    }
}

fn schema_of<T: JsonSchema>() -> Value {
    schemars::SchemaGenerator::default().into_root_schema_for::<T>().to_value()
}

/// What serde_json says, without the place.
fn bare(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

fn steps(path: &Path) -> Vec<Step> {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        // Its tag may be a key or a value; only the schema knows.
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().filter_map(step).collect()
}

/// Characters of a key that are shown.
const LONGEST_KEY: usize = 64;

/// `retry.attempts`, `playbooks[0].name`.
fn shown(path: &[Step]) -> String {
    let mut shown = String::new();
    for step in path {
        match step {
            Step::Key(key) => {
                if !shown.is_empty() {
                    shown.push('.');
                }
                shown.extend(key.chars().take(LONGEST_KEY));
            }
            Step::Index(index) => shown.push_str(&format!("[{index}]")),
        }
    }
    shown
}

fn quoted_path(path: &[Step]) -> String {
    format!("{:?}", shown(path))
}

/// Whether arrays stand only where the schema has arrays. Reads no value that may be anything.
fn arrays_are_arrays(schema: &Value, text: &str) -> bool {
    let shape = Shape::of(schema);
    let leaves = shape.leaves(schema);
    let place = Place { shape: &shape, leaves };
    place.deserialize(&mut serde_json::Deserializer::from_str(text)).is_ok()
}

/// A place in a text, and what may stand there.
struct Place<'p, 's> {
    shape: &'p Shape<'s>,
    leaves: Leaves<'s>,
}

impl<'de> DeserializeSeed<'de> for Place<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.leaves.iter().any(|leaf| is_anything(leaf)) {
            return IgnoredAny::deserialize(deserializer).map(drop);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything but an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        let arrays = of_kind(&self.leaves, "array");
        if arrays.is_empty() {
            return Err(serde::de::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        }
        let leaves = items(self.shape, &arrays);
        let item = || Place { shape: self.shape, leaves: leaves.clone() };
        while array.next_element_seed(item())?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let objects = of_kind(&self.leaves, "object");
        let plain = Form { code: Code::INVALID, operation: "", what: "" };
        let json = Json { form: &plain, found: Vec::new() };
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let leaves = match self.shape.property(&json, &objects, &key) {
                Some(Property::Schema(leaves)) => leaves,
                Some(Property::Field(_)) | None => vec![&ANYTHING],
            };
            map.next_value_seed(Place { shape: self.shape, leaves })?;
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Mistakes beyond this many are not reported.
const MOST: usize = 100;

struct Json<'f> {
    form: &'f Form,
    found: Vec<Error>,
}

impl<'v> Written<'v> for Json<'_> {
    type Node = &'v Value;
    const OBJECT: &'static str = "an object";
    const STRICT: bool = false;

    fn seen(&self, node: &'v Value) -> Seen<'v, &'v Value> {
        match node {
            Value::Object(map) => Seen::Object(map.iter().map(|(k, v)| (k.as_str(), v)).collect()),
            Value::Array(items) => Seen::Array(items.iter().collect()),
            Value::String(text) => Seen::Text(Cow::Borrowed(text)),
            Value::Bool(flag) => Seen::Boolean(*flag),
            Value::Null => Seen::Null,
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(n), _) => Seen::Integer(Some(n.into())),
                (None, Some(n)) => Seen::Integer(Some(n.into())),
                (None, None) => Seen::Number(Some(number.clone())),
            },
        }
    }

    fn found(&self, node: &'v Value) -> String {
        match node {
            Value::Object(_) => article("object"),
            Value::Array(_) => article("array"),
            Value::String(text) => quoted(text),
            other => other.to_string(),
        }
    }

    fn name(&self, path: &[Step]) -> String {
        match path {
            [] => format!("the {}", self.form.what),
            _ => quoted_path(path),
        }
    }

    fn add_key(&self, name: &str, expected: &str) -> String {
        match expected {
            "" => format!("add {}", quoted(name)),
            _ => format!("add {}, {expected}", quoted(name)),
        }
    }

    fn mistake(
        &mut self,
        _: At<&'v Value>,
        path: &[Step],
        message: String,
        advice: Option<String>,
    ) {
        if self.found.len() < MOST {
            let error = self.form.mistake(path, message, advice);
            self.found.push(error);
        }
    }
}
