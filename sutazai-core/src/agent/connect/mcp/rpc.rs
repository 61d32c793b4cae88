//! JSON-RPC 2.0, as MCP uses it.

use serde::Deserialize;
use serde_json::{Value, json};

/// Sent without being asked for: no such method.
pub(super) const NO_METHOD: i64 = -32601;
/// The server does not speak the version of a request.
pub(super) const UNSUPPORTED_VERSION: i64 = -32022;

/// A message from the server.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    Answer(Answer),
    Request { id: Value, method: String },
    Notification { method: String, params: Value },
}

/// The answer to a request.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    /// The request's number; none where the server could not tell (`null`).
    pub(super) id: Option<u64>,
    pub(super) result: Result<Value, RpcError>,
    /// What it called its version, where that is not 2.0.
    pub(super) version: Option<String>,
}

/// An error as JSON-RPC has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RpcError {
    pub(super) code: i64,
    pub(super) message: String,
    pub(super) data: Value,
}

/// What a line is that is not a message.
#[derive(Debug, PartialEq)]
pub(super) enum Broken {
    /// Something else altogether.
    Noise,
    /// A message that is not in order.
    Breach(String),
}

/// A request, in one line.
pub(super) fn request(id: u64, method: &str, params: &Value) -> String {
    let mut line =
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
    line.push('\n');
    line
}

/// A notification, in one line.
pub(super) fn notification(method: &str, params: &Value) -> String {
    let mut message = json!({"jsonrpc": "2.0", "method": method});
    if !params.is_null()
        && let Some(fields) = message.as_object_mut()
    {
        fields.insert("params".to_owned(), params.clone());
    }
    format!("{message}\n")
}

/// The answer to what the server asks: `ping` is answered, and nothing else is offered.
pub(super) fn answer_to(id: &Value, method: &str) -> String {
    let message = if method == "ping" {
        json!({"jsonrpc": "2.0", "id": id, "result": {}})
    } else {
        let said = format!("this client does not offer {method}");
        json!({"jsonrpc": "2.0", "id": id, "error": {"code": NO_METHOD, "message": said}})
    };
    format!("{message}\n")
}

/// Reads a line: one message, or an array of them.
pub(super) fn parse(line: &[u8]) -> Vec<Result<Message, Broken>> {
    match line.trim_ascii_start().first() {
        Some(b'{') => vec![one(serde_json::from_slice(line))],
        Some(b'[') => match serde_json::from_slice::<Vec<Value>>(line) {
            // Batches, which one revision of 2025 had.
            Ok(batch) => batch.into_iter().map(|v| one(serde_json::from_value(v))).collect(),
            Err(_) => vec![Err(Broken::Noise)],
        },
        _ => vec![Err(Broken::Noise)],
    }
}

/// The number of the request that a line answers which is too long to be read, given its beginning and
/// its end: some put the id before the result, and some after it.
pub(super) fn whose(head: &[u8], tail: &[u8]) -> Option<u64> {
    end_of_answer(tail).or_else(|| beginning_of_answer(head))
}

/// What stands after the result, such as `"jsonrpc":"2.0","id":7}`, is an object without its brace.
/// Within a text the quotation marks would be escaped, and a deeper object would have more braces.
fn end_of_answer(tail: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct End {
        id: Value,
        jsonrpc: Option<Value>,
    }
    let text = String::from_utf8_lossy(tail);
    let text = text.trim_end();
    let marks = text.match_indices("\"jsonrpc\"").chain(text.match_indices("\"id\""));
    marks.into_iter().find_map(|(at, _)| {
        let end = format!("{{{}", text.get(at..)?);
        let end: End = serde_json::from_str(&end).ok()?;
        end.jsonrpc.and_then(|_| number(&end.id))
    })
}

/// `{"jsonrpc":"2.0","id":7,"result":…`
fn beginning_of_answer(head: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(head);
    let (before, _) = text.split_once("\"result\"").or_else(|| text.split_once("\"error\""))?;
    let before = before.trim_end().strip_suffix(',')?;
    let value: Value = serde_json::from_str(&format!("{before}}}")).ok()?;
    number(value.get("id")?)
}

/// A number of ours, also where the server made a text of it.
pub(super) fn number(id: &Value) -> Option<u64> {
    match id {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().or_else(|| whole(other.as_f64()?)),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is checked")]
fn whole(number: f64) -> Option<u64> {
    (number >= 0.0 && number.fract() == 0.0 && number < 9e15).then_some(number as u64)
}

#[derive(Deserialize)]
struct Raw {
    jsonrpc: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    id: Option<Value>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
    error: Option<Value>,
}

/// Tells `null` from nothing.
fn present<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(d).map(Some)
}

fn one(raw: serde_json::Result<Raw>) -> Result<Message, Broken> {
    let raw = raw.map_err(|e| Broken::Breach(format!("not a JSON-RPC message: {e}")))?;
    let version = match &raw.jsonrpc {
        Some(Value::String(version)) if version == "2.0" => None,
        Some(Value::String(other)) => Some(other.chars().take(16).collect()),
        Some(_) => Some("something else".to_owned()),
        None => Some("none".to_owned()),
    };
    let result = match (raw.result, raw.error) {
        (_, Some(error)) => Some(Err(RpcError::read(&error))),
        (Some(result), None) => Some(Ok(result)),
        (None, None) => None,
    };
    match (raw.method, raw.id, result) {
        (None, id, Some(result)) => {
            let number = id.as_ref().and_then(number);
            if number.is_none() && id.is_some_and(|id| !id.is_null()) {
                return Err(Broken::Breach("an answer with an id that was not given".to_owned()));
            }
            Ok(Message::Answer(Answer { id: number, result, version }))
        }
        _ if version.is_some() => Err(Broken::Breach("not JSON-RPC 2.0".to_owned())),
        (Some(method), Some(id), _) if !id.is_null() => Ok(Message::Request { id, method }),
        (Some(method), _, _) => Ok(Message::Notification { method, params: raw.params }),
        (None, _, None) => {
            Err(Broken::Breach("neither a method nor a result nor an error".to_owned()))
        }
    }
}

impl RpcError {
    fn read(error: &Value) -> Self {
        let message = match error.get("message") {
            Some(Value::String(text)) => text.clone(),
            _ => error.to_string(),
        };
        Self {
            code: error.get("code").and_then(Value::as_i64).unwrap_or_default(),
            message,
            data: error.get("data").cloned().unwrap_or_default(),
        }
    }

    /// The versions that the server speaks, where it says so.
    pub(super) fn supported(&self) -> Option<Vec<&str>> {
        if self.code != UNSUPPORTED_VERSION {
            return None;
        }
        let list = self.data.get("supported").and_then(Value::as_array);
        Some(list.into_iter().flatten().filter_map(Value::as_str).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(id: Option<u64>, result: Result<Value, RpcError>) -> Message {
        Message::Answer(Answer { id, result, version: None })
    }

    #[test]
    fn messages_are_told_apart() {
        for (line, message) in [
            (r#"{"jsonrpc":"2.0","id":1,"result":null}"#, answer(Some(1), Ok(Value::Null))),
            (r#" {"jsonrpc":"2.0","id":"12","result":3}"#, answer(Some(12), Ok(json!(3)))),
            (r#"{"jsonrpc":"2.0","id":2.0,"result":3}"#, answer(Some(2), Ok(json!(3)))),
            (
                r#"{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"m","data":[1]}}"#,
                answer(None, Err(RpcError { code: -1, message: "m".into(), data: json!([1]) })),
            ),
            (
                r#"{"jsonrpc":"2.0","id":"a","method":"ping","params":{}}"#,
                Message::Request { id: "a".into(), method: "ping".into() },
            ),
            (
                r#"{"jsonrpc":"2.0","method":"notifications/x"}"#,
                Message::Notification { method: "notifications/x".into(), params: Value::Null },
            ),
        ] {
            assert_eq!(parse(line.as_bytes()), [Ok(message)], "{line}");
        }
        let batch = parse(br#"[{"jsonrpc":"2.0","id":1,"result":1},{"jsonrpc":"2.0"}]"#);
        assert_eq!(batch.len(), 2);
        assert!(batch[0].is_ok() && batch[1].is_err());
    }

    #[test]
    fn what_is_no_message_is_noise_or_a_breach() {
        for line in ["Starting up…", "", "   ", "[info] listening", "\u{1b}[32mok\u{1b}[0m"] {
            assert_eq!(parse(line.as_bytes()), [Err(Broken::Noise)], "{line}");
        }
        for line in [
            "{",
            "{}",
            r#"{"jsonrpc":"2.0","id":7}"#,
            r#"{"jsonrpc":"2.0","id":"seven","result":1}"#,
            r#"{"jsonrpc":"1.0","method":"ping"}"#,
            r#"{"method":1,"jsonrpc":"2.0"}"#,
        ] {
            assert!(matches!(parse(line.as_bytes())[..], [Err(Broken::Breach(_))]), "{line}");
        }
    }

    #[test]
    fn an_answer_of_another_version_says_so() {
        let line = br#"{"jsonrpc":"1.0","id":4,"result":1}"#;
        let Ok(Message::Answer(answer)) = parse(line).remove(0) else { panic!("no answer") };
        assert_eq!((answer.id, answer.version.as_deref()), (Some(4), Some("1.0")));
    }

    #[test]
    fn the_ends_of_a_line_tell_whose_it_is() {
        assert_eq!(
            whose(br#"{"jsonrpc":"2.0","id":8,"result":{"content":"xx"#, b"xxx\"}}"),
            Some(8)
        );
        assert_eq!(whose(br#"{"result":"xx"#, br#"xx"},"jsonrpc":"2.0","id":9}"#), Some(9));
        assert_eq!(whose(br#"{"result":"xx"#, br#"xx"},"id":10,"jsonrpc":"2.0"}"#), Some(10));
        assert_eq!(whose(br#"{"result":"xx"#, br#"xx\"jsonrpc\":\"2.0\",\"id\":9}"}"#), None);
        assert_eq!(whose(br#"{"result":{"a":"xx"#, br#"x","jsonrpc":"2.0","id":9}}"#), None);
        assert_eq!(whose(br#"{"method":"notifications/progress","params":{"x"#, b"x}}"), None);
    }

    #[test]
    fn what_is_asked_is_answered() {
        let pong: Value = serde_json::from_str(&answer_to(&json!("p"), "ping")).unwrap();
        assert_eq!(pong, json!({"jsonrpc": "2.0", "id": "p", "result": {}}));
        let no: Value = serde_json::from_str(&answer_to(&json!(1), "roots/list")).unwrap();
        assert_eq!(no["error"]["code"], NO_METHOD);
    }

    proptest! {
        #[test]
        fn no_line_is_too_odd(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
            let _ = whose(&line, &line);
        }

        #[test]
        fn no_message_is_too_odd(
            id in prop_oneof![Just(json!(null)), Just(json!(1)), Just(json!("x")), Just(json!({}))],
            code in prop_oneof![Just(json!(-1)), Just(json!("x")), Just(json!(1e300))],
        ) {
            for field in ["result", "error", "method", "params"] {
                let line = json!({"jsonrpc": "2.0", "id": id, field: {"code": code}}).to_string();
                let _ = parse(line.as_bytes());
            }
        }
    }
}
