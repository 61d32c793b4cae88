//! Black-box optimisation of knobs within few trials: ask for a setting, try it, tell what came of it.
//!
//! **How it searches.** A Gaussian process learns the objective from the trials so far: a Matérn 5/2 kernel with a length a
//! coordinate, and the kernel of all quadratics besides, so that it is a response surface where one explains what was seen
//! (L. Bajer et al., Evolutionary Computation 27(4), 2019, and N. Hansen, GECCO 2019, on why that helps). Three such processes see the values
//! as they are, and compressed upwards with two knees; the likeliest is used (W. Cowen-Rivers et al., "HEBO", JAIR 74, 2022, on
//! the worth of that). Hyperparameters take a few steps of Rprop up their posterior density each trial. The next trial is the point of
//! the largest expected improvement (by its logarithm: S. Ament et al., NeurIPS 2023) in a trust region around the best
//! (D. Eriksson et al., NeurIPS 2019), which starts large, grows with success and shrinks with failure; when it is small
//! the model is made of the trials near, and when nothing is left to find there the search begins anew in the large.
//!
//! **Bounds.** A hundred trials are remembered, so memory and time of a suggestion (about a millisecond) stay the same whatever
//! their number. Results that are not finite count as failed, and failed trials as bad as the worst. Values beyond ±10¹⁵⁰ are
//! taken as that. Equal values everywhere leave nothing to learn, and the search spreads out.
//!
//! ```
//! use sutazai_core::tune::{Direction, Knob, KnobKind, KnobScale, KnobValue, Optimiser, Space, TrialResult};
//!
//! let batch = KnobKind::Integer { low: 1, high: 1024, scale: KnobScale::Log };
//! let space = Space::new(vec![Knob::new("batch", batch, KnobValue::Integer(4))])?;
//! let mut search = Optimiser::new(space, Direction::Minimise, 1);
//! for _ in 0..20 {
//!     let trial = search.ask();
//!     let Some(KnobValue::Integer(batch)) = trial.setting.get("batch") else { continue };
//!     let cost = 100.0 / *batch as f64 + *batch as f64;
//!     search.tell(trial.id, TrialResult::Measured(cost))?;
//! }
//! let (best, cost) = search.best().unwrap_or_default();
//! assert!(cost <= 20.2, "{best:?}: {cost}");
//! # Ok::<(), sutazai_core::Error>(())
//! ```

mod acquire;
mod engine;
mod envelope;
mod improve;
mod knob;
mod model;
mod optimiser;
mod random;
mod region;
mod space;
#[cfg(test)]
mod tests;

pub(super) use envelope::Envelope;
pub(super) use improve::normal_cdf;
pub use knob::{Knob, KnobKind, KnobScale, KnobValue, Setting};
pub use optimiser::{Direction, Optimiser, Suggestion, SuggestionCause, TrialResult};
pub(super) use random::Random;
pub use space::Space;
