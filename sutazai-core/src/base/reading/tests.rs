use std::collections::BTreeMap;
use std::sync::OnceLock;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Form, from_json, from_value};
use crate::base::payload::Payload;
use crate::{Code, Error};

#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Policy {
    timeout_ms: Option<u64>,
    retry: Option<Retry>,
    rules: Vec<Rule>,
    named: BTreeMap<String, Retry>,
    extra: Payload,
    pair: (u8, String),
    share: f64,
}

#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Retry {
    attempts: u32,
    jitter: Jitter,
    window: Option<Window>,
}

#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Jitter {
    #[default]
    Full,
    /// Half and half.
    Equal,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Window {
    Calls(u32),
    Time { ms: u64, parts: Option<u8> },
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
enum Rule {
    Signal { name: String, above: f64 },
    Event { subject: String },
}

fn read(text: &str) -> Result<Policy, Error> {
    from_json("test.read", "policy", text)
}

/// Each mistake: where, what, and what to do.
fn mistakes(text: &str) -> Vec<(String, String, String)> {
    let error = read(text).unwrap_err();
    assert_eq!(error.code(), Code::INVALID);
    let one = |problem: &Error| {
        assert_eq!(problem.failed_operation(), Some("test.read"));
        let field = problem.context().find(|(key, _)| *key == "field");
        (
            field.map(|(_, path)| path.to_owned()).unwrap_or_default(),
            problem.message().to_owned(),
            problem.remedy().unwrap_or_default().to_owned(),
        )
    };
    error.problems().iter().map(one).collect()
}

/// Where, what, and what to do.
type Mistake = (&'static str, &'static str, &'static str);

const WRONG: &[(&str, &[Mistake])] = &[
    (r#"{"retri": {}}"#, &[("retri", r#"unknown key "retri""#, r#"did you mean "retry"?"#)]),
    (
        r#"{"retry": {"colour": 1}}"#,
        &[(
            "retry.colour",
            r#"unknown key "retry.colour""#,
            "valid here: attempts, jitter, window",
        )],
    ),
    (
        r#"{"retry": {"attempts": "four"}}"#,
        &[("retry.attempts", r#""retry.attempts" must be an integer, not "four""#, "")],
    ),
    (
        r#"{"retry": {"attempts": -1}}"#,
        &[(
            "retry.attempts",
            r#""retry.attempts" is out of range"#,
            "it must be from 0 to 4294967295",
        )],
    ),
    (
        // Of more than 64 bits, as JSON's numbers are read then.
        r#"{"retry": {"attempts": 100000000000000000000000}}"#,
        &[(
            "retry.attempts",
            r#""retry.attempts" is out of range"#,
            "it must be from 0 to 4294967295",
        )],
    ),
    (
        r#"{"retry": {"attempts": 1.5}}"#,
        &[("retry.attempts", r#""retry.attempts" must be an integer, not 1.5"#, "")],
    ),
    (
        r#"{"retry": {"attempts": null}}"#,
        &[("retry.attempts", r#""retry.attempts" must be an integer, not null"#, "")],
    ),
    (
        r#"{"retry": {"jitter": "ful"}}"#,
        &[("retry.jitter", r#""retry.jitter" cannot be "ful""#, r#"did you mean "full"?"#)],
    ),
    (
        r#"{"retry": {"jitter": "gaussian"}}"#,
        &[(
            "retry.jitter",
            r#""retry.jitter" cannot be "gaussian""#,
            "expected one of full, equal",
        )],
    ),
    (
        r#"{"retry": {"jitter": 3}}"#,
        &[(
            "retry.jitter",
            r#""retry.jitter" must be a string, not 3"#,
            "expected one of full, equal",
        )],
    ),
    (
        r#"{"retry": {"window": {"cals": 3}}}"#,
        &[("retry.window.cals", r#"unknown key "retry.window.cals""#, r#"did you mean "calls"?"#)],
    ),
    (
        r#"{"retry": {"window": {"time": {"parts": 256}}}}"#,
        &[
            (
                "retry.window.time.parts",
                r#""retry.window.time.parts" is out of range"#,
                "it must be from 0 to 255",
            ),
            (
                "retry.window.time.ms",
                r#""retry.window.time.ms" is missing"#,
                r#"add "ms", an integer"#,
            ),
        ],
    ),
    (
        r#"{"retry": {"window": {}}}"#,
        &[("retry.window", r#""retry.window" is empty"#, "give one of calls, time")],
    ),
    (
        r#"{"rules": [{"kind": "event", "subject": "a"}, {"kind": "event", "subjet": "a"}]}"#,
        &[("rules[1].subjet", r#"unknown key "rules[1].subjet""#, r#"did you mean "subject"?"#)],
    ),
    (
        r#"{"rules": [{"kind": "signal", "name": "load"}]}"#,
        &[("rules[0].above", r#""rules[0].above" is missing"#, r#"add "above", a number"#)],
    ),
    (
        r#"{"rules": [{"kind": "singal", "name": "load", "above": 1}]}"#,
        &[("rules[0].kind", r#""rules[0].kind" cannot be "singal""#, r#"did you mean "signal"?"#)],
    ),
    (
        r#"{"named": {"a": {"attempts": []}}}"#,
        &[("named.a.attempts", r#""named.a.attempts" must be an integer, not an array"#, "")],
    ),
    // serde would take these for structs.
    ("[]", &[("", "the policy must be an object, not an array", "")]),
    ("[7]", &[("", "the policy must be an object, not an array", "")]),
    (r#"{"retry": [4]}"#, &[("retry", r#""retry" must be an object, not an array"#, "")]),
    (
        r#"{"extra": [1, [2]], "named": {"a": [4]}}"#,
        &[("named.a", r#""named.a" must be an object, not an array"#, "")],
    ),
    ("3", &[("", "the policy must be an object, not 3", "")]),
    ("null", &[("", "the policy must be an object, not null", "")]),
    // Only serde knows of these.
    (r#"{"retry": {}, "retry": {}}"#, &[("", "duplicate field `retry`", "")]),
    (
        r#"{"pair": [1]}"#,
        &[("pair", r#""pair": invalid length 1, expected a tuple of size 2"#, "")],
    ),
    (
        r#"{"retry": {"window": {"calls": 1, "time": {"ms": 1}}}}"#,
        &[(
            "retry.window",
            r#""retry.window": invalid value: map, expected map with a single key"#,
            "",
        )],
    ),
    // All of a text at once.
    (
        r#"{"timeout_ms": true, "retry": {"atempts": 4, "jitter": "ful"}, "share": "much"}"#,
        &[
            ("timeout_ms", r#""timeout_ms" must be an integer, not true"#, ""),
            ("retry.atempts", r#"unknown key "retry.atempts""#, r#"did you mean "attempts"?"#),
            ("retry.jitter", r#""retry.jitter" cannot be "ful""#, r#"did you mean "full"?"#),
            ("share", r#""share" must be a number, not "much""#, ""),
        ],
    ),
];

#[test]
fn every_mistake_is_named_by_its_path() {
    for (text, expected) in WRONG {
        let mut found = mistakes(text);
        let mut expected: Vec<(String, String, String)> = expected
            .iter()
            .map(|(path, message, advice)| {
                (path.to_string(), message.to_string(), advice.to_string())
            })
            .collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn what_is_parsed_already_is_held_to_the_same() {
    for (text, _) in WRONG {
        let Ok(value) = serde_json::from_str(text) else { continue };
        let found = from_value::<Policy>("test.read", "policy", &value);
        // A key that was there twice is there once.
        if !text.contains("\"retry\": {}, \"retry\"") {
            assert_eq!(found.unwrap_err(), read(text).unwrap_err(), "{text}");
        }
    }
    let value = serde_json::json!({"extra": [[1]], "pair": [1, "a"]});
    assert!(from_value::<Policy>("test.read", "policy", &value).is_ok());
}

#[test]
fn what_serde_takes_is_taken() {
    assert_eq!(read("{}").unwrap(), Policy::default());
    let text = r#" {"timeout_ms": null, "retry": {"attempts": 4, "window": {"calls": 9}},
        "rules": [{"kind": "signal", "name": "load", "above": 1}], "named": {"[": {}},
        "extra": {"any": [[], {}]}, "pair": [1, "a"], "share": 1} "#;
    let policy = read(text).unwrap();
    assert_eq!(policy.retry.unwrap().window, Some(Window::Calls(9)));
    assert_eq!(policy.rules, [Rule::Signal { name: "load".into(), above: 1.0 }]);
    assert_eq!(policy.pair, (1, "a".into()));
}

#[test]
fn the_place_of_what_is_no_json_is_shown() {
    let error = read("{\"retry\": {},\n \"share\": NaN}").unwrap_err();
    let at = error.location().unwrap();
    assert_eq!((at.file.as_str(), at.line, at.excerpt.as_str()), ("policy", 2, " \"share\": NaN}"));
    assert!(error.to_string().starts_with("test.read: policy:2:"), "{error}");
    assert_eq!(error.message(), "not well-formed JSON: expected value");
    let error = read("{\"retry\"").unwrap_err();
    assert_eq!(error.location().map(|at| at.column), Some(9));
    assert!(read("").is_err() && read("{} {}").is_err());
    assert!(read(&"[".repeat(10_000)).is_err());
}

#[test]
fn mistakes_are_bounded_and_paths_are_short() {
    let keys: Vec<String> = (0..1_000).map(|n| format!("\"x{n}{}\": 1", "y".repeat(900))).collect();
    let error = read(&format!("{{{}}}", keys.join(","))).unwrap_err();
    assert_eq!(error.problems().len(), 100);
    assert!(error.message().len() < 300, "{}", error.message());
}

#[test]
fn a_form_has_a_code_of_its_own_and_its_schema_once() {
    let form = Form { code: Code::REQUEST_INVALID, operation: "a.b", what: "request" };
    let schema = OnceLock::new();
    assert!(form.read_by::<Retry>("{}", &schema).is_ok());
    assert!(schema.get().is_none(), "what is right costs no schema");
    let error = form.read_by::<Retry>("[]", &schema).unwrap_err();
    assert_eq!((error.code(), schema.get().is_some()), (Code::REQUEST_INVALID, true));
}
