//! How the last calls went: a ring of bits over a number of calls, or ten parts of a span of time.

use super::policy::Window;
use crate::base::time::Moment;

/// The counts of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::recovery) struct Counts {
    pub(in crate::recovery) calls: u32,
    pub(in crate::recovery) failed: u32,
    pub(in crate::recovery) slow: u32,
}

#[derive(Debug)]
pub(in crate::recovery) enum Kept {
    Calls(Ring),
    Time(Parts),
}

impl Kept {
    pub(in crate::recovery) fn new(window: Window) -> Self {
        match window {
            Window::Calls(calls) => Self::Calls(Ring::new(calls)),
            Window::TimeMs(ms) => Self::Time(Parts::new(ms)),
        }
    }

    pub(in crate::recovery) fn add(&mut self, failed: bool, slow: bool, now: Moment) {
        match self {
            Self::Calls(ring) => ring.add(failed, slow),
            Self::Time(parts) => parts.add(failed, slow, now),
        }
    }

    pub(in crate::recovery) fn counts(&mut self, now: Moment) -> Counts {
        match self {
            Self::Calls(ring) => ring.counts,
            Self::Time(parts) => parts.counts(now),
        }
    }

    pub(in crate::recovery) fn clear(&mut self) {
        match self {
            Self::Calls(ring) => *ring = Ring::new(ring.len),
            Self::Time(parts) => *parts = Parts { width: parts.width, ..Parts::default() },
        }
    }

    /// Whether one more success, which is not slow, would change nothing.
    pub(in crate::recovery) fn is_unmoved_by_success(&self) -> bool {
        match self {
            Self::Calls(ring) => {
                let Counts { calls, failed, slow } = ring.counts;
                calls == ring.len && failed == 0 && slow == 0
            }
            Self::Time(_) => false,
        }
    }
}

/// The last `len` calls, two bits each.
#[derive(Debug)]
pub(in crate::recovery) struct Ring {
    len: u32,
    next: u32,
    failed: Vec<u64>,
    slow: Vec<u64>,
    counts: Counts,
}

impl Ring {
    fn new(len: u32) -> Self {
        let words = vec![0; (len as usize).div_ceil(64)];
        Self { len, next: 0, failed: words.clone(), slow: words, counts: Counts::default() }
    }

    fn add(&mut self, failed: bool, slow: bool) {
        let at = self.next;
        self.next = if at + 1 == self.len { 0 } else { at + 1 };
        self.counts.calls = (self.counts.calls + 1).min(self.len);
        replace(&mut self.failed, at, failed, &mut self.counts.failed);
        replace(&mut self.slow, at, slow, &mut self.counts.slow);
    }
}

/// Sets a bit and keeps the count of those that are set.
fn replace(words: &mut [u64], at: u32, to: bool, count: &mut u32) {
    let Some(word) = words.get_mut(at as usize / 64) else { return };
    let bit = 1_u64 << (at % 64);
    let was = *word & bit != 0;
    if was != to {
        *word ^= bit;
        *count = if to { *count + 1 } else { *count - 1 };
    }
}

const PARTS: usize = 10;

/// The calls of the last ten parts of time, the present one included.
#[derive(Debug, Default)]
pub(in crate::recovery) struct Parts {
    /// Nanoseconds of a part.
    width: u64,
    /// The number of the present part since the clock's origin.
    present: u64,
    parts: [Counts; PARTS],
}

impl Parts {
    fn new(ms: u64) -> Self {
        let width = (ms.saturating_mul(1_000_000) / PARTS as u64).max(1);
        Self { width, ..Self::default() }
    }

    fn add(&mut self, failed: bool, slow: bool, now: Moment) {
        self.turn(now);
        let at = (self.present % PARTS as u64) as usize;
        if let Some(part) = self.parts.get_mut(at) {
            part.calls = part.calls.saturating_add(1);
            part.failed = part.failed.saturating_add(u32::from(failed));
            part.slow = part.slow.saturating_add(u32::from(slow));
        }
    }

    fn counts(&mut self, now: Moment) -> Counts {
        self.turn(now);
        self.parts.iter().fold(Counts::default(), |sum, part| Counts {
            calls: sum.calls.saturating_add(part.calls),
            failed: sum.failed.saturating_add(part.failed),
            slow: sum.slow.saturating_add(part.slow),
        })
    }

    /// Lets go of the parts that have left the window. A clock that was read a little earlier by
    /// another thread counts into the present part.
    fn turn(&mut self, now: Moment) {
        let part = now.as_nanos() / self.width.max(1);
        let steps = part.saturating_sub(self.present);
        for step in 1..=steps.min(PARTS as u64) {
            let at = ((self.present + step) % PARTS as u64) as usize;
            if let Some(part) = self.parts.get_mut(at) {
                *part = Counts::default();
            }
        }
        self.present = self.present.max(part);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(ms)
    }

    proptest! {
        #[test]
        fn a_ring_counts_as_a_list_of_the_last_would(
            len in 1_u32..200,
            calls in proptest::collection::vec((any::<bool>(), any::<bool>()), 0..600),
        ) {
            let mut ring = Kept::new(Window::Calls(len));
            for (n, (failed, slow)) in calls.iter().enumerate() {
                ring.add(*failed, *slow, Moment::ZERO);
                let last = &calls[(n + 1).saturating_sub(len as usize)..=n];
                let count = |f: fn(&(bool, bool)) -> bool| last.iter().filter(|c| f(c)).count() as u32;
                prop_assert_eq!(ring.counts(Moment::ZERO), Counts {
                    calls: last.len() as u32,
                    failed: count(|c| c.0),
                    slow: count(|c| c.1),
                });
                let quiet = last.len() == len as usize && last.iter().all(|c| *c == (false, false));
                prop_assert_eq!(ring.is_unmoved_by_success(), quiet);
            }
        }

        #[test]
        fn parts_count_what_is_inside_the_span(
            calls in proptest::collection::vec((0_u64..300, any::<bool>()), 0..300),
        ) {
            let mut parts = Kept::new(Window::TimeMs(1_000));
            let (mut now, mut all) = (0, Vec::new());
            for (step, failed) in calls {
                now += step;
                parts.add(failed, false, at(now));
                all.push((now, failed));
                let oldest = (now / 100).saturating_sub(9);
                let inside: Vec<_> = all.iter().filter(|(t, _)| t / 100 >= oldest).collect();
                let counts = parts.counts(at(now));
                prop_assert_eq!(counts.calls as usize, inside.len());
                prop_assert_eq!(counts.failed as usize, inside.iter().filter(|c| c.1).count());
            }
        }
    }

    #[test]
    fn time_alone_empties_the_parts() {
        let mut parts = Kept::new(Window::TimeMs(1_000));
        parts.add(true, true, at(5));
        assert_eq!(parts.counts(at(999)).calls, 1);
        assert_eq!(parts.counts(at(1_000)).calls, 0);
        parts.add(true, false, at(10_000_000));
        assert_eq!(
            parts.counts(at(0)).calls,
            1,
            "a clock that was read earlier takes nothing away"
        );
    }
}
