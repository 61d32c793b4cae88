//! How often something like this has been: values after one another on a grid, and short shapes among those of
//! the past.

use super::tuning::SPAN;

/// Cells of the grid to a side.
const SIDE: usize = 24;

/// How often each pair of a value and the one before has come, on a grid whose cells are small in the middle
/// and large outside; old counts fade.
#[derive(Clone, Debug)]
pub(super) struct Pairs {
    cells: Box<[f32]>,
    total: f32,
    weight: f32,
}

impl Pairs {
    pub(super) fn new() -> Self {
        Self { cells: vec![0.0; SIDE * SIDE].into_boxed_slice(), total: 0.0, weight: 1.0 }
    }

    /// How rare the pair is: the logarithm of one over its share, with what is beside it counted in part. Both are
    /// in deviations from the mean.
    pub(super) fn feed(&mut self, value: f64, before: f64) -> f64 {
        let (row, column) = (cell(value), cell(before));
        let mut near = 0.0;
        for r in row.saturating_sub(1)..(row + 2).min(SIDE) {
            for c in column.saturating_sub(1)..(column + 2).min(SIDE) {
                let share = if (r, c) == (row, column) { 1.0 } else { 0.3 };
                near += share * self.cells.get(r * SIDE + c).copied().unwrap_or(0.0);
            }
        }
        let rare = match self.total > 0.0 {
            true => {
                let (all, near) = (self.total / self.weight, near / self.weight);
                f64::from((all + 1.0) / (near + 0.5)).ln().max(0.0)
            }
            false => 0.0,
        };
        self.weight *= 1.0 + 1.0 / (2.0 * SPAN as f32);
        if let Some(cell) = self.cells.get_mut(row * SIDE + column) {
            *cell += self.weight;
        }
        self.total += self.weight;
        if self.weight > 1e3 {
            self.cells.iter_mut().for_each(|cell| *cell /= self.weight);
            self.total /= self.weight;
            self.weight = 1.0;
        }
        rare
    }
}

fn cell(deviations: f64) -> usize {
    let squashed = deviations / (3.0 + deviations.abs());
    let half = SIDE as f64 / 2.0;
    ((squashed * half + half).clamp(0.0, SIDE as f64 - 1.0)) as usize
}

/// Values of a shape.
pub(super) const LENGTH: usize = 8;

/// Shapes that are remembered.
const REMEMBERED: usize = 512;

/// The last shapes, and how near one of them is (E. Burnaev, V. Ishimtsev, "Conformalized density- and distance-based
/// anomaly detection in time-series data", 2016).
#[derive(Clone, Debug)]
pub(super) struct Shapes {
    /// The first values of all shapes, the second ones, and so on, so that many distances are taken at once.
    columns: Box<[[f32; REMEMBERED]; LENGTH]>,
    count: usize,
    next: usize,
}

impl Shapes {
    pub(super) fn new() -> Self {
        // Where there is no shape yet, all distances are beyond any that there may be.
        Self { columns: Box::new([[FAR; REMEMBERED]; LENGTH]), count: 0, next: 0 }
    }

    /// The distance to the third nearest of the shapes before; nothing while they are few.
    pub(super) fn feed(&mut self, shape: [f32; LENGTH]) -> Option<f64> {
        let mut distances = [0.0_f32; REMEMBERED];
        for (column, value) in self.columns.iter().zip(shape) {
            for (distance, other) in distances.iter_mut().zip(column) {
                let difference = other - value;
                *distance += difference * difference;
            }
        }
        let mut nearest = [f32::MAX; 3];
        for distance in distances {
            if distance < nearest[2] {
                nearest[2] = distance;
                nearest.sort_by(f32::total_cmp);
            }
        }
        for (column, value) in self.columns.iter_mut().zip(shape) {
            if let Some(oldest) = column.get_mut(self.next) {
                *oldest = value;
            }
        }
        let known = self.count > 20;
        self.count = (self.count + 1).min(REMEMBERED);
        self.next = (self.next + 1) % REMEMBERED;
        known.then(|| f64::from(nearest[2]).sqrt())
    }
}

/// Farther than any value of a shape.
const FAR: f32 = 1e9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_often_is_not_rare() {
        let mut pairs = Pairs::new();
        for _ in 0..1_000 {
            pairs.feed(0.0, 1.0);
            pairs.feed(1.0, 0.0);
        }
        assert!(pairs.feed(0.0, 1.0) < 1.0);
        assert!(pairs.feed(9.0, -9.0) > 6.0);
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
}
