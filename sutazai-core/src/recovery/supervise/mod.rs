//! Supervision with the semantics of Erlang/OTP: what ends is started again, the way its specification
//! says, and what cannot be kept alive is given up, one level after the other.
//!
//! A [`SupervisorSpec`] describes a supervisor and its children as plain data; a child is a worker (a
//! [`Child`](crate::port::Child) that the host's [`Children`](crate::port::Children) make) or another
//! supervisor. [`Supervisor`] runs such a tree on a [`Runtime`](crate::base::runtime::Runtime). [`tree`]
//! is the state machine behind it, for those who want to do the calling themselves. [`mailbox`] keeps a
//! child's work over its restarts; [`workers`] makes children of what a host registers by name.
//!
//! # What it promises
//!
//! - Children start in the order in which they stand, each when the one before has started, and stop in the
//!   reverse. When one fails to start, those that had started are stopped, and the supervisor has
//!   failed to start.
//! - A child that ends is restarted, or not, as [`Restart`] says; [`Strategy`] says whom that concerns.
//!   A start that fails during a restart is tried again, and counts as a restart each time.
//! - More than [`intensity`](SupervisorSpec::intensity) restarts within a period end the supervisor, after it
//!   has stopped its children. It ends with [`Shutdown`](crate::port::ChildExit::Shutdown), as in OTP: a
//!   supervisor above restarts it when it is permanent, and not when it is transient.
//! - A supervisor does one thing at a time. What it is told meanwhile (ends of children, requests, its own
//!   end) comes in turn.
//! - Every stop has the time that [`Shutdown`] gives it, and every start its own; then comes a kill, which is
//!   waited for for a second ([`tree::KILL_WITHIN`]). A thread cannot be killed from outside: what does not
//!   end then is abandoned, and whatever its life, known by its [`Generation`](crate::port::Generation), has
//!   still to say is ignored.
//! - Every change of a child's state is reported, with its cause, in order.
//! - A child that waits for its own end, on its own thread, is refused ([`Code::WOULD_DEADLOCK`](crate::Code));
//!   so is one whose start waits for a supervisor above it.
//! - No lock is held while children, the host's callbacks or the runtime are called. A child that panics
//!   has failed, and nothing else has.
//!
//! # Compared with OTP
//!
//! The rules are those of `supervisor.erl`; `tests/supervise_otp.rs` compares 20,000 random trees with what a
//! live Erlang node did, event by event. What differs:
//!
//! - periods are exact to the nanosecond, where OTP counts whole seconds;
//! - there are [`Backoff`], and bounds for starts, which OTP lacks;
//! - the children of a supervisor that is killed are killed with it, at once, where OTP lets their links
//!   end them;
//! - the whole tree is validated before anything starts;
//! - there is no `simple_one_for_one`: children of one kind are added with
//!   [`start_child`](Supervisor::start_child).
//!
//! ```
//! use std::sync::Arc;
//!
//! use parking_lot::Mutex;
//! use sutazai_core::Result;
//! use sutazai_core::base::runtime::Manual;
//! use sutazai_core::base::time::Moment;
//! use sutazai_core::port::{Child, ChildExit, ChildLife, ChildReport, ChildStart};
//! use sutazai_core::recovery::supervise::{ChildSpec, Strategy, Supervisor, SupervisorSpec};
//!
//! /// Lives until it is told to end, here or through its report.
//! #[derive(Clone, Default)]
//! struct Part(Arc<Mutex<Option<ChildReport>>>);
//! impl Child for Part {
//!     fn start(&self, report: ChildReport, _: Moment) -> Result<ChildStart> {
//!         *self.0.lock() = Some(report);
//!         Ok(ChildStart::Running)
//!     }
//!     fn stop(&self, _: Moment) -> Result<()> { Ok(self.kill()) }
//!     fn kill(&self) {
//!         let report = self.0.lock().take();
//!         report.map(|report| report.exited(ChildExit::Shutdown));
//!     }
//! }
//!
//! let spec = SupervisorSpec::new(Strategy::RestForOne)
//!     .child(ChildSpec::worker("store"))
//!     .child(ChildSpec::worker("cache"));
//! let part = Part::default();
//! let children = {
//!     let part = part.clone();
//!     move |life: &ChildLife| -> Result<Arc<dyn Child>> {
//!         Ok(if &*life.id == "store" { Arc::new(part.clone()) } else { Arc::new(Part::default()) })
//!     }
//! };
//! let runtime = Manual::new();
//! let observer = Arc::new(|change: &_| println!("{change:?}"));
//! let main =
//!     Supervisor::new(Arc::new(runtime.clone()), "main", spec, Arc::new(children), observer, 0)?;
//! main.start()?;
//! assert_eq!(main.counts("main").unwrap().active, 2);
//!
//! // The store ends: it is restarted, and the cache, which starts after it.
//! part.0.lock().take().unwrap().exited(ChildExit::Normal);
//! runtime.run();
//! let children = main.status().unwrap().children;
//! let generations: Vec<u64> = children.iter().map(|c| c.generation.unwrap().0).collect();
//! assert_eq!(generations, [4, 5]);
//! main.stop(Moment::FAR)?;
//! # Ok::<(), sutazai_core::Error>(())
//! ```

mod backoff;
mod check;
mod driver;
pub(crate) mod inside;
mod intensity;
mod job;
pub mod mailbox;
mod spec;
mod state;
#[cfg(test)]
mod tests;
pub mod tree;
pub mod workers;

pub use backoff::Backoff;
pub use check::{MAX_DEPTH, MAX_ID_BYTES};
pub use driver::{Observer, Supervisor};
pub use spec::{AutoShutdown, ChildSpec, Restart, Shutdown, Strategy, SupervisorSpec};
pub use state::{Cause, ChildStatus, Counts, Kind, State, SupervisorStatus, Transition, TreeEnd};
pub use tree::Request;
