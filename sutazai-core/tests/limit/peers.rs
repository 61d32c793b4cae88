//! The limits that are compared: ours, and others written from their descriptions with the defaults that
//! those recommend. All have the bounds 1 and 1,000 and begin with 20.

use std::time::Duration;

use sutazai_core::base::time::Moment;
use sutazai_core::tune::{AdaptiveLimit, Call, CallOutcome, LimitPolicy};

use super::run::{Scenario, at};

/// What the simulation asks of a limit.
pub trait Limit {
    fn limit(&self) -> usize;
    /// What it is while it does not probe.
    fn target(&self) -> usize {
        self.limit()
    }
    fn kept_out(&mut self, _now: f64) {}
    fn begin(&mut self, id: u64, now: f64);
    fn end(&mut self, id: u64, now: f64, took: f64, in_flight: usize, outcome: CallOutcome);
    fn tick(&mut self, _now: f64) {}
}

pub struct Ours {
    limit: AdaptiveLimit,
    calls: std::collections::HashMap<u64, Call>,
}

pub fn moment(now: f64) -> Moment {
    Moment::ZERO + Duration::from_secs_f64(now)
}

impl Ours {
    pub fn new() -> Self {
        let limit = AdaptiveLimit::new(LimitPolicy::default(), Moment::ZERO).unwrap();
        Self { limit, calls: std::collections::HashMap::new() }
    }
}

impl Limit for Ours {
    fn limit(&self) -> usize {
        self.limit.limit() as usize
    }
    fn target(&self) -> usize {
        self.limit.view().target as usize
    }
    fn kept_out(&mut self, now: f64) {
        // A probe may have ended in this very moment.
        if let Some(call) = self.limit.try_begin(moment(now)) {
            self.limit.end(call, CallOutcome::Ignored, moment(now));
        }
    }
    fn begin(&mut self, id: u64, now: f64) {
        self.calls.insert(id, self.limit.begin(moment(now)));
    }
    fn end(&mut self, id: u64, now: f64, _: f64, _: usize, outcome: CallOutcome) {
        let call = self.calls.remove(&id).unwrap();
        self.limit.end(call, outcome, moment(now));
    }
    fn tick(&mut self, now: f64) {
        self.limit.tick(moment(now));
    }
}

pub struct Fixed(pub usize);

impl Limit for Fixed {
    fn limit(&self) -> usize {
        self.0
    }
    fn begin(&mut self, _: u64, _: f64) {}
    fn end(&mut self, _: u64, _: f64, _: f64, _: usize, _: CallOutcome) {}
}

/// What is known in hindsight: this multiple of the capacity of the moment.
pub struct Hindsight {
    pub share: f64,
    /// Servers, from each second on.
    pub capacity: Vec<(f64, f64)>,
    pub limit: usize,
}

impl Hindsight {
    pub fn new(scenario: &Scenario, share: f64) -> Self {
        let capacity = scenario.capacity.iter().map(|(at, c)| (at * scenario.second, *c)).collect();
        let mut it = Self { share, capacity, limit: 1 };
        it.tick(0.0);
        it
    }
}

impl Limit for Hindsight {
    fn limit(&self) -> usize {
        self.limit
    }
    fn begin(&mut self, _: u64, _: f64) {}
    fn end(&mut self, _: u64, _: f64, _: f64, _: usize, _: CallOutcome) {}
    fn tick(&mut self, now: f64) {
        // Seconds are service times, times so many.
        let c = at(&self.capacity, now * (1.0 + f64::EPSILON));
        self.limit = whole((c * self.share).max(1.0));
    }
}

fn whole(limit: f64) -> usize {
    limit.clamp(1.0, 1000.0) as usize
}

/// Additive increase, multiplicative decrease (D.-M. Chiu, R. Jain, 1989) as the README and the comments of Netflix's
/// concurrency-limits describe it: a tenth less for a drop or a call of more than five seconds,
/// one more for a call that ends while half of the limit is used.
pub struct Aimd(pub f64);

impl Limit for Aimd {
    fn limit(&self) -> usize {
        whole(self.0)
    }
    fn begin(&mut self, _: u64, _: f64) {}
    fn end(&mut self, _: u64, _: f64, took: f64, in_flight: usize, outcome: CallOutcome) {
        if outcome != CallOutcome::Answered || took > 5.0 {
            self.0 *= 0.9;
        } else if in_flight * 2 >= self.limit() {
            self.0 += 1.0;
        }
        self.0 = self.0.clamp(1.0, 1000.0);
    }
}

/// Vegas (L. Brakmo, L. Peterson, 1994) as concurrency-limits has it: the queue is
/// `limit × (1 − best ÷ sample)`, to be kept between 3 and 6 times the limit's logarithm; the best is taken anew
/// every 30 × limit samples.
pub struct Vegas {
    pub limit: f64,
    pub best: f64,
    pub samples: f64,
}

impl Limit for Vegas {
    fn limit(&self) -> usize {
        whole(self.limit)
    }
    fn begin(&mut self, _: u64, _: f64) {}
    fn end(&mut self, _: u64, _: f64, took: f64, in_flight: usize, outcome: CallOutcome) {
        self.samples += 1.0;
        if self.samples >= 30.0 * self.limit {
            (self.samples, self.best) = (0.0, took);
            return;
        }
        if took < self.best {
            self.best = took;
            return;
        }
        let log = self.limit.log10().max(1.0);
        let queue = (self.limit * (1.0 - self.best / took)).ceil();
        if outcome != CallOutcome::Answered {
            self.limit -= log;
        } else if in_flight * 2 < self.limit() {
            return;
        } else if queue <= log {
            self.limit += 6.0 * log;
        } else if queue < 3.0 * log {
            self.limit += log;
        } else if queue > 6.0 * log {
            self.limit -= log;
        }
        self.limit = self.limit.clamp(1.0, 1000.0);
    }
}

/// Gradient2 of concurrency-limits: the ratio of a long exponential average of latency (600 windows) to the
/// window's average, with a tolerance of 1.5, and a queue of 4; smoothed by 0.2; windows of one second and at
/// least ten samples.
pub struct Gradient2 {
    pub limit: f64,
    pub long: f64,
    pub windows: f64,
    pub until: f64,
    pub sum: f64,
    pub count: f64,
    pub most: usize,
}

impl Limit for Gradient2 {
    fn limit(&self) -> usize {
        whole(self.limit)
    }
    fn begin(&mut self, _: u64, _: f64) {}
    fn end(&mut self, _: u64, now: f64, took: f64, in_flight: usize, outcome: CallOutcome) {
        self.most = self.most.max(in_flight);
        if outcome == CallOutcome::Answered {
            self.sum += took;
            self.count += 1.0;
        }
        if now < self.until || self.count < 10.0 {
            return;
        }
        let short = self.sum / self.count;
        let most = self.most;
        (self.until, self.sum, self.count, self.most) = (now + 1.0, 0.0, 0.0, 0);
        self.windows += 1.0;
        // The first ten are averaged evenly.
        let weight = if self.windows <= 10.0 { 1.0 / self.windows } else { 2.0 / 601.0 };
        self.long += (short - self.long) * weight;
        if self.long / short > 2.0 {
            self.long *= 0.95;
        }
        if (most as f64) < self.limit / 2.0 {
            return;
        }
        let gradient = (1.5 * self.long / short).clamp(0.5, 1.0);
        let next = self.limit * gradient + 4.0;
        self.limit = (self.limit * 0.8 + next * 0.2).clamp(1.0, 1000.0);
    }
}

/// The names of all, `fixed` being the oracle: the capacity itself.
pub const NAMES: [&str; 6] = ["ours", "gradient2", "vegas", "aimd", "fixed_capacity", "fixed_20"];

pub fn make(name: &str, capacity: usize) -> Box<dyn Limit> {
    match name {
        "ours" => Box::new(Ours::new()),
        "gradient2" => Box::new(Gradient2 {
            limit: 20.0,
            long: 0.0,
            windows: 0.0,
            until: 1.0,
            sum: 0.0,
            count: 0.0,
            most: 0,
        }),
        "vegas" => Box::new(Vegas { limit: 20.0, best: f64::INFINITY, samples: 0.0 }),
        "aimd" => Box::new(Aimd(20.0)),
        "fixed_20" => Box::new(Fixed(20)),
        _ => Box::new(Fixed(capacity)),
    }
}
