//! Where configuration comes from.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::{Code, Error, Result};

/// A place that configuration is read from: a file, the environment, a command line, a service.
pub trait ConfigSource: Send + Sync + 'static {
    /// A short name for messages: the file's path, `environment`, …
    fn name(&self) -> &str;

    /// Reads it whole. May block.
    ///
    /// # Errors
    /// When it cannot be read, with the place in it for anything that was parsed.
    fn load(&self) -> Result<Layer>;

    /// Calls `changed` whenever it may have changed, until the guard is dropped.
    ///
    /// # Errors
    /// [`Code::UNSUPPORTED`] for a source that cannot watch; that is the default.
    fn watch(&self, changed: Notify) -> Result<WatchGuard> {
        drop(changed);
        Err(Error::new(Code::UNSUPPORTED, "this source cannot be watched")
            .with("source", self.name()))
    }
}

/// Says that a source may have changed.
pub type Notify = Arc<dyn Fn() + Send + Sync>;

/// Watches for as long as it lives; holds whatever the watching needs.
pub struct WatchGuard(
    #[allow(dead_code, reason = "held for its drop")] Box<dyn std::any::Any + Send>,
);

impl WatchGuard {
    /// A guard that drops `held` to stop watching.
    pub fn new(held: impl std::any::Any + Send) -> Self {
        Self(Box::new(held))
    }
}

impl std::fmt::Debug for WatchGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WatchGuard")
    }
}

/// Values by dotted key, each with where it came from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layer {
    /// The values.
    pub values: BTreeMap<String, Sourced>,
}

/// A value and its provenance.
#[derive(Clone, Debug, PartialEq)]
pub struct Sourced {
    /// The value.
    pub value: Value,
    /// Where it came from, for people: `sutazai.toml:3:7`, `SUTAZAI_LOG_LEVEL`.
    pub origin: String,
}
