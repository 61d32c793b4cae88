//! How often something like this has been: a value after those before it, and short shapes among those of the past.

/// Levels that a value may have: four above the usual one, four below, and that.
const LEVELS: usize = 9;

/// Levels before the value that it is expected from, at most.
const ORDER: usize = 3;

/// Contexts of no level, of one, two and three.
const CONTEXTS: usize = 1 + LEVELS + LEVELS.pow(2) + LEVELS.pow(3);

/// Which level comes after which: contexts of no level up to three, where a longer one is believed the more the oftener
/// it has been, and else the shorter one (D. MacKay, L. Peto, "A hierarchical Dirichlet language model", Natural Language
/// Engineering 1, 1995).
#[derive(Clone, Debug)]
pub(super) struct Contexts {
    /// How often each level has come after each context; halved when one count is full.
    counts: Box<[[u8; LEVELS]]>,
    /// The levels before, the last one first.
    last: [usize; ORDER],
    seen: usize,
}

impl Contexts {
    pub(super) fn new() -> Self {
        let counts = vec![[0; LEVELS]; CONTEXTS].into_boxed_slice();
        Self { counts, last: [0; ORDER], seen: 0 }
    }

    /// How unexpected the value is after those before it: the logarithm of one over its probability. It is in
    /// deviations from the usual level.
    pub(super) fn feed(&mut self, deviations: f64) -> f64 {
        let level = cell::<LEVELS>(deviations, 1.5);
        let mut likely = 1.0 / LEVELS as f64;
        // Contexts are counted from the shortest: the place of one follows from that of the one without its last level.
        let mut place = 0;
        for order in 0..=ORDER.min(self.seen) {
            if let Some(last) = order.checked_sub(1).and_then(|o| self.last.get(o)) {
                place = place * LEVELS + 1 + last;
            }
            let Some(counts) = self.counts.get_mut(place) else { continue };
            let all: f64 = counts.iter().map(|count| f64::from(*count)).sum();
            let Some(count) = counts.get_mut(level) else { continue };
            likely = (f64::from(*count) + likely) / (all + 1.0);
            *count += 1;
            if *count == u8::MAX {
                counts.iter_mut().for_each(|count| *count /= 2);
            }
        }
        self.last.rotate_right(1);
        if let Some(last) = self.last.first_mut() {
            *last = level;
        }
        self.seen = self.seen.saturating_add(1);
        -likely.ln()
    }
}

/// The cell of an odd number of them that a value falls into: the middle one is for zero alone, those on either side are
/// the same, small near it and large outside. Half of a side's cells are within `half` deviations.
pub(super) fn cell<const CELLS: usize>(deviations: f64, half: f64) -> usize {
    let middle = CELLS / 2;
    let size = deviations.abs();
    let from = ((size / (half + size) * middle as f64) as usize).min(middle.saturating_sub(1));
    if deviations > 0.0 {
        middle + 1 + from
    } else if deviations < 0.0 {
        middle.saturating_sub(1 + from)
    } else {
        middle
    }
}

/// Values of a shape.
pub(super) const LENGTH: usize = 8;

/// Shapes that are remembered.
const REMEMBERED: usize = 512;

/// Those of them that are the last ones; the others are the strangest of all before.
const RECENT: usize = REMEMBERED / 2;

/// The last shapes and the strangest ones of the past, and how near one of them is (E. Burnaev, V. Ishimtsev,
/// "Conformalized density- and distance-based anomaly detection in time-series data", 2016). What was once far from all
/// others is not forgotten because much has come since, so that it is not strange again.
#[derive(Clone, Debug)]
pub(super) struct Shapes {
    /// The first values of all shapes, the second ones, and so on, so that many distances are taken at once.
    columns: Box<[[f32; REMEMBERED]; LENGTH]>,
    /// How far each shape was from those before it; less than zero where there is none yet.
    strange: Box<[f32; REMEMBERED]>,
    /// All that are kept are at least so strange.
    least: f32,
    count: usize,
    next: usize,
}

impl Shapes {
    pub(super) fn new() -> Self {
        // Where there is no shape yet, all distances are beyond any that there may be.
        let columns = Box::new([[FAR; REMEMBERED]; LENGTH]);
        Self { columns, strange: Box::new([-1.0; REMEMBERED]), least: -1.0, count: 0, next: 0 }
    }

    /// The distance to the nearest of the shapes before; nothing while they are few.
    pub(super) fn feed(&mut self, shape: [f32; LENGTH]) -> Option<f64> {
        let mut distances = [0.0_f32; REMEMBERED];
        for (column, value) in self.columns.iter().zip(shape) {
            for (distance, other) in distances.iter_mut().zip(column) {
                let difference = other - value;
                *distance += difference * difference;
            }
        }
        let nearest = least(&distances);
        self.keep();
        for (column, value) in self.columns.iter_mut().zip(shape) {
            if let Some(oldest) = column.get_mut(self.next) {
                *oldest = value;
            }
        }
        if let Some(strange) = self.strange.get_mut(self.next) {
            // The first shapes are far from nothing.
            *strange = if self.count >= FIRST { nearest } else { 0.0 };
        }
        let known = self.count > 20;
        self.count = (self.count + 1).min(REMEMBERED);
        self.next = (self.next + 1) % RECENT;
        known.then(|| f64::from(nearest).sqrt())
    }

    /// The oldest of the last shapes takes the place of the least strange of those that are kept, if it is stranger.
    fn keep(&mut self) {
        let Some(&oldest) = self.strange.get(self.next) else { return };
        if oldest <= self.least {
            return;
        }
        let kept = self.strange.iter().enumerate().skip(RECENT);
        let Some((place, least)) = kept.min_by(|a, b| a.1.total_cmp(b.1)) else { return };
        self.least = *least;
        if oldest <= *least {
            return;
        }
        for column in self.columns.iter_mut() {
            column.copy_within(self.next..=self.next, place);
        }
        if let Some(strange) = self.strange.get_mut(place) {
            *strange = oldest;
        }
    }
}

/// The least of some distances, in eight at once, which is quicker.
fn least(distances: &[f32; REMEMBERED]) -> f32 {
    let (eights, _) = distances.as_chunks::<8>();
    let mut least = [f32::MAX; 8];
    for eight in eights {
        for (least, distance) in least.iter_mut().zip(eight) {
            if *distance < *least {
                *least = *distance;
            }
        }
    }
    least.into_iter().fold(f32::MAX, f32::min)
}

/// Shapes that are not judged strange.
const FIRST: usize = 3;

/// Farther than any value of a shape.
const FAR: f32 = 1e9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mostly_follows_is_expected_and_something_else_is_not() {
        let mut contexts = Contexts::new();
        for _ in 0..1_000 {
            for value in [0.0, 0.0, 3.0, -3.0] {
                contexts.feed(value);
            }
        }
        // Two equal values are followed by the third, though after one of them either may come.
        assert!(contexts.feed(0.0) < 0.1);
        assert!(contexts.feed(0.0) < 0.1);
        assert!(contexts.feed(-3.0) > 4.0);
    }

    #[test]
    fn cells_are_the_same_on_either_side() {
        let cells = [-50.0, -1.6, -1.4, -0.1, 0.0, 0.1, 1.4, 1.6, 50.0].map(|d| cell::<9>(d, 1.5));
        assert_eq!(cells, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        for far in [1e-9, 0.1, 0.4, 1.0, 5.0, 1e9] {
            assert_eq!(cell::<9>(far, 1.5) + cell::<9>(-far, 1.5), 8);
        }
    }

    #[test]
    fn a_shape_that_was_there_is_near() {
        let mut shapes = Shapes::new();
        for i in 0..1_200_u16 {
            shapes.feed([f32::from(i % 5); LENGTH]);
        }
        assert_eq!(shapes.count, REMEMBERED);
        assert_eq!(shapes.feed([3.0; LENGTH]), Some(0.0));
        assert!(shapes.feed([30.0; LENGTH]).is_some_and(|d| d > 70.0));
    }

    #[test]
    fn a_strange_shape_is_remembered_for_long() {
        let mut shapes = Shapes::new();
        let usual = |i: u16| [f32::from(i * 37 % 101) / 101.0; LENGTH];
        for i in 0..400 {
            shapes.feed(usual(i));
        }
        shapes.feed([9.0; LENGTH]);
        for _ in 0..20 {
            for i in 0..600 {
                shapes.feed(usual(i));
            }
        }
        assert_eq!(shapes.feed([9.0; LENGTH]), Some(0.0));
    }
}
