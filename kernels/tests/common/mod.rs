//! Matrices that break weak algorithms, and the bounds of docs/numerics.md, evaluated in f64.
#![allow(dead_code)] // Each test binary uses a part.

use kernels::{Scalar, random};
use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate};

/// One test per backend for each of these functions over backend and element type.
macro_rules! for_all {
    ($($test:ident),*) => { $(
        mod $test {
            #[test]
            fn faer() {
                super::$test::<kernels::Faer, f64>();
                super::$test::<kernels::Faer, f32>();
            }
            #[cfg(feature = "openblas")]
            #[test]
            fn openblas() {
                super::$test::<kernels::OpenBlas, f64>();
                super::$test::<kernels::OpenBlas, f32>();
            }
        }
    )* };
}
pub(crate) use for_all;

/// The seed of this run: `DOLMEN_SEED`, or 1. Printed, so that a failure shows it.
pub fn seed() -> u64 {
    let seed = std::env::var("DOLMEN_SEED").map_or(1, |s| s.parse().expect("DOLMEN_SEED is a number"));
    println!("DOLMEN_SEED={seed}");
    seed
}

/// Whether a test of many shapes takes one of so many elements. Miri is very slow, and takes small ones.
pub fn tried(elements: usize) -> bool {
    !cfg!(miri) || elements <= 64
}

pub fn gaussian(m: usize, n: usize, seed: u64) -> Array2<f64> {
    let mut a = Array2::zeros((m, n));
    random::fill_normal(seed, 0, 0, a.view_mut());
    a
}

/// `H·diag(σ)·G` with random orthogonal H and G, three reflectors each.
pub fn with_spectrum(m: usize, n: usize, seed: u64, sigma: impl Fn(usize) -> f64) -> Array2<f64> {
    let mut a = Array2::from_shape_fn((m, n), |(i, j)| if i == j { sigma(i) } else { 0.0 });
    for s in 0..3 {
        reflect(&mut a, seed * 100 + s);
        a = a.reversed_axes();
        reflect(&mut a, seed * 100 + 10 + s);
        a = a.reversed_axes();
    }
    a
}

fn reflect(a: &mut Array2<f64>, seed: u64) {
    let v = gaussian(a.nrows(), 1, seed).remove_axis(Axis(1));
    let w = v.dot(a) * (2.0 / v.dot(&v));
    for (mut row, x) in a.rows_mut().into_iter().zip(&v) {
        row.scaled_add(-x, &w);
    }
}

/// Exponents of ten that stay clear of, or go to, the ends of T's range.
fn extremes<T: Scalar>() -> (f64, f64, f64) {
    if T::NAME == "f32" { (1e37, 1e-42, 18.0) } else { (1e306, 1e-310, 150.0) }
}

/// Every kind of matrix of docs/numerics.md, m×n, rounded to T.
pub fn zoo<T: Scalar>(m: usize, n: usize, seed: u64) -> Vec<(&'static str, Array2<T>)> {
    let (huge, tiny, decades) = extremes::<T>();
    let k = m.min(n).max(1);
    let g = gaussian(m, n, seed);
    let at = |i: usize, of: usize| i as f64 / (of.max(2) - 1) as f64;
    let grow = |j: usize| 10f64.powf(decades * (2.0 * at(j, n) - 1.0));
    let mut one = Array2::zeros((m, n));
    if let Some(x) = one.get_mut((m / 2, n / 2)) {
        *x = -3.0;
    }
    let low = gaussian(m, k.div_ceil(3), seed + 1).dot(&gaussian(k.div_ceil(3), n, seed + 2));
    let kahan = |(i, j): (usize, usize)| match i.cmp(&j) {
        std::cmp::Ordering::Less => -0.5 * 0.75f64.sqrt().powi(i as i32),
        std::cmp::Ordering::Equal => 0.75f64.sqrt().powi(i as i32),
        std::cmp::Ordering::Greater => 0.0,
    };
    let all = vec![
        ("gaussian", g.clone()),
        ("vandermonde", Array2::from_shape_fn((m, n), |(i, j)| at(i, m).powi((j % 40) as i32))),
        ("hilbert", Array2::from_shape_fn((m, n), |(i, j)| 1.0 / (i + j + 1) as f64)),
        ("kahan", Array2::from_shape_fn((m, n), kahan)),
        ("geometric", with_spectrum(m, n, seed, |i| 10f64.powi(-(i as i32)))),
        ("slow", with_spectrum(m, n, seed, |i| 1.0 / ((i + 1) as f64).sqrt())),
        ("step", with_spectrum(m, n, seed, |i| if i < k / 2 { 1.0 } else { 1e-9 })),
        ("rank", low),
        ("zero", Array2::zeros((m, n))),
        ("one nonzero", one),
        ("repeated columns", Array2::from_shape_fn((m, n), |(i, j)| g[(i, j % n.div_ceil(3))])),
        ("zero columns", Array2::from_shape_fn((m, n), |(i, j)| if j % 3 == 0 { 0.0 } else { g[(i, j)] })),
        ("scaled columns", Array2::from_shape_fn((m, n), |(i, j)| g[(i, j)] * grow(j))),
        ("scaled rows", Array2::from_shape_fn((m, n), |(i, j)| g[(i, j)] * 10f64.powf(-decades * at(i, m)))),
        ("huge", g.mapv(|x| huge * x.clamp(-1.0, 1.0) / (m as f64).sqrt())),
        ("subnormal", g.mapv(|x| tiny * x)),
    ];
    let every = if cfg!(miri) { 5 } else { 1 };
    all.into_iter().step_by(every).map(|(name, a)| (name, a.mapv(T::from_f64))).collect()
}

pub fn wide<T: Scalar>(a: ArrayView2<T>) -> Array2<f64> {
    a.mapv(T::to_f64)
}

/// `10·n·u` with u the unit roundoff, half of EPS. One column takes about six roundings by itself, all the
/// same way if its entries repeat, so it is allowed as much as two.
pub fn bound<T: Scalar>(n: usize) -> f64 {
    10.0 * n.max(2) as f64 * T::EPS.to_f64() / 2.0
}

pub fn max_abs(a: &Array2<f64>) -> f64 {
    a.iter().fold(0.0, |max, x| if x.is_nan() { f64::NAN } else { f64::max(max, x.abs()) })
}

/// `QᵀQ`, summed in halves, lest the check itself round more than what it checks.
fn gram<T: Scalar>(q: ArrayView2<T>) -> Array2<f64> {
    if q.nrows() <= 64 {
        let q = wide(q);
        return q.t().dot(&q);
    }
    let (top, bottom) = q.split_at(Axis(0), q.nrows() / 2);
    gram(top) + gram(bottom)
}

/// `‖QᵀQ − I‖_max ≤ 10·n·u`.
pub fn assert_orthonormal<T: Scalar>(q: ArrayView2<T>, n: usize, what: &str) {
    let gram = gram(q) - Array2::<f64>::eye(q.ncols());
    let error = max_abs(&gram);
    assert!(error <= bound::<T>(n), "{what}: QᵀQ − I = {error:e} > {:e}", bound::<T>(n));
}

/// `‖a_j − Q·r_j‖ ≤ 10·n·u·‖a_j‖` for every column, apart from what rounding to subnormal numbers costs.
pub fn assert_columns_match<T: Scalar>(a: ArrayView2<T>, q: ArrayView2<T>, r: ArrayView2<T>, what: &str) {
    let n = a.ncols();
    let q = wide(q);
    let smallest = T::MIN_POSITIVE.to_f64() * T::EPS.to_f64();
    for (j, (a, r)) in a.columns().into_iter().zip(r.columns()).enumerate() {
        let shift = -a.iter().fold(0.0f64, |max, x| max.max(x.to_f64().abs())).exponent();
        let (a, r): (Array1<f64>, Array1<f64>) =
            (a.mapv(|x| x.to_f64().times_pow2(shift)), r.mapv(|x| x.to_f64().times_pow2(shift)));
        let norm = a.dot(&a).sqrt();
        let rest = &a - &q.dot(&r);
        let error = rest.dot(&rest).sqrt();
        let limit = bound::<T>(n) * norm + (r.len() as f64).sqrt() * smallest.times_pow2(shift);
        assert!(error <= limit, "{what}: column {j}: {error:e} > {limit:e}");
    }
}

pub fn assert_upper<T: Scalar>(r: ArrayView2<T>, what: &str) {
    assert!(r.indexed_iter().all(|((i, j), x)| i <= j || *x == T::ZERO), "{what}: R is not upper triangular");
}

/// A view of the same matrix in another layout: a column-major copy and one with holes.
pub fn layouts<T: Scalar>(a: &Array2<T>) -> [Array2<T>; 2] {
    let turned = a.t().as_standard_layout().into_owned().reversed_axes();
    let holes = concatenate![Axis(1), a.view(), a.view()];
    [turned, holes]
}
