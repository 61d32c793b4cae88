use std::sync::atomic::AtomicUsize;

use super::*;
use proptest::prelude::*;

fn bulkhead(concurrency: u32, queue: u32) -> Bulkhead {
    Bulkhead::new("test", BulkheadPolicy { concurrency, queue, ..BulkheadPolicy::default() })
        .unwrap()
}

#[test]
fn the_urgent_come_first_and_then_who_came_first() {
    let bulkhead = bulkhead(1, 10);
    let mut running = Some(bulkhead.acquire(0).wait().unwrap());
    let mut waiting: Vec<_> = [(0, 1), (0, 2), (9, 3), (5, 4)]
        .map(|(priority, n)| (n, bulkhead.acquire(priority)))
        .into();
    let mut order = Vec::new();
    while !waiting.is_empty() {
        drop(running.take());
        let at = waiting.iter().position(|(_, ticket)| ticket.is_done()).unwrap();
        let (n, mut ticket) = waiting.remove(at);
        running = Some(ticket.wait().unwrap());
        order.push(n);
    }
    assert_eq!(order, [3, 4, 1, 2]);
}

#[test]
fn a_full_queue_keeps_the_more_urgent() {
    let bulkhead = bulkhead(1, 2);
    let running = bulkhead.acquire(0).wait().unwrap();
    let (mut low, mut high) = (bulkhead.acquire(5), bulkhead.acquire(200));
    assert!(bulkhead.acquire(5).wait().is_err(), "no more urgent than the least");
    let mut urgent = bulkhead.acquire(100);
    assert_eq!(low.try_take().unwrap().unwrap_err().code(), Code::BULKHEAD_FULL);
    drop(running);
    drop(high.try_take().unwrap().unwrap());
    assert!(urgent.try_take().unwrap().is_ok());
    assert_eq!(bulkhead.status().rejected, 2);
}

#[test]
fn who_stops_waiting_takes_no_place() {
    let bulkhead = bulkhead(1, 2);
    let running = bulkhead.acquire(0).wait().unwrap();
    let gone = bulkhead.acquire(9);
    let mut next = bulkhead.acquire(0);
    drop(gone);
    drop(running);
    let held = next.wait().unwrap();
    assert_eq!(bulkhead.status().running, 1);
    let (first, second) = (bulkhead.acquire(0), bulkhead.acquire(0));
    drop((first, second));
    let mut third = bulkhead.acquire(0);
    assert!(!third.is_done(), "those that left made room in the queue");
    drop(held);
    assert!(third.wait().is_ok());
}

#[test]
fn a_wider_policy_lets_those_in_that_wait() {
    let bulkhead = bulkhead(1, 5);
    let _running = bulkhead.acquire(0).wait().unwrap();
    let mut waiting = [bulkhead.acquire(0), bulkhead.acquire(0)];
    bulkhead
        .set_policy(BulkheadPolicy { concurrency: 3, queue: 5, ..BulkheadPolicy::default() })
        .unwrap();
    let _places = waiting.each_mut().map(|ticket| ticket.wait().unwrap());
    assert_eq!(bulkhead.status().running, 3);
    assert!(bulkhead.try_acquire().is_none());
}

#[test]
fn who_stops_waiting_is_counted_no_more() {
    let bulkhead = bulkhead(1, 3);
    let _running = bulkhead.acquire(0).wait().unwrap();
    let (first, _second) = (bulkhead.acquire(0), bulkhead.acquire(9));
    drop(first);
    assert_eq!(bulkhead.0.queue.lock().len(), 1);
}

/// As many as wait give their places back in their callbacks, each in that of the one before.
#[test]
fn a_place_may_be_given_back_where_it_is_given() {
    let bulkhead = bulkhead(1, 100_000);
    let running = bulkhead.acquire(0).wait().unwrap();
    let had = Arc::new(AtomicUsize::new(0));
    for _ in 0..100_000 {
        let had = Arc::clone(&had);
        bulkhead.acquire(0).on_done(move |place| {
            had.fetch_add(usize::from(place.is_ok()), Ordering::Relaxed);
            drop(place);
        });
    }
    drop(running);
    assert_eq!(had.load(Ordering::Relaxed), 100_000);
    let status = bulkhead.status();
    assert_eq!((status.running, status.waiting), (0, 0));
    assert!(bulkhead.try_acquire().is_some());
}

#[test]
fn threads_never_exceed_it_and_all_get_their_turn() {
    let bulkhead = bulkhead(3, 1_000);
    let (running, most, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let (bulkhead, running, most, done) = (&bulkhead, &running, &most, &done);
            scope.spawn(move || {
                for n in 0..2_000_u32 {
                    let mut ticket = bulkhead.acquire(thread % 3);
                    if n % 7 == 0 && !ticket.is_done() {
                        continue; // stops waiting
                    }
                    let place = ticket.wait().unwrap();
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    running.fetch_sub(1, Ordering::SeqCst);
                    drop(place);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert!(most.load(Ordering::Relaxed) <= 3);
    assert!(done.load(Ordering::Relaxed) >= 8 * 1_700);
    let status = bulkhead.status();
    assert_eq!((status.running, status.waiting), (0, 0));
    assert!(bulkhead.try_acquire().is_some(), "nothing is left that keeps others out");
}

proptest! {
    /// Any sequence of coming, leaving and giving up: as many run as may, as long as any wait.
    #[test]
    fn nobody_waits_while_there_is_room(
        concurrency in 1_u32..4, queue in 0_u32..6,
        steps in proptest::collection::vec((0_u8..4, any::<u8>()), 1..200),
    ) {
        let bulkhead = bulkhead(concurrency, queue);
        let (mut running, mut waiting) = (Vec::new(), Vec::new());
        for (step, n) in steps {
            match step {
                0 | 1 => {
                    let mut ticket = bulkhead.acquire(n);
                    match ticket.try_take() {
                        Some(Ok(place)) => running.push(place),
                        Some(Err(error)) => {
                            prop_assert_eq!(error.code(), Code::BULKHEAD_FULL);
                            prop_assert_eq!(waiting.len(), queue as usize);
                        }
                        None => waiting.push(ticket),
                    }
                }
                2 if !running.is_empty() => drop(running.swap_remove(n as usize % running.len())),
                3 if !waiting.is_empty() => drop(waiting.swap_remove(n as usize % waiting.len())),
                _ => {}
            }
            let (done, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(Ticket::is_done);
            for mut ticket in done {
                match ticket.wait() {
                    Ok(place) => running.push(place),
                    // A more urgent one has taken its place in the queue.
                    Err(error) => prop_assert_eq!(error.code(), Code::BULKHEAD_FULL),
                }
            }
            waiting = rest;
            prop_assert!(running.len() <= concurrency as usize);
            prop_assert!(waiting.is_empty() || running.len() == concurrency as usize);
            prop_assert_eq!(bulkhead.status().running as usize, running.len());
            prop_assert_eq!(bulkhead.status().waiting, waiting.len());
        }
    }
}
