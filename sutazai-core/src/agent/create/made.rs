//! An agent as a template makes it: data and parameters become a connector, and whatever is made has the card that
//! the template promises.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::fill;
use super::template::{Template, TemplateKind};
use crate::base::ticket::Reply;
use crate::base::time::Moment;
use crate::port::{
    Agent, AgentCard, AgentFactory, AgentHost, AgentOrder, Beat, LivenessPolicy, Outcome, Task,
};
use crate::{Code, Error, Result};

/// Makes an agent of this name with these values; it is not started.
///
/// # Errors
/// What its data is wrong in, with the values in it; what its factory says; what its connector says, which may
/// have to reach the other side first.
pub(crate) fn make(
    template: &Template,
    name: &Arc<str>,
    mut values: Map<String, Value>,
    factory: Option<&Arc<dyn AgentFactory>>,
) -> Result<Arc<dyn Agent>> {
    let inner = match (&template.make, factory) {
        (TemplateKind::Factory(_), Some(factory)) => {
            let template_name = template.name.as_str();
            let skills = template.skills.clone();
            let order = AgentOrder::new(Arc::clone(name), template_name, skills, values);
            factory.make(&order)?
        }
        (TemplateKind::Factory(factory), None) => {
            return Err(Error::new(Code::NOT_FOUND, "the host has no factory of this name")
                .with("factory", factory));
        }
        (made, _) => {
            values.insert("agent".to_owned(), Value::from(&**name));
            values.insert("template".to_owned(), Value::from(template.name.as_str()));
            let data = made.data().unwrap_or(&Value::Null);
            let data = fill::value(data, &values).map_err(|(parameter, why)| {
                Error::new(Code::INVALID, "a parameter cannot stand where the template has it")
                    .with("parameter", parameter)
                    .with("reason", why)
            })?;
            connect(made, data, promised(template, name, None))?
        }
    };
    let card = promised(template, name, Some(inner.card()));
    Ok(Arc::new(Made { card, inner }))
}

/// The card of an agent: what the template promises, and besides what the agent says of itself.
fn promised(template: &Template, name: &Arc<str>, own: Option<AgentCard>) -> AgentCard {
    let mut card = AgentCard::new(name, &template.skills).description(&*template.description);
    if let Some(own) = own {
        card = card.run(own.run).version(own.version);
        card.concurrency = own.concurrency;
        card.timeout_ms = own.timeout_ms;
        card.cost = own.cost;
        card.labels = own.labels;
        if card.description.is_empty() {
            card.description = own.description;
        }
        let promised = own.about.into_iter().filter(|(skill, _)| template.skills.contains(skill));
        card.about = promised.collect();
    }
    card.concurrency = match (card.concurrency, template.concurrency) {
        (Some(own), Some(most)) => Some(own.min(most)),
        (own, most) => own.or(most),
    };
    card.cost = card.cost.or(template.cost);
    card.labels.extend(template.labels.clone());
    for (skill, about) in &template.about {
        let own = card.about.entry(skill.clone()).or_default();
        if !about.description.is_empty() {
            own.description.clone_from(&about.description);
        }
        own.input = about.input.clone().or(own.input.take());
        own.output = about.output.clone().or(own.output.take());
        own.probe = about.probe.clone().or(own.probe.take());
    }
    card
}

#[cfg(unix)]
fn connect(made: &TemplateKind, mut data: Value, card: AgentCard) -> Result<Arc<dyn Agent>> {
    use crate::agent::connect::process::ProcessAgent;

    match made {
        TemplateKind::Process(_) => {
            words(&mut data);
            Ok(Arc::new(ProcessAgent::new(card, read(&data)?)))
        }
        other => connect_further(other, data, card),
    }
}

#[cfg(not(unix))]
use connect_further as connect;

#[cfg_attr(
    not(all(unix, feature = "mcp", feature = "openai", feature = "a2a")),
    allow(unused_mut, unused_variables, reason = "not every connector is built in")
)]
fn connect_further(
    made: &TemplateKind,
    mut data: Value,
    card: AgentCard,
) -> Result<Arc<dyn Agent>> {
    match made {
        #[cfg(all(unix, feature = "mcp"))]
        TemplateKind::Mcp(_) => {
            if let Some(process) = data.pointer_mut("/transport/stdio") {
                words(process);
            }
            fill_in(&mut data, "name", Value::from(&*card.name));
            let agent = crate::agent::connect::mcp::McpAgent::new(read(&data)?, card)?;
            Ok(Arc::new(agent))
        }
        #[cfg(feature = "openai")]
        TemplateKind::Openai(_) => {
            fill_in(&mut data, "name", Value::from(&*card.name));
            fill_in(&mut data, "skills", Value::from(card.skills));
            Ok(Arc::new(crate::agent::connect::openai::OpenAiAgent::new(read(&data)?)?))
        }
        #[cfg(feature = "a2a")]
        TemplateKind::A2a(_) => {
            Ok(Arc::new(crate::agent::connect::a2a::A2aAgent::connect(read(&data)?)?))
        }
        _ => Err(Error::new(Code::UNSUPPORTED, "this build cannot make such an agent")
            .with("feature", made.feature().unwrap_or("a unix system"))),
    }
}

#[cfg(any(unix, feature = "http"))]
fn read<T: serde::de::DeserializeOwned + schemars::JsonSchema>(data: &Value) -> Result<T> {
    crate::base::reading::from_value("agent.create", "make", data)
}

/// Sets a field that the template need not say.
#[cfg(any(feature = "openai", feature = "mcp"))]
fn fill_in(data: &mut Value, field: &str, value: Value) {
    if let Some(fields) = data.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

/// Arguments and environment variables are texts, whatever the type of a parameter.
#[cfg(unix)]
fn words(process: &mut Value) {
    let text = |value: &mut Value| {
        if matches!(value, Value::Number(_) | Value::Bool(_)) {
            *value = Value::String(value.to_string());
        }
    };
    if let Some(command) = process.get_mut("command").and_then(Value::as_array_mut) {
        command.iter_mut().for_each(text);
    }
    if let Some(env) = process.get_mut("env").and_then(Value::as_object_mut) {
        env.values_mut().for_each(text);
    }
}

/// An agent with the card that its template promises.
struct Made {
    card: AgentCard,
    inner: Arc<dyn Agent>,
}

impl Agent for Made {
    fn card(&self) -> AgentCard {
        self.card.clone()
    }

    fn handle(&self, task: Task, reply: Reply<Outcome>) {
        self.inner.handle(task, reply);
    }

    fn start(&self, host: &AgentHost) -> Result<()> {
        self.inner.start(host)
    }

    fn stop(&self, deadline: Moment) {
        self.inner.stop(deadline);
    }

    fn restarts(&self) -> u64 {
        self.inner.restarts()
    }

    fn process(&self) -> Option<u32> {
        self.inner.process()
    }

    fn offers(&self) -> Option<AgentCard> {
        self.inner.offers()
    }

    fn liveness(&self) -> Option<LivenessPolicy> {
        self.inner.liveness()
    }

    fn beat(&self, reply: Reply<Beat>) {
        self.inner.beat(reply);
    }

    fn revive(&self, why: &Error) -> bool {
        self.inner.revive(why)
    }
}
