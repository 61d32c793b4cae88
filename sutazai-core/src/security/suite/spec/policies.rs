//! What decides from the start: policies, schema, entities, roles.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::super::authz::{Entities, PolicySet, PolicySetBuilder, Roles, Schema};
use super::{SecuritySpec, text};
use crate::{Error, Result};

/// Policies, or a schema, of Cedar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CedarText {
    /// In Cedar's syntax.
    Cedar(String),
    /// In Cedar's JSON form.
    Json(Value),
    /// A file: in the JSON form when its name ends in `.json`, else in Cedar's syntax.
    File(PathBuf),
}

/// Data as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DataText {
    /// As it stands.
    Json(Value),
    /// A file with it.
    File(PathBuf),
}

/// A text, and what it is called in errors.
struct Named {
    name: String,
    text: String,
    json: bool,
}

impl CedarText {
    fn read(&self, field: &str, base: &Path) -> Result<Named> {
        let (name, text, json) = match self {
            Self::Cedar(text) => (field.to_owned(), text.clone(), false),
            Self::Json(value) => (field.to_owned(), value.to_string(), true),
            Self::File(path) => {
                let path = base.join(path);
                let text = text::read(&path).map_err(|error| error.with("field", field))?;
                let json = path.extension().is_some_and(|extension| extension == "json");
                (path.display().to_string(), text, json)
            }
        };
        Ok(Named { name, text, json })
    }
}

impl DataText {
    fn read(&self, field: &str, base: &Path) -> Result<String> {
        match self {
            Self::Json(value) => Ok(value.to_string()),
            Self::File(path) => {
                text::read(&base.join(path)).map_err(|error| error.with("field", field))
            }
        }
    }
}

impl SecuritySpec {
    /// Whether what decides has to be read from files.
    pub(super) fn reads_files(&self) -> bool {
        let mut cedar = self.policies.iter().chain(&self.schema);
        let mut data = self.entities.iter().chain(&self.roles);
        cedar.any(|text| matches!(text, CedarText::File(_)))
            || data.any(|text| matches!(text, DataText::File(_)))
    }

    /// The policies and entities that there are from the start.
    pub(super) fn decides(&self, base: &Path) -> Result<(PolicySet, Entities)> {
        let schema = match &self.schema {
            None => None,
            Some(text) => {
                let Named { name, text, json } = text.read("schema", base)?;
                let read = match json {
                    true => Schema::from_json(&name, &text),
                    false => Schema::from_cedar(&name, &text),
                };
                Some(read.map_err(each("schema"))?)
            }
        };
        let roles = match &self.roles {
            None => None,
            Some(text) => {
                Some(Roles::from_json(&text.read("roles", base)?).map_err(each("roles"))?)
            }
        };
        let policies = self.policies(base, schema.clone(), roles.as_ref())?;
        let entities = match &self.entities {
            None => Entities::empty(),
            Some(text) => Entities::from_json(&text.read("entities", base)?, schema.as_ref())
                .map_err(each("entities"))?,
        };
        let entities = match &roles {
            None => entities,
            Some(roles) => roles.entities(&entities).map_err(each("roles"))?,
        };
        Ok((policies, entities))
    }

    fn policies(
        &self,
        base: &Path,
        schema: Option<Schema>,
        roles: Option<&Roles>,
    ) -> Result<PolicySet> {
        if self.policies.is_empty() && schema.is_none() && roles.is_none() {
            return Ok(PolicySet::empty());
        }
        let add_schema = |builder: PolicySetBuilder| match schema {
            Some(schema) => builder.schema(schema),
            None => builder,
        };
        let mut builder = add_schema(PolicySet::builder());
        let mut names = Vec::new();
        for (n, policy) in self.policies.iter().enumerate() {
            let Named { name, text, json } = policy.read(&format!("policies[{n}]"), base)?;
            builder = match json {
                true => builder.json(&name, &text),
                false => builder.cedar(&name, &text),
            };
            names.push(name);
        }
        if let Some(roles) = roles {
            builder = roles.policies(builder).map_err(each("roles"))?;
        }
        builder.build().map_err(|error| {
            let field = |error: &Error| {
                let file = error.location().map(|at| at.file.clone());
                let n = names.iter().position(|name| Some(name) == file.as_ref());
                n.map_or_else(|| "policies".to_owned(), |n| format!("policies[{n}]"))
            };
            told(&error, field)
        })
    }
}

/// Says of each mistake which field it is about.
fn each(field: &'static str) -> impl FnOnce(Error) -> Error {
    move |error| told(&error, |_| field.to_owned())
}

fn told(error: &Error, field: impl Fn(&Error) -> String) -> Error {
    let problems = error.problems().iter();
    let problems = problems
        .map(|one| one.clone().operation("security.options").with("field", field(one)))
        .collect();
    Error::join(problems).unwrap_or_else(|| error.clone())
}
