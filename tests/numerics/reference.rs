//! What results are compared with, itself tested on closed forms.

use crate::bounds::moderate;
use crate::spectra;
use crate::support::matrix::Matrix;

/// Descending, by one-sided Jacobi with compensated dot products.
pub fn singular_values(a: &Matrix) -> Vec<f64> {
    let (scale, a) = moderate(a);
    a.singular_values().into_iter().map(|s| s * scale).collect()
}

/// `U·diag(s/scale)·Vᵀ`.
pub fn scaled_product(u: &Matrix, s: &[f64], vt: &Matrix, scale: f64) -> Matrix {
    Matrix::from_fn(u.rows, u.cols, |i, j| u.at(i, j) * (s[j] / scale)).times(vt)
}

/// The stated rule: in each singular vector of the shorter side the entry of largest magnitude is positive, the first
/// of those that are equal but for rounding. They are not told apart here: one of them has to be positive.
pub fn column_signs(u: &Matrix, vt: &Matrix) -> bool {
    let vectors = if u.rows < vt.cols { u.t() } else { vt.clone() };
    (0..vectors.rows).all(|i| {
        let largest = vectors.row(i).iter().fold(0.0_f64, |best, x| best.max(x.abs()));
        vectors.row(i).iter().any(|x| *x > 0.0 && *x >= largest * (1.0 - 1e-3))
    })
}

#[test]
fn the_reference_knows_closed_forms() {
    let close = |a: &Matrix, expected: &[f64]| {
        for (found, expected) in singular_values(a).iter().zip(expected) {
            let off = (found - expected).abs();
            assert!(off <= 16.0 * f64::EPSILON * expected, "{found:e}, not {expected:e}");
        }
    };
    close(&Matrix::from_fn(20, 9, |_, _| 2.0), &[2.0 * 180_f64.sqrt()]);
    close(&Matrix::from_fn(2, 2, |i, j| [[3.0, 0.0], [4.0, 5.0]][i][j]), &[45_f64.sqrt(), 5_f64.sqrt()]);
    close(&Matrix::from_fn(7, 3, |i, j| if i == j + 2 { -(j as f64) - 1.0 } else { 0.0 }), &[3.0, 2.0, 1.0]);
    // The second difference matrix: 2 − 2cos(πk/(n+1)).
    let n = 12;
    let expected: Vec<f64> = (1..=n)
        .rev()
        .map(|k| 4.0 * (std::f64::consts::PI * k as f64 / (2.0 * (n + 1) as f64)).sin().powi(2))
        .collect();
    close(
        &Matrix::from_fn(n, n, |i, j| match i.abs_diff(j) {
            0 => 2.0,
            1 => -1.0,
            _ => 0.0,
        }),
        &expected,
    );
    let vandermonde = spectra::all::<f64>(211, 30).remove(1);
    let sigma = singular_values(&vandermonde.a);
    let condition = sigma[0] / sigma[29];
    assert!((1e10..1e12).contains(&condition), "{}: cond {condition:e}", vandermonde.name);
}
