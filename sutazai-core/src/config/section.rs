//! Sections of a manifest that other rooms read: [`Section`].
//!
//! A room describes what it reads by a type, and the type's JSON Schema says what stands in the text:
//! which keys there are, of which kind, which must be there. A field `…_ms` of the type is a duration in
//! the manifest, under its name without the suffix.

use std::sync::Arc;

use schemars::{JsonSchema, schema_for};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;
use toml::de::DeTable;

use super::read::Mistakes;
use super::shape::{self, plain};
use crate::base::error::Location;
use crate::{Code, Error, Result};

/// A table of a manifest, as it stands there; whoever it is for reads it with [`read`](Self::read).
///
/// ```
/// use sutazai_core::config::Manifest;
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Recovery { pause_ms: u64 }
///
/// let manifest = Manifest::parse("sutazai.toml", "[recovery]\npause = \"2s\"\n")?;
/// let recovery: Recovery = manifest.recovery.unwrap().read().unwrap();
/// assert_eq!(recovery.pause_ms, 2_000);
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Section {
    name: &'static str,
    file: Arc<str>,
    text: Arc<str>,
    /// What stands in it, without places.
    value: Value,
}

impl PartialEq for Section {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.value == other.value
    }
}

impl Serialize for Section {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl Section {
    pub(super) fn new(name: &'static str, file: &str, text: &str, table: &DeTable<'_>) -> Self {
        Self { name, file: file.into(), text: text.into(), value: plain(table) }
    }

    /// The key that it stands under.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The manifest's file, as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What it says, as a `T`.
    ///
    /// # Errors
    /// [`Code::MANIFEST_INVALID`], one for each mistake, with its place.
    pub fn read<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, Vec<Error>> {
        let mut mistakes = Mistakes::new(&self.file, &self.text);
        let schema = schema_for!(T).to_value();
        let value = self.within(|table, offset| shape::read(&schema, table, offset, &mut mistakes));
        let found = mistakes.finish();
        if !found.is_empty() {
            return Err(found);
        }
        serde_path_to_error::deserialize(&value).map_err(|error| {
            let steps: Vec<String> = error.path().iter().filter_map(step).collect();
            let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
            vec![
                Error::new(Code::MANIFEST_INVALID, error.into_inner().to_string())
                    .operation("config.manifest")
                    .at(self.locate(&steps)),
            ]
        })
    }

    /// What somebody has to say against the part at `path` (keys and positions, from the section
    /// down), as a mistake of the manifest at its place. The contexts `part` and `field` of the error
    /// lead further down.
    pub fn mistake(&self, path: &[&str], error: &Error) -> Error {
        let mut path = path.to_vec();
        for wanted in ["part", "field"] {
            if let Some((_, step)) = error.context().find(|(key, _)| *key == wanted) {
                let steps = step.split(['.', '[', ']']);
                path.extend(steps.filter(|step| !step.is_empty()));
            }
        }
        let mut mistake = Error::new(Code::MANIFEST_INVALID, error.message().to_owned())
            .operation("config.manifest")
            .at(self.locate(&path));
        for (key, value) in error.context() {
            mistake = mistake.with_key(key.to_owned(), value);
        }
        match error.remedy() {
            Some(remedy) => mistake.advice(remedy.to_owned()),
            None => mistake,
        }
    }

    /// Where the part at `path` stands; what is not there stands where its table begins.
    fn locate(&self, path: &[&str]) -> Location {
        let offset = self.within(|table, offset| shape::offset(table, offset, path));
        Location::in_text(&*self.file, &self.text, offset)
    }

    /// Parses the text again, for the places of what stands in it: sections are read once, and short.
    fn within<T>(&self, f: impl FnOnce(&DeTable<'_>, usize) -> T) -> T {
        let (document, _) = DeTable::parse_recoverable(&self.text);
        let section = document.get_ref().get(self.name);
        match section.and_then(|value| Some((value.get_ref().as_table()?, value.span().start))) {
            Some((table, offset)) => f(table, offset),
            None => f(&DeTable::new(), 0),
        }
    }
}

pub(super) fn step(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    }
}
