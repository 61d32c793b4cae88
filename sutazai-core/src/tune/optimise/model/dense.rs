//! Dense linear algebra of symmetric matrices, for a hundred points or so: the inner loops run along rows, so that the
//! compiler can vectorise them, and take two rows at a time, so that a target is read and written half as often. Neither
//! changes the order in which anything is summed.

/// Columns that are solved for at once: a hundred rows of so many stay in the fastest cache.
const COLUMNS: usize = 32;

/// `y += a·x`.
#[inline]
pub(super) fn axpy(a: f64, x: &[f64], y: &mut [f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// `z += a·x`, then `z += b·y`.
#[inline]
fn axpy2((a, x): (f64, &[f64]), (b, y): (f64, &[f64]), z: &mut [f64]) {
    for ((z, x), y) in z.iter_mut().zip(x).zip(y) {
        *z = (*z + a * x) + b * y;
    }
}

/// The inner product, summed in four lanes.
#[inline]
pub(super) fn dot(x: &[f64], y: &[f64]) -> f64 {
    let mut lanes = [0.0; 4];
    let (xs, ys) = (x.chunks_exact(4), y.chunks_exact(4));
    let rest: f64 = xs.remainder().iter().zip(ys.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in xs.zip(ys) {
        for (lane, (x, y)) in lanes.iter_mut().zip(x.iter().zip(y)) {
            *lane += x * y;
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// Turns the upper triangle of the `n`×`n` matrix into its Cholesky factor `U` with `UᵀU` the matrix. False when it is
/// not positive definite.
pub(super) fn cholesky(a: &mut [f64], n: usize) -> bool {
    for k in (0..n).step_by(2) {
        let (above, below) = a.split_at_mut((k + 1) * n);
        let row = &mut above[k * n + k..];
        if !by_pivot(row) {
            return false;
        }
        if below.is_empty() {
            break;
        }
        let (next, below) = below.split_at_mut(n);
        let next = &mut next[k + 1..];
        axpy(-row[1], &row[1..], next);
        if !by_pivot(next) {
            return false;
        }
        for (i, target) in (k + 2..n).zip(below.chunks_exact_mut(n)) {
            let (row, next) = (&row[i - k..], &next[i - k - 1..]);
            axpy2((-row[0], row), (-next[0], next), &mut target[i..]);
        }
    }
    true
}

/// Divides a row by the root of its first element, if that has one.
fn by_pivot(row: &mut [f64]) -> bool {
    let pivot = row[0];
    if !(pivot > 0.0 && pivot.is_finite()) {
        return false;
    }
    let scale = 1.0 / pivot.sqrt();
    row.iter_mut().for_each(|v| *v *= scale);
    true
}

/// Solves `Uᵀ·V = B` in place, for `B` of `n` rows and `m` columns.
pub(super) fn solve_lower(u: &[f64], n: usize, b: &mut [f64], m: usize) {
    if m == 1 {
        for k in 0..n {
            let (head, tail) = b.split_at_mut(k + 1);
            head[k] *= 1.0 / u[k * n + k];
            axpy(-head[k], &u[k * n + k + 1..(k + 1) * n], tail);
        }
        return;
    }
    for first in (0..m).step_by(COLUMNS) {
        let columns = first..(first + COLUMNS).min(m);
        for k in (0..n).step_by(2) {
            let (above, below) = b.split_at_mut((k + 1) * m);
            let row = &mut above[k * m..][columns.clone()];
            let scale = 1.0 / u[k * n + k];
            row.iter_mut().for_each(|v| *v *= scale);
            if below.is_empty() {
                break;
            }
            let (next, below) = below.split_at_mut(m);
            let next = &mut next[columns.clone()];
            axpy(-u[k * n + k + 1], row, next);
            let scale = 1.0 / u[(k + 1) * n + k + 1];
            next.iter_mut().for_each(|v| *v *= scale);
            let factors = u[k * n + k + 2..(k + 1) * n].iter().zip(&u[(k + 1) * n + k + 2..]);
            for ((a, b), target) in factors.zip(below.chunks_exact_mut(m)) {
                axpy2((-a, row), (-b, next), &mut target[columns.clone()]);
            }
        }
    }
}

/// Solves `U·x = y` in place.
pub(super) fn solve_upper(u: &[f64], n: usize, y: &mut [f64]) {
    for k in (0..n).rev() {
        let (head, tail) = y.split_at_mut(k + 1);
        head[k] = (head[k] - dot(&u[k * n + k + 1..(k + 1) * n], tail)) / u[k * n + k];
    }
}

/// The upper triangle of the inverse of `UᵀU`.
pub(super) fn inverse(u: &[f64], n: usize, lower: &mut Vec<f64>, out: &mut Vec<f64>) {
    lower.clear();
    lower.resize(n * n, 0.0);
    out.clear();
    out.resize(n * n, 0.0);
    for k in 0..n {
        let (above, below) = lower.split_at_mut((k + 1) * n);
        let row = &mut above[k * n..k * n + k + 1];
        row[k] = 1.0;
        let scale = 1.0 / u[k * n + k];
        row.iter_mut().for_each(|v| *v *= scale);
        for (i, target) in (k + 1..n).zip(below.chunks_exact_mut(n)) {
            axpy(-u[k * n + i], row, &mut target[..=k]);
        }
    }
    for (k, row) in lower.chunks_exact(n).enumerate() {
        for (i, target) in out.chunks_exact_mut(n).take(k + 1).enumerate() {
            axpy(row[i], &row[i..=k], &mut target[i..=k]);
        }
    }
}
