//! What a manifest may say: [`Grammar`].

use std::path::Path;

use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::form::read;
use super::manifest::{Manifest, bytes_of, joined};
use super::section::Section;
use super::shape::sketch;
use crate::base::error::Location;
use crate::{Code, Error, Result};

/// What a manifest may say: its own keys, and what the sections of other rooms hold. With it all
/// mistakes of a file are found together, and the schema has all keys. `kernel::grammar` has the
/// kernel's.
#[derive(Clone, Debug, Default)]
pub struct Grammar {
    sections: Vec<Known>,
}

/// A section whose meaning is known.
#[derive(Clone, Debug)]
struct Known {
    name: &'static str,
    check: fn(&Section) -> Vec<Error>,
    schema: fn() -> Value,
}

impl Grammar {
    /// The manifest's own keys. Sections may hold anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// A section holds a `T`. `check` says what is wrong beyond its type.
    pub fn section<T: DeserializeOwned + JsonSchema>(
        mut self,
        name: &'static str,
        check: fn(&Section) -> Vec<Error>,
    ) -> Self {
        let schema = || sketch(schema_for!(T).to_value());
        self.sections.push(Known { name, check, schema });
        self
    }

    /// As [`Manifest::read`].
    ///
    /// # Errors
    /// The same, and those of the sections.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Manifest> {
        let path = path.as_ref();
        let name = path.to_string_lossy();
        let bytes = bytes_of(path)?;
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(error) => {
                let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let lossy = String::from_utf8_lossy(&bytes);
                return Err(Error::new(Code::MANIFEST_INVALID, "not UTF-8 text")
                    .operation("config.manifest")
                    .at(Location::in_text(name, &lossy, good.len()))
                    .advice("save the file as UTF-8"));
            }
        };
        joined(read(self, &name, text, true))
    }

    /// As [`Manifest::parse`].
    ///
    /// # Errors
    /// The same, and those of the sections.
    pub fn parse(&self, name: &str, text: &str) -> Result<Manifest> {
        joined(self.check(name, text))
    }

    /// As [`Manifest::check`].
    ///
    /// # Errors
    /// At least one.
    pub fn check(&self, name: &str, text: &str) -> Result<Manifest, Vec<Error>> {
        read(self, name, text, false)
    }

    /// As [`Manifest::schema`], with what the sections hold.
    pub fn schema(&self) -> Value {
        let mut schema = sketch(schema_for!(Manifest).to_value());
        for section in &self.sections {
            nest(&mut schema, section.name, (section.schema)());
        }
        schema
    }

    /// What is wrong with a section.
    pub(super) fn mistakes(&self, section: &Section) -> Vec<Error> {
        let known = self.sections.iter().find(|known| known.name == section.name());
        known.map_or_else(Vec::new, |known| (known.check)(section))
    }
}

/// Puts the schema of a section under its name, its definitions among the others, as `section.Name`.
fn nest(schema: &mut Value, name: &'static str, mut section: Value) {
    prefix(&mut section, name);
    let Some(object) = section.as_object_mut() else { return };
    object.remove("$schema");
    let definitions = object.remove("$defs");
    let Some(outer) = schema.as_object_mut() else { return };
    if let Some(Value::Object(definitions)) = definitions {
        let all = outer.entry("$defs").or_insert_with(|| serde_json::json!({}));
        if let Some(all) = all.as_object_mut() {
            all.extend(
                definitions.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)),
            );
        }
    }
    if let Some(properties) = outer.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert(name.to_owned(), section);
    }
}

/// Has references lead to definitions whose names begin with the section's.
fn prefix(schema: &mut Value, section: &str) {
    const DEFINITIONS: &str = "#/$defs/";
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get_mut("$ref")
                && let Some(name) = reference.strip_prefix(DEFINITIONS)
            {
                *reference = format!("{DEFINITIONS}{section}.{name}");
            }
            object.values_mut().for_each(|value| prefix(value, section));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| prefix(value, section)),
        _ => {}
    }
}
