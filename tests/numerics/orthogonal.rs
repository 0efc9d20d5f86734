//! QR and SVD.

use crate::bounds::{Report, grain, moderate};
use crate::reference::{column_signs, scaled_product, singular_values};
use crate::spectra::{self, Type};
use crate::support::matrix::Matrix;
use dolmen::array::BlockSize;
use dolmen::session::{Qr, Session, Svd};

/// Shapes, each with its block lengths: larger than the matrix, a last block of one row, blocks shorter than n.
const SHAPES: [((usize, usize), &[u64]); 11] = [
    ((1, 1), &[1, 64]),
    ((1, 9), &[1, 64]),
    ((9, 1), &[4, 64]),
    ((2, 2), &[1, 2]),
    ((12, 12), &[5, 11, 64]),
    ((9, 40), &[4, 13, 64]),
    ((65, 16), &[8, 64, 100]),
    ((16, 65), &[8, 64]),
    ((211, 30), &[17, 64, 70, 211]),
    ((30, 211), &[17, 70]),
    ((60, 60), &[20, 64]),
];

pub fn session(block: u64, threads: usize) -> Session {
    let builder = Session::builder().threads(threads).memory(1 << 30);
    builder.block(BlockSize::Square(block)).build().expect("a session")
}

/// Runs a check over all spectra and shapes.
fn everywhere<T: Type>(check: impl Fn(&Session, &Matrix, &str, &mut Report)) {
    let mut report = Report::default();
    for ((m, n), blocks) in SHAPES {
        let cases = spectra::all::<T>(m, n);
        for block in blocks {
            let session = session(*block, 2);
            for case in &cases {
                let what = format!("{}, {m}×{n} by {block}, {}", case.name, T::NAME);
                check(&session, &case.a, &what, &mut report);
            }
        }
    }
    report.finish();
}

pub fn check_qr<T: Type>(a: &Matrix, qr: Qr<T>, what: &str, report: &mut Report) {
    let (q, r) = (T::wide(qr.q), T::wide(qr.r));
    let k = a.rows.min(a.cols);
    let shapes = ((q.rows, q.cols), (r.rows, r.cols)) == ((a.rows, k), (k, a.cols));
    report.holds("shapes of Q and R", shapes, what);
    report.orthonormal::<T>("‖QᵀQ − I‖_max", &q, k, what);
    let triangular = (0..k).all(|i| (0..i).all(|j| r.at(i, j) == 0.0));
    report.holds("R is upper triangular", triangular, what);
    let signs = (0..k).all(|i| r.at(i, i) >= 0.0);
    report.holds("the diagonal of R is ≥ 0", signs, what);
    let (scale, a) = moderate(a);
    let allowed = 10.0 * k as f64 * T::UNIT * a.norm() + grain::<T>(a.rows, a.cols, scale);
    report.norm_at_most("‖A − QR‖", &a.minus(&q.times(&r.map(|x| x / scale))), allowed, what);
}

pub fn check_svd<T: Type>(a: &Matrix, svd: Svd<T>, sigma: &[f64], what: &str, report: &mut Report) {
    let s: Vec<f64> = svd.s.iter().map(|s| s.to_f64()).collect();
    let (u, vt) = (T::wide(svd.u), T::wide(svd.vt));
    let k = a.rows.min(a.cols);
    let shapes = ((u.rows, u.cols), s.len(), (vt.rows, vt.cols)) == ((a.rows, k), k, (k, a.cols));
    report.holds("shapes of U, S and Vᵀ", shapes, what);
    report.orthonormal::<T>("‖UᵀU − I‖_max", &u, k, what);
    report.orthonormal::<T>("‖VᵀV − I‖_max", &vt.t(), k, what);
    report.holds("the sign rule", column_signs(&u, &vt), what);
    check_values::<T>(a, &s, sigma, what, report);
    let (scale, a) = moderate(a);
    let allowed = 10.0 * k as f64 * T::UNIT * sigma[0] / scale + grain::<T>(a.rows, a.cols, scale);
    let rest = a.minus(&scaled_product(&u, &s, &vt, scale));
    report.norm_at_most("‖A − USVᵀ‖", &rest, allowed, what);
}

pub fn check_values<T: Type>(a: &Matrix, s: &[f64], sigma: &[f64], what: &str, report: &mut Report) {
    let order = s.iter().all(|s| *s >= 0.0) && s.is_sorted_by(|a, b| a >= b);
    report.holds("singular values are descending and ≥ 0", order, what);
    let (scale, _) = moderate(a);
    let bound = 10.0 * sigma.len() as f64 * T::UNIT * (sigma[0] / scale);
    let allowed = bound + grain::<T>(a.rows, a.cols, scale);
    for (found, expected) in s.iter().zip(sigma) {
        report.at_most("|σᵢ − σᵢ(ref)|", (found / scale - expected / scale).abs(), allowed, what);
    }
}

fn qr<T: Type>() {
    everywhere::<T>(|session, a, what, report| {
        let x = session.from_array(spectra::array::<T>(a));
        check_qr(a, session.qr::<T>(&x).expect(what), what, report);
    });
}

fn svd<T: Type>() {
    everywhere::<T>(|session, a, what, report| {
        let x = session.from_array(spectra::array::<T>(a));
        let sigma = singular_values(a);
        let svd = session.svd::<T>(&x).expect(what);
        check_svd(a, svd, &sigma, what, report);
        let values = session.singular_values::<T>(&x).expect(what);
        let values: Vec<f64> = values.iter().map(|s| s.to_f64()).collect();
        check_values::<T>(a, &values, &sigma, what, report);
    });
}

#[test]
fn qr_f64() {
    qr::<f64>();
}

#[test]
fn qr_f32() {
    qr::<f32>();
}

#[test]
fn svd_f64() {
    svd::<f64>();
}

#[test]
fn svd_f32() {
    svd::<f32>();
}

/// Many rows and few columns: errors must not grow with the rows.
fn long_columns<T: Type>() {
    let mut report = Report::default();
    for (m, n) in [(30_001, 1), (30_001, 2), (20_000, 5)] {
        for block in [1000, 30_000, 100_000] {
            let session = session(block, 2);
            for name in
                ["gaussian", "equal columns", "10^-i", "repeated columns", "near overflow", "subnormal"]
            {
                let case = spectra::all::<T>(m, n).into_iter().find(|case| case.name == name);
                let a = case.expect("a case of this name").a;
                let what = format!("{name}, {m}×{n} by {block}, {}", T::NAME);
                let x = session.from_array(spectra::array::<T>(&a));
                check_qr(&a, session.qr::<T>(&x).expect(&what), &what, &mut report);
                check_svd(&a, session.svd::<T>(&x).expect(&what), &singular_values(&a), &what, &mut report);
            }
        }
    }
    report.finish();
}

#[test]
fn long_columns_f64() {
    long_columns::<f64>();
}

#[test]
fn long_columns_f32() {
    long_columns::<f32>();
}
