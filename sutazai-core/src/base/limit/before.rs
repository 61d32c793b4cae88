//! What was known of a target before it became another one: [`Before`].

use super::knee::Knee;

/// The chance, before anything else is seen, that calls only take other times than before, and that as many are useful.
const SAME: f64 = 0.7;
/// How much of that is left each time that the target changes again before anything is known.
const AGAIN: f64 = 0.8;
/// Of what was useful, less than this share makes a limit that stays do harm: the logarithm.
const MUCH_LESS: f64 = 0.5;
/// How much less is thought possible until it was looked for: the logarithm of a factor of four.
const REACH: f64 = 1.4;

/// What calls take has changed. Either the target has become slow, and as many calls are useful as before; or it takes fewer, or more,
/// at once. At one concurrency both look the same, and the second is as likely for each concurrency that is
/// possible: a mixture, by which what is seen since is weighed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    /// The logarithm of what was useful, and the doubt about it.
    log: f64,
    doubt: f64,
    /// The chance that it still is.
    same: f64,
    /// Whether it was looked, with fewer calls in flight, which of both it is.
    verified: bool,
}

impl Before {
    /// The least doubt that is assumed about the logarithm of what was useful.
    pub(super) const VAGUE: f64 = 0.15;

    pub(super) fn new(knee: &Knee) -> Self {
        Self {
            log: knee.useful.ln(),
            doubt: knee.doubt.max(Self::VAGUE),
            same: SAME,
            verified: false,
        }
    }

    /// The target has changed again, before it was known how.
    pub(super) fn again(&mut self) {
        self.same *= AGAIN;
    }

    /// It counts for less, as everything that is remembered does.
    pub(super) fn fade(&mut self, factor: f64) {
        self.same *= factor;
    }

    /// What was useful, and the doubt about its logarithm.
    pub(super) fn useful(&self) -> f64 {
        self.log.exp()
    }

    pub(super) fn doubt(&self) -> f64 {
        self.doubt
    }

    pub(super) fn is_verified(&self) -> bool {
        self.verified
    }

    pub(super) fn verify(&mut self) {
        self.verified = true;
    }

    /// The logarithm of the lowest concurrency that may be useful, where without it that is `from`.
    pub(super) fn lowest(&self, from: f64, to: f64) -> f64 {
        if self.verified {
            return from;
        }
        // Less than one call is not useful less.
        from.min((self.log.min(to) - REACH).max(-std::f64::consts::LN_2))
    }

    /// The density of a logarithm between these, and whether about as much is useful there as before, or more.
    pub(super) fn weigh(&self, log: f64, from: f64, to: f64) -> (f64, bool) {
        let at = self.log.clamp(from, to);
        let off = (log - at) / self.doubt;
        let normal = (-off * off / 2.0).exp() / (self.doubt * std::f64::consts::TAU.sqrt());
        let even = 1.0 / (to - from);
        ((1.0 - self.same) * even + self.same * normal, log > at - MUCH_LESS)
    }
}
