//! What is asked: the body of a request, made of a task's input.

use serde_json::{Map, Value, json};

use super::spec::OpenAiSpec;
use crate::base::payload::Payload;
use crate::{Code, Error, Result};

/// The body, and the form in which the task wants its answer.
pub(super) struct Asked {
    pub(super) body: Value,
    /// The input was text: so is the answer.
    pub(super) plain: bool,
}

impl Asked {
    pub(super) fn of(input: &Payload, spec: &OpenAiSpec) -> Result<Self> {
        let given = input.value()?;
        let (mut body, plain) = match &*given {
            Value::String(text) => (one_message(text), true),
            Value::Array(messages) => {
                (Map::from_iter([("messages".to_owned(), messages.clone().into())]), false)
            }
            Value::Object(fields) => (fields.clone(), false),
            _ => return Err(bad("a task of a model needs a text or messages", None)),
        };
        for key in ["model", "stream", "stream_options"] {
            if body.contains_key(key) {
                return Err(bad("the connector sets this itself", Some(key)));
            }
        }
        if body.get("n").is_some_and(|n| *n != 1) {
            return Err(bad("one answer is asked for, not several", Some("n")));
        }
        let Some(Value::Array(messages)) = body.get_mut("messages") else {
            return Err(bad("the input has no messages", Some("messages")));
        };
        if messages.is_empty() || !messages.iter().all(Value::is_object) {
            return Err(bad("messages must be objects, at least one", Some("messages")));
        }
        let first = messages.first().and_then(|first| first.get("role")).and_then(Value::as_str);
        if let Some(system) = &spec.system
            && !matches!(first, Some("system" | "developer"))
        {
            messages.insert(0, json!({"role": "system", "content": system}));
        }
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.entry(key).or_insert(value);
            }
        };
        set("model", Some(spec.model.as_str().into()));
        set("temperature", spec.temperature.map(Into::into));
        if let Some(most) = spec.max_tokens.filter(|_| body_has_no_bound(&body)) {
            body.insert("max_tokens".to_owned(), most.into());
        }
        if spec.stream {
            body.insert("stream".to_owned(), true.into());
            body.insert("stream_options".to_owned(), json!({"include_usage": true}));
        }
        Ok(Self { body: body.into(), plain })
    }
}

fn one_message(text: &str) -> Map<String, Value> {
    let messages = json!([{"role": "user", "content": text}]);
    Map::from_iter([("messages".to_owned(), messages)])
}

/// OpenAI's newer models know the bound under another name, which the input may use.
fn body_has_no_bound(body: &Map<String, Value>) -> bool {
    !body.contains_key("max_tokens") && !body.contains_key("max_completion_tokens")
}

fn bad(what: &'static str, key: Option<&str>) -> Error {
    let error = Error::new(Code::INVALID, what).operation("agent.openai");
    let error = key.map_or(error.clone(), |key| error.with("key", key));
    error.advice("the input is a text, messages, or an object with messages")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> OpenAiSpec {
        OpenAiSpec::new("a", "http://h/v1", "m").stream(false)
    }

    fn body(input: Value, spec: &OpenAiSpec) -> Value {
        Asked::of(&input.into(), spec).unwrap().body
    }

    #[test]
    fn a_text_is_one_message() {
        assert_eq!(
            body("hi".into(), &spec()),
            json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
        );
        let spec = spec().system("be short").temperature(0.5).max_tokens(9).stream(true);
        assert_eq!(
            body("hi".into(), &spec),
            json!({"model": "m", "temperature": 0.5, "max_tokens": 9, "stream": true,
                "stream_options": {"include_usage": true},
                "messages": [{"role": "system", "content": "be short"}, {"role": "user", "content": "hi"}]})
        );
    }

    #[test]
    fn what_the_input_says_goes_before_what_the_spec_says() {
        let spec = spec().system("be short").temperature(0.5).max_tokens(9);
        let messages = json!([{"role": "developer", "content": "x"}]);
        let input = json!({"messages": messages, "temperature": 1, "max_completion_tokens": 2,
            "tools": [], "n": 1});
        let mut expected = input.clone();
        expected["model"] = "m".into();
        assert_eq!(body(input, &spec), expected);
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let messages = json!([{"role": "user", "content": "x"}]);
        for input in [
            json!(null),
            json!(7),
            json!({}),
            json!([]),
            json!(["x"]),
            json!({"messages": "x"}),
            json!({"messages": messages, "model": "other"}),
            json!({"messages": messages, "stream": true}),
            json!({"messages": messages, "n": 2}),
        ] {
            let error = Asked::of(&input.clone().into(), &spec()).err().unwrap();
            assert_eq!(error.code(), Code::INVALID, "{input}");
        }
    }
}
