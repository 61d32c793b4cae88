//! [`By`]: in whose name something is done.

use std::borrow::Cow;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::port::{PRINCIPAL_MAX, is_principal};

/// In whose name something is done, as the host says: what the audit log will say. `host`, where nothing is said.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct By(String);

impl Default for By {
    fn default() -> Self {
        Self("host".to_owned())
    }
}

impl Deref for By {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for By {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        match is_principal(&name) {
            true => Ok(Self(name)),
            false => Err(de::Error::custom(
                "who does it is named by 1 to 256 bytes without control characters",
            )),
        }
    }
}

impl JsonSchema for By {
    fn schema_name() -> Cow<'static, str> {
        "By".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": PRINCIPAL_MAX })
    }
}
