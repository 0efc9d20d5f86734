//! A few columns, one reflector after the other.

use super::{Node, Shape};
use crate::Scalar;
use crate::simd::{Kernel, dispatch, fma};
use ndarray::ArrayViewMut2;

/// Factors up to [`super::BASE`] columns; see [`super::factor`] for the arguments.
pub(super) fn factor<T: Scalar>(node: Node, v: ArrayViewMut2<T>, r: ArrayViewMut2<T>, t: ArrayViewMut2<T>) {
    assert!(v.strides()[0] == 1 || v.nrows() <= 1, "panels are column-major");
    dispatch(Base { node, v, r, t });
}

struct Base<'a, T> {
    node: Node,
    v: ArrayViewMut2<'a, T>,
    r: ArrayViewMut2<'a, T>,
    t: ArrayViewMut2<'a, T>,
}

impl<T: Scalar> Kernel for Base<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(mut self) {
        for j in 0..self.v.ncols() {
            let rows = self.node.rows(j + 1, self.v.nrows());
            if self.node.shape == Shape::Plain {
                self.lift_row(j);
            }
            let tau = self.reflector::<FMA>(j, rows);
            self.update::<FMA>(j, rows, tau);
            if self.node.shape == Shape::Plain {
                self.v[(j, j)] = T::ONE;
            }
            self.extend_t::<FMA>(j, tau);
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
    fn reflector<const FMA: bool>(&mut self, j: usize, rows: usize) -> T {
        let [ssq] = dots::<T, FMA, 1>(self.column(j, rows), [self.column(j, rows)]);
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
        tail.iter_mut().for_each(|x| *x = *x * scale);
        self.r[(j, j)] = beta;
        (beta - head) / beta
    }

    /// Applies reflector j to the later columns, four at a time.
    #[inline(always)]
    fn update<const FMA: bool>(&mut self, j: usize, rows: usize, tau: T) {
        let mut l = j + 1;
        while l < self.v.ncols() {
            l += match self.v.ncols() - l {
                1 => self.update_some::<FMA, 1>(j, l, rows, tau),
                2 => self.update_some::<FMA, 2>(j, l, rows, tau),
                3 => self.update_some::<FMA, 3>(j, l, rows, tau),
                _ => self.update_some::<FMA, 4>(j, l, rows, tau),
            };
        }
    }

    #[inline(always)]
    fn update_some<const FMA: bool, const C: usize>(&mut self, j: usize, l: usize, rows: usize, tau: T) -> usize {
        let (vj, later) = self.columns::<C>(j, l, rows);
        let dots = dots::<T, FMA, C>(vj, std::array::from_fn(|c| &*later[c]));
        let d: [T; C] = std::array::from_fn(|c| tau * (self.r[(j, l + c)] + dots[c]));
        subtract::<T, FMA, C>(vj, d, later);
        for c in 0..C {
            self.r[(j, l + c)] = self.r[(j, l + c)] - d[c];
        }
        C
    }

    /// Column j of T: `−τ·T·(Vᵀv_j)` above `τ`.
    #[inline(always)]
    fn extend_t<const FMA: bool>(&mut self, j: usize, tau: T) {
        let mut products = [T::ZERO; super::BASE];
        let mut i = 0;
        while i < j {
            let rows = self.node.rows(i + 1, self.v.nrows());
            // Columns of a trapezoid end at different rows.
            let alike = self.node.rows(i + 4, self.v.nrows()) == rows;
            if alike && i + 4 <= j {
                let columns = std::array::from_fn(|c| self.column(i + c, rows));
                products[i..i + 4].copy_from_slice(&dots::<T, FMA, 4>(self.column(j, rows), columns));
                i += 4;
            } else {
                [products[i]] = dots::<T, FMA, 1>(self.column(j, rows), [self.column(i, rows)]);
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

/// `columns[c] ← columns[c] − d[c]·v`, in chunks of a cache line each.
#[inline(always)]
fn subtract<T: Scalar, const FMA: bool, const C: usize>(v: &[T], d: [T; C], columns: [&mut [T]; C]) {
    const LANES: usize = 8;
    let whole = v.len() / LANES * LANES;
    for i in (0..whole).step_by(LANES) {
        let x: [T; LANES] = std::array::from_fn(|lane| v[i + lane]);
        for c in 0..C {
            let y: &mut [T] = &mut columns[c][i..i + LANES];
            let new: [T; LANES] = std::array::from_fn(|lane| fma::<T, FMA>(-d[c], x[lane], y[lane]));
            y.copy_from_slice(&new);
        }
    }
    for i in whole..v.len() {
        for c in 0..C {
            columns[c][i] = fma::<T, FMA>(-d[c], v[i], columns[c][i]);
        }
    }
}

/// The dot products of `v` with each column, in a fixed order that does not depend on how many columns there are.
#[inline(always)]
fn dots<T: Scalar, const FMA: bool, const C: usize>(v: &[T], columns: [&[T]; C]) -> [T; C] {
    // 64 bytes: two vectors of partial sums for each of up to four columns keep the multipliers busy.
    if size_of::<T>() == 4 { lane_dots::<T, FMA, C, 16>(v, columns) } else { lane_dots::<T, FMA, C, 8>(v, columns) }
}

#[inline(always)]
fn lane_dots<T: Scalar, const FMA: bool, const C: usize, const LANES: usize>(v: &[T], columns: [&[T]; C]) -> [T; C] {
    let whole = v.len() / LANES * LANES;
    let columns = columns.map(|column| &column[..v.len()]);
    let mut sums = [[T::ZERO; LANES]; C];
    for i in (0..whole).step_by(LANES) {
        let x = &v[i..i + LANES];
        for c in 0..C {
            let y = &columns[c][i..i + LANES];
            for lane in 0..LANES {
                sums[c][lane] = fma::<T, FMA>(x[lane], y[lane], sums[c][lane]);
            }
        }
    }
    std::array::from_fn(|c| {
        let mut rest = T::ZERO;
        for i in whole..v.len() {
            rest = fma::<T, FMA>(v[i], columns[c][i], rest);
        }
        let mut lanes = sums[c];
        let mut width = LANES / 2;
        while width > 0 {
            for lane in 0..width {
                lanes[lane] = lanes[lane] + lanes[lane + width];
            }
            width /= 2;
        }
        lanes[0] + rest
    })
}
