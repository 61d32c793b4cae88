//! The scoring rules of the Numenta Anomaly Benchmark, written from their description: A. Lavin, S. Ahmad, "Evaluating
//! Real-Time Anomaly Detection Algorithms – the Numenta Anomaly Benchmark", ICMLA 2015, and the benchmark's wiki.
//!
//! Each labelled anomaly has a window. The first part of a file is probation and counts for nothing. A detection
//! within a window is worth the more the earlier it comes, and only a window's best detection counts; one outside
//! of all windows costs, less so shortly after a window; a window without detection costs too. The sum over all
//! files, at the threshold where it is greatest, is put on a scale where a detector that never says anything has
//! 0, and one that finds each anomaly at once and says nothing else has 100.

/// A series of the benchmark: times in nanoseconds since 1970, values, and the windows, first and last time.
#[derive(Clone, Debug)]
pub struct Series {
    /// As the benchmark names it: `realKnownCause/nyc_taxi.csv`.
    pub name: String,
    pub times: Vec<i64>,
    pub values: Vec<f64>,
    pub windows: Vec<(i64, i64)>,
}

/// What each kind of verdict is worth: the benchmark's application profiles.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    pub name: &'static str,
    true_positive: f64,
    false_positive: f64,
    false_negative: f64,
}

/// The three profiles.
pub const PROFILES: [Profile; 3] = [
    Profile { name: "standard", true_positive: 1.0, false_positive: 0.11, false_negative: 1.0 },
    Profile {
        name: "reward_low_FP",
        true_positive: 1.0,
        false_positive: 0.22,
        false_negative: 1.0,
    },
    Profile {
        name: "reward_low_FN",
        true_positive: 1.0,
        false_positive: 0.11,
        false_negative: 2.0,
    },
];

/// A point after probation.
#[derive(Clone, Copy, Debug)]
struct Point {
    score: f64,
    /// What a detection here is worth.
    worth: f64,
    /// The window that it is in, counted over all files.
    window: Option<usize>,
}

/// The verdicts on a set of files, ready to be summed up at any threshold.
#[derive(Clone, Debug)]
pub struct Sheet {
    profile: Profile,
    /// By falling score.
    points: Vec<Point>,
    /// Windows that have a point after probation, and where they begin in the count.
    scored: Vec<bool>,
    windows: usize,
}

impl Sheet {
    /// The scores that a detector gave to each point of each file.
    pub fn new<'a>(
        profile: Profile,
        files: impl IntoIterator<Item = (&'a Series, &'a [f64])>,
    ) -> Self {
        let mut sheet = Self { profile, points: Vec::new(), scored: Vec::new(), windows: 0 };
        for (series, scores) in files {
            assert_eq!(series.times.len(), scores.len(), "{}", series.name);
            sheet.add(series, scores);
        }
        sheet.points.sort_by(|a, b| b.score.total_cmp(&a.score));
        sheet
    }

    fn add(&mut self, series: &Series, scores: &[f64]) {
        let first = self.windows;
        self.windows += series.windows.len();
        self.scored.resize(self.windows, false);
        let index = |time: i64| {
            series.times.iter().position(|t| *t == time).expect("a window's end is a point")
        };
        let ends: Vec<(usize, usize)> =
            series.windows.iter().map(|w| (index(w.0), index(w.1))).collect();
        let probation = probation(scores.len());
        let mut next = 0;
        for (i, score) in scores.iter().copied().enumerate() {
            while ends.get(next).is_some_and(|(_, last)| *last < i) {
                next += 1;
            }
            let within = ends.get(next).filter(|(begin, _)| *begin <= i);
            let worth = match (within, next.checked_sub(1).and_then(|n| ends.get(n))) {
                (Some((begin, last)), _) => {
                    let width = (last - begin + 1) as f64;
                    let position = -((last - i + 1) as f64) / width;
                    sigmoid(position) * self.profile.true_positive / sigmoid(-1.0)
                }
                (None, None) => -self.profile.false_positive,
                (None, Some((begin, last))) => {
                    sigmoid((i - last) as f64 / (last - begin) as f64) * self.profile.false_positive
                }
            };
            if i < probation {
                continue;
            }
            let window = within.map(|_| first + next);
            if let Some(window) = window {
                self.scored[window] = true;
            }
            self.points.push(Point { score, worth, window });
        }
    }

    /// The sum over all files when scores of `threshold` and more are detections.
    pub fn raw(&self, threshold: f64) -> f64 {
        let mut tally = Tally::new(self);
        for point in self.points.iter().take_while(|p| p.score >= threshold) {
            tally.detect(point);
        }
        tally.sum
    }

    /// The threshold where the sum is greatest, and the sum.
    pub fn best(&self) -> (f64, f64) {
        let mut tally = Tally::new(self);
        let mut best = (f64::INFINITY, tally.sum);
        for (i, point) in self.points.iter().enumerate() {
            tally.detect(point);
            let last_of_its_score = self.points.get(i + 1).is_none_or(|p| p.score != point.score);
            if last_of_its_score && tally.sum > best.1 {
                best = (point.score, tally.sum);
            }
        }
        best
    }

    /// A sum on the scale from the silent detector's 0 to the perfect one's 100.
    pub fn normalised(&self, raw: f64) -> f64 {
        let silent = Tally::new(self).sum;
        let perfect = self.windows as f64 * self.profile.true_positive;
        100.0 * (raw - silent) / (perfect - silent)
    }

    /// Detections outside of all windows, windows found, and windows, at a threshold.
    pub fn counts(&self, threshold: f64) -> (usize, usize, usize) {
        let detected = || self.points.iter().take_while(|p| p.score >= threshold);
        let wrong = detected().filter(|p| p.window.is_none()).count();
        let found: std::collections::BTreeSet<usize> =
            detected().filter_map(|p| p.window).collect();
        (wrong, found.len(), self.windows)
    }
}

/// The sum so far, with the best detection of each window.
struct Tally {
    best: Vec<f64>,
    sum: f64,
}

impl Tally {
    fn new(sheet: &Sheet) -> Self {
        let missed = |scored: &bool| if *scored { -sheet.profile.false_negative } else { 0.0 };
        let best: Vec<f64> = sheet.scored.iter().map(missed).collect();
        let sum = best.iter().sum();
        Self { best, sum }
    }

    fn detect(&mut self, point: &Point) {
        match point.window {
            None => self.sum += point.worth,
            Some(window) => {
                let gain = (point.worth - self.best[window]).max(0.0);
                self.best[window] += gain;
                self.sum += gain;
            }
        }
    }
}

/// Points at the beginning that count for nothing: 15 % of the file, of its first 5,000 points at most.
pub fn probation(points: usize) -> usize {
    ((points as f64 * 0.15).floor() as usize).min(750)
}

/// The worth of a detection at a position relative to a window's end, in window widths: towards 1 before it, 0 at
/// it, and towards −1 after it.
fn sigmoid(position: f64) -> f64 {
    if position > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * position).exp()) - 1.0 }
}
