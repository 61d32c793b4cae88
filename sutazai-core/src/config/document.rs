//! A TOML document that is wholly of one type, such as a file that declares an agent.

use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;
use toml::de::DeTable;

use super::read::Mistakes;
use super::section::step;
use super::shape;
use crate::base::error::Location;
use crate::{Code, Error, Result};

/// Reads a TOML document as a `T`. `file` names it in messages. A field `…_ms` of the type is a duration in the
/// document, under its name without the suffix.
///
/// ```
/// use sutazai_core::config::document;
///
/// #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Pause { pause_ms: u64 }
///
/// let pause: Pause = document("pause.toml", "pause = \"2s\"\n")?;
/// assert_eq!(pause.pause_ms, 2_000);
/// let error = document::<Pause>("pause.toml", "\npaus = \"2s\"\n").unwrap_err();
/// assert_eq!((error.location().unwrap().line, error.remedy()), (2, Some("did you mean \"pause\"?")));
/// # Ok::<(), sutazai_core::Error>(())
/// ```
///
/// # Errors
/// [`Code::MANIFEST_INVALID`] with the place of each mistake.
pub fn document<T: DeserializeOwned + JsonSchema>(file: &str, text: &str) -> Result<T> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut mistakes = Mistakes::new(file, text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(text.len(), |span| span.start);
        mistakes.add(at, error.message(), None);
    }
    let table = document.get_ref();
    let value = if errors.is_empty() {
        shape::read(&schema_for!(T).to_value(), table, 0, &mut mistakes)
    } else {
        serde_json::Value::Null
    };
    if let Some(error) = Error::join(mistakes.finish()) {
        return Err(error);
    }
    serde_path_to_error::deserialize(&value).map_err(|error| {
        let steps: Vec<String> = error.path().iter().filter_map(step).collect();
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let offset = shape::offset(table, 0, &steps);
        Error::new(Code::MANIFEST_INVALID, error.into_inner().to_string())
            .operation("config.manifest")
            .at(Location::in_text(file, text, offset))
    })
}
