//! Texts that are broken: an error or a set, never a panic.

use sutazai_core::security::authz::{Entities, PolicyEngine, PolicySet, Request, Schema};

use super::archive::{cases, long};
use super::corpus::random;

/// What a fuzzer runs: any bytes as policies, schema and entities, in every form; what loads is asked something.
pub fn fuzz_policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let schema = [Schema::from_cedar("fuzz", text), Schema::from_json("fuzz", text)];
    let entities = Entities::from_json(text, None).unwrap_or_default();
    let sets = [PolicySet::from_cedar("fuzz", text), PolicySet::from_json("fuzz", text)];
    let request = Request::new(
        r#"User::"alice""#.parse().unwrap(),
        r#"Action::"view""#.parse().unwrap(),
        r#"Photo::"p""#.parse().unwrap(),
    );
    for set in sets {
        match set {
            Ok(set) => {
                let engine = PolicyEngine::new(set, entities.clone());
                let answer = engine.decide(&request);
                assert!(
                    answer.is_allowed() || answer.reasons().all(|policy| !policy.id().is_empty())
                );
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    for schema in schema.into_iter().flatten() {
        let _ = PolicySet::builder().schema(schema).cedar("fuzz", text).build();
    }
}

/// Changes a few bytes: flips, cuts, copies, and pieces of the language.
fn mangle(text: &[u8], state: &mut u64) -> Vec<u8> {
    const PIECES: [&str; 14] = [
        "(",
        ")",
        "{",
        "}",
        "\"",
        "permit",
        "forbid",
        "?principal",
        "::",
        "\\u{",
        "when",
        "&&",
        "[",
        "9223372036854775808",
    ];
    let mut bytes = text.to_vec();
    for _ in 0..=random(state) % 4 {
        let at = random(state) as usize % (bytes.len() + 1);
        match random(state) % 5 {
            0 if at < bytes.len() => bytes[at] ^= 1 << (random(state) % 7),
            1 => bytes.truncate(at),
            2 => {
                let piece = PIECES[random(state) as usize % PIECES.len()];
                bytes.splice(at..at, piece.bytes());
            }
            3 => {
                let end = (at + random(state) as usize % 40).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let end = (at + random(state) as usize % 200).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
    bytes
}

const TEXTS: [&str; 5] = [
    r#"@id("a") permit (principal in Group::"g", action in [Action::"view", Action::"edit"], resource is Photo in Album::"x")
       when { principal.age > 17 && context has ip && ip("10.0.0.1").isInRange(ip("10.0.0.0/8")) } unless { resource.private };"#,
    r#"@id("t") permit (principal == ?principal, action, resource in ?resource) when { decimal("1.5").lessThan(decimal("2.5")) };"#,
    r#"{"staticPolicies": {"a": {"effect": "permit", "principal": {"op": "All"}, "action": {"op": "All"}, "resource": {"op": "All"}, "conditions": []}}, "templates": {}, "templateLinks": []}"#,
    r#"entity User in [Group] = { age: Long, name?: String }; entity Group; entity Photo; action view, edit appliesTo { principal: User, resource: Photo, context: { ip?: ipaddr } };"#,
    r#"[{"uid": {"type": "User", "id": "alice"}, "attrs": {"age": 3, "ip": {"__extn": {"fn": "ip", "arg": "::1"}}}, "parents": [{"type": "Group", "id": "g"}]}]"#,
];

#[test]
fn mangled_texts_are_refused_or_loaded() {
    let mut texts: Vec<Vec<u8>> = TEXTS.map(|text| text.as_bytes().to_vec()).into();
    for case in cases().unwrap_or_default().into_iter().step_by(100) {
        texts.extend([case.policies, case.schema, case.entities].map(String::into_bytes));
    }
    let rounds = if long() { 200_000 } else { 800 };
    let mut state = 8300;
    for round in 0..rounds {
        let text = &texts[round % texts.len()];
        let before = state;
        let mangled = mangle(text, &mut state);
        let run = std::panic::catch_unwind(|| fuzz_policy(&mangled));
        assert!(run.is_ok(), "state {before}: {}", String::from_utf8_lossy(&mangled));
    }
}

#[test]
fn nesting_without_end_is_an_error() {
    for depth in [100, 10_000, 200_000] {
        for (open, close) in
            [("(", ")"), ("[", "]"), ("!", ""), ("{a:", "}"), ("if true then ", " else 1")]
        {
            let text = format!(
                "permit (principal, action, resource) when {{ {}1{} }};",
                open.repeat(depth),
                close.repeat(depth)
            );
            fuzz_policy(text.as_bytes());
            // A hundred may be read, where they make sense.
            assert!(depth == 100 || PolicySet::from_cedar("p", &text).is_err(), "{depth} × {open}");
        }
        let json = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        fuzz_policy(json.as_bytes());
    }
}

#[test]
fn errors_say_where_and_which() {
    let error = PolicySet::from_cedar(
        "a.cedar",
        "permit (principal, action, resource);\npermit (principal, action resource);",
    );
    let error = error.unwrap_err();
    let at = error.location().unwrap();
    assert_eq!((at.file.as_str(), at.line, at.column), ("a.cedar", 2, 27), "{error}");

    let schema = Schema::from_cedar(
        "s",
        "entity User { age: Long }; entity Page; action read appliesTo { principal: User, resource: Page };",
    );
    let text = "permit (principal, action, resource);\n@id(\"grown up\")\npermit (principal, action == Action::\"read\", resource)\nwhen { principal.aeg > 17 };";
    let set = PolicySet::builder().cedar("b.cedar", text).schema(schema.unwrap()).build();
    let error = set.unwrap_err();
    assert_eq!(
        error.location().map(|at| (at.file.as_str(), at.line)),
        Some(("b.cedar", 4)),
        "{error}"
    );
    assert!(error.context().any(|pair| pair == ("policy", "grown up")), "{error}");

    let error = PolicySet::from_json("c.json", "{\n\"staticPolicies\": }").unwrap_err();
    assert_eq!(error.location().map(|at| at.line), Some(2), "{error}");
    let twice = "@id(\"x\") permit (principal, action, resource);";
    let error = PolicySet::builder().cedar("one", twice).cedar("two", twice).build().unwrap_err();
    assert!(error.context().any(|pair| pair == ("file", "two")), "{error}");
}
