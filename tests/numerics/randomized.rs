//! The randomized SVD.

use crate::bounds::{Report, grain, moderate};
use crate::orthogonal::session;
use crate::reference::{column_signs, scaled_product, singular_values};
use crate::spectra::{self, Case, Type};
use crate::support::matrix::Matrix;
use dolmen::session::{RsvdOptions, Svd};

/// Shape, block lengths and ranks.
type Shape = ((usize, usize), &'static [u64], &'static [u64]);

const SHAPES: [Shape; 8] = [
    ((1, 1), &[64], &[1]),
    ((1, 9), &[4], &[1]),
    ((9, 1), &[4], &[1]),
    ((12, 12), &[5, 64], &[1, 12]),
    ((211, 30), &[17, 70, 500], &[1, 5, 8, 30]),
    ((30, 211), &[17, 70], &[5, 8]),
    ((120, 90), &[64, 119], &[3, 10]),
    ((90, 120), &[64], &[10]),
];

/// As in NUMERICS' table, where two things cannot be had literally. An error below `1.5·σₖ₊₁` or 1 % of a σᵢ is
/// impossible where these are below the rounding errors of the result, so no less than `100·n·eps·σ₁` is asked, which
/// the table allows where σₖ₊₁ = 0; for σᵢ it is `10·n·eps·σ₁`, as for the SVD.
pub fn check_rsvd<T: Type>(
    a: &Matrix,
    svd: Svd<T>,
    sigma: &[f64],
    power_iters: u32,
    what: &str,
    report: &mut Report,
) {
    let s: Vec<f64> = svd.s.iter().map(|s| s.to_f64()).collect();
    let (u, vt) = (T::wide(svd.u), T::wide(svd.vt));
    let (n, k) = (sigma.len(), s.len());
    let shapes = ((u.rows, u.cols), (vt.rows, vt.cols)) == ((a.rows, k), (k, a.cols));
    report.holds("shapes of U, S and Vᵀ", shapes, what);
    report.orthonormal::<T>("‖UᵀU − I‖_max", &u, n, what);
    report.orthonormal::<T>("‖VᵀV − I‖_max", &vt.t(), n, what);
    report.holds("the sign rule", column_signs(&u, &vt), what);
    let order = s.iter().all(|s| *s >= 0.0) && s.is_sorted_by(|a, b| a >= b);
    report.holds("singular values are descending and ≥ 0", order, what);
    let (scale, a) = moderate(a);
    let sigma: Vec<f64> = sigma.iter().map(|s| s / scale).collect();
    let grain = grain::<T>(a.rows, a.cols, scale);
    let next = sigma.get(k).copied().unwrap_or(0.0);
    let rounding = n as f64 * T::UNIT * sigma[0];
    let low_rank = next <= rounding;
    if power_iters < 2 && !low_rank {
        return;
    }
    let allowed = (1.5 * next).max(100.0 * rounding) + grain;
    let bound =
        if low_rank { "‖A − USVᵀ‖, rank(A) ≤ k" } else { "‖A − USVᵀ‖, σₖ₊₁ > 0" };
    report.norm_at_most(bound, &a.minus(&scaled_product(&u, &s, &vt, scale)), allowed, what);
    for (found, expected) in s.iter().zip(&sigma).filter(|(_, expected)| **expected > 2.0 * next) {
        let allowed = (0.01 * expected).max(if low_rank { 100.0 } else { 10.0 } * rounding) + grain;
        report.at_most("|σᵢ − σᵢ(ref)|", (found / scale - expected).abs(), allowed, what);
    }
}

fn rsvd<T: Type>() {
    let mut report = Report::default();
    for ((m, n), blocks, ranks) in SHAPES {
        let cases = spectra::all::<T>(m, n);
        let sigmas: Vec<Vec<f64>> = cases.iter().map(|case| singular_values(&case.a)).collect();
        for block in blocks {
            let session = session(*block, 2);
            for (Case { name, a, .. }, sigma) in cases.iter().zip(&sigmas) {
                let x = session.from_array(spectra::array::<T>(a));
                for rank in ranks {
                    for power_iters in [0, 2] {
                        let seed = spectra::seed();
                        let options = RsvdOptions { power_iters, seed, ..RsvdOptions::new(*rank) };
                        let what = format!(
                            "{name}, {m}×{n} by {block}, rank {rank}, {power_iters} iterations, {}",
                            T::NAME
                        );
                        let found = session.rsvd::<T>(&x, options).expect(&what);
                        check_rsvd(a, found, sigma, power_iters, &what, &mut report);
                    }
                }
            }
        }
    }
    report.finish();
}

#[test]
fn rsvd_f64() {
    rsvd::<f64>();
}

#[test]
fn rsvd_f32() {
    rsvd::<f32>();
}

/// A matrix with a spectrum of separated values, whose singular vectors have one entry that is clearly the largest.
fn separated(m: usize, n: usize) -> Matrix {
    Matrix::from_fn(m, n, |i, j| {
        let diagonal =
            if i == j && i < 4 { 2_f64.powi(-(i as i32)) * if i % 2 == 0 { -1.0 } else { 1.0 } } else { 0.0 };
        diagonal + 1e-3 * ((i * 7 + j * 3) % 5) as f64 / 5.0
    })
}

/// Singular vectors whose entries are all of one magnitude: rounding must not decide which is the largest.
fn level() -> Matrix {
    let hadamard = |i: usize, j: usize| if (i & j).count_ones().is_multiple_of(2) { 0.5 } else { -0.5 };
    let s = [8.0, 4.0, 2.0, 1.0];
    Matrix::from_fn(16, 4, |i, j| (0..4).map(|k| hadamard(i, k) * 0.5 * s[k] * hadamard(k, j)).sum())
}

/// Signs are those of the matrix, not of the sketch: equal for all seeds, and to the SVD's.
#[test]
fn seeds_agree_in_their_signs() {
    let all = [separated(60, 20), separated(20, 60), separated(20, 20), level(), level().t()];
    for a in all {
        let (m, n) = (a.rows, a.cols);
        let session = session(16, 2);
        let x = session.from_array(spectra::array::<f64>(&a));
        let exact = session.svd::<f64>(&x).unwrap();
        for seed in 0..8 {
            let options = RsvdOptions { seed, ..RsvdOptions::new(3) };
            let found = session.rsvd::<f64>(&x, options).unwrap();
            for at in 0..3 {
                let same = found.u.column(at).dot(&exact.u.column(at));
                assert!(same > 0.99, "{m}×{n}, seed {seed}: U{at} points {same}");
                let same = found.vt.row(at).dot(&exact.vt.row(at));
                assert!(same > 0.99, "{m}×{n}, seed {seed}: V{at} points {same}");
            }
        }
    }
}
