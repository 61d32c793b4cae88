//! Pressure stall information: `/proc/pressure/*` (the kernel's Documentation/accounting/psi.rst).

use std::sync::Arc;

use super::number::{fraction, lines, number, words};
use crate::port::Samples;

/// Of one resource.
pub(super) struct Pressure {
    /// Share and time, of some tasks and of all.
    some: [Arc<str>; 2],
    full: [Arc<str>; 2],
}

impl Pressure {
    /// `of` is `cpu`, `memory` or `io`.
    pub(super) fn new(of: &str) -> Self {
        let names = |who| {
            [
                format!("pressure_{of}_{who}_ratio").into(),
                format!("pressure_{of}_{who}_seconds_total").into(),
            ]
        };
        Self { some: names("some"), full: names("full") }
    }

    /// `some avg10=0.12 avg60=… avg300=… total=<µs>`, and the same of `full`.
    pub(super) fn take(&self, text: &[u8], out: &mut Samples) {
        for line in lines(text) {
            let mut words = words(line);
            let [ratio, seconds] = match words.next() {
                Some(b"some") => &self.some,
                Some(b"full") => &self.full,
                _ => continue,
            };
            for word in words {
                if let Some(percent) = word.strip_prefix(b"avg10=").and_then(fraction) {
                    // Percents have two places: the nearest number to four of them.
                    out.add(Arc::clone(ratio), (percent * 100.0).round() / 10_000.0);
                } else if let Some(micros) = word.strip_prefix(b"total=").and_then(number) {
                    out.add(Arc::clone(seconds), micros as f64 / 1e6);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::system::tests::value;
    use super::*;

    #[test]
    fn stalls_are_told() {
        let mut out = Samples::default();
        let text = b"some avg10=2.50 avg60=0.10 avg300=0.02 total=1500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        Pressure::new("io").take(text, &mut out);
        assert_eq!(value(&out, "pressure_io_some_ratio"), Some(0.025));
        assert_eq!(value(&out, "pressure_io_some_seconds_total"), Some(1.5));
        assert_eq!(value(&out, "pressure_io_full_ratio"), Some(0.0));
        out.clear();
        Pressure::new("io").take(b"some avg10=x total=\nnone avg10=1\n", &mut out);
        assert_eq!(out.iter().count(), 0);
    }
}
