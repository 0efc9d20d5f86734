//! Views as BLAS sees them: row-major lines with a leading dimension, perhaps of the transpose.

use crate::Scalar;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, CowArray, Ix2};
use std::ffi::c_int;
use std::marker::PhantomData;

/// A matrix to read; stored as its transpose if `transposed`. `rows` and `cols` are those of the matrix.
///
/// All of it can be read during `'a`: there are `rows` lines (`cols` if transposed), `ld` elements apart, of as many
/// contiguous elements as the other side has. Only [`lines`] makes one.
pub struct Lines<'a, T> {
    pub(super) ptr: *const T,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) ld: c_int,
    pub(super) transposed: bool,
    life: PhantomData<&'a T>,
}

/// A matrix to write, never transposed: `rows` lines of `cols` contiguous elements, `ld` elements apart, which are
/// nobody else's during `'a`. Only [`write`] makes one.
pub struct LinesMut<'a, T> {
    pub(super) ptr: *mut T,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) ld: c_int,
    life: PhantomData<&'a mut T>,
}

/// The leading dimension if rows are contiguous and do not overlap.
pub(super) fn leading(dim: (usize, usize), strides: &[isize]) -> Option<usize> {
    let (m, n) = dim;
    let contiguous = n <= 1 || strides[1] == 1;
    let apart = m <= 1 || strides[0] >= n.max(1) as isize;
    (contiguous && apart).then(|| if m <= 1 { n.max(1) } else { strides[0] as usize })
}

/// The view itself if BLAS can read it one way or the other, a copy if its strides are stranger than that.
pub(super) fn readable<T: Scalar>(a: ArrayView2<'_, T>) -> CowArray<'_, T, Ix2> {
    let fits = leading(a.dim(), a.strides()).is_some() || leading(a.t().dim(), a.t().strides()).is_some();
    if fits { a.into() } else { Array2::from_shape_fn(a.dim(), |at| a[at]).into() }
}

/// Describes a [`readable`] view.
pub(super) fn lines<'a, T: Scalar>(a: &'a CowArray<'_, T, Ix2>) -> Lines<'a, T> {
    let (rows, cols) = a.dim();
    let (ld, transposed) = match leading(a.dim(), a.strides()) {
        Some(ld) => (ld, false),
        None => (leading(a.t().dim(), a.t().strides()).expect("the view is readable"), true),
    };
    Lines { ptr: a.as_ptr(), rows, cols, ld: int(ld), transposed, life: PhantomData }
}

/// Runs `f` on `c` itself if its rows are contiguous, else on a copy that is written back.
pub(super) fn write<T: Scalar>(mut c: ArrayViewMut2<T>, f: impl FnOnce(&mut LinesMut<T>)) {
    let (rows, cols) = c.dim();
    match leading(c.dim(), c.strides()) {
        Some(ld) => f(&mut LinesMut { ptr: c.as_mut_ptr(), rows, cols, ld: int(ld), life: PhantomData }),
        None => {
            let mut copy = Array2::from_shape_fn(c.dim(), |at| c[at]);
            f(&mut LinesMut { ptr: copy.as_mut_ptr(), rows, cols, ld: int(cols.max(1)), life: PhantomData });
            c.assign(&copy);
        }
    }
}

/// `c_int` of a size; sizes beyond it would have been refused long before.
pub(super) fn int(n: usize) -> c_int {
    c_int::try_from(n).expect("a block's side fits 31 bits, the limit of BLAS")
}
