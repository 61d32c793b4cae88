//! Identifiers: calls, subscriptions and timers by number, traces and spans as W3C Trace Context
//! writes them.
//!
//! Numbers come from a per-kernel [`IdSource`], so that a kernel built with the same seed gives the
//! same identifiers in the same order, and two kernels in one process never share state.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

numbered! {
    /// One guarded call of one kernel; unique within that kernel.
    CallId
}
numbered! {
    /// One timer of a [`Runtime`](crate::base::runtime::Runtime).
    TimerId
}
numbered! {
    /// One subscription of a bus.
    SubscriptionId
}

/// A trace, 128 bits, shown as 32 hexadecimal digits
/// ([W3C Trace Context](https://www.w3.org/TR/trace-context/), §3.2.2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub u128);

/// A span, 64 bits, shown as 16 hexadecimal digits
/// ([W3C Trace Context](https://www.w3.org/TR/trace-context/), §3.2.2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub u64);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Gives out identifiers: consecutive numbers, and trace and span ids mixed from a seed.
///
/// The mixing is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA 2014): a bijection, so span ids of one source never repeat. Identifiers are
/// not secrets.
#[derive(Debug)]
pub struct IdSource {
    seed: u64,
    next: AtomicU64,
}

impl IdSource {
    /// A source whose identifiers follow from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { seed, next: AtomicU64::new(1) }
    }

    /// The next number: 1, 2, 3, …
    #[inline]
    pub fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The span id that belongs to a number of this source; never zero.
    #[inline]
    pub fn span(&self, number: u64) -> SpanId {
        SpanId(mix(self.seed ^ number.wrapping_mul(GAMMA)).max(1))
    }

    /// The trace id that belongs to a number of this source; never zero.
    #[inline]
    pub fn trace(&self, number: u64) -> TraceId {
        let low = mix(self.seed.wrapping_add(number)).max(1);
        let high = mix(self.seed.rotate_left(32) ^ number);
        TraceId((u128::from(high) << 64) | u128::from(low))
    }
}

/// SplitMix64's step.
pub(crate) const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's finaliser: spreads a counter over all of `u64`, one to one.
#[inline]
pub(crate) const fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(GAMMA);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_ids() {
        let (a, b) = (IdSource::new(7), IdSource::new(7));
        for _ in 0..1000 {
            let (x, y) = (a.next(), b.next());
            assert_eq!((a.span(x), a.trace(x)), (b.span(y), b.trace(y)));
        }
        assert_ne!(IdSource::new(8).span(1), a.span(1));
    }

    #[test]
    fn ids_print_as_w3c_hex() {
        assert_eq!(TraceId(0xabc).to_string(), "00000000000000000000000000000abc");
        assert_eq!(SpanId(0xabc).to_string(), "0000000000000abc");
    }
}
