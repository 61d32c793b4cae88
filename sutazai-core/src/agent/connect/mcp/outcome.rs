//! What comes of a call, given the server's answer.

use serde_json::Value;

use super::super::process::shortened;
use super::rpc::{Answer, RpcError};
use crate::port::{Outcome, failure};
use crate::{Class, Code, Error, Result};

/// Bytes of what a server says of a failure, at most.
const MESSAGE: usize = 4096;
const DETAIL: usize = 400;

/// The outcome of a task, or why there is none.
pub(super) fn of(agent: &str, answer: Answer) -> Result<Outcome> {
    if let Some(version) = answer.version {
        return Err(broken("the server answered in another JSON-RPC than 2.0", agent)
            .with("version", version));
    }
    let mut result = match answer.result {
        Ok(Value::Object(result)) => result,
        Ok(_) => return Err(broken("the answer is not the result of a tool", agent)),
        Err(error) => return Err(refused(&error, agent)),
    };
    match result.get("resultType").and_then(Value::as_str) {
        None | Some("complete") => {}
        Some("input_required") => return Err(asks(result.get("inputRequests"), agent)),
        Some(other) => {
            return Err(broken("the answer is of a kind that is not known", agent)
                .with("result_type", shortened(other, 64)));
        }
    }
    let content = result.remove("content");
    if result.get("isError").and_then(Value::as_bool) == Some(true) {
        return Err(failed(content.as_ref(), result.get("structuredContent"), agent));
    }
    match (result.remove("structuredContent"), content) {
        (Some(structured), _) if !structured.is_null() => Ok(Outcome::new(structured)),
        (_, Some(Value::Array(content))) if content.is_empty() => Ok(Outcome::default()),
        (_, Some(Value::Array(content))) => Ok(match text(&content) {
            Some(text) => Outcome::new(text),
            None => Outcome::new(Value::Array(content)),
        }),
        _ => Err(broken("the answer is not the result of a tool", agent)),
    }
}

/// The text of content that is nothing but text.
fn text(content: &[Value]) -> Option<String> {
    let lines: Option<Vec<&str>> = content
        .iter()
        .map(|part| match part.get("type").and_then(Value::as_str) {
            Some("text") => part.get("text").and_then(Value::as_str),
            _ => None,
        })
        .collect();
    lines.map(|lines| lines.join("\n"))
}

/// The tool says that it failed.
fn failed(content: Option<&Value>, structured: Option<&Value>, agent: &str) -> Error {
    let parts = content.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let lines: Vec<&str> =
        parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect();
    let said = lines.join("\n");
    let message = match said.trim() {
        "" => "the tool failed and did not say why".to_owned(),
        said => shortened(said, MESSAGE).into_owned(),
    };
    let error = Error::new(Code::AGENT_FAILED, message)
        .operation("agent.mcp")
        .with("agent", agent)
        .with(failure::RPC, "mcp");
    match structured {
        Some(detail) if !detail.is_null() => {
            error.with("detail", shortened(&detail.to_string(), DETAIL))
        }
        _ => error,
    }
}

/// The server answered with an error of JSON-RPC.
pub(super) fn refused(error: &RpcError, agent: &str) -> Error {
    let code = match error.code {
        -32700 | -32600 | -32022..=-32020 => Code::AGENT_PROTOCOL,
        _ => Code::AGENT_FAILED,
    };
    let mut refused = Error::new(code, shortened(&error.message, MESSAGE).into_owned())
        .operation("agent.mcp")
        .with("agent", agent)
        .with(failure::RPC, "mcp")
        .with(failure::RPC_CODE, error.code);
    if matches!(error.code, -32601 | -32602) {
        refused = refused.classed(Class::Persistent);
    }
    if !error.data.is_null() {
        refused = refused.with("detail", shortened(&error.data.to_string(), DETAIL));
    }
    refused
}

/// The server wants something of a user or a model before it goes on, which was not offered to it.
fn asks(requests: Option<&Value>, agent: &str) -> Error {
    let asked = requests.and_then(Value::as_object);
    let mut methods: Vec<&str> = asked
        .into_iter()
        .flat_map(|requests| requests.values())
        .filter_map(|request| request.get("method").and_then(Value::as_str))
        .collect();
    methods.sort_unstable();
    methods.dedup();
    Error::new(
        Code::AGENT_FAILED,
        "the server asks for more before it goes on, and nobody is there",
    )
    .classed(Class::Persistent)
    .operation("agent.mcp")
    .with("agent", agent)
    .with("asks", shortened(&methods.join(", "), DETAIL))
    .advice("give the tool in its input what it would ask for")
}

/// The server did not keep to the protocol.
pub(super) fn broken(what: &'static str, agent: &str) -> Error {
    Error::new(Code::AGENT_PROTOCOL, what).operation("agent.mcp").with("agent", agent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn come(result: Value) -> Result<Value> {
        of("a", Answer { id: Some(2), result: Ok(result), version: None })
            .map(|outcome| (*outcome.output.value().unwrap()).clone())
    }

    #[test]
    fn results_become_outputs() {
        let text = |text: &str| json!({"type": "text", "text": text});
        let image = json!({"type": "image", "data": "", "mimeType": "image/png"});
        for (result, output) in [
            (json!({"content": [text("x")], "structuredContent": {"a": 1}}), json!({"a": 1})),
            (json!({"content": [text("x")], "structuredContent": null}), json!("x")),
            (json!({"resultType": "complete", "content": [text("a"), text("b")]}), json!("a\nb")),
            (json!({"content": [text("a"), image]}), json!([text("a"), image])),
            (json!({"content": [], "isError": false}), json!(null)),
        ] {
            assert_eq!(come(result).unwrap(), output);
        }
    }

    #[test]
    fn failures_keep_what_was_said() {
        let text = json!({"type": "text", "text": "503 Service Unavailable"});
        let error = come(json!({"content": [text], "isError": true})).unwrap_err();
        assert_eq!(error.code(), Code::AGENT_FAILED);
        assert_eq!(error.message(), "503 Service Unavailable");
        let error = come(json!({"isError": true})).unwrap_err();
        assert_eq!(error.message(), "the tool failed and did not say why");
        let asks = json!({"a": {"method": "elicitation/create"}});
        let error =
            come(json!({"resultType": "input_required", "inputRequests": asks})).unwrap_err();
        assert_eq!((error.code(), error.class()), (Code::AGENT_FAILED, Class::Persistent));
        assert!(error.to_string().contains("elicitation/create"));
        for result in [json!(7), json!({}), json!({"resultType": "task"}), json!({"content": 1})] {
            assert_eq!(come(result).unwrap_err().code(), Code::AGENT_PROTOCOL);
        }
    }

    #[test]
    fn errors_of_the_protocol_are_told_from_those_of_the_tool() {
        for (code, ours, class) in [
            (-32602, Code::AGENT_FAILED, Class::Persistent),
            (-32603, Code::AGENT_FAILED, Class::Transient),
            (-32022, Code::AGENT_PROTOCOL, Class::Persistent),
        ] {
            let error = RpcError { code, message: "m".to_owned(), data: json!({"x": 1}) };
            let error = refused(&error, "a");
            assert_eq!((error.code(), error.class()), (ours, class));
            let context: Vec<_> = error.context().collect();
            assert!(context.contains(&("rpc", "mcp")), "{context:?}");
            assert!(context.contains(&("rpc_code", &*code.to_string())), "{context:?}");
        }
    }
}
