//! Patterns, the tree and the remembered routes, against a naive reference.

use proptest::prelude::*;

use super::*;
use crate::Code;

/// The definition, word for word: recursion over tokens.
fn reference(pattern: &[&str], subject: &[&str]) -> bool {
    match (pattern, subject) {
        ([], []) => true,
        ([">"], rest) => !rest.is_empty(),
        (["*", pattern @ ..], [_, subject @ ..]) => reference(pattern, subject),
        ([a, pattern @ ..], [b, subject @ ..]) => a == b && reference(pattern, subject),
        _ => false,
    }
}

fn tokens(choices: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(choices), 1..5).prop_map(|t| t.join("."))
}

fn subjects() -> impl Strategy<Value = String> {
    tokens(&["a", "b", "ä", "a*", ">a"])
}

fn patterns() -> impl Strategy<Value = String> {
    (tokens(&["a", "b", "ä", "a*", ">a", "*", "*"]), any::<bool>())
        .prop_map(|(head, rest)| if rest { format!("{head}.>") } else { head })
}

fn split(text: &str) -> Vec<&str> {
    text.split('.').collect()
}

proptest! {
    #[test]
    fn patterns_match_as_defined(pattern in patterns(), subject in subjects()) {
        let expected = reference(&split(&pattern), &split(&subject));
        prop_assert_eq!(Pattern::new(&pattern).unwrap().matches(&subject), expected);
    }

    #[test]
    fn any_text_is_judged_without_panic(text in "[a*>. \\t\u{e4}]{0,12}") {
        let literal = Subject::new(&text);
        let pattern = Pattern::new(&text);
        // What may be published may be subscribed to, and matches itself.
        if literal.is_ok() {
            prop_assert!(pattern.unwrap().matches(&text));
        }
    }

    /// Subscriptions come and go between publishes; the bus agrees with the patterns each time, so
    /// no remembered route outlives a change.
    #[test]
    fn the_bus_agrees_with_the_patterns(
        steps in prop::collection::vec((0..8usize, patterns(), subjects()), 1..40),
    ) {
        let bus = bus();
        let mut places: Vec<Option<Subscription>> = (0..8).map(|_| None).collect();
        for (n, (place, pattern, subject)) in steps.into_iter().enumerate() {
            places[place] = match places[place].take() {
                Some(_) => None,
                None => Some(bus.subscribe(&pattern).pull().unwrap()),
            };
            let delivered = publish(&bus, &subject, n as u64);
            let mut expected = 0;
            for sub in places.iter_mut().flatten() {
                let wanted = sub.pattern().matches(&subject);
                expected += usize::from(wanted);
                let got = drain(sub);
                prop_assert_eq!(got, if wanted { vec![(n as u64, 0)] } else { vec![] });
            }
            prop_assert_eq!(delivered, Delivered { queued: expected, overflowed: 0 });
        }
        let live = places.iter().flatten().count();
        prop_assert_eq!(bus.stats().subscriptions, live);
    }
}

#[test]
fn more_subjects_than_are_remembered() {
    let bus = bus();
    let mut sub = bus.subscribe("many.*").capacity(1).pull().unwrap();
    for n in 0..20_000 {
        assert_eq!(publish(&bus, &format!("many.{n}"), n).queued, 1);
        assert_eq!(drain(&mut sub), [(n, 0)]);
    }
    drop(sub);
    for n in 0..20_000 {
        assert_eq!(publish(&bus, &format!("many.{n}"), n), Delivered::default());
    }
}

#[test]
fn long_subjects_are_routed_too() {
    let bus = bus();
    let subject = vec!["token"; MAX_TOKENS].join(".");
    let mut all = bus.subscribe(">").pull().unwrap();
    let mut exact = bus.subscribe(&subject).pull().unwrap();
    let mut stars = bus.subscribe(vec!["*"; MAX_TOKENS].join(".")).pull().unwrap();
    assert_eq!(publish(&bus, &subject, 1).queued, 3);
    for sub in [&mut all, &mut exact, &mut stars] {
        assert_eq!(sub.try_next().unwrap().unwrap().event.subject, *subject);
    }
}

#[test]
fn what_cannot_be_subscribed_or_published_says_so() {
    let bus = bus();
    let error = bus.subscribe("a..b").pull().unwrap_err();
    assert_eq!(error.code(), Code::SUBJECT_INVALID);
    assert_eq!(error.failed_operation(), Some("event.subscribe"));
    let error = bus.publish("a.*", Payload::NULL).unwrap_err();
    assert_eq!(error.code(), Code::SUBJECT_INVALID);
    assert_eq!(error.failed_operation(), Some("event.publish"));
    assert_eq!(bus.subscribe("a").capacity(0).pull().unwrap_err().code(), Code::INVALID);
    let too_many = bus.subscribe("a").capacity(MAX_CAPACITY + 1).pull();
    assert_eq!(too_many.unwrap_err().code(), Code::INVALID);
    assert_eq!(bus.subscribe("a").queue_group("").pull().unwrap_err().code(), Code::INVALID);
    assert_eq!(bus.stats(), BusStats::default());
}

/// A publisher's memory follows the subscriptions, and its count reaches the statistics.
#[test]
fn publishers_follow_changes_and_are_counted() {
    let bus = bus();
    let mut publisher = bus.publisher("a.b").unwrap();
    assert_eq!(publisher.publish(Payload::NULL).unwrap().queued, 0);
    let mut sub = bus.subscribe("a.*").pull().unwrap();
    let mut second = publisher.clone();
    assert_eq!(publisher.publish(serde_json::Value::from(1)).unwrap().queued, 1);
    assert_eq!(second.publish(serde_json::Value::from(2)).unwrap().queued, 1);
    drop(second);
    assert_eq!(drain(&mut sub), [(1, 0), (2, 0)]);
    drop(sub);
    assert_eq!(publisher.publish(Payload::NULL).unwrap().queued, 0);
    assert_eq!(bus.stats().published, 4);
    assert_eq!(bus.publisher("a.*").unwrap_err().code(), Code::SUBJECT_INVALID);
}
