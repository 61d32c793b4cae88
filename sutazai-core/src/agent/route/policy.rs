//! How an allocator chooses: the strategy, and what its prices are.

use serde::{Deserialize, Serialize};

use crate::{Code, Error, Result};

/// Which way of choosing.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Strategy {
    /// Learns from rewards, failures and durations who is best for what.
    #[default]
    Adaptive,
    /// Each in its turn.
    RoundRobin,
    /// The one with the fewest calls under way; among equals each in its turn.
    LeastLoaded,
    /// Of two at random the one with less to wait for: a moving average of durations that rises at once and
    /// falls slowly, times the calls under way (Finagle's and Linkerd's balancer).
    PeakEwma,
    /// The same arm for the same affinity key as long as it is there; when arms come or go, only what was
    /// theirs moves (rendezvous hashing, Thaler and Ravishankar 1998). Without a key each in its turn.
    Sticky,
    /// Shares by [`weight`](super::Arm::weight), evenly spread (nginx's smooth weighted round robin).
    Weighted,
}

/// How an allocator chooses, and how much it remembers. The default is meant for all circumstances. A kernel
/// with a data directory keeps what it learns, over the ends of processes.
///
/// The adaptive strategy gives each arm a value: the quality that a reward of its is expected to have (0 to
/// 1), with something added while little is known, less the prices below for what it makes the caller wait
/// and pay. The highest value is chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RoutePolicy {
    /// Which way of choosing.
    pub strategy: Strategy,
    /// The quality, on the scale of 0 to 1, that one gives up to wait half as long. 0.02 by default: agents
    /// whose quality cannot be told apart are chosen by what there is to wait for, and one that is better
    /// by a tenth keeps its work until it takes thirty times as long. 0 ignores waiting.
    pub waiting_price: f64,
    /// The quality that one gives up to save one unit of cost. 0 by default: cost is a bound only.
    pub cost_price: f64,
    /// The quality that one gives up to stay with the arm of one's affinity key. 0.3 by default: a call leaves it
    /// for one that is much better, or where it would have to wait for thousands of times as long.
    pub affinity_price: f64,
    /// Decisions that are remembered until their rewards and ends come, 1 to 1,048,576; 4,096 by default. Of an
    /// older one, what still comes is not learned.
    pub max_pending: u32,
    /// Scopes that are remembered, 1 to 65,536; 1,024 by default. The one not asked for longest is forgotten.
    pub max_scopes: u32,
}

impl Default for RoutePolicy {
    fn default() -> Self {
        Self {
            strategy: Strategy::Adaptive,
            waiting_price: 0.02,
            cost_price: 0.0,
            affinity_price: 0.3,
            max_pending: 4096,
            max_scopes: 1024,
        }
    }
}

impl RoutePolicy {
    /// # Errors
    /// `base.invalid` when a price is negative or no number, or a bound is out of its range.
    pub fn check(&self) -> Result<()> {
        let prices = [
            ("waiting_price", self.waiting_price),
            ("cost_price", self.cost_price),
            ("affinity_price", self.affinity_price),
        ];
        for (name, price) in prices {
            if !(0.0..=1e6).contains(&price) {
                return Err(Error::new(Code::INVALID, "a price is a number from 0 to 1,000,000")
                    .with("field", name)
                    .with("value", price.to_string()));
            }
        }
        for (name, bound, most) in
            [("max_pending", self.max_pending, 1 << 20), ("max_scopes", self.max_scopes, 1 << 16)]
        {
            if bound == 0 || bound > most {
                return Err(Error::new(Code::INVALID, "a bound is out of its range")
                    .with("field", name)
                    .with("value", bound.to_string())
                    .with("most", most.to_string()));
            }
        }
        Ok(())
    }
}
