//! How unlikely it is that a figure is as large as it is, by what it has been before.
//!
//! A histogram on a logarithmic scale, old counts fading, gives the share of figures above one; beyond what has
//! been seen often enough, the tail is a generalised Pareto distribution fitted by its moments to what lies
//! above the last twentieth (J. R. M. Hosking, J. R. Wallis, "Parameter and Quantile Estimation for the Generalized Pareto
//! Distribution", Technometrics 29, 1987; streams: A. Siffer et al., "Anomaly Detection in Streams with Extreme
//! Value Theory", KDD 2017). Two things keep it from claiming too much:
//!
//! - Figures over windows that overlap are not independent: each counts for its share of a window, and a tail that few
//!   independent figures speak for is a heavy one. (What an exponential distribution predicts whose rate is known by n
//!   values only is a Pareto distribution with a shape of about 1/n.)
//! - Whatever the fitted tail says, what has come before at nearly that size is not much rarer than it was.

use super::tuning::{EFFECT, EFFECT_MOST, EFFECT_USUAL, MEMORY, PRIOR, RECURS, TAIL_SHARE};

/// Bins of the histogram: eight to each doubling, from 2⁻¹⁶ to 2¹⁶ of the anchor.
const BINS: usize = 256;
const PER_OCTAVE: f64 = 8.0;
const MIDDLE: f64 = 128.0;

/// Figures above zero after which the scale is known.
const FIRST: usize = 16;

/// Figures, large or small, before anything is said.
const LEAST: f64 = 20.0;

/// Independent figures that the tail is fitted to, at least.
const FITTED: f64 = 10.0;

/// Bins below a figure that count as nearly its size: a quarter of a doubling.
const NEARLY: f64 = 2.0;

/// The least scale of the fitted tail, as a share of where it begins: what is known to a twentieth is not taken for
/// sharper than that.
const SCALE_LEAST: f64 = 0.05;

/// The most that is ever said: 10⁻³⁰.
const MOST: f64 = 30.0;

/// The past of one figure that is zero or more.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    /// Weights of the bins; the first one is for zero.
    bins: Box<[f32]>,
    /// The first figures above zero, until there are enough to know the scale.
    first: Vec<f64>,
    /// The figure in the middle of the bins; zero until it is known.
    anchor: f64,
    total: f64,
    /// What a figure counts for: less than one where it shares most of its values with those before it.
    share: f64,
    /// What a figure of now weighs; it grows, so that old ones count for less.
    weight: f64,
    mean: f64,
    seen: f64,
}

impl Tail {
    /// Of figures that are each taken over a window of so many values.
    pub(super) fn new(window: usize) -> Self {
        Self {
            bins: vec![0.0; BINS].into_boxed_slice(),
            first: Vec::new(),
            anchor: 0.0,
            total: 0.0,
            share: 1.0 / window.max(1) as f64,
            weight: 1.0,
            mean: 0.0,
            seen: 0.0,
        }
    }

    /// −log₁₀ of how likely a figure of at least this size is, corrected for its size beside the usual one.
    fn surprise(&self, figure: f64) -> f64 {
        let unlikely = self.improbability(figure);
        if unlikely < 1.0 || self.mean <= 0.0 {
            return unlikely;
        }
        // What is hardly larger than usual is no anomaly, however rare it is; what is far larger is one.
        let effect = (figure / (EFFECT_USUAL * self.mean)).log10();
        let said = unlikely + EFFECT * effect.clamp(-1.0, EFFECT_MOST);
        self.recurring(figure).map_or(said, |most| said.min(most)).max(0.0)
    }

    /// The most that is said of a figure nearly as large as some before it; nothing where there was none.
    fn recurring(&self, figure: f64) -> Option<f64> {
        if self.anchor == 0.0 {
            return None;
        }
        let above = self.above((self.position(figure) - NEARLY).max(1.0));
        (above >= 0.9 * self.share).then(|| (RECURS * self.total / self.weight / above).log10())
    }

    /// −log₁₀ of the probability.
    fn improbability(&self, figure: f64) -> f64 {
        if figure <= 0.0 || self.total / self.weight < LEAST * self.share {
            return 0.0;
        }
        let count = self.total / self.weight;
        if self.anchor == 0.0 {
            let above = self.first.iter().filter(|f| **f >= figure).count() as f64 * self.share;
            return ((count + 1.0) / (above + 1.0)).log10();
        }
        let above = self.above(self.position(figure));
        let wanted = (TAIL_SHARE * count).max(FITTED);
        if above >= wanted {
            return -((above + 0.5) / (count + 1.0)).log10().min(0.0);
        }
        self.extrapolated(figure, count, wanted).unwrap_or(((count + 1.0) / (above + 1.0)).log10())
    }

    /// Independent figures that were beyond a position in the bins.
    fn above(&self, position: f64) -> f64 {
        let bin = position as usize;
        let own = self.bins.get(bin).map_or(0.0, |b| f64::from(*b));
        (self.from(bin + 1) + own * (1.0 - position.fract())) / self.weight
    }

    /// By the fitted tail; nothing where there is none to fit.
    fn extrapolated(&self, figure: f64, count: f64, wanted: f64) -> Option<f64> {
        let (mut above, mut begin) = (0.0, 0);
        for (bin, weight) in self.bins.iter().enumerate().skip(1).rev() {
            above += f64::from(*weight) / self.weight;
            if above >= wanted {
                begin = bin;
                break;
            }
        }
        let threshold = if begin == 0 { 0.0 } else { self.edge(begin) };
        let (mut sum, mut squares) = (0.0, 0.0);
        for (bin, weight) in self.bins.iter().enumerate().skip(begin.max(1)) {
            if *weight > 0.0 {
                let excess = self.edge(bin) * HALF_BIN - threshold;
                let weight = f64::from(*weight) / self.weight;
                sum += weight * excess;
                squares += weight * excess * excess;
            }
        }
        let mean = sum / above.max(1e-9);
        if mean <= 0.0 || !mean.is_finite() {
            return None;
        }
        let variance = (squares / above.max(1e-9) - mean * mean).max(mean * mean * 1e-3);
        let unknown = PRIOR / (PRIOR + above);
        // By its moments no tail is heavier than that of a distribution that just has a variance: a half.
        let shape = (0.5 * (1.0 - mean * mean / variance)).max(unknown);
        let scale = (mean * (1.0 - shape)).max(SCALE_LEAST * threshold);
        let excess = (figure - threshold).max(0.0) / scale;
        let log = (shape * excess).ln_1p() / shape;
        let share = ((above + 0.5) / (count + 1.0)).min(1.0);
        Some((log / std::f64::consts::LN_10 - share.log10()).min(MOST))
    }

    fn add(&mut self, figure: f64) {
        self.seen += 1.0;
        let usual =
            figure.min(if self.seen > 30.0 && self.mean > 0.0 { 20.0 * self.mean } else { figure });
        self.mean += (usual - self.mean) / self.seen.min(MEMORY);
        if self.anchor == 0.0 {
            self.total += self.share;
            if figure <= 0.0 {
                self.put(0.0, self.share);
                return;
            }
            self.first.push(figure);
            if self.first.len() >= FIRST {
                self.settle();
            }
            return;
        }
        self.weight *= 1.0 + 1.0 / MEMORY;
        let weight = self.weight * self.share;
        self.put(figure, weight);
        self.total += weight;
        if self.weight > 1e3 {
            for bin in &mut self.bins {
                *bin /= self.weight as f32;
            }
            self.total /= self.weight;
            self.weight = 1.0;
        }
    }

    /// The scale is known: what came before has its places.
    fn settle(&mut self) {
        let mut first = std::mem::take(&mut self.first);
        first.sort_by(f64::total_cmp);
        self.anchor = first.get(FIRST / 2).copied().unwrap_or(1.0);
        for figure in first {
            self.put(figure, self.share);
        }
    }

    /// The weights of this bin and all after it, in eight sums at once, which is quicker.
    fn from(&self, bin: usize) -> f64 {
        let bins = self.bins.get(bin..).unwrap_or_default();
        let (eights, rest) = bins.as_chunks::<8>();
        let mut sums = [0.0_f32; 8];
        for eight in eights {
            for (sum, weight) in sums.iter_mut().zip(eight) {
                *sum += weight;
            }
        }
        sums.iter().chain(rest).map(|weight| f64::from(*weight)).sum()
    }

    fn put(&mut self, figure: f64, weight: f64) {
        let bin = self.position(figure) as usize;
        if let Some(bin) = self.bins.get_mut(bin) {
            *bin += weight as f32;
        }
    }

    /// The bin, and how far into it.
    fn position(&self, figure: f64) -> f64 {
        if figure <= 0.0 {
            return 0.0;
        }
        ((figure / self.anchor).log2() * PER_OCTAVE + MIDDLE).clamp(1.0, BINS as f64 - 1e-6)
    }

    /// Where a bin begins.
    fn edge(&self, bin: usize) -> f64 {
        self.anchor * ((bin as f64 - MIDDLE) / PER_OCTAVE).exp2()
    }
}

/// From a bin's beginning to its middle: a sixteenth of a doubling.
const HALF_BIN: f64 = 1.044_273_782_427_413_8;

/// The past of a figure that may be too large or too small.
#[derive(Clone, Debug)]
pub(super) struct Tails {
    up: Tail,
    down: Tail,
}

impl Tails {
    pub(super) fn new(window: usize) -> Self {
        Self { up: Tail::new(window), down: Tail::new(window) }
    }

    /// How unlikely a figure is on the side that it is on; then it is part of the past.
    pub(super) fn feed(&mut self, figure: f64) -> f64 {
        let unlikely = self.surprise(figure);
        self.add(figure);
        unlikely
    }

    /// What is said of a figure that does not become part of the past yet.
    pub(super) fn surprise(&self, figure: f64) -> f64 {
        let up = self.up.surprise(figure.max(0.0));
        let down = self.down.surprise((-figure).max(0.0));
        (up.max(down) - std::f64::consts::LOG10_2).max(0.0)
    }

    /// Makes a figure part of the past.
    pub(super) fn add(&mut self, figure: f64) {
        self.up.add(figure.max(0.0));
        self.down.add((-figure).max(0.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_been_seen_is_counted_and_what_has_not_is_extrapolated() {
        let mut tail = Tail::new(1);
        for i in 0..4_000 {
            tail.add(f64::from(i % 100) + 0.5);
        }
        assert!((tail.improbability(50.0) - 0.3).abs() < 0.05, "{}", tail.improbability(50.0));
        assert!((tail.improbability(90.0) - 1.0).abs() < 0.1, "{}", tail.improbability(90.0));
        let (near, far) = (tail.improbability(120.0), tail.improbability(1_000.0));
        assert!(near > 1.5 && far > near + 2.0 && far <= MOST, "{near} {far}");
    }

    #[test]
    fn an_exponential_tail_is_known_beyond_what_was_seen() {
        let mut tail = Tail::new(1);
        for i in 0..8_000_u32 {
            // Quantiles of the exponential distribution, in an order that does not matter much.
            let share = (f64::from(i * 4_801 % 8_000) + 0.5) / 8_000.0;
            tail.add(-share.ln());
        }
        // P(x > 15) = e⁻¹⁵ = 10^−6.5; a tail is never taken for quite that light, which says less.
        let said = tail.improbability(15.0);
        assert!((4.0..7.0).contains(&said), "{said}");
    }

    #[test]
    fn what_recurs_is_no_rarer_than_it_was() {
        let mut tail = Tail::new(1);
        let mut said = Vec::new();
        for i in 1..5_000_u32 {
            let figure = if i % 500 == 0 { 400.0 } else { f64::from(i * 37 % 101) / 101.0 };
            if i % 500 == 0 {
                said.push(tail.surprise(figure));
            }
            tail.add(figure);
        }
        assert!(said[0] > 4.0, "{said:?}");
        // Seen once in 500: at most RECURS times as rare.
        assert!(said[1..].iter().all(|s| *s < 3.4), "{said:?}");
    }

    #[test]
    fn figures_that_share_their_values_speak_for_less() {
        let (mut single, mut shared) = (Tail::new(1), Tail::new(32));
        for i in 0..4_000_u32 {
            let figure = (f64::from(i * 37 % 101) + 0.5) / 101.0;
            single.add(figure);
            shared.add(figure);
        }
        let (single, shared) = (single.improbability(3.0), shared.improbability(3.0));
        assert!(shared > 1.0 && shared < single - 2.0, "{single} {shared}");
    }

    #[test]
    fn scale_does_not_matter() {
        let (mut one, mut other) = (Tail::new(1), Tail::new(1));
        for i in 0..500_u32 {
            let figure = f64::from(i * 37 % 101);
            let (a, b) = (one.surprise(figure), other.surprise(figure * 1e-9));
            one.add(figure);
            other.add(figure * 1e-9);
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }

    #[test]
    fn nothing_is_said_of_zeros_and_a_first_figure_is_as_rare_as_it_is() {
        let mut tail = Tail::new(1);
        for _ in 0..999 {
            assert_eq!(tail.surprise(0.0), 0.0);
            tail.add(0.0);
        }
        assert!((tail.improbability(7.0) - 3.0).abs() < 1e-9);
        assert!(tail.surprise(f64::MAX).is_finite());
    }
}
