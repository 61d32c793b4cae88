//! Tuning of knobs while the program runs: [`Tuner`].
//!
//! **A trial.** The optimiser proposes a setting. The tuner measures it and the setting in use in turns (in use, tried; tried, in use; …),
//! leaving out a warm-up after each change, and looks after each pair of windows whether the difference is there: the test (an
//! anytime-valid t-test) may be looked at as often as one likes and still takes a setting that makes no difference for a
//! better one with a probability of at most [`TunerPolicy::error`]. A setting that is better by at least
//! [`TunerPolicy::min_gain`] is adopted. As both are measured in turns, a load that comes and goes favours neither.
//!
//! **The envelope.** A trial never leaves the knobs' bounds, nor goes farther from the setting in use than each knob's
//! largest step. With guard-rails it goes only where a Gaussian process over their measured margins expects them to hold with
//! two standard deviations to spare, so the region that is explored grows from the setting in use (SafeOpt: Y. Sui et al.,
//! ICML 2015). One sample beyond a bound ends the trial and rolls it back at once, and a long rest follows. The setting in use is watched too: when
//! it breaks a guard-rail by itself, the one from before the tuner changed anything comes back.
//!
//! **When the world changes.** Settings that were in use before are tried again now and then, and at once when the objective has moved
//! far by itself; then the search begins anew.
//!
//! ```
//! use std::time::Duration;
//! use sutazai_core::base::time::Moment;
//! use sutazai_core::tune::{
//!     Autonomy, Knob, KnobKind, KnobScale, KnobValue, Space, Tuner, TunerAction, TunerPolicy, TunerSample,
//! };
//!
//! let batch = KnobKind::Integer { low: 1, high: 1024, scale: KnobScale::Log };
//! let space = Space::new(vec![Knob::new("batch", batch, KnobValue::Integer(2)).max_step(0.3)])?;
//! let mut policy = TunerPolicy::default();
//! (policy.autonomy, policy.cool_down_ms) = (Autonomy::Act, 0);
//! let mut tuner = Tuner::new(space, policy, Moment::ZERO)?;
//! let (mut batch, mut now) = (2.0, Moment::ZERO);
//! for _ in 0..20_000 {
//!     now = now + Duration::from_secs(1);
//!     let objective = Some(100.0 / batch + batch);
//!     for action in tuner.report(&TunerSample { objective, ..TunerSample::default() }, now) {
//!         let TunerAction::Apply { setting, .. } = action else { continue };
//!         if let Some(KnobValue::Integer(value)) = setting.get("batch") {
//!             batch = *value as f64;
//!         }
//!     }
//! }
//! // It began at 52; the least is 20, at a batch of 10.
//! let Some(KnobValue::Integer(batch)) = tuner.view().incumbent.get("batch").cloned() else { panic!() };
//! assert!((7..=14).contains(&batch), "{batch}");
//! # Ok::<(), sutazai_core::Error>(())
//! ```
//!
//! **Odd input.** Objectives that are not finite are left out; a guard-rail's metric that is not finite counts as broken. A window
//! without an objective, or without one of the guard-rails, decides nothing: the trial ends, and none begins before all is measured
//! again ([`Tuner::lacks`] says what is not). A clock that stands still or goes back
//! makes no window end. Samples that come late count for the window that is open.

mod evidence;
mod figures;
mod machine;
mod policy;
#[cfg(test)]
mod tests;
mod trial;
mod verdict;
mod view;
mod world;

pub use machine::Tuner;
pub use policy::{Autonomy, GuardRail, GuardSide, TunerPolicy};
pub use view::{
    ApplyCause, BrokenGuard, Suggested, TrialCause, TrialRecord, TrialVerdict, TunerAction,
    TunerLack, TunerPhase, TunerSample, TunerView,
};
