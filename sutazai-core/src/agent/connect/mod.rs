//! Adapters: a closure ([`from_fn`], [`from_fn_with`]), an asynchronous closure ([`from_async`]), a
//! process ([`process`]) and, with their features, an OpenAI-compatible endpoint (`openai`) and an
//! agent of the A2A protocol (`a2a`) as an [`Agent`](crate::port::Agent). What speaks HTTP shares `http`.
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

mod function;
#[cfg(feature = "http")]
pub mod http;
#[cfg(unix)]
pub mod process;

pub use function::{FnAgent, TaskContext, from_async, from_fn, from_fn_with};
