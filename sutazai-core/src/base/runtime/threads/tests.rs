use super::*;
use crate::base::ticket;
use std::sync::Barrier;

fn started(config: ThreadsConfig) -> Threads {
    let runtime = Threads::new(config);
    runtime.start().unwrap();
    runtime
}

#[test]
fn no_thread_before_start() {
    let runtime = Threads::default();
    assert_eq!(runtime.stats().threads, 0);
    assert!(runtime.spawn_blocking(Box::new(|| ())).is_err());
    assert!(runtime.spawn(Box::pin(async {})).is_err());
}

#[test]
fn futures_jobs_and_timers_run() {
    let runtime = started(ThreadsConfig::default());
    let (mut job, reply) = ticket::pair();
    runtime.spawn_blocking(Box::new(move || drop(reply.send(1)))).unwrap();
    let (mut timer, reply) = ticket::pair();
    runtime
        .spawn_at(runtime.now() + Duration::from_millis(2), Box::new(move || drop(reply.send(2))));
    let (mut future, reply) = ticket::pair();
    let (inner, inner_reply) = ticket::pair();
    runtime.spawn(Box::pin(async move { drop(reply.answer(inner.await)) })).unwrap();
    inner_reply.send(3).unwrap();
    assert_eq!((job.wait().unwrap(), timer.wait().unwrap(), future.wait().unwrap()), (1, 2, 3));
    runtime.stop(Duration::from_secs(5));
    assert_eq!(runtime.stats().threads, 0);
}

#[test]
fn the_pool_grows_to_its_bound_and_refuses_beyond_the_queue() {
    let runtime = started(ThreadsConfig { blocking: 2, queue: 1, ..Default::default() });
    let gate = Arc::new(Barrier::new(3));
    let mut tickets = Vec::new();
    for _ in 0..2 {
        let (gate, (ticket, reply)) = (Arc::clone(&gate), ticket::pair());
        let (mut begun, began) = ticket::pair();
        runtime
            .spawn_blocking(Box::new(move || {
                let _ = began.send(());
                gate.wait();
                drop(reply.send(()));
            }))
            .unwrap();
        begun.wait().unwrap();
        tickets.push(ticket);
    }
    runtime.spawn_blocking(Box::new(|| ())).unwrap();
    let refused = runtime.spawn_blocking(Box::new(|| ())).unwrap_err();
    assert_eq!(refused.error.code(), Code::OVERLOADED);
    gate.wait();
    for mut ticket in tickets {
        ticket.wait().unwrap();
    }
    runtime.stop(Duration::from_secs(5));
}

#[test]
fn panics_end_with_their_job() {
    let runtime = started(ThreadsConfig { blocking: 1, ..Default::default() });
    runtime.spawn_blocking(Box::new(|| panic!("a job"))).unwrap();
    let (mut future, reply) = ticket::pair::<()>();
    runtime
        .spawn(Box::pin(async move {
            let _reply = reply;
            panic!("a future")
        }))
        .unwrap();
    assert_eq!(future.wait().unwrap_err().code(), Code::PANIC);
    let (mut job, reply) = ticket::pair();
    runtime.spawn_blocking(Box::new(move || drop(reply.send(1)))).unwrap();
    assert_eq!(job.wait().unwrap(), 1);
    runtime.stop(Duration::from_secs(5));
}

#[test]
fn stop_on_one_of_its_own_threads_does_not_join_itself() {
    let runtime = started(ThreadsConfig::default());
    let (mut done, reply) = ticket::pair();
    let inner = runtime.clone();
    runtime
        .spawn_blocking(Box::new(move || {
            inner.stop(Duration::from_secs(1));
            drop(reply.send(()));
        }))
        .unwrap();
    done.wait().unwrap();
}

#[test]
fn stop_lets_queued_jobs_finish() {
    let runtime = started(ThreadsConfig { blocking: 1, ..Default::default() });
    let tickets: Vec<_> = (0..100)
        .map(|n| {
            let (ticket, reply) = ticket::pair();
            runtime.spawn_blocking(Box::new(move || drop(reply.send(n)))).unwrap();
            ticket
        })
        .collect();
    runtime.stop(Duration::from_secs(10));
    for (n, mut ticket) in tickets.into_iter().enumerate() {
        assert_eq!(ticket.wait().unwrap(), n);
    }
}

/// The threads hold the parts of the runtime while they are there.
#[test]
fn the_last_clone_ends_the_threads() {
    let runtime = started(ThreadsConfig { executors: 2, ..Default::default() });
    let (mut job, reply) = ticket::pair();
    runtime.spawn_blocking(Box::new(move || drop(reply.send(())))).unwrap();
    job.wait().unwrap();
    let (mut future, reply) = ticket::pair::<()>();
    let (never, _kept) = ticket::pair::<()>();
    runtime.spawn(Box::pin(async move { drop(reply.answer(never.await)) })).unwrap();
    let (mut timer, reply) = ticket::pair::<()>();
    let later = runtime.now() + Duration::from_secs(3600);
    runtime.spawn_at(later, Box::new(move || drop(reply.send(()))));

    let other = runtime.clone();
    drop(runtime);
    assert_eq!(other.stats().threads, 4, "a clone keeps them");
    let pool = Arc::downgrade(&other.0.pool);
    let clock = Arc::downgrade(&other.0.timer);
    drop(other);
    assert_eq!(future.wait().unwrap_err().code(), Code::ABANDONED);
    assert_eq!(timer.wait().unwrap_err().code(), Code::ABANDONED);
    let end = Moment::now() + Duration::from_secs(60);
    while pool.strong_count() + clock.strong_count() > 0 {
        assert!(Moment::now() < end, "a thread of the runtime stays");
        std::thread::yield_now();
    }
}

#[test]
fn the_last_clone_may_be_dropped_by_a_thread_of_the_runtime() {
    let runtime = started(ThreadsConfig::default());
    let clock = Arc::downgrade(&runtime.0.timer);
    let at = runtime.now();
    let (mut gone, reply) = ticket::pair();
    let (mut handed, hand) = ticket::pair::<Threads>();
    runtime.spawn_at(
        at,
        Box::new(move || {
            // Polled, for a timer's thread must not wait.
            let last = loop {
                match handed.try_take() {
                    Some(last) => break last.unwrap(),
                    None => std::thread::yield_now(),
                }
            };
            drop(last);
            drop(reply.send(()));
        }),
    );
    drop(hand.send(runtime));
    gone.wait().unwrap();
    let end = Moment::now() + Duration::from_secs(60);
    while clock.strong_count() > 0 {
        assert!(Moment::now() < end, "the timer's thread stays");
        std::thread::yield_now();
    }
}

#[test]
fn a_stopped_runtime_drops_timers_until_it_starts_again() {
    let runtime = started(ThreadsConfig::default());
    runtime.stop(Duration::from_secs(60));
    let (mut dropped, reply) = ticket::pair::<()>();
    runtime.spawn_at(runtime.now(), Box::new(move || drop(reply.send(()))));
    assert_eq!(dropped.wait().unwrap_err().code(), Code::ABANDONED);
    assert_eq!(runtime.stats().timers, 0);
    runtime.start().unwrap();
    let (mut ran, reply) = ticket::pair();
    runtime.spawn_at(runtime.now(), Box::new(move || drop(reply.send(1))));
    assert_eq!(ran.wait().unwrap(), 1);
    runtime.stop(Duration::from_secs(60));
}

#[test]
fn a_thousand_tasks_wake_one_another() {
    let runtime = started(ThreadsConfig { executors: 2, ..Default::default() });
    let (first, reply) = ticket::pair::<u64>();
    let mut last = first;
    for _ in 0..1000 {
        let (next, forward) = ticket::pair();
        let previous = std::mem::replace(&mut last, next);
        runtime
            .spawn(Box::pin(async move { drop(forward.answer(previous.await.map(|n| n + 1))) }))
            .unwrap();
    }
    reply.send(0).unwrap();
    assert_eq!(last.wait().unwrap(), 1000);
    runtime.stop(Duration::from_secs(5));
}
