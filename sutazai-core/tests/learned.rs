//! What the router has learned outlives its process, in a data directory.
#![cfg(all(feature = "agent", feature = "store"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sutazai_core::agent::from_fn;
use sutazai_core::agent::route::{AdaptiveRouter, RoutePolicy};
use sutazai_core::base::runtime::Manual;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{AgentCard, RunMode, Task, Terms};
use sutazai_core::store::{DataDir, Durability, Store};

fn kernel(directory: &Path) -> Kernel {
    let time = Manual::new();
    let kernel =
        Kernel::builder().runtime(Arc::new(time)).seed(1).data_dir(directory).build().unwrap();
    for name in ["a", "b", "c"] {
        let card = AgentCard::new(name, ["work", "other"]).run(RunMode::Inline);
        kernel.add_agent(from_fn(card, move |_: &Task| Ok(name))).unwrap();
    }
    kernel.start().unwrap();
    kernel
}

/// Makes calls of two kinds of task, at each of which another agent is good, and says how many of the last
/// `of` went to the one that is.
fn calls(kernel: &Kernel, calls: u32, score: bool) -> u32 {
    let mut right = 0;
    for n in 0..calls {
        let kind = f64::from(n % 2);
        let task = Task::new("work", n).terms(Terms::default().features([kind]));
        let (call, mut ticket) = kernel.submit(task, None);
        kernel.advance(Duration::from_millis(1)).unwrap();
        let who: String = ticket.try_take().unwrap().unwrap().output.to().unwrap();
        let good = who == if n % 2 == 0 { "a" } else { "b" };
        right += u32::from(good);
        if score {
            kernel.score_call(call, if good { 0.9 } else { 0.2 }).unwrap();
        }
    }
    right
}

#[test]
fn what_was_learned_is_known_to_the_next_process() {
    let directory = tempfile::tempdir().unwrap();
    let first = kernel(directory.path());
    assert!(calls(&first, 600, true) > 500);
    first.stop(Duration::from_secs(1)).unwrap();
    drop(first);

    let second = kernel(directory.path());
    let right = calls(&second, 100, false);
    assert!(right >= 90, "it knows for which task who is good: {right}");
    // What begins anew is forgotten for good.
    second.set_route_policy(RoutePolicy::default(), None, 100).unwrap();
    assert!(second.route_log().unwrap().whole);
    second.stop(Duration::from_secs(1)).unwrap();
    drop(second);
    let third = kernel(directory.path());
    let right = calls(&third, 100, false);
    assert!(right < 80, "{right}");
    third.stop(Duration::from_secs(1)).unwrap();
}

#[test]
fn what_is_kept_is_kept_now_and_then_too() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = kernel(directory.path());
    calls(&kernel, 200, true);
    let kept = || {
        kernel.advance(Duration::from_secs(30)).unwrap();
        // What is written after it is there with it.
        let now = kernel.runtime().timestamp();
        let after = kernel.store().put("test", "after", &1.into(), now, Durability::Process);
        drop({ after }.wait());
        kernel.store().list("agent.route", "", None, 10).unwrap()
    };
    let first = kept();
    assert_eq!(first.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), ["work"]);
    assert_eq!(kept()[0].updated, first[0].updated, "nothing new has been learned");
    kernel.stop(Duration::from_secs(1)).unwrap();
}

#[test]
fn a_router_says_the_same_after_it_was_kept_and_recalled() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = kernel(directory.path());
    calls(&kernel, 300, true);
    kernel.stop(Duration::from_secs(1)).unwrap();
    drop(kernel);
    let data = DataDir::open(directory.path()).unwrap();
    let store = Store::open(&data, &[]).unwrap();
    store.start().unwrap();
    let kept = store.get("agent.route", "work").unwrap().unwrap().value.value().unwrap();
    let router = AdaptiveRouter::new(RoutePolicy::default(), 7).unwrap();
    assert!(router.recall(&kept));
    assert!(!router.recall(&kept), "it is known");
    assert!(router.learned().is_empty(), "nothing is new");

    // What makes no sense is not taken in, and nothing breaks.
    let wrong = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut kept = (*kept).clone();
        change(&mut kept);
        let router = AdaptiveRouter::new(RoutePolicy::default(), 7).unwrap();
        router.recall(&kept)
    };
    assert!(wrong(&|_| {}));
    assert!(!wrong(&|kept| kept["version"] = 2.into()));
    assert!(!wrong(&|kept| kept["scope"]["noise"]["variance"] = 0.into()));
    assert!(!wrong(&|kept| kept["scope"]["arms"][0]["belief"]["held"]["size"] = 9.into()));
    assert!(!wrong(&|kept| kept["scope"]["arms"][0]["belief"]["held"]["weights"] = [0; 0].into()));
    assert!(!wrong(&|kept| kept["scope"]["scale"]["used"] = [0; 0].into()));
    assert!(!wrong(&|kept| *kept = "nonsense".into()));

    // A kernel starts with it all the same.
    let now = sutazai_core::base::time::Timestamp::EPOCH;
    let put = store.put("agent.route", "work", &"nonsense".into(), now, Durability::Process);
    drop({ put }.wait());
    store.close(Duration::from_secs(5)).unwrap();
    drop((store, data));
    let kernel = self::kernel(directory.path());
    assert!(calls(&kernel, 10, true) <= 10);
    kernel.stop(Duration::from_secs(1)).unwrap();
}
