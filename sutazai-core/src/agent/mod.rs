//! Agents: how they are connected to a kernel.
//!
//! An agent is anything that implements [`port::Agent`](crate::port::Agent). [`connect`] makes one
//! of what people really write.
//!
//! **Invariant.** Nothing here decides which agent does a task or whether it may be done: that is
//! the kernel's guarded call.

pub mod connect;
