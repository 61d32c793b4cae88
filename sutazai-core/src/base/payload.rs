//! [`Payload`]: what tasks, answers and events carry; immutable, shared, cheap to clone.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Code, Error, Result};

/// Immutable content: JSON (as a value, or as text that nobody has parsed yet) or bytes.
///
/// Cloning copies a pointer. A host that sends JSON text pays for parsing only when somebody asks
/// for the value; `Null` allocates nothing.
///
/// ```
/// use sutazai_core::base::payload::Payload;
/// let payload = Payload::json(&("a.txt", 3))?;
/// assert_eq!(payload.to::<(String, u32)>()?, ("a.txt".to_owned(), 3));
/// assert_eq!(payload.to_string(), r#"["a.txt",3]"#);
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Payload(Form);

#[derive(Clone, Default)]
enum Form {
    #[default]
    Null,
    Value(Arc<Value>),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
}

impl Payload {
    /// JSON `null`.
    pub const NULL: Self = Self(Form::Null);

    /// The JSON form of anything serialisable.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        serde_json::to_value(value)
            .map(Self::from)
            .map_err(|e| Error::new(Code::INVALID, "the value has no JSON form").because(e))
    }

    /// JSON text; checked to be one well-formed JSON document, kept as text.
    pub fn json_text(text: impl Into<Arc<str>>) -> Result<Self> {
        let text = text.into();
        serde_json::from_str::<serde::de::IgnoredAny>(&text).map_err(|e| not_json(&e))?;
        Ok(Self(Form::Text(text)))
    }

    /// Raw bytes. Their JSON form is `{"base64": "…"}` (RFC 4648, standard alphabet, padded).
    pub fn bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(Form::Bytes(bytes.into()))
    }

    /// The raw bytes, if it was made of bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Form::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Whether it is JSON `null`.
    pub fn is_null(&self) -> bool {
        match &self.0 {
            Form::Null => true,
            Form::Value(value) => value.is_null(),
            Form::Text(text) => text.trim() == "null",
            Form::Bytes(_) => false,
        }
    }

    /// The JSON value; shared where it was made of one, parsed where it was text.
    pub fn value(&self) -> Result<Arc<Value>> {
        match &self.0 {
            Form::Null => Ok(Arc::new(Value::Null)),
            Form::Value(value) => Ok(Arc::clone(value)),
            Form::Text(text) => serde_json::from_str(text).map(Arc::new).map_err(|e| not_json(&e)),
            Form::Bytes(bytes) => Ok(Arc::new(bytes_as_json(bytes))),
        }
    }

    /// The content as a type of the caller's.
    ///
    /// # Errors
    /// [`Code::INVALID`] when the content does not have that shape.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T> {
        match &self.0 {
            Form::Null => T::deserialize(Value::Null),
            Form::Value(value) => T::deserialize(&**value),
            Form::Text(text) => serde_json::from_str(text),
            Form::Bytes(bytes) => T::deserialize(bytes_as_json(bytes)),
        }
        .map_err(|e| {
            Error::new(Code::INVALID, "the payload does not have the expected shape").because(e)
        })
    }

    /// The content as JSON text, shared when it was made of text.
    pub fn to_text(&self) -> Arc<str> {
        match &self.0 {
            Form::Null => Arc::from("null"),
            Form::Value(value) => Arc::from(value.to_string()),
            Form::Text(text) => Arc::clone(text),
            Form::Bytes(bytes) => Arc::from(bytes_as_json(bytes).to_string()),
        }
    }
}

fn bytes_as_json(bytes: &[u8]) -> Value {
    use base64::Engine as _;
    serde_json::json!({ "base64": base64::engine::general_purpose::STANDARD.encode(bytes) })
}

fn not_json(error: &serde_json::Error) -> Error {
    Error::new(Code::INVALID, "not well-formed JSON").with("reason", error.to_string())
}

impl From<Value> for Payload {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            other => Self(Form::Value(Arc::new(other))),
        }
    }
}

impl From<&str> for Payload {
    /// A JSON string.
    fn from(text: &str) -> Self {
        Self::from(Value::from(text))
    }
}

impl From<String> for Payload {
    /// A JSON string.
    fn from(text: String) -> Self {
        Self::from(Value::from(text))
    }
}

macro_rules! from_json_scalars {
    ($($scalar:ty),*) => {$(
        impl From<$scalar> for Payload {
            /// The JSON value.
            fn from(value: $scalar) -> Self {
                Self::from(Value::from(value))
            }
        }
    )*};
}

from_json_scalars!(bool, i32, i64, u32, u64, f64);

impl PartialEq for Payload {
    /// Equal when the JSON values are equal, whatever the form.
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Form::Bytes(a), Form::Bytes(b)) => a == b,
            _ => matches!((self.value(), other.value()), (Ok(a), Ok(b)) if a == b),
        }
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Null => f.write_str("null"),
            Form::Value(value) => write!(f, "{value}"),
            Form::Text(text) => f.write_str(text),
            Form::Bytes(bytes) => write!(f, "{}", bytes_as_json(bytes)),
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Bytes(bytes) => write!(f, "Payload({} bytes)", bytes.len()),
            _ => write!(f, "Payload({self})"),
        }
    }
}

impl Serialize for Payload {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value() {
            Ok(value) => value.serialize(serializer),
            Err(e) => Err(serde::ser::Error::custom(e)),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Payload {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

impl schemars::JsonSchema for Payload {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Payload".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_equal_when_their_values_are() {
        let text = Payload::json_text(r#"{ "a" : 1 }"#).unwrap();
        assert_eq!(text, Payload::from(serde_json::json!({"a": 1})));
        assert_eq!(Payload::json_text(" null ").unwrap(), Payload::NULL);
        assert_ne!(Payload::bytes(*b"x"), Payload::from("x"));
    }

    #[test]
    fn text_is_checked() {
        let error = Payload::json_text("{\"a\":").unwrap_err();
        assert_eq!(error.code(), Code::INVALID);
        assert!(Payload::json_text("1 2").is_err());
    }

    #[test]
    fn bytes_have_a_json_form() {
        assert_eq!(Payload::bytes(*b"\xff\x00").to_string(), r#"{"base64":"/wA="}"#);
    }
}
