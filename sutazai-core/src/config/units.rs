//! Quantities as people write them: durations and sizes.

use std::time::Duration;

use serde::Serializer;

pub(super) const DURATION: &str = "a duration such as \"250ms\", \"30s\", \"5m\" or \"1h 30m\"";
pub(super) const BYTES: &str = "a size such as \"64KiB\", \"1MiB\" or a number of bytes";

/// `250ms`, `30s`, `5m`, `1h 30m`: jiff's "friendly" format, with units from ns to h.
pub(super) fn duration(text: &str) -> Option<Duration> {
    static PARSER: jiff::fmt::friendly::SpanParser = jiff::fmt::friendly::SpanParser::new();
    PARSER.parse_unsigned_duration(text.trim()).ok()
}

/// A whole number and a unit: `B`, `kB`, `MB`, `GB` (powers of 1000), `KiB`, `MiB`, `GiB` (of 1024).
pub(super) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1000 * 1000,
        "GB" => 1000 * 1000 * 1000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// As [`duration`] reads it.
pub(super) fn show(duration: Duration) -> String {
    static PRINTER: jiff::fmt::friendly::SpanPrinter = jiff::fmt::friendly::SpanPrinter::new();
    PRINTER.unsigned_duration_to_string(&duration)
}

/// As [`bytes`] reads it, in the largest unit that divides it.
pub(super) fn show_bytes(bytes: u64) -> String {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fits = units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{bytes}B"), |(unit, name)| format!("{}{name}", bytes / unit))
}

pub(super) fn serialize<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&show(*duration))
}

pub(super) fn serialize_option<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => serialize(duration, serializer),
        None => serializer.serialize_none(),
    }
}

pub(super) fn serialize_bytes<S: Serializer>(
    bytes: &u64,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&show_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("30s"), Some(Duration::from_secs(30)));
        assert_eq!(duration("5m"), Some(Duration::from_secs(300)));
        assert_eq!(duration("1h 30m"), Some(Duration::from_secs(5400)));
        assert_eq!(duration("1.5s"), Some(Duration::from_millis(1500)));
        for wrong in ["", "30", "-1s", "1s ago", "ten", "1 month", "99999999999999999999h"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
        for nanos in [0, 1, 999, 250_000_000, 5_400_000_000_000, 86_400_000_000_001] {
            let value = Duration::from_nanos(nanos);
            assert_eq!(duration(&show(value)), Some(value), "{}", show(value));
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(bytes("64KiB"), Some(65536));
        assert_eq!(bytes("1 MB"), Some(1_000_000));
        assert_eq!(bytes("7"), Some(7));
        for wrong in ["", "KiB", "1.5MiB", "64kib", "-1B", "99999999999GiB", "1 K B"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
        for value in [0, 1, 1023, 1024, 65536, 5 << 30] {
            assert_eq!(bytes(&show_bytes(value)), Some(value));
        }
    }
}
