//! Where a sum bends: [`Hull`].

/// Corners that are kept. Under noise there are some ten.
const CORNERS: usize = 64;

/// The sums at a point of the series.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Mark {
    /// Points up to here.
    pub count: f64,
    /// The sum of their figures.
    pub sum: f64,
    /// The sum of their values.
    pub values: f64,
    /// The time of the next one, in nanoseconds.
    pub next: i64,
}

/// The corners of the path that a sum takes, seen from below or above. The best place for a change of the mean
/// is always one of them: the functional pruning of G. Romano, I. A. Eckley, P. Fearnhead and G. Rigaill, "Fast Online
/// Changepoint Detection via Functional Pruning CUSUM Statistics", JMLR 24, 2023, which is exact.
#[derive(Clone, Debug)]
pub(super) struct Hull {
    /// 1 from below, where means rise; −1 from above.
    side: f64,
    corners: Vec<Mark>,
}

impl Hull {
    pub(super) fn new(side: f64) -> Self {
        Self { side, corners: Vec::new() }
    }

    pub(super) fn push(&mut self, mark: Mark) {
        while let [.., before, last] = self.corners.as_slice() {
            let along = (last.sum - before.sum) * (mark.count - last.count);
            let on = (mark.sum - last.sum) * (last.count - before.count);
            if self.side * (on - along) > 0.0 {
                break;
            }
            self.corners.pop();
        }
        if self.corners.len() >= CORNERS {
            self.corners.remove(1);
        }
        self.corners.push(mark);
    }

    /// Twice the logarithm of the likelihood ratio of the best change before `now`, with both means unknown and
    /// variance 1, and where it is.
    pub(super) fn best(&self, now: Mark, least: f64) -> Option<(f64, Mark)> {
        let ratio = |mark: &Mark| {
            let (before, after) = (mark.count, now.count - mark.count);
            if before < least || after < 1.0 {
                return None;
            }
            let step = (now.sum - mark.sum) / after - mark.sum / before;
            let ratio = step * step * before * after / now.count;
            (step * self.side > 0.0).then_some((ratio, *mark))
        };
        self.corners.iter().filter_map(ratio).max_by(|a, b| a.0.total_cmp(&b.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::anomaly::noise::Rng;

    #[test]
    fn the_corners_hold_the_best_of_all_places() {
        let mut rng = Rng::new(5);
        let (mut up, mut down) = (Hull::new(1.0), Hull::new(-1.0));
        let mut all: Vec<Mark> = Vec::new();
        let mut now = Mark::default();
        for i in 0..600 {
            up.push(now);
            down.push(now);
            all.push(now);
            now.sum += rng.normal() + if i > 400 { 0.5 } else { 0.0 };
            now.count += 1.0;
            let ratio = |mark: &Mark| {
                let (before, after) = (mark.count, now.count - mark.count);
                let step = (now.sum - mark.sum) / after - mark.sum / before;
                if before < 1.0 { 0.0 } else { step * step * before * after / now.count }
            };
            let best = all.iter().map(ratio).fold(0.0, f64::max);
            let found = [&up, &down].map(|hull| hull.best(now, 1.0).map_or(0.0, |b| b.0));
            assert!((best - found[0].max(found[1])).abs() < 1e-9, "{i}: {best}, {found:?}");
        }
        assert!(up.corners.len() < 40);
    }
}
