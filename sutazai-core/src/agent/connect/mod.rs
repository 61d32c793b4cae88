//! Adapters: a closure ([`from_fn`], [`from_fn_with`]), an asynchronous closure ([`from_async`]), a
//! process ([`process`]) and, with their features, an MCP server (`mcp`), an OpenAI-compatible endpoint
//! (`openai`) and an agent of the A2A protocol (`a2a`) as an [`Agent`](crate::port::Agent). What speaks HTTP
//! shares `http`.
//!
//! ```
//! use sutazai_core::agent::connect::from_fn;
//! use sutazai_core::base::ticket;
//! use sutazai_core::port::{Agent, AgentCard, Task};
//!
//! let shout = from_fn(AgentCard::new("shout", ["shout"]), |task: &Task| {
//!     Ok(task.input().to::<String>()?.to_uppercase())
//! });
//! let (mut ticket, reply) = ticket::pair();
//! shout.handle(Task::new("shout", "hello"), reply);
//! assert_eq!(ticket.wait()?.output.to::<String>()?, "HELLO");
//! # Ok::<(), sutazai_core::Error>(())
//! ```

#[cfg(feature = "a2a")]
pub mod a2a;
mod function;
#[cfg(feature = "http")]
pub mod http;
#[cfg(all(unix, feature = "mcp"))]
pub mod mcp;
#[cfg(feature = "openai")]
pub mod openai;
#[cfg(unix)]
pub mod process;

pub use function::{FnAgent, TaskContext, from_async, from_fn, from_fn_with};

/// A duration as whole milliseconds, in specs.
#[cfg(any(unix, feature = "http"))]
mod millis {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        u64::deserialize(d).map(Duration::from_millis)
    }
}
