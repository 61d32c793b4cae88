//! When values that scatter about a trend first touch a limit: [`Touch`].

/// Steps in which the way ahead is searched.
const SEARCH: usize = 200;

/// The sum of the probabilities of all values so far to touch the limit at which it is more likely than not that one did, …
const LIKELY: f64 = std::f64::consts::LN_2;

/// … at which it is still unlikely, …
const HARDLY: f64 = 0.05;

/// … and at which it is so of none.
const SURELY: f64 = 3.0;

/// How sure it is that the limit was touched.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chance {
    Hardly,
    Likely,
    Surely,
}

/// A limit, and values that come to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Touch {
    pub limit: f64,
    /// The deviation of single values from the trend.
    pub noise: f64,
    /// Seconds from one value to the next.
    pub step: f64,
    /// Seconds ahead that are known to be past: values did not touch the limit before.
    pub since: f64,
}

impl Touch {
    /// Seconds ahead, up to `farthest`, when values that scatter about `trend` (of the seconds ahead) have touched the limit.
    pub(super) fn when(
        &self,
        chance: Chance,
        farthest: f64,
        trend: impl Fn(f64) -> f64,
    ) -> Option<f64> {
        let enough = match chance {
            Chance::Hardly => HARDLY,
            Chance::Likely => LIKELY,
            Chance::Surely => SURELY,
        };
        let (mut sum, mut before) = (0.0, self.since);
        for i in 1..=SEARCH {
            // Finer near by: times are wanted to a share of themselves.
            let ahead = self.since + farthest * (i as f64 / SEARCH as f64).powi(2);
            let values = (ahead - before) / self.step.max(1e-9);
            let middle = 0.5 * (before + ahead);
            let more = values * self.chance(trend(middle));
            if sum + more >= enough {
                return Some(before + (ahead - before) * (enough - sum) / more);
            }
            (sum, before) = (sum + more, ahead);
        }
        None
    }

    /// The probability that a value is at the limit or beyond, with the trend at `level`.
    fn chance(&self, level: f64) -> f64 {
        let far = self.limit - level;
        if far <= 0.0 {
            return 1.0;
        }
        let far = far / self.noise.max(1e-300);
        // The upper tail of the normal distribution, to some hundredths of it.
        if far < 40.0 { 0.5 * (-0.717 * far - 0.416 * far * far).exp() } else { 0.0 }
    }
}

/// Seconds ahead, up to `farthest`, when a trend crosses a limit.
pub(super) fn crosses(limit: f64, farthest: f64, trend: impl Fn(f64) -> f64) -> Option<f64> {
    let ahead = |i: usize| farthest * (i as f64 / SEARCH as f64).powi(2);
    let at = (1..=SEARCH).find(|i| trend(ahead(*i)) >= limit)?;
    let (low, high) = (ahead(at - 1), ahead(at));
    let (below, above) = (trend(low), trend(high));
    let part =
        if above > below { ((limit - below) / (above - below)).clamp(0.0, 1.0) } else { 1.0 };
    Some(low + part * (high - low))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::anomaly::noise::Rng;

    const TOUCH: Touch = Touch { limit: 1.0, noise: 0.1, step: 1.0, since: 0.0 };

    #[test]
    fn without_noise_the_trend_says_when() {
        let touch = Touch { noise: 0.0, ..TOUCH };
        let at = touch.when(Chance::Likely, 400.0, |ahead| 0.01 * ahead).expect("a time");
        let crossed = crosses(1.0, 400.0, |ahead| 0.01 * ahead).expect("a time");
        assert!((crossed - 100.0).abs() < 1e-6 && (at - crossed).abs() < 3.0, "{crossed} {at}");
        assert!(touch.when(Chance::Likely, 90.0, |ahead| 0.01 * ahead).is_none());
    }

    #[test]
    fn simulated_values_touch_when_it_is_said() {
        let mut rng = Rng::new(7);
        let mut first = || {
            (1..).find(|at| 0.01 * f64::from(*at) + 0.1 * rng.normal() >= 1.0).expect("it comes")
        };
        let firsts: Vec<i32> = (0..1_000).map(|_| first()).collect();
        let share = |chance| {
            let at = TOUCH.when(chance, 400.0, |ahead| 0.01 * ahead).expect("a time");
            firsts.iter().filter(|first| f64::from(**first) <= at).count()
        };
        let (hardly, likely, surely) =
            (share(Chance::Hardly), share(Chance::Likely), share(Chance::Surely));
        assert!((10..100).contains(&hardly), "{hardly}");
        assert!((400..600).contains(&likely), "{likely}");
        assert!((900..990).contains(&surely), "{surely}");
    }

    #[test]
    fn what_has_not_come_by_now_comes_later() {
        let at = |since| {
            let touch = Touch { since, ..TOUCH };
            touch.when(Chance::Likely, 400.0, |ahead| 0.01 * ahead).expect("a time")
        };
        for since in [70.0, 80.0, 90.0, 99.0, 110.0] {
            assert!(at(since) > since && at(since) > at(0.0), "{since}: {}", at(since));
        }
    }
}
