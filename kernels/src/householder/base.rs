//! A few columns, one reflector after the other.

use super::{BASE, Node, Shape};
use crate::Scalar;
use crate::simd::{Simd, VectorKernel, dispatch_vectors};
use ndarray::ArrayViewMut2;

/// Up to so many columns all that is left of rounding must not exceed a few units, whatever the number of rows:
/// the bounds are multiples of the number of columns.
const NARROW: usize = 4;

/// Factors up to [`BASE`] columns; see [`super::factor`] for the arguments.
pub(super) fn factor<T: Scalar>(
    node: Node,
    mut v: ArrayViewMut2<T>,
    r: ArrayViewMut2<T>,
    t: ArrayViewMut2<T>,
) {
    let (rows, width) = v.dim();
    let mut columns: [&mut [T]; BASE] = Default::default();
    for (slot, column) in columns.iter_mut().zip(v.columns_mut()) {
        *slot = column.into_slice().expect("panels are column-major");
    }
    dispatch_vectors(Base { node, rows, columns: &mut columns[..width], r, t });
}

struct Base<'a, 'v, T> {
    node: Node,
    rows: usize,
    /// The panel.
    columns: &'a mut [&'v mut [T]],
    r: ArrayViewMut2<'a, T>,
    t: ArrayViewMut2<'a, T>,
}

impl<T: Scalar> VectorKernel<T> for Base<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<T>>(mut self, simd: S) {
        for j in 0..self.columns.len() {
            let rows = self.node.rows(j + 1, self.rows);
            if self.node.shape == Shape::Plain {
                self.lift_row(j);
            }
            let tau = self.reflector(simd, j, rows);
            self.update(simd, j, rows, tau);
            if self.node.shape == Shape::Plain {
                self.columns[j][j] = T::ONE;
            }
            self.extend_t(simd, j, tau);
        }
    }
}

impl<T: Scalar> Base<'_, '_, T> {
    /// Row j of a plain panel is final from column j on: it moves to R and leaves zeros.
    #[inline(always)]
    fn lift_row(&mut self, j: usize) {
        for l in j..self.columns.len() {
            self.r[(j, l)] = std::mem::replace(&mut self.columns[l][j], T::ZERO);
        }
    }

    /// Makes the reflector that maps `[r_jj; v_j]` to `[β; 0]`: leaves β in r_jj and its tail (head 1) in v_j.
    ///
    /// A tail whose square would be subnormal is below the rounding error of the whole column, which callers
    /// keep within [`Scalar::SAFE_EXPONENTS`]; it counts as zero.
    #[inline(always)]
    fn reflector<S: Simd<T>>(&mut self, simd: S, j: usize, rows: usize) -> T {
        let tail = &mut self.columns[j][..rows];
        let [ssq] = dots(simd, tail, [tail]);
        if ssq < T::MIN_POSITIVE / T::EPS {
            tail.fill(T::ZERO);
            return T::ZERO;
        }
        let head = self.r[(j, j)];
        let beta = -(head * head + ssq).sqrt().copysign(head);
        let scale = T::ONE / (head - beta);
        tail.iter_mut().for_each(|x| *x *= scale);
        self.r[(j, j)] = beta;
        // Not (β − head)/β: the reflector is as orthogonal as τ fits the tail that was stored, rounded.
        let (ssq, rest) = if self.t.ncols() <= NARROW {
            square_sum(simd, tail)
        } else {
            (dots(simd, tail, [tail])[0], T::ZERO)
        };
        let (length, error) = two_sum(T::ONE, ssq);
        let tau = (T::ONE + T::ONE) / length;
        tau - tau * ((error + rest) / length)
    }

    /// Applies reflector j to the later columns, four at a time.
    #[inline(always)]
    fn update<S: Simd<T>>(&mut self, simd: S, j: usize, rows: usize, tau: T) {
        let mut l = j + 1;
        while l < self.columns.len() {
            l += match self.columns.len() - l {
                1 => self.update_some::<S, 1>(simd, j, l, rows, tau),
                2 => self.update_some::<S, 2>(simd, j, l, rows, tau),
                3 => self.update_some::<S, 3>(simd, j, l, rows, tau),
                _ => self.update_some::<S, 4>(simd, j, l, rows, tau),
            };
        }
    }

    /// Applies it to the columns from l on, C of them.
    #[inline(always)]
    fn update_some<S: Simd<T>, const C: usize>(
        &mut self,
        simd: S,
        j: usize,
        l: usize,
        rows: usize,
        tau: T,
    ) -> usize {
        let (before, from_l) = self.columns.split_at_mut(l);
        let reflector = &before[j][..rows];
        let mut from_l = from_l.iter_mut();
        let later: [&mut [T]; C] =
            std::array::from_fn(|_| &mut from_l.next().expect("C columns are left")[..rows]);
        let dots: [T; C] = dots(simd, reflector, std::array::from_fn(|c| &*later[c]));
        let factors: [T; C] = std::array::from_fn(|c| tau * (self.r[(j, l + c)] + dots[c]));
        subtract(simd, reflector, factors, later);
        for (c, factor) in factors.into_iter().enumerate() {
            self.r[(j, l + c)] -= factor;
        }
        C
    }

    /// Column j of T: `−τ·T·(Vᵀv_j)` above `τ`.
    #[inline(always)]
    fn extend_t<S: Simd<T>>(&mut self, simd: S, j: usize, tau: T) {
        let mut products = [T::ZERO; BASE];
        let mut i = 0;
        while i < j {
            let rows = self.node.rows(i + 1, self.rows);
            let column = &self.columns[j][..rows];
            // Columns of a trapezoid end at different rows.
            let alike = self.node.rows(i + 4, self.rows) == rows;
            if alike && i + 4 <= j {
                let earlier: [&[T]; 4] = std::array::from_fn(|c| &self.columns[i + c][..rows]);
                products[i..i + 4].copy_from_slice(&dots(simd, column, earlier));
                i += 4;
            } else {
                [products[i]] = dots(simd, column, [&self.columns[i][..rows]]);
                i += 1;
            }
        }
        for i in 0..j {
            let sum = (i..j).fold(T::ZERO, |sum, l| sum + self.t[(i, l)] * products[l]);
            self.t[(i, j)] = -tau * sum;
        }
        self.t[(j, j)] = tau;
    }
}

/// `columns[c] ← columns[c] − factors[c]·v`.
#[inline(always)]
fn subtract<T: Scalar, S: Simd<T>, const C: usize>(
    simd: S,
    v: &[T],
    factors: [T; C],
    columns: [&mut [T]; C],
) {
    let whole = v.len() / S::LANES * S::LANES;
    assert!(columns.iter().all(|column| column.len() == v.len()));
    let negative = factors.map(|factor| simd.splat(-factor));
    for i in (0..whole).step_by(S::LANES) {
        // SAFETY: i + LANES ≤ whole ≤ the length of v.
        let x = unsafe { simd.load(v, i) };
        for c in 0..C {
            // SAFETY: all columns are as long as v.
            let y = unsafe { simd.load(columns[c], i) };
            // SAFETY: where the lanes came from there is room for them.
            unsafe { simd.store(simd.mul_add(negative[c], x, y), columns[c], i) };
        }
    }
    for i in whole..v.len() {
        for c in 0..C {
            columns[c][i] = simd.mul_add_one(-factors[c], v[i], columns[c][i]);
        }
    }
}

/// The dot products of `v` with each column, with short chains of additions: columns whose entries are all
/// alike make every rounding error point the same way. Blocks are added with their errors kept. The order
/// does not depend on how many columns there are.
#[inline(always)]
fn dots<T: Scalar, S: Simd<T>, const C: usize>(simd: S, v: &[T], columns: [&[T]; C]) -> [T; C] {
    const BLOCK: usize = 1024;
    let mut total = [0.0; C];
    let mut error = [0.0; C];
    for start in (0..v.len()).step_by(BLOCK) {
        let rows = start..(start + BLOCK).min(v.len());
        let part = block_dots(simd, &v[rows.clone()], columns.map(|column| &column[rows.clone()]));
        for c in 0..C {
            let (sum, lost) = two_sum(total[c], part[c].to_f64());
            total[c] = sum;
            error[c] += lost;
        }
    }
    std::array::from_fn(|c| T::from_f64(total[c] + error[c]))
}

/// [`dots`] in two vectors of partial sums for each column, which are put aside after a few additions.
#[inline(always)]
fn block_dots<T: Scalar, S: Simd<T>, const C: usize>(simd: S, v: &[T], columns: [&[T]; C]) -> [T; C] {
    const CHAIN: usize = 12;
    let step = 2 * S::LANES;
    let whole = v.len() / step * step;
    assert!(columns.iter().all(|column| column.len() == v.len()));
    let mut aside = [simd.splat(T::ZERO); C];
    for start in (0..whole).step_by(CHAIN * step) {
        let mut even = [simd.splat(T::ZERO); C];
        let mut odd = even;
        for i in (start..whole.min(start + CHAIN * step)).step_by(step) {
            // SAFETY: i + 2·LANES ≤ whole ≤ the length of v.
            let x_even = unsafe { simd.load(v, i) };
            // SAFETY: as above.
            let x_odd = unsafe { simd.load(v, i + S::LANES) };
            for c in 0..C {
                // SAFETY: all columns are as long as v.
                let y_even = unsafe { simd.load(columns[c], i) };
                // SAFETY: as above.
                let y_odd = unsafe { simd.load(columns[c], i + S::LANES) };
                even[c] = simd.mul_add(x_even, y_even, even[c]);
                odd[c] = simd.mul_add(x_odd, y_odd, odd[c]);
            }
        }
        aside = std::array::from_fn(|c| simd.add(aside[c], simd.add(even[c], odd[c])));
    }
    std::array::from_fn(|c| {
        let rest = (whole..v.len()).fold(T::ZERO, |sum, i| simd.mul_add_one(v[i], columns[c][i], sum));
        simd.sum(aside[c]) + rest
    })
}

/// `x + y` rounded, and what rounding took away (Knuth).
#[inline(always)]
fn two_sum<T: Scalar>(x: T, y: T) -> (T, T) {
    let sum = x + y;
    let back = sum - x;
    (sum, (x - (sum - back)) + (y - back))
}

/// The sum of squares as a rounded number and a correction: `dot2` of Ogita, Rump and Oishi 2005.
#[inline(always)]
fn square_sum<T: Scalar, S: Simd<T>>(simd: S, v: &[T]) -> (T, T) {
    const LANES: usize = 8;
    let mut sums = [T::ZERO; LANES];
    let mut rests = [T::ZERO; LANES];
    let mut add = |lane: usize, x: T| {
        let square = x * x;
        let (sum, lost) = two_sum(sums[lane], square);
        sums[lane] = sum;
        rests[lane] += simd.mul_add_one(x, x, -square) + lost;
    };
    let (chunks, last) = v.as_chunks::<LANES>();
    for chunk in chunks {
        chunk.iter().enumerate().for_each(|(lane, x)| add(lane, *x));
    }
    last.iter().enumerate().for_each(|(lane, x)| add(lane, *x));
    sums.into_iter().zip(rests).fold((T::ZERO, T::ZERO), |(sum, rest), (x, lost)| {
        let (sum, more) = two_sum(sum, x);
        (sum, rest + lost + more)
    })
}
