//! Memory and load: `/proc/meminfo`, `/proc/loadavg` (proc_meminfo(5), proc_loadavg(5)).

use std::sync::Arc;

use super::number::{fraction, lines, number, words};
use crate::port::Samples;

/// What is told of memory.
pub(super) struct Memory {
    names: [Arc<str>; 6],
}

impl Memory {
    pub(super) fn new() -> Self {
        let names = [
            "memory_total_bytes",
            "memory_available_bytes",
            "memory_used_bytes",
            "memory_used_ratio",
            "swap_total_bytes",
            "swap_used_bytes",
        ];
        Self { names: names.map(Arc::from) }
    }

    pub(super) fn take(&self, text: &[u8], out: &mut Samples) {
        let (mut total, mut available, mut swap, mut swap_free) = (None, None, None, None);
        for line in lines(text) {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, rest) = line.split_at(colon);
            let field = match name {
                b"MemTotal" => &mut total,
                b"MemAvailable" => &mut available,
                b"SwapTotal" => &mut swap,
                b"SwapFree" => &mut swap_free,
                _ => continue,
            };
            let kib = rest.get(1..).and_then(|rest| words(rest).next()).and_then(number);
            *field = kib.map(|kib| kib.saturating_mul(1024));
            if swap_free.is_some() {
                break;
            }
        }
        let [total_name, available_name, used_name, ratio_name, swap_name, swap_used_name] =
            &self.names;
        if let Some(total) = total {
            out.add(Arc::clone(total_name), total as f64);
        }
        if let (Some(total), Some(available)) = (total, available) {
            let used = total.saturating_sub(available);
            out.add(Arc::clone(available_name), available as f64);
            out.add(Arc::clone(used_name), used as f64);
            if total > 0 {
                out.add(Arc::clone(ratio_name), used as f64 / total as f64);
            }
        }
        if let (Some(swap), Some(free)) = (swap, swap_free) {
            out.add(Arc::clone(swap_name), swap as f64);
            out.add(Arc::clone(swap_used_name), swap.saturating_sub(free) as f64);
        }
    }
}

/// What is told of the load.
pub(super) struct Load {
    names: [Arc<str>; 3],
}

impl Load {
    pub(super) fn new() -> Self {
        Self { names: ["load1", "load5", "load15"].map(Arc::from) }
    }

    pub(super) fn take(&self, text: &[u8], out: &mut Samples) {
        for (name, word) in self.names.iter().zip(words(text)) {
            if let Some(load) = fraction(word) {
                out.add(Arc::clone(name), load);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::system::tests::value;
    use super::*;

    #[test]
    fn memory_is_told() {
        let mut out = Samples::default();
        let text = b"MemTotal:       1000 kB\nMemFree:  10 kB\nMemAvailable:    250 kB\nSwapTotal: 8 kB\nSwapFree: 2 kB\n";
        Memory::new().take(text, &mut out);
        assert_eq!(value(&out, "memory_total_bytes"), Some(1_024_000.0));
        assert_eq!(value(&out, "memory_used_bytes"), Some(768_000.0));
        assert_eq!(value(&out, "memory_used_ratio"), Some(0.75));
        assert_eq!(value(&out, "swap_used_bytes"), Some(6144.0));
        out.clear();
        // Before Linux 3.14 nothing was said of what is available.
        Memory::new().take(b"MemTotal: 0 kB\nMemFree: x\n", &mut out);
        assert_eq!(out.iter().count(), 1);
        out.clear();
        Memory::new().take(b"\xff:\n:::\nMemTotal:\n", &mut out);
        assert_eq!(out.iter().count(), 0);
    }

    #[test]
    fn load_is_told() {
        let mut out = Samples::default();
        Load::new().take(b"0.52 1.00 12.34 2/345 6789\n", &mut out);
        assert_eq!((value(&out, "load1"), value(&out, "load15")), (Some(0.52), Some(12.34)));
        out.clear();
        Load::new().take(b"nan x", &mut out);
        assert_eq!(out.iter().count(), 0);
    }
}
