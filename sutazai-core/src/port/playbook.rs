//! What a playbook can do: [`PlaybookAction`].

use crate::Result;
use crate::base::payload::Payload;
use crate::base::time::{Moment, Timestamp};

/// Why and for whom an action runs.
#[derive(Debug)]
#[non_exhaustive]
pub struct ActionContext<'a> {
    /// The playbook that asks for it.
    pub playbook: &'a str,
    /// The number of its entry in the record.
    pub entry: u64,
    /// What set it off: the event or the signal, as the record has it.
    pub trigger: &'a Payload,
    /// Now.
    pub now: Moment,
    /// Now, on the wall clock.
    pub at: Timestamp,
}

impl<'a> ActionContext<'a> {
    /// The context of one run.
    pub fn new(
        playbook: &'a str,
        entry: u64,
        trigger: &'a Payload,
        now: Moment,
        at: Timestamp,
    ) -> Self {
        Self { playbook, entry, trigger, now, at }
    }
}

/// What an action answers in a dry run that has nothing better to say: that it would do what it is for.
pub fn would(action: &str, params: &Payload) -> Payload {
    serde_json::json!({ "would": action, "params": params }).into()
}

/// Something that heals: restarts, degrades, sets apart, rolls back. Rooms and hosts register theirs by
/// name, and playbooks name them.
///
/// ```
/// use sutazai_core::Result;
/// use sutazai_core::base::payload::Payload;
/// use sutazai_core::port::{ActionContext, PlaybookAction};
///
/// struct DropCache;
///
/// impl PlaybookAction for DropCache {
///     fn name(&self) -> &str { "drop_cache" }
///     fn schema(&self) -> serde_json::Value { serde_json::json!({"type": "object"}) }
///     fn run(&self, _: &ActionContext<'_>, _: &Payload, dry: bool) -> Result<Payload> {
///         Ok(if dry { "would drop the cache" } else { "dropped" }.into())
///     }
/// }
/// ```
pub trait PlaybookAction: Send + Sync + 'static {
    /// Unique within a kernel: `restart`, `degrade`, … Asked once, when it is registered.
    fn name(&self) -> &str;

    /// The JSON Schema of its parameters, for people and hosts; nothing is checked against it.
    fn schema(&self) -> serde_json::Value;

    /// Does it, or (`dry`) says what it would do and does nothing. May block: it runs where blocking is
    /// allowed. The answer goes into the record.
    ///
    /// # Errors
    /// What went wrong; the playbook's escalation follows.
    fn run(&self, context: &ActionContext<'_>, params: &Payload, dry: bool) -> Result<Payload>;
}
