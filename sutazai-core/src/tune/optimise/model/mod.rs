//! What the search thinks of the objective: Gaussian processes that differ in how they see its values, of which the likeliest
//! counts.

mod dense;
mod gp;
mod warp;

use gp::{Gp, Hyper};
use warp::{Warp, Warped};

/// Steps up the density of hyperparameters that one proposal may take.
const MOST_ROUNDS: f64 = 12.0;

/// One way to see the objective, and what was learned about it so far.
#[derive(Clone, Debug)]
struct Member {
    warp: Warp,
    hyper: Hyper,
    /// Step of each parameter, and the sign of its last slope (Rprop: M. Riedmiller, H. Braun, ICNN 1993).
    steps: Vec<(f64, f64)>,
    /// Logarithm of the hyperparameters' posterior density a point, comparable between members.
    evidence: f64,
}

impl Member {
    fn new(warp: Warp, d: usize) -> Self {
        let hyper = Hyper::new(d);
        let steps = vec![(0.3, 0.0); hyper.theta.len()];
        Self { warp, hyper, steps, evidence: f64::NEG_INFINITY }
    }

    /// Some steps towards the likeliest hyperparameters; gives the likeliest process that it met.
    fn learn(&mut self, x: &[f64], warped: &Warped, rounds: usize) -> Option<Gp> {
        let mut gradient = vec![0.0; self.hyper.theta.len()];
        let mut best: Option<(f64, Gp)> = None;
        for round in 0..=rounds {
            let Some(gp) = Gp::fit(&self.hyper, x, &warped.y) else {
                // Ill-conditioned: more noise.
                if let Some(noise) = self.hyper.theta.last_mut() {
                    *noise = noise.max(-18.0) + 2.0;
                }
                continue;
            };
            // The last one needs no slope.
            let last = round == rounds;
            let value = if last {
                gp.likelihood(&warped.y) + self.hyper.prior(&mut gradient)
            } else {
                gp.evidence(&warped.y, &mut gradient)
            };
            if best.as_ref().is_none_or(|(b, _)| value > *b) {
                best = Some((value, gp));
            }
            if !last {
                self.step(&gradient);
            }
        }
        let (value, gp) = best?;
        self.evidence = (value + warped.jacobian) / warped.y.len() as f64;
        self.hyper = gp.hyper.clone();
        Some(gp)
    }

    fn step(&mut self, gradient: &[f64]) {
        for (i, ((step, sign), g)) in self.steps.iter_mut().zip(gradient).enumerate() {
            let product = *sign * g;
            if product > 0.0 {
                *step = (*step * 1.3).min(1.0);
            } else if product < 0.0 {
                *step = (*step * 0.4).max(0.01);
            }
            let (low, high) = self.hyper.bounds(i);
            if let Some(t) = self.hyper.theta.get_mut(i) {
                *t = (*t + step.copysign(*g)).max(low).min(high);
            }
            *sign = *g;
        }
    }
}

/// The ways to see the objective.
#[derive(Clone, Debug)]
pub(super) struct Portfolio {
    members: Vec<Member>,
    used: usize,
    turn: usize,
    /// Steps that may be taken.
    credit: f64,
}

impl Portfolio {
    pub(super) fn new(d: usize) -> Self {
        let members = [Warp::Plain, Warp::Log(1.0), Warp::Log(0.1)];
        Self {
            members: members.into_iter().map(|w| Member::new(w, d)).collect(),
            used: 0,
            turn: 0,
            credit: 0.0,
        }
    }

    /// Learns from values at points (`n` rows of `d`), and gives the model. Of `effort`, each proposal adds to what may be spent
    /// on hyperparameters: steps of all that are learned.
    pub(super) fn model(&mut self, x: &[f64], values: &[f64], effort: f64) -> Option<Model> {
        self.credit = (self.credit + effort).min(MOST_ROUNDS);
        let rounds = self.credit.floor();
        self.credit -= rounds;
        if rounds >= 1.0 {
            // Those that are not used take turns.
            let others = self.members.len().max(2) - 1;
            self.turn = (self.turn + 1) % others;
            let skipped = (self.used + 1 + self.turn) % self.members.len();
            if let Some(member) = self.members.get_mut(skipped) {
                drop(member.learn(x, &member.warp.apply(values), rounds as usize));
            }
        }
        let member = self.members.get_mut(self.used)?;
        let warped = member.warp.apply(values);
        let mut seen = (member.learn(x, &warped, rounds as usize), warped);
        let likeliest = self.members.iter().enumerate();
        let likeliest = likeliest.max_by(|a, b| a.1.evidence.total_cmp(&b.1.evidence));
        let likeliest = likeliest.map_or(self.used, |(i, _)| i);
        if likeliest != self.used {
            self.used = likeliest;
            let member = self.members.get(likeliest)?;
            let warped = member.warp.apply(values);
            seen = (Gp::fit(&member.hyper, x, &warped.y), warped);
        }
        let (gp, warped) = seen;
        let gp = gp?;
        let smoothed = gp.smoothed(&warped.y);
        Some(Model { gp, smoothed })
    }
}

/// A model of the objective, smaller being better.
#[derive(Clone, Debug)]
pub(super) struct Model {
    gp: Gp,
    /// What it thinks of the points it was made from.
    pub(super) smoothed: Vec<f64>,
}

impl Model {
    pub(super) fn predict(&self, at: &[f64]) -> Vec<(f64, f64)> {
        self.gp.predict(at)
    }

    pub(super) fn slope(&self, at: &[f64], dm: &mut [f64], dv: &mut [f64]) -> (f64, f64) {
        self.gp.slope(at, dm, dv)
    }

    /// Relative lengths of the dimensions, of geometric mean 1, within a factor of 4.
    pub(super) fn lengths(&self) -> Vec<f64> {
        let d = self.gp.hyper.dims();
        let theta = self.gp.hyper.theta.get(..d).unwrap_or_default();
        let mean = theta.iter().sum::<f64>() / d as f64;
        theta.iter().map(|t| (t - mean).exp().clamp(0.25, 4.0)).collect()
    }
}

/// A process with fixed hyperparameters over margins to a bound, in multiples of the margin where it began: pessimistic where
/// nothing was measured near (Y. Sui et al., "Safe exploration for optimization with Gaussian processes", ICML 2015).
#[derive(Clone, Debug)]
pub(super) struct Margin {
    gp: Gp,
    mean: f64,
}

impl Margin {
    /// From margins at points (`n` rows of `d`); `noise` is the variance of a measurement.
    pub(super) fn new(d: usize, x: &[f64], margins: &[f64], noise: f64) -> Option<Self> {
        let n = margins.len() as f64;
        let mean = (margins.iter().sum::<f64>() / n).min(1.0);
        let centred: Vec<f64> = margins.iter().map(|m| m - mean).collect();
        let spread = centred.iter().map(|c| c * c).sum::<f64>() / n;
        let mut hyper = Hyper::new(d);
        let variances = [spread.max(1.0).ln(), -12.0, noise.clamp(1e-6, 1.0).ln()];
        for (t, v) in hyper.theta.iter_mut().skip(d).zip(variances) {
            *t = v;
        }
        Some(Self { gp: Gp::fit(&hyper, x, &centred)?, mean })
    }

    /// The least margin to be expected at each of the points, `beta` standard deviations below the mean.
    pub(super) fn least(&self, at: &[f64], beta: f64) -> Vec<f64> {
        self.gp.predict(at).iter().map(|(m, v)| self.mean + m - beta * v.sqrt()).collect()
    }
}
