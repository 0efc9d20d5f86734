//! Cuts a caller's slice into pieces.

use crate::Scalar;
use ndarray::{ArrayViewMut2, ShapeBuilder};

/// Refuses a workspace that is shorter than its caller was told.
pub(crate) fn check<T>(work: &[T], needed: usize) {
    assert!(work.len() >= needed, "workspace is too small: {} elements, {needed} are needed", work.len());
}

/// Takes the first `len` elements off `work`.
pub(crate) fn take<'a, T>(work: &mut &'a mut [T], len: usize) -> &'a mut [T] {
    assert!(work.len() >= len, "workspace is too small: {} elements are left, {len} are needed", work.len());
    let (head, tail) = std::mem::take(work).split_at_mut(len);
    *work = tail;
    head
}

/// Takes an m×n column-major matrix off `work`; its content is whatever lay there.
pub(crate) fn take_columns<'a, T: Scalar>(
    work: &mut &'a mut [T],
    m: usize,
    n: usize,
) -> ArrayViewMut2<'a, T> {
    columns(take(work, m * n), m, n)
}

/// The m×n column-major matrix in `data`.
pub(crate) fn columns<T>(data: &mut [T], m: usize, n: usize) -> ArrayViewMut2<'_, T> {
    ArrayViewMut2::from_shape((m, n).f(), &mut data[..m * n]).expect("the length is m·n")
}

/// Takes an m×n row-major matrix off `work`; its content is whatever lay there.
pub(crate) fn take_rows<'a, T: Scalar>(work: &mut &'a mut [T], m: usize, n: usize) -> ArrayViewMut2<'a, T> {
    ArrayViewMut2::from_shape((m, n), take(work, m * n)).expect("the length is m·n")
}

/// The m×n row-major matrix in `data`.
pub(crate) fn rows<T>(data: &mut [T], m: usize, n: usize) -> ArrayViewMut2<'_, T> {
    ArrayViewMut2::from_shape((m, n), &mut data[..m * n]).expect("the length is m·n")
}
