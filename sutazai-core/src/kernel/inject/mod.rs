//! Dependency injection: a typed container that builds what is asked for, once, when it is needed.
//!
//! A [`Container`] collects values and factories; [`Container::seal`] checks the whole graph and
//! gives an [`Injector`], which builds singletons, opens [`Scope`]s, and runs factories. A factory
//! gets a [`Resolver`] and asks it for what it needs. [`Provided`] is the same for hosts in other
//! languages: by name, and open until the kernel starts.
//!
//! # Invariants
//!
//! - A singleton is built at most once at a time, and kept once it is built, whichever threads ask.
//!   A second thread waits for the first; a wait that could never end is an error, not a deadlock.
//! - No lock is held while a factory runs or a value is dropped.
//! - What is declared with [`Provide::needs`] is checked by `seal`, before anything is built. What
//!   is not declared is caught when it is resolved. Either way an error names the whole path.
//! - Values are dropped in the reverse order of their building: a scope's with the scope, the
//!   singletons with the injector.
//!
//! ```
//! use std::sync::Arc;
//! use sutazai_core::kernel::inject::{Container, Key};
//!
//! trait Clock: Send + Sync { fn seconds(&self) -> u64; }
//! struct Fixed(u64);
//! impl Clock for Fixed { fn seconds(&self) -> u64 { self.0 } }
//! struct Cache { filled_at: u64 }
//!
//! let mut container = Container::new();
//! container.provide::<dyn Clock>().value(Arc::new(Fixed(7)));
//! container.provide::<dyn Clock>().named("replica").value(Arc::new(Fixed(8)));
//! container
//!     .provide::<Cache>()
//!     .needs::<dyn Clock>()
//!     .singleton(|r| Ok(Arc::new(Cache { filled_at: r.get::<dyn Clock>()?.seconds() })));
//!
//! let injector = container.seal()?;
//! assert_eq!(injector.get::<Cache>()?.filled_at, 7);
//! assert_eq!(injector.get_key(&Key::<dyn Clock>::named("replica"))?.seconds(), 8);
//! # Ok::<(), sutazai_core::Error>(())
//! ```

mod cell;
mod check;
mod container;
mod explain;
mod key;
mod provided;
mod resolve;
#[cfg(test)]
mod tests;

pub use container::{Container, Lifetime, Provide};
pub use key::Key;
pub use provided::{Provided, ProvidedScope};
pub use resolve::{Injector, Resolver, Scope};

/// A value of a host's own, of a type that only the host knows.
pub type Any = dyn std::any::Any + Send + Sync;

/// Longer paths lose their middle when shown.
const PATH_LIMIT: usize = 32;

/// How many factories may wait for one another on one thread's stack. Declared needs are built one
/// after the other, so this bounds only what factories ask for undeclared; an unoptimised build
/// spends about 2 KiB of stack on each.
const DEPTH_LIMIT: u32 = 256;
