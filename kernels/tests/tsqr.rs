//! Householder TSQR against the bounds, over matrices, shapes, types and backends.

mod common;

use common::*;
use kernels::{Backend, Scalar, tsqr};
use ndarray::{Array2, ArrayView2, Axis, concatenate, s};

fn leaf<B: Backend, T: Scalar>(a: ArrayView2<T>) -> (Array2<T>, Array2<T>) {
    let (b, n) = a.dim();
    let k = b.min(n);
    let nan = T::from_f64(f64::NAN);
    let mut r = Array2::from_elem((k, n), nan);
    let mut q = Array2::from_elem((b, k), nan);
    tsqr::leaf_r::<B, T>(a, &mut r.view_mut(), &mut vec![nan; tsqr::leaf_workspace::<T>(b, n)]);
    let mut work = vec![nan; tsqr::leaf_apply_workspace::<T>(b, n, k)];
    tsqr::leaf_apply::<B, T>(a, Array2::eye(k).view(), q.view_mut(), &mut work);
    (q, r)
}

fn merge<B: Backend, T: Scalar>(top: ArrayView2<T>, bottom: ArrayView2<T>) -> (Array2<T>, Array2<T>) {
    let (r1, n) = top.dim();
    let r2 = bottom.nrows();
    let k = n.min(r1 + r2);
    let nan = T::from_f64(f64::NAN);
    let mut factor = vec![nan; tsqr::factor_len(r1, r2, n)];
    tsqr::merge::<B, T>(top, bottom, &mut factor, &mut vec![nan; tsqr::merge_workspace(r1, r2, n)]);
    let mut r = Array2::from_elem((k, n), nan);
    let mut q = Array2::from_elem((r1 + r2, k), nan);
    tsqr::factor_r(&factor, r1, r2, n, r.view_mut());
    let mut work = vec![nan; tsqr::merge_apply_workspace(r1, r2, n, k)];
    tsqr::merge_apply::<B, T>(&factor, r1, r2, n, Array2::eye(k).view(), q.view_mut(), &mut work);
    (q, r)
}

fn assert_qr<T: Scalar>(a: ArrayView2<T>, q: ArrayView2<T>, r: ArrayView2<T>, what: &str) {
    assert_upper(r, what);
    assert_orthonormal(q, a.ncols(), what);
    assert_columns_match(a, q, r, what);
}

const SHAPES: [(usize, usize); 14] = [
    (1, 1),
    (1, 7),
    (7, 1),
    (5, 5),
    (3, 8),
    (40, 13),
    (64, 64),
    (63, 65),
    (30, 100),
    (300, 64),
    (1700, 100),
    (20_001, 8),
    (100_003, 1),
    (700, 300),
];

fn leaves<B: Backend, T: Scalar>() {
    let seed = seed();
    for (b, n) in SHAPES.into_iter().filter(|(b, n)| tried(b * n)) {
        for (name, a) in zoo::<T>(b, n, seed) {
            let (q, r) = leaf::<B, T>(a.view());
            assert_qr(a.view(), q.view(), r.view(), &format!("{} {} {b}×{n} {name}", B::NAME, T::NAME));
        }
    }
}

fn merges<B: Backend, T: Scalar>() {
    let seed = seed();
    for n in [1usize, 2, 9, 50, 100].into_iter().filter(|n| tried(n * n)) {
        for (r1, r2) in [
            (n, n),
            (n, 1),
            (1, n),
            (1, 1),
            (n.div_ceil(2), n),
            (n, n.div_ceil(3)),
            (n.div_ceil(3), n.div_ceil(3)),
        ] {
            for (name, a) in zoo::<T>(r1 + r2, n, seed) {
                let what = format!("{} {} {r1}+{r2}×{n} {name}", B::NAME, T::NAME);
                // The strict lower triangles are not zero here, and must not be read.
                let (q, r) = merge::<B, T>(a.slice(s![..r1, ..]), a.slice(s![r1.., ..]));
                let mut clean = a;
                for ((i, j), x) in clean.indexed_iter_mut() {
                    if (if i < r1 { i } else { i - r1 }) > j {
                        *x = T::ZERO;
                    }
                }
                assert_qr(clean.view(), q.view(), r.view(), &what);
            }
        }
    }
}

/// Leaves and a merge, then back: what the runtime does.
fn tree<B: Backend, T: Scalar>() {
    let (m, n, cut) = if cfg!(miri) { (60, 6, 4) } else { (700, 40, 25) };
    for (name, a) in zoo::<T>(m, n, seed()) {
        let what = format!("{} {} tree {name}", B::NAME, T::NAME);
        let (top, bottom) = a.view().split_at(Axis(0), m - cut);
        let (q1, r1) = leaf::<B, T>(top);
        let (q2, r2) = leaf::<B, T>(bottom);
        let (q, r) = merge::<B, T>(r1.view(), r2.view());
        let q = concatenate![Axis(0), q1.dot(&q.slice(s![..n, ..])), q2.dot(&q.slice(s![n.., ..]))];
        assert_orthonormal(q.view(), 2 * n, &what);
        assert_upper(r.view(), &what);
    }
}

fn layouts_do_not_matter<B: Backend, T: Scalar>() {
    let (m, n) = if cfg!(miri) { (45, 10) } else { (900, 30) };
    let a = gaussian(m, n, seed()).mapv(T::from_f64);
    let (q, r) = leaf::<B, T>(a.view());
    let [turned, holes] = layouts(&a);
    for view in [turned.view(), holes.slice(s![.., ..n])] {
        assert!(leaf::<B, T>(view) == (q.clone(), r.clone()), "bits depend on the strides of A");
    }
}

/// A scale of 2^e changes R by that and Q not at all.
fn scaling_is_exact<B: Backend, T: Scalar>() {
    let rows = if cfg!(miri) { 20 } else { 200 };
    let a = gaussian(rows, 17, seed()).mapv(T::from_f64);
    let (q, r) = leaf::<B, T>(a.view());
    let limit = if T::NAME == "f32" { 100 } else { 900 };
    for e in [-limit, -37, 23, limit] {
        let (q2, r2) = leaf::<B, T>(a.mapv(|x| x.times_pow2(e)).view());
        let (got, want) = (wide(r2.view()), wide(r.view()).mapv(|x| x.times_pow2(e)));
        let error = max_abs(&(&got - &want).mapv(|x| x.times_pow2(-e)));
        assert!(error <= 100.0 * bound::<T>(17), "2^{e}: {error:e}");
        assert!(max_abs(&(wide(q.view()) - wide(q2.view()))) <= 100.0 * bound::<T>(17), "2^{e}");
    }
}

for_all!(leaves, merges, tree, layouts_do_not_matter, scaling_is_exact);
