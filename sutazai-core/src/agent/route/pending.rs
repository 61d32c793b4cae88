//! Decisions whose end and reward are still to come.

use super::explain::{Figures, Why};

/// Of so many arms of a decision the figures are kept.
pub const EXPLAINED: usize = 16;

/// A decision that is remembered. Its memory is used again for a later one.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) number: u64,
    /// Which scope: its place, and which one that was.
    pub(super) scope: u32,
    pub(super) scope_id: u64,
    pub(super) slot: u32,
    pub(super) arm_id: u64,
    /// Nanoseconds.
    pub(super) begun: u64,
    pub(super) ended: bool,
    pub(super) rewarded: bool,
    pub(super) why: Why,
    pub(super) features: Vec<f64>,
    pub(super) figures: Vec<Figures>,
    pub(super) left_off: usize,
}

/// The last so many decisions, by number.
#[derive(Clone, Debug)]
pub(super) struct Decisions {
    kept: Vec<Pending>,
    bound: usize,
    next: u64,
}

impl Decisions {
    pub(super) fn new(bound: u32) -> Self {
        Self { kept: Vec::new(), bound: bound.max(1) as usize, next: 0 }
    }

    /// How many were made.
    pub(super) const fn count(&self) -> u64 {
        self.next
    }

    /// The place of the next decision with what stood there, and its number. What it held is the caller's
    /// to let go of.
    pub(super) fn next(&mut self) -> (u64, &mut Pending) {
        let number = self.next;
        self.next += 1;
        let place = self.place(number);
        if place >= self.kept.len() {
            self.kept.push(Pending {
                number,
                scope: 0,
                scope_id: u64::MAX,
                slot: 0,
                arm_id: u64::MAX,
                begun: 0,
                ended: true,
                rewarded: true,
                why: Why::Best,
                features: Vec::new(),
                figures: Vec::new(),
                left_off: 0,
            });
        }
        let last = self.kept.len().saturating_sub(1);
        // One was pushed at `place` if there was none.
        (number, &mut self.kept[place.min(last)])
    }

    pub(super) fn get(&self, number: u64) -> Option<&Pending> {
        self.kept.get(self.place(number)).filter(|p| p.number == number)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Pending> {
        let place = self.place(number);
        self.kept.get_mut(place).filter(|p| p.number == number)
    }

    fn place(&self, number: u64) -> usize {
        usize::try_from(number % self.bound as u64).unwrap_or(0)
    }
}
