//! One link of a leaf's chain: a panel in column-major order and its reflectors.

use crate::householder::{self, Shape};
use crate::scaling::ColumnShifts;
use crate::{Backend, Scalar, reduce, workspace};
use ndarray::{ArrayView2, ArrayViewMut2, Axis, s};

/// Elements of workspace for [`first`] and [`next`] with k reflectors and n columns.
pub(super) fn factor_workspace(k: usize, n: usize) -> usize {
    householder::factor_workspace(k).max(2 * k * (n - k))
}

/// Plain QR of the m×n panel `v`, k = min(m, n): R goes to the upper trapezoid of `r` (k×n), V to the first k
/// columns of `v`.
pub(super) fn first<B: Backend, T: Scalar>(
    v: ArrayViewMut2<T>,
    r: ArrayViewMut2<T>,
    mut t: ArrayViewMut2<T>,
    work: &mut [T],
) {
    let k = v.nrows().min(v.ncols());
    let (mut v, rest) = v.split_at(Axis(1), k);
    let (r, mut r_rest) = r.split_at(Axis(1), k);
    householder::factor::<B, T>(Shape::Plain, v.view_mut(), r, t.view_mut(), work);
    if rest.ncols() > 0 {
        r_rest.assign(&rest);
        apply_transposed::<B, T>(v.view(), t.view(), r_rest, work);
    }
}

/// `C ← QᵀC` for square V.
fn apply_transposed<B: Backend, T: Scalar>(
    v: ArrayView2<T>,
    t: ArrayView2<T>,
    mut c: ArrayViewMut2<T>,
    mut work: &mut [T],
) {
    let (k, n) = c.dim();
    let mut w = workspace::take_columns(&mut work, k, n);
    let mut tw = workspace::take_columns(&mut work, k, n);
    B::gemm(T::ONE, v.t(), c.view(), T::ZERO, w.view_mut());
    B::gemm(T::ONE, t.t(), w.view(), T::ZERO, tw.view_mut());
    B::gemm(-T::ONE, v, tw.view(), T::ONE, c.view_mut());
}

/// QR of the n×n triangle `r` stacked on the panel `v`: `r` becomes the new triangle and `v` the reflectors.
pub(super) fn next<B: Backend, T: Scalar>(
    trapezoid: bool,
    v: ArrayViewMut2<T>,
    r: ArrayViewMut2<T>,
    t: ArrayViewMut2<T>,
    work: &mut [T],
) {
    householder::factor::<B, T>(Shape::Stacked { trapezoid }, v, r, t, work);
}

/// Elements of workspace for [`apply_first`] and [`apply_next`] with k reflectors and c columns.
pub(super) fn apply_workspace(k: usize, c: usize) -> usize {
    2 * k * c
}

/// `out ← Q·[seed; 0]` for the reflectors of [`first`]; `seed` is k×c.
pub(super) fn apply_first<B: Backend, T: Scalar>(
    v: ArrayView2<T>,
    t: ArrayView2<T>,
    seed: ArrayView2<T>,
    mut out: ArrayViewMut2<T>,
    mut work: &mut [T],
) {
    let (k, c) = seed.dim();
    let mut w = workspace::take_rows(&mut work, k, c);
    let mut tw = workspace::take_rows(&mut work, k, c);
    B::gemm(T::ONE, v.slice(s![..k, ..]).reversed_axes(), seed, T::ZERO, w.view_mut());
    B::gemm(T::ONE, t, w.view(), T::ZERO, tw.view_mut());
    B::gemm(-T::ONE, v, tw.view(), T::ZERO, out.view_mut());
    let mut top = out.slice_mut(s![..k, ..]);
    top += &seed;
}

/// `[seed; out] ← Q·[seed; 0]` for the reflectors of [`next`]; `seed` is n×c.
pub(super) fn apply_next<B: Backend, T: Scalar>(
    v: ArrayView2<T>,
    t: ArrayView2<T>,
    mut seed: ArrayViewMut2<T>,
    out: ArrayViewMut2<T>,
    mut work: &mut [T],
) {
    let (k, c) = seed.dim();
    let mut tw = workspace::take_rows(&mut work, k, c);
    B::gemm(T::ONE, t, seed.view(), T::ZERO, tw.view_mut());
    B::gemm(-T::ONE, v, tw.view(), T::ZERO, out);
    seed -= &tw;
}

/// Makes room in the scales for the columns of `v`, then scales `v` and what `r` holds already.
pub(super) fn rescale<T: Scalar>(
    shifts: &mut ColumnShifts<T>,
    mut v: ArrayViewMut2<T>,
    mut r: ArrayViewMut2<T>,
) {
    for (j, (mut column, mut above)) in v.columns_mut().into_iter().zip(r.columns_mut()).enumerate() {
        let max = reduce::max_abs(column.view().insert_axis(Axis(0)));
        let change = shifts.admit(j, max);
        if change != 0 {
            above.mapv_inplace(|x| x.times_pow2(change));
        }
        let e = shifts.of(j);
        if e != 0 {
            column.mapv_inplace(|x| x.times_pow2(-e));
        }
    }
}

/// Copies the upper trapezoid of `r` to `out`, undoing the scales; zeros below.
pub(super) fn write_r<T: Scalar>(r: ArrayView2<T>, shifts: &ColumnShifts<T>, mut out: ArrayViewMut2<T>) {
    for ((i, j), x) in out.indexed_iter_mut() {
        *x = if i <= j { r[(i, j)].times_pow2(shifts.of(j)) } else { T::ZERO };
    }
}
