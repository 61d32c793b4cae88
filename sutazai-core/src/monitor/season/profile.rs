//! What is usual at each phase of a season: [`Profile`].

/// How far values may be off what is usual, in mean deviations, before they are drawn in.
const FAR: f64 = 6.0;

/// Rounds that what is usual is a mean over.
const ROUNDS: u8 = 10;

/// Rounds in which a phase must have come before it is said what is usual there.
const LEAST: u8 = 2;

/// Means of the phases of a season. What is far off moves the mean of its phase no more than a far value does, unless the value a
/// round before was as far off: a spike is learned from little, and what lasts in full.
#[derive(Clone, Debug)]
pub(in crate::monitor) struct Profile {
    phases: Vec<Phase>,
    /// The phase that comes next.
    at: usize,
    /// How far values mostly are off what is usual at their phase, and of how many that is known.
    off: f64,
    taken: usize,
    /// The sum of what is usual at the phases that have come, and how many have.
    sum: f64,
    known: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Phase {
    usual: f64,
    /// How far off the last value was, and what was learned of it.
    rest: f64,
    learned: f64,
    /// Rounds in which it has come, up to [`ROUNDS`].
    rounds: u8,
}

/// A value beside what is usual at its phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::monitor) struct Rest {
    /// By how much it is more.
    pub(in crate::monitor) off: f64,
    /// The mean of what is usual over all phases.
    pub(in crate::monitor) level: f64,
}

impl Rest {
    /// The value without its season: what the season adds is taken away, and the level stays.
    pub(in crate::monitor) fn value(self) -> f64 {
        self.off + self.level
    }
}

impl Profile {
    /// Of a season with a period of so many points.
    pub(in crate::monitor) fn new(period: usize) -> Self {
        let phases = vec![Phase::default(); period.max(1)];
        Self { phases, at: 0, off: 0.0, taken: 0, sum: 0.0, known: 0 }
    }

    pub(in crate::monitor) fn period(&self) -> usize {
        self.phases.len()
    }

    /// Points that do not come.
    pub(in crate::monitor) fn skip(&mut self, points: usize) {
        self.at = (self.at + points % self.phases.len()) % self.phases.len();
    }

    /// Takes the next value; nothing in the first two rounds.
    pub(in crate::monitor) fn take(&mut self, value: f64) -> Option<Rest> {
        if self.at == 0 {
            // Differences gather errors.
            let known = self.phases.iter().filter(|phase| phase.rounds > 0);
            self.sum = known.map(|phase| phase.usual).sum();
        }
        let period = self.phases.len();
        let level = self.sum / self.known.max(1) as f64;
        let phase = self.phases.get_mut(self.at)?;
        self.at = (self.at + 1) % period;
        let before = phase.rounds;
        let rest = value - phase.usual;
        let (mut learned, mut off, far) = (rest, rest.abs(), FAR * self.off);
        if before >= LEAST {
            learned = rest.clamp(phase.rest.min(-far), phase.rest.max(far));
            off = if far > 0.0 { off.min(far) } else { off };
        }
        if before >= 1 {
            self.taken = self.taken.saturating_add(1);
            let most = usize::from(ROUNDS).saturating_mul(period);
            self.off += (off - self.off) / self.taken.min(most) as f64;
        } else {
            self.known += 1;
        }
        phase.rounds = before.saturating_add(1).min(ROUNDS);
        phase.rest = rest;
        phase.learned = learned / f64::from(phase.rounds);
        phase.usual += phase.learned;
        self.sum += phase.learned;
        (before >= LEAST).then_some(Rest { off: rest, level })
    }

    /// The level has changed by so much, so many points ago: what was learned of these is undone, and all phases move with it.
    pub(in crate::monitor) fn shift(&mut self, by: f64, points: usize) {
        let period = self.phases.len();
        for age in 1..=points.min(period) {
            if let Some(phase) = self.phases.get_mut((self.at + period - age) % period) {
                phase.usual -= phase.learned;
                (phase.learned, phase.rest) = (0.0, 0.0);
            }
        }
        for phase in self.phases.iter_mut().filter(|phase| phase.rounds > 0) {
            phase.usual += by;
        }
        self.sum = self.phases.iter().filter(|phase| phase.rounds > 0).map(|p| p.usual).sum();
    }
}
