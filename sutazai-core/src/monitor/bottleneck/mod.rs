//! What holds tasks up: one answer, with the figures behind it, and what would change if it were better.
//!
//! Work that has ended is told of as [`WorkSpan`]s: calls, tries of calls, and steps, as parts of one another. A look at those of a window
//! - puts together the tasks, and gives each second of their critical paths to a component: at work (on a processor, waiting for
//!   one, for a lock, a disk, memory, asleep), waiting for a place, a thread, a rate limit, or for another try;
//! - hands on what was waited for places: to what those waited for who had them;
//! - takes in the figures of resources by the USE method: utilisation, saturation and errors (Gregg, "Thinking methodically about
//!   performance", CACM 56, 2013);
//! - gives each agent's figures as a queue: utilisation, Little's law against what was observed, and the wait that theory expects;
//! - does the recorded tasks again with a component that is faster or has more room, so that an estimate knows where the
//!   bottleneck goes next.
//!
//! It goes by times and nothing else: what a component is called means nothing to it. Memory and time of a look are bounded by
//! [`BottleneckPolicy::spans`].
//!
//! ```
//! use std::time::Duration;
//! use sutazai_core::base::time::Moment;
//! use sutazai_core::monitor::{
//!     BottleneckDetector, BottleneckKind, BottleneckPolicy, Surroundings, Wait, WaitFor, WorkSpan,
//! };
//!
//! let at = |ms| Moment::ZERO + Duration::from_millis(ms);
//! let mut detector = BottleneckDetector::new(BottleneckPolicy::default())?;
//! // Ten tasks at once, for an agent that does one at a time, each in 10 ms.
//! for i in 0..10 {
//!     let mut span = WorkSpan::new(i, "summarise", at(0));
//!     span.agent = Some("writer".into());
//!     (span.started, span.ended) = (at(10 * i), at(10 * i + 10));
//!     let what = "writer".into();
//!     span.waits.push(Wait { on: WaitFor::Place, what, from: span.arrived, to: span.started });
//!     detector.record(span);
//! }
//! let found = detector.look(at(100), &Surroundings::default());
//! assert_eq!(found.ranked[0].component, "writer");
//! assert_eq!(found.ranked[0].kind, BottleneckKind::Queue);
//! # Ok::<(), sutazai_core::Error>(())
//! ```

mod blame;
mod detector;
mod ended;
mod model;
mod policy;
mod rank;
mod replay;
mod span;
mod station;
#[cfg(test)]
mod tests;
mod trace;
mod view;
mod words;

pub use detector::BottleneckDetector;
pub use policy::BottleneckPolicy;
pub use rank::Surroundings;
pub use span::{Activity, Failure, Wait, WaitFor, WorkSpan};
pub use view::{
    Bottleneck, BottleneckKind, BottleneckVerdict, Bottlenecks, Improvement, Part, ResourceFigures,
    StationView, WhatIf,
};
