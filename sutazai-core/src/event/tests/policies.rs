//! Overflow, counting and queue groups, against models.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::Code;

#[test]
fn drop_oldest_keeps_the_latest_and_tells_the_gap() {
    let bus = bus();
    let mut sub = bus.subscribe("a").capacity(4).pull().unwrap();
    for n in 0..10 {
        let report = publish(&bus, "a", n);
        assert_eq!(report, Delivered { queued: 1, overflowed: usize::from(n >= 4) });
    }
    assert_eq!(sub.missed(), 6);
    assert_eq!(drain(&mut sub), [(6, 6), (7, 0), (8, 0), (9, 0)]);
}

#[test]
fn drop_newest_keeps_the_first_and_tells_the_gap_later() {
    let bus = bus();
    let mut sub = bus.subscribe("a").capacity(4).overflow(Overflow::DropNewest).pull().unwrap();
    for n in 0..10 {
        publish(&bus, "a", n);
    }
    assert_eq!(drain(&mut sub), [(0, 0), (1, 0), (2, 0), (3, 0)]);
    publish(&bus, "a", 10);
    assert_eq!(drain(&mut sub), [(10, 6)]);
    assert_eq!(sub.missed(), 6);
}

#[test]
fn close_gives_what_waits_then_says_how_many_were_missed() {
    let bus = bus();
    let mut sub = bus.subscribe("a").capacity(2).overflow(Overflow::Close).pull().unwrap();
    for n in 0..5 {
        publish(&bus, "a", n);
    }
    assert!(sub.is_closed());
    assert_eq!(drain(&mut sub), [(0, 0), (1, 0)]);
    let error = sub.try_next().unwrap_err();
    assert_eq!(error.code(), Code::SUBSCRIPTION_CLOSED);
    assert!(error.context().any(|pair| pair == ("missed", "3")), "{error}");
    // It still matches, so what comes is still counted.
    assert_eq!(publish(&bus, "a", 5), Delivered { queued: 0, overflowed: 1 });
    assert_eq!(sub.missed(), 4);
    assert_eq!(bus.stats().missed, 4);
}

#[test]
fn the_end_of_the_bus_closes_subscriptions_after_what_waits() {
    let bus = bus();
    let mut sub = bus.subscribe("a").pull().unwrap();
    let second = bus.clone();
    publish(&bus, "a", 1);
    drop(bus);
    publish(&second, "a", 2);
    drop(second);
    assert_eq!(drain(&mut sub), [(1, 0), (2, 0)]);
    assert_eq!(sub.try_next().unwrap_err().code(), Code::SUBSCRIPTION_CLOSED);
}

#[test]
fn payloads_are_shared() {
    let bus = bus();
    let mut one = bus.subscribe("a").pull().unwrap();
    let mut two = bus.subscribe(">").pull().unwrap();
    let bytes: Arc<[u8]> = vec![7; 1 << 16].into();
    bus.publish("a", Payload::bytes(Arc::clone(&bytes))).unwrap();
    for sub in [&mut one, &mut two] {
        let got = sub.try_next().unwrap().unwrap().event;
        assert!(std::ptr::eq(got.payload.as_bytes().unwrap(), &*bytes));
    }
}

#[test]
fn dropped_subscriptions_leave_their_counts() {
    let bus = bus();
    let mut sub = bus.subscribe("a").capacity(3).pull().unwrap();
    publish_all(&bus, "a", 0..5);
    sub.try_next().unwrap().unwrap();
    drop(sub);
    let stats = bus.stats();
    assert_eq!((stats.published, stats.delivered, stats.missed), (5, 1, 2));
    assert_eq!((stats.discarded, stats.waiting, stats.subscriptions), (2, 0, 0));
}

/// A subscriber takes events up in batches; what is left of one waits, or is discarded.
#[test]
fn what_a_subscriber_has_in_hand_is_counted() {
    let bus = bus();
    let mut sub = bus.subscribe("a").capacity(80).pull().unwrap();
    publish_all(&bus, "a", 0..100);
    for taken in 1..=15 {
        sub.try_next().unwrap().unwrap();
        let stats = bus.stats();
        assert_eq!((stats.delivered, stats.missed, stats.waiting), (taken, 20, 80 - taken));
        assert_eq!(sub.waiting() as u64, stats.waiting);
    }
    drop(sub);
    let stats = bus.stats();
    assert_eq!((stats.delivered, stats.missed), (15, 20));
    assert_eq!((stats.waiting, stats.discarded), (0, 65));
}

#[test]
fn groups_pass_over_full_members_and_closed_ones() {
    let bus = bus();
    let build = |capacity, overflow| {
        bus.subscribe("a").queue_group("g").capacity(capacity).overflow(overflow).pull().unwrap()
    };
    let mut small = build(1, Overflow::DropNewest);
    let mut large = build(100, Overflow::DropNewest);
    (0..101)
        .for_each(|n| assert_eq!(publish(&bus, "a", n), Delivered { queued: 1, overflowed: 0 }));
    assert_eq!((small.missed(), large.missed()), (0, 0));
    // Now both are full: one of them loses it.
    assert_eq!(publish(&bus, "a", 101), Delivered { queued: 0, overflowed: 1 });
    assert_eq!(small.missed() + large.missed(), 1);
    assert_eq!((drain(&mut small).len(), drain(&mut large).len()), (1, 100));
    drop(large);
    // A member that overflowed shut is no member any more while another is open.
    let mut shut = build(1, Overflow::Close);
    for n in 0..3 {
        publish(&bus, "a", n);
    }
    assert_eq!(small.missed() + shut.missed(), 2, "two had room for one each; one was lost");
    drain(&mut small);
    if drain(&mut shut).len() == 1 && shut.is_closed() {
        assert_eq!(publish(&bus, "a", 9), Delivered { queued: 1, overflowed: 0 });
        assert_eq!(drain(&mut small).len(), 1);
    }
}

#[test]
fn groups_share_the_load() {
    let bus = bus();
    let mut members: Vec<_> =
        (0..4).map(|_| bus.subscribe("a.*").queue_group("g").pull().unwrap()).collect();
    for n in 0..400 {
        // Alternating subjects, for which a plain round would starve half of the members.
        publish(&bus, if n % 2 == 0 { "a.x" } else { "a.y" }, n);
    }
    let shares: Vec<usize> = members.iter_mut().map(|m| drain(m).len()).collect();
    assert_eq!(shares.iter().sum::<usize>(), 400);
    assert!(shares.iter().all(|&share| share > 40), "{shares:?}");
}

#[derive(Clone, Debug)]
enum Step {
    Publish(usize),
    Pull(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..SUBJECTS.len()).prop_map(Step::Publish),
        2 => (0..8usize).prop_map(Step::Pull),
    ];
    prop::collection::vec(step, 0..300)
}

const SUBJECTS: [&str; 3] = ["a.x", "a.y", "b.x"];

fn policies() -> impl Strategy<Value = Overflow> {
    prop::sample::select(vec![Overflow::DropOldest, Overflow::DropNewest, Overflow::Close])
}

/// What one subscription should do, told simply. Capacities below 16 are taken up one by one, so
/// the model needs no notion of a hand.
struct Model {
    pattern: Pattern,
    capacity: usize,
    overflow: Overflow,
    waiting: VecDeque<(u64, u64)>,
    gap: u64,
    missed: u64,
    closed: bool,
}

impl Model {
    fn publish(&mut self, n: u64) {
        if self.closed || self.waiting.len() == self.capacity {
            self.missed += 1;
            match self.overflow {
                Overflow::DropOldest => {
                    let (_, before) = self.waiting.pop_front().unwrap();
                    match self.waiting.front_mut() {
                        Some(first) => first.1 += before + 1,
                        None => self.gap += before + 1,
                    }
                    self.waiting.push_back((n, std::mem::take(&mut self.gap)));
                }
                Overflow::DropNewest => self.gap += 1,
                Overflow::Close => self.closed = true,
            }
        } else {
            self.waiting.push_back((n, std::mem::take(&mut self.gap)));
        }
    }
}

proptest! {
    #[test]
    fn overflow_and_gaps_follow_the_model(
        shapes in prop::collection::vec(
            (prop::sample::select(vec!["a.*", ">", "*.x", "b.x"]), 1..6usize, policies()), 1..8),
        steps in steps(),
    ) {
        let bus = bus();
        let mut all: Vec<(Model, Subscription)> = shapes
            .into_iter()
            .map(|(pattern, capacity, overflow)| {
                let sub =
                    bus.subscribe(pattern).capacity(capacity).overflow(overflow).pull().unwrap();
                let model = Model {
                    pattern: Pattern::new(pattern).unwrap(),
                    capacity, overflow, waiting: VecDeque::new(), gap: 0, missed: 0, closed: false,
                };
                (model, sub)
            })
            .collect();
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Publish(subject) => {
                    publish(&bus, SUBJECTS[subject], n as u64);
                    for (model, _) in &mut all {
                        if model.pattern.matches(SUBJECTS[subject]) {
                            model.publish(n as u64);
                        }
                    }
                }
                Step::Pull(which) => {
                    let len = all.len();
                    let (model, sub) = &mut all[which % len];
                    match (model.waiting.pop_front(), sub.try_next()) {
                        (Some(expected), Ok(Some(got))) =>
                            prop_assert_eq!((number(&got), got.missed_before), expected),
                        (None, Ok(None)) => prop_assert!(!model.closed),
                        (None, Err(e)) => {
                            prop_assert!(model.closed);
                            prop_assert_eq!(e.code(), Code::SUBSCRIPTION_CLOSED);
                        }
                        other => prop_assert!(false, "{:?}", other),
                    }
                }
            }
            for (model, sub) in &all {
                prop_assert_eq!(sub.missed(), model.missed);
                prop_assert_eq!(sub.waiting(), model.waiting.len());
                prop_assert_eq!(sub.is_closed(), model.closed);
            }
        }
    }

    /// Each event reaches exactly one member of each group that wants it, or is missed by exactly
    /// one, and by none while a member has room.
    #[test]
    fn groups_get_each_event_once(
        shapes in prop::collection::vec(
            (0..3usize, prop::sample::select(vec!["a.*", ">", "a.x"]), 1..20usize, policies()), 1..10),
        count in 0..100u64,
    ) {
        let bus = bus();
        let mut members: Vec<(String, Subscription, usize)> = shapes
            .into_iter()
            .map(|(group, pattern, capacity, overflow)| {
                let group = format!("g{group}");
                let sub = bus.subscribe(pattern).queue_group(group.as_str()).capacity(capacity)
                    .overflow(overflow).pull().unwrap();
                (group, sub, capacity)
            })
            .collect();
        for n in 0..count {
            publish(&bus, "a.x", n);
        }
        // Every pattern above matches `a.x`.
        let mut groups = BTreeMap::<String, (u64, u64, usize)>::new();
        for (group, sub, capacity) in &mut members {
            let got = drain(sub).len() as u64;
            let entry = groups.entry(group.clone()).or_default();
            *entry = (entry.0 + got, entry.1 + sub.missed(), entry.2 + *capacity);
        }
        for (group, (got, missed, room)) in groups {
            prop_assert_eq!(got + missed, count, "{}", group);
            prop_assert_eq!(missed, count.saturating_sub(room as u64), "{}", group);
        }
    }
}
