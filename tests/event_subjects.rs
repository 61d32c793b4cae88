//! Subjects and patterns against the verdicts of a real NATS server.
//!
//! The table was recorded by `tests/oracle/nats_subjects.py`, whose head describes it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "it fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use sutazai_core::Code;
use sutazai_core::base::payload::Payload;
use sutazai_core::base::runtime::Manual;
use sutazai_core::event::{Bus, Pattern, Subject, Subscription};

struct Group {
    patterns: Vec<String>,
    subjects: Vec<String>,
    pattern_verdicts: Vec<u8>,
    subject_verdicts: Vec<u8>,
    matches: Vec<u8>,
}

/// The head of the table, and its groups.
fn table() -> (Value, Vec<Group>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/nats_subjects.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let head = lines.next().unwrap();
    let groups = lines
        .map(|line| {
            let texts =
                |at: usize| serde_json::from_value::<Vec<String>>(line[at].clone()).unwrap();
            let letters = |at: usize| line[at].as_str().unwrap().as_bytes().to_vec();
            Group {
                patterns: texts(0),
                subjects: texts(1),
                pattern_verdicts: letters(2),
                subject_verdicts: letters(3),
                matches: letters(4),
            }
        })
        .collect();
    (head, groups)
}

impl Group {
    /// Every pair of the group, and whether the server delivered it, having accepted both.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize, bool)> {
        let width = self.subjects.len();
        (0..self.patterns.len() * width).map(move |at| {
            let (p, s) = (at / width, at % width);
            let accepted = self.pattern_verdicts[p] == b'a' && self.subject_verdicts[s] == b'a';
            (p, s, accepted && self.matches[at] == b'1')
        })
    }
}

#[test]
fn a_hundred_thousand_pairs_agree_with_nats() {
    let (head, groups) = table();
    let (mut pairs, mut matched, mut refused) = (0, 0, 0);
    for group in &groups {
        for (text, &verdict) in group.patterns.iter().zip(&group.pattern_verdicts) {
            let ours = Pattern::new(text);
            assert_eq!(ours.is_ok(), verdict == b'a', "pattern {text:?}: {ours:?}");
        }
        for (text, &verdict) in group.subjects.iter().zip(&group.subject_verdicts) {
            let ours = Subject::new(text);
            assert_eq!(ours.is_ok(), verdict == b'a', "subject {text:?}: {ours:?}");
            if let Err(error) = ours {
                assert_eq!(error.code(), Code::SUBJECT_INVALID);
                assert!(error.location().is_some(), "{error}");
                refused += 1;
            }
        }
        for (p, s, delivered) in group.pairs() {
            pairs += 1;
            matched += usize::from(delivered);
            let (pattern, subject) = (&group.patterns[p], &group.subjects[s]);
            if let Ok(parsed) = Pattern::new(pattern) {
                assert_eq!(parsed.matches(subject), delivered, "{pattern:?} {subject:?}");
            }
        }
    }
    // The table itself is what it says, and has enough of everything to mean something.
    assert_eq!(head["pairs"], pairs);
    assert!(pairs >= 100_000);
    assert!(matched * 4 >= pairs, "only {matched} of {pairs} match");
    assert!(refused > 1_000);
}

/// The same through the bus, which finds subscriptions by a tree and not pattern by pattern.
#[test]
fn the_bus_delivers_what_nats_delivers() {
    let (_, groups) = table();
    for group in &groups {
        let bus = Bus::new(Arc::new(Manual::new()));
        let mut subscriptions: Vec<Option<Subscription>> =
            group.patterns.iter().map(|pattern| bus.subscribe(pattern).pull().ok()).collect();
        for (subject, &verdict) in group.subjects.iter().zip(&group.subject_verdicts) {
            let published = bus.publish(subject, Payload::NULL);
            assert_eq!(published.is_ok(), verdict == b'a', "{subject:?}");
        }
        for (p, s, delivered) in group.pairs() {
            let Some(subscription) = &mut subscriptions[p] else {
                assert!(!delivered);
                continue;
            };
            if delivered {
                let got = subscription.try_next().unwrap().unwrap().event;
                assert_eq!(got.subject, *group.subjects[s]);
            }
        }
        for subscription in subscriptions.iter_mut().flatten() {
            assert_eq!(subscription.try_next(), Ok(None), "{}", subscription.pattern());
        }
    }
}
