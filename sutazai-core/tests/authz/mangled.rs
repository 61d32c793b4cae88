//! Texts that are broken: an error or a set, never a panic.

use sutazai_core::security::authz::{PolicySet, Schema};

#[path = "../../../fuzz/src/policy.rs"]
mod fuzz;

use super::archive::{cases, long};
use super::corpus::random;

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

#[test]
fn mangled_texts_are_refused_or_loaded() {
    let mut texts: Vec<Vec<u8>> = fuzz::seeds();
    for case in cases().unwrap_or_default().into_iter().step_by(100) {
        texts.extend([case.policies, case.schema, case.entities].map(String::into_bytes));
    }
    let rounds = if long() { 200_000 } else { 800 };
    let mut state = 8300;
    for round in 0..rounds {
        let text = &texts[round % texts.len()];
        let before = state;
        let mangled = mangle(text, &mut state);
        let run = std::panic::catch_unwind(|| fuzz::run(&mangled));
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
            fuzz::run(text.as_bytes());
            // A hundred may be read, where they make sense.
            assert!(depth == 100 || PolicySet::from_cedar("p", &text).is_err(), "{depth} × {open}");
        }
        let json = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        fuzz::run(json.as_bytes());
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
