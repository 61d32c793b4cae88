//! Cedar's integration corpus, read out of its archive.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

use serde::Deserialize;
use sutazai_core::security::authz::{Context, Entities, EntityUid, Request, Schema};

/// One case: policies, entities, a schema, and requests with what is to come of them.
pub struct Case {
    pub name: String,
    pub policies: String,
    pub schema: String,
    pub entities: String,
    pub expected: Expected,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expected {
    pub should_validate: bool,
    pub requests: Vec<Asked>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    principal: serde_json::Value,
    action: serde_json::Value,
    resource: serde_json::Value,
    context: serde_json::Value,
    pub validate_request: bool,
    pub decision: String,
    pub reason: Vec<String>,
    pub errors: Vec<String>,
}

impl Asked {
    /// The request, if it fits the schema where that is wanted.
    pub fn request(&self, schema: &Schema) -> Option<Request> {
        let uid = |value: &serde_json::Value| {
            let text = |key: &str| value[key].as_str().unwrap().to_owned();
            EntityUid::new(&text("type"), &text("id")).unwrap()
        };
        let action = uid(&self.action);
        let context = Context::from_json_for(self.context.clone(), schema, &action).ok()?;
        let request = Request::new(uid(&self.principal), action, uid(&self.resource));
        let request = request.with_context(context);
        (!self.validate_request || schema.check(&request).is_ok()).then_some(request)
    }
}

impl Case {
    pub fn schema(&self) -> Schema {
        Schema::from_cedar(&self.name, &self.schema).unwrap()
    }

    pub fn entities(&self, schema: &Schema) -> Entities {
        Entities::from_json(&self.entities, Some(schema)).unwrap()
    }
}

/// Whether the long form of the tests is wanted.
pub fn long() -> bool {
    std::env::var_os("SUTAZAI_LONG").is_some()
}

/// All cases; `None` where there is no corpus.
pub fn cases() -> Option<Vec<Case>> {
    let asked = std::env::var_os("SUTAZAI_CORPUS");
    let root = asked.clone().map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"),
        PathBuf::from,
    );
    let path = root.join("cedar/corpus-tests.tar.gz");
    if !path.exists() {
        assert!(
            asked.is_none() && std::env::var_os("CI").is_none(),
            "there is no corpus at {}",
            path.display()
        );
        println!("skipped: there is no corpus at {}", path.display());
        return None;
    }
    let mut files: BTreeMap<String, [Option<String>; 4]> = BTreeMap::new();
    let packed = flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap());
    for entry in tar::Archive::new(packed).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let kinds = [".cedar", ".cedarschema", ".entities.json", ".json"];
        let Some(kind) = kinds.iter().position(|kind| path.ends_with(kind)) else { continue };
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let name = path.strip_suffix(kinds[kind]).unwrap().to_owned();
        files.entry(name).or_default()[kind] = Some(text);
    }
    let cases: Vec<_> = files
        .into_iter()
        .filter_map(|(name, files)| {
            let [Some(policies), Some(schema), Some(entities), Some(expected)] = files else {
                return None;
            };
            let expected = serde_json::from_str(&expected).unwrap();
            Some(Case { name, policies, schema, entities, expected })
        })
        .collect();
    assert!(!cases.is_empty());
    Some(cases)
}
