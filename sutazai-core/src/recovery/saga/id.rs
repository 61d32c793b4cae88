//! [`SagaId`]: which saga, in this store and beyond it.

use std::fmt;
use std::str::FromStr;

use parking_lot::Mutex;

use crate::base::id::mix;
use crate::base::time::Timestamp;
use crate::{Code, Error, Result};

/// One saga. Those of one store are in order of when they were begun; half of the digits are drawn by
/// chance, so that idempotency keys made of it do not meet those of another store. Shown as 32
/// hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SagaId(u128);

impl SagaId {
    fn new(order: u64, chance: u64) -> Self {
        Self((u128::from(order) << 64) | u128::from(chance))
    }

    /// The half that is drawn by chance.
    pub(super) const fn chance(self) -> u64 {
        self.0 as u64
    }

    const fn order(self) -> u64 {
        (self.0 >> 64) as u64
    }
}

/// Gives out identifiers.
#[derive(Debug)]
pub(super) struct SagaIds {
    seed: u64,
    last: Mutex<u64>,
}

impl SagaIds {
    /// A source whose identifiers come after `newest`.
    pub(super) fn new(seed: u64, newest: Option<SagaId>) -> Self {
        Self { seed, last: Mutex::new(newest.map_or(0, SagaId::order)) }
    }

    /// Another one: in order of time, and after all before it when the clock was set back.
    pub(super) fn next(&self, now: Timestamp) -> SagaId {
        let mut last = self.last.lock();
        *last = u64::try_from(now.as_nanos()).unwrap_or(0).max(last.saturating_add(1));
        SagaId::new(*last, mix(self.seed ^ mix(*last)))
    }
}

impl fmt::Display for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SagaId({self})")
    }
}

impl FromStr for SagaId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let digits = text.len() == 32
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        match u128::from_str_radix(text, 16) {
            Ok(id) if digits => Ok(Self(id)),
            _ => Err(Error::new(Code::INVALID, "a saga's identifier is 32 hexadecimal digits")
                .with("text", text.chars().take(64).collect::<String>())),
        }
    }
}

impl serde::Serialize for SagaId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for SagaId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for SagaId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SagaId".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[0-9a-f]{32}$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_ascend_also_when_the_clock_is_set_back() {
        let ids = SagaIds::new(7, None);
        let later = ids.next(Timestamp::from_nanos(1_000));
        let earlier = ids.next(Timestamp::from_nanos(10));
        assert!(later < earlier && later.order() == 1_000 && earlier.order() == 1_001);
        let resumed = SagaIds::new(7, Some(earlier)).next(Timestamp::from_nanos(10));
        assert!(resumed > earlier);
        let elsewhere = SagaIds::new(8, None).next(Timestamp::from_nanos(1_000));
        assert_ne!(elsewhere, later, "another store, another key");
    }

    #[test]
    fn they_read_as_they_print() {
        let id = SagaIds::new(1, None).next(Timestamp::from_nanos(5));
        assert_eq!(id.to_string().parse::<SagaId>().unwrap(), id);
        for bad in ["", "5", "+0000000000000000000000000000000", &id.to_string().to_uppercase()] {
            let parsed = bad.parse::<SagaId>();
            assert!(parsed.is_err() || bad.chars().all(|c| c.is_ascii_digit()), "{bad}");
        }
    }
}
