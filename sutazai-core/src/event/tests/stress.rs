//! Exact counts while threads publish, pull, come and go.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::*;

const PUBLISHERS: u64 = 3;
const EACH: u64 = 20_000;

/// Pulls until the publishers are done and nothing waits. Checks per-publisher order, and that the
/// gaps add up.
fn consume(mut sub: Subscription, done: &AtomicBool) -> (u64, u64) {
    let (mut got, mut gaps, mut last) = (0, 0, [None; PUBLISHERS as usize]);
    loop {
        let finished = done.load(Ordering::Acquire);
        match sub.wait(Duration::from_millis(5)) {
            Ok(Some(delivery)) => {
                got += 1;
                gaps += delivery.missed_before;
                let n = number(&delivery);
                let latest = &mut last[(n / EACH) as usize];
                assert!(latest.is_none_or(|before| before < n), "out of order");
                *latest = Some(n);
            }
            Ok(None) if !finished => {}
            Ok(None) | Err(_) => break,
        }
    }
    let missed = sub.missed();
    assert!(gaps <= missed, "more gaps than misses");
    (got, missed)
}

#[test]
fn delivered_and_missed_add_up() {
    let bus = bus();
    let done = AtomicBool::new(false);
    let policies = [Overflow::DropOldest, Overflow::DropNewest, Overflow::Close];
    let accepted = AtomicU64::new(0);
    thread::scope(|scope| {
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|p| {
                let (bus, accepted) = (&bus, &accepted);
                scope.spawn(move || {
                    for n in 0..EACH {
                        let subject = if n % 4 == 0 { "s.even" } else { "s.odd" };
                        let report = publish(bus, subject, p * EACH + n);
                        accepted.fetch_add(report.queued as u64, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        // Subscribed while they publish: what matched is known from the counts of the queue, and
        // the consumer's own count must agree with it.
        let consumers: Vec<_> = (0..6)
            .map(|c| {
                let pattern = ["s.*", "s.odd", ">"][c % 3];
                let sub = bus
                    .subscribe(pattern)
                    .capacity([1, 7, 64, 1000][c % 4])
                    .overflow(policies[c % 3])
                    .pull()
                    .unwrap();
                let done = &done;
                scope.spawn(move || consume(sub, done))
            })
            .collect();
        // Churn: routes are replaced all the time.
        let churn = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                drop(bus.subscribe("s.odd").capacity(2).pull().unwrap());
                thread::yield_now();
            }
        });
        publishers.into_iter().for_each(|p| p.join().unwrap());
        done.store(true, Ordering::Release);
        churn.join().unwrap();
        let totals: Vec<(u64, u64)> = consumers.into_iter().map(|c| c.join().unwrap()).collect();
        let stats = bus.stats();
        assert_eq!(stats.published, PUBLISHERS * EACH);
        assert_eq!(stats.waiting, 0);
        let got: u64 = totals.iter().map(|t| t.0).sum();
        assert!(stats.delivered >= got);
    });
}

/// Subscribed before anything is published, so what matches is known beforehand.
#[test]
fn every_subscription_accounts_for_every_event() {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Close] {
        let bus = bus();
        let done = AtomicBool::new(false);
        let shapes = [("s.*", 1), ("s.odd", 7), (">", 64), ("s.even", 1000), ("s.>", 100_000)];
        let subs: Vec<_> = shapes
            .iter()
            .map(|(pattern, capacity)| {
                bus.subscribe(pattern).capacity(*capacity).overflow(overflow).pull().unwrap()
            })
            .collect();
        thread::scope(|scope| {
            let consumers: Vec<_> = subs
                .into_iter()
                .map(|sub| {
                    let done = &done;
                    scope.spawn(move || {
                        let even = sub.pattern().matches("s.even");
                        let odd = sub.pattern().matches("s.odd");
                        (u64::from(even), u64::from(odd), consume(sub, done))
                    })
                })
                .collect();
            let publishers: Vec<_> = (0..PUBLISHERS)
                .map(|p| {
                    let bus = &bus;
                    scope.spawn(move || {
                        for n in 0..EACH {
                            let subject = if n % 4 == 0 { "s.even" } else { "s.odd" };
                            publish(bus, subject, p * EACH + n);
                        }
                    })
                })
                .collect();
            publishers.into_iter().for_each(|p| p.join().unwrap());
            done.store(true, Ordering::Release);
            for consumer in consumers {
                let (even, odd, (got, missed)) = consumer.join().unwrap();
                let matching = PUBLISHERS * (even * EACH / 4 + odd * (EACH - EACH / 4));
                if overflow == Overflow::Close && missed > 0 {
                    // It may have been dropped before the last publish; it never lies upwards.
                    assert!(got + missed <= matching);
                } else {
                    assert_eq!(got + missed, matching);
                }
            }
        });
    }
}

/// A closed subscription that stays counts to the end.
#[test]
fn a_closed_subscription_counts_to_the_end() {
    let bus = bus();
    let mut sub = bus.subscribe("s").capacity(100).overflow(Overflow::Close).pull().unwrap();
    thread::scope(|scope| {
        for p in 0..PUBLISHERS {
            let bus = &bus;
            scope.spawn(move || publish_all(bus, "s", p * EACH..(p + 1) * EACH));
        }
    });
    assert_eq!(drain(&mut sub).len(), 100);
    assert_eq!(sub.missed(), PUBLISHERS * EACH - 100);
}

#[test]
fn groups_get_each_event_once_from_many_threads() {
    let bus = bus();
    let done = AtomicBool::new(false);
    let members: Vec<_> =
        (0..3).map(|_| bus.subscribe("s").queue_group("g").capacity(50).pull().unwrap()).collect();
    thread::scope(|scope| {
        let consumers: Vec<_> = members
            .into_iter()
            .map(|sub| {
                let done = &done;
                scope.spawn(move || consume(sub, done))
            })
            .collect();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|p| {
                let bus = &bus;
                scope.spawn(move || publish_all(bus, "s", p * EACH..(p + 1) * EACH))
            })
            .collect();
        publishers.into_iter().for_each(|p| p.join().unwrap());
        done.store(true, Ordering::Release);
        let all: u64 = consumers.into_iter().map(|c| c.join().unwrap()).map(|(g, m)| g + m).sum();
        assert_eq!(all, PUBLISHERS * EACH);
    });
}

/// With publishers that wait, nothing is lost whatever the capacity.
#[test]
fn waiting_publishers_lose_nothing() {
    for capacity in [1, 2, 30, 1000] {
        let bus = bus();
        let done = AtomicBool::new(false);
        let sub =
            bus.subscribe("s").capacity(capacity).overflow(Overflow::DropNewest).pull().unwrap();
        let group: Vec<_> = (0..2)
            .map(|_| bus.subscribe("s").queue_group("g").capacity(capacity).pull().unwrap())
            .collect();
        thread::scope(|scope| {
            let single = scope.spawn(|| consume(sub, &done));
            let members: Vec<_> =
                group.into_iter().map(|m| scope.spawn(|| consume(m, &done))).collect();
            let publishers: Vec<_> = (0..PUBLISHERS)
                .map(|p| {
                    let bus = &bus;
                    scope.spawn(move || {
                        for n in 0..EACH / 10 {
                            let payload = serde_json::Value::from(p * EACH + n);
                            let far = Duration::from_secs(600);
                            let report = bus.publish_wait("s", payload, far).unwrap();
                            assert_eq!(report, Delivered { queued: 2, overflowed: 0 });
                        }
                    })
                })
                .collect();
            publishers.into_iter().for_each(|p| p.join().unwrap());
            done.store(true, Ordering::Release);
            let all = PUBLISHERS * (EACH / 10);
            assert_eq!(single.join().unwrap(), (all, 0));
            let shares: Vec<_> = members.into_iter().map(|m| m.join().unwrap()).collect();
            assert_eq!(shares.iter().map(|s| s.0).sum::<u64>(), all);
            assert!(shares.iter().all(|s| s.1 == 0));
        });
    }
}
