//! What is remembered of calls, by how many were in flight when each began: [`Levels`].

/// Levels up to this concurrency are one apart.
const EXACT: u32 = 16;
/// Above, so many levels for each doubling.
const PER_DOUBLING: f64 = 8.0;

/// Calls that began at about the same concurrency. Weights fade with time.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// Sum of the concurrencies at which they began, weighted as `begun`.
    concurrency: f64,
    /// Calls that began here and have ended or given up.
    begun: f64,
    /// Calls that were answered.
    answered: f64,
    /// Seconds spent by calls that have ended.
    spent: f64,
    /// The sum of their squares.
    squares: f64,
    /// Calls that are still under way.
    open: u32,
    /// Sum of the seconds at which those began.
    starts: f64,
}

/// One level's figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// Calls in flight, on average.
    pub(super) concurrency: f64,
    /// Calls that were answered.
    pub(super) answered: f64,
    /// Seconds spent by them, and by those that were not answered, or not yet.
    pub(super) spent: f64,
    /// How much calls differ in their times here: the squared coefficient of variation.
    pub(super) spread: f64,
}

impl Point {
    /// How long a call takes here, in seconds: with those under way counted, so that what is slow is seen
    /// before it ends (the maximum-likelihood estimate of a mean from censored times, exact where they are
    /// exponential).
    pub(super) fn mean(&self) -> f64 {
        self.spent / self.answered
    }
}

/// Figures by level of concurrency; their number grows with the logarithm of the largest.
#[derive(Clone, Debug, Default)]
pub(super) struct Levels(Vec<Level>);

impl Levels {
    /// A call begins, at `start` seconds, as the `concurrency`-th in flight.
    pub(super) fn begin(&mut self, concurrency: u32, start: f64) {
        let index = index(concurrency);
        if self.0.len() <= index {
            self.0.resize(index + 1, Level::default());
        }
        if let Some(level) = self.0.get_mut(index) {
            level.open = level.open.saturating_add(1);
            level.starts += start;
        }
    }

    /// A call that began so ends, after `took` seconds, with `met` calls in flight on average meanwhile; `None`
    /// where it says nothing.
    pub(super) fn end(
        &mut self,
        concurrency: u32,
        start: f64,
        took: Option<(f64, f64)>,
        answered: bool,
    ) {
        let Some(level) = self.0.get_mut(index(concurrency)) else { return };
        if level.open <= 1 {
            // Rounding does not outlive the calls.
            (level.open, level.starts) = (0, 0.0);
        } else {
            level.open -= 1;
            level.starts -= start;
        }
        let Some((took, met)) = took else { return };
        level.concurrency += met;
        level.begun += 1.0;
        level.spent += took;
        level.squares += took * took;
        if answered {
            level.answered += 1.0;
        }
    }

    /// Makes everything that has ended count for less.
    pub(super) fn fade(&mut self, factor: f64) {
        for level in &mut self.0 {
            level.concurrency *= factor;
            level.begun *= factor;
            level.answered *= factor;
            level.spent *= factor;
            level.squares *= factor;
        }
    }

    /// Forgets everything; calls under way are none of its business any more.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The levels at which enough calls were answered, as of `now` seconds, from the lowest: `rounds` times as many
    /// as are under way there. A call under way counts for `most` seconds at most, and by the share `ages`.
    pub(super) fn points(
        &self,
        now: f64,
        most: f64,
        rounds: f64,
        ages: f64,
    ) -> impl Iterator<Item = Point> {
        let enough =
            move |level: &&Level| level.answered >= (f64::from(level.open) * rounds).max(0.25);
        self.0.iter().filter(enough).map(move |level| {
            let open = f64::from(level.open);
            let waited = (open * now - level.starts).clamp(0.0, open * most);
            Point {
                concurrency: level.concurrency / level.begun,
                answered: level.answered,
                spent: level.spent + ages * waited,
                spread: (level.squares * level.begun / (level.spent * level.spent) - 1.0).max(0.0),
            }
        })
    }
}

/// Which level it is.
fn index(concurrency: u32) -> usize {
    if concurrency <= EXACT {
        return concurrency as usize;
    }
    let doublings = f64::from(concurrency).log2() - f64::from(EXACT).log2();
    // At most 8 × 28.
    EXACT as usize + (doublings * PER_DOUBLING).ceil() as usize
}
