//! QR of one block of rows, as a chain of panels that stay in cache.
//!
//! The first panel is factored by itself; each later one is stacked under the triangle so far, which costs no
//! more than its own `2pn²` flops. The cut into panels depends on the block's shape only.

use super::panel;
use crate::scaling::ColumnShifts;
use crate::{Backend, Scalar, transpose, workspace};
use ndarray::{ArrayView2, ArrayViewMut2, s};
use std::ops::Range;

/// Bytes that a panel should have: what L2 holds beside gemm's own packing.
const PANEL_BYTES: usize = 600 << 10;

/// How a block of b×n is cut into panels.
#[derive(Clone, Copy)]
struct Cut {
    rows: usize,
    panels: usize,
    /// No panel has more rows, nor has one of a shorter block.
    tallest: usize,
}

impl Cut {
    /// Panels of nearly equal size, none with fewer rows than columns unless it is the only one.
    fn new<T>(b: usize, n: usize) -> Self {
        let wanted = (PANEL_BYTES / size_of::<T>() / n.max(1)).max(2 * n).max(1);
        Self { rows: b, panels: b.div_ceil(wanted).max(1), tallest: b.min(wanted) }
    }

    fn panel(self, i: usize) -> Range<usize> {
        let at = |i| (self.rows as u128 * i as u128 / self.panels as u128) as usize;
        at(i)..at(i + 1)
    }
}

/// Elements of workspace for [`leaf_r`] of a b×n block; enough for a shorter one too.
pub fn leaf_workspace<T: Scalar>(b: usize, n: usize) -> usize {
    let k = b.min(n);
    n + k * n + k * k + panel::factor_workspace(k, n) + Cut::new::<T>(b, n).tallest * n
}

/// Flops of [`leaf_r`], counted as `2bn²` (for b < n: `2nb²`).
pub fn leaf_flops(b: usize, n: usize) -> f64 {
    2.0 * b as f64 * n as f64 * b.min(n) as f64
}

/// `r ← R`, k×n with k = min(b, n), for the QR factorisation of the b×n block `a`. Signs are arbitrary; below
/// the diagonal are zeros.
///
/// # Panics
/// If shapes do not fit or `work` is shorter than [`leaf_workspace`].
pub fn leaf_r<B: Backend, T: Scalar>(a: ArrayView2<T>, r: &mut ArrayViewMut2<T>, mut work: &mut [T]) {
    let (b, n) = a.dim();
    let k = b.min(n);
    assert_eq!(r.dim(), (k, n), "R of a {b}×{n} block is {k}×{n}");
    workspace::check(work, leaf_workspace::<T>(b, n));
    let cut = Cut::new::<T>(b, n);
    let mut chain = Chain::new(k, n, &mut work);
    let t = workspace::take(&mut work, k * k);
    let panel = workspace::take(&mut work, cut.tallest * n);
    for i in 0..cut.panels {
        let rows = a.slice(s![cut.panel(i), ..]);
        let v = workspace::columns(panel, rows.nrows(), n);
        chain.link::<B>(i, rows, v, workspace::columns(t, k, k), work);
    }
    panel::write_r(chain.r.view(), &chain.shifts, r.view_mut());
}

/// The triangle of the panels so far.
struct Chain<'a, T> {
    r: ArrayViewMut2<'a, T>,
    shifts: ColumnShifts<'a, T>,
}

impl<'a, T: Scalar> Chain<'a, T> {
    fn new(k: usize, n: usize, work: &mut &'a mut [T]) -> Self {
        let mut r = workspace::take_columns(work, k, n);
        r.fill(T::ZERO);
        Self { r, shifts: ColumnShifts::new(workspace::take(work, n)) }
    }

    /// Factors panel i, whose reflectors go to `v` and `t`.
    fn link<B: Backend>(
        &mut self,
        i: usize,
        rows: ArrayView2<T>,
        mut v: ArrayViewMut2<T>,
        t: ArrayViewMut2<T>,
        work: &mut [T],
    ) {
        transpose::copy(rows, v.view_mut());
        panel::rescale(&mut self.shifts, v.view_mut(), self.r.view_mut());
        if i == 0 {
            panel::first::<B, T>(v, self.r.view_mut(), t, work);
        } else {
            panel::next::<B, T>(false, v, self.r.view_mut(), t, work);
        }
    }
}

/// Elements of workspace for [`leaf_apply`] of a b×n block to c columns: the block once more, and what
/// [`leaf_r`] needs.
pub fn leaf_apply_workspace<T: Scalar>(b: usize, n: usize, c: usize) -> usize {
    let k = b.min(n);
    let small = panel::factor_workspace(k, n).max(k * c + panel::apply_workspace(k, c));
    n + k * n + Cut::new::<T>(b, n).panels * k * k + b * n + small
}

/// Flops of [`leaf_apply`]: `2bnk` for the factorisation and `2bkc` for Q.
pub fn leaf_apply_flops(b: usize, n: usize, c: usize) -> f64 {
    leaf_flops(b, n) + 2.0 * b as f64 * b.min(n) as f64 * c as f64
}

/// `out ← Q·seed`, b×c, where Q (b×k, orthonormal columns) is that of [`leaf_r`], bit by bit; `seed` is k×c.
///
/// # Panics
/// If shapes do not fit or `work` is shorter than [`leaf_apply_workspace`].
pub fn leaf_apply<B: Backend, T: Scalar>(
    a: ArrayView2<T>,
    seed: ArrayView2<T>,
    mut out: ArrayViewMut2<T>,
    mut work: &mut [T],
) {
    let (b, n) = a.dim();
    let c = seed.ncols();
    let k = b.min(n);
    assert_eq!(seed.nrows(), k, "the seed of a {b}×{n} block has {k} rows");
    assert_eq!(out.dim(), (b, c), "Q·seed of a {b}×{n} block is {b}×{c}");
    workspace::check(work, leaf_apply_workspace::<T>(b, n, c));
    let cut = Cut::new::<T>(b, n);
    let mut chain = Chain::new(k, n, &mut work);
    let t = workspace::take(&mut work, cut.panels * k * k);
    let reflectors = workspace::take(&mut work, b * n);
    for i in 0..cut.panels {
        let Range { start, end } = cut.panel(i);
        let v = workspace::columns(&mut reflectors[start * n..], end - start, n);
        let t = workspace::columns(&mut t[i * k * k..], k, k);
        chain.link::<B>(i, a.slice(s![start..end, ..]), v, t, work);
    }
    let mut seed_now = workspace::take_rows(&mut work, k, c);
    seed_now.assign(&seed);
    for i in (0..cut.panels).rev() {
        let Range { start, end } = cut.panel(i);
        let v = workspace::columns(&mut reflectors[start * n..], end - start, n);
        let t = workspace::columns(&mut t[i * k * k..], k, k);
        let out = out.slice_mut(s![start..end, ..]);
        if i == 0 {
            panel::apply_first::<B, T>(v.slice(s![.., ..k]), t.view(), seed_now.view(), out, work);
        } else {
            panel::apply_next::<B, T>(v.view(), t.view(), seed_now.view_mut(), out, work);
        }
    }
}
