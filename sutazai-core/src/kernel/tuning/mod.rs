//! The room `tune` in the kernel: knobs, tuners that try values of them, pools whose size follows their load, and what is scarce
//! and divided among agents.
//!
//! `tune` decides; the rooms whose knobs they are carry out. One timer serves them all, and none runs without them.

#[cfg(feature = "agent")]
mod ahead;
#[cfg(feature = "agent")]
mod arrivals;
mod bind;
mod carry;
mod divided;
mod ending;
mod figures;
mod give;
mod kept;
mod kinds;
mod knobs;
mod looks;
mod measure;
mod numbers;
#[cfg(any(feature = "recovery", feature = "agent"))]
mod own;
mod plan;
#[cfg(feature = "agent")]
mod pools;
mod round;
mod shares;
mod spec;
mod tuners;
mod waits;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::Mutex;

use super::shared::{Phase, Shared};
use crate::base::nearest::nearest;
use crate::tune::Adjust;
use crate::{Code, Error, Result};

pub use knobs::KnobView;
#[cfg(feature = "monitor")]
pub use measure::{Divisor, Measure};
pub(super) use plan::Plan;
#[cfg(feature = "agent")]
pub(super) use pools::PoolFigures;
#[cfg(feature = "agent")]
pub use pools::{ScaledPool, Scaling, SizeProposal};
pub use shares::{ShareMember, ShareProposal, ShareSpec, SharedOut};
pub use spec::{TuneSpec, TunedKnob};
pub use tuners::{Proposal, TunerReport, TunerStatus};
pub use waits::{TunerWait, WaitsFor};

/// How often tuners and pools are looked at, at least and by default.
const LOOK: Duration = Duration::from_millis(100);
/// Tuners, and knobs of the host, at most.
const MOST: usize = 100;
/// Whoever has been at a knob for so long hangs: that is told, and a stop waits no longer for it.
const STUCK: Duration = Duration::from_secs(2);

/// A kernel's tuning.
#[derive(Default)]
pub(super) struct Tuning {
    knobs: Mutex<BTreeMap<String, Arc<dyn Adjust>>>,
    tuners: Mutex<BTreeMap<Arc<str>, Arc<tuners::Tuned>>>,
    #[cfg(feature = "agent")]
    pools: Mutex<BTreeMap<Arc<str>, Arc<pools::Scaled>>>,
    divided: Mutex<BTreeMap<Arc<str>, Arc<divided::Divided>>>,
    /// Held by who takes knobs for itself, from the look for others that have them until it has them.
    claims: Mutex<()>,
    /// What is tuned from the start.
    plan: Mutex<Plan>,
    /// Numbers of trials and of proposals that were given.
    numbers: numbers::Numbers,
    /// Whether a timer is set.
    ticks: AtomicBool,
    looks: Mutex<looks::Looks>,
}

impl Tuning {
    pub(super) fn new(plan: Plan) -> Self {
        Self { plan: Mutex::new(plan), ..Self::default() }
    }

    fn idle(&self) -> bool {
        #[cfg(feature = "agent")]
        if !self.pools.lock().is_empty() {
            return false;
        }
        self.tuners.lock().is_empty() && self.divided.lock().is_empty()
    }
}

impl Shared {
    /// What is said of something that there is not: of a kernel that does not run there is nothing, whatever it was called.
    fn none_or_stopped(&self, none: Error) -> Error {
        self.tunes().err().unwrap_or(none)
    }

    /// Whether there may be tuners now.
    fn tunes(&self) -> Result<()> {
        match self.phase() {
            Phase::Running => Ok(()),
            Phase::Draining => Err(Error::new(Code::DRAINING, "the kernel is stopping")),
            _ => Err(Error::new(Code::NOT_RUNNING, "the kernel does not run")
                .advice("start it first: what is tuned is gone when it stops")),
        }
    }
}

fn named(name: &str, what: &'static str) -> Result<()> {
    if !name.is_empty() && name.len() <= 128 && !name.contains(char::is_control) {
        return Ok(());
    }
    Err(Error::new(Code::INVALID, what).advice("use 1 to 128 bytes without control characters"))
}

/// A name as it is shown: no control character of it gets into a terminal.
fn shown(name: &str) -> String {
    let shown = |c: char| -> String {
        if c.is_control() { c.escape_default().collect() } else { c.to_string() }
    };
    name.chars().take(128).map(shown).collect()
}

/// With this in its context, where it is not there yet.
fn about(error: Error, key: &'static str, value: impl std::fmt::Display) -> Error {
    if error.context().any(|(own, _)| own == key) { error } else { error.with(key, value) }
}

/// What does not wait for an answer, and what does in its place.
fn no_answer(what: &str, waits: Option<u64>) -> Error {
    let error = Error::new(Code::INVALID, format!("{what} does not wait for an answer"));
    match waits {
        Some(waits) => error.with("waiting", waits).advice("its number is not the one that waits"),
        None => error.advice("it was answered, its time is over, or it was never asked"),
    }
}

/// With a name that may have been meant in place of one that there is not.
fn meant<'a>(error: Error, name: &str, names: impl IntoIterator<Item = &'a str>) -> Error {
    match nearest(name, names) {
        Some(near) => {
            let near = format!("did you mean '{}'?", shown(near));
            let more = error.remedy().map(|advice| format!("{near} {advice}"));
            error.advice(more.unwrap_or(near))
        }
        None => error,
    }
}

fn every(ms: u64) -> Result<Duration> {
    if (100..=86_400_000).contains(&ms) {
        return Ok(Duration::from_millis(ms));
    }
    Err(Error::new(Code::INVALID, "what is tuned is looked at every 100 milliseconds to 24 hours")
        .with("every_ms", ms))
}
