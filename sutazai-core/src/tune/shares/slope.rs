//! What a little more is worth: how a benefit answers when its share is moved to and fro.

/// What is assumed of a benefit of which nothing is known: it grows with the square root of its share.
const ASSUMED: f64 = 0.5;

/// Windows over the past: what a member is worth is known soon, or surely.
pub(super) const WINDOWS: usize = 4;
/// Each window is longer than the one before by this factor; the first one is the policy's `memory`.
const LONGER: f64 = 4.0;

/// Moves of a share that are smaller, as a part of it, are rounding.
const ROUNDING: f64 = 1e-6;
/// Fewer degrees of freedom say nothing: two pairs in a row are alike by chance often.
const LEAST_FREEDOM: f64 = 2.0;
/// The largest that the square of an answer is: all came of one round of a pair.
const ALL: f64 = 4.0;
/// No answer is known better than this.
const FINEST: f64 = 1e-9;

/// What is known of one member.
#[derive(Clone, Debug, Default)]
pub(super) struct Slope {
    /// A round that is in no pair yet.
    half: Option<Half>,
    weight: f64,
    /// Means of the benefit, and of its size.
    benefit: f64,
    level: f64,
    /// The part of the rounds in which there was none.
    none: f64,
    windows: [Window; WINDOWS],
}

/// One round: what the share and the benefit were.
#[derive(Clone, Copy, Debug)]
struct Half {
    first: bool,
    share: f64,
    benefit: f64,
}

/// Sums over pairs of rounds: `moved`, by what part the share was another one in the second round, and `answer`, by what part of its size
/// the benefit was.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    weight: f64,
    weight_weight: f64,
    moved_moved: f64,
    moved_answer: f64,
    answer_answer: f64,
}

/// What one more whole would be worth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Estimate {
    pub(super) slope: f64,
    /// Its standard error; infinite while nothing is known.
    pub(super) error: f64,
    /// Degrees of freedom of the error.
    pub(super) freedom: f64,
}

impl Slope {
    /// A round, the first one of a pair or the second. No round is in two pairs: what moves slowly (a load that comes and goes) is in both rounds
    /// of a pair, and errors of pairs have nothing to do with each other.
    pub(super) fn add(&mut self, first: bool, share: f64, benefit: f64, memory: f64) {
        self.weight = self.weight * (1.0 - 1.0 / memory) + 1.0;
        self.benefit += (benefit - self.benefit) / self.weight;
        self.level += (benefit.abs() - self.level) / self.weight;
        self.none += (if benefit == 0.0 { 1.0 } else { 0.0 } - self.none) / self.weight;
        // Of who is told of in each second round only, such rounds make pairs.
        let other = self.half.take().filter(|half| half.first || !first);
        let Some(other) = other else {
            self.half = Some(Half { first, share, benefit });
            return;
        };
        let part = |change: f64, of: f64| if of > 0.0 { change / of } else { 0.0 };
        let moved = part(share - other.share, 0.5 * (share + other.share));
        let moved = if moved.abs() < ROUNDING { 0.0 } else { moved };
        // Parts of the usual size, so that a pair in which the world became another one is one of many.
        let size = self.level.max(0.5 * (benefit.abs() + other.benefit.abs()));
        let answer = part(benefit - other.benefit, size);
        let mut memory = memory;
        for window in &mut self.windows {
            let keep = 1.0 - 1.0 / memory;
            window.fade(keep * keep);
            window.add(moved, answer);
            memory *= LONGER;
        }
    }

    /// The share was moved on purpose, by this factor: what was learned elsewhere counts the less the farther away that is. The shortest
    /// window fades soon enough.
    pub(super) fn moved(&mut self, factor: f64) {
        let far = factor.ln().abs();
        if far.is_finite() {
            let keep = (-0.5 * far).exp();
            self.windows.iter_mut().skip(1).for_each(|window| window.fade(keep));
        }
    }

    /// What one more whole is worth where the share is `share`, by one of the windows. What is known is by what part a benefit answers, which
    /// changes little while shares and loads change.
    pub(super) fn estimate(&self, window: usize, share: f64) -> Estimate {
        let unit = self.level / share;
        let (answer, error, freedom) = (self.windows.get(window))
            .map_or(UNKNOWN, |window| window.answer(self.least_variance()));
        Estimate { slope: answer * unit, error: error * unit, freedom }
    }

    /// The variance that answers of pairs have at least. Who makes nothing in some rounds is counted in few tasks: as many as Poisson's law has it
    /// that is none in so many rounds, whose differences have a variance of their own, however alike the last ones were.
    fn least_variance(&self) -> f64 {
        if self.none <= 0.0 || self.none >= 1.0 {
            return 0.0;
        }
        let tasks = -self.none.ln();
        (2.0 / tasks).min(ALL) * (1.0 - self.none * self.none)
    }

    /// What is assumed while nothing is known.
    pub(super) fn assumed(&self, share: f64) -> f64 {
        ASSUMED * self.benefit / share
    }
}

const UNKNOWN: (f64, f64, f64) = (0.0, f64::INFINITY, 0.0);

impl Window {
    fn fade(&mut self, keep: f64) {
        self.weight *= keep;
        self.weight_weight *= keep * keep;
        self.moved_moved *= keep;
        self.moved_answer *= keep;
        self.answer_answer *= keep;
    }

    fn add(&mut self, moved: f64, answer: f64) {
        self.weight += 1.0;
        self.weight_weight += 1.0;
        self.moved_moved += moved * moved;
        self.moved_answer += moved * answer;
        self.answer_answer += answer * answer;
    }

    /// By how many times the part by which a share grows its benefit does, the standard error of that, and degrees of freedom.
    fn answer(&self, least_variance: f64) -> (f64, f64, f64) {
        if self.weight_weight <= 0.0 || self.moved_moved <= 0.0 {
            return UNKNOWN;
        }
        let answer = self.moved_answer / self.moved_moved;
        // As many pairs of equal weight would be known as well.
        let pairs = self.weight * self.weight / self.weight_weight;
        let freedom = pairs - 1.0;
        if freedom < LEAST_FREEDOM || !answer.is_finite() {
            return UNKNOWN;
        }
        let left = (self.answer_answer - answer * self.moved_answer).max(0.0);
        let variance = (left / self.weight * pairs / freedom).max(least_variance);
        // Recent pairs weigh more in the sum than in its error.
        let error = (variance / self.moved_moved * self.weight_weight / self.weight).sqrt();
        (answer, error.max(FINEST), freedom)
    }
}
