//! Calls that wait for a place.

use sutazai_core::base::priority;
use sutazai_core::base::ticket::Ticket;

use super::*;

#[test]
fn calls_wait_for_a_place_the_urgent_first() {
    let (time, kernel) = kernel();
    let held = keeper(&kernel);
    let one = r#"{"bulkhead": {"concurrency": 1, "queue": 3}, "timeout_ms": 1000}"#;
    kernel.guard(CallsTo::All, policy(one)).unwrap();
    let call = |n: u32, priority| kernel.call(Task::new("keep", n).priority(priority));
    let mut tickets = vec![call(0, 1), call(1, 128), call(2, 128), call(3, 200)];
    assert_eq!(held.lock().len(), 1, "the others wait");
    let full = call(4, 1).try_take().unwrap().unwrap_err();
    assert_eq!(full.code(), Code::BULKHEAD_FULL);
    assert!(full.context().any(|pair| pair == ("agent", "keeper")), "{full:?}");
    // One of those that wait goes away, and makes room.
    drop(tickets.remove(2));
    let late = call(5, 1);
    let order: Vec<_> = (0..4)
        .map(|_| {
            let answered = answer_one(&held);
            time.advance(ms(1));
            answered
        })
        .collect();
    assert_eq!(order, [0_u32, 3, 1, 5].map(Payload::from));
    assert!(
        tickets.iter_mut().chain([&mut { late }]).all(|ticket| ticket.try_take().unwrap().is_ok())
    );
    assert_eq!(kernel.calls(), []);
    // Who waits has no more time than the call.
    let (first, mut second) = (call(6, 1), call(7, 1));
    time.advance(ms(1_100));
    assert_eq!(second.try_take().unwrap().unwrap_err().code(), Code::DEADLINE_EXCEEDED);
    assert_eq!(held.lock().len(), 1, "it left the queue");
    drop(first);
    held.lock().clear();
    assert!(!call(8, 1).is_done());
    assert_eq!(held.lock().len(), 1, "the place was given back");
}

#[test]
fn a_call_takes_a_free_place_elsewhere_before_it_waits() {
    let (time, kernel) = kernel();
    let (a, b) = (keeper_of(&kernel, "a"), keeper_of(&kernel, "b"));
    let narrow = policy(r#"{"bulkhead": {"concurrency": 1, "queue": 10}}"#);
    kernel.guard(CallsTo::All, narrow).unwrap();
    let mut tickets: Vec<_> = (0..6).map(|n| kernel.call(Task::new("keep", n))).collect();
    let waiting = || {
        let guards = kernel.guards().into_iter();
        guards.map(|guard| guard.status.bulkhead.map_or(0, |it| it.waiting)).collect::<Vec<_>>()
    };
    assert_eq!((a.lock().len(), b.lock().len()), (1, 1));
    let queues = waiting();
    assert_eq!(queues, [2, 2, 0], "the shorter queue is taken");
    for _ in 0..3 {
        answer_one(&a);
        answer_one(&b);
        time.advance(ms(1));
    }
    assert!(tickets.iter_mut().all(|ticket| ticket.try_take().unwrap().is_ok()));
}

#[test]
fn for_an_urgent_call_one_other_goes_at_most() {
    let (time, kernel) = kernel();
    let _held = ["a", "b", "c"].map(|name| keeper_of(&kernel, name));
    let narrow = policy(r#"{"bulkhead": {"concurrency": 1, "queue": 2}}"#);
    kernel.guard(CallsTo::All, narrow).unwrap();
    let call = |n: u32, priority| kernel.call(Task::new("keep", n).priority(priority));
    let mut tickets: Vec<_> = (0..8).map(|n| call(n, 9)).collect();
    // There is room for one more, and nobody has to go for it.
    let urgent = [call(8, 200), call(9, 200)];
    time.advance(ms(1));
    let gone: Vec<_> = tickets.iter_mut().filter_map(Ticket::try_take).collect();
    assert_eq!(gone.len(), 1, "{gone:?}");
    let error = gone[0].as_ref().unwrap_err();
    assert!(error.context().any(|(key, _)| key == "agent"), "{error:?}");
    assert!(!urgent.iter().any(Ticket::is_done));
    let rejected = kernel.guards().into_iter().filter_map(|guard| guard.status.bulkhead);
    assert_eq!(rejected.map(|bulkhead| bulkhead.rejected).sum::<u64>(), 1);
}

#[test]
fn what_a_call_calls_is_as_urgent_as_itself() {
    let (_time, kernel) = kernel();
    let held = keeper(&kernel);
    let inner = kernel.clone();
    let card = AgentCard::new("outer", ["outer"]).run(RunMode::Inline);
    let outer = agent::from_fn(card, move |_: &Task| {
        inner.call(Task::new("keep", 1)).detach();
        Ok(Payload::NULL)
    });
    kernel.add_agent(outer).unwrap();
    kernel.call(Task::new("outer", 1).priority(222)).try_take().unwrap().unwrap();
    assert_eq!(held.lock()[0].0.given_priority(), 222);
    assert_eq!(Task::new("keep", 1).given_priority(), priority::NORMAL);
}

#[test]
fn stopping_waits_for_calls_that_no_agent_has_yet() {
    let kernel = Kernel::builder().seed(1).build().unwrap();
    kernel.start().unwrap();
    let held = keeper(&kernel);
    kernel.guard(CallsTo::All, policy(r#"{"bulkhead": {"concurrency": 1}}"#)).unwrap();
    let tickets: Vec<_> = (0..3).map(|n| kernel.call(Task::new("keep", n))).collect();
    std::thread::scope(|scope| {
        let stops = scope.spawn(|| kernel.stop(Duration::from_secs(60)));
        for mut ticket in tickets {
            while held.lock().is_empty() {
                std::thread::yield_now();
            }
            answer_one(&held);
            ticket.wait().unwrap();
        }
        stops.join().unwrap().unwrap();
    });
}

#[test]
fn an_agent_has_its_place_until_it_is_done() {
    let (time, kernel) = kernel();
    let held = keeper(&kernel);
    let one = r#"{"bulkhead": {"concurrency": 1}, "timeout_ms": 1000}"#;
    kernel.guard(CallsTo::All, policy(one)).unwrap();
    let (mut first, second) =
        (kernel.call(Task::new("keep", 1)), kernel.call(Task::new("keep", 2)));
    time.advance(ms(500));
    let third = kernel.call(Task::new("keep", 3));
    time.advance(ms(600));
    // Its caller has an answer, and it works on.
    assert_eq!(first.try_take().unwrap().unwrap_err().code(), Code::DEADLINE_EXCEEDED);
    assert!(second.is_done());
    assert_eq!(held.lock().len(), 1);
    held.lock().clear();
    time.advance(ms(1));
    assert_eq!(held.lock().len(), 1, "now the next one has the place");
    drop(third);
}

#[test]
fn where_the_agent_is_gone_whoever_waited_for_it_is_placed_anew() {
    let (time, kernel) = kernel();
    let (a, b) = (keeper_of(&kernel, "a"), keeper_of(&kernel, "b"));
    kernel.guard(CallsTo::All, policy(r#"{"bulkhead": {"concurrency": 1}}"#)).unwrap();
    let mut tickets: Vec<_> = (0..4).map(|n| kernel.call(Task::new("keep", n))).collect();
    assert_eq!((a.lock().len(), b.lock().len()), (1, 1));
    kernel.remove_agent("a", ms(0)).unwrap();
    a.lock().clear();
    for _ in 0..3 {
        time.advance(ms(1));
        answer_one(&b);
    }
    time.advance(ms(1));
    let answered = tickets.iter_mut().filter_map(Ticket::try_take).filter(Result::is_ok).count();
    assert_eq!(answered, 3, "all but the one that the agent had");
}

#[test]
fn a_call_whose_time_is_up_is_not_made() {
    let (_time, kernel) = kernel();
    let held = keeper(&kernel);
    for guarded in [false, true] {
        if guarded {
            kernel.guard(CallsTo::All, policy(r#"{"retry": {}}"#)).unwrap();
        }
        let mut ticket = kernel.call(Task::new("keep", 1).timeout(Duration::ZERO));
        assert_eq!(ticket.try_take().unwrap().unwrap_err().code(), Code::DEADLINE_EXCEEDED);
        deadline::within(Moment::ZERO, || {
            let mut ticket = kernel.call(Task::new("keep", 1));
            assert_eq!(ticket.try_take().unwrap().unwrap_err().code(), Code::DEADLINE_EXCEEDED);
        });
    }
    assert!(held.lock().is_empty());
}

#[test]
fn where_the_agent_is_left_alone_whoever_waited_for_it_is_placed_anew() {
    let (time, kernel) = kernel();
    let (a, b) = (keeper_of(&kernel, "a"), keeper_of(&kernel, "b"));
    kernel
        .guard(CallsTo::All, policy(r#"{"bulkhead": {"concurrency": 1}, "breaker": {}}"#))
        .unwrap();
    let mut tickets: Vec<_> = (0..6).map(|n| kernel.call(Task::new("keep", n))).collect();
    kernel.recovery().quarantine("a", None, "test").unwrap();
    for _ in 0..6 {
        time.advance(ms(1));
        if !a.lock().is_empty() {
            answer_one(&a);
        }
        if !b.lock().is_empty() {
            answer_one(&b);
        }
    }
    assert!(tickets.iter_mut().all(|ticket| ticket.try_take().unwrap().is_ok()));
}

#[test]
fn an_agents_own_concurrency_leads_to_the_queue_too() {
    let (time, kernel) = kernel();
    let held: Unanswered = Arc::default();
    struct Narrow(Unanswered);
    impl Agent for Narrow {
        fn card(&self) -> AgentCard {
            AgentCard::new("narrow", ["keep"]).run(RunMode::Inline).concurrency(2)
        }
        fn handle(&self, task: Task, reply: Reply<Outcome>) {
            self.0.lock().push((task, reply));
        }
    }
    kernel.add_agent(Narrow(Arc::clone(&held))).unwrap();
    kernel.guard(CallsTo::All, policy(r#"{"bulkhead": {"concurrency": 8, "queue": 5}}"#)).unwrap();
    let mut tickets: Vec<_> = (0..7).map(|n| kernel.call(Task::new("keep", n))).collect();
    assert_eq!(held.lock().len(), 2);
    let full = kernel.call(Task::new("keep", 8)).try_take().unwrap().unwrap_err();
    assert_eq!(full.code(), Code::OVERLOADED);
    for _ in 0..7 {
        answer_one(&held);
        time.advance(ms(1));
    }
    assert!(tickets.iter_mut().all(|ticket| ticket.try_take().unwrap().is_ok()));
}

#[test]
fn without_a_bulkhead_nobody_waits_any_more() {
    let (time, kernel) = kernel();
    let held = keeper(&kernel);
    for without in [Some(policy(r#"{"retry": {}}"#)), None] {
        kernel.guard(CallsTo::All, policy(r#"{"bulkhead": {"concurrency": 1}}"#)).unwrap();
        let tickets: Vec<_> = (0..4).map(|n| kernel.call(Task::new("keep", n))).collect();
        assert_eq!(held.lock().len(), 1);
        kernel.guard(CallsTo::All, without).unwrap();
        time.advance(ms(1));
        assert_eq!(held.lock().len(), 4);
        drop(tickets);
        held.lock().clear();
    }
    assert_eq!(kernel.guards().len(), 0, "with its policy a guard is gone, the agent's too");
}

/// A callback that asks the kernel, on the thread that changes the policy.
#[test]
fn a_policy_is_changed_without_the_tables_being_held() {
    let (time, kernel) = kernel();
    let held = keeper(&kernel);
    kernel.guard(CallsTo::All, policy(r#"{"bulkhead": {"concurrency": 1}}"#)).unwrap();
    for n in 0..4 {
        let asks = kernel.clone();
        kernel.call(Task::new("keep", n)).on_done(move |_| drop(asks.guards()));
    }
    kernel.guard(CallsTo::All, policy(r#"{"bulkhead": {"concurrency": 9}}"#)).unwrap();
    time.advance(ms(1));
    while !held.lock().is_empty() {
        answer_one(&held);
    }
    assert_eq!(kernel.calls(), []);
}

#[test]
fn whoever_waits_for_one_that_hangs_goes_to_another_that_is_free() {
    let (time, kernel) = kernel();
    let (hangs, works) = (keeper_of(&kernel, "hangs"), keeper_of(&kernel, "works"));
    let narrow = policy(r#"{"bulkhead": {"concurrency": 1, "queue": 10}, "timeout_ms": 5000}"#);
    kernel.guard(CallsTo::All, narrow).unwrap();
    let call = |n: u32, priority| kernel.call(Task::new("keep", n).priority(priority));
    let mut tickets: Vec<_> = (0..6).map(|n| call(n, 128)).collect();
    tickets.push(call(6, 200));
    let mut by_name = kernel.call(Task::new("keep", 7).to_agent("hangs"));
    let _stuck = hangs.lock().remove(0);
    // One after the other: those of its own queue, the rest with the urgent one first.
    let mut done = Vec::new();
    while !works.lock().is_empty() {
        done.push(answer_one(&works));
        time.advance(ms(1));
    }
    let urgent = done.iter().position(|it| *it == Payload::from(6_u32)).unwrap();
    assert!(urgent <= 3, "{done:?}");
    assert_eq!(done.len(), 6, "all but the one that hangs: {done:?}");
    let answered = tickets.iter_mut().filter_map(Ticket::try_take).filter(Result::is_ok).count();
    assert_eq!(answered, 6);
    assert!(!by_name.is_done(), "who asks for one agent waits for that one");
    time.advance(ms(5_000));
    let late = by_name.try_take().unwrap().unwrap_err();
    assert_eq!(late.code(), Code::DEADLINE_EXCEEDED);
    assert!(late.to_string().contains("waited for a place"), "{late}");
    assert!(late.context().any(|pair| pair == ("waited_for", "hangs")), "{late:?}");
}

#[test]
fn a_new_agent_takes_from_those_that_wait() {
    let (time, kernel) = kernel();
    let held = keeper_of(&kernel, "a");
    let narrow = policy(r#"{"bulkhead": {"concurrency": 2, "queue": 10}}"#);
    kernel.guard(CallsTo::All, narrow).unwrap();
    let tickets: Vec<_> = (0..6).map(|n| kernel.call(Task::new("keep", n))).collect();
    assert_eq!(held.lock().len(), 2);
    let more = keeper_of(&kernel, "b");
    time.advance(ms(1));
    assert_eq!((held.lock().len(), more.lock().len()), (2, 2), "it has two places");
    drop(tickets);
    held.lock().clear();
    more.lock().clear();
    wait_until_idle(&kernel);
}

#[test]
fn callers_have_their_turns_whoever_floods() {
    let (time, kernel) = kernel();
    let held = keeper(&kernel);
    let narrow = policy(r#"{"bulkhead": {"concurrency": 1, "queue": 20}}"#);
    kernel.guard(CallsTo::All, narrow).unwrap();
    let call = |n: u32, caller: &str| kernel.call(Task::new("keep", n).caller(caller));
    let mut floods: Vec<_> = (0..100).map(|n| call(n, "floods")).collect();
    let mut others: Vec<_> = (100..103).map(|n| call(n, "other")).collect();
    // What is called for somebody is that one's too.
    let inner = kernel.clone();
    let card = AgentCard::new("outer", ["outer"]).run(RunMode::Inline);
    let outer = agent::from_fn(card, move |task: &Task| {
        inner.call(Task::new("keep", task.input().clone())).detach();
        Ok(Payload::NULL)
    });
    kernel.add_agent(outer).unwrap();
    kernel.call(Task::new("outer", 200_u32).caller("third")).detach();
    let mut order = Vec::new();
    while !held.lock().is_empty() {
        order.push(answer_one(&held).to::<u32>().unwrap());
        time.advance(ms(1));
    }
    let at = |n| order.iter().position(|it| *it == n).unwrap();
    assert!(at(200) <= 3, "{order:?}");
    assert!((100..103).all(|n| at(n) <= 8), "{order:?}");
    assert_eq!(order.len(), 21, "the queue holds twenty, and one runs");
    let full = floods.iter_mut().filter_map(Ticket::try_take).filter(Result::is_err).count();
    assert_eq!(full, 83, "those that had to go are the flood's own");
    assert!(others.iter_mut().all(|ticket| ticket.try_take().unwrap().is_ok()));
}
