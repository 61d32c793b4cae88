//! What is kept of the points of a step: [`Bucket`].

/// Values of a bucket's row.
pub(super) const COLUMNS: usize = 6;

/// Points of a step, or one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    pub(super) min: f64,
    pub(super) max: f64,
    /// Correctly rounded but for the last bit; beyond what a float holds, the largest one.
    pub(super) sum: f64,
    /// A whole number, 1 or more.
    pub(super) count: f64,
    pub(super) last: f64,
    /// What a counter had counted each time that it was reset, since the point before the bucket's first, so
    /// that `last − last of the bucket before + carry` is what was counted in between.
    pub(super) carry: f64,
}

impl Bucket {
    /// One point.
    pub(super) fn point(value: f64, carry: f64) -> Self {
        Self { min: value, max: value, sum: value, count: 1.0, last: value, carry }
    }

    /// The values as a row has them.
    pub(super) fn row(&self) -> [f64; COLUMNS] {
        [self.min, self.max, self.sum, self.count, self.last, self.carry]
    }

    /// What a row has.
    pub(super) fn of(row: [f64; COLUMNS]) -> Self {
        let [min, max, sum, count, last, carry] = row;
        Self { min, max, sum, count, last, carry }
    }
}

/// A bucket that is being filled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    /// Its start, in ticks.
    pub(super) start: i64,
    bucket: Bucket,
    sum: Sum,
}

impl Open {
    /// One with its first points.
    pub(super) fn new(start: i64, bucket: &Bucket) -> Self {
        Self { start, bucket: *bucket, sum: Sum::of(bucket.sum) }
    }

    /// Adds later points.
    pub(super) fn add(&mut self, later: &Bucket) {
        let bucket = &mut self.bucket;
        bucket.min = bucket.min.min(later.min);
        bucket.max = bucket.max.max(later.max);
        bucket.count += later.count;
        bucket.last = later.last;
        bucket.carry = bounded(bucket.carry + later.carry);
        self.sum.add(later.sum);
    }

    /// What it has.
    pub(super) fn bucket(&self) -> Bucket {
        Bucket { sum: self.sum.value(), ..self.bucket }
    }
}

/// A sum that does not lose what its terms are smaller by (A. Neumaier: Rundungsfehleranalyse einiger Verfahren
/// zur Summation endlicher Summen, ZAMM 54, 1974): of measurements with few decimals the sum has few, too,
/// and takes few bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    /// One term.
    pub(super) fn of(value: f64) -> Self {
        Self { sum: value, lost: 0.0 }
    }

    /// Adds a finite term.
    pub(super) fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        if !sum.is_finite() {
            *self = Self::of(bounded(sum));
            return;
        }
        self.lost += if self.sum.abs() >= value.abs() {
            (self.sum - sum) + value
        } else {
            (value - sum) + self.sum
        };
        self.sum = sum;
    }

    /// The sum, at most the largest float there is.
    pub(super) fn value(&self) -> f64 {
        bounded(self.sum + self.lost)
    }
}

/// The nearest that is finite.
pub(super) fn bounded(value: f64) -> f64 {
    value.clamp(f64::MIN, f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_come_together() {
        let mut open = Open::new(10, &Bucket::point(0.7, 0.0));
        for value in [-0.2, 0.3, 0.4] {
            open.add(&Bucket::point(value, 0.5));
        }
        let bucket = open.bucket();
        assert_eq!((bucket.min, bucket.max, bucket.last), (-0.2, 0.7, 0.4));
        assert_eq!((bucket.count, bucket.carry), (4.0, 1.5));
        assert_eq!(Bucket::of(bucket.row()), bucket);
    }

    #[test]
    fn sums_keep_small_terms_and_stay_finite() {
        let mut sum = Sum::default();
        (0..10).for_each(|_| sum.add(0.1));
        assert_eq!(sum.value(), 1.0);
        let mut sum = Sum::default();
        [1e100, 1.0, -1e100].into_iter().for_each(|v| sum.add(v));
        assert_eq!(sum.value(), 1.0);
        let mut sum = Sum::of(f64::MAX);
        sum.add(f64::MAX);
        assert_eq!(sum.value(), f64::MAX);
        sum.add(f64::MIN);
        sum.add(f64::MIN);
        sum.add(f64::MIN);
        assert_eq!(sum.value(), f64::MIN);
    }
}
