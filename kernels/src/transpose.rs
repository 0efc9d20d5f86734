//! Copies and sums across layouts, in tiles that are transposed in the first cache.

use crate::Scalar;
use crate::simd::{Simd, VectorKernel, dispatch_vectors};
use ndarray::{ArrayView2, ArrayViewMut2, Zip, s};

/// Rows and columns of a tile: pieces of eight cache lines of f64 on both sides, one page each in the TLB.
const TILE: usize = 64;
/// From one row of a tile to the next: not a power of two, or rows would evict each other.
const PITCH: usize = TILE + SIDE;
/// A block side of one cache line of f64, or half a line of f32: 8 × 8 fits the registers of AVX.
const SIDE: usize = 8;
/// Results of so many bytes are written past the caches, which would read each line before it is overwritten.
const WORTH_STREAMING: usize = 1 << 20;
const CACHE_LINE: usize = 64;
/// What streaming stores must be aligned to.
const VECTOR: usize = 32;

/// Whether neighbours in memory are neighbours in a row.
pub(crate) fn by_rows(strides: &[isize]) -> bool {
    strides[1].unsigned_abs() <= strides[0].unsigned_abs()
}

/// `dst ← src`, reading and writing whole cache lines whatever the two layouts are.
pub(crate) fn copy<T: Scalar>(src: ArrayView2<T>, dst: ArrayViewMut2<T>) {
    assert_eq!(src.dim(), dst.dim(), "copy between different shapes");
    match (by_rows(src.strides()), by_rows(dst.strides())) {
        (true, true) => copy_rows(src, dst),
        (false, false) => copy_rows(src.reversed_axes(), dst.reversed_axes()),
        (true, false) => copy(src.reversed_axes(), dst.reversed_axes()),
        (false, true) => copy_turned(src, dst),
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

/// `dst ← src`, where rows of `dst`, but columns of `src` are contiguous.
fn copy_turned<T: Scalar>(src: ArrayView2<T>, mut dst: ArrayViewMut2<T>) {
    if src.strides()[0] == 1 && dst.strides()[1] == 1 {
        dispatch_vectors(Turn { addend: Addend::Nothing, y: src, out: dst });
    } else {
        dst.assign(&src);
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
        Some(x) if units => dispatch_vectors(Turn { addend: Addend::Matrix(x), y, out }),
        None if units => dispatch_vectors(Turn { addend: Addend::Itself, y, out }),
        Some(x) => Zip::from(out).and(x).and(y).for_each(|out, x, y| *out = *x + *y),
        None => out += &y,
    }
}

/// What is added to Y.
enum Addend<'a, T> {
    Nothing,
    /// What `out` held.
    Itself,
    Matrix(ArrayView2<'a, T>),
}

/// `out ← [addend +] Y` for Y in columns, the others in rows. All have one shape.
struct Turn<'a, T> {
    addend: Addend<'a, T>,
    y: ArrayView2<'a, T>,
    out: ArrayViewMut2<'a, T>,
}

impl<T: Scalar> VectorKernel<T> for Turn<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(self, simd: S) {
        let (m, n) = self.y.dim();
        if matches!(self.addend, Addend::Nothing) && m <= TILE && n <= TILE {
            turn(self.y, self.out);
        } else if self.worth_streaming() {
            self.by_tiles::<S, true>(simd);
        } else {
            self.by_tiles::<S, false>(simd);
        }
    }
}

impl<T: Scalar> Turn<'_, T> {
    /// Large, and in whole cache lines.
    fn worth_streaming(&self) -> bool {
        let pitch = self.out.strides()[0].unsigned_abs() * size_of::<T>();
        self.y.len() * size_of::<T>() >= WORTH_STREAMING
            && self.out.as_ptr().addr().is_multiple_of(CACHE_LINE)
            && pitch.is_multiple_of(CACHE_LINE)
    }

    #[inline(always)]
    fn by_tiles<S: Simd<T>, const STREAMED: bool>(mut self, simd: S) {
        let (m, n) = self.y.dim();
        let mut tile = [T::ZERO; TILE * PITCH];
        for left in (0..n).step_by(TILE) {
            let columns = left..(left + TILE).min(n);
            for top in (0..m).step_by(TILE) {
                let part = self.y.slice(s![top..(top + TILE).min(m), columns.clone()]);
                let (height, width) = part.dim();
                let room = ArrayViewMut2::from_shape((TILE, PITCH), &mut tile).expect("a tile's size");
                turn(part, room.slice_move(s![..height, ..width]));
                for row in 0..height {
                    let out = self.out.row_mut(top + row).into_slice().expect("contiguous rows");
                    let out = &mut out[columns.clone()];
                    let turned = &mut tile[row * PITCH..][..width];
                    let x = match &self.addend {
                        Addend::Nothing => None,
                        Addend::Itself => {
                            turned.iter_mut().zip(&*out).for_each(|(turned, out)| *turned = *out + *turned);
                            None
                        }
                        Addend::Matrix(x) => {
                            Some(&x.row(top + row).to_slice().expect("contiguous rows")[columns.clone()])
                        }
                    };
                    write_row::<T, S, STREAMED>(simd, x, turned, out);
                }
            }
        }
        if STREAMED {
            simd.fence();
        }
    }
}
/// `out ← [x +] turned` for a part of a row; if STREAMED, past the caches and without a fence.
#[inline(always)]
fn write_row<T: Scalar, S: Simd<T>, const STREAMED: bool>(
    simd: S,
    x: Option<&[T]>,
    turned: &[T],
    out: &mut [T],
) {
    let len = out.len();
    assert!(turned.len() == len && x.is_none_or(|x| x.len() == len), "parts of rows are equally long");
    assert!(!STREAMED || out.as_ptr().addr().is_multiple_of(VECTOR), "streamed rows begin at a cache line");
    let whole = len - len % S::LANES;
    for at in (0..whole).step_by(S::LANES) {
        // SAFETY: at + LANES ≤ whole ≤ the length of all three.
        let mut value = unsafe { simd.load(turned, at) };
        if let Some(x) = x {
            // SAFETY: as above.
            value = simd.add(unsafe { simd.load(x, at) }, value);
        }
        if STREAMED {
            // SAFETY: as above; `out` is aligned and `at` is a multiple of a vector; `Turn` ends with a fence.
            unsafe { simd.stream(value, out, at) };
        } else {
            // SAFETY: as above.
            unsafe { simd.store(value, out, at) };
        }
    }
    for at in whole..len {
        out[at] = x.map_or(turned[at], |x| x[at] + turned[at]);
    }
}

/// `out ← Y`, where columns of Y and rows of `out` are contiguous.
#[inline(always)]
fn turn<T: Scalar>(y: ArrayView2<T>, mut out: ArrayViewMut2<T>) {
    let (m, n) = y.dim();
    assert_eq!(out.dim(), (m, n), "copy between different shapes");
    assert!(m <= 1 || y.strides()[0] == 1, "columns of the source are contiguous");
    assert!(n <= 1 || out.strides()[1] == 1, "rows of the copy are contiguous");
    let whole_rows = m - m % SIDE;
    let whole_columns = n - n % SIDE;
    for j in (0..whole_columns).step_by(SIDE) {
        for i in (0..whole_rows).step_by(SIDE) {
            // SAFETY: i + SIDE ≤ whole_rows ≤ m, j + SIDE ≤ whole_columns ≤ n, and the strides were just checked.
            unsafe { turn_square(&y, &mut out, i, j) };
        }
    }
    for i in 0..m {
        let first = if i < whole_rows { whole_columns } else { 0 };
        for j in first..n {
            out[(i, j)] = y[(i, j)];
        }
    }
}

/// [`turn`] of the SIDE×SIDE elements from (i, j) on, through registers.
///
/// # Safety
/// The elements lie within both matrices. Columns of Y and rows of `out` are contiguous.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // r is the row of a transposed block
unsafe fn turn_square<T: Scalar>(y: &ArrayView2<T>, out: &mut ArrayViewMut2<T>, i: usize, j: usize) {
    let column = y.strides()[1];
    let row = out.strides()[0];
    let from = y.as_ptr().wrapping_add(i);
    let to = out.as_mut_ptr().wrapping_add(j);
    let columns: [[T; SIDE]; SIDE] = std::array::from_fn(|c| {
        let start = from.wrapping_offset((j + c) as isize * column).cast::<[T; SIDE]>();
        // SAFETY: column j + c is contiguous and has SIDE elements from i on; an array is aligned as its elements are.
        unsafe { start.read() }
    });
    for r in 0..SIDE {
        let turned: [T; SIDE] = std::array::from_fn(|c| columns[c][r]);
        let start = to.wrapping_offset((i + r) as isize * row).cast::<[T; SIDE]>();
        // SAFETY: row i + r is contiguous and has SIDE elements from j on; an array is aligned as its elements are.
        unsafe { start.write(turned) };
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
        let small = [(1, 1), (64, 64), (65, 63), (7, 500), (500, 7)];
        // Miri would take hours for those that fill more than one panel.
        let large: &[_] = if cfg!(miri) { &[] } else { &[(520, 528), (523, 521)] };
        for &shape in small.iter().chain(large) {
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
                let before = room[..off].iter();
                assert!(before.chain(room.last()).all(|x| *x == T::ZERO), "{shape:?}: nothing beside it");
            }
        }
    }

    #[test]
    fn turns_and_adds_in_tiles_aligned_and_not() {
        turns_and_adds::<f64>();
        turns_and_adds::<f32>();
    }
}
