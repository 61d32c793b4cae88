//! The JSON Schema of a manifest takes what the kernel takes, and no more.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use sutazai_core::kernel;

fn validator() -> jsonschema::Validator {
    jsonschema::validator_for(&kernel::grammar().schema()).unwrap()
}

fn mistakes(manifest: &Value) -> Vec<String> {
    validator().iter_errors(manifest).map(|error| error.to_string()).collect()
}

#[test]
fn it_takes_the_example() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sutazai.toml");
    let manifest = kernel::grammar().read(path).unwrap();
    assert!(manifest.recovery.is_some() && manifest.security.is_some());
    let manifest = serde_json::to_value(&manifest).unwrap();
    assert_eq!(mistakes(&manifest), [] as [String; 0]);
}

/// What is commented out needs something of the program's, or files, and is as right as the rest.
#[test]
fn it_takes_what_the_example_leaves_out() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sutazai.toml");
    let text = std::fs::read_to_string(path).unwrap();
    for (table, section) in [
        ("recovery.tree.main", "recovery"),
        ("discovery.local", "discovery"),
        ("security.master", "security"),
    ] {
        let (_, rest) = text.split_once(&format!("\n# [{table}]")).unwrap();
        let (rest, _) = rest.split_once("\n\n").unwrap();
        let shown = format!("[{table}]{}", rest.replace("\n# ", "\n"));
        let manifest = kernel::grammar().parse("shown.toml", &shown).unwrap();
        let manifest = serde_json::to_value(&manifest).unwrap();
        assert!(manifest.get(section).is_some());
        assert_eq!(mistakes(&manifest), [] as [String; 0]);
    }
}

#[test]
fn it_refuses_what_the_kernel_refuses() {
    for wrong in [
        json!({"recovery": 3}),
        json!({"recovery": {"x": 1}}),
        json!({"recovery": {"guards": {"all": {"timeout_ms": 3}}}}),
        json!({"recovery": {"guards": {"all": {"timeout": 3}}}}),
        json!({"recovery": {"guards": {"all": {"retry": {"jitter": "ful"}}}}}),
        json!({"recovery": {"playbook": [{"name": "x"}]}}),
        json!({"limits": {"timeout": 3}}),
        json!({"security": {"authorize": true}}),
        json!({"security": {"tokens": {"access_ms": 300_000}}}),
        json!({"security": {"master": {"key": "AAAA"}}}),
        json!({"security": {"policies": ["team.cedar"]}}),
        json!({"security": {"audit": {"durability": {"action": "fsink"}}}}),
    ] {
        assert!(!mistakes(&wrong).is_empty(), "{wrong}");
    }
}

/// Definitions of sections stand among the manifest's own: two of one name would be one.
#[test]
fn no_definition_is_lost() {
    let schema = kernel::grammar().schema();
    let names = schema["$defs"].as_object().unwrap();
    let mut refs = Vec::new();
    collect(&schema, &mut refs);
    assert!(refs.len() > 20, "{refs:?}");
    for reference in refs {
        assert!(names.contains_key(&reference), "{reference}");
    }
    // The manifest's own, whatever sections have.
    assert!(names["Restart"]["properties"].get("backoff").is_some());
    assert!(names["Limits"]["properties"].get("calls_in_flight").is_some());
}

fn collect(value: &Value, refs: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            if let Some(name) = object.get("$ref").and_then(Value::as_str) {
                refs.push(name.strip_prefix("#/$defs/").unwrap().to_owned());
            }
            object.values().for_each(|value| collect(value, refs));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, refs)),
        _ => {}
    }
}
