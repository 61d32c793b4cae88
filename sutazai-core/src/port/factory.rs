//! What makes agents from a template: [`AgentFactory`].

use std::sync::Arc;

use serde_json::{Map, Value};

use super::agent::Agent;
use crate::Result;

/// Makes agents of one kind, each as it is ordered. A host registers it by name; a template says which.
///
/// ```
/// use std::sync::Arc;
/// use sutazai_core::agent;
/// use sutazai_core::port::{Agent, AgentCard, AgentFactory, AgentOrder, Task};
///
/// let factory = |order: &AgentOrder| -> sutazai_core::Result<Arc<dyn Agent>> {
///     let greeting = order.parameters["greeting"].as_str().unwrap_or_default().to_owned();
///     let card = AgentCard::new(&order.name, &order.skills);
///     Ok(Arc::new(agent::from_fn(card, move |task: &Task| {
///         Ok(format!("{greeting}, {}", task.input().to::<String>()?))
///     })))
/// };
/// let factory: Arc<dyn AgentFactory> = Arc::new(factory);
/// # let _ = factory;
/// ```
pub trait AgentFactory: Send + Sync + 'static {
    /// Makes one; it is started by whoever ordered it. Runs on a thread that may block, and may run on several
    /// at once.
    ///
    /// # Errors
    /// Anything; another template gets its turn then.
    fn make(&self, order: &AgentOrder) -> Result<Arc<dyn Agent>>;
}

/// What agent is ordered.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AgentOrder {
    /// Its name.
    pub name: Arc<str>,
    /// The template that it is made from.
    pub template: Arc<str>,
    /// The skills it is to have.
    pub skills: Vec<String>,
    /// Every parameter of the template that has a value: the one that was given, or its default.
    pub parameters: Map<String, Value>,
}

impl AgentOrder {
    /// An order.
    pub fn new(
        name: impl Into<Arc<str>>,
        template: impl Into<Arc<str>>,
        skills: Vec<String>,
        parameters: Map<String, Value>,
    ) -> Self {
        Self { name: name.into(), template: template.into(), skills, parameters }
    }
}

impl<F> AgentFactory for F
where
    F: Fn(&AgentOrder) -> Result<Arc<dyn Agent>> + Send + Sync + 'static,
{
    fn make(&self, order: &AgentOrder) -> Result<Arc<dyn Agent>> {
        self(order)
    }
}
