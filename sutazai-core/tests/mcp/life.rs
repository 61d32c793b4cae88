//! Servers that hang: those that still answer pings are told from those that do not.

use std::time::Duration;

use serde_json::{Value, json};
use sutazai_core::Code;
use sutazai_core::agent::AgentState;
use sutazai_core::agent::connect::mcp::McpAgent;
use sutazai_core::event::Subscription;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{LivenessPolicy, Task};

use crate::common::{LONG, spec};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn bench(mode: &str, policy: LivenessPolicy) -> (Kernel, Subscription) {
    let agent = McpAgent::connect(spec(mode)).unwrap();
    let kernel = Kernel::builder().agent(agent).build().unwrap();
    kernel.start().unwrap();
    let events = kernel.bus().subscribe("agent.liveness").pull().unwrap();
    kernel.set_liveness("subject", Some(policy)).unwrap();
    (kernel, events)
}

fn next(events: &mut Subscription) -> Value {
    let delivery = events.wait(LONG).unwrap().expect("what is thought of it changes");
    Value::clone(&delivery.event.payload.value().unwrap())
}

fn pid(kernel: &Kernel) -> String {
    let outcome = kernel.call(Task::new("pid", json!({})).timeout(LONG)).wait().unwrap();
    outcome.output.to_text().to_string()
}

#[test]
fn a_server_that_works_for_ever_and_answers_pings_is_slow() {
    for mode in ["legacy", "modern"] {
        let policy = LivenessPolicy::default().interval(ms(20)).stall(ms(200));
        let (kernel, mut events) = bench(mode, policy.pauses(LONG, Some(LONG)));
        let before = pid(&kernel);
        let hangs = kernel.call(Task::new("hang", json!({})).timeout(LONG));
        let mut told = next(&mut events);
        while !told["why"].as_str().is_some_and(|why| why.contains("nothing has come of it")) {
            told = next(&mut events);
        }
        assert_eq!(told["to"], "slow", "{mode}");
        assert_eq!(kernel.agent("subject").unwrap().state, AgentState::Ready);
        assert_eq!(pid(&kernel), before, "{mode}");
        assert!(!hangs.is_done());
        drop(hangs);
        kernel.stop(LONG).unwrap();
    }
}

#[test]
fn a_server_that_answers_nothing_any_more_is_ended_and_started_again() {
    for mode in ["legacy", "modern"] {
        let policy = LivenessPolicy::default().interval(ms(50)).pauses(ms(300), Some(ms(300)));
        let (kernel, mut events) = bench(mode, policy);
        let before = pid(&kernel);
        let mut blocked = kernel.call(Task::new("block", json!({})).timeout(LONG));
        let mut told = next(&mut events);
        while told["to"] != "dead" {
            told = next(&mut events);
        }
        let error = blocked.wait().unwrap_err();
        assert_eq!(error.code(), Code::AGENT_EXITED, "{mode}: {error}");
        while told["to"] != "alive" {
            told = next(&mut events);
        }
        assert_ne!(pid(&kernel), before, "{mode}");
        assert_eq!(kernel.agent("subject").unwrap().state, AgentState::Ready);
        kernel.stop(LONG).unwrap();
    }
}
