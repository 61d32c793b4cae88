//! Rows of the manifest: checking one without running it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::dispatch::Surface;
use super::operation::{Nothing, Operation};
use crate::base::payload::Payload;
use crate::config::Manifest;
use crate::kernel;
use crate::{Code, Result};

pub(super) fn rows(table: &mut Vec<Operation>) {
    table.extend([
        Operation::now(
            "config.check",
            "Reads the text of a manifest and gives it back with every default filled in.",
            &[Code::MANIFEST_INVALID],
            check,
        ),
        Operation::now(
            "config.schema",
            "The JSON Schema of a manifest, for editors.",
            &[Code::REQUEST_INVALID],
            schema,
        ),
    ]);
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Check {
    /// The text, in TOML.
    text: String,
    /// What to call it in messages.
    #[serde(default = "sutazai_toml")]
    name: String,
}

fn sutazai_toml() -> String {
    "sutazai.toml".into()
}

fn check(_: &Surface, request: Check) -> Result<Manifest> {
    kernel::grammar().parse(&request.name, &request.text)
}

fn schema(_: &Surface, _: Nothing) -> Result<Payload> {
    Ok(kernel::grammar().schema().into())
}
