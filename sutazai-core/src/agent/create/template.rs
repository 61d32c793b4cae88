//! What agents are made from: [`Template`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fill;
use crate::agent::probe;
use crate::agent::registry::well_named;
use crate::agent::schema;
use crate::port::SkillCard;
use crate::{Code, Error, Result};

/// How agents of one kind are made, what they can do, what they need, and what they are expected to take.
///
/// Texts in [`make`](Self::make) may have parameters in them, as `{model}`; a text that is one parameter and
/// nothing else becomes its value, whatever its type. `{{model}}` stands for the text `{model}`. Beside the
/// template's own there are `{agent}`, the new agent's name, and `{template}`.
///
/// ```
/// use serde_json::json;
/// use sutazai_core::agent::create::{Template, TemplateKind};
///
/// let process = json!({"command": ["python3", "reviewer.py", "--depth={depth}"]});
/// let template = Template::new("reviewer", ["review"], TemplateKind::Process(process))
///     .parameter("depth", json!({"type": "integer", "minimum": 1}), Some(json!(2)))
///     .needs_executable("python3")
///     .memory(200 << 20)
///     .latency_ms(500.0);
/// template.check()?;
/// # Ok::<(), sutazai_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Template {
    /// Its name: 1 to 128 letters, digits, `_`, `-`, `/`, `:` and `.`.
    pub name: String,
    /// What it is for, one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The skills that its agents have; at least one.
    pub skills: Vec<String>,
    /// What is made.
    pub make: TemplateKind,
    /// What can be said of each agent, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Parameter>,
    /// What an agent takes of the machine.
    #[serde(default, skip_serializing_if = "Needs::is_none")]
    pub needs: Needs,
    /// What must be there.
    #[serde(default, skip_serializing_if = "Requirements::is_none")]
    pub requires: Requirements,
    /// What a call is expected to cost, in the host's unit of account, as long as calls have not shown it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// How long a call is expected to take, in milliseconds, as long as calls have not shown it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Labels of its agents, beside those that they have themselves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// More of its agents' skills: their schemas, and the probes that an agent must pass before it is registered.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub about: BTreeMap<String, SkillCard>,
    /// Tasks at once that an agent takes, at most; its own bound without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Its agents that there may be at once; any number without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<u32>,
    /// How its agents are called: a text with `{template}`, `{n}` (a number that makes it unique) and the
    /// parameters. Default `{template}-{n}`.
    #[serde(default = "names", skip_serializing_if = "is_default_name")]
    pub agent_name: String,
}

fn names() -> String {
    "{template}-{n}".to_owned()
}

fn is_default_name(name: &str) -> bool {
    name == "{template}-{n}"
}

/// What a template makes. Data has the form that the operation has which registers such an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TemplateKind {
    /// A process that speaks JSON lines: the field `process` of `agent.add_process`.
    Process(Value),
    /// An MCP server: the field `spec` of `agent.add_mcp`, whose `name` is filled in.
    Mcp(Value),
    /// A model behind an OpenAI-compatible endpoint: the field `openai` of `agent.add_openai`, whose `name` and
    /// `skills` are filled in.
    Openai(Value),
    /// An agent of the A2A protocol: the field `a2a` of `agent.add_a2a`.
    A2a(Value),
    /// What a factory makes that the host has registered by this name.
    Factory(String),
}

/// What can be said of an agent that is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Parameter {
    /// What it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The JSON Schema of its value; anything without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// Its value where none is given; without it one must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

/// What an agent takes of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Needs {
    /// Bytes of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Processors; a half is one for half of the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
}

/// What must be there for an agent to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Requirements {
    /// Programs, by their names in `PATH` or by their paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub executables: Vec<String>,
    /// Environment variables that are set and not empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Files or directories.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<PathBuf>,
    /// Features of the library's build: `mcp`, `openai`, `a2a`, ….
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

/// Names that stand for something else in a template.
const RESERVED: [&str; 3] = ["agent", "template", "n"];

impl Template {
    /// A template with a name and skills; everything else as by default.
    pub fn new<S: Into<String>>(
        name: impl Into<String>,
        skills: impl IntoIterator<Item = S>,
        make: TemplateKind,
    ) -> Self {
        Self {
            name: name.into(),
            description: String::new(),
            skills: skills.into_iter().map(Into::into).collect(),
            make,
            parameters: BTreeMap::new(),
            needs: Needs::default(),
            requires: Requirements::default(),
            cost: None,
            latency_ms: None,
            labels: BTreeMap::new(),
            about: BTreeMap::new(),
            concurrency: None,
            most: None,
            agent_name: names(),
        }
    }

    /// Adds a parameter, with the JSON Schema of its value and its value where none is given.
    #[must_use]
    pub fn parameter(
        mut self,
        name: impl Into<String>,
        schema: Value,
        default: Option<Value>,
    ) -> Self {
        let parameter = Parameter { schema: Some(schema), default, ..Parameter::default() };
        self.parameters.insert(name.into(), parameter);
        self
    }

    /// Says that a program must be there.
    #[must_use]
    pub fn needs_executable(mut self, program: impl Into<String>) -> Self {
        self.requires.executables.push(program.into());
        self
    }

    /// Says that an environment variable must be set.
    #[must_use]
    pub fn needs_env(mut self, variable: impl Into<String>) -> Self {
        self.requires.env.push(variable.into());
        self
    }

    /// Says how much memory an agent takes, in bytes.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.needs.memory = Some(bytes);
        self
    }

    /// Says how many processors an agent takes.
    #[must_use]
    pub fn cpus(mut self, cpus: f64) -> Self {
        self.needs.cpus = Some(cpus);
        self
    }

    /// Says what a call is expected to cost.
    #[must_use]
    pub fn cost(mut self, cost: f64) -> Self {
        self.cost = Some(cost);
        self
    }

    /// Says how long a call is expected to take, in milliseconds.
    #[must_use]
    pub fn latency_ms(mut self, ms: f64) -> Self {
        self.latency_ms = Some(ms);
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Says more of a skill.
    #[must_use]
    pub fn about(mut self, skill: impl Into<String>, about: SkillCard) -> Self {
        self.about.insert(skill.into(), about);
        self
    }

    /// Bounds the tasks at once of each agent.
    #[must_use]
    pub fn concurrency(mut self, most: u32) -> Self {
        self.concurrency = Some(most);
        self
    }

    /// Bounds its agents that there are at once.
    #[must_use]
    pub fn most(mut self, agents: u32) -> Self {
        self.most = Some(agents);
        self
    }

    /// Says how its agents are called.
    #[must_use]
    pub fn agent_name(mut self, pattern: impl Into<String>) -> Self {
        self.agent_name = pattern.into();
        self
    }

    /// Whether agents can be made from it, as far as it can be told without making one: names, schemas, defaults,
    /// probes, and that every parameter in its texts is its own.
    ///
    /// # Errors
    /// [`Code::INVALID`], one for each mistake, naming the field.
    pub fn check(&self) -> Result<()> {
        let mut wrong = Vec::new();
        let mut bad = |field: String, why: String| {
            let error = Error::new(Code::INVALID, "the template is not valid");
            let error = error.operation("agent.template").with("template", short_name(&self.name));
            wrong.push(error.with("field", field).with("reason", why));
        };
        let named = "1 to 128 letters, digits, '_', '-', '/', ':' and '.' make a name";
        if !well_named(&self.name) {
            bad("name".to_owned(), named.to_owned());
        }
        if self.skills.is_empty() {
            bad("skills".to_owned(), "at least one is needed".to_owned());
        }
        for (n, skill) in self.skills.iter().enumerate() {
            if !well_named(skill) {
                bad(format!("skills[{n}]"), named.to_owned());
            } else if self.skills.iter().take(n).any(|other| other == skill) {
                bad(format!("skills[{n}]"), "it is there already".to_owned());
            }
        }
        for (name, parameter) in &self.parameters {
            let at = |what: &str| format!("parameters.{name}{what}");
            if !fill::is_name(name) || RESERVED.contains(&name.as_str()) {
                let why =
                    "a letter, then letters, digits and '_' make one; not agent, template or n";
                bad(at(""), why.to_owned());
            }
            let Some(schema) = &parameter.schema else { continue };
            if let Err(why) = schema::check(schema) {
                bad(at(".schema"), why);
            } else if let Some(Err(misfit)) =
                parameter.default.as_ref().map(|default| schema::fits(schema, default))
            {
                bad(at(".default"), misfit.why);
            }
        }
        for (skill, about) in &self.about {
            if !self.skills.contains(skill) {
                bad(format!("about.{skill}"), "it is not among the skills".to_owned());
            }
            if let Some(Err(error)) = about.probe.as_ref().map(probe::check) {
                let why = error.context().map(|(key, value)| format!("{key}: {value}"));
                bad(format!("about.{skill}.probe"), why.collect::<Vec<_>>().join(", "));
            }
        }
        for (field, figure) in
            [("cost", self.cost), ("latency_ms", self.latency_ms), ("needs.cpus", self.needs.cpus)]
        {
            if figure.is_some_and(|figure| !figure.is_finite() || figure < 0.0) {
                bad(field.to_owned(), "a number from 0 is needed".to_owned());
            }
        }
        for (field, bound) in [("concurrency", self.concurrency), ("most", self.most)] {
            if bound == Some(0) {
                bad(field.to_owned(), "0 is none at all".to_owned());
            }
        }
        let known = |name: &str| self.parameters.contains_key(name) || RESERVED.contains(&name);
        let mut strange = |field: &str, name: &str| {
            let near = crate::base::nearest::nearest(name, self.parameters.keys().map(|it| &**it));
            let near = near.map(|near| format!("; did you mean {{{near}}}?")).unwrap_or_default();
            bad(field.to_owned(), format!("{{{name}}} is no parameter of the template{near}"));
        };
        for name in fill::names_in(&self.agent_name).filter(|name| !known(name)) {
            strange("agent_name", name);
        }
        if let Some(data) = self.make.data() {
            // Its number is not known to what is made; the name that has it is.
            fill::each_text(data, &mut |text| {
                for name in fill::names_in(text).filter(|name| *name == "n" || !known(name)) {
                    strange("make", name);
                }
            });
            if !data.is_object() {
                bad("make".to_owned(), "an object is needed".to_owned());
            }
        }
        Error::join(wrong).map_or(Ok(()), Err)
    }

    /// Every parameter that has a value: what was given, and else its default.
    ///
    /// # Errors
    /// What is wrong with them, each with the parameter's name: unknown, missing, or not as its schema says.
    pub(super) fn values(
        &self,
        given: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Vec<(String, String)>> {
        let mut wrong = Vec::new();
        for name in given.keys().filter(|name| !self.parameters.contains_key(*name)) {
            let near = crate::base::nearest::nearest(name, self.parameters.keys().map(|it| &**it));
            let near = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
            wrong.push((name.clone(), format!("the template has no parameter {name:?}{near}")));
        }
        let mut values = Map::new();
        for (name, parameter) in &self.parameters {
            let Some(value) = given.get(name).or(parameter.default.as_ref()) else {
                wrong.push((name.clone(), format!("the parameter {name:?} must be given")));
                continue;
            };
            match parameter.schema.as_ref().map(|schema| schema::fits(schema, value)) {
                Some(Err(misfit)) => {
                    let at = if misfit.field.is_empty() { "" } else { " at " };
                    let why = format!("the parameter {name:?}{at}{}: {}", misfit.field, misfit.why);
                    wrong.push((name.clone(), why));
                }
                _ => drop(values.insert(name.clone(), value.clone())),
            }
        }
        if wrong.is_empty() { Ok(values) } else { Err(wrong) }
    }
}

/// A name that may be any text, as it is shown.
fn short_name(name: &str) -> String {
    name.chars().take(128).collect()
}

impl TemplateKind {
    /// Its data, where it is made of any.
    pub(super) fn data(&self) -> Option<&Value> {
        match self {
            Self::Process(data) | Self::Mcp(data) | Self::Openai(data) | Self::A2a(data) => {
                Some(data)
            }
            Self::Factory(_) => None,
        }
    }

    /// The feature of the build that can make it.
    pub(super) fn feature(&self) -> Option<&'static str> {
        match self {
            Self::Mcp(_) => Some("mcp"),
            Self::Openai(_) => Some("openai"),
            Self::A2a(_) => Some("a2a"),
            Self::Process(_) | Self::Factory(_) => None,
        }
    }

    /// The program that it runs, where its data names one and no parameter decides which.
    pub(crate) fn program(&self) -> Option<&str> {
        let command = match self {
            Self::Process(data) => data.get("command"),
            Self::Mcp(data) => data.pointer("/transport/stdio/command"),
            Self::Openai(_) | Self::A2a(_) | Self::Factory(_) => None,
        };
        let program = command?.get(0)?.as_str()?;
        // A relative path is one from a directory that is not known here.
        let found = !program.contains('/') || program.starts_with('/');
        (found && fill::names_in(program).next().is_none()).then_some(program)
    }
}

impl Needs {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Requirements {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
