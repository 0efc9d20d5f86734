//! Sums, norms and checks over one block, in an order fixed by its shape.

use crate::Scalar;
use crate::simd::{Kernel, dispatch};
use crate::transpose::by_rows;
use ndarray::{ArrayView1, ArrayView2};

/// Elements that are summed in lanes before pairwise summation takes over.
const BLOCK: usize = 128;
const LANES: usize = 16;

/// Adds numbers in the order of a binary tree, as they come.
struct Pairwise<T> {
    /// Sum of the last `2^i` numbers where bit i of `count` is set.
    partial: [T; 64],
    count: u64,
}

impl<T: Scalar> Pairwise<T> {
    fn new() -> Self {
        Self { partial: [T::ZERO; 64], count: 0 }
    }

    #[inline]
    fn push(&mut self, mut x: T) {
        let level = self.count.trailing_ones() as usize;
        for partial in &self.partial[..level] {
            x = *partial + x;
        }
        self.partial[level] = x;
        self.count += 1;
    }

    fn total(&self) -> T {
        (0..64).filter(|i| self.count >> i & 1 == 1).fold(T::ZERO, |sum, i| self.partial[i] + sum)
    }
}

/// The sum of all elements: each row pairwise over blocks of 128 elements, then the rows pairwise. The same
/// bits for any strides. Error at most about `(8 + log₂(mn))·EPS·Σ|a|` (Higham 2002, §4.2).
pub fn sum<T: Scalar>(a: ArrayView2<T>) -> T {
    sum_with(a, Identity)
}

fn sum_with<T: Scalar, M: Map<T>>(a: ArrayView2<T>, map: M) -> T {
    let mut rows = Pairwise::new();
    for row in a.rows() {
        rows.push(sum_row(row, map));
    }
    rows.total()
}

fn sum_row<T: Scalar, M: Map<T>>(row: ArrayView1<T>, map: M) -> T {
    let mut blocks = Pairwise::new();
    let mut buffer = [T::ZERO; BLOCK];
    for block in row.axis_chunks_iter(ndarray::Axis(0), BLOCK) {
        let values = match block.to_slice() {
            Some(values) => values,
            None => {
                buffer.iter_mut().zip(block).for_each(|(to, from)| *to = *from);
                &buffer[..block.len()]
            }
        };
        blocks.push(dispatch(SumBlock { values, map }));
    }
    blocks.total()
}

/// What is summed in place of an element.
trait Map<T>: Copy {
    fn map(self, x: T) -> T;
}

#[derive(Clone, Copy)]
struct Identity;

impl<T: Scalar> Map<T> for Identity {
    #[inline(always)]
    fn map(self, x: T) -> T {
        x
    }
}

/// `(x·factor)²`.
#[derive(Clone, Copy)]
struct Square<T> {
    factor: T,
}

impl<T: Scalar> Map<T> for Square<T> {
    #[inline(always)]
    fn map(self, x: T) -> T {
        let x = x * self.factor;
        x * x
    }
}

struct SumBlock<'a, T, M> {
    values: &'a [T],
    map: M,
}

impl<T: Scalar, M: Map<T>> Kernel for SumBlock<'_, T, M> {
    type Output = T;

    #[inline(always)]
    fn run(self) -> T {
        let mut lanes = [T::ZERO; LANES];
        let (chunks, rest) = self.values.as_chunks::<LANES>();
        for chunk in chunks {
            for lane in 0..LANES {
                lanes[lane] += self.map.map(chunk[lane]);
            }
        }
        for (lane, x) in rest.iter().enumerate() {
            lanes[lane] += self.map.map(*x);
        }
        let mut width = LANES / 2;
        while width > 0 {
            for lane in 0..width {
                lanes[lane] += lanes[lane + width];
            }
            width /= 2;
        }
        lanes[0]
    }
}

/// A sum of squares `scale²·sum`. The norm is `scale·√sum`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaledSquares<T> {
    /// A power of two, so chosen that `sum` neither overflows nor loses accuracy to underflow.
    pub scale: T,
    pub sum: T,
}

/// `Σa²`; scale 1 and sum 0 for a zero or empty block.
pub fn sum_squares_scaled<T: Scalar>(a: ArrayView2<T>) -> ScaledSquares<T> {
    let plain = ScaledSquares { scale: T::ONE, sum: sum_with(a, Square { factor: T::ONE }) };
    let (lo, hi) = T::SAFE_EXPONENTS;
    if T::pow2(2 * lo) <= plain.sum && plain.sum <= T::pow2(2 * hi) {
        return plain;
    }
    let max = max_abs(a);
    if max == T::ZERO {
        return plain;
    }
    let limit = -T::MIN_POSITIVE.exponent() - 1;
    let e = max.exponent().clamp(-limit, limit);
    ScaledSquares { scale: T::pow2(e), sum: sum_with(a, Square { factor: T::pow2(-e) }) }
}

/// The sum of squares of two blocks together.
pub fn combine<T: Scalar>(a: ScaledSquares<T>, b: ScaledSquares<T>) -> ScaledSquares<T> {
    let a_leads = b.sum == T::ZERO || (a.sum != T::ZERO && a.scale >= b.scale);
    let (large, small) = if a_leads { (a, b) } else { (b, a) };
    let ratio = small.scale / large.scale;
    ScaledSquares { scale: large.scale, sum: large.sum + small.sum * ratio * ratio }
}

/// The largest magnitude; 0 for an empty block. NaN is passed over: ask [`first_nonfinite`] for it.
pub fn max_abs<T: Scalar>(a: ArrayView2<T>) -> T {
    let lines = if by_rows(a.strides()) { a } else { a.reversed_axes() };
    lines.rows().into_iter().fold(T::ZERO, |max, row| match row.to_slice() {
        Some(values) => max.max(dispatch(MaxAbs(values))),
        None => row.iter().fold(max, |max, x| max.max(x.abs())),
    })
}

struct MaxAbs<'a, T>(&'a [T]);

impl<T: Scalar> Kernel for MaxAbs<'_, T> {
    type Output = T;

    #[inline(always)]
    fn run(self) -> T {
        let mut lanes = [T::ZERO; LANES];
        let (chunks, rest) = self.0.as_chunks::<LANES>();
        for chunk in chunks {
            for lane in 0..LANES {
                let x = chunk[lane].abs();
                lanes[lane] = if x > lanes[lane] { x } else { lanes[lane] };
            }
        }
        lanes.iter().chain(rest).fold(T::ZERO, |max, x| max.max(x.abs()))
    }
}

/// Row and column of the first NaN or infinity in row-major order.
pub fn first_nonfinite<T: Scalar>(a: ArrayView2<T>) -> Option<(usize, usize)> {
    let lines = if by_rows(a.strides()) { a } else { a.reversed_axes() };
    if lines.rows().into_iter().all(all_finite) {
        return None;
    }
    a.indexed_iter().find(|(_, x)| !x.is_finite()).map(|(at, _)| at)
}

fn all_finite<T: Scalar>(row: ArrayView1<T>) -> bool {
    match row.to_slice() {
        Some(values) => dispatch(AllFinite(values)),
        None => row.iter().all(|x| x.is_finite()),
    }
}

struct AllFinite<'a, T>(&'a [T]);

impl<T: Scalar> Kernel for AllFinite<'_, T> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        // 0·x is 0 for finite x and NaN otherwise, and NaN survives sums.
        let mut lanes = [T::ZERO; LANES];
        let (chunks, rest) = self.0.as_chunks::<LANES>();
        for chunk in chunks {
            for lane in 0..LANES {
                lanes[lane] += chunk[lane] * T::ZERO;
            }
        }
        lanes.iter().chain(rest).all(|x| x.is_finite())
    }
}
