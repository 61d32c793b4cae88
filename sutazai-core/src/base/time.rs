//! Two kinds of time: [`Moment`] (monotonic, for deadlines and state machines) and [`Timestamp`]
//! (wall clock, for records, certificates and codes).

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::os;

/// A point on the monotonic clock: nanoseconds since the process first asked for the time, or since
/// the start of a virtual clock. Arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The origin of the clock.
    pub const ZERO: Self = Self(0);
    /// Later than anything that happens: the deadline of a call that has none.
    pub const FAR: Self = Self(u64::MAX);

    /// Reads the system's monotonic clock (about 25 ns).
    #[inline]
    pub fn now() -> Self {
        let nanos = os::fine_nanos();
        Self(nanos.saturating_sub(origin()))
    }

    /// As [`now`](Self::now), as of the system's last tick (about 5 ns): some [ticks](Self::tick) behind it,
    /// and never ahead. Elsewhere than on Linux the same as `now`.
    #[inline]
    pub fn coarse() -> Self {
        let nanos = os::coarse_nanos();
        Self(nanos.saturating_sub(origin()))
    }

    /// How far [`coarse`](Self::coarse) is behind [`now`](Self::now) where ticks are in time: 1 to 10 ms on
    /// Linux (`CLOCK_MONOTONIC_COARSE`). On virtual machines it is often twice that; one that was set aside
    /// may be very late.
    #[inline]
    pub fn tick() -> Duration {
        static TICK: OnceLock<u64> = OnceLock::new();
        Duration::from_nanos(*TICK.get_or_init(os::tick_nanos))
    }

    /// The moment `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to here; zero when `earlier` is later.
    #[inline]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;
    #[inline]
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(rhs)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;
    #[inline]
    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_nanos(rhs)))
    }
}

/// Where the clock's nanoseconds are counted from: when it was first asked for.
#[inline]
fn origin() -> u64 {
    static ORIGIN: OnceLock<u64> = OnceLock::new();
    *ORIGIN.get_or_init(os::fine_nanos)
}

#[inline]
fn saturating_nanos(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(duration.subsec_nanos()))
}

/// A point on the wall clock: nanoseconds since 1970-01-01T00:00:00Z; prints and parses as
/// RFC 3339. Covers the years 1678 to 2262; arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// Reads the system's wall clock.
    pub fn now() -> Self {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => Self(i64::try_from(after.as_nanos()).unwrap_or(i64::MAX)),
            Err(before) => {
                Self(i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n))
            }
        }
    }

    /// The timestamp `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(rhs.as_nanos()).unwrap_or(i64::MAX)))
    }
}

/// What is said of a time that is one, and not among those that there are.
const BEYOND: &str =
    "a time is from 1677-09-21T00:12:43.145224192Z to 2262-04-11T23:47:16.854775807Z";

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with nine or fewer fractional digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(t) => write!(f, "{t}"),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

impl std::str::FromStr for Timestamp {
    type Err = crate::Error;
    fn from_str(text: &str) -> crate::Result<Self> {
        let invalid = || {
            crate::Error::new(crate::Code::INVALID, "not an RFC 3339 timestamp")
                .with("text", text.chars().take(64).collect::<String>())
        };
        let parsed: jiff::Timestamp = text.parse().map_err(|e| invalid().because(e))?;
        i64::try_from(parsed.as_nanosecond()).map(Self).map_err(|_| {
            crate::Error::new(crate::Code::INVALID, BEYOND)
                .with("text", text.chars().take(64).collect::<String>())
        })
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse()
            .map_err(|error: crate::Error| serde::de::Error::custom(error.message().to_owned()))
    }
}

impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "date-time"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_beyond_are_refused_with_the_range() {
        let range = [Timestamp::from_nanos(i64::MIN), Timestamp::from_nanos(i64::MAX)];
        for time in range {
            assert!(BEYOND.contains(&time.to_string()), "{time}");
            assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        }
        for beyond in ["2300-01-01T00:00:00Z", "1600-01-01T00:00:00Z"] {
            assert_eq!(beyond.parse::<Timestamp>().unwrap_err().message(), BEYOND);
            let read = serde_json::from_value::<Timestamp>(beyond.into()).unwrap_err();
            assert!(read.to_string().contains("2262-04-11"), "{read}");
        }
        assert_eq!("soon".parse::<Timestamp>().unwrap_err().message(), "not an RFC 3339 timestamp");
    }

    #[test]
    fn moments_saturate() {
        assert_eq!(Moment::FAR + Duration::from_secs(1), Moment::FAR);
        assert_eq!(Moment::ZERO - Duration::from_secs(1), Moment::ZERO);
        assert_eq!(Moment::ZERO.since(Moment::FAR), Duration::ZERO);
        assert!(Moment::now() <= Moment::now());
    }

    #[test]
    fn the_coarse_clock_is_a_little_behind() {
        for _ in 0..1000 {
            let (coarse, fine) = (Moment::coarse(), Moment::now());
            assert!(coarse <= fine);
            // A tick is 10 ms at most (100 Hz); the rest is for a thread that was set aside in between.
            assert!(fine.since(coarse) < Duration::from_secs(5));
        }
    }

    #[test]
    fn timestamps_are_rfc_3339() {
        let t = Timestamp::from_nanos(1_700_000_000_123_000_000);
        assert_eq!(t.to_string(), "2023-11-14T22:13:20.123Z");
        assert_eq!("2023-11-14T22:13:20.123Z".parse::<Timestamp>().unwrap(), t);
        assert!("yesterday".parse::<Timestamp>().is_err());
        let json = serde_json::to_string(&t).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), t);
        assert!(serde_json::from_str::<Timestamp>("\"yesterday\"").is_err());
    }
}
