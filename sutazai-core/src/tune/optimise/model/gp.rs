//! A Gaussian process over the unit box.

use super::dense::{axpy, cholesky, dot, inverse, solve_lower, solve_upper};

/// √5, of the Matérn kernel.
const SQRT5: f64 = 2.236_067_977_499_79;
/// Noise is never thought to be less than this share of the variance.
pub(super) const LEAST_NOISE: f64 = 1e-8;

/// What a process is made of, as logarithms: lengths of the Matérn 5/2 kernel (one a dimension), its variance, the variance
/// of the quadratic, and of the noise.
///
/// A sum of a Matérn 5/2 kernel and the kernel of all polynomials of second degree makes the model a quadratic response
/// surface where that explains what was seen, and local where it does not; the marginal likelihood weighs the two.
#[derive(Clone, Debug)]
pub(super) struct Hyper {
    /// `d` lengths, then the three variances.
    pub(super) theta: Vec<f64>,
}

impl Hyper {
    pub(super) fn new(d: usize) -> Self {
        let mut theta = vec![(0.4 * (d as f64).sqrt()).ln(); d];
        theta.extend([0.0, -2.0, -9.0]);
        Self { theta }
    }

    pub(super) fn dims(&self) -> usize {
        self.theta.len().saturating_sub(3)
    }

    /// Logarithm of the prior's density, up to a constant, and its gradient added to `gradient`.
    pub(super) fn prior(&self, gradient: &mut [f64]) -> f64 {
        let d = self.dims();
        let mut total = 0.0;
        for (i, (t, g)) in self.theta.iter().zip(gradient).enumerate() {
            let (mean, deviation) = match i.checked_sub(d) {
                None => ((0.4 * (d as f64).sqrt()).ln(), 1.0),
                Some(0) => (0.0, 1.5),
                Some(1) => (-2.0, 2.0),
                Some(_) => (-9.0, 2.5),
            };
            let z = (t - mean) / deviation;
            total -= 0.5 * z * z;
            *g -= z / deviation;
        }
        total
    }

    /// The bounds of parameter `i`.
    pub(super) fn bounds(&self, i: usize) -> (f64, f64) {
        match i.checked_sub(self.dims()) {
            None => (-4.0, 3.5),
            Some(0) => (-8.0, 4.0),
            Some(1) => (-12.0, 6.0),
            Some(_) => (LEAST_NOISE.ln(), 1.0),
        }
    }
}

/// Two points, as the kernel sees them.
struct Pair {
    /// Their distance in lengths, times √5, and the exponential of its negative.
    r: f64,
    decay: f64,
    /// The inner product of the quadratic.
    product: f64,
}

/// The process, given points and values.
#[derive(Clone, Debug)]
pub(super) struct Gp {
    pub(super) hyper: Hyper,
    n: usize,
    /// `n` rows of `d`.
    x: Vec<f64>,
    u: Vec<f64>,
    alpha: Vec<f64>,
    // What the kernel needs of `hyper`.
    scale: Vec<f64>,
    variance: [f64; 3],
}

impl Gp {
    /// Conditions the process on `y` (standardised) at `x`. `None` when the matrix cannot be factored.
    pub(super) fn fit(hyper: &Hyper, x: &[f64], y: &[f64]) -> Option<Self> {
        let (n, d) = (y.len(), hyper.dims());
        let scale = hyper.theta[..d].iter().map(|l| (-l).exp()).collect();
        let mut variance = [0.0; 3];
        for (v, t) in variance.iter_mut().zip(&hyper.theta[d..]) {
            *v = t.exp();
        }
        let mut gp = Self {
            hyper: hyper.clone(),
            n,
            x: x.to_vec(),
            u: vec![0.0; n * n],
            alpha: y.to_vec(),
            scale,
            variance,
        };
        for (i, row) in gp.x.chunks_exact(d).enumerate() {
            for (j, other) in gp.x.chunks_exact(d).enumerate().skip(i) {
                gp.u[i * n + j] = gp.kernel(row, other);
            }
            gp.u[i * n + i] += gp.variance[2] + LEAST_NOISE * gp.variance[1];
        }
        if !cholesky(&mut gp.u, n) {
            return None;
        }
        solve_lower(&gp.u, n, &mut gp.alpha, 1);
        solve_upper(&gp.u, n, &mut gp.alpha);
        Some(gp)
    }

    #[inline]
    fn kernel(&self, a: &[f64], b: &[f64]) -> f64 {
        self.covariance(&self.pair(a, b))
    }

    /// What the kernel needs of two points.
    #[inline]
    fn pair(&self, a: &[f64], b: &[f64]) -> Pair {
        let (mut r2, mut product) = (0.0, 1.0);
        for ((a, b), s) in a.iter().zip(b).zip(&self.scale) {
            let z = (a - b) * s;
            r2 += z * z;
            product += (2.0 * a - 1.0) * (2.0 * b - 1.0);
        }
        let r = SQRT5 * r2.sqrt();
        Pair { r, decay: (-r).exp(), product }
    }

    #[inline]
    fn covariance(&self, pair: &Pair) -> f64 {
        let Pair { r, decay, product } = *pair;
        self.variance[0] * (1.0 + r + r * r / 3.0) * decay + self.variance[1] * product * product
    }

    /// The logarithm of the posterior density of the hyperparameters, and its gradient.
    pub(super) fn evidence(&self, y: &[f64], gradient: &mut [f64]) -> f64 {
        let (n, d) = (self.n, self.hyper.dims());
        gradient.iter_mut().for_each(|g| *g = 0.0);
        let (mut lower, mut k) = (Vec::new(), Vec::new());
        inverse(&self.u, n, &mut lower, &mut k);
        let mut square = vec![0.0; d];
        for (i, a) in self.x.chunks_exact(d).enumerate() {
            for (j, b) in self.x.chunks_exact(d).enumerate().skip(i + 1) {
                // Twice a half: the pair stands twice in the matrix.
                let w = self.alpha[i] * self.alpha[j] - k[i * n + j];
                let (mut r2, mut product) = (0.0, 1.0);
                for (((a, b), s), square) in a.iter().zip(b).zip(&self.scale).zip(&mut square) {
                    let z = (a - b) * s;
                    *square = z * z;
                    r2 += *square;
                    product += (2.0 * a - 1.0) * (2.0 * b - 1.0);
                }
                let r = SQRT5 * r2.sqrt();
                let e = w * self.variance[0] * (-r).exp();
                axpy(e * (1.0 + r) * 5.0 / 3.0, &square, &mut gradient[..d]);
                gradient[d] += e * (1.0 + r + r * r / 3.0);
                gradient[d + 1] += w * self.variance[1] * product * product;
            }
            let w = 0.5 * (self.alpha[i] * self.alpha[i] - k[i * n + i]);
            let length = 1.0 + a.iter().map(|a| (2.0 * a - 1.0).powi(2)).sum::<f64>();
            gradient[d] += w * self.variance[0];
            gradient[d + 1] += w * self.variance[1] * (length * length + LEAST_NOISE);
            gradient[d + 2] += w * self.variance[2];
        }
        self.hyper.prior(gradient) + self.likelihood(y)
    }

    /// The logarithm of the marginal likelihood.
    pub(super) fn likelihood(&self, y: &[f64]) -> f64 {
        let n = self.n;
        let determinant: f64 = (0..n).map(|i| self.u[i * n + i].ln()).sum();
        -0.5 * dot(y, &self.alpha) - determinant - 0.5 * n as f64 * std::f64::consts::TAU.ln()
    }

    /// The posterior mean at the points that it was conditioned on.
    pub(super) fn smoothed(&self, y: &[f64]) -> Vec<f64> {
        let noise = self.variance[2] + LEAST_NOISE * self.variance[1];
        y.iter().zip(&self.alpha).map(|(y, a)| y - noise * a).collect()
    }

    /// Posterior mean and variance (without noise) at `m` points, `m` rows of `d`.
    pub(super) fn predict(&self, at: &[f64]) -> Vec<(f64, f64)> {
        let (n, d) = (self.n, self.hyper.dims());
        let m = at.len() / d;
        let mut k = vec![0.0; n * m];
        for (row, x) in k.chunks_exact_mut(m).zip(self.x.chunks_exact(d)) {
            for (k, a) in row.iter_mut().zip(at.chunks_exact(d)) {
                *k = self.kernel(x, a);
            }
        }
        let mut mean = vec![0.0; m];
        for (row, alpha) in k.chunks_exact(m).zip(&self.alpha) {
            axpy(*alpha, row, &mut mean);
        }
        solve_lower(&self.u, n, &mut k, m);
        let mut explained = vec![0.0; m];
        for row in k.chunks_exact(m) {
            for (e, v) in explained.iter_mut().zip(row) {
                *e += v * v;
            }
        }
        at.chunks_exact(d)
            .zip(mean.iter().zip(&explained))
            .map(|(a, (mean, e))| {
                let prior = self.kernel(a, a);
                (*mean, (prior - e).max(prior * 1e-12))
            })
            .collect()
    }

    /// Posterior mean and variance at a point, and their gradients.
    pub(super) fn slope(&self, at: &[f64], dm: &mut [f64], dv: &mut [f64]) -> (f64, f64) {
        let (n, d) = (self.n, self.hyper.dims());
        let pairs: Vec<Pair> = self.x.chunks_exact(d).map(|x| self.pair(x, at)).collect();
        let k: Vec<f64> = pairs.iter().map(|pair| self.covariance(pair)).collect();
        let mean = dot(&k, &self.alpha);
        let mut v = k;
        solve_lower(&self.u, n, &mut v, 1);
        let prior = self.kernel(at, at);
        let variance = (prior - dot(&v, &v)).max(prior * 1e-12);
        solve_upper(&self.u, n, &mut v);
        dm.iter_mut().for_each(|g| *g = 0.0);
        let length = 1.0 + at.iter().map(|a| (2.0 * a - 1.0).powi(2)).sum::<f64>();
        for (g, a) in dv.iter_mut().zip(at) {
            *g = self.variance[1] * 2.0 * length * 4.0 * (2.0 * a - 1.0);
        }
        for (((x, alpha), v), pair) in self.x.chunks_exact(d).zip(&self.alpha).zip(&v).zip(&pairs) {
            let Pair { r, decay, product } = *pair;
            let matern = -self.variance[0] * (5.0 / 3.0) * (1.0 + r) * decay;
            let quadratic = self.variance[1] * 2.0 * product * 2.0;
            for i in 0..d {
                let delta = at[i] - x[i];
                let mut g = matern * delta * self.scale[i] * self.scale[i];
                g += quadratic * (2.0 * x[i] - 1.0);
                dm[i] += alpha * g;
                dv[i] -= 2.0 * v * g;
            }
        }
        (mean, variance)
    }
}
