//! What is forecast to come in to a pool.

use std::time::Duration;

use crate::base::time::Moment;
use crate::tune::RateForecast;

/// A forecast is made anew every so many looks, as it takes milliseconds.
#[cfg(feature = "monitor")]
const LOOKS: u32 = 10;

/// The rates ahead, as they were forecast last.
#[derive(Default)]
pub(super) struct Ahead {
    #[cfg(feature = "monitor")]
    looks: u32,
    /// From when on, and how many tasks a second there may be.
    rates: Vec<(Moment, f64)>,
    /// For how long each.
    step: Duration,
}

impl Ahead {
    /// What of it is still ahead.
    pub(super) fn from(&self, now: Moment) -> Vec<RateForecast> {
        let ahead = self.rates.iter().filter(|(from, _)| *from + self.step > now);
        let millis = |from: &Moment| u64::try_from(from.since(now).as_millis()).unwrap_or(u64::MAX);
        ahead.map(|(from, rate)| RateForecast { ahead_ms: millis(from), per_s: *rate }).collect()
    }
}

#[cfg(feature = "monitor")]
mod forecast {
    use std::time::Duration;

    use super::super::super::shared::Shared;
    use super::{Ahead, LOOKS};
    use crate::monitor::ForecastQuery;

    impl Ahead {
        /// Another look; whether it is time for a forecast.
        pub(in super::super) fn is_due(&mut self) -> bool {
            self.looks = self.looks.wrapping_add(1);
            self.looks.is_multiple_of(LOOKS)
        }
    }

    impl Shared {
        /// The rates ahead of a pool that is looked at `every` so many milliseconds and whose workers take `start_up` to start, as far
        /// as a scaler looks. Nothing is known where too little is kept yet.
        pub(in super::super) fn rates_ahead(&self, pool: &str, every: u64, start_up: u64) -> Ahead {
            let step_ms = every.max(start_up / 8).max(1_000);
            let steps = usize::try_from(start_up.saturating_mul(2) / step_ms).unwrap_or(usize::MAX);
            let steps = steps.saturating_add(1).min(64);
            let series = rate_of(pool);
            let query = ForecastQuery { series, step_ms, steps, levels: vec![0.8], until: None };
            let (now, began) = (self.runtime.timestamp(), self.runtime.now());
            let found = self.watched().and_then(|watch| watch.forecast(&query, now).ok());
            let Some(found) = found else { return Ahead::default() };
            let upper = found.forecast.intervals.first().map(|interval| interval.upper.clone());
            let rates = upper.unwrap_or(found.forecast.point);
            let step = Duration::from_millis(step_ms);
            let from =
                |at: usize| began + step.saturating_mul(u32::try_from(at).unwrap_or(u32::MAX));
            let rates = rates.into_iter().enumerate().map(|(at, rate)| (from(at), rate.max(0.0)));
            Ahead { looks: 0, rates: rates.collect(), step }
        }

        /// Keeps what came in, so that it can be forecast and looked at.
        pub(in super::super) fn keep_rate(&self, pool: &str, rate: f64) {
            if let Some(watch) = self.watched() {
                // One that comes late is none that a forecast needs.
                let _ = watch.record_now(&rate_of(pool), self.runtime.timestamp(), rate);
            }
        }
    }

    fn rate_of(pool: &str) -> String {
        format!("pool_arrivals_per_s{{pool={pool:?}}}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_ahead_comes_nearer_and_is_over() {
        let at = |s: u64| Moment::ZERO + Duration::from_secs(s);
        let rates = vec![(at(0), 5.0), (at(1), 6.0), (at(2), 7.0)];
        let ahead = Ahead { rates, step: Duration::from_secs(1), ..Ahead::default() };
        let seen = |s| -> Vec<_> {
            ahead.from(at(s)).iter().map(|one| (one.ahead_ms, one.per_s)).collect()
        };
        assert_eq!(seen(0), [(0, 5.0), (1_000, 6.0), (2_000, 7.0)]);
        assert_eq!(seen(1), [(0, 6.0), (1_000, 7.0)]);
        assert_eq!(seen(4), []);
    }
}
