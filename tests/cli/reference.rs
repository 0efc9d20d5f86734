//! The measuring tape is measured first.

use crate::support::matrix::{EPS64, Matrix, dot};
use crate::support::npy::{self, Kind};
use tempfile::tempdir_in;

#[test]
fn npy_files_come_back_as_they_went() {
    let folder = tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("a.npy");
    let a = Matrix::from_fn(3, 5, |i, j| (i * 5 + j) as f64 - 7.5);
    for kind in [Kind::F64, Kind::F32] {
        for fortran in [false, true] {
            std::fs::write(&path, npy::encode(&a, kind, fortran)).unwrap();
            let read = npy::read(&path);
            assert_eq!((read.kind, read.shape.as_slice(), &read.values), (kind, [3, 5].as_slice(), &a));
        }
    }
}

#[test]
fn dot_products_are_exact_where_plain_ones_cancel() {
    assert_eq!(dot(&[1e17, 1.0, -1e17], &[1.0, 1.0, 1.0]), 1.0);
    let third = 1.0 / 3.0;
    assert_eq!(dot(&[third, -third], &[third, third]), 0.0);
}

#[test]
fn known_singular_values_are_found() {
    let a = Matrix::with_spectrum(60, 20, |i| 10f64.powi(-(i as i32)), 3);
    for (i, sigma) in a.singular_values().into_iter().enumerate() {
        assert!((sigma - 10f64.powi(-(i as i32))).abs() <= 40.0 * EPS64, "{i}: {sigma}");
    }
    let hilbert = Matrix::from_fn(6, 6, |i, j| 1.0 / (i + j + 1) as f64);
    let sigma = hilbert.singular_values();
    assert!(
        (sigma[0] - 1.618_899_858_924_338_8).abs() < 1e-14
            && (sigma[5] / 1.082_799_484_5e-7 - 1.0).abs() < 1e-8
    );
    for scale in [1e300, 1e-300] {
        let scaled = hilbert.map(|x| x * scale).norm() / scale;
        assert!((scaled - sigma[0]).abs() < 1e-14, "{scaled}");
    }
    assert_eq!(Matrix::zeros(4, 3).singular_values(), [0.0; 3]);
    assert!(Matrix::orthonormal(50, 50, 1).orthogonality_error() < 50.0 * EPS64);
}
