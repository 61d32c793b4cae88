//! Both eras, calls and their results, progress and cancellation, with a server of ours.

use std::time::Duration;

use serde_json::json;
use sutazai_core::agent::connect::mcp::{Era, McpAgent, McpSpec};
use sutazai_core::base::time::Moment;
use sutazai_core::kernel::Kernel;
use sutazai_core::observe::LogQuery;
use sutazai_core::port::{Agent, AgentCard, Task};
use sutazai_core::{Class, Code};

use crate::common::{
    LONG, answer, ask, connected, context, failure, host, output, pid, program, spec, stop, until,
};

#[test]
fn each_era_is_found_out() {
    for (mode, era, revision) in [
        ("modern", Era::Modern, "2026-07-28"),
        ("both", Era::Modern, "2026-07-28"),
        ("legacy", Era::Legacy, "2025-06-18"),
        ("dies_at_discover", Era::Legacy, "2025-06-18"),
    ] {
        let agent = connected(mode);
        let status = agent.status();
        assert_eq!((status.era, status.revision.as_deref()), (Some(era), Some(revision)), "{mode}");
        let card = agent.card();
        assert_eq!(card.version, if era == Era::Modern { "2" } else { "1" });
        assert_eq!((&*card.name, &*card.description), ("subject", "Try it."));
        assert_eq!(card.about["echo"].description, "echo!");
        assert_eq!(card.about["echo"].input, Some(json!({"type": "object"})));
        assert_eq!(output(ask(&agent, "echo", json!({"a": 1}))), r#"{"a": 1}"#, "{mode}");
        stop(&agent);
    }
}

#[test]
fn a_server_that_does_not_answer_the_probe_is_of_the_older_era() {
    for mode in ["silent", "slow"] {
        let spec = spec(mode).probe_timeout(Duration::from_millis(200));
        let agent = McpAgent::connect(spec).unwrap();
        assert_eq!(agent.status().era, Some(Era::Legacy));
        assert_eq!(output(ask(&agent, "echo", json!({}))), "{}");
        stop(&agent);
    }
}

#[test]
fn an_era_that_is_known_is_not_asked_for() {
    let agent = McpAgent::connect(spec("silent").era(Era::Legacy)).unwrap();
    let seen = output(ask(&agent, "seen", json!({})));
    assert_eq!(seen[0]["method"], "initialize");
    assert_eq!(seen[1]["method"], "notifications/initialized");
    stop(&agent);
}

#[test]
fn tools_come_in_pages_and_under_good_names() {
    let agent = connected("pages");
    assert_eq!(agent.card().skills.len(), 30);
    assert_eq!(output(ask(&agent, "environment", json!({})))[0], json!(null));
    stop(&agent);
    let agent = connected("odd_names");
    assert_eq!(agent.card().skills, ["with_space", "echo"]);
    assert_eq!(output(ask(&agent, "with_space", json!({}))), "spaced");
    stop(&agent);
}

#[test]
fn results_and_failures_are_what_the_server_says() {
    for mode in ["modern", "legacy"] {
        let agent = connected(mode);
        let structured = json!({"got": {"x": [1, "é\n"]}});
        assert_eq!(output(ask(&agent, "structured", json!({"x": [1, "é\n"]}))), structured);
        assert_eq!(output(ask(&agent, "mixed", json!({})))[1]["type"], "image");
        assert_eq!(output(ask(&agent, "nothing", json!(null))), json!(null));
        let error = failure(ask(&agent, "failing", json!({})));
        assert_eq!((error.code(), error.message()), (Code::AGENT_FAILED, "429 Too Many Requests"));
        let error = failure(ask(&agent, "refused", json!({})));
        assert_eq!((error.code(), error.message()), (Code::AGENT_FAILED, "the disk is full"));
        assert_eq!((&*context(&error, "rpc"), &*context(&error, "rpc_code")), ("mcp", "-32603"));
        let error = failure(ask(&agent, "broken_arguments", json!({})));
        assert_eq!(error.class(), Class::Persistent);
        let error = failure(ask(&agent, "input_required", json!({})));
        assert_eq!(error.class(), Class::Persistent);
        assert_eq!(context(&error, "asks"), "elicitation/create");
        let error = failure(ask(&agent, "echo", "not an object"));
        assert_eq!(error.code(), Code::INVALID);
        let error = failure(ask(&agent, "dance", json!({})));
        assert_eq!(error.code(), Code::NOT_FOUND);
        stop(&agent);
    }
}

#[test]
fn what_the_server_asks_is_answered() {
    let agent = connected("legacy");
    assert_eq!(output(ask(&agent, "asks", json!({}))), json!([{}, -32601, -32601, -32601]));
    stop(&agent);
}

#[test]
fn progress_comes_before_the_result() {
    let agent = connected("modern");
    for skill in ["progress", "batch"] {
        let mut ticket = ask(&agent, skill, json!({}));
        let first = ticket.wait_part(LONG).unwrap().unwrap();
        let first = first.value().unwrap();
        assert!(first["progress"].is_number(), "{first}");
        if skill == "progress" {
            assert_eq!(*first, json!({"progress": 0, "total": 3, "message": "step 0"}));
        }
        answer(ticket).unwrap();
    }
    stop(&agent);
}

#[test]
fn a_cancellation_reaches_the_server_and_spares_it() {
    for mode in ["modern", "legacy"] {
        let agent = connected(mode);
        let before = pid(&agent);
        let mut ticket = ask(&agent, "listen", json!({}));
        // It is at work.
        ticket.wait_part(LONG).unwrap().unwrap();
        ticket.cancel();
        assert_eq!(failure(ticket).code(), Code::CANCELLED);
        until("the place is free", || agent.status().process.unwrap().under_way == 0);
        assert_eq!(output(ask(&agent, "echo", json!({}))), "{}");
        let status = agent.status().process.unwrap();
        assert_eq!((status.restarts, status.breaches, pid(&agent)), (0, 0, before));
        stop(&agent);
    }
}

#[test]
fn a_server_that_says_no_more_of_a_cancelled_call_gives_its_place_back() {
    let mut process = program("modern");
    process.in_flight = 1;
    let spec = McpSpec::stdio("subject", process).cancel_hold(Duration::from_millis(300));
    let agent = McpAgent::connect(spec).unwrap();
    let ticket = ask(&agent, "hang", json!({}));
    until("it is sent", || agent.status().process.unwrap().under_way == 1);
    let next = ask(&agent, "echo", json!({}));
    let began = Moment::now();
    ticket.cancel();
    assert_eq!(output(next), "{}");
    let took = Moment::now().since(began);
    assert!(took >= Duration::from_millis(300), "the place was held for {took:?} only");
    let seen = output(ask(&agent, "seen", json!({})));
    let seen = seen.as_array().unwrap().iter();
    let cancelled: Vec<_> = seen.filter(|m| m["method"] == "notifications/cancelled").collect();
    assert_eq!(cancelled.len(), 1);
    assert_eq!(cancelled[0]["params"]["requestId"], 2);
    assert_eq!(agent.status().process.unwrap().restarts, 0);
    stop(&agent);
}

#[test]
fn a_stalled_call_ends_at_its_deadline() {
    for skill in ["hang", "hang_loudly", "block"] {
        let kernel = Kernel::builder().build().unwrap();
        kernel.start().unwrap();
        let agent = McpAgent::connect(spec("modern")).unwrap();
        kernel.add_agent(agent).unwrap();
        let given = Duration::from_millis(300);
        let began = Moment::now();
        let mut ticket = kernel.call(Task::new(skill, json!({})).timeout(given));
        let error = ticket.wait_timeout(LONG).expect("an answer").unwrap_err();
        let late = Moment::now().since(began).saturating_sub(given);
        println!("{skill}: ended {late:?} after its deadline");
        assert_eq!(error.code(), Code::DEADLINE_EXCEEDED);
        assert!(late <= Duration::from_millis(500), "{skill}: {late:?} after its deadline");
        if skill != "block" {
            let mut next = kernel.call(Task::new("echo", json!({})).timeout(LONG));
            assert_eq!(*next.wait().unwrap().output.value().unwrap(), json!("{}"));
            assert_eq!(kernel.agent("subject").unwrap().restarts, 0);
        }
        kernel.stop(Duration::from_secs(5)).unwrap();
    }
}

#[test]
fn tools_that_come_later_are_known() {
    let agent = connected("legacy");
    assert_eq!(failure(ask(&agent, "grown", json!({}))).code(), Code::NOT_FOUND);
    assert_eq!(output(ask(&agent, "grow", json!({}))), "grew");
    until("it is listed", || agent.offers().unwrap().skills.contains(&"grown".to_owned()));
    // It is called now, and this server knows no more of it than the name.
    assert_eq!(failure(ask(&agent, "grown", json!({}))).message(), "Unknown tool: grown");
    stop(&agent);
}

#[test]
fn a_card_that_was_kept_needs_no_server_until_the_start() {
    let card = AgentCard::new("other", ["echo", "levitate"]);
    let agent = McpAgent::new(spec("modern"), card).unwrap();
    assert_eq!((&*agent.card().name, agent.offers()), ("subject", None));
    assert_eq!(failure(ask(&agent, "echo", json!({}))).code(), Code::NOT_RUNNING);
    let host = host();
    agent.start(&host).unwrap();
    assert_eq!(output(ask(&agent, "echo", json!({}))), "{}");
    let logged = host.log.recent(&LogQuery::default());
    assert!(logged.iter().any(|record| record.message.contains("levitate")), "{logged:?}");
    stop(&agent);
}

#[test]
fn parts_end_with_the_answer() {
    let agent = connected("both");
    let mut ticket = ask(&agent, "progress", json!({}));
    let mut parts = 0;
    while ticket.wait_part(LONG).unwrap().is_some() {
        parts += 1;
    }
    assert_eq!((parts, output(ticket)), (3, json!("done")));
    stop(&agent);
}
