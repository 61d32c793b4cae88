//! The figures that the ensemble goes by: the same for all series.
//!
//! They are of two kinds. Spans and the form of the tails were chosen on one half of the Numenta Anomaly Benchmark (the
//! files whose path has an even SHA-1), on pieces of its files that begin anew shortly before an anomaly, and on made-up
//! series of ten kinds with planted anomalies; the latest choices also on that half run backwards, thinned, in logarithms and
//! in differences, where a choice that fits the files alone does not hold. They stand where changes in either direction matter little.
//! On that half the detector scores 81.9, on the other one, which was looked at twelve times in passing, 58.4. What is [usual in
//! noise](USUAL) was measured on noise, without any label: independent and autocorrelated (0.9) normal values, and a daily
//! sine with noise, 20 series of 10,000 points each; of the parts that know a season, on sines, squares, saws and peaks with five periods.

use super::parts::PARTS;

/// Values that the usual level is taken over.
pub(super) const SPAN: f64 = 4_000.0;

/// Values that the histograms remember.
pub(super) const MEMORY: f64 = 8_000.0;

/// The share of a histogram that its tail is fitted to.
pub(super) const TAIL_SHARE: f64 = 0.05;

/// Independent figures beyond which a fitted tail is believed more than what is not known of it.
pub(super) const PRIOR: f64 = 4.0;

/// What has been seen before is taken for at most so many times rarer than it was.
pub(super) const RECURS: f64 = 2.0;

/// How much a figure's size counts, beside its rarity.
pub(super) const EFFECT: f64 = 3.0;

/// Times its mean that a figure is in rare cases of noise.
pub(super) const EFFECT_USUAL: f64 = 6.0;

/// The decimal logarithm of how much larger than that a figure may be to count for more.
pub(super) const EFFECT_MOST: f64 = 0.5;

/// What each part says once in about 50,000 points of noise.
pub(super) const USUAL: [f64; PARTS] =
    [4.23, 4.05, 4.17, 3.66, 3.30, 3.15, 4.08, 3.32, 4.59, 1.56, 2.07, 2.50, 1.83, 3.9, 3.4, 3.1];

/// What all of them together say somewhat less often than there may be an alarm: 1.166 was measured once in 18,000
/// points.
pub(super) const TOGETHER: f64 = 1.19;

/// The exponent of the mean that they are taken together by: what several say counts beside the greatest.
pub(super) const EXPONENT: i32 = 4;
