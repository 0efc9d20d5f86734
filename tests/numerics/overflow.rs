//! Matrices of finite numbers whose singular values end just below or just above the largest number.

use crate::bounds::Report;
use crate::orthogonal::{check_svd, check_values, session};
use crate::randomized::check_rsvd;
use crate::reference::singular_values;
use crate::spectra::{self, Type};
use crate::support::matrix::Matrix;
use dolmen::session::{Error, RsvdOptions};

/// Shapes and block lengths; one block, several, and a fat matrix.
const SHAPES: [((usize, usize), u64); 4] = [((12, 12), 64), ((60, 7), 16), ((7, 60), 16), ((40, 25), 8)];

/// Equal entries but for the signs of some rows: σ₁ is `share` of the largest number, and no column is as long.
fn near_the_end<T: Type>(m: usize, n: usize, share: f64) -> Matrix {
    let entry = T::LARGEST / ((m * n) as f64).sqrt() * share;
    spectra::rounded::<T>(&Matrix::from_fn(m, n, |i, _| if i % 3 == 1 { -entry } else { entry }))
}

/// Entries below the end whose columns are too long for the type.
fn long_columns<T: Type>(m: usize, n: usize) -> Matrix {
    spectra::rounded::<T>(&Matrix::from_fn(m, n, |_, _| T::LARGEST * 0.9))
}

fn right_below_the_end<T: Type>() {
    let mut report = Report::default();
    for ((m, n), block) in SHAPES {
        let a = near_the_end::<T>(m, n, 0.99);
        let what = format!("{m}×{n} by {block}, {}", T::NAME);
        let sigma = singular_values(&a);
        let session = session(block, 2);
        let x = session.from_array(spectra::array::<T>(&a));
        check_svd(&a, session.svd::<T>(&x).expect(&what), &sigma, &what, &mut report);
        let values = session.singular_values::<T>(&x).expect(&what);
        let values: Vec<f64> = values.iter().map(|s| s.to_f64()).collect();
        check_values::<T>(&a, &values, &sigma, &what, &mut report);
        for power_iters in [0, 2] {
            let options = RsvdOptions { power_iters, ..RsvdOptions::new(3) };
            let found = session.rsvd::<T>(&x, options).expect(&what);
            check_rsvd(&a, found, &sigma, power_iters, &what, &mut report);
        }
    }
    report.finish();
}

fn refused_above_the_end<T: Type>() {
    for ((m, n), block) in SHAPES {
        let session = session(block, 2);
        for a in [near_the_end::<T>(m, n, 1.01), long_columns::<T>(m, n)] {
            let x = session.from_array(spectra::array::<T>(&a));
            let options = RsvdOptions::new(3);
            let once = RsvdOptions { power_iters: 0, ..options };
            let errors = [
                session.svd::<T>(&x).err(),
                session.singular_values::<T>(&x).err(),
                session.rsvd::<T>(&x, options).err(),
                session.rsvd::<T>(&x, once).err(),
            ];
            for error in errors {
                assert!(
                    matches!(&error, Some(Error::Overflow(why)) if why.contains("too large for the element type")),
                    "{m}×{n} by {block}, {}: {error:?}",
                    T::NAME
                );
            }
        }
    }
}

/// R has the lengths of columns only: finite where they are, refused where they are not.
fn triangles_at_the_end<T: Type>() {
    for ((m, n), block) in SHAPES {
        let session = session(block, 2);
        let x = session.from_array(spectra::array::<T>(&near_the_end::<T>(m, n, 1.01)));
        let qr = session.qr::<T>(&x).expect("columns within the type");
        assert!(qr.q.iter().chain(&qr.r).all(|x| x.to_f64().is_finite()), "{m}×{n} by {block}, {}", T::NAME);
        let x = session.from_array(spectra::array::<T>(&long_columns::<T>(m, n)));
        assert!(matches!(session.qr::<T>(&x), Err(Error::Overflow(_))), "{m}×{n} by {block}, {}", T::NAME);
    }
}

#[test]
fn results_below_the_end_are_right() {
    right_below_the_end::<f64>();
    right_below_the_end::<f32>();
}

#[test]
fn results_above_the_end_are_errors() {
    refused_above_the_end::<f64>();
    refused_above_the_end::<f32>();
}

#[test]
fn triangles_are_finite_or_errors() {
    triangles_at_the_end::<f64>();
    triangles_at_the_end::<f32>();
}
