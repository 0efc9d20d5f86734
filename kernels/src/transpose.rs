//! Copies and sums across layouts, in tiles that are transposed in the first cache.

use crate::Scalar;
use crate::simd::{Vector, VectorKernel, dispatch_vectors};
use ndarray::{ArrayView2, ArrayViewMut2, Zip};
use std::mem::MaybeUninit;
use std::ops::Range;

/// Rows and columns of a tile: pieces of eight cache lines of f64 on both sides, one page each in the TLB.
const TILE: usize = 64;
/// From one row of a tile to the next: not a power of two, or rows would evict each other.
const PITCH: usize = TILE + SIDE;
/// A block side of one cache line of f64, or half a line of f32: 8 × 8 fits the registers of AVX.
const SIDE: usize = 8;
/// Results of so many bytes are written past the caches, which would read each line before it is overwritten.
const WORTH_STREAMING: usize = 1 << 20;
const CACHE_LINE: usize = 64;

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
            dispatch_vectors(Turn { x: None, y: src, out, out_stride: dst.strides()[0], x_stride: 0 });
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
    assert_eq!((x.dim(), y.dim()), (out.dim(), out.dim()), "sum of different shapes");
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
            dispatch_vectors(Turn { x: Some(x), y, out: target, out_stride, x_stride });
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

impl<T: Scalar> VectorKernel<T> for Turn<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<T>>(self) {
        let (m, n) = self.y.dim();
        if self.x.is_none() && m <= TILE && n <= TILE {
            // SAFETY: `out` has the shape of Y and contiguous rows.
            return unsafe { turn(&self.y, 0..m, 0..n, self.out, self.out_stride) };
        }
        let streamed = self.worth_streaming();
        let mut tile = MaybeUninit::<[T; TILE * PITCH]>::uninit();
        let tile = tile.as_mut_ptr().cast::<T>();
        for left in (0..n).step_by(TILE) {
            let columns = left..(left + TILE).min(n);
            for top in (0..m).step_by(TILE) {
                let rows = top..(top + TILE).min(m);
                // SAFETY: the tile has room for TILE rows of PITCH elements, and those read below are written here.
                unsafe {
                    turn(&self.y, rows.clone(), columns.clone(), tile, PITCH as isize);
                    for row in rows {
                        let turned = tile.add((row - top) * PITCH);
                        if streamed {
                            self.row::<V, true>(row, columns.clone(), turned);
                        } else {
                            self.row::<V, false>(row, columns.clone(), turned);
                        }
                    }
                }
            }
        }
        if streamed {
            V::fence();
        }
    }
}

impl<T: Scalar> Turn<'_, T> {
    /// Large, and in whole cache lines.
    fn worth_streaming(&self) -> bool {
        let row = self.out_stride.unsigned_abs() * size_of::<T>();
        self.y.len() * size_of::<T>() >= WORTH_STREAMING
            && self.out.addr().is_multiple_of(CACHE_LINE)
            && row.is_multiple_of(CACHE_LINE)
    }

    /// A part of a row of the result, of which `turned` is Y's share.
    ///
    /// # Safety
    /// The part is inside the matrices, and `turned` has as many elements.
    #[inline(always)]
    unsafe fn row<V: Vector<T>, const STREAMED: bool>(
        &self,
        row: usize,
        columns: Range<usize>,
        turned: *const T,
    ) {
        let len = columns.len();
        // SAFETY: rows of X and `out` are contiguous; streamed rows, and tiles in them, begin at a cache line.
        unsafe {
            let out = self.out.offset(row as isize * self.out_stride).add(columns.start);
            let x = self.x.map(|x| x.offset(row as isize * self.x_stride).add(columns.start));
            let whole = len - len % V::LANES;
            for at in (0..whole).step_by(V::LANES) {
                let mut value = V::load(turned.add(at));
                if let Some(x) = x {
                    value = V::load(x.add(at)).add(value);
                }
                if STREAMED { value.stream(out.add(at)) } else { value.store(out.add(at)) }
            }
            for at in whole..len {
                let value = *turned.add(at);
                *out.add(at) = x.map_or(value, |x| *x.add(at) + value);
            }
        }
    }
}

/// `out ← Y[rows, columns]`, where columns of Y are contiguous and `stride` leads from one row of `out` to the next.
///
/// # Safety
/// `out` has rows of `columns.len()` elements, which are contiguous.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // r is the row of a transposed block
unsafe fn turn<T: Scalar>(
    y: &ArrayView2<T>,
    rows: Range<usize>,
    columns: Range<usize>,
    out: *mut T,
    stride: isize,
) {
    let part = y.slice(ndarray::s![rows, columns]);
    let (m, n) = part.dim();
    let (from, y_stride) = (part.as_ptr(), part.strides()[1]);
    let (whole_rows, whole_columns) = (m - m % SIDE, n - n % SIDE);
    // SAFETY: all indices are below m and n, the shape of the part and of `out`; an array has the alignment of its elements.
    unsafe {
        let element = |i: usize, j: usize| {
            *out.offset(i as isize * stride).add(j) = *from.offset(j as isize * y_stride).add(i);
        };
        for j in (0..whole_columns).step_by(SIDE) {
            for i in (0..whole_rows).step_by(SIDE) {
                let corner = from.offset(j as isize * y_stride).add(i);
                let columns: [[T; SIDE]; SIDE] =
                    std::array::from_fn(|c| corner.offset(c as isize * y_stride).cast::<[T; SIDE]>().read());
                for r in 0..SIDE {
                    let row: [T; SIDE] = std::array::from_fn(|c| columns[c][r]);
                    out.offset((i + r) as isize * stride).add(j).cast::<[T; SIDE]>().write(row);
                }
            }
            (whole_rows..m).for_each(|i| (j..j + SIDE).for_each(|j| element(i, j)));
        }
        (0..m).for_each(|i| (whole_columns..n).for_each(|j| element(i, j)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    /// `m × n` elements whose first begins `off` elements behind a cache line.
    fn view_at<T: Scalar>(room: &mut Vec<T>, (m, n): (usize, usize), off: usize) -> ArrayViewMut2<'_, T> {
        room.resize(m * n + CACHE_LINE + off, T::ZERO);
        let start = room.as_ptr().align_offset(CACHE_LINE) + off;
        ArrayViewMut2::from_shape((m, n), &mut room[start..start + m * n]).unwrap()
    }

    fn turns_and_adds<T: Scalar>() {
        for shape in [(1, 1), (64, 64), (65, 63), (7, 500), (500, 7), (520, 528), (523, 521)] {
            let number = |i: usize, j: usize| T::from_f64((i * 1000 + j) as f64);
            let x = Array2::from_shape_fn(shape, |(i, j)| number(i, j));
            let y = Array2::from_shape_fn((shape.1, shape.0), |(i, j)| number(i + 7, j));
            for off in [0, 1] {
                let mut room = Vec::new();
                let mut out = view_at(&mut room, shape, off);
                copy(y.t(), out.view_mut());
                assert!(out == y.t(), "copy of {shape:?}, {off} elements behind a line");
                add(x.view(), y.t(), out.view_mut());
                let sum = Array2::from_shape_fn(shape, |(i, j)| x[(i, j)] + y[(j, i)]);
                assert!(out == sum, "sum of {shape:?}, {off} elements behind a line");
                let (guard, after) = (room[..off].to_vec(), room.last().copied());
                assert!(guard.iter().chain(&after).all(|x| *x == T::ZERO), "{shape:?}: nothing beside it");
            }
        }
    }

    #[test]
    fn turns_and_adds_in_tiles_aligned_and_not() {
        turns_and_adds::<f64>();
        turns_and_adds::<f32>();
    }
}
