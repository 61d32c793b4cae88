//! The protocol's words, in the spellings of 1.0 and 0.3, as one form.
//!
//! 0.3 tells things apart by a field `kind` and writes states in lower case (`input-required`); 1.0
//! names the member (`statusUpdate`) and writes `TASK_STATE_INPUT_REQUIRED`. Parts are kept as 1.0 has
//! them: `{text}`, `{data}`, `{url}` or `{raw}`, with `mediaType`, `filename` and `metadata`.

use serde_json::{Map, Value, json};

use super::wire::Dialect;

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Unknown,
    Submitted,
    Working,
    InputRequired,
    AuthRequired,
    Completed,
    Failed,
    Canceled,
    Rejected,
}

impl State {
    /// The state of this name, in either spelling.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let name = name.strip_prefix("TASK_STATE_").unwrap_or(name);
        let name = name.to_ascii_lowercase().replace('_', "-");
        Some(match name.as_str() {
            "unknown" | "unspecified" => Self::Unknown,
            "submitted" => Self::Submitted,
            "working" => Self::Working,
            "input-required" => Self::InputRequired,
            "auth-required" => Self::AuthRequired,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "canceled" | "cancelled" => Self::Canceled,
            "rejected" => Self::Rejected,
            _ => return None,
        })
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Submitted => "submitted",
            Self::Working => "working",
            Self::InputRequired => "input-required",
            Self::AuthRequired => "auth-required",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Rejected => "rejected",
        }
    }

    /// Nothing comes after it.
    pub(super) const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled | Self::Rejected)
    }

    /// Nothing comes after it until somebody does something.
    pub(super) const fn is_resting(self) -> bool {
        self.is_terminal() || matches!(self, Self::InputRequired | Self::AuthRequired)
    }
}

/// What an agent says.
#[derive(Debug)]
pub(super) enum Event {
    Message(Message),
    Task(Task),
    Status { task: String, context: Option<String>, status: Status },
    Artifact { task: String, artifact: Artifact, append: bool, last: bool },
}

#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) from_agent: bool,
    pub(super) parts: Vec<Value>,
    pub(super) context: Option<String>,
}

#[derive(Debug)]
pub(super) struct Status {
    pub(super) state: State,
    pub(super) message: Option<Message>,
}

#[derive(Debug)]
pub(super) struct Artifact {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) parts: Vec<Value>,
}

#[derive(Debug)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) context: Option<String>,
    pub(super) status: Status,
    pub(super) artifacts: Vec<Artifact>,
    pub(super) history: Vec<Message>,
}

/// Why something is no event.
pub(super) type Wrong = String;

impl Event {
    pub(super) fn parse(value: &Value, dialect: Dialect) -> Result<Self, Wrong> {
        match value.get("kind").and_then(Value::as_str) {
            Some("message") => return Ok(Self::Message(Message::parse(value, dialect))),
            Some("task") => return Ok(Self::Task(Task::parse(value, dialect)?)),
            Some("status-update") => return Self::status(value, dialect),
            Some("artifact-update") => return Self::artifact(value, dialect),
            Some(other) => return Err(format!("an event of the unknown kind {other:?}")),
            None => {}
        }
        let member = |name: &str| value.get(name).filter(|member| member.is_object());
        if let Some(task) = member("task") {
            return Ok(Self::Task(Task::parse(task, dialect)?));
        }
        if let Some(message) = member("message").or_else(|| member("msg")) {
            return Ok(Self::Message(Message::parse(message, dialect)));
        }
        if let Some(update) = member("statusUpdate") {
            return Self::status(update, dialect);
        }
        if let Some(update) = member("artifactUpdate") {
            return Self::artifact(update, dialect);
        }
        if value.get("status").is_some() && value.get("id").is_some() {
            return Ok(Self::Task(Task::parse(value, dialect)?));
        }
        Err("neither a message, a task nor an update of one".to_owned())
    }

    fn status(value: &Value, dialect: Dialect) -> Result<Self, Wrong> {
        let status = Status::parse(value.get("status"), dialect)?;
        let context = text(value, "contextId");
        Ok(Self::Status { task: text(value, "taskId").unwrap_or_default(), context, status })
    }

    fn artifact(value: &Value, dialect: Dialect) -> Result<Self, Wrong> {
        let artifact = value.get("artifact").ok_or("an update of an artifact without one")?;
        let flag = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or(false);
        Ok(Self::Artifact {
            task: text(value, "taskId").unwrap_or_default(),
            artifact: Artifact::parse(artifact, dialect),
            append: flag("append"),
            last: flag("lastChunk"),
        })
    }
}

impl Task {
    pub(super) fn parse(value: &Value, dialect: Dialect) -> Result<Self, Wrong> {
        let id = text(value, "id").filter(|id| !id.is_empty()).ok_or("a task without an id")?;
        let list = |name: &str| value.get(name).and_then(Value::as_array).into_iter().flatten();
        Ok(Self {
            id,
            context: text(value, "contextId"),
            status: Status::parse(value.get("status"), dialect)?,
            artifacts: list("artifacts").map(|one| Artifact::parse(one, dialect)).collect(),
            history: list("history").map(|one| Message::parse(one, dialect)).collect(),
        })
    }
}

impl Status {
    fn parse(value: Option<&Value>, dialect: Dialect) -> Result<Self, Wrong> {
        let value = value.ok_or("a task without a status")?;
        // Proto's JSON leaves out what is zero, and zero is no state that means anything.
        let state = text(value, "state").unwrap_or_else(|| "unknown".to_owned());
        let state = State::parse(&state).ok_or_else(|| format!("the unknown state {state:?}"))?;
        let message = value.get("message").or_else(|| value.get("update"));
        let message = message.filter(|message| message.is_object());
        Ok(Self { state, message: message.map(|message| Message::parse(message, dialect)) })
    }
}

impl Message {
    fn parse(value: &Value, dialect: Dialect) -> Self {
        let role = text(value, "role").unwrap_or_default();
        Self {
            from_agent: role.to_ascii_lowercase().ends_with("agent"),
            parts: parts_of(value, dialect),
            context: text(value, "contextId"),
        }
    }

    /// Its text, shortened, for an error or a progress report.
    pub(super) fn text(&self) -> String {
        join_text(&self.parts).unwrap_or_else(|| json!(self.parts).to_string())
    }
}

impl Artifact {
    fn parse(value: &Value, dialect: Dialect) -> Self {
        Self {
            id: text(value, "artifactId").unwrap_or_default(),
            name: text(value, "name").filter(|name| !name.is_empty()),
            parts: parts_of(value, dialect),
        }
    }
}

/// The text of parts that are text, each on its own lines; `None` when there is anything else.
pub(super) fn join_text(parts: &[Value]) -> Option<String> {
    let texts: Option<Vec<&str>> = parts.iter().map(|part| part.get("text")?.as_str()).collect();
    texts.filter(|texts| !texts.is_empty()).map(|texts| texts.join("\n"))
}

/// The parts of a message or artifact.
fn parts_of(value: &Value, dialect: Dialect) -> Vec<Value> {
    let parts = value.get("parts").or_else(|| value.get("content"));
    let parts = parts.and_then(Value::as_array).into_iter().flatten();
    parts.map(|part| normal_part(part, dialect)).collect()
}

/// A part as 1.0 has it.
pub(super) fn normal_part(part: &Value, dialect: Dialect) -> Value {
    let Some(fields) = part.as_object() else { return json!({ "data": part }) };
    let mut normal = fields.clone();
    normal.remove("kind");
    if let Some(Value::Object(file)) = normal.remove("file") {
        let mut take = |names: [&str; 2], into: &str| {
            if let Some(value) = names.iter().find_map(|name| file.get(*name)) {
                normal.insert(into.to_owned(), value.clone());
            }
        };
        take(["uri", "fileWithUri"], "url");
        take(["bytes", "fileWithBytes"], "raw");
        take(["name", "name"], "filename");
        take(["mimeType", "mediaType"], "mediaType");
    }
    if dialect == Dialect::Proto03
        && let Some(inner) = normal.get("data").and_then(|data| data.get("data")).cloned()
    {
        normal.insert("data".to_owned(), inner);
    }
    Value::Object(normal)
}

/// A part of 1.0's form as the dialect writes it.
pub(super) fn spoken_part(part: &Value, dialect: Dialect) -> Value {
    let part = normal_part(part, Dialect::V1);
    if dialect == Dialect::V1 {
        return part;
    }
    let mut spoken = Map::new();
    let kind = if let Some(text) = part.get("text") {
        spoken.insert("text".to_owned(), text.clone());
        "text"
    } else if let Some(data) = part.get("data") {
        // 0.3 takes objects only.
        let data = if data.is_object() { data.clone() } else { json!({ "value": data }) };
        let data = if dialect == Dialect::Proto03 { json!({ "data": data }) } else { data };
        spoken.insert("data".to_owned(), data);
        "data"
    } else {
        let proto = dialect == Dialect::Proto03;
        let names = [
            ("url", if proto { "fileWithUri" } else { "uri" }),
            ("raw", if proto { "fileWithBytes" } else { "bytes" }),
            ("filename", "name"),
            ("mediaType", "mimeType"),
        ];
        let file = names
            .iter()
            .filter_map(|(ours, theirs)| Some(((*theirs).to_owned(), part.get(*ours)?.clone())));
        spoken.insert("file".to_owned(), Value::Object(file.collect()));
        "file"
    };
    if let Some(metadata) = part.get("metadata") {
        spoken.insert("metadata".to_owned(), metadata.clone());
    }
    if dialect == Dialect::V03 {
        spoken.insert("kind".to_owned(), kind.into());
    }
    Value::Object(spoken)
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_states_are_known() {
        for state in [
            State::Submitted,
            State::Working,
            State::InputRequired,
            State::AuthRequired,
            State::Completed,
            State::Failed,
            State::Canceled,
            State::Rejected,
        ] {
            let upper = format!("TASK_STATE_{}", state.name().to_uppercase().replace('-', "_"));
            assert_eq!(State::parse(&upper), Some(state));
            assert_eq!(State::parse(state.name()), Some(state));
        }
        assert_eq!(State::parse("dancing"), None);
    }

    #[test]
    fn parts_come_back_from_every_dialect() {
        let parts = [
            json!({"text": "hi", "metadata": {"a": 1}}),
            json!({"data": {"x": 1}}),
            json!({"url": "http://h/f", "filename": "f", "mediaType": "text/plain"}),
            json!({"raw": "aGk=", "mediaType": "text/plain"}),
        ];
        for part in parts {
            for dialect in [Dialect::V1, Dialect::V03, Dialect::Proto03] {
                assert_eq!(normal_part(&spoken_part(&part, dialect), dialect), part, "{dialect:?}");
            }
        }
        let wrapped = spoken_part(&json!({"data": [1]}), Dialect::V03);
        assert_eq!(wrapped, json!({"kind": "data", "data": {"value": [1]}}));
    }

    #[test]
    fn what_is_no_event_is_told() {
        for value in [
            json!(7),
            json!({}),
            json!({"kind": "dance"}),
            json!({"task": {"id": "t"}}),
            json!({"statusUpdate": {"taskId": "t"}}),
            json!({"id": "", "status": {}}),
            json!({"statusUpdate": {"taskId": "t", "status": {"state": "dancing"}}}),
        ] {
            assert!(Event::parse(&value, Dialect::V1).is_err(), "{value}");
        }
    }
}
