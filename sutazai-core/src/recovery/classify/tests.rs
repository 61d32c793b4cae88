//! The classifier as a whole.

use std::borrow::Cow;
use std::time::Duration;

use proptest::prelude::*;

use super::{Classifier, Facts, Hint, Protocol, Rule, Verdict};
use crate::base::time::Timestamp;
use crate::port::failure;
use crate::{Class, Code, Error};

fn now() -> Timestamp {
    Timestamp::from_nanos(1_700_000_000_000_000_000)
}

fn verdict(error: &Error) -> Verdict {
    Classifier::new().classify_error(error, now())
}

fn classes(cases: &[(Error, Class)]) {
    for (error, class) in cases {
        let verdict = verdict(error);
        assert_eq!(verdict.class, *class, "{error:?}: {verdict}");
    }
}

#[test]
fn a_code_that_says_enough_decides() {
    let error = Error::new(Code::NOT_FOUND, "timed out: no space left on device");
    let verdict = verdict(&error);
    assert_eq!(verdict.class, Class::Persistent);
    assert_eq!(verdict.rule, "base.not_found");
    assert_eq!(verdict.reason, "there is nothing of that name");
}

#[test]
fn a_class_against_the_code_decides() {
    let error = Error::new(Code::AGENT_FAILED, "connection reset").classed(Class::Persistent);
    assert_eq!(verdict(&error).rule, "error.class");
    classes(&[
        (error, Class::Persistent),
        (Error::new(Code::NOT_FOUND, "not there yet").classed(Class::Transient), Class::Transient),
        (Error::new(Code::host(3), "x").classed(Class::Critical), Class::Critical),
    ]);
}

#[test]
fn a_vague_code_is_looked_behind() {
    let io = std::io::Error::from_raw_os_error(28);
    classes(&[
        (Error::new(Code::IO, "cannot write").because(io), Class::Critical),
        (
            Error::new(Code::IO, "cannot read")
                .because(std::io::Error::from(std::io::ErrorKind::NotFound)),
            Class::Persistent,
        ),
        (
            Error::new(Code::AGENT_FAILED, "no luck").because(Error::new(Code::OVERLOADED, "full")),
            Class::Transient,
        ),
        (
            Error::new(Code::INJECT_FAILED, "a factory failed")
                .because(std::io::Error::other(Error::new(Code::STORE_CORRUPT, "damaged"))),
            Class::Critical,
        ),
        (
            Error::new(Code::STORE_FAILED, "the database refused")
                .because(std::io::Error::other("database is locked")),
            Class::Transient,
        ),
        (Error::new(Code::AGENT_FAILED, "failed on purpose"), Class::Transient),
        (Error::new(Code::host(3), "failed on purpose"), Class::Persistent),
    ]);
}

#[test]
fn the_context_is_read() {
    let failed = || Error::new(Code::AGENT_FAILED, "it failed");
    let exited = || Error::new(Code::AGENT_EXITED, "it ended");
    classes(&[
        (failed().with(failure::HTTP_STATUS, 401), Class::Persistent),
        (failed().with(failure::HTTP_STATUS, 503), Class::Transient),
        (failed().with(failure::ERRNO, 28), Class::Critical),
        (failed().with(failure::EXCEPTION, "KeyError"), Class::Persistent),
        (
            failed().with(failure::EXCEPTION, "shop.Gone").with(failure::BASES, "a.B, MemoryError"),
            Class::Critical,
        ),
        (failed().with(failure::RPC, "mcp").with(failure::RPC_CODE, -32602), Class::Persistent),
        (failed().with(failure::RPC, "grpc").with(failure::RPC_CODE, "DATA_LOSS"), Class::Critical),
        (failed().with(failure::AGENT_CODE, "insufficient_quota"), Class::Persistent),
        (failed().with(failure::PROVIDER_TYPE, "overloaded_error"), Class::Transient),
        (failed().with(failure::SQLSTATE, "23505"), Class::Persistent),
        (exited().with(failure::SIGNAL, "11 (SIGSEGV)"), Class::Critical),
        (exited().with(failure::EXIT_STATUS, 78), Class::Persistent),
        (exited().with(failure::STDERR, "Traceback | MemoryError"), Class::Critical),
    ]);
}

#[test]
fn hints_are_found_wherever_they_are() {
    let wait = |error: &Error| verdict(error).retry_after.map(|wait| wait.as_secs());
    let limited = || Error::new(Code::AGENT_FAILED, "x").with(failure::HTTP_STATUS, 429);
    assert_eq!(wait(&limited()), None);
    assert_eq!(wait(&limited().with(failure::RETRY_AFTER, "7")), Some(7));
    let date = "Tue, 14 Nov 2023 22:14:20 GMT";
    assert_eq!(wait(&limited().with(failure::RETRY_AFTER, date)), Some(60));
    assert_eq!(wait(&limited().with("x-ratelimit-reset", "1700000030")), Some(30));
    let said = Error::new(Code::AGENT_FAILED, "rate limit, try again in 1m30s");
    assert_eq!(wait(&said), Some(90));
    let own = Error::new(Code::RATE_LIMITED, "no room").with(failure::RETRY_AFTER, "0.5");
    assert_eq!(verdict(&own).retry_after, Some(Duration::from_millis(500)));
    let useless = Error::new(Code::AGENT_FAILED, "x").with(failure::HTTP_STATUS, 401);
    assert_eq!(wait(&useless.with(failure::RETRY_AFTER, "7")), None, "it is persistent");
}

#[test]
fn a_hint_that_was_bounded_says_so() {
    let error = Error::new(Code::AGENT_FAILED, "x").with(failure::HTTP_STATUS, 503);
    let verdict = verdict(&error.with(failure::RETRY_AFTER, "99999999"));
    assert_eq!(verdict.retry_after, Some(Hint::LONGEST));
    assert!(verdict.reason.ends_with("more than a day, which was cut to one"), "{verdict}");
}

#[test]
fn the_hosts_rules_come_first_and_in_order() {
    let rule =
        |name: &str, class, text: &str| Rule { text: Some(text.into()), ..Rule::new(name, class) };
    let classifier = Classifier::with_rules(vec![
        rule("one", Class::Critical, "fuse"),
        rule("two", Class::Transient, "blown"),
    ])
    .unwrap();
    let error = Error::new(Code::INVALID, "the fuse has blown; retry after 3 seconds");
    let verdict = classifier.classify_error(&error, now());
    assert_eq!((verdict.class, &*verdict.rule), (Class::Critical, "one"));
    assert!(classifier.set_rules(vec![Rule::new("none", Class::Critical)]).is_err());
    assert_eq!(classifier.rules().len(), 2, "the rules stay when others are refused");
    classifier.set_rules(vec![rule("three", Class::Transient, "blown")]).unwrap();
    let verdict = classifier.classify_error(&error, now());
    assert_eq!((verdict.class, &*verdict.rule), (Class::Transient, "three"));
    assert_eq!(verdict.retry_after, Some(Duration::from_secs(3)), "what the text says counts");
    classifier.set_rules(Vec::new()).unwrap();
    assert_eq!(classifier.classify_error(&error, now()).rule, "base.invalid");
}

#[test]
fn a_foreign_error_is_read_by_its_chain() {
    let error = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let facts = Facts::of_any(&error);
    assert_eq!(Classifier::new().classify(&facts, now()).class, Class::Transient);
    let text = std::io::Error::other("certificate has expired");
    let verdict = Classifier::new().classify(&Facts::of_any(&text), now());
    assert_eq!((verdict.class, &*verdict.rule), (Class::Persistent, "text.certificate"));
    let own = Error::new(Code::OVERLOADED, "full");
    assert_eq!(Facts::of_any(&own).code, Some(Code::OVERLOADED));
}

#[test]
fn of_nothing_nothing_is_promised() {
    let verdict = Classifier::new().classify(&Facts::default(), now());
    assert_eq!((verdict.class, &*verdict.rule), (Class::Persistent, "unknown"));
}

#[test]
fn verdicts_are_json() {
    let mut verdict = Verdict::new(Class::Transient, "r", "s");
    verdict.retry_after = Some(Duration::from_micros(1_001));
    assert_eq!(
        serde_json::to_value(&verdict).unwrap(),
        serde_json::json!({"class": "transient", "retry_after_ms": 2, "rule": "r", "reason": "s"})
    );
}

fn any_text() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "rate",
        "limit",
        "timed",
        "out",
        "of",
        "memory",
        "not",
        "found",
        "connection",
        "reset",
        "try",
        "again",
        "in",
        "20s",
        "HTTP",
        "503",
        "exit",
        "code",
        "137",
        "errno",
        "28",
        "quota",
        "exceeded",
        "invalid",
        "the",
        "table",
        "is",
        "full",
        "-",
        ".",
        "'",
        "’",
        "KeyError:",
        "  File \"",
        "\n",
        "|",
        "StatusCode.",
        "SQLSTATE",
        "40001",
        "ß",
    ]);
    let sentence = prop::collection::vec(words, 0..12).prop_map(|words| words.join(" "));
    prop_oneof![sentence, any::<String>()]
}

fn any_facts() -> impl Strategy<Value = Facts<'static>> {
    let numbers = (
        prop::option::of(any::<u16>()),
        prop::option::of(any::<i32>()),
        prop::option::of(-40..300_i32),
        prop::option::of(-40..200_i32),
        prop::option::of(-33_000..20_i64),
    );
    let texts = prop::collection::vec(any_text(), 8);
    let code = prop::option::of(prop::sample::select(Code::all().collect::<Vec<_>>()));
    (numbers, texts, code, any::<u8>()).prop_map(|(numbers, mut texts, code, which)| {
        let mut text = |bit: u8| {
            let text = texts.pop().unwrap_or_default();
            (which & (1 << bit) != 0).then_some(Cow::Owned(text))
        };
        Facts {
            code,
            http_status: numbers.0,
            exit_status: numbers.1.or(numbers.2),
            signal: numbers.2,
            errno: numbers.3,
            rpc_code: numbers.4,
            rpc: [None, Some(Protocol::Mcp), Some(Protocol::Grpc)][usize::from(which) % 3],
            message: text(0).unwrap_or_default(),
            stderr: text(1),
            exception: text(2),
            bases: text(3).into_iter().collect(),
            provider_type: text(4),
            provider_code: text(5),
            sqlstate: text(6),
            retry_after: text(7),
            ..Facts::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_facts_get_a_verdict_with_its_reason(facts in any_facts(), now in any::<i64>()) {
        let verdict = Classifier::new().classify(&facts, Timestamp::from_nanos(now));
        prop_assert!(!verdict.reason.is_empty() && !verdict.rule.is_empty());
        prop_assert!(verdict.retry_after.is_none_or(|wait| wait <= Hint::LONGEST));
        prop_assert!(verdict.retry_after.is_none() || verdict.class == Class::Transient);
    }

    #[test]
    fn a_full_disk_is_critical_whatever_else_is_said(facts in any_facts(), text in any_text()) {
        let facts = Facts { code: None, errno: Some(28), ..facts };
        // What is worse than a full disk is critical too, but for a model that is too large.
        prop_assume!(!text.contains("sort memory"));
        let facts = Facts { message: text.into(), ..facts };
        let verdict = Classifier::new().classify(&facts, now());
        prop_assert_eq!(verdict.class, Class::Critical);
    }
}
