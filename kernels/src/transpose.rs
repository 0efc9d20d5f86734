//! Copies and sums across layouts, in blocks that are transposed in registers.

use crate::Scalar;
use crate::simd::{Kernel, dispatch};
use ndarray::{ArrayView2, ArrayViewMut2, Zip};
use std::ops::Range;

/// Columns that are walked together: one page for each, which the TLB of any machine holds.
const STRIP: usize = 64;

/// Whether neighbours in memory are neighbours in a row.
pub(crate) fn by_rows(strides: &[isize]) -> bool {
    strides[1].unsigned_abs() <= strides[0].unsigned_abs()
}

/// `dst ← src`, reading and writing whole cache lines whatever the two layouts are.
pub(crate) fn copy<T: Scalar>(src: ArrayView2<T>, mut dst: ArrayViewMut2<T>) {
    assert_eq!(src.dim(), dst.dim(), "copy between different shapes");
    match (by_rows(src.strides()), by_rows(dst.strides())) {
        (true, true) => copy_rows(src, dst),
        (false, false) => copy_rows(src.reversed_axes(), dst.reversed_axes()),
        (true, false) => copy(src.reversed_axes(), dst.reversed_axes()),
        (false, true) if src.strides()[0] == 1 && dst.strides()[1] == 1 => {
            let out = dst.as_mut_ptr();
            dispatch(Turn { x: None, y: src, out, out_stride: dst.strides()[0], x_stride: 0 });
        }
        (false, true) => dst.assign(&src),
    }
}

fn copy_rows<T: Scalar>(src: ArrayView2<T>, mut dst: ArrayViewMut2<T>) {
    for (from, mut to) in src.rows().into_iter().zip(dst.rows_mut()) {
        match (from.to_slice(), to.as_slice_mut()) {
            (Some(from), Some(to)) => to.copy_from_slice(from),
            _ => to.assign(&from),
        }
    }
}

/// `out ← X + Y`, whatever their strides.
pub(crate) fn add<T: Scalar>(x: ArrayView2<T>, y: ArrayView2<T>, mut out: ArrayViewMut2<T>) {
    if !by_rows(out.strides()) {
        return add(x.reversed_axes(), y.reversed_axes(), out.reversed_axes());
    }
    match (by_rows(x.strides()), by_rows(y.strides())) {
        (true, true) => add_rows(x, y, out),
        (true, false) => add_turned(Some(x), y, out),
        (false, true) => add_turned(Some(y), x, out),
        (false, false) => {
            copy(x, out.view_mut());
            add_turned(None, y, out);
        }
    }
}

fn add_rows<T: Scalar>(x: ArrayView2<T>, y: ArrayView2<T>, out: ArrayViewMut2<T>) {
    Zip::from(out).and(x).and(y).for_each(|out, x, y| *out = *x + *y);
}

/// `out ← X + Y`, or `out + Y` without X, where rows of X and `out`, but columns of Y are contiguous.
fn add_turned<T: Scalar>(x: Option<ArrayView2<T>>, y: ArrayView2<T>, mut out: ArrayViewMut2<T>) {
    let units = x.is_none_or(|x| x.strides()[1] == 1) && y.strides()[0] == 1 && out.strides()[1] == 1;
    match x {
        Some(x) if !units => Zip::from(out).and(x).and(y).for_each(|out, x, y| *out = *x + *y),
        None if !units => out += &y,
        _ => {
            let (target, out_stride) = (out.as_mut_ptr(), out.strides()[0]);
            let (x, x_stride) = x.map_or((target.cast_const(), out_stride), |x| (x.as_ptr(), x.strides()[0]));
            dispatch(Turn { x: Some(x), y, out: target, out_stride, x_stride });
        }
    }
}

/// `out ← [X +] Y` for Y in columns, the others in rows. X may be `out` itself, hence the pointers; both have
/// the shape of Y, and each element is read before it is written.
struct Turn<'a, T> {
    x: Option<*const T>,
    x_stride: isize,
    y: ArrayView2<'a, T>,
    out: *mut T,
    out_stride: isize,
}

impl<T: Scalar> Kernel for Turn<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        // A block side of one cache line of f64, or half a line of f32: 8 × 8 fits the registers of AVX.
        const SIDE: usize = 8;
        let (m, n) = self.y.dim();
        let whole = m / SIDE * SIDE;
        for strip in (0..n).step_by(STRIP) {
            let end = (strip + STRIP).min(n);
            let blocks = strip + (end - strip) / SIDE * SIDE;
            for i in (0..whole).step_by(SIDE) {
                for j in (strip..blocks).step_by(SIDE) {
                    // SAFETY: rows i..i+SIDE and columns j..j+SIDE are inside all three matrices.
                    unsafe { self.block::<SIDE>(i, j) };
                }
                self.elements(i..i + SIDE, blocks..end);
            }
            self.elements(whole..m, strip..end);
        }
    }
}

impl<T: Scalar> Turn<'_, T> {
    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // r is the row of a transposed block
    unsafe fn block<const SIDE: usize>(&self, i: usize, j: usize) {
        let stride = self.y.strides()[1];
        // SAFETY: the caller keeps the block inside the matrices, and Y's columns are contiguous.
        unsafe {
            let y = self.y.as_ptr().add(i).offset(stride * j as isize);
            let columns: [[T; SIDE]; SIDE] =
                std::array::from_fn(|c| y.offset(stride * c as isize).cast::<[T; SIDE]>().read());
            for r in 0..SIDE {
                let row = (i + r) as isize;
                let mut values: [T; SIDE] = std::array::from_fn(|c| columns[c][r]);
                if let Some(x) = self.x {
                    let x = x.offset(row * self.x_stride).add(j).cast::<[T; SIDE]>().read();
                    values = std::array::from_fn(|c| x[c] + values[c]);
                }
                self.out.offset(row * self.out_stride).add(j).cast::<[T; SIDE]>().write(values);
            }
        }
    }

    #[inline(always)]
    fn elements(&self, rows: Range<usize>, columns: Range<usize>) {
        for i in rows {
            for j in columns.clone() {
                // SAFETY: `y[(i, j)]` is checked, and the others have the same shape and contiguous rows.
                unsafe {
                    let mut value = self.y[(i, j)];
                    if let Some(x) = self.x {
                        value = *x.offset(i as isize * self.x_stride).add(j) + value;
                    }
                    *self.out.offset(i as isize * self.out_stride).add(j) = value;
                }
            }
        }
    }
}
