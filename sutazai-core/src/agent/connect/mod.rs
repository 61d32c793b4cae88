//! Adapters: a closure ([`from_fn`], [`from_fn_with`]), an asynchronous closure ([`from_async`]) and
//! a process ([`process`]) as an [`Agent`](crate::port::Agent).
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
#[cfg(unix)]
pub mod process;

pub use function::{FnAgent, TaskContext, from_async, from_fn, from_fn_with};
