//! Whether what is behind a URL lives: a refused connection is told from an answer, whatever that says, and both
//! from silence.
#![cfg(all(unix, feature = "openai", feature = "a2a", feature = "mcp"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod peer;

use std::time::Duration;

use peer::{Peer, nobody};
use serde_json::json;
use sutazai_core::agent::AgentState;
use sutazai_core::agent::connect::a2a::{A2aAgent, A2aSpec};
use sutazai_core::agent::connect::mcp::{McpAgent, McpHttp, McpSpec};
use sutazai_core::agent::connect::openai::{OpenAiAgent, OpenAiSpec};
use sutazai_core::base::ticket::pair;
use sutazai_core::kernel::Kernel;
use sutazai_core::port::{Agent, AgentCard, Beat, LivenessPolicy};
use sutazai_core::{Code, Error};

const LONG: Duration = Duration::from_secs(60);
const KEY: &str = "sk-test-0123456789";

fn beat(agent: &dyn Agent) -> Beat {
    let (mut ticket, reply) = pair();
    agent.beat(reply);
    ticket.wait_timeout(LONG).expect("an answer").unwrap()
}

fn refused(beat: Beat) -> Error {
    let Beat::Unreachable(error) = beat else { panic!("{beat:?}") };
    assert_eq!(error.code(), Code::IO, "{error}");
    assert!(!format!("{error:#} {error:?}").contains(KEY), "the key shows: {error:#}");
    error
}

fn openai(base: &str) -> OpenAiAgent {
    OpenAiAgent::new(OpenAiSpec::new("model", base, "m-1").api_key(KEY)).unwrap()
}

#[test]
fn a_model_is_asked_for_its_list_and_any_answer_will_do() {
    let peer = Peer::start(|asked, line| {
        assert_eq!((&*asked.method, &*asked.path), ("GET", "/v1/models"));
        assert_eq!(asked.header("authorization"), format!("Bearer {KEY}"));
        line.json(503, &json!({"error": {"message": "overloaded"}}));
        true
    });
    for base in ["/v1", "/v1/", "/v1/chat/completions"] {
        assert!(matches!(beat(&openai(&peer.url(base))), Beat::Alive));
    }
    assert_eq!(peer.asked().len(), 3);
    refused(beat(&openai(&format!("http://{}/v1", nobody()))));
}

#[test]
fn an_a2a_peer_is_asked_for_its_card_by_its_tag() {
    let peer = Peer::start(|asked, line| {
        if asked.header("if-none-match") == "\"one\"" {
            line.answer(304, &[], "");
            return true;
        }
        let url = format!("http://{}/rpc", asked.header("host"));
        let card =
            json!({"name": "peer", "url": url, "skills": [{"id": "greet", "name": "greet"}]});
        let headers = [("content-type", "application/json"), ("etag", "\"one\"")];
        line.answer(200, &headers, &card.to_string());
        true
    });
    let agent = A2aAgent::connect(A2aSpec::new(peer.url(""))).unwrap();
    assert!(matches!(beat(&agent), Beat::Alive));
    assert_eq!(peer.asked().last().unwrap().header("if-none-match"), "\"one\"");
}

#[test]
fn an_mcp_server_that_is_not_there_cannot_be_reached() {
    let url = format!("http://{}/mcp", nobody());
    let http = McpHttp::new(url).header("authorization", KEY);
    let card = AgentCard::new("server", ["tool"]);
    let agent = McpAgent::new(McpSpec::http("server", http), card).unwrap();
    refused(beat(&agent));
}

#[test]
fn one_that_goes_away_comes_back_by_itself() {
    // The address is kept: nobody else gets it meanwhile.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let kernel = Kernel::builder().agent(openai(&format!("http://{at}/v1"))).build().unwrap();
    let mut events = kernel.bus().subscribe("agent.state").pull().unwrap();
    kernel.start().unwrap();
    let policy = LivenessPolicy::default().interval(Duration::from_millis(20));
    kernel.set_liveness("model", Some(policy)).unwrap();
    let mut until = |state: AgentState| {
        loop {
            let delivery = events.wait(LONG).unwrap().expect("another state");
            let event = delivery.event.payload.value().unwrap();
            if event["to"] == state.name() {
                return;
            }
        }
    };
    until(AgentState::Ready);
    until(AgentState::Unreachable);
    let error = kernel.call(sutazai_core::port::Task::new("chat", "hello")).wait().unwrap_err();
    assert_eq!(error.class(), sutazai_core::Class::Transient, "{error}");
    let listener = std::net::TcpListener::bind(at).unwrap();
    let server = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        stream.write_all(b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n").unwrap();
        // Kept open until the client has gone.
        let _ = stream.read(&mut [0; 4096]);
    });
    until(AgentState::Ready);
    kernel.stop(LONG).unwrap();
    drop(kernel);
    server.join().unwrap();
}
