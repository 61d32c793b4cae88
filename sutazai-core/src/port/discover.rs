//! Where agents are found: [`DiscoverySource`].

use std::fmt;
use std::sync::Arc;

use super::agent::Agent;
use super::config::{Notify, WatchGuard};
use crate::base::time::Moment;
use crate::{Code, Error, Result};

/// A place that agents are found in: a directory, a file, a registry, a list of addresses.
///
/// It says what is there at present. What has come, changed, gone or gone away since the last time is
/// the kernel's to find out.
///
/// ```
/// use std::sync::Arc;
/// use sutazai_core::Result;
/// use sutazai_core::agent;
/// use sutazai_core::base::time::Moment;
/// use sutazai_core::port::{AgentCard, DiscoverySource, FoundAgent, Task};
///
/// struct Fixed;
///
/// impl DiscoverySource for Fixed {
///     fn name(&self) -> &str { "fixed" }
///     fn find(&self, _now: Moment, sink: &mut dyn FnMut(FoundAgent)) -> Result<()> {
///         sink(FoundAgent::here("echo", "built in", "1", || {
///             let card = AgentCard::new("echo", ["echo"]);
///             Ok(Arc::new(agent::from_fn(card, |task: &Task| Ok(task.input().clone()))))
///         }));
///         Ok(())
///     }
/// }
/// ```
pub trait DiscoverySource: Send + Sync + 'static {
    /// Unique within a kernel: 1 to 128 letters, digits, `_`, `-`, `/`, `:` and `.`. Asked once.
    fn name(&self) -> &str;

    /// Looks at what is there, and hands each item to `sink`. What is not handed over is gone. May
    /// block; one look at a time is taken at a source.
    ///
    /// # Errors
    /// When the place as a whole could not be looked at. That says nothing about its items: agents that
    /// were found there stay as they are.
    fn find(&self, now: Moment, sink: &mut dyn FnMut(FoundAgent)) -> Result<()>;

    /// Calls `changed` whenever there may be something new to find, until the guard is dropped. It is
    /// looked at from time to time in any case.
    ///
    /// # Errors
    /// [`Code::UNSUPPORTED`] for a source that cannot watch; that is the default.
    fn watch(&self, changed: Notify) -> Result<WatchGuard> {
        drop(changed);
        Err(Error::new(Code::UNSUPPORTED, "this source cannot be watched")
            .with("source", self.name()))
    }
}

/// Makes an agent. May block, and runs at most once, and only where its agent is wanted.
pub type MakeAgent = Box<dyn FnOnce() -> Result<Arc<dyn Agent>> + Send>;

/// Something that a source has found.
#[non_exhaustive]
pub struct FoundAgent {
    /// What it is called within its source, the same at each look: a file, an address, a key.
    pub item: String,
    /// Where it is declared, for people.
    pub origin: String,
    /// The name that its agent will have, where that is known before it is made.
    pub agent: Option<Arc<str>>,
    /// What there is to say of it.
    pub sighting: Sighting,
}

/// What a source says of an item.
#[non_exhaustive]
pub enum Sighting {
    /// It is there.
    Here {
        /// Stands for what was declared: another one means another agent. Two items of one source with the
        /// same fingerprint make the same agent, so that one of them that goes while the other comes was
        /// renamed.
        fingerprint: String,
        /// Makes the agent.
        make: MakeAgent,
    },
    /// It is declared, and cannot be reached at present.
    Away(Error),
    /// It is declared in a way that makes no agent. An agent that was made of it before stays.
    Refused(Error),
    /// It is still listed, and its agent is no more.
    Gone(Error),
    /// It is just being written; it is looked at again soon, and nothing changes until then.
    Unsettled,
}

impl FoundAgent {
    /// An item with what there is to say of it.
    pub fn new(item: impl Into<String>, origin: impl Into<String>, sighting: Sighting) -> Self {
        Self { item: item.into(), origin: origin.into(), agent: None, sighting }
    }

    /// An item that is there.
    pub fn here(
        item: impl Into<String>,
        origin: impl Into<String>,
        fingerprint: impl Into<String>,
        make: impl FnOnce() -> Result<Arc<dyn Agent>> + Send + 'static,
    ) -> Self {
        let sighting = Sighting::Here { fingerprint: fingerprint.into(), make: Box::new(make) };
        Self::new(item, origin, sighting)
    }

    /// Says what its agent will be called: a name that is taken is found out before it is made.
    #[must_use]
    pub fn named(mut self, agent: impl Into<Arc<str>>) -> Self {
        self.agent = Some(agent.into());
        self
    }
}

impl fmt::Debug for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here { fingerprint, .. } => f.debug_tuple("Here").field(fingerprint).finish(),
            Self::Away(error) => f.debug_tuple("Away").field(error).finish(),
            Self::Refused(error) => f.debug_tuple("Refused").field(error).finish(),
            Self::Gone(error) => f.debug_tuple("Gone").field(error).finish(),
            Self::Unsettled => f.write_str("Unsettled"),
        }
    }
}

impl fmt::Debug for FoundAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FoundAgent")
            .field("item", &self.item)
            .field("origin", &self.origin)
            .field("sighting", &self.sighting)
            .finish_non_exhaustive()
    }
}
