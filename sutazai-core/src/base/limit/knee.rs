//! Where more concurrency stops to help: [`Knee`].

use super::before::Before;
use super::levels::Point;

/// Calls that what is expected of their spread counts for.
const PRIOR: f64 = 8.0;
/// Calls without which a level does not tell what was tried.
const SOME: f64 = 4.0;
/// Concurrencies that are weighed up.
const CANDIDATES: u16 = 64;

/// What the levels say of a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Knee {
    /// The useful concurrency: with less in flight the target idles, with more calls wait.
    pub(super) useful: f64,
    /// Its uncertainty: the standard deviation of its logarithm.
    pub(super) doubt: f64,
    /// Seconds that a call takes where none waits.
    pub(super) service: f64,
    /// How much calls differ in their times: the squared coefficient of variation.
    pub(super) spread: f64,
    /// The lowest and the highest concurrency at which calls were answered.
    pub(super) seen: (f64, f64),
    /// The chance that about as many calls are useful as before the target changed, or more; `None` where it did not.
    pub(super) kept: Option<f64>,
}

impl Knee {
    /// How much longer a call takes at this concurrency than where none waits.
    pub(super) fn stretch(&self, concurrency: f64) -> f64 {
        stretch(concurrency, self.useful)
    }

    /// How long a call should take at this concurrency, in seconds; `None` where none of the like was seen.
    pub(super) fn expected(&self, concurrency: f64) -> Option<f64> {
        let (lowest, highest) = self.seen;
        let seen = (lowest * 0.9..=highest * 1.1).contains(&concurrency);
        seen.then(|| self.service * self.stretch(concurrency))
    }

    /// Weighs up, from what calls took at each level. `None` without any answer.
    ///
    /// Below the knee `c` a call takes its service time `S`, above it `S·n/c`: the asymptotes of every closed
    /// system with one bottleneck (P. Denning, J. Buzen: The Operational Analysis of Queueing Network
    /// Models, ACM Computing Surveys 10(3), 1978). For each candidate `c` the best `S` has a closed form under the
    /// likelihood of exponential times, which needs only each level's count and sum; `spread`, the
    /// squared coefficient of variation that was seen, makes that a quasi-likelihood for other
    /// distributions (R. Wedderburn, Biometrika 61(3), 1974). The answer is the mean of `ln c` under it, for candidates
    /// spread evenly in `ln c` from half the lowest level to twice the highest. So what was not tried
    /// yet is thought possible, in both directions and within a factor of two. What was known before the target changed is the prior.
    pub(super) fn find(points: &[Point], before: Option<&Before>) -> Option<Self> {
        points.first()?;
        let spread = pooled(points);
        let weights: Vec<f64> = points
            .iter()
            .map(|p| p.answered / shrunk(p.spread * p.answered, p.answered, spread).max(spread))
            .collect();
        let some = |point: &&Point| point.answered >= SOME;
        let any = points.iter().any(|point| some(&point));
        let counted = points.iter().filter(|point| !any || some(point));
        let concurrencies = || counted.clone().map(|point| point.concurrency);
        let lowest = concurrencies().fold(f64::INFINITY, f64::min).max(1.0);
        let highest = concurrencies().fold(1.0, f64::max);
        let all: f64 = weights.iter().sum();
        let weighted = || points.iter().zip(&weights);
        let service = |useful: f64| {
            let work: f64 =
                weighted().map(|(p, w)| w * p.mean() / stretch(p.concurrency, useful)).sum();
            (work / all).max(f64::MIN_POSITIVE)
        };
        let (from, to) = ((lowest / 2.0).ln(), (highest * 2.0).ln());
        let from = before.map_or(from, |before| before.lowest(from, to));
        let step = (to - from) / f64::from(CANDIDATES - 1);
        let candidates = || (0..CANDIDATES).map(|i| from + step * f64::from(i));
        let cost = |log: f64| {
            let useful = f64::exp(log);
            let logs: f64 = weighted().map(|(p, w)| w * stretch(p.concurrency, useful).ln()).sum();
            let service = service(useful);
            (logs + all * service.ln(), service)
        };
        let costs: Vec<(f64, f64)> = candidates().map(cost).collect();
        let least = costs.iter().fold(f64::INFINITY, |least, (cost, _)| least.min(*cost));
        let priors: Vec<f64> = before.map_or_else(Vec::new, |before| {
            let densities: Vec<_> = candidates()
                .zip(&costs)
                .map(|(log, (_, service))| before.densities(log, *service, from, to))
                .collect();
            let takes = densities.iter().map(|of| of.takes * step).sum();
            densities.into_iter().map(|of| before.weigh(of, takes)).collect()
        });
        let (mut sum, mut first, mut second, mut kept) = (0.0, 0.0, 0.0, 0.0);
        for (i, (log, (cost, _))) in candidates().zip(&costs).enumerate() {
            let weight = (least - cost).exp() * priors.get(i).copied().unwrap_or(1.0);
            sum += weight;
            if before.is_some_and(|before| before.keeps(log, from, to)) {
                kept += weight;
            }
            first += weight * log;
            second += weight * log * log;
        }
        let mean = first / sum;
        let useful = mean.exp();
        let knee = Self {
            useful,
            doubt: (second / sum - mean * mean).max(0.0).sqrt(),
            service: service(useful),
            seen: (lowest, highest),
            spread,
            kept: before.map(|_| kept / sum),
        };
        (useful.is_finite() && knee.doubt.is_finite() && knee.service.is_finite()).then_some(knee)
    }
}

fn stretch(concurrency: f64, useful: f64) -> f64 {
    (concurrency / useful).max(1.0)
}

/// The squared coefficient of variation over all levels.
fn pooled(points: &[Point]) -> f64 {
    // One degree of freedom is spent on each level's mean.
    let answered: f64 = points.iter().map(|point| (point.answered - 1.0).max(0.0)).sum();
    let spreads: f64 = points.iter().map(|point| point.answered * point.spread).sum();
    shrunk(spreads, answered, 1.0)
}

/// A mean of few, drawn towards what is expected as though that had been seen `PRIOR` times.
fn shrunk(sum: f64, count: f64, expected: f64) -> f64 {
    ((sum + PRIOR * expected) / (count + PRIOR)).clamp(0.25, 16.0)
}
