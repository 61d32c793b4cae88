//! How risky it is to let somebody go on: signals that raise a score, and time that lowers it.
//!
//! [`Risks`] keeps a level for each signal and principal. A level is raised by what happens, and halves with the
//! signal's half-life; the score joins the levels as independent reasons for doubt (a noisy-or):
//!
//! ```text
//! level = 0…1, halved every half-life;   raise: level ← level + strength·(1 − level)
//! score = 1 − Π (1 − weight·level)
//! ```
//!
//! It learns what is usual: places, hours of the day, and calls a minute of each principal. What is not usual is a
//! signal by itself, once enough is known to tell. No I/O; it is told the time.
//!
//! ```
//! use sutazai_core::base::time::Timestamp;
//! use sutazai_core::security::risk::{RiskPolicy, RiskSignal, Risks};
//! use std::time::Duration;
//!
//! let risks = Risks::new(RiskPolicy::default())?;
//! let now = Timestamp::now();
//! risks.raise("ann", RiskSignal::Threat, 1.0, now);
//! let at_once = risks.score("ann", &[], now);
//! assert!(at_once > 0.8);
//! assert!(risks.score("ann", &[], now + Duration::from_secs(7200)) < at_once / 1.5);
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! **Invariants.** Signals only raise the score and time only lowers it; a score is 0 to 1; a clock set back
//! lowers nothing. Principals are bounded: of more, the one with the least to tell goes.

mod policy;
mod profile;
mod risks;

pub use policy::{RiskPolicy, RiskSignal, SignalPolicy};
pub use risks::{RiskStatus, RiskView, Risks, SignalView, Visit};
