//! The messages, as they are written and read. The module's documentation is their specification.

use std::fmt::{self, Write as _};

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::dialect::push_json;
use crate::base::error::Class;
use crate::observe::Level;
use crate::port::{AgentCard, Task, Usage};

/// The version of the protocol.
pub(super) const VERSION: u64 = 1;

/// What a `task` message has beside skill and input, in bytes, at most: five numbers and ids, keys.
const OVERHEAD: usize = 256;

pub(super) const DESCRIBE: &str = "{\"v\":1,\"type\":\"describe\"}\n";
pub(super) const PING: &str = "{\"v\":1,\"type\":\"ping\"}\n";
pub(super) const STOP: &str = "{\"v\":1,\"type\":\"stop\"}\n";

pub(super) fn cancel(id: u64) -> String {
    format!("{{\"v\":1,\"type\":\"cancel\",\"id\":{id}}}\n")
}

/// The length of the task's message, or a little more.
pub(super) fn task_length(task: &Task, input: &str) -> usize {
    // A character of a skill takes up to six bytes in JSON (\u0000).
    input.len().saturating_add(task.skill().len().saturating_mul(6)).saturating_add(OVERHEAD)
}

/// `input` is JSON text.
pub(super) fn task(id: u64, task: &Task, input: &str, timeout_ms: Option<u64>) -> String {
    let mut line = String::with_capacity(task_length(task, input));
    let skill = Value::from(task.skill());
    // Writing into a string does not fail.
    let _ = write!(line, "{{\"v\":1,\"type\":\"task\",\"id\":{id},\"skill\":{skill}");
    if let Some(ms) = timeout_ms {
        let _ = write!(line, ",\"timeout_ms\":{ms}");
    }
    let place = task.trace();
    let _ = write!(line, ",\"trace\":\"{}\",\"span\":\"{}\"", place.trace, place.span);
    line.push_str(",\"input\":");
    push_json(&mut line, input);
    line.push_str("}\n");
    line
}

/// A message from the process.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    /// `pings`: it answers pings, whatever it does.
    Ready {
        pings: bool,
    },
    Pong,
    Card(AgentCard),
    Progress {
        id: u64,
        part: Value,
    },
    Result {
        id: u64,
        output: Value,
        usage: Option<Usage>,
    },
    Error {
        id: u64,
        failure: Failure,
    },
    Log {
        level: Level,
        message: String,
    },
}

/// What a process says of a task that failed.
#[derive(Debug, PartialEq)]
pub(super) struct Failure {
    pub(super) message: String,
    pub(super) class: Option<Class>,
    pub(super) code: Option<Value>,
}

/// Reads one line. The error says what is wrong with it.
pub(super) fn parse(line: &[u8]) -> Result<Message, String> {
    let text = std::str::from_utf8(line)
        .map_err(|e| format!("invalid UTF-8 at byte {}", e.valid_up_to()))?;
    let raw: Raw = serde_json::from_str(text).map_err(|e| format!("not a message: {e}"))?;
    match raw.v {
        Some(VERSION) => {}
        Some(other) => return Err(format!("\"v\":{other}, but this is version {VERSION}")),
        None => return Err(format!("\"v\":{VERSION} is missing")),
    }
    let id = raw.id.ok_or_else(|| format!("a {:?} message needs an \"id\"", raw.kind));
    match raw.kind.as_str() {
        "ready" => Ok(Message::Ready { pings: raw.pings }),
        "pong" => Ok(Message::Pong),
        "card" => raw.card.map(Message::Card).ok_or_else(|| "\"card\" is missing".to_owned()),
        "progress" => Ok(Message::Progress { id: id?, part: raw.part }),
        "result" => {
            if let Some(usage) = &raw.usage {
                usage.check().map_err(|error| format!("\"usage\": {}", error.message()))?;
            }
            Ok(Message::Result { id: id?, output: raw.output, usage: raw.usage })
        }
        "error" => {
            let message = raw.message.ok_or("an error needs a \"message\"")?;
            let failure = Failure { message, class: raw.class, code: raw.code };
            Ok(Message::Error { id: id?, failure })
        }
        "log" => Ok(Message::Log {
            level: level(raw.level.as_deref().unwrap_or("info"))?,
            message: raw.message.ok_or("a log message needs a \"message\"")?,
        }),
        other => Err(format!("unknown type {:?}", other.chars().take(32).collect::<String>())),
    }
}

/// The id in the beginning of a line that was too long to be read, if it answers a call.
pub(super) fn id_of_beginning(head: &[u8]) -> Option<u64> {
    // The head may end within a character; what comes before it is good enough.
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(e) => std::str::from_utf8(head.get(..e.valid_up_to())?).ok()?,
    };
    let mut found = Beginning::default();
    let mut json = serde_json::Deserializer::from_str(text);
    // It ends in the middle: what was read until then is in `found`.
    let _ = json.deserialize_map(&mut found);
    let answers = matches!(found.kind.as_deref(), Some("result" | "error"));
    found.id.filter(|_| answers)
}

/// Any message; which fields count depends on the type. Fields that are not known are ignored, so
/// that later versions may add some.
#[derive(serde::Deserialize)]
struct Raw {
    v: Option<u64>,
    #[serde(rename = "type")]
    kind: String,
    id: Option<u64>,
    #[serde(default)]
    part: Value,
    usage: Option<Usage>,
    #[serde(default)]
    output: Value,
    message: Option<String>,
    class: Option<Class>,
    code: Option<Value>,
    level: Option<String>,
    card: Option<AgentCard>,
    #[serde(default)]
    pings: bool,
}

fn level(name: &str) -> Result<Level, String> {
    // Python's `logging` knows a level above error.
    match Level::parse(name) {
        Some(level) => Ok(level),
        None if name.eq_ignore_ascii_case("critical") => Ok(Level::Error),
        None => Err("\"level\" must be trace, debug, info, warn or error".to_owned()),
    }
}

/// Keeps what it has read when the text ends too early.
#[derive(Default)]
struct Beginning {
    kind: Option<String>,
    id: Option<u64>,
}

impl<'de> Visitor<'de> for &mut Beginning {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "type" => self.kind = Some(map.next_value()?),
                "id" => self.id = Some(map.next_value()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{CallId, SpanId, TraceId};
    use crate::base::payload::Payload;
    use crate::base::time::Moment;
    use crate::port::Trace;
    use proptest::prelude::*;

    #[test]
    fn a_task_is_one_line_whatever_its_input() {
        let input = Payload::json_text("{\n  \"a\": \"b\\n\",\r\n \"c\": 1 }").unwrap();
        let place = Trace { trace: TraceId(1), span: SpanId(2) };
        let subject =
            Task::new("sk\"ill\n", input).called(&"a".into(), CallId(9), place, Moment::FAR);
        let line = task(7, &subject, &subject.input().to_text(), Some(50));
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.len() <= task_length(&subject, &subject.input().to_text()));
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"v": 1, "type": "task", "id": 7, "skill": "sk\"ill\n",
                "timeout_ms": 50, "trace": "00000000000000000000000000000001",
                "span": "0000000000000002", "input": {"a": "b\n", "c": 1}})
        );
    }

    #[test]
    fn fixed_messages_are_json_lines() {
        for (line, kind) in
            [(DESCRIBE, "describe"), (PING, "ping"), (STOP, "stop"), (&*cancel(3), "cancel")]
        {
            let value: Value = serde_json::from_str(line).unwrap();
            assert!(line.ends_with('\n'));
            assert_eq!((&value["v"], &value["type"]), (&Value::from(1), &Value::from(kind)));
        }
    }

    #[test]
    fn breaches_are_named() {
        for (line, part) in [
            (&b"\xff{}"[..], "UTF-8"),
            (b"hello", "not a message"),
            (b"[]", "not a message"),
            (b"{\"type\":\"ready\"}", "\"v\":1 is missing"),
            (b"{\"v\":2,\"type\":\"ready\"}", "version 1"),
            (b"{\"v\":1,\"type\":\"dance\"}", "unknown type"),
            (b"{\"v\":1,\"type\":\"result\",\"output\":1}", "needs an \"id\""),
            (b"{\"v\":1,\"type\":\"error\",\"id\":1}", "\"message\""),
            (b"{\"v\":1,\"type\":\"log\",\"level\":\"loud\",\"message\":\"\"}", "level"),
            (b"{\"v\":1,\"type\":\"ready\",\"v\":1}", "duplicate"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(part), "{error} lacks {part}");
        }
    }

    #[test]
    fn the_beginning_of_a_line_tells_whose_it_is() {
        let head = br#"{"v":1,"extra":[1,{"a":2}],"type":"result","id":42,"output":"xxxxxxxx"#;
        assert_eq!(id_of_beginning(head), Some(42));
        assert_eq!(id_of_beginning(br#"{"v":1,"type":"progress","id":42,"part":"xx"#), None);
        assert_eq!(id_of_beginning(br#"{"v":1,"output":"xxxxxx"#), None);
        assert_eq!(id_of_beginning(b"{\"type\":\"result\",\"id\":7,\"output\":\"\xc3"), Some(7));
    }

    proptest! {
        #[test]
        fn no_line_is_too_odd(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
            let _ = id_of_beginning(&line);
        }
    }
}
