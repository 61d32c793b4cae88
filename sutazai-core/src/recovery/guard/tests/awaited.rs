//! Calls that are awaited, and hedged.

use std::future::Future;

use super::*;
use crate::base::ticket::{self, Ticket};

/// Runs a future under virtual time.
fn spawn<T: Send + 'static>(
    time: &Manual,
    future: impl Future<Output = Result<T>> + Send + 'static,
) -> Ticket<T> {
    let (ticket, reply) = ticket::pair();
    let done = async move { drop(reply.answer(future.await)) };
    time.spawn(Box::pin(done)).unwrap();
    time.run();
    ticket
}

/// A future that takes this long.
fn takes<T: Send + 'static>(
    time: &Manual,
    how_long: Duration,
    answer: Result<T>,
) -> impl Future<Output = Result<T>> + Send + use<T> {
    let (ticket, reply) = ticket::pair();
    let at = time.now() + how_long;
    time.spawn_at(at, Box::new(move || drop(reply.answer(answer))));
    ticket
}

#[test]
fn an_awaited_try_ends_at_its_deadline_and_is_dropped() {
    let (guard, time) = guard(
        r#"{"timeout_ms": 1000, "attempt_timeout_ms": 300,
            "retry": {"attempts": 9, "base_ms": 0, "max_ms": 0}}"#,
    );
    let dropped = Arc::new(AtomicUsize::new(0));
    let (count, clock) = (Arc::clone(&dropped), time.clone());
    let mut ticket = spawn(&time, async move {
        guard
            .call::<(), _>(|_| {
                let (ticket, reply) = ticket::pair();
                let count = Arc::clone(&count);
                reply.on_cancel(move || {
                    count.fetch_add(1, Ordering::Relaxed);
                });
                // The worker holds on to it for ever.
                clock.spawn_at(Moment::FAR, Box::new(move || drop(reply)));
                ticket
            })
            .await
    });
    time.advance(ms(899));
    assert_eq!(dropped.load(Ordering::Relaxed), 2, "at 300 ms and soon after 600 ms");
    time.advance(ms(200));
    let error = ticket.try_take().unwrap().unwrap_err();
    assert_eq!(error.code(), Code::DEADLINE_EXCEEDED);
    assert_eq!(context(&error, GAVE_UP).as_deref(), Some("deadline"));
    assert_eq!(dropped.load(Ordering::Relaxed), 4);
}

#[test]
fn awaited_calls_take_turns_in_a_bulkhead() {
    let (guard, time) = guard(r#"{"timeout_ms": 250, "bulkhead": {"concurrency": 1, "queue": 9}}"#);
    let tickets: Vec<_> = (0..4)
        .map(|n| {
            let (guard, clock) = (guard.clone(), time.clone());
            spawn(&time, async move { guard.call(|_| takes(&clock, ms(100), Ok(n))).await })
        })
        .collect();
    time.advance(ms(1_000));
    let answers: Vec<_> = tickets.into_iter().map(|mut t| t.try_take().unwrap()).collect();
    assert_eq!(*answers[0].as_ref().unwrap(), 0);
    assert_eq!(*answers[1].as_ref().unwrap(), 1);
    for late in &answers[2..] {
        assert_eq!(late.as_ref().unwrap_err().code(), Code::DEADLINE_EXCEEDED);
    }
    assert_eq!(guard.status().bulkhead.unwrap().running, 0);
}

#[test]
fn dropping_an_awaited_call_gives_everything_back() {
    let (guard, time) = guard(
        r#"{"timeout_ms": 1000, "bulkhead": {"concurrency": 1, "queue": 0}, "breaker": {}, "hedge": {}}"#,
    );
    let clock = time.clone();
    let mine = guard.clone();
    let mut call = Box::pin(async move { mine.call(|_| takes(&clock, ms(500), Ok(()))).await });
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(call.as_mut().poll(&mut cx).is_pending());
    assert_eq!(guard.status().bulkhead.unwrap().running, 1);
    drop(call);
    assert_eq!(guard.status().bulkhead.unwrap().running, 0);
    time.advance(ms(2_000));
    assert_eq!(time.stats().timers, 0);
}

#[test]
fn without_a_runtime_awaiting_says_what_is_missing() {
    let guard = Guard::new("plain", policy(r#"{"timeout_ms": 1000}"#)).unwrap();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let mut call = Box::pin(guard.call(|_| std::future::pending::<Result<()>>()));
    let std::task::Poll::Ready(Err(error)) = call.as_mut().poll(&mut cx) else { panic!("pending") };
    assert_eq!(error.code(), Code::UNSUPPORTED);
}

/// One target of ten is slow; what the callers see, with hedging and without.
fn one_of_ten(json: &str) -> (Vec<u64>, Guard, usize) {
    let (guard, time) = guard(json);
    let cancelled = Arc::new(AtomicUsize::new(0));
    let target = Arc::new(AtomicUsize::new(0));
    let mut took = Vec::new();
    for _ in 0..2_000 {
        let (mine, clock, cancelled, target) =
            (guard.clone(), time.clone(), Arc::clone(&cancelled), Arc::clone(&target));
        let began = time.now();
        let done = Arc::new(Mutex::new(None));
        let (end, reads) = (Arc::clone(&done), time.clone());
        let ticket = spawn(&time, async move {
            let answer = mine
                .call(|_| {
                    let slow = target.fetch_add(1, Ordering::Relaxed) % 10 == 0;
                    let (ticket, reply) = ticket::pair();
                    let cancelled = Arc::clone(&cancelled);
                    reply.on_cancel(move || {
                        cancelled.fetch_add(1, Ordering::Relaxed);
                    });
                    let at = clock.now() + ms(if slow { 2_000 } else { 20 });
                    clock.spawn_at(at, Box::new(move || drop(reply.send(()))));
                    ticket
                })
                .await;
            *end.lock() = Some(reads.now());
            answer
        });
        time.advance(ms(3_000));
        assert!(ticket.is_done());
        took.push(done.lock().unwrap().since(began).as_millis() as u64);
    }
    took.sort_unstable();
    (took, guard, cancelled.load(Ordering::Relaxed))
}

#[test]
fn hedging_brings_the_slow_calls_down_to_the_fast_ones_within_its_budget() {
    let (without, _, _) = one_of_ten("{}");
    assert_eq!(without[without.len() * 99 / 100], 2_000);
    let (with, guard, cancelled) =
        one_of_ten(r#"{"hedge": {"quantile": 0.85, "min_ms": 10, "budget": 0.15}}"#);
    let p99 = with[with.len() * 99 / 100];
    assert!(p99 <= 2 * 20 + 10, "{p99} ms");
    let hedges = guard.status().hedges as usize;
    assert!(hedges > 150 && hedges <= 10 + 2_000 * 15 / 100, "{hedges}");
    assert_eq!(cancelled, hedges, "every loser was told");
    // A budget for one call in fifty cannot pay for one in ten.
    let (_, tight, _) = one_of_ten(r#"{"hedge": {"quantile": 0.85, "budget": 0.02}}"#);
    assert!(tight.status().hedges <= 10 + 2_000 * 2 / 100);
}

#[test]
fn a_first_try_that_fails_leaves_the_second_its_time() {
    let (guard, time) = guard(r#"{"hedge": {"min_ms": 10}}"#);
    let clock = time.clone();
    let mut ticket = spawn(&time, async move {
        guard
            .call(|attempt| {
                if attempt.hedged {
                    takes(&clock, ms(100), Ok("second"))
                } else {
                    takes(&clock, ms(50), Err(busy()))
                }
            })
            .await
    });
    time.advance(ms(200));
    assert_eq!(ticket.try_take().unwrap().unwrap(), "second");
}
