//! Householder QR of a column-major panel in compact WY form, `Q = I − V·T·Vᵀ`, nearly all of it gemm.
//!
//! Recursive in the columns after Elmroth and Gustavson 2000. `V` is kept apart from `R`, with its ones and
//! zeros written out, so that every product with it is a plain gemm. Two shapes of panel:
//!
//! - [`Shape::Plain`]: an m×k panel, m ≥ k, becomes `V` (unit lower trapezoidal) and `R`.
//! - [`Shape::Stacked`]: a k×k upper triangle on top of a p×k panel `B`. The reflectors are `[I; V]` and
//!   only `V`, p×k, is stored; it replaces `B` (LAPACK's `tpqrt`). If `B` itself is upper trapezoidal, so is `V`.

mod base;

use crate::{Backend, Scalar, workspace};
use ndarray::{ArrayView2, ArrayViewMut2, Axis, s};

/// Widest panel that is factored column by column.
const BASE: usize = 8;

/// Which rows the reflectors have; see the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Plain,
    Stacked { trapezoid: bool },
}

/// Elements of workspace for [`factor`] with k columns.
pub(crate) fn factor_workspace(k: usize) -> usize {
    2 * k.div_ceil(2).next_multiple_of(BASE) * k
}

/// Factors the panel in place: `v` (m×k) becomes V, `r` (k×k) the triangle, `t` (k×k, upper triangular with
/// zeros written out) the factor T.
///
/// For `Plain`, the input is `v` and `r` is output with its strict lower triangle untouched; for `Stacked`,
/// `r` is both. All are column-major. About `2mk²` flops, and `mk²` more for T.
pub(crate) fn factor<B: Backend, T: Scalar>(
    shape: Shape,
    v: ArrayViewMut2<T>,
    r: ArrayViewMut2<T>,
    mut t: ArrayViewMut2<T>,
    work: &mut [T],
) {
    assert!(shape != Shape::Plain || v.nrows() >= v.ncols(), "a plain panel needs as many rows as columns");
    t.fill(T::ZERO);
    recurse::<B, T>(Node { shape, first: 0 }, v, r, t, work);
}

/// A range of columns; `first` is its distance from the panel's first column.
#[derive(Clone, Copy)]
struct Node {
    shape: Shape,
    first: usize,
}

impl Node {
    /// Rows of the stored reflectors that the first `width` columns of this node may touch.
    fn rows(self, width: usize, all: usize) -> usize {
        match self.shape {
            Shape::Stacked { trapezoid: true } => all.min(self.first + width),
            _ => all,
        }
    }

    /// Rows of the node's panel that belong to the columns from `width` on.
    fn skip(self, width: usize) -> usize {
        if self.shape == Shape::Plain { width } else { 0 }
    }
}

fn recurse<B: Backend, T: Scalar>(
    node: Node,
    v: ArrayViewMut2<T>,
    r: ArrayViewMut2<T>,
    t: ArrayViewMut2<T>,
    work: &mut [T],
) {
    let k = v.ncols();
    if k <= BASE {
        return base::factor(node, v, r, t);
    }
    let half = k.div_ceil(2).next_multiple_of(BASE);
    let rows = node.rows(half, v.nrows());
    let (mut v1, mut v2) = v.split_at(Axis(1), half);
    let ((mut r11, mut r12), (_, r22)) = quarters(r, half);
    let ((mut t11, t12), (_, mut t22)) = quarters(t, half);

    recurse::<B, T>(node, v1.view_mut(), r11.view_mut(), t11.view_mut(), work);
    let v1 = v1.slice(s![..rows, ..]);
    update::<B, T>(node.shape, v1, t11.view(), v2.slice_mut(s![..rows, ..]), r12.view_mut(), work);

    let right = Node { first: node.first + half, ..node };
    let skip = node.skip(half);
    let mut v2 = v2.slice_mut(s![skip.., ..]);
    recurse::<B, T>(right, v2.view_mut(), r22, t22.view_mut(), work);
    join::<B, T>(
        v1.slice(s![skip.., ..]),
        v2.slice(s![..rows - skip, ..]),
        t11.view(),
        t22.view(),
        t12,
        work,
    );
}

/// Applies the left half's Qᵀ to the right half `[r12; c]`.
fn update<B: Backend, T: Scalar>(
    shape: Shape,
    v: ArrayView2<T>,
    t: ArrayView2<T>,
    mut c: ArrayViewMut2<T>,
    mut r12: ArrayViewMut2<T>,
    mut work: &mut [T],
) {
    let (k, n) = r12.dim();
    let mut w = workspace::take_columns(&mut work, k, n);
    let mut tw = workspace::take_columns(&mut work, k, n);
    if shape == Shape::Plain {
        B::gemm(T::ONE, v.t(), c.view(), T::ZERO, w.view_mut());
    } else {
        w.assign(&r12);
        B::gemm(T::ONE, v.t(), c.view(), T::ONE, w.view_mut());
    }
    B::gemm(T::ONE, t.t(), w.view(), T::ZERO, tw.view_mut());
    B::gemm(-T::ONE, v, tw.view(), T::ONE, c.view_mut());
    if shape == Shape::Plain {
        let mut top = c.slice_mut(s![..k, ..]);
        r12.assign(&top);
        top.fill(T::ZERO);
    } else {
        r12 -= &tw;
    }
}

/// `T12 = −T1·(V1ᵀV2)·T2`.
fn join<B: Backend, T: Scalar>(
    v1: ArrayView2<T>,
    v2: ArrayView2<T>,
    t1: ArrayView2<T>,
    t2: ArrayView2<T>,
    t12: ArrayViewMut2<T>,
    mut work: &mut [T],
) {
    let (k, n) = t12.dim();
    let mut w = workspace::take_columns(&mut work, k, n);
    let mut tw = workspace::take_columns(&mut work, k, n);
    B::gemm(T::ONE, v1.t(), v2, T::ZERO, w.view_mut());
    B::gemm(T::ONE, t1, w.view(), T::ZERO, tw.view_mut());
    B::gemm(-T::ONE, tw.view(), t2, T::ZERO, t12);
}

type Pair<'a, T> = (ArrayViewMut2<'a, T>, ArrayViewMut2<'a, T>);

fn quarters<T>(a: ArrayViewMut2<'_, T>, at: usize) -> (Pair<'_, T>, Pair<'_, T>) {
    let (top, bottom) = a.split_at(Axis(0), at);
    (top.split_at(Axis(1), at), bottom.split_at(Axis(1), at))
}
