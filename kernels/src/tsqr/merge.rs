//! QR of two triangles, one on top of the other.

use super::panel;
use crate::scaling::ColumnShifts;
use crate::{Backend, Scalar, transpose, workspace};
use ndarray::{ArrayView2, ArrayViewMut2, s};

/// Whether the top is a full triangle, so that the reflectors of the bottom rows suffice.
fn stacked(r1: usize, n: usize) -> bool {
    r1 == n
}

/// Rows of the stored reflectors.
fn reflector_rows(r1: usize, r2: usize, n: usize) -> usize {
    if stacked(r1, n) { r2 } else { r1 + r2 }
}

/// Elements of the factor that [`merge`] leaves for r1×n on top of r2×n: R, T and the reflectors.
pub fn factor_len(r1: usize, r2: usize, n: usize) -> usize {
    let k = n.min(r1 + r2);
    k * n + k * k + reflector_rows(r1, r2, n) * n
}

/// R (k×n), T (k×k) and reflectors of a factor, all column-major.
fn parts<T>(factor: &mut [T], r1: usize, r2: usize, n: usize) -> [ArrayViewMut2<'_, T>; 3] {
    let k = n.min(r1 + r2);
    assert_eq!(factor.len(), factor_len(r1, r2, n), "length of the factor of {r1}×{n} on {r2}×{n}");
    let (r, rest) = factor.split_at_mut(k * n);
    let (t, v) = rest.split_at_mut(k * k);
    let m = reflector_rows(r1, r2, n);
    [workspace::columns(r, k, n), workspace::columns(t, k, k), workspace::columns(v, m, n)]
}

/// Elements of workspace for [`merge`].
pub fn merge_workspace(r1: usize, r2: usize, n: usize) -> usize {
    n + panel::factor_workspace(n.min(r1 + r2), n)
}

/// Flops of [`merge`]: about `2r³/3` for two n×n triangles, more for short ones.
pub fn merge_flops(r1: usize, r2: usize, n: usize) -> f64 {
    let p = reflector_rows(r1, r2, n) as f64;
    let k = n.min(r1 + r2) as f64;
    let n_f64 = n as f64;
    let flops = if stacked(r1, n) {
        2.0 * p * n_f64 * n_f64 - 4.0 / 3.0 * p * p * n_f64.min(p)
    } else {
        2.0 * p * k * n_f64
    };
    flops.max(2.0 / 3.0 * p * k * k)
}

/// QR of `[top; bottom]`, r1×n and r2×n upper trapezoidal: what lies below their diagonals is not read.
/// The result stays in `factor`, [`factor_len`] elements, for [`factor_r`] and [`merge_apply`].
///
/// # Panics
/// If shapes do not fit or a slice is too short.
pub fn merge<B: Backend, T: Scalar>(
    top: ArrayView2<T>,
    bottom: ArrayView2<T>,
    factor: &mut [T],
    mut work: &mut [T],
) {
    let (r1, n) = top.dim();
    let r2 = bottom.nrows();
    assert_eq!(bottom.ncols(), n, "both triangles have the same columns");
    workspace::check(work, merge_workspace(r1, r2, n));
    let [mut r, t, mut v] = parts(factor, r1, r2, n);
    let mut shifts = ColumnShifts::new(workspace::take(&mut work, n));
    r.fill(T::ZERO);
    v.fill(T::ZERO);
    if stacked(r1, n) {
        copy_trapezoid(top, r.view_mut());
        copy_trapezoid(bottom, v.view_mut());
        let mut nothing = [];
        panel::rescale(
            &mut shifts,
            r.view_mut(),
            ArrayViewMut2::from_shape((0, n), &mut nothing).expect("empty"),
        );
        panel::rescale(&mut shifts, v.view_mut(), r.view_mut());
        panel::next::<B, T>(true, v, r.view_mut(), t, work);
    } else {
        copy_trapezoid(top, v.slice_mut(s![..r1, ..]));
        copy_trapezoid(bottom, v.slice_mut(s![r1.., ..]));
        panel::rescale(&mut shifts, v.view_mut(), r.view_mut());
        panel::first::<B, T>(v, r.view_mut(), t, work);
    }
    for (j, mut column) in r.columns_mut().into_iter().enumerate() {
        if shifts.of(j) != 0 {
            column.mapv_inplace(|x| x.times_pow2(shifts.of(j)));
        }
    }
}

/// Copies the upper trapezoid; the target holds zeros below.
fn copy_trapezoid<T: Scalar>(src: ArrayView2<T>, mut dst: ArrayViewMut2<T>) {
    for (i, (from, mut to)) in src.rows().into_iter().zip(dst.rows_mut()).enumerate() {
        let i = i.min(from.len());
        to.slice_mut(s![i..]).assign(&from.slice(s![i..]));
    }
}

/// `out ← R`, min(r1 + r2, n)×n, zeros below the diagonal.
pub fn factor_r<T: Scalar>(factor: &[T], r1: usize, r2: usize, n: usize, mut out: ArrayViewMut2<T>) {
    let k = n.min(r1 + r2);
    assert_eq!(out.dim(), (k, n), "R of {r1}×{n} on {r2}×{n} is {k}×{n}");
    let r = ArrayView2::from_shape((n, k), &factor[..k * n]).expect("the length is k·n");
    transpose::copy(r.reversed_axes(), out.view_mut());
    crate::backend::zero_strict_lower(out);
}

/// Elements of workspace for [`merge_apply`] to c columns.
pub fn merge_apply_workspace(r1: usize, r2: usize, n: usize, c: usize) -> usize {
    panel::apply_workspace(n.min(r1 + r2), c)
}

/// Flops of [`merge_apply`].
pub fn merge_apply_flops(r1: usize, r2: usize, n: usize, c: usize) -> f64 {
    let k = n.min(r1 + r2) as f64;
    2.0 * c as f64 * k * (reflector_rows(r1, r2, n) as f64 + k)
}

/// `out ← Q·seed`, (r1+r2)×c, for the factor of [`merge`]; `seed` is r×c with r = min(r1 + r2, n).
///
/// # Panics
/// If shapes do not fit or a slice is too short.
pub fn merge_apply<B: Backend, T: Scalar>(
    factor: &[T],
    r1: usize,
    r2: usize,
    n: usize,
    seed: ArrayView2<T>,
    mut out: ArrayViewMut2<T>,
    work: &mut [T],
) {
    let k = n.min(r1 + r2);
    assert_eq!(seed.nrows(), k, "the seed of {r1}×{n} on {r2}×{n} has {k} rows");
    assert_eq!(out.dim(), (r1 + r2, seed.ncols()), "shape of Q·seed");
    workspace::check(work, merge_apply_workspace(r1, r2, n, seed.ncols()));
    let [t, v] = reflectors(factor, r1, r2, n);
    if stacked(r1, n) {
        let (mut top, bottom) = out.view_mut().split_at(ndarray::Axis(0), r1);
        top.assign(&seed);
        panel::apply_next::<B, T>(v, t, top, bottom, work);
    } else {
        panel::apply_first::<B, T>(v.slice(s![.., ..k]), t, seed, out, work);
    }
}

/// T and the reflectors of a factor.
fn reflectors<T>(factor: &[T], r1: usize, r2: usize, n: usize) -> [ArrayView2<'_, T>; 2] {
    let k = n.min(r1 + r2);
    assert_eq!(factor.len(), factor_len(r1, r2, n), "length of the factor of {r1}×{n} on {r2}×{n}");
    let (t, v) = factor[k * n..].split_at(k * k);
    let columns =
        |data, m, n| ArrayView2::from_shape((n, m), data).expect("the length is m·n").reversed_axes();
    [columns(t, k, k), columns(v, reflector_rows(r1, r2, n), n)]
}
