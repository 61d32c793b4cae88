//! The size of a pool of workers, from what comes in, what waits, and what is forecast: [`PoolScaler`].
//!
//! **How many.** Work that comes in at a rate `λ` and takes `S` keeps `R = λ·S` workers busy. Because it comes by chance, some
//! more are needed that little of it waits, and they grow only with the square root: `c = R + β·√R`, where `β` follows from the
//! share of tasks that may wait (A. K. Erlang; S. Halfin, W. Whitt, Operations Research 29(3), 1981). What waits already is to be
//! worked off within [`ScalePolicy::drain_ms`], which takes `queue·S/drain` more. Calls that found no worker free and were turned away have
//! come in as well ([`PoolSample::refused_per_s`]). Whoever tries again at once is turned away many times for one task, so they
//! count for at most as many workers as there are, or ten where there are fewer: a small pool is as large as it must be in one
//! go, a large one doubles at most until it is seen what is left of them.
//!
//! **When.** A worker is of use only when it has started, so a decision looks at the largest rate, forecast or measured, from now until a
//! worker that is started now is ready and has been of some use, and at the queue that there will be by then. Up it goes at
//! once. Down it goes only when nothing within [`ScalePolicy::hold_ms`] asked for more, and when the difference is worth it: so a pool
//! does not swing with a load that swings. Cost has a ceiling, and what that withholds is said.
//!
//! ```
//! use sutazai_core::base::time::Moment;
//! use sutazai_core::tune::{PoolSample, PoolScaler, ScalePolicy};
//!
//! let mut pool = PoolScaler::new(ScalePolicy::default())?;
//! let sample = PoolSample { ready: 2, arrivals_per_s: 10.0, service_ms: 1_000.0, ..PoolSample::default() };
//! let decision = pool.decide(&sample, Moment::ZERO);
//! // Ten are busy all the time, and some more so that few tasks wait.
//! assert!((11..=16).contains(&decision.target), "{decision:?}");
//! # Ok::<(), sutazai_core::Error>(())
//! ```

mod policy;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use policy::ScalePolicy;

use crate::Result;
use crate::base::time::Moment;

/// In how many parts the time is divided for which a larger pool is held.
const PARTS: usize = 16;

/// Calls that were turned away count for so many workers at most, or for as many as are ready where these are more.
const REFUSED: u32 = 10;

/// The rate at some time ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateForecast {
    /// Milliseconds from now.
    pub ahead_ms: u64,
    /// Tasks a second; take the upper end of an interval to be careful.
    pub per_s: f64,
}

/// What is known of a pool now. Figures that are not finite or negative count as not known: as zero, and the pool keeps its size
/// where `service_ms` is not known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PoolSample {
    /// Workers that can take a task.
    pub ready: u32,
    /// Workers that are starting.
    pub starting: u32,
    /// Tasks that wait.
    pub queue: u64,
    /// Tasks that came in a second, lately, and were taken or wait.
    pub arrivals_per_s: f64,
    /// Calls a second, lately, and since there were more workers last, that were turned away because no worker was free. Each counts once, however often its guard tries it; one that
    /// its caller makes again is another one.
    pub refused_per_s: f64,
    /// What a task takes a worker, in milliseconds, on average.
    pub service_ms: f64,
    /// Rates ahead, in any order; the first 1,024 count.
    pub forecast: Vec<RateForecast>,
}

impl PoolSample {
    /// Tasks a second that the pool is asked for: those that come in, and those that were turned away, as far as they count.
    pub fn offered_per_s(&self) -> f64 {
        known(self.arrivals_per_s) + self.counted_per_s()
    }

    /// How many of those that were turned away count: who tries again at once is not a task each time.
    fn counted_per_s(&self) -> f64 {
        let (refused, service) = (known(self.refused_per_s), known(self.service_ms) / 1_000.0);
        let most = f64::from(self.ready.max(REFUSED));
        if service > 0.0 { refused.min(most / service) } else { refused }
    }
}

/// Why a pool is to have its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScaleCause {
    /// It has the right size.
    Fits,
    /// More comes in than it can take.
    Arrivals,
    /// More will come in, by the forecast, when a worker started now is ready.
    Forecast,
    /// Too many tasks wait.
    Queue,
    /// It has had more than it needs for long enough.
    Idle,
    /// It has more than it needs, but has needed them lately, or too few to be worth a change.
    Held,
    /// It needs more than the policy's bounds or the cost's ceiling allow, or fewer than the least.
    Bound,
    /// How long a task takes is not known.
    Unknown,
}

/// The size that a pool is to have.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[non_exhaustive]
pub struct ScaleDecision {
    /// Workers that there should be, starting ones included.
    pub target: u32,
    /// Workers that would be needed, whatever the bounds and the past.
    pub needed: u32,
    /// Why.
    pub cause: ScaleCause,
    /// What the target costs an hour.
    pub cost_per_hour: f64,
}

/// Decides the size of one pool.
#[derive(Clone, Debug)]
pub struct PoolScaler {
    policy: ScalePolicy,
    beta: f64,
    /// The largest size needed in each part of the time that it is held, and when the newest part began.
    lately: [u32; PARTS],
    part_began: Moment,
}

impl PoolScaler {
    /// A scaler that has seen nothing yet.
    ///
    /// # Errors
    /// [`Code::INVALID`](crate::Code::INVALID) when the policy is not valid.
    pub fn new(policy: ScalePolicy) -> Result<Self> {
        policy.check()?;
        let beta = quality(policy.may_wait);
        Ok(Self { policy, beta, lately: [0; PARTS], part_began: Moment::ZERO })
    }

    /// Its policy.
    pub fn policy(&self) -> &ScalePolicy {
        &self.policy
    }

    /// How many workers there should be. Ask as often as samples come; more often changes nothing.
    pub fn decide(&mut self, sample: &PoolSample, now: Moment) -> ScaleDecision {
        let present = sample.ready.saturating_add(sample.starting);
        let service = known(sample.service_ms) / 1_000.0;
        let (least, most) = (self.policy.min, self.policy.ceiling());
        if service == 0.0 {
            // Of none at all nobody will ever know.
            let asked = sample.queue > 0 || sample.offered_per_s() > 0.0;
            let first = u32::from(present == 0 && asked);
            return self.answer(
                present.max(least).max(first).min(most),
                present,
                ScaleCause::Unknown,
            );
        }
        let (needed, reason) = self.needed(sample, service);
        let bounded = needed.max(least).min(most);
        let held =
            remember(&mut self.lately, &mut self.part_began, self.policy.hold_ms, bounded, now);
        let (target, cause) = if bounded > present {
            (bounded, if needed == bounded { reason } else { ScaleCause::Bound })
        } else if present > most {
            (most, ScaleCause::Bound)
        } else if bounded == present {
            (present, if needed == bounded { ScaleCause::Fits } else { ScaleCause::Bound })
        } else {
            // What is needed now is within the time that it is held.
            let worth = (f64::from(present) * self.policy.slack).ceil() as u32;
            if held < present && present - held >= worth.max(1) {
                (held, ScaleCause::Idle)
            } else {
                (present, ScaleCause::Held)
            }
        };
        self.answer(target, needed, cause)
    }

    fn answer(&self, target: u32, needed: u32, cause: ScaleCause) -> ScaleDecision {
        let cost_per_hour = f64::from(target) * self.policy.worker_per_hour;
        ScaleDecision { target, needed, cause, cost_per_hour }
    }

    /// Workers that are needed, and what for.
    fn needed(&self, sample: &PoolSample, service: f64) -> (u32, ScaleCause) {
        let start_up = self.policy.start_up_ms as f64 / 1_000.0;
        let drain = self.policy.drain_ms as f64 / 1_000.0;
        let (now, refused) = (sample.offered_per_s(), sample.counted_per_s());
        // Until a worker started now is ready, and has worked for as long as that took.
        let horizon = self.policy.start_up_ms.saturating_mul(2);
        let ahead = (sample.forecast.iter().take(1_024))
            .filter(|f| f.ahead_ms <= horizon)
            .map(|f| known(f.per_s))
            .fold(0.0, f64::max);
        let rate = now.max(ahead);
        let load = rate * service;
        let base = load + self.beta * load.sqrt();
        // The queue that there will be when a worker started now is ready; that few wait, as they may, is no backlog.
        // Those that are starting now will have worked for half of that time.
        let ready = f64::from(sample.ready) + 0.5 * f64::from(sample.starting);
        // Who was turned away does not wait.
        let grown = sample.queue as f64 + (rate - refused - ready / service) * start_up;
        let backlog = (grown - load.sqrt()).max(0.0);
        let extra = backlog * service / drain;
        let reason =
            if extra > base - f64::from(sample.ready.saturating_add(sample.starting)).min(base) {
                ScaleCause::Queue
            } else if ahead > now {
                ScaleCause::Forecast
            } else {
                ScaleCause::Arrivals
            };
        // A worker less than a hundredth of one short is none.
        ((base + extra - 0.01).ceil().max(0.0) as u32, reason)
    }
}

/// Notes what is needed now, and gives the most that was needed within `hold_ms`.
fn remember(
    lately: &mut [u32; PARTS],
    began: &mut Moment,
    hold_ms: u64,
    needed: u32,
    now: Moment,
) -> u32 {
    let part = (Duration::from_millis(hold_ms) / PARTS as u32).max(Duration::from_millis(1));
    let passed =
        (now.since(*began).as_nanos() / part.as_nanos().max(1)).min(PARTS as u128) as usize;
    if passed > 0 {
        lately.rotate_right(passed % PARTS);
        lately.iter_mut().take(passed).for_each(|l| *l = 0);
        *began = now;
    }
    if let Some(newest) = lately.first_mut() {
        *newest = (*newest).max(needed);
    }
    lately.iter().copied().max().unwrap_or(needed)
}

/// `β` for the probability that a task waits: the inverse of `1/(1 + β·Φ(β)/φ(β))` (Halfin and Whitt), by bisection.
fn quality(may_wait: f64) -> f64 {
    let waits = |beta: f64| {
        let density = (-0.5 * beta * beta).exp() / std::f64::consts::TAU.sqrt();
        1.0 / (1.0 + beta * crate::tune::optimise::normal_cdf(beta) / density)
    };
    let (mut low, mut high) = (0.0, 8.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if waits(middle) > may_wait {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

fn known(value: f64) -> f64 {
    if value.is_finite() { value.clamp(0.0, 1e9) } else { 0.0 }
}
