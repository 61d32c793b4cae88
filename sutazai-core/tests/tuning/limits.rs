//! A bulkhead that finds its bound out, around an agent of a kernel.

use std::sync::Arc;

use sutazai_core::Code;
use sutazai_core::base::payload::Payload;
use sutazai_core::base::runtime::Manual;
use sutazai_core::kernel::CallsTo;
use sutazai_core::port::Task;
use sutazai_core::recovery::GuardPolicy;
use sutazai_core::tune::{KnobValue, LimitView};

use super::world::{Server, kernel, ms, seconds};

fn policy(bulkhead: &serde_json::Value) -> GuardPolicy {
    serde_json::from_value(serde_json::json!({ "bulkhead": bulkhead })).unwrap()
}

/// Offers a call every so often for so long; answers with the limit, and how many calls were answered.
fn offered(capacity: usize, service: u64, every: u64, for_ms: u64) -> (LimitView, usize) {
    let runtime = Arc::new(Manual::new());
    let (kernel, _events) = kernel(&runtime);
    let server = Server::new("server", &runtime, capacity, ms(service));
    let desk = Arc::clone(&server.desk);
    kernel.add_agent(server).unwrap();
    let adapt = serde_json::json!({"concurrency": 256, "queue": 64, "adapt": {}});
    kernel.guard(CallsTo::All, policy(&adapt)).unwrap();
    let mut calls = Vec::new();
    for _ in 0..for_ms / every {
        calls.push(kernel.call(Task::new("serve", 1).timeout(seconds(20))));
        kernel.advance(ms(every)).unwrap();
        calls.retain(|call| !call.is_done());
    }
    let status = kernel.guard_of("server").unwrap().status();
    let answered = desk.lock().unwrap().took.len();
    (status.bulkhead.unwrap().adaptive.unwrap(), answered)
}

#[test]
fn an_agent_that_is_overloaded_gets_as_much_as_it_can_take() {
    // It can do 40 a second, and 66 are offered.
    let (limit, answered) = offered(4, 100, 15, 60_000);
    assert!((4..=8).contains(&limit.target), "{limit:?}");
    assert!(limit.kept_out > 0, "{limit:?}");
    assert!(answered as f64 >= 0.97 * 40.0 * 60.0, "{answered}");
}

#[test]
fn an_agent_that_can_take_more_gets_more() {
    // 40 at once, 800 a second; 1,000 are offered, and the limit begins at 20.
    let (limit, answered) = offered(40, 50, 1, 30_000);
    assert!((40..=80).contains(&limit.target), "{limit:?}");
    assert!(answered as f64 >= 0.9 * 800.0 * 30.0, "{answered}");
}

#[test]
fn what_was_learnt_stays_with_another_policy_and_goes_with_none() {
    let runtime = Arc::new(Manual::new());
    let (kernel, _events) = kernel(&runtime);
    kernel.add_agent(Server::new("server", &runtime, 4, ms(10))).unwrap();
    let set = |bulkhead: serde_json::Value| kernel.guard(CallsTo::All, policy(&bulkhead));
    set(serde_json::json!({"adapt": {"initial": 8}})).unwrap();
    let status = || kernel.guard_of("server").unwrap().status().bulkhead.unwrap();
    assert_eq!((status().concurrency, status().adaptive.unwrap().limit), (8, 8));
    let call = kernel.call(Task::new("serve", 1));
    assert_eq!(status().adaptive.unwrap().in_flight, 1);
    // No more than it may.
    set(serde_json::json!({"concurrency": 5, "adapt": {}})).unwrap();
    assert_eq!((status().concurrency, status().adaptive.unwrap().in_flight), (5, 1));
    set(serde_json::json!({"concurrency": 7})).unwrap();
    assert_eq!((status().concurrency, status().adaptive), (7, None));
    set(serde_json::json!({"concurrency": 7, "adapt": {}})).unwrap();
    kernel.advance(seconds(1)).unwrap();
    assert!(call.is_done());
    // A call of the limit before is none of this one's.
    assert_eq!(status().adaptive.unwrap().in_flight, 0);
    let error = set(serde_json::json!({"adapt": {"headroom": 9.0}})).unwrap_err();
    assert_eq!(error.code(), Code::INVALID, "{error}");
}

#[test]
fn a_limit_that_adapts_has_bounds_within_what_may_run_at_once() {
    let runtime = Arc::new(Manual::new());
    let (kernel, _events) = kernel(&runtime);
    let mut server = Server::new("server", &runtime, 4, ms(10));
    server.card = server.card.concurrency(4);
    kernel.add_agent(server).unwrap();
    let agent = || CallsTo::Agent("server".to_owned());
    let refused = |calls: CallsTo, bulkhead: serde_json::Value, parts: &[&str]| {
        let error = kernel.guard(calls, policy(&bulkhead)).unwrap_err();
        assert_eq!(error.code(), Code::INVALID, "{error}");
        let told = format!("{error:#}");
        for part in parts {
            assert!(told.contains(part), "{part}: {told}");
        }
    };
    for field in ["min", "initial"] {
        // Of the bulkhead's, and of an agent that takes less than that.
        let over = serde_json::json!({"concurrency": 8, "adapt": {field: 9}});
        refused(CallsTo::All, over, &[&format!("adapt.{field}"), "value=9", "concurrency=8"]);
        let over = serde_json::json!({"concurrency": 8, "adapt": {field: 5}});
        refused(agent(), over, &[&format!("adapt.{field}"), "value=5", "concurrency=4", "server"]);
    }
    assert!(kernel.guard_of("server").is_none(), "what was refused is not in force");
    // A policy for all is for agents that take fewer as well, and who says nothing begins within what there is.
    let all = serde_json::json!({"concurrency": 8, "adapt": {"min": 6, "initial": 8}});
    kernel.guard(CallsTo::All, policy(&all)).unwrap();
    kernel.call(Task::new("serve", 1)).detach();
    kernel.advance(seconds(1)).unwrap();
    let status = || kernel.guard_of("server").unwrap().status().bulkhead.unwrap();
    assert_eq!((status().concurrency, status().adaptive.unwrap().policy.min), (4, 4));
    // A knob is not held to where the limit once began, but to its least.
    let knob = "guard/all/bulkhead/concurrency";
    kernel.set_knob(knob, &KnobValue::Integer(7)).unwrap();
    let error = kernel.set_knob(knob, &KnobValue::Integer(5)).unwrap_err();
    assert_eq!(error.code(), Code::INVALID, "{error}");
    kernel.call(Task::new("serve", 1)).detach();
    kernel.advance(seconds(1)).unwrap();
    assert_eq!(status().concurrency, 4);
}

#[test]
fn bounds_of_the_kernel_are_knobs() {
    let dir = tempfile::tempdir().unwrap();
    let kernel = sutazai_core::kernel::Kernel::builder().data_dir(dir.path()).build().unwrap();
    kernel.start().unwrap();
    for (name, is, to) in [
        ("batch/side_by_side", 16, 3),
        ("limits/calls", 100_000, 7),
        ("store/batch", 256, 1),
        ("store/sync_ms", 1_000, 20),
    ] {
        let value = || {
            let knob = kernel.knobs().into_iter().find(|knob| knob.name == name).unwrap();
            knob.value.unwrap()
        };
        assert_eq!(value(), KnobValue::Integer(is), "{name}");
        kernel.set_knob(name, &KnobValue::Integer(to)).unwrap();
        assert_eq!(value(), KnobValue::Integer(to), "{name}");
        let refused = kernel.set_knob(name, &KnobValue::Integer(0)).unwrap_err();
        assert_eq!(refused.code(), Code::INVALID, "{name}");
    }
    // One transaction after the other, and all of them are there.
    let writes: Vec<_> = (0..50_u64)
        .map(|i| {
            let now = kernel.runtime().timestamp();
            let (key, durable) = (format!("k{i}"), sutazai_core::store::Durability::Interval);
            kernel.store().put("test", &key, &Payload::from(i), now, durable)
        })
        .collect();
    writes.into_iter().for_each(|mut write| write.wait().unwrap());
    assert_eq!(kernel.store().list("test", "", None, 100).unwrap().len(), 50);
    kernel.stop(std::time::Duration::from_secs(1)).unwrap();
}
