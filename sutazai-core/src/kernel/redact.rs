//! Parts of an answer that are not for whoever gets it.

use std::sync::Arc;

use serde_json::Value;

use crate::base::payload::Payload;
use crate::base::ticket::{self, Ticket};
use crate::port::Outcome;

const HIDDEN: &str = "[redacted]";

/// The ticket, whose answer and parts have these fields hidden: names, at any depth, or JSON pointers.
pub(super) fn redacted(inner: Ticket<Outcome>, fields: Arc<[String]>) -> Ticket<Outcome> {
    let (outer, reply) = ticket::pair();
    if let (Some(settler), Some(parts)) = (inner.settler(), reply.settler()) {
        reply.on_cancel(move || {
            settler.cancel();
        });
        let fields = Arc::clone(&fields);
        inner.on_part(move |part| parts.progress(hide(&part, &fields)));
    }
    inner.on_done(move |answer| {
        let answer = answer.map(|mut outcome| {
            outcome.output = hide(&outcome.output, &fields);
            outcome
        });
        // Nobody waits any more, where it is too late.
        drop(reply.answer(answer));
    });
    outer
}

fn hide(payload: &Payload, fields: &[String]) -> Payload {
    if payload.as_bytes().is_some() {
        return Payload::from(HIDDEN);
    }
    let Ok(value) = payload.value() else { return Payload::from(HIDDEN) };
    match &*value {
        Value::String(_) => Payload::from(HIDDEN),
        Value::Object(_) | Value::Array(_) => {
            let mut value = Value::clone(&value);
            for field in fields {
                if field.starts_with('/') {
                    if let Some(there) = value.pointer_mut(field) {
                        *there = HIDDEN.into();
                    }
                } else {
                    hide_named(&mut value, field);
                }
            }
            Payload::from(value)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => payload.clone(),
    }
}

/// Values are as deep as the reader of JSON lets them be.
fn hide_named(value: &mut Value, name: &str) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if key == name {
                    *value = HIDDEN.into();
                } else {
                    hide_named(value, name);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| hide_named(value, name)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hidden(value: impl Into<Payload>, fields: &[&str]) -> Value {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        Value::clone(&hide(&value.into(), &fields).value().unwrap())
    }

    #[test]
    fn fields_are_hidden_by_name_and_by_pointer() {
        let value = json!({"ssn": 1, "who": [{"ssn": {"a": 1}, "name": "x"}], "card": {"no": 2}});
        let expected =
            json!({"ssn": HIDDEN, "who": [{"ssn": HIDDEN, "name": "x"}], "card": {"no": HIDDEN}});
        assert_eq!(hidden(value.clone(), &["ssn", "/card/no", "/nothing"]), expected);
        assert_eq!(hidden(value.clone(), &["nothing"]), value);
        assert_eq!(hidden("free text with an ssn", &["ssn"]), json!(HIDDEN));
        assert_eq!(hidden(Payload::bytes(vec![1, 2]), &["ssn"]), json!(HIDDEN));
        assert_eq!(hidden(json!(7), &["ssn"]), json!(7));
    }
}
