//! Copies between layouts, tile by tile.

use crate::Scalar;
use ndarray::{ArrayView2, ArrayViewMut2, s};

/// Side of a tile: 16 rows of 16 elements are 16 to 32 cache lines on each side, which L1 holds at any stride.
pub(crate) const TILE: usize = 16;

/// `dst ← src`, reading and writing whole cache lines whatever the two layouts are.
pub(crate) fn copy<T: Scalar>(src: ArrayView2<T>, mut dst: ArrayViewMut2<T>) {
    assert_eq!(src.dim(), dst.dim(), "copy between different shapes");
    if by_rows(src.strides()) == by_rows(dst.strides()) {
        return dst.assign(&src);
    }
    let (m, n) = src.dim();
    for i in (0..m).step_by(TILE) {
        let rows = i..(i + TILE).min(m);
        for j in (0..n).step_by(TILE) {
            let cols = j..(j + TILE).min(n);
            let from = src.slice(s![rows.clone(), cols.clone()]);
            copy_tile(from, dst.slice_mut(s![rows.clone(), cols]));
        }
    }
}

/// Whether neighbours in memory are neighbours in a row.
pub(crate) fn by_rows(strides: &[isize]) -> bool {
    strides[1].unsigned_abs() <= strides[0].unsigned_abs()
}

fn copy_tile<T: Scalar>(src: ArrayView2<T>, mut dst: ArrayViewMut2<T>) {
    for (mut to, from) in dst.columns_mut().into_iter().zip(src.columns()) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = *from;
        }
    }
}

/// `out ← X + Y` where rows of `x` and `out`, but columns of `y` are contiguous.
pub(crate) fn add_transposed<T: Scalar>(x: ArrayView2<T>, y: ArrayView2<T>, mut out: ArrayViewMut2<T>) {
    let (m, n) = out.dim();
    let mut buffer = [T::ZERO; TILE * TILE];
    for i in (0..m).step_by(TILE) {
        let rows = i..(i + TILE).min(m);
        for j in (0..n).step_by(TILE) {
            let tile = s![rows.clone(), j..(j + TILE).min(n)];
            let mut turned = crate::workspace::rows(&mut buffer, rows.len(), (n - j).min(TILE));
            copy_tile(y.slice(tile), turned.view_mut());
            ndarray::azip!((out in out.slice_mut(tile), &x in x.slice(tile), &y in &turned) *out = x + y);
        }
    }
}
