//! The spectra of NUMERICS, as matrices whose elements are exact numbers of the element type.

use crate::support::matrix::Matrix;
use dolmen::session::{Matrix as Result, Real};
use ndarray::Array2;

/// An element type and what tests must know about it.
pub trait Type: Real {
    /// Unit roundoff.
    const UNIT: f64;
    /// The smallest positive number: what is below half of it vanishes.
    const TINY: f64;
    const LARGEST: f64;
    /// Size of subnormal test matrices.
    const SUBNORMAL: f64;
    /// Scaled columns go from 10^-DECADES to 10^DECADES; beyond 150 (f32: 18) their squares overflow.
    const DECADES: f64;
    /// The noise behind a step.
    const NOISE: f64;

    fn wide(result: Array2<Self>) -> Matrix;
}

macro_rules! element_type {
    ($t:ident, $variant:ident, $tiny:expr, $subnormal:expr, $decades:expr, $noise:expr) => {
        impl Type for $t {
            const UNIT: f64 = $t::EPSILON as f64 / 2.0;
            const TINY: f64 = $tiny;
            const LARGEST: f64 = $t::MAX as f64;
            const SUBNORMAL: f64 = $subnormal;
            const DECADES: f64 = $decades;
            const NOISE: f64 = $noise;

            fn wide(result: Array2<$t>) -> Matrix {
                matrix(&Result::$variant(result).to_f64())
            }
        }
    };
}

element_type!(f32, F32, 1.401298464324817e-45, 1e-42, 18.0, 1e-4);
element_type!(f64, F64, 5e-324, 1e-310, 150.0, 1e-9);

/// The seed of all random matrices.
pub fn seed() -> u64 {
    std::env::var("DOLMEN_SEED").map_or(1, |text| text.parse().expect("DOLMEN_SEED is a number"))
}

pub fn matrix(a: &Array2<f64>) -> Matrix {
    Matrix { rows: a.nrows(), cols: a.ncols(), data: a.iter().copied().collect() }
}

/// The elements, rounded to T.
pub fn array<T: Type>(a: &Matrix) -> Array2<T> {
    Array2::from_shape_fn((a.rows, a.cols), |(i, j)| T::from_f64(a.at(i, j)))
}

pub fn rounded<T: Type>(a: &Matrix) -> Matrix {
    a.map(|x| T::from_f64(x).to_f64())
}

/// A matrix and whether products of two like it stay in range.
pub struct Case {
    pub name: &'static str,
    pub a: Matrix,
    pub moderate: bool,
}

/// The whole list, m×n.
pub fn all<T: Type>(m: usize, n: usize) -> Vec<Case> {
    let seed = seed();
    let g = Matrix::gaussian(m, n, seed);
    let k = m.min(n);
    let at = |i: usize, of: usize| 2.0 * i as f64 / (of.max(2) - 1) as f64 - 1.0;
    let spectrum = |number: u64, sigma: &dyn Fn(usize) -> f64| {
        Matrix::with_spectrum(m, n, sigma, seed.wrapping_mul(1000) + number)
    };
    let (sin, cos) = 1.2_f64.sin_cos();
    let kahan = |i: usize, j: usize| match i.cmp(&j) {
        std::cmp::Ordering::Equal => sin.powi(i as i32),
        std::cmp::Ordering::Less => -cos * sin.powi(i as i32),
        std::cmp::Ordering::Greater => 0.0,
    };
    let norm = g.data.iter().map(|x| x * x).sum::<f64>().sqrt();
    let column = |i: usize, j: usize| g.at(i, j) * 10_f64.powf(T::DECADES * at(j, n));
    let moderate = [
        ("gaussian", g.clone()),
        ("vandermonde", Matrix::from_fn(m, n, |i, j| at(i, m).powi(j as i32))),
        ("hilbert", Matrix::from_fn(m, n, |i, j| 1.0 / (i + j + 1) as f64)),
        ("kahan", Matrix::from_fn(m, n, kahan)),
        ("10^-i", spectrum(1, &|i| 10_f64.powi(-(i as i32)))),
        ("i^-1/2", spectrum(2, &|i| 1.0 / (i as f64 + 1.0).sqrt())),
        ("step", spectrum(3, &|i| if i < k.min(5) { 1.0 } else { T::NOISE })),
        ("rank", low_rank(m, n, 5, seed)),
        ("zero", Matrix::zeros(m, n)),
        ("one nonzero", Matrix::from_fn(m, n, |i, j| if (i, j) == (m / 2, n / 2) { -3.0 } else { 0.0 })),
        ("repeated columns", Matrix::from_fn(m, n, |i, j| g.at(i, j % 4))),
        ("equal columns", Matrix::from_fn(m, n, |_, _| 0.1)),
        ("zero columns", Matrix::from_fn(m, n, |i, j| if j % 3 == 0 { 0.0 } else { g.at(i, j) })),
    ];
    let extreme = [
        ("scaled columns", Matrix::from_fn(m, n, column)),
        ("near overflow", g.map(|x| x / norm * (0.9 * T::LARGEST))),
        ("subnormal", g.map(|x| x * T::SUBNORMAL)),
    ];
    let case = |moderate| move |(name, a): (_, Matrix)| Case { name, a: rounded::<T>(&a), moderate };
    moderate.into_iter().map(case(true)).chain(extreme.into_iter().map(case(false))).collect()
}

/// Of rank `r` exactly: a product of small integers.
pub fn low_rank(m: usize, n: usize, r: usize, seed: u64) -> Matrix {
    let whole = |a: Matrix| a.map(|x| (2.0 * x).round().clamp(-7.0, 7.0));
    whole(Matrix::gaussian(m, r, seed + 7)).times(&whole(Matrix::gaussian(r, n, seed + 8)))
}
