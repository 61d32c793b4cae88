//! What a kernel starts and stops: [`Component`].

use std::time::Duration;

use crate::Result;
use crate::base::time::Moment;

/// Something with a beginning and an end that belongs to a kernel: a pool of connections, a watcher,
/// a listener.
///
/// ```
/// use sutazai_core::Result;
/// use sutazai_core::base::time::Moment;
/// use sutazai_core::port::Component;
///
/// struct Listener;
///
/// impl Component for Listener {
///     fn name(&self) -> &str { "listener" }
///     fn needs(&self) -> Vec<String> { vec!["database".to_owned()] }
///     fn start(&self, _deadline: Moment) -> Result<()> { Ok(()) }
///     fn stop(&self, _deadline: Moment) -> Result<()> { Ok(()) }
/// }
/// ```
pub trait Component: Send + Sync + 'static {
    /// Unique within a kernel. Asked once, when it is added.
    fn name(&self) -> &str;

    /// The names of the components that must run before this one starts, and that stop after it.
    /// Asked once, when it is added.
    fn needs(&self) -> Vec<String> {
        Vec::new()
    }

    /// Starts; may block. When it has not returned by `deadline` the start counts as failed; should
    /// it succeed later, it is stopped again.
    ///
    /// # Errors
    /// Anything; it counts as not started then, and must have let go of what it held.
    fn start(&self, deadline: Moment) -> Result<()>;

    /// Stops; may block. When it has not returned by `deadline` the others are stopped without
    /// waiting longer for this one.
    ///
    /// # Errors
    /// Anything; it counts as stopped, and is reported.
    fn stop(&self, deadline: Moment) -> Result<()>;

    /// How it is; asked while it runs. Must not block.
    fn health(&self) -> Health {
        Health::Healthy
    }

    /// The time that a start may take. Default 30 s.
    fn start_within(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// The time that a stop may take. Default 10 s.
    fn stop_within(&self) -> Duration {
        Duration::from_secs(10)
    }
}

/// How a component is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase", tag = "health", content = "reason")]
pub enum Health {
    /// It does what it is for.
    #[default]
    Healthy,
    /// It does less than it should; why.
    Degraded(String),
    /// It does not work; why.
    Failed(String),
}
