//! One pass over a matrix for both products of a power iteration.

use crate::{Backend, Scalar, workspace};
use ndarray::{ArrayView2, ArrayViewMut2, s};

/// Rows that are read at a time, so that they are still in cache for the second product.
const ROWS: usize = 256;

/// Elements of workspace for [`gram_apply`].
pub fn gram_apply_workspace(b: usize, l: usize) -> usize {
    ROWS.min(b) * l
}

/// Flops of [`gram_apply`].
pub fn gram_apply_flops(b: usize, n: usize, l: usize) -> f64 {
    4.0 * b as f64 * n as f64 * l as f64
}

/// `Z ← Z + Aᵀ·(A·X)` for `a` b×n, `x` n×l, `z` n×l, reading A once. `4bnl` flops.
///
/// # Panics
/// If shapes do not fit or `work` is shorter than [`gram_apply_workspace`].
pub fn gram_apply<B: Backend, T: Scalar>(
    a: ArrayView2<T>,
    x: ArrayView2<T>,
    mut z: ArrayViewMut2<T>,
    mut work: &mut [T],
) {
    let (b, n) = a.dim();
    let l = x.ncols();
    assert_eq!((x.nrows(), z.dim()), (n, (n, l)), "shapes of Aᵀ(A·X) with A {b}×{n}");
    let mut y = workspace::take_rows(&mut work, ROWS.min(b), l);
    for start in (0..b).step_by(ROWS) {
        let rows = a.slice(s![start..(start + ROWS).min(b), ..]);
        let mut y = y.slice_mut(s![..rows.nrows(), ..]);
        B::gemm(T::ONE, rows, x, T::ZERO, y.view_mut());
        B::gemm(T::ONE, rows.t(), y.view(), T::ONE, z.view_mut());
    }
}
