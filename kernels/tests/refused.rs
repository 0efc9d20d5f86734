//! Shapes that do not fit and slices that are too short: a panic in every build, never a read or write elsewhere.

mod common;

use common::for_all;
use kernels::elementwise::{Op, eval};
use kernels::{Backend, Scalar, sketch, svd, tsqr};
use ndarray::{Array2, ArrayViewMut2, ShapeBuilder, s};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn refused<B: Backend, T: Scalar>(what: &str, call: impl FnOnce()) {
    let outcome = catch_unwind(AssertUnwindSafe(call));
    assert!(outcome.is_err(), "{} {}: {what} was accepted", B::NAME, T::NAME);
}

fn rows<T: Scalar>(m: usize, n: usize) -> Array2<T> {
    Array2::from_elem((m, n), T::ONE)
}

fn columns<T: Scalar>(m: usize, n: usize) -> Array2<T> {
    Array2::from_elem((m, n).f(), T::ONE)
}

fn shapes_of_products<B: Backend, T: Scalar>() {
    let gemm = |a: (usize, usize), b: (usize, usize), c: (usize, usize)| {
        let mut c = rows::<T>(c.0, c.1);
        B::gemm(T::ONE, rows(a.0, a.1).view(), rows(b.0, b.1).view(), T::ONE, c.view_mut());
    };
    gemm((5, 4), (4, 3), (5, 3));
    for (a, b, c) in [
        ((5, 4), (4, 3), (5, 2)),
        ((5, 4), (4, 3), (6, 3)),
        ((5, 4), (5, 3), (5, 3)),
        ((5, 4), (0, 3), (5, 3)),
        ((5, 0), (4, 3), (5, 3)),
        ((5, 4), (4, 3), (0, 3)),
    ] {
        refused::<B, T>(&format!("C {c:?} of A {a:?} and B {b:?}"), || gemm(a, b, c));
        let turned = |(m, n): (usize, usize)| columns::<T>(m, n);
        refused::<B, T>(&format!("C {c:?} of A {a:?} and B {b:?} in columns"), || {
            B::gemm(T::ONE, turned(a).view(), turned(b).view(), T::ZERO, turned(c).view_mut());
        });
    }
    for (n, c) in [(4, (4, 3)), (4, (3, 3)), (4, (5, 5)), (0, (1, 1))] {
        refused::<B, T>(&format!("AᵀA {c:?} of {n} columns"), || {
            B::gram(rows::<T>(9, n).view(), T::ZERO, rows(c.0, c.1).view_mut());
        });
    }
    for (r, x) in [((3, 4), 4), ((3, 3), 4), ((5, 5), 4), ((0, 0), 4)] {
        refused::<B, T>(&format!("R {r:?} for {x} columns"), || {
            B::trsm_right_upper(rows::<T>(r.0, r.1).view(), rows(9, x).view_mut());
        });
    }
    for (m, n) in [(3, 4), (4, 3), (0, 3)] {
        refused::<B, T>(&format!("Cholesky of {m}×{n}"), || {
            let _ = B::cholesky(rows::<T>(m, n).view_mut());
        });
    }
}

/// What [`Backend::svd_tall`] is given; right for 6×4 as it begins.
struct SvdCall<T> {
    a: Array2<T>,
    s: usize,
    u: Array2<T>,
    v: Array2<T>,
    missing_workspace: usize,
}

impl<T: Scalar> SvdCall<T> {
    fn right() -> Self {
        let mut a = columns(6, 4);
        a.diag_mut().fill(T::ZERO);
        SvdCall { a, s: 4, u: columns(6, 4), v: columns(4, 4), missing_workspace: 0 }
    }

    fn make<B: Backend>(mut self, vectors: bool) {
        let needed = B::svd_tall_workspace::<T>(6, 4, vectors);
        let mut work = vec![T::ZERO; needed - self.missing_workspace];
        let vectors = vectors.then(|| (self.u.view_mut(), self.v.view_mut()));
        B::svd_tall(self.a.view_mut(), &mut vec![T::ZERO; self.s], vectors, &mut work).expect("finite");
    }
}

fn arguments_of_the_tall_svd<B: Backend, T: Scalar>() {
    let right = SvdCall::<T>::right;
    right().make::<B>(false);
    right().make::<B>(true);
    for s in [0, 3, 5] {
        for vectors in [false, true] {
            refused::<B, T>(&format!("{s} values of 4"), || SvdCall { s, ..right() }.make::<B>(vectors));
        }
    }
    for (m, n) in [(5, 4), (7, 4), (6, 3), (6, 5), (0, 0)] {
        refused::<B, T>(&format!("U {m}×{n}"), || SvdCall { u: columns(m, n), ..right() }.make::<B>(true));
    }
    for (m, n) in [(3, 4), (4, 3), (3, 3), (5, 5), (0, 0)] {
        refused::<B, T>(&format!("V {m}×{n}"), || SvdCall { v: columns(m, n), ..right() }.make::<B>(true));
    }
    for (m, n) in [(4, 6), (3, 4), (6, 0)] {
        refused::<B, T>(&format!("A {m}×{n}"), || SvdCall { a: columns(m, n), ..right() }.make::<B>(true));
    }
    for vectors in [false, true] {
        refused::<B, T>("a short workspace", || {
            SvdCall { missing_workspace: 1, ..right() }.make::<B>(vectors)
        });
    }
}

/// Where LAPACK gets a pointer and a leading dimension, the layout is asked for; faer takes any.
fn layouts_of_the_tall_svd<B: Backend, T: Scalar>() {
    if B::NAME == "faer" {
        let all_in_rows = SvdCall { a: rows(6, 4), u: rows(6, 4), v: rows(4, 4), ..SvdCall::<T>::right() };
        return all_in_rows.make::<B>(true);
    }
    for call in [
        SvdCall { a: rows(6, 4), ..SvdCall::<T>::right() },
        SvdCall { u: rows(6, 4), ..SvdCall::right() },
        SvdCall { v: rows(4, 4), ..SvdCall::right() },
    ] {
        refused::<B, T>("a matrix in rows", || call.make::<B>(true));
    }
}

fn nan_in_the_tall_svd<B: Backend, T: Scalar>() {
    let mut call = SvdCall::<T>::right();
    call.a[(3, 2)] = T::from_f64(f64::NAN);
    let mut work = vec![T::ZERO; B::svd_tall_workspace::<T>(6, 4, false)];
    let outcome = B::svd_tall(call.a.view_mut(), &mut [T::ZERO; 4], None, &mut work);
    assert_eq!(outcome, Err(kernels::NoConvergence), "{} {}", B::NAME, T::NAME);
}

fn small_svd<B: Backend, T: Scalar>() {
    let small = |u: (usize, usize), s: usize, vt: (usize, usize), missing: usize| {
        let mut work = vec![T::ZERO; svd::small_workspace::<B, T>(5, 8) - missing];
        let a = rows::<T>(5, 8);
        let mut u = rows::<T>(u.0, u.1);
        let mut vt = rows::<T>(vt.0, vt.1);
        let _ = svd::small::<B, T>(a.view(), u.view_mut(), &mut vec![T::ZERO; s], vt.view_mut(), &mut work);
    };
    small((5, 5), 5, (5, 8), 0);
    refused::<B, T>("U", || small((5, 4), 5, (5, 8), 0));
    refused::<B, T>("S", || small((5, 5), 8, (5, 8), 0));
    refused::<B, T>("Vᵀ", || small((5, 5), 5, (8, 8), 0));
    refused::<B, T>("the workspace", || small((5, 5), 5, (5, 8), 1));
    let values = |s: usize, missing: usize| {
        let mut work = vec![T::ZERO; svd::values_workspace::<B, T>(5, 8) - missing];
        let _ = svd::values::<B, T>(rows::<T>(5, 8).view(), &mut vec![T::ZERO; s], &mut work);
    };
    values(5, 0);
    refused::<B, T>("S without vectors", || values(4, 0));
    refused::<B, T>("the workspace without vectors", || values(5, 1));
}

fn pieces_of_a_tree<B: Backend, T: Scalar>() {
    let (m, n) = (30, 9);
    let a = rows::<T>(m, n);
    let leaf = |k: usize, n: usize, missing: usize| {
        let mut work = vec![T::ZERO; tsqr::leaf_workspace::<T>(30, 9) - missing];
        tsqr::leaf_r::<B, T>(a.view(), &mut rows::<T>(k, n).view_mut(), &mut work);
    };
    leaf(9, 9, 0);
    refused::<B, T>("R of a leaf", || leaf(8, 9, 0));
    refused::<B, T>("R of a leaf", || leaf(9, 10, 0));
    refused::<B, T>("the workspace of a leaf", || leaf(9, 9, 1));
    let apply = |seed: usize, out: (usize, usize), missing: usize| {
        let mut work = vec![T::ZERO; tsqr::leaf_apply_workspace::<T>(30, 9, 4) - missing];
        tsqr::leaf_apply::<B, T>(a.view(), rows(seed, 4).view(), rows(out.0, out.1).view_mut(), &mut work);
    };
    apply(9, (30, 4), 0);
    refused::<B, T>("a seed", || apply(8, (30, 4), 0));
    refused::<B, T>("Q times a seed", || apply(9, (29, 4), 0));
    refused::<B, T>("Q times a seed", || apply(9, (30, 5), 0));
    refused::<B, T>("the workspace of Q", || apply(9, (30, 4), 1));
    let merge = |bottom: usize, factor: usize, missing: usize| {
        let mut factor = vec![T::ZERO; tsqr::factor_len(9, 5, 9) - factor];
        let mut work = vec![T::ZERO; tsqr::merge_workspace(9, 5, 9) - missing];
        let top = a.slice(s![..9, ..]);
        tsqr::merge::<B, T>(top, rows(5, bottom).view(), &mut factor, &mut work);
        factor
    };
    let factor = merge(9, 0, 0);
    refused::<B, T>("triangles of unlike width", || drop(merge(8, 0, 0)));
    refused::<B, T>("a short factor", || drop(merge(9, 1, 0)));
    refused::<B, T>("the workspace of a merge", || drop(merge(9, 0, 1)));
    let down = |factor: &[T], seed: usize, out: usize, missing: usize| {
        let mut work = vec![T::ZERO; tsqr::merge_apply_workspace(9, 5, 9, 4) - missing];
        let mut out = rows::<T>(out, 4);
        tsqr::merge_apply::<B, T>(factor, 9, 5, 9, rows(seed, 4).view(), out.view_mut(), &mut work);
    };
    down(&factor, 9, 14, 0);
    refused::<B, T>("a short factor of Q", || down(&factor[1..], 9, 14, 0));
    refused::<B, T>("a seed of a merge", || down(&factor, 8, 14, 0));
    refused::<B, T>("Q of a merge", || down(&factor, 9, 13, 0));
    refused::<B, T>("the workspace of Q of a merge", || down(&factor, 9, 14, 1));
    refused::<B, T>("R of a merge", || tsqr::factor_r(&factor, 9, 5, 9, rows(8, 9).view_mut()));
    refused::<B, T>("R of nothing", || tsqr::factor_r(&factor[..9], 9, 5, 9, rows(9, 9).view_mut()));
}

fn passes_over_elements<B: Backend, T: Scalar>() {
    let a = rows::<T>(70, 70);
    let add = |b: Array2<T>, out: ArrayViewMut2<T>| {
        eval(&[Op::Load(0), Op::Load(1), Op::Add], &[a.view(), b.t()], out);
    };
    add(rows(70, 70), rows(70, 70).view_mut());
    refused::<B, T>("Bᵀ", || add(rows(70, 69), rows(70, 70).view_mut()));
    refused::<B, T>("A + Bᵀ", || add(rows(70, 70), rows(70, 69).view_mut()));
    refused::<B, T>("A + Bᵀ in columns", || add(rows(70, 70), rows(71, 70).view_mut().reversed_axes()));
    let copy = |mut out: Array2<T>| eval(&[Op::Load(0)], &[a.t()], out.view_mut());
    copy(rows(70, 70));
    refused::<B, T>("a transposed copy", || copy(rows(69, 70)));
    let gram_apply = |x: usize, z: usize, missing: usize| {
        let mut work = vec![T::ZERO; sketch::gram_apply_workspace(70, 3) - missing];
        sketch::gram_apply::<B, T>(a.view(), rows(x, 3).view(), rows(z, 3).view_mut(), &mut work);
    };
    gram_apply(70, 70, 0);
    refused::<B, T>("X", || gram_apply(69, 70, 0));
    refused::<B, T>("Z", || gram_apply(70, 71, 0));
    refused::<B, T>("the workspace of Aᵀ(A·X)", || gram_apply(70, 70, 1));
}

for_all!(
    shapes_of_products,
    arguments_of_the_tall_svd,
    layouts_of_the_tall_svd,
    nan_in_the_tall_svd,
    small_svd,
    pieces_of_a_tree,
    passes_over_elements
);
