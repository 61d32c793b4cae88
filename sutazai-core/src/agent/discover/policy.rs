//! How often a source is looked at, and how patient one is with what it says.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Code, Error, Result};

/// How often a source is looked at, and how patient one is with what it says.
///
/// ```
/// use sutazai_core::agent::discover::DiscoveryPolicy;
/// use std::time::Duration;
///
/// let policy: DiscoveryPolicy = serde_json::from_str(r#"{"interval_ms": 5000}"#)?;
/// assert_eq!(policy.interval(), Some(Duration::from_secs(5)));
/// assert_eq!(policy.away_ms, 600_000);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct DiscoveryPolicy {
    /// Between two looks, in milliseconds, at least 10; what suits the kind of source without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_ms: Option<u64>,
    /// By how much each interval is longer or shorter, as a share of it, from 0 to 1, so that many sources
    /// are not looked at all at once. Default 0.1.
    pub jitter: f64,
    /// How long something has to stay as it is, or to be missing, before it counts: what is half written is
    /// not read, and a file that is put in the place of another is not gone. In milliseconds, default 250.
    pub settle_ms: u64,
    /// How long an agent may be unreachable before it is removed, in milliseconds. Default 600,000. When it
    /// comes back later it is registered anew.
    pub away_ms: u64,
    /// In how many looks an agent may be unreachable before it is removed; any number without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub away_looks: Option<u32>,
    /// How long probing an agent may take before it is registered, in milliseconds; 0 to take its card's word for
    /// its skills. Default 10,000.
    pub probe_ms: u64,
    /// How long an agent that is removed, or another one takes the place of, has for the tasks it has. In
    /// milliseconds, default 5,000.
    pub grace_ms: u64,
    /// Items that are taken of the source, at most; what is beyond is told. Default 1,024.
    pub items: usize,
}

impl Default for DiscoveryPolicy {
    fn default() -> Self {
        Self {
            interval_ms: None,
            jitter: 0.1,
            settle_ms: 250,
            away_ms: 600_000,
            away_looks: None,
            probe_ms: 10_000,
            grace_ms: 5_000,
            items: 1_024,
        }
    }
}

impl DiscoveryPolicy {
    /// Sets the time between two looks; whole milliseconds.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.interval_ms = Some(whole(interval));
        self
    }

    /// Sets by how much intervals differ.
    #[must_use]
    pub fn jitter(mut self, share: f64) -> Self {
        self.jitter = share;
        self
    }

    /// Sets how long something has to stay as it is before it counts; whole milliseconds.
    #[must_use]
    pub fn settle(mut self, time: Duration) -> Self {
        self.settle_ms = whole(time);
        self
    }

    /// Sets how long an agent may be unreachable; whole milliseconds.
    #[must_use]
    pub fn away(mut self, time: Duration) -> Self {
        self.away_ms = whole(time);
        self
    }

    /// Sets in how many looks an agent may be unreachable.
    #[must_use]
    pub fn away_looks(mut self, looks: u32) -> Self {
        self.away_looks = Some(looks);
        self
    }

    /// Sets how long probing an agent may take, zero for not at all; whole milliseconds.
    #[must_use]
    pub fn probe(mut self, time: Duration) -> Self {
        self.probe_ms = whole(time);
        self
    }

    /// Sets how long an agent that is removed has for the tasks it has; whole milliseconds.
    #[must_use]
    pub fn grace(mut self, time: Duration) -> Self {
        self.grace_ms = whole(time);
        self
    }

    /// The time between two looks, where it is said.
    pub fn interval(&self) -> Option<Duration> {
        self.interval_ms.map(Duration::from_millis)
    }

    /// Checks what no type can.
    ///
    /// # Errors
    /// [`Code::INVALID`], naming the field.
    pub fn validate(&self) -> Result<()> {
        let bad = |field: &str, what: &'static str| {
            Err(Error::new(Code::INVALID, what).operation("agent.source_add").with("field", field))
        };
        if self.interval_ms.is_some_and(|ms| ms < 10) {
            return bad("interval_ms", "between two looks there must be 10 milliseconds at least");
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return bad("jitter", "the jitter must be from 0 to 1");
        }
        if self.away_looks == Some(0) {
            return bad("away_looks", "an agent must be allowed one look at least");
        }
        if self.items == 0 {
            return bad("items", "a source must be allowed one item at least");
        }
        Ok(())
    }
}

fn whole(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
