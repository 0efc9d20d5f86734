//! A few columns, one reflector after the other.

use super::{Node, Shape};
use crate::Scalar;
use crate::simd::{Vector, VectorKernel, dispatch_vectors};
use ndarray::ArrayViewMut2;

/// Up to so many columns all that is left of rounding must not exceed a few units, whatever the number of rows:
/// the bounds are multiples of the number of columns.
const NARROW: usize = 4;

/// Factors up to [`super::BASE`] columns; see [`super::factor`] for the arguments.
pub(super) fn factor<T: Scalar>(node: Node, v: ArrayViewMut2<T>, r: ArrayViewMut2<T>, t: ArrayViewMut2<T>) {
    assert!(v.strides()[0] == 1 || v.nrows() <= 1, "panels are column-major");
    dispatch_vectors(Base { node, v, r, t });
}

struct Base<'a, T> {
    node: Node,
    v: ArrayViewMut2<'a, T>,
    r: ArrayViewMut2<'a, T>,
    t: ArrayViewMut2<'a, T>,
}

impl<T: Scalar> VectorKernel<T> for Base<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<T>>(mut self) {
        for j in 0..self.v.ncols() {
            let rows = self.node.rows(j + 1, self.v.nrows());
            if self.node.shape == Shape::Plain {
                self.lift_row(j);
            }
            let tau = self.reflector::<V>(j, rows);
            self.update::<V>(j, rows, tau);
            if self.node.shape == Shape::Plain {
                self.v[(j, j)] = T::ONE;
            }
            self.extend_t::<V>(j, tau);
        }
    }
}

impl<T: Scalar> Base<'_, T> {
    /// Row j of a plain panel is final from column j on: it moves to R and leaves zeros.
    #[inline(always)]
    fn lift_row(&mut self, j: usize) {
        for l in j..self.v.ncols() {
            self.r[(j, l)] = std::mem::replace(&mut self.v[(j, l)], T::ZERO);
        }
    }

    #[inline(always)]
    fn column(&self, j: usize, rows: usize) -> &[T] {
        // SAFETY: column j < ncols is contiguous (asserted in `factor`) and has at least `rows` elements.
        unsafe { std::slice::from_raw_parts(self.v.as_ptr().offset(self.v.strides()[1] * j as isize), rows) }
    }

    /// Column j to read and columns l.. > j to write.
    #[inline(always)]
    fn columns<'b, const C: usize>(&mut self, j: usize, l: usize, rows: usize) -> (&'b [T], [&'b mut [T]; C])
    where
        T: 'b,
    {
        assert!(j < l && l + C <= self.v.ncols() && rows <= self.v.nrows());
        let stride = self.v.strides()[1];
        let base = self.v.as_mut_ptr();
        // SAFETY: as in `column`; different columns do not overlap. The lifetime is longer than the borrow so
        // that `r` can be used meanwhile; the only caller drops the slices before it touches `v` again.
        unsafe {
            (
                std::slice::from_raw_parts(base.offset(stride * j as isize), rows),
                std::array::from_fn(|c| {
                    std::slice::from_raw_parts_mut(base.offset(stride * (l + c) as isize), rows)
                }),
            )
        }
    }

    /// Makes the reflector that maps `[r_jj; v_j]` to `[β; 0]`: leaves β in r_jj and its tail (head 1) in v_j.
    ///
    /// A tail whose square would be subnormal is below the rounding error of the whole column, which callers
    /// keep within [`Scalar::SAFE_EXPONENTS`]; it counts as zero.
    #[inline(always)]
    fn reflector<V: Vector<T>>(&mut self, j: usize, rows: usize) -> T {
        let [ssq] = dots::<T, V, 1>(self.column(j, rows), [self.column(j, rows)]);
        let stride = self.v.strides()[1];
        // SAFETY: as in `column`; `self` is borrowed mutably.
        let tail =
            unsafe { std::slice::from_raw_parts_mut(self.v.as_mut_ptr().offset(stride * j as isize), rows) };
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
        let column = self.column(j, rows);
        let (ssq, rest) = if self.t.ncols() <= NARROW {
            square_sum::<T, V>(column)
        } else {
            (dots::<T, V, 1>(column, [column])[0], T::ZERO)
        };
        let (length, error) = two_sum(T::ONE, ssq);
        let tau = (T::ONE + T::ONE) / length;
        tau - tau * ((error + rest) / length)
    }

    /// Applies reflector j to the later columns, four at a time.
    #[inline(always)]
    fn update<V: Vector<T>>(&mut self, j: usize, rows: usize, tau: T) {
        let mut l = j + 1;
        while l < self.v.ncols() {
            l += match self.v.ncols() - l {
                1 => self.update_some::<V, 1>(j, l, rows, tau),
                2 => self.update_some::<V, 2>(j, l, rows, tau),
                3 => self.update_some::<V, 3>(j, l, rows, tau),
                _ => self.update_some::<V, 4>(j, l, rows, tau),
            };
        }
    }

    #[inline(always)]
    fn update_some<V: Vector<T>, const C: usize>(
        &mut self,
        j: usize,
        l: usize,
        rows: usize,
        tau: T,
    ) -> usize {
        let (vj, later) = self.columns::<C>(j, l, rows);
        let dots = dots::<T, V, C>(vj, std::array::from_fn(|c| &*later[c]));
        let d: [T; C] = std::array::from_fn(|c| tau * (self.r[(j, l + c)] + dots[c]));
        subtract::<T, V, C>(vj, d, later);
        for (c, d) in d.into_iter().enumerate() {
            self.r[(j, l + c)] -= d;
        }
        C
    }

    /// Column j of T: `−τ·T·(Vᵀv_j)` above `τ`.
    #[inline(always)]
    fn extend_t<V: Vector<T>>(&mut self, j: usize, tau: T) {
        let mut products = [T::ZERO; super::BASE];
        let mut i = 0;
        while i < j {
            let rows = self.node.rows(i + 1, self.v.nrows());
            // Columns of a trapezoid end at different rows.
            let alike = self.node.rows(i + 4, self.v.nrows()) == rows;
            if alike && i + 4 <= j {
                let columns = std::array::from_fn(|c| self.column(i + c, rows));
                products[i..i + 4].copy_from_slice(&dots::<T, V, 4>(self.column(j, rows), columns));
                i += 4;
            } else {
                [products[i]] = dots::<T, V, 1>(self.column(j, rows), [self.column(i, rows)]);
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

/// `columns[c] ← columns[c] − d[c]·v`.
#[inline(always)]
fn subtract<T: Scalar, V: Vector<T>, const C: usize>(v: &[T], d: [T; C], columns: [&mut [T]; C]) {
    let whole = v.len() / V::LANES * V::LANES;
    assert!(columns.iter().all(|column| column.len() == v.len()));
    let factors = d.map(|d| V::splat(-d));
    for i in (0..whole).step_by(V::LANES) {
        // SAFETY: i + LANES ≤ whole ≤ the length of all columns.
        unsafe {
            let x = V::load(v.as_ptr().add(i));
            for c in 0..C {
                let y = columns[c].as_mut_ptr().add(i);
                factors[c].mul_add(x, V::load(y)).store(y);
            }
        }
    }
    for i in whole..v.len() {
        for c in 0..C {
            columns[c][i] = V::mul_add_one(-d[c], v[i], columns[c][i]);
        }
    }
}

/// The dot products of `v` with each column, with short chains of additions: columns whose entries are all
/// alike make every rounding error point the same way. Blocks are added with their errors kept. The order
/// does not depend on how many columns there are.
#[inline(always)]
fn dots<T: Scalar, V: Vector<T>, const C: usize>(v: &[T], columns: [&[T]; C]) -> [T; C] {
    const BLOCK: usize = 1024;
    let (mut total, mut error) = ([0.0; C], [0.0; C]);
    for start in (0..v.len()).step_by(BLOCK) {
        let rows = start..(start + BLOCK).min(v.len());
        let part = block_dots::<T, V, C>(&v[rows.clone()], columns.map(|column| &column[rows.clone()]));
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
fn block_dots<T: Scalar, V: Vector<T>, const C: usize>(v: &[T], columns: [&[T]; C]) -> [T; C] {
    const CHAIN: usize = 12;
    let step = 2 * V::LANES;
    let whole = v.len() / step * step;
    assert!(columns.iter().all(|column| column.len() == v.len()));
    let mut aside = [V::splat(T::ZERO); C];
    for start in (0..whole).step_by(CHAIN * step) {
        let mut even = [V::splat(T::ZERO); C];
        let mut odd = even;
        for i in (start..whole.min(start + CHAIN * step)).step_by(step) {
            // SAFETY: i + 2·LANES ≤ whole ≤ the length of all columns.
            unsafe {
                let x = (V::load(v.as_ptr().add(i)), V::load(v.as_ptr().add(i + V::LANES)));
                for c in 0..C {
                    let y = columns[c].as_ptr().add(i);
                    even[c] = x.0.mul_add(V::load(y), even[c]);
                    odd[c] = x.1.mul_add(V::load(y.add(V::LANES)), odd[c]);
                }
            }
        }
        aside = std::array::from_fn(|c| aside[c].add(even[c].add(odd[c])));
    }
    std::array::from_fn(|c| {
        let rest = (whole..v.len()).fold(T::ZERO, |sum, i| V::mul_add_one(v[i], columns[c][i], sum));
        aside[c].sum() + rest
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
fn square_sum<T: Scalar, V: Vector<T>>(v: &[T]) -> (T, T) {
    const LANES: usize = 8;
    let (mut sums, mut rests) = ([T::ZERO; LANES], [T::ZERO; LANES]);
    let mut add = |lane: usize, x: T| {
        let square = x * x;
        let (sum, lost) = two_sum(sums[lane], square);
        sums[lane] = sum;
        rests[lane] += V::mul_add_one(x, x, -square) + lost;
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
