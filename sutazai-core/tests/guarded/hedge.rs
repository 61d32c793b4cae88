//! Calls that are made a second time beside a first try that is slow.

use sutazai_core::base::ticket::Ticket;

use super::*;

/// Hedges after 20 ms, and pays for every second call.
const HEDGED: &str = r#"{"hedge": {"min_ms": 20, "budget": 1.0}, "retry": {"attempts": 1},
    "breaker": {"consecutive": 1, "counts": ["transient", "persistent"]}}"#;

/// A call whose first try is slow, and what its two agents were given: the slow one's first.
fn slow_call(time: &Manual, kernel: &Kernel) -> (Ticket<Outcome>, [Unanswered; 2]) {
    let (a, b) = (keeper_of(kernel, "a"), keeper_of(kernel, "b"));
    kernel.guard(CallsTo::All, policy(HEDGED)).unwrap();
    let ticket = kernel.call(Task::new("keep", 1));
    time.advance(ms(19));
    assert_eq!(a.lock().len() + b.lock().len(), 1);
    time.advance(ms(1));
    assert_eq!((a.lock().len(), b.lock().len()), (1, 1), "the second goes to another agent");
    let first_is_a = a.lock()[0].0.id() < b.lock()[0].0.id();
    (ticket, if first_is_a { [a, b] } else { [b, a] })
}

#[test]
fn a_slow_call_is_made_a_second_time_and_the_first_answer_counts() {
    let (time, kernel) = kernel();
    let (mut ticket, [slow, quick]) = slow_call(&time, &kernel);
    answer_one(&quick);
    assert!(ticket.try_take().unwrap().is_ok());
    let (_, loser) = slow.lock().remove(0);
    assert!(loser.cancelled(), "the other is cancelled");
    drop(loser);
    assert_eq!(kernel.calls(), []);
    let open = kernel.guards().iter().any(|guard| {
        guard.status.breaker.as_ref().is_some_and(|it| it.state != BreakerState::Closed)
    });
    assert!(!open, "who was slower has not failed");
    let hedges: u64 = kernel.guards().iter().map(|guard| guard.status.hedges).sum();
    assert_eq!(hedges, 1);
    time.advance(ms(1_000));
    assert!(slow.lock().is_empty() && quick.lock().is_empty());
}

#[test]
fn of_two_tries_one_that_fails_leaves_the_other_its_time() {
    for quicker_fails in [true, false] {
        let (time, kernel) = kernel();
        let (mut ticket, [first, second]) = slow_call(&time, &kernel);
        let (fails, answers) = if quicker_fails { (second, first) } else { (first, second) };
        let (_, reply) = fails.lock().remove(0);
        let _ = reply.fail(busy());
        assert!(!ticket.is_done());
        answer_one(&answers);
        assert!(ticket.try_take().unwrap().is_ok());
        let opened: u64 = kernel
            .guards()
            .iter()
            .filter_map(|guard| guard.status.breaker.as_ref().map(|breaker| breaker.opened))
            .sum();
        assert_eq!(opened, 1, "the agent that failed has");
    }
    // When both fail, so does the call: once.
    let (time, kernel) = kernel();
    let (mut ticket, both) = slow_call(&time, &kernel);
    for held in both {
        let (_, reply) = held.lock().remove(0);
        let _ = reply.fail(busy());
    }
    assert_eq!(ticket.try_take().unwrap().unwrap_err().message(), "not now");
    assert_eq!(kernel.calls(), []);
}

#[test]
fn cancelling_a_hedged_call_cancels_both_tries() {
    let (time, kernel) = kernel();
    let (ticket, both) = slow_call(&time, &kernel);
    drop(ticket);
    assert!(both.iter().all(|held| held.lock()[0].1.cancelled()));
    both.iter().for_each(|held| held.lock().clear());
    assert_eq!(kernel.calls(), []);
}

#[test]
fn what_has_begun_to_answer_is_not_hedged() {
    let (time, kernel) = kernel();
    let (a, b) = (keeper_of(&kernel, "a"), keeper_of(&kernel, "b"));
    kernel.guard(CallsTo::All, policy(HEDGED)).unwrap();
    let mut ticket = kernel.call(Task::new("keep", 1));
    let first = if a.lock().is_empty() { &b } else { &a };
    let _ = first.lock()[0].1.progress(Payload::from("word"));
    assert_eq!(ticket.try_part(), Some(Payload::from("word")));
    time.advance(ms(500));
    assert_eq!(a.lock().len() + b.lock().len(), 1);
    // And of two, the one that begins to answer is heard alone.
    let (time, kernel) = self::kernel();
    let (mut ticket, [slow, quick]) = slow_call(&time, &kernel);
    let _ = quick.lock()[0].1.progress(Payload::from("one"));
    assert!(slow.lock()[0].1.cancelled());
    let _ = slow.lock()[0].1.progress(Payload::from("two"));
    assert_eq!((ticket.try_part(), ticket.try_part()), (Some(Payload::from("one")), None));
    answer_one(&quick);
    assert!(ticket.try_take().unwrap().is_ok());
}

#[test]
fn second_calls_are_paid_from_their_budget() {
    let (time, kernel) = kernel();
    let held = keeper(&kernel);
    kernel.guard(CallsTo::All, policy(r#"{"hedge": {"min_ms": 20, "budget": 0.05}}"#)).unwrap();
    let tickets: Vec<_> = (0..100).map(|n| kernel.call(Task::new("keep", n))).collect();
    time.advance(ms(1_000));
    // With one agent alone the second try is its own.
    assert_eq!(held.lock().len(), 110, "ten at most before any has succeeded");
    drop(tickets);
}

/// Agents that are slow by turns, fail, panic and hang, few places, a second try after a millisecond, and
/// callers who go away: each call has one answer, and everything is given back.
#[test]
fn a_storm_with_every_part_leaves_nothing_behind() {
    let runtime = Arc::new(sutazai_core::base::runtime::Threads::default());
    let kernel = Kernel::builder().runtime(runtime).seed(3).build().unwrap();
    kernel.start().unwrap();
    for name in ["a", "b", "c"] {
        let made = AtomicUsize::new(0);
        let card = AgentCard::new(name, ["work"]).concurrency(4);
        let agent = agent::from_fn(card, move |task: &Task| {
            match made.fetch_add(1, Ordering::Relaxed) % 23 {
                3 => Err(busy()),
                7 => panic!("on purpose"),
                n if n % 5 == 0 => {
                    std::thread::sleep(ms(4));
                    Ok(task.input().clone())
                }
                _ => Ok(task.input().clone()),
            }
        });
        kernel.add_agent(agent).unwrap();
    }
    let json = r#"{"timeout_ms": 30000, "retry": {"attempts": 20, "base_ms": 0, "max_ms": 1},
        "budget": {"capacity": 100000}, "breaker": {"failure_rate": 0.95},
        "bulkhead": {"concurrency": 2, "queue": 100}, "hedge": {"min_ms": 1, "budget": 1.0}}"#;
    kernel.guard(CallsTo::All, policy(json)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8_u32 {
            let kernel = &kernel;
            scope.spawn(move || {
                for n in 0..200 {
                    let input = thread * 1_000 + n;
                    let mut ticket = kernel.call(Task::new("work", input).priority(n as u8));
                    if n % 9 == 0 {
                        continue; // goes away
                    }
                    match ticket.wait() {
                        Ok(outcome) => assert_eq!(outcome.output, Payload::from(input)),
                        // A panic is critical, and not tried again.
                        Err(error) => assert_eq!(error.code(), Code::PANIC, "{error:#}"),
                    }
                }
            });
        }
    });
    let hedges: u64 = kernel.guards().iter().map(|guard| guard.status.hedges).sum();
    assert!(hedges > 0);
    assert_eq!(kernel.calls(), []);
    kernel.stop(Duration::from_secs(30)).unwrap();
    // Those that were outpaced have their places until they are done.
    wait_until_idle(&kernel);
}

#[test]
fn for_a_second_try_nobody_has_to_go() {
    let (time, kernel) = kernel();
    let held = keeper(&kernel);
    let both = r#"{"bulkhead": {"concurrency": 1, "queue": 1}, "hedge": {"min_ms": 10}}"#;
    kernel.guard(CallsTo::All, policy(both)).unwrap();
    let call = |n: u32, priority| kernel.call(Task::new("keep", n).priority(priority));
    let (mut urgent, mut waits) = (call(0, 200), call(1, 9));
    time.advance(ms(50));
    assert!(!waits.is_done(), "{:?}", waits.try_take());
    answer_one(&held);
    time.advance(ms(1));
    answer_one(&held);
    assert!(urgent.try_take().unwrap().is_ok() && waits.try_take().unwrap().is_ok());
    let rejected = kernel.guards().into_iter().filter_map(|guard| guard.status.bulkhead);
    assert_eq!(rejected.map(|bulkhead| bulkhead.rejected).sum::<u64>(), 0);
}
