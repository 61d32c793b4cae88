//! A task as its events tell it: where it stands, what it has given, and what cannot be.

use serde_json::{Value, json};

use super::model::{Artifact, Event, Message, State, Status, Task, join_text};
use crate::base::payload::Payload;
use crate::{Code, Error, Result};

/// Bytes of an answer, at most.
const MOST: usize = 16 << 20;
/// Artifacts of a task, at most.
const ARTIFACTS: usize = 4096;

/// What is known of a task.
#[derive(Default)]
pub(super) struct Story {
    pub(super) task: Option<String>,
    pub(super) context: Option<String>,
    pub(super) state: Option<State>,
    said: Option<Message>,
    /// A message that is the whole answer: there is no task.
    message: Option<Message>,
    artifacts: Vec<Artifact>,
    history: Vec<Message>,
    bytes: usize,
}

impl Story {
    /// Takes an event, and gives what is to be reported of it.
    ///
    /// # Errors
    /// [`Code::AGENT_PROTOCOL`] for what cannot follow what was before.
    pub(super) fn apply(&mut self, event: Event) -> Result<Option<Payload>> {
        match event {
            Event::Message(message) => {
                if self.task.is_some() {
                    return Err(wrong("a message came where a task had begun"));
                }
                self.context = message.context.clone();
                self.message = Some(message);
                Ok(None)
            }
            Event::Task(task) => self.snapshot(task).map(|()| None),
            Event::Status { task, context, status } => {
                self.same_task(&task)?;
                self.context = context.or(self.context.take());
                let report = report_of(&status);
                self.status(status)?;
                Ok(Some(report))
            }
            Event::Artifact { task, artifact, append, last } => {
                self.same_task(&task)?;
                if self.state.is_some_and(State::is_terminal) {
                    return Err(self.illegal("an artifact"));
                }
                let report = json!({"artifact": {"id": artifact.id, "name": artifact.name,
                    "parts": artifact.parts, "append": append, "last": last}});
                self.artifact(artifact, append)?;
                Ok(Some(report.into()))
            }
        }
    }

    /// Takes a task as a whole: it says all that its earlier events said.
    pub(super) fn snapshot(&mut self, task: Task) -> Result<()> {
        self.same_task(&task.id)?;
        self.context = task.context.or(self.context.take());
        self.status(task.status)?;
        if task.artifacts.len() > ARTIFACTS {
            return Err(wrong("the task has more artifacts than allowed"));
        }
        if !task.artifacts.is_empty() {
            self.bytes = 0;
            self.artifacts.clear();
            for artifact in task.artifacts {
                self.artifact(artifact, false)?;
            }
        }
        if !task.history.is_empty() {
            self.history = task.history;
        }
        Ok(())
    }

    /// What there is to report of a status, if it is not the one that was.
    pub(super) fn news(&self, status: &Status) -> Option<Payload> {
        let text = |message: Option<&Message>| message.map(Message::text);
        let same = self.state == Some(status.state)
            && text(self.said.as_ref()) == text(status.message.as_ref().or(self.said.as_ref()));
        (!same).then(|| report_of(status))
    }

    fn same_task(&mut self, task: &str) -> Result<()> {
        if self.message.is_some() {
            return Err(wrong("a task began after a message had answered"));
        }
        match &self.task {
            None if task.is_empty() => return Err(wrong("an update does not say of which task")),
            None => self.task = Some(task.to_owned()),
            // Some leave it out once it is known.
            Some(known) if task.is_empty() || known == task => {}
            Some(known) => {
                return Err(wrong("an update is of another task")
                    .with("task", known)
                    .with("other", task));
            }
        }
        Ok(())
    }

    fn status(&mut self, status: Status) -> Result<()> {
        if self.state.is_some_and(|before| before.is_terminal() && before != status.state) {
            return Err(self.illegal(status.state.name()));
        }
        self.state = Some(status.state);
        if status.message.is_some() {
            self.said = status.message;
        }
        Ok(())
    }

    fn artifact(&mut self, artifact: Artifact, append: bool) -> Result<()> {
        self.bytes += artifact.parts.iter().map(size_of_json).sum::<usize>();
        if self.bytes > MOST {
            return Err(wrong("the answer is longer than allowed").with("bytes", MOST));
        }
        let known = self.artifacts.iter().position(|known| known.id == artifact.id);
        let at = known.unwrap_or(self.artifacts.len());
        if at >= ARTIFACTS {
            return Err(wrong("the task has more artifacts than allowed"));
        }
        let Artifact { id, name, parts } = artifact;
        if known.is_none() {
            self.artifacts.push(Artifact { id, name, parts: Vec::new() });
        }
        if let Some(known) = self.artifacts.get_mut(at) {
            if !append {
                known.parts.clear();
            }
            for part in parts {
                append_part(&mut known.parts, part);
            }
        }
        Ok(())
    }

    fn illegal(&self, then: &str) -> Error {
        let before = self.state.map_or("nothing", State::name);
        wrong("the task went from a final state to another one")
            .with("task", self.task.as_deref().unwrap_or_default())
            .with("from", before)
            .with("to", then)
    }

    /// Whether there is nothing to wait for.
    pub(super) fn is_resting(&self) -> bool {
        self.message.is_some() || self.state.is_some_and(State::is_resting)
    }

    /// Whether the agent may still be at work.
    pub(super) fn is_running(&self) -> bool {
        self.task.is_some() && !self.is_resting()
    }

    /// What came of it; `whole` is for a task that was asked in parts.
    pub(super) fn outcome(self, whole: bool) -> Result<Payload> {
        let said = self.said.as_ref().map(Message::text).unwrap_or_default();
        let failed = |code: Code, what: &'static str| {
            let message = if said.is_empty() { what.to_owned() } else { cut(&said) };
            let error = Error::new(code, message)
                .operation("agent.a2a")
                .with("task", self.task.as_deref().unwrap_or_default())
                .with("context", self.context.as_deref().unwrap_or_default())
                .with("state", self.state.map_or("unknown", State::name));
            Err(error)
        };
        match self.state {
            Some(State::Failed) => return failed(Code::AGENT_FAILED, "the agent failed"),
            Some(State::Rejected) => {
                return failed(Code::AGENT_FAILED, "the agent refused the task")
                    .map_err(|error| error.classed(crate::Class::Persistent));
            }
            Some(State::Canceled) => {
                return failed(Code::CANCELLED, "the agent's task was cancelled");
            }
            Some(State::InputRequired | State::AuthRequired) => {
                return failed(Code::AGENT_FAILED, "the agent needs more than it was given").map_err(
                    |error| {
                        error.classed(crate::Class::Persistent).advice(
                            "ask again with {\"parts\": […], \"task\": …, \"context\": …} of this error",
                        )
                    },
                );
            }
            _ => {}
        }
        let (task, context) = (self.task.clone(), self.context.clone());
        let parts = self.parts();
        if whole {
            return Ok(json!({"parts": parts, "task": task, "context": context}).into());
        }
        if let Some(text) = join_text(&parts) {
            return Ok(text.into());
        }
        if let [one] = parts.as_slice()
            && let Some(data) = one.get("data")
        {
            return Ok(data.clone().into());
        }
        Ok(if parts.is_empty() { Payload::NULL } else { json!({ "parts": parts }).into() })
    }

    /// What it gave: its artifacts; else what it said last.
    fn parts(self) -> Vec<Value> {
        if let Some(message) = self.message {
            return message.parts;
        }
        let parts: Vec<_> =
            self.artifacts.into_iter().flat_map(|artifact| artifact.parts).collect();
        if !parts.is_empty() {
            return parts;
        }
        let said = self.said.filter(|message| !message.parts.is_empty());
        let last = || self.history.into_iter().rev().find(|message| message.from_agent);
        said.or_else(last).map(|message| message.parts).unwrap_or_default()
    }
}

/// Text that goes on is one text; anything else is another part. A task as a whole keeps the pieces of
/// an artifact as parts, and must read as the pieces did.
fn append_part(parts: &mut Vec<Value>, part: Value) {
    let only_text = |part: &Value| part.as_object().is_some_and(|fields| fields.len() == 1);
    if let Some(before) = parts.last_mut()
        && only_text(before)
        && only_text(&part)
        && let (Some(Value::String(before)), Some(Value::String(more))) =
            (before.get_mut("text"), part.get("text"))
    {
        before.push_str(more);
        return;
    }
    parts.push(part);
}

fn report_of(status: &Status) -> Payload {
    let text = status.message.as_ref().map(Message::text);
    json!({"status": {"state": status.state.name(), "text": text}}).into()
}

fn size_of_json(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 16,
        Value::Array(items) => items.iter().map(size_of_json).sum::<usize>() + 16,
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| name.len() + size_of_json(value)).sum::<usize>() + 16
        }
        _ => 16,
    }
}

fn cut(text: &str) -> String {
    crate::agent::connect::http::cut(text, 1000).to_owned()
}

pub(super) fn wrong(what: &'static str) -> Error {
    Error::new(Code::AGENT_PROTOCOL, what).operation("agent.a2a")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::wire::Dialect;
    use super::*;

    fn told(events: &[Value]) -> Result<Story> {
        let mut story = Story::default();
        for event in events {
            story.apply(Event::parse(event, Dialect::V1).unwrap())?;
        }
        Ok(story)
    }

    fn status(state: &str) -> Value {
        json!({"statusUpdate": {"taskId": "t", "contextId": "c", "status": {"state": state}}})
    }

    fn artifact(id: &str, parts: Value, append: bool) -> Value {
        json!({"artifactUpdate": {"taskId": "t", "append": append,
            "artifact": {"artifactId": id, "parts": parts}}})
    }

    fn outcome(events: &[Value]) -> Value {
        let payload = told(events).unwrap().outcome(false).unwrap();
        (*payload.value().unwrap()).clone()
    }

    #[test]
    fn pieces_of_an_artifact_are_one_text() {
        let events = [
            status("TASK_STATE_WORKING"),
            artifact("a", json!([{"text": "good "}]), false),
            artifact("a", json!([{"text": "day"}]), true),
            artifact("b", json!([{"text": "second"}]), false),
            status("TASK_STATE_COMPLETED"),
        ];
        assert_eq!(outcome(&events), "good day\nsecond");
    }

    #[test]
    fn a_task_as_a_whole_reads_as_its_pieces_did() {
        let parts = json!([{"text": "good "}, {"text": "day"}]);
        let task = json!({"task": {"id": "t", "status": {"state": "TASK_STATE_COMPLETED"},
            "artifacts": [{"artifactId": "a", "parts": parts}]}});
        assert_eq!(outcome(&[task]), "good day");
        let said =
            json!({"message": {"role": "ROLE_AGENT", "parts": [{"text": "a"}, {"text": "b"}]}});
        assert_eq!(outcome(&[said]), "a\nb");
    }

    #[test]
    fn answers_have_the_form_of_their_parts() {
        let done = status("TASK_STATE_COMPLETED");
        let with = |parts: Value| outcome(&[artifact("a", parts, false), done.clone()]);
        assert_eq!(with(json!([{"data": {"x": 1}}])), json!({"x": 1}));
        let mixed = json!([{"text": "a"}, {"data": 1}]);
        assert_eq!(with(mixed.clone()), json!({ "parts": mixed }));
        assert_eq!(outcome(std::slice::from_ref(&done)), Value::Null);
        assert_eq!(
            outcome(&[json!({"message": {"role": "ROLE_AGENT", "parts": [{"text": "hi"}]}})]),
            "hi"
        );
        let said = json!({"task": {"id": "t", "status": {"state": "TASK_STATE_COMPLETED"}, "history": [
            {"role": "ROLE_AGENT", "parts": [{"text": "hist"}]}, {"role": "ROLE_USER", "parts": [{"text": "me"}]}]}});
        assert_eq!(outcome(&[said]), "hist");
    }

    #[test]
    fn nothing_follows_a_final_state() {
        let done = status("TASK_STATE_COMPLETED");
        for then in [
            status("TASK_STATE_WORKING"),
            status("TASK_STATE_FAILED"),
            artifact("a", json!([{"text": "late"}]), false),
            json!({"task": {"id": "t", "status": {"state": "TASK_STATE_SUBMITTED"}}}),
            json!({"message": {"parts": [{"text": "hi"}]}}),
        ] {
            let error = told(&[done.clone(), then.clone()]).err().unwrap();
            assert_eq!(error.code(), Code::AGENT_PROTOCOL, "{then}");
        }
        // Saying it twice is no contradiction.
        assert!(told(&[done.clone(), done.clone()]).is_ok());
        let other =
            json!({"statusUpdate": {"taskId": "u", "status": {"state": "TASK_STATE_WORKING"}}});
        assert!(told(&[status("TASK_STATE_WORKING"), other]).is_err());
    }

    /// JSON of the words that events are made of, in any places.
    fn any_json() -> impl Strategy<Value = Value> {
        let word = prop_oneof![
            Just("t"),
            Just("u"),
            Just("TASK_STATE_WORKING"),
            Just("TASK_STATE_COMPLETED"),
            Just("failed"),
            Just("task"),
            Just("message"),
            Just("status-update"),
            Just("artifact-update"),
            Just(""),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i8>().prop_map(Value::from),
            word.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            let keys = prop::sample::select(vec![
                "kind",
                "id",
                "taskId",
                "contextId",
                "status",
                "state",
                "message",
                "task",
                "artifact",
                "parts",
                "text",
                "data",
                "file",
                "artifacts",
                "history",
                "statusUpdate",
                "artifactUpdate",
                "append",
                "role",
                "artifactId",
                "content",
                "msg",
                "update",
            ]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(keys.prop_map(str::to_owned), inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_taken_or_refused(said in prop::collection::vec(any_json(), 0..12)) {
            for dialect in [Dialect::V1, Dialect::V03, Dialect::Proto03] {
                let mut story = Story::default();
                let mut ended = None;
                for value in &said {
                    let Ok(event) = Event::parse(value, dialect) else { continue };
                    let _ = story.apply(event);
                    // No state follows a final one.
                    prop_assert!(ended.is_none() || story.state == ended);
                    ended = story.state.filter(|state| state.is_terminal());
                }
                let _ = story.outcome(false);
            }
        }
    }

    #[test]
    fn an_answer_has_a_bound() {
        let mut story = Story::default();
        let block = "x".repeat(1 << 20);
        let added = (0..20).try_for_each(|_| {
            let event = artifact("a", json!([{"text": block}]), true);
            story.apply(Event::parse(&event, Dialect::V1).unwrap()).map(|_| ())
        });
        assert_eq!(added.unwrap_err().code(), Code::AGENT_PROTOCOL);
    }
}
