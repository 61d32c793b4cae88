//! What set a playbook off, and what its parameters take from that.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Engine;
use crate::base::payload::Payload;
use crate::base::time::Moment;

/// A payload of more bytes does not go into the record.
const LONGEST_PAYLOAD: usize = 4_096;

impl Engine {
    /// What set a playbook off, as the record has it.
    pub(super) fn trigger(
        &self,
        index: usize,
        event: Option<&(Arc<str>, Payload)>,
        now: Moment,
    ) -> Payload {
        let mut trigger = serde_json::Map::new();
        if let Some((subject, payload)) = event {
            let bytes = payload.to_text().len();
            let shown = if bytes > LONGEST_PAYLOAD {
                json!({"subject": &**subject, "omitted_bytes": bytes})
            } else {
                json!({"subject": &**subject, "payload": *payload.value().unwrap_or_default()})
            };
            trigger.insert("event".to_owned(), shown);
        }
        let mut signals = BTreeMap::new();
        if let Some(state) = self.states.get(index) {
            state.tree.signals(&|name| self.says(name, now), &mut signals);
        }
        if !signals.is_empty() {
            trigger.insert("signals".to_owned(), json!(signals));
        }
        Value::from(trigger).into()
    }
}

/// Parameters with what they take from the event.
pub(super) fn fill(params: &Payload, event: Option<&(Arc<str>, Payload)>) -> Payload {
    let Ok(template) = params.value() else { return params.clone() };
    let payload = event.and_then(|(_, payload)| payload.value().ok()).unwrap_or_default();
    filled(&template, event.map(|(subject, _)| &**subject), &payload).into()
}

fn filled(template: &Value, subject: Option<&str>, payload: &Value) -> Value {
    match template {
        Value::String(text) if text == "$subject" => subject.into(),
        Value::String(text) => match text.strip_prefix('$').filter(|at| at.starts_with('/')) {
            Some(at) => payload.pointer(at).cloned().unwrap_or_default(),
            None => template.clone(),
        },
        Value::Array(items) => items.iter().map(|item| filled(item, subject, payload)).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, item)| (key.clone(), filled(item, subject, payload))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => template.clone(),
    }
}
