//! When to try again, as the other side says it.
//!
//! `Retry-After` is a number of seconds or an HTTP date (RFC 9110 10.2.3, with the two obsolete
//! forms of dates that RFC 9110 5.6.7 requires). Providers have their own headers besides, in
//! milliseconds, durations (`6m0s`), seconds since 1970 or RFC 3339 dates, and some only say it in
//! their message.

use std::time::Duration;

use super::facts::Facts;
use crate::base::time::Timestamp;

/// A time to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// How long; at most [`Hint::LONGEST`].
    pub wait: Duration,
    /// What was wrong with what the other side said, when it was not taken as it is.
    pub bounded: Option<Bounded>,
}

/// Why a hint was not taken as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bounded {
    /// It was negative, or lay in the past: there is nothing to wait for.
    Past,
    /// It was longer than [`Hint::LONGEST`].
    Absurd,
}

impl Hint {
    /// No wait is longer: what is asked for beyond a day is most likely a mistake, and a deadline
    /// comes first anyway.
    pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

    /// Reads the value of `Retry-After` or of a header like it: seconds, also with a fraction; a
    /// duration with units (`1s`, `6m0s`, `350ms`, `2 minutes`); a date of HTTP or RFC 3339; or,
    /// for a number of 10⁹ and more, seconds (of 10¹² and more, milliseconds) since 1970.
    /// `None` for anything else.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sutazai_core::base::time::Timestamp;
    /// use sutazai_core::recovery::Hint;
    /// let now: Timestamp = "1994-11-06T08:49:00Z".parse()?;
    /// let wait = |text| Hint::parse(text, now).map(|hint| hint.wait);
    /// assert_eq!(wait("120"), Some(Duration::from_secs(120)));
    /// assert_eq!(wait("6m0s"), Some(Duration::from_secs(360)));
    /// assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(37)));
    /// assert_eq!(wait("soon"), None);
    /// # Ok::<(), sutazai_core::Error>(())
    /// ```
    pub fn parse(text: &str, now: Timestamp) -> Option<Self> {
        let text = text.trim();
        if let Some(number) = number(text) {
            return Some(match number {
                at if at >= 1e12 => Self::until_seconds(at / 1e3, now),
                at if at >= 1e9 => Self::until_seconds(at, now),
                seconds => Self::after_seconds(seconds),
            });
        }
        if let Ok(date) = httpdate::parse_http_date(text) {
            let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
            return Some(Self::until_seconds(since.as_secs_f64(), now));
        }
        if let Some(wait) = duration(text) {
            return Some(Self::after_seconds(wait.as_secs_f64()));
        }
        let date: Timestamp = text.parse().ok()?;
        Some(Self::until(date, now))
    }

    /// Reads a header whose name says its unit; see [`is_header`].
    fn header(name: &str, value: &str, now: Timestamp) -> Option<Self> {
        if name.ends_with("-ms") {
            // A negative `grpc-retry-pushback-ms` means "do not", which is not for a hint to say.
            return number(value.trim())
                .filter(|ms| *ms >= 0.0)
                .map(|ms| Self::after_seconds(ms / 1e3));
        }
        Self::parse(value, now)
    }

    pub(super) fn after(wait: Duration) -> Self {
        Self::after_seconds(wait.as_secs_f64())
    }

    fn until(date: Timestamp, now: Timestamp) -> Self {
        let nanos = i128::from(date.as_nanos()) - i128::from(now.as_nanos());
        match u64::try_from(nanos) {
            Ok(nanos) => Self::bound(Duration::from_nanos(nanos)),
            Err(_) if nanos < 0 => Self { wait: Duration::ZERO, bounded: Some(Bounded::Past) },
            Err(_) => Self { wait: Self::LONGEST, bounded: Some(Bounded::Absurd) },
        }
    }

    fn until_seconds(at: f64, now: Timestamp) -> Self {
        // A float holds today's seconds to a quarter of a microsecond.
        Self::after_seconds(at - now.as_nanos() as f64 / 1e9)
    }

    fn after_seconds(seconds: f64) -> Self {
        if seconds < 0.0 {
            return Self { wait: Duration::ZERO, bounded: Some(Bounded::Past) };
        }
        match Duration::try_from_secs_f64(seconds) {
            Ok(wait) => Self::bound(wait),
            Err(_) => Self { wait: Self::LONGEST, bounded: Some(Bounded::Absurd) },
        }
    }

    fn bound(wait: Duration) -> Self {
        if wait > Self::LONGEST {
            return Self { wait: Self::LONGEST, bounded: Some(Bounded::Absurd) };
        }
        Self { wait, bounded: None }
    }
}

impl Bounded {
    /// As a remark in a reason.
    pub(super) const fn remark(self) -> &'static str {
        match self {
            Self::Past => "the time it gives to try again has passed",
            Self::Absurd => "it asks to wait for more than a day, which was cut to one",
        }
    }
}

/// Headers that say when to try again, besides `Retry-After`; the more precise ones first.
const WAITS: [&str; 5] = [
    "retry-after-ms",
    "x-ms-retry-after-ms",
    "grpc-retry-pushback-ms",
    "retry-after",
    "x-ratelimit-reset-after",
];

/// Headers that say when an allowance is whole again, with the one that says what is left of it.
/// They stand on successes too, and are only read when a rate limit was hit.
const RESETS: [(&str, &str); 9] = [
    ("x-ratelimit-reset", "x-ratelimit-remaining"),
    ("ratelimit-reset", "ratelimit-remaining"),
    ("x-rate-limit-reset", "x-rate-limit-remaining"),
    ("x-ratelimit-reset-requests", "x-ratelimit-remaining-requests"),
    ("x-ratelimit-reset-tokens", "x-ratelimit-remaining-tokens"),
    ("anthropic-ratelimit-requests-reset", "anthropic-ratelimit-requests-remaining"),
    ("anthropic-ratelimit-tokens-reset", "anthropic-ratelimit-tokens-remaining"),
    ("anthropic-ratelimit-input-tokens-reset", "anthropic-ratelimit-input-tokens-remaining"),
    ("anthropic-ratelimit-output-tokens-reset", "anthropic-ratelimit-output-tokens-remaining"),
];

/// Whether a header, by its name in lower case, says when or whether to try again.
pub(super) fn is_header(name: &str) -> bool {
    name == "x-should-retry"
        || WAITS.contains(&name)
        || RESETS.iter().any(|(reset, remaining)| *reset == name || *remaining == name)
}

/// When to try again, by the structured facts of a failure. With `limited`, a rate limit was hit.
pub(super) fn of(facts: &Facts<'_>, limited: bool, now: Timestamp) -> Option<Hint> {
    let waits = WAITS.iter().filter_map(|name| Some((*name, facts.header(name)?)));
    let given = facts.retry_after.as_deref().map(|value| ("retry-after", value));
    let mut waits = waits.chain(given).filter_map(|(name, value)| Hint::header(name, value, now));
    if let Some(hint) = waits.next() {
        return Some(hint);
    }
    if !limited {
        return None;
    }
    // The allowance that is used up counts; when no header says which, the last to be whole again.
    let used_up = |remaining| facts.header(remaining).is_some_and(|left| left.trim() == "0");
    let resets = |only_used_up: bool| {
        RESETS
            .iter()
            .filter(move |(_, remaining)| !only_used_up || used_up(remaining))
            .filter_map(|(reset, _)| Hint::header(reset, facts.header(reset)?, now))
            .max_by_key(|hint| hint.wait)
    };
    resets(true).or_else(|| resets(false))
}

/// The time that stands at the beginning of a text in words: "20s", "1 minute", "after 26 seconds",
/// "ms 500", "64.57" (seconds).
pub(super) fn spoken<'w>(words: impl IntoIterator<Item = &'w [u8]>) -> Option<Duration> {
    let mut words = words.into_iter();
    let mut next = || std::str::from_utf8(words.next()?).ok();
    let mut first = next()?;
    while matches!(first, "about" | "approximately" | "for" | "after" | "at" | "least" | "another")
    {
        first = next()?;
    }
    // As the name of a field: `retry_after_ms: 500`.
    match first {
        "ms" | "milliseconds" | "millis" => return seconds(number(next()?)? / 1e3),
        "seconds" | "secs" | "sec" | "s" => return seconds(number(next()?)?),
        _ if !first.starts_with(|c: char| c.is_ascii_digit()) || first.len() > 32 => return None,
        _ => {}
    }
    let mut text = String::with_capacity(32);
    text.push_str(first);
    let plain = number(first);
    let mut found = match plain {
        Some(plain) => seconds(plain),
        None => duration(first),
    };
    // "20 seconds", "1 minute 30 seconds", "1m 30s": what comes next may belong to it.
    while let Some(more) = next()
        && more.len() <= 16
        && text.len() <= 64
        && (is_unit(more) || more.starts_with(|c: char| c.is_ascii_digit()))
    {
        text.push(' ');
        text.push_str(more);
        found = duration(&text).or(found);
    }
    found
}

fn is_unit(word: &str) -> bool {
    let units = ["ms", "milli", "s", "sec", "m", "min", "h", "hr", "hour", "d", "day"];
    units.iter().any(|unit| {
        let rest = word.strip_prefix(unit);
        rest.is_some_and(|rest| {
            matches!(rest, "" | "s" | "ond" | "onds" | "ute" | "utes" | "seconds")
        })
    })
}

fn seconds(number: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number).ok()
}

/// A plain decimal number.
fn number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

/// A duration with units, such as `6m0s`: jiff's "friendly" format.
fn duration(text: &str) -> Option<Duration> {
    static PARSER: jiff::fmt::friendly::SpanParser = jiff::fmt::friendly::SpanParser::new();
    PARSER.parse_unsigned_duration(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> Timestamp {
        "1994-11-06T08:49:00Z".parse().unwrap()
    }

    fn wait(text: &str) -> Option<f64> {
        Hint::parse(text, now()).map(|hint| hint.wait.as_secs_f64())
    }

    #[test]
    fn values_are_read_in_every_form() {
        for (text, seconds) in [
            ("120", 120.0),
            (" 0 ", 0.0),
            ("1.5", 1.5),
            ("20s", 20.0),
            ("6m0s", 360.0),
            ("1m30s", 90.0),
            ("350ms", 0.35),
            ("7.66s", 7.66),
            ("1h", 3600.0),
            ("2 minutes", 120.0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 37.0),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 37.0),
            ("Sun Nov  6 08:49:37 1994", 37.0),
            ("1994-11-06T08:49:37Z", 37.0),
        ] {
            assert_eq!(wait(text), Some(seconds), "{text}");
        }
        for text in ["", "soon", "-", "1.2.3", "NaN", "inf", "1e9", "0x10", "Sun, 99 Nov 1994"] {
            assert_eq!(wait(text), None, "{text}");
        }
    }

    #[test]
    fn large_numbers_are_points_in_time() {
        let now = Timestamp::from_nanos(1_700_000_000_000_000_000);
        let wait = |text| Hint::parse(text, now).map(|hint| hint.wait);
        assert_eq!(wait("1700000060"), Some(Duration::from_secs(60)));
        assert_eq!(wait("1700000060000"), Some(Duration::from_secs(60)));
    }

    #[test]
    fn what_cannot_be_meant_is_bounded_and_said() {
        let bounded = |text| Hint::parse(text, now()).map(|hint| (hint.wait, hint.bounded));
        let past = Some((Duration::ZERO, Some(Bounded::Past)));
        let absurd = Some((Hint::LONGEST, Some(Bounded::Absurd)));
        assert_eq!(bounded("-5"), past);
        assert_eq!(bounded("Sun, 06 Nov 1994 08:48:37 GMT"), past);
        assert_eq!(bounded("86401"), absurd);
        assert_eq!(bounded("Fri, 31 Dec 9999 23:59:59 GMT"), absurd);
        assert_eq!(bounded("999999999999999999999999"), absurd);
        assert_eq!(bounded("86400"), Some((Hint::LONGEST, None)));
    }

    fn in_words(text: &str) -> Option<Duration> {
        spoken(text.as_bytes().split(|byte| *byte == b' ').filter(|word| !word.is_empty()))
    }

    #[test]
    fn messages_say_it_in_words() {
        for (text, wait) in [
            (" 20s visit", 20_000),
            (" 26 seconds please", 26_000),
            (" 1m30s", 90_000),
            (" 1 minute 30 seconds", 90_000),
            (" 7m12s need more", 432_000),
            (" 32.4s", 32_400),
            (" 64.57 global false", 64_570),
            (" about 5 minutes", 300_000),
            (" ms 500", 500),
            (" 350ms", 350),
            (" 5", 5_000),
        ] {
            assert_eq!(in_words(text), Some(Duration::from_millis(wait)), "{text}");
        }
        for text in [" a few minutes", "", " later", " for the best"] {
            assert_eq!(in_words(text), None, "{text}");
        }
    }

    #[test]
    fn the_allowance_that_is_used_up_counts() {
        let facts = |headers: &[(&'static str, &'static str)]| Facts {
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            ..Facts::default()
        };
        let both = facts(&[
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-tokens", "6m0s"),
            ("x-ratelimit-remaining-tokens", "149984"),
        ]);
        let wait = |facts, limited| of(facts, limited, now()).map(|hint| hint.wait);
        assert_eq!(wait(&both, true), Some(Duration::from_secs(1)));
        assert_eq!(wait(&both, false), None, "they stand on successes too");
        let unsaid = facts(&[("X-RateLimit-Reset", "30"), ("x-ratelimit-reset-tokens", "60")]);
        assert_eq!(wait(&unsaid, true), Some(Duration::from_secs(60)));
        let precise = facts(&[("Retry-After", "2"), ("retry-after-ms", "1500")]);
        assert_eq!(wait(&precise, false), Some(Duration::from_millis(1500)));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>(), now in any::<i64>()) {
            if let Some(hint) = Hint::parse(&text, Timestamp::from_nanos(now)) {
                prop_assert!(hint.wait <= Hint::LONGEST);
            }
            let _ = in_words(&text);
        }

        #[test]
        fn more_seconds_never_mean_less(a in 0.0..1e8_f64, b in 0.0..1e8_f64) {
            let wait = |n: f64| Hint::parse(&format!("{n:.3}"), now()).unwrap().wait;
            prop_assert!((a <= b) == (wait(a) <= wait(b)) || wait(a) == wait(b));
        }
    }
}
