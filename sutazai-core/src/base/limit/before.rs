//! What was known of a target before it became another one: [`Before`].

use super::knee::Knee;

/// The chance, before anything else is seen, that calls only take other times than before, and that as many are useful.
const SAME: f64 = 0.8;
/// What that chance is at most once it was looked for.
const CERTAIN: f64 = 0.9;
/// How much of that is left each time that the target changes again before anything is known.
const AGAIN: f64 = 0.8;
/// Of other changes, the share in which calls take other times and other numbers of them are useful, both.
const BOTH: f64 = 0.15;
/// Of what was useful, less than this share makes a limit that stays do harm: the logarithm.
const MUCH_LESS: f64 = 0.5;
/// How much less is thought possible until it was looked for: the logarithm of a factor of fifty.
const REACH: f64 = 4.0;

/// What calls take has changed. Either the target has become slow, and as many calls are useful as before; or it takes fewer, or more,
/// at once, in the time that each took before; or both, which is rarer, and as likely for each concurrency that is possible. At one
/// concurrency the first and the second look the same: a mixture, by which what is seen since is weighed. Calls that take more than `c`
/// times as long, where `c` were useful, are slow without a look: less than one at once is not useful less.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    /// The logarithm of what was useful, and the doubt about it.
    log: f64,
    doubt: f64,
    /// The chance that it still is.
    same: f64,
    /// The logarithm of the seconds that a call took where none waits.
    service: f64,
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
            service: knee.service.ln(),
            verified: false,
        }
    }

    /// The target has changed again, before it was known how.
    pub(super) fn again(&mut self) {
        self.same *= AGAIN;
    }

    /// It counts for less, as everything that is remembered does, and sooner: what is seen since shall count.
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

    /// It is known now, and this is the chance that as many are useful; 0 where they are not.
    pub(super) fn verify(&mut self, kept: f64) {
        self.verified = true;
        if kept > self.same {
            self.same = kept.min(CERTAIN);
        }
    }

    /// The logarithm of the lowest concurrency that may be useful, where without it that is `from`.
    pub(super) fn lowest(&self, from: f64, to: f64) -> f64 {
        if self.verified {
            return from;
        }
        // Less than one call is not useful less.
        from.min((self.log.min(to) - REACH).max(-std::f64::consts::LN_2))
    }

    /// The densities of a useful concurrency whose logarithm lies between `from` and `to`, and with which a call takes
    /// `service` seconds where none waits.
    pub(super) fn densities(&self, log: f64, service: f64, from: f64, to: f64) -> Densities {
        Densities {
            slow: normal(log - self.log.clamp(from, to), self.doubt),
            takes: normal(service.ln() - self.service, self.doubt),
            both: 1.0 / (to - from),
        }
    }

    /// The density of the mixture. `takes` is the integral of that density: more than 1 where what was seen fits many
    /// concurrencies, which counts once; less where it fits none, which counts as that.
    pub(super) fn weigh(&self, of: Densities, takes: f64) -> f64 {
        let other = (1.0 - BOTH) * of.takes / takes.max(1.0) + BOTH * of.both;
        self.same * of.slow + (1.0 - self.same) * other
    }

    /// Whether about as much is useful there as before, or more.
    pub(super) fn keeps(&self, log: f64, from: f64, to: f64) -> bool {
        log > self.log.clamp(from, to) - MUCH_LESS
    }
}

/// How likely a candidate is in each of the three cases.
#[derive(Clone, Copy, Debug)]
pub(super) struct Densities {
    /// The target is slow.
    slow: f64,
    /// It takes another number of calls.
    pub(super) takes: f64,
    both: f64,
}

fn normal(off: f64, deviation: f64) -> f64 {
    let off = off / deviation;
    (-off * off / 2.0).exp() / (deviation * std::f64::consts::TAU.sqrt())
}
