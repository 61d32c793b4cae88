//! Agents under supervision that a template makes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Supervision;
use crate::agent::create::{Kept, MakeAgent, Named, Origin};
use crate::kernel::Kernel;
use crate::kernel::shared::Shared;
use crate::{Code, Error, Result};

/// Which template makes an agent, and with what.
///
/// ```
/// use sutazai_core::kernel::TemplateOrder;
///
/// let order: TemplateOrder = serde_json::from_str(r#"{"name": "polite", "parameters": {"word": "Hi"}}"#)?;
/// assert_eq!(order, TemplateOrder::new("polite").parameter("word", "Hi"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TemplateOrder {
    /// The template's name.
    pub name: String,
    /// Values for its parameters; one that is left out has its default.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// The agent's name; as the template says without it.
    pub agent: Option<String>,
}

/// An agent that a template is to make, life after life.
struct Ordered {
    kept: Arc<Kept>,
    named: Named,
    make: MakeAgent,
}

impl TemplateOrder {
    /// An agent of this template.
    pub fn new(template: impl Into<String>) -> Self {
        Self { name: template.into(), parameters: Map::new(), agent: None }
    }

    /// Gives a parameter its value.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.parameters.insert(name.into(), value.into());
        self
    }

    /// Sets the agent's name.
    #[must_use]
    pub fn agent(self, name: impl Into<String>) -> Self {
        Self { agent: Some(name.into()), ..self }
    }
}

impl Kernel {
    /// As [`supervise_agent`](Self::supervise_agent), of what a template makes, anew for each life.
    ///
    /// # Errors
    /// [`Code::NOT_FOUND`] for a template, or its factory, that is not there; [`Code::INVALID`] for its
    /// parameters; [`Code::OVERLOADED`] when there are as many of its agents as there may be; as
    /// [`supervise_agent`](Self::supervise_agent).
    pub fn supervise_template(&self, order: &TemplateOrder, spec: Supervision) -> Result<Arc<str>> {
        let shared = &self.shared;
        let supervised = shared.ordered(order).and_then(|ordered| {
            let origin = Origin {
                kept: Arc::clone(&ordered.kept),
                make: Arc::clone(&ordered.make),
                pool: None,
            };
            let supervised = shared.supervise_agent(spec, Arc::clone(&ordered.make), Some(origin));
            ordered.kept.record().tried(supervised.is_ok(), shared.runtime.now());
            drop(ordered.named);
            supervised
        });
        supervised.map_err(|error| error.operation("agent.supervise"))
    }
}

impl Shared {
    fn ordered(&self, order: &TemplateOrder) -> Result<Ordered> {
        let templates = &self.creation.templates;
        let kept = templates.get(&order.name)?;
        let template = kept.template();
        if let Some(most) = template.most
            && self.living(&kept) >= most
        {
            return Err(Error::new(Code::OVERLOADED, "there are as many of its agents as may be")
                .with("template", &template.name)
                .with("most", most));
        }
        let values = kept.values(&order.parameters)?;
        let named = templates.name(
            &template.agent_name,
            &template.name,
            &values,
            order.agent.as_deref(),
            |name| self.agents.get(name).is_some(),
        )?;
        let make = templates.maker(&kept, &named.name, values);
        Ok(Ordered { kept, named, make })
    }
}
