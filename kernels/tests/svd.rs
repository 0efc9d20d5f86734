//! The small SVD against the bounds, over matrices, shapes, types and backends.

mod common;

use common::*;
use kernels::svd::SvdError;
use kernels::{Backend, NoConvergence, Scalar, svd};
use ndarray::{Array2, ArrayView2, Axis, array};

type Svd<T> = (Array2<T>, Vec<T>, Array2<T>);

fn small<B: Backend, T: Scalar>(a: ArrayView2<T>) -> Result<Svd<T>, SvdError> {
    let (r, c) = a.dim();
    let nan = T::from_f64(f64::NAN);
    let k = r.min(c);
    let mut u = Array2::zeros((r, k));
    let mut s = vec![nan; k];
    let mut vt = Array2::zeros((k, c));
    let mut work = vec![nan; svd::small_workspace::<B, T>(r, c)];
    svd::small::<B, T>(a, u.view_mut(), &mut s, vt.view_mut(), &mut work)?;
    Ok((u, s, vt))
}

fn values<B: Backend, T: Scalar>(a: ArrayView2<T>) -> Result<Vec<T>, SvdError> {
    let (r, c) = a.dim();
    let mut s = vec![T::ZERO; r.min(c)];
    svd::values::<B, T>(a, &mut s, &mut vec![T::ZERO; svd::values_workspace::<B, T>(r, c)])?;
    Ok(s)
}

fn assert_svd<T: Scalar>(a: ArrayView2<T>, (u, s, vt): &Svd<T>, what: &str) {
    let n = a.nrows().max(a.ncols());
    assert!(s.is_sorted_by(|x, y| x >= y) && s.iter().all(|x| *x >= T::ZERO), "{what}: {s:?}");
    assert_orthonormal(u.view(), n, what);
    assert_orthonormal(vt.t(), n, what);
    for row in vt.rows() {
        let largest = kernels::reduce::max_abs(row.insert_axis(Axis(0)));
        // Of several that are equal but for rounding, which are not told apart here, one is positive.
        let least = largest * (T::ONE - T::from_f64(4.0) * T::EPS.sqrt());
        assert!(row.iter().any(|x| *x >= least), "{what}: the sign rule");
    }
    let e = -kernels::reduce::max_abs(a).to_f64().exponent();
    let shift = |x: f64| x.times_pow2(e);
    let us = Array2::from_shape_fn(u.dim(), |(i, j)| u[(i, j)].to_f64() * shift(s[j].to_f64()));
    let rest = wide(a).mapv(shift) - us.dot(&wide(vt.view()));
    let smallest = shift(T::MIN_POSITIVE.to_f64() * T::EPS.to_f64());
    let limit = bound::<T>(n) * s.first().map_or(0.0, |s| shift(s.to_f64())) + n as f64 * smallest;
    let error = rest.mapv(|x| x * x).sum().sqrt();
    assert!(error <= limit, "{what}: {error:e} > {limit:e}");
}

fn bounds<B: Backend, T: Scalar>() {
    let seed = seed();
    let shapes = [(1, 1), (1, 9), (9, 1), (2, 2), (13, 13), (40, 15), (15, 40), (100, 100), (260, 20)];
    for (r, c) in shapes.into_iter().filter(|(r, c)| tried(r * c)) {
        for (name, a) in zoo::<T>(r, c, seed) {
            let what = format!("{} {} {r}×{c} {name}", B::NAME, T::NAME);
            let svd = small::<B, T>(a.view()).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_svd(a.view(), &svd, &what);
            let s = values::<B, T>(a.view()).expect("finite");
            let s1 = svd.1[0].to_f64();
            let limit = bound::<T>(r.max(c)) * s1 + T::MIN_POSITIVE.to_f64() * T::EPS.to_f64();
            assert!(
                s.iter().zip(&svd.1).all(|(x, y)| (x.to_f64() - y.to_f64()).abs() <= limit),
                "{what}: values"
            );
            let turned = small::<B, T>(a.t()).expect("finite");
            assert_svd(a.t(), &turned, &format!("{what} transposed"));
        }
    }
}

fn known_values<B: Backend, T: Scalar>() {
    let n = if cfg!(miri) { 9 } else { 30 };
    type Spectrum = fn(usize) -> f64;
    let spectra: [Spectrum; 3] =
        [|i| 10f64.powi(-(i as i32)), |i| 1.0 / ((i + 1) as f64).sqrt(), |i| if i < 7 { 1.0 } else { 0.0 }];
    for sigma in spectra {
        let a = with_spectrum(50, n, seed(), sigma).mapv(T::from_f64);
        let s = values::<B, T>(a.view()).expect("finite");
        for (i, s) in s.iter().enumerate() {
            assert!((s.to_f64() - sigma(i)).abs() <= bound::<T>(n), "{} {}: σ{i} = {s}", B::NAME, T::NAME);
        }
    }
}

fn bad_input<B: Backend, T: Scalar>() {
    for bad in [T::INFINITY, T::from_f64(f64::NAN)] {
        let mut a = Array2::<T>::eye(4);
        a[(2, 1)] = bad;
        assert_eq!(small::<B, T>(a.view()).err(), Some(NoConvergence.into()));
        assert_eq!(values::<B, T>(a.view()).err(), Some(NoConvergence.into()));
    }
    for (r, c) in [(0, 0), (0, 5), (5, 0)] {
        let (u, s, vt) = small::<B, T>(Array2::zeros((r, c)).view()).expect("nothing to iterate on");
        assert_eq!((u.dim(), s.len(), vt.dim()), ((r, 0), 0, (0, c)));
    }
}

/// Of equal entries, so that σ₁ is n times as large as they are: just below the largest number, and just above.
fn largest_value<B: Backend, T: Scalar>() {
    let n = 12;
    let largest = T::from_f64(if T::NAME == "f32" { f64::from(f32::MAX) } else { f64::MAX });
    let near = |share: f64| Array2::from_elem((n, n), T::from_f64(largest.to_f64() / n as f64 * share));
    let below = near(0.99);
    let (_, s, _) = small::<B, T>(below.view()).expect("within the type");
    assert!(s[0].is_finite() && s[0] > largest * T::from_f64(0.98), "{} {}: {s:?}", B::NAME, T::NAME);
    assert_eq!(values::<B, T>(below.view()).map(|s| s[0].is_finite()), Ok(true));
    let above = near(1.01);
    assert_eq!(small::<B, T>(above.view()).err(), Some(SvdError::Overflow), "{} {}", B::NAME, T::NAME);
    assert_eq!(values::<B, T>(above.view()).err(), Some(SvdError::Overflow), "{} {}", B::NAME, T::NAME);
}

fn signs<T: Scalar>() {
    let r = array![[-1.0, 2.0, -3.0], [0.0, 0.0, 5.0], [0.0, 0.0, -4.0]].mapv(T::from_f64);
    let (mut fixed, mut signs) = (r.clone(), vec![T::ZERO; 3]);
    svd::fix_diagonal(fixed.view_mut(), &mut signs);
    assert_eq!(signs, [-T::ONE, T::ONE, -T::ONE]);
    assert_eq!(fixed, array![[1.0, -2.0, 3.0], [0.0, 0.0, 5.0], [0.0, 0.0, 4.0]].mapv(T::from_f64));
}

for_all!(bounds, known_values, bad_input, largest_value);

#[test]
fn signs_of_a_triangle() {
    signs::<f64>();
    signs::<f32>();
}
