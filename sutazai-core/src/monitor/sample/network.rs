//! Networks: `/proc/net/dev` (proc_pid_net(5)).

use std::sync::Arc;

use super::grown::Grown;
use super::number::{lines, numbers, words};
use crate::port::Samples;

/// What is told of the interfaces, all together but the loopback.
pub(super) struct Networks {
    names: [Arc<str>; 8],
    counted: Grown<8>,
}

impl Networks {
    pub(super) fn new() -> Self {
        let names = [
            "network_received_bytes_total",
            "network_received_packets_total",
            "network_received_errors_total",
            "network_received_dropped_total",
            "network_sent_bytes_total",
            "network_sent_packets_total",
            "network_sent_errors_total",
            "network_sent_dropped_total",
        ];
        Self { names: names.map(Arc::from), counted: Grown::new() }
    }

    /// Two lines of headings, then `name: bytes packets errs drop fifo frame compressed multicast` received, and
    /// `bytes packets errs drop …` sent.
    pub(super) fn take(&mut self, text: &[u8], out: &mut Samples) {
        for line in lines(text) {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, rest) = line.split_at(colon);
            let Some(name) = words(name).next().filter(|name| *name != b"lo") else { continue };
            let fields = numbers(words(rest.get(1..).unwrap_or_default()));
            let Some([rb, rp, re, rd, _, _, _, _, sb, sp, se, sd]) = fields else { continue };
            self.counted.add(name, [rb, rp, re, rd, sb, sp, se, sd]);
        }
        for (name, sum) in self.names.iter().zip(self.counted.sums().into_iter().flatten()) {
            out.add(Arc::clone(name), sum as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::system::tests::value;
    use super::*;

    #[test]
    fn interfaces_are_summed() {
        let mut out = Samples::default();
        let text = b"Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    lo: 9 9 9 9 0 0 0 0 9 9 9 9 0 0 0 0\n  eth0: 100 10 1 2 0 0 0 0 200 20 3 4 0 0 0 0\n wlan0:1 1 0 0 0 0 0 0 2 2 0 0 0 0 0 0\n broken: 1 2\n";
        Networks::new().take(text, &mut out);
        assert_eq!(value(&out, "network_received_bytes_total"), Some(101.0));
        assert_eq!(value(&out, "network_received_dropped_total"), Some(2.0));
        assert_eq!(value(&out, "network_sent_bytes_total"), Some(202.0));
        assert_eq!(value(&out, "network_sent_errors_total"), Some(3.0));
        out.clear();
        Networks::new().take(b"lo: 1 2 3\n:\n", &mut out);
        assert_eq!(out.iter().count(), 0);
    }

    #[test]
    fn an_interface_that_goes_takes_nothing_away() {
        let mut networks = Networks::new();
        let mut told = |text: &[u8]| {
            let mut out = Samples::default();
            networks.take(text, &mut out);
            value(&out, "network_received_bytes_total")
        };
        let both = b"eth0: 100 10 1 2 0 0 0 0 200 20 3 4\n veth1: 9000 9 0 0 0 0 0 0 9 9 0 0\n";
        assert_eq!(told(both), Some(9_100.0));
        assert_eq!(told(b"eth0: 150 10 1 2 0 0 0 0 200 20 3 4\n"), Some(9_150.0));
        let new = b"eth0: 150 10 1 2 0 0 0 0 200 20 3 4\n veth2: 70 9 0 0 0 0 0 0 9 9 0 0\n";
        assert_eq!(told(new), Some(9_150.0));
    }
}
