//! gemm, Gram matrix, triangular solve and Cholesky of both backends against plain loops in f64.

mod common;

use common::*;
use kernels::{Backend, NotPositiveDefinite, Scalar};
use ndarray::{Array2, ArrayView2, s};

const SHAPES: [(usize, usize, usize); 9] = [
    (1, 1, 1),
    (1, 7, 1),
    (5, 1, 9),
    (3, 0, 4),
    (0, 3, 2),
    (17, 33, 9),
    (64, 64, 64),
    (100, 257, 31),
    (30, 200, 300),
];

fn random<T: Scalar>(m: usize, n: usize, seed: u64) -> Array2<T> {
    gaussian(m, n, seed).mapv(T::from_f64)
}

/// `4·k·u·max|A|·max|B|` and the rounding of the sum with β·C.
fn assert_product<T: Scalar>(got: ArrayView2<T>, want: &Array2<f64>, k: usize, scale: f64, what: &str) {
    let error = max_abs(&(wide(got) - want));
    let limit = 4.0 * (k + 2) as f64 * T::EPS.to_f64() / 2.0 * scale;
    assert!(error <= limit, "{what}: {error:e} > {limit:e}");
}

fn gemm<B: Backend, T: Scalar>() {
    let seed = seed();
    for (m, k, n) in SHAPES.into_iter().filter(|(m, k, n)| tried(m * k * n / 8)) {
        let (a, b, c) = (random::<T>(m, k, seed), random::<T>(k, n, seed + 1), random::<T>(m, n, seed + 2));
        let ab = wide(a.view()).dot(&wide(b.view()));
        let scale =
            1.0 + 4.0 * max_abs(&wide(a.view())) * max_abs(&wide(b.view())) + 4.0 * max_abs(&wide(c.view()));
        let ([at, ah], [bt, bh], [ct, ch]) = (layouts(&a), layouts(&b), layouts(&c));
        let odd = a.slice(s![..;-1, ..]);
        let cases: [(ArrayView2<T>, ArrayView2<T>); 5] = [
            (a.view(), b.view()),
            (at.view(), b.view()),
            (ah.slice(s![.., ..k]), bt.view()),
            (at.view(), bh.slice(s![.., ..n])),
            (odd.slice(s![..;-1, ..]), bt.view()),
        ];
        for (i, (a, b)) in cases.into_iter().enumerate() {
            for (alpha, beta) in [(1.0, 0.0), (-1.0, 1.0), (2.0, -0.5)] {
                let want = &ab * alpha + &(wide(c.view()) * beta);
                let what = format!("{} {} {m}×{k}×{n} case {i} α={alpha} β={beta}", B::NAME, T::NAME);
                for (mut c, width) in [(c.clone(), n), (ct.clone(), n), (ch.clone(), n)] {
                    let mut c = c.slice_mut(s![.., ..width]);
                    if beta == 0.0 {
                        c.fill(T::from_f64(f64::NAN));
                    }
                    B::gemm(T::from_f64(alpha), a, b, T::from_f64(beta), c.view_mut());
                    assert_product(c.view(), &want, k, scale, &what);
                }
            }
        }
    }
}

/// Columns a multiple of a page apart, and a part of them that ends within any tile.
fn gemm_of_far_columns<B: Backend, T: Scalar>() {
    let seed = seed();
    let (rows, k, n) = if cfg!(miri) { (1024, 2, 1) } else { (1024, 300, 9) };
    let (a, b) = (random::<T>(k, rows, seed).reversed_axes(), random::<T>(k, n, seed + 1));
    for a in [a.view(), a.slice(s![3..1000, ..]), a.slice(s![..200, ..])] {
        let c = random::<T>(a.nrows(), n, seed + 2);
        for (alpha, beta) in [(1.0, 0.0), (-1.0, 1.0), (2.0, -0.5)] {
            let want = wide(a).dot(&wide(b.view())) * alpha + wide(c.view()) * beta;
            let scale =
                1.0 + 4.0 * max_abs(&wide(a)) * max_abs(&wide(b.view())) + 4.0 * max_abs(&wide(c.view()));
            let mut c = c.clone();
            B::gemm(T::from_f64(alpha), a, b.view(), T::from_f64(beta), c.view_mut());
            let what = format!("{} {} {} far columns, α={alpha} β={beta}", B::NAME, T::NAME, a.nrows());
            assert_product(c.view(), &want, k, scale, &what);
        }
    }
}

fn gram<B: Backend, T: Scalar>() {
    let seed = seed();
    let shapes = [(1, 1), (1, 9), (9, 1), (0, 3), (9, 17), (50, 50), (300, 37), (20, 70)];
    for (b, n) in shapes.into_iter().filter(|(b, n)| tried(b * n)) {
        let a = random::<T>(b, n, seed);
        let [turned, holes] = layouts(&a);
        let ata = wide(a.view()).t().dot(&wide(a.view()));
        let scale = 4.0 * max_abs(&wide(a.view())).powi(2) + 1.0;
        for a in [a.view(), turned.view(), holes.slice(s![.., ..n])] {
            let what = format!("{} {} gram {b}×{n}", B::NAME, T::NAME);
            let mut c = Array2::from_elem((n, n), T::from_f64(f64::NAN));
            B::gram(a, T::ZERO, c.view_mut());
            assert_product(c.view(), &ata, b, scale, &what);
            assert_eq!(c, c.t(), "{what}: not symmetric");
            B::gram(a, T::ONE, c.view_mut());
            assert_product(c.view(), &(&ata * 2.0), 2 * b, scale, &what);
            assert_eq!(c, c.t(), "{what}: not symmetric");
        }
    }
}

/// Each row of `X·R⁻¹` solves a system near R: `|Y·R − X| ≤ n·u·|Y|·|R|`, also for an ill conditioned R.
fn trsm<B: Backend, T: Scalar>() {
    let seed = seed();
    let shapes = [(1, 1), (7, 1), (1, 7), (0, 4), (9, 17), (33, 20), (50, 130)];
    for (b, n) in shapes.into_iter().filter(|(b, n)| tried(b * n)) {
        for grading in [0.0, -5.0] {
            let x = random::<T>(b, n, seed);
            let size = |i: usize| 10f64.powf(grading * i as f64 / n as f64);
            let r = Array2::from_shape_fn((n, n), |(i, j)| match (i <= j, i == j) {
                (_, true) => T::from_f64(size(i)),
                (true, _) => T::from_f64(size(i) * ((i * 7 + j * 3) % 5) as f64 / n as f64),
                _ => T::from_f64(f64::NAN),
            });
            let upper = Array2::from_shape_fn((n, n), |(i, j)| if i <= j { r[(i, j)].to_f64() } else { 0.0 });
            let ([rt, rh], [xt, xh]) = (layouts(&r), layouts(&x));
            for (r, mut x0) in [(r.view(), x.clone()), (rt.view(), xt), (rh.slice(s![.., ..n]), xh)] {
                let mut y = x0.slice_mut(s![.., ..n]);
                B::trsm_right_upper(r, y.view_mut());
                let y = wide(y.view());
                let error = (y.dot(&upper) - wide(x.view())).mapv(f64::abs);
                let limit = y.mapv(f64::abs).dot(&upper.mapv(f64::abs)) * (n as f64 + 2.0) * T::EPS.to_f64();
                assert!(error.iter().zip(&limit).all(|(e, l)| e <= l), "{} {} {b}×{n}", B::NAME, T::NAME);
            }
        }
    }
}

fn cholesky<B: Backend, T: Scalar>() {
    let seed = seed();
    for n in [0, 1, 2, 10, 65, 150].into_iter().filter(|n| tried(n * n)) {
        let mut a = Array2::<T>::zeros((n, n));
        B::gram(random::<T>(2 * n + 1, n, seed).view(), T::ZERO, a.view_mut());
        let mut garbage = a.clone();
        for ((i, j), x) in garbage.indexed_iter_mut() {
            if i > j {
                *x = T::from_f64(f64::NAN);
            }
        }
        let [turned, _] = layouts(&garbage);
        for mut r in [garbage, turned] {
            B::cholesky(r.view_mut()).expect("positive definite");
            assert_upper(r.view(), B::NAME);
            let back = wide(r.view()).t().dot(&wide(r.view()));
            let limit = 2.0 * bound::<T>(n) * max_abs(&wide(a.view()));
            assert!(max_abs(&(back - wide(a.view()))) <= limit, "{} {} {n}", B::NAME, T::NAME);
        }
        for bad in (0..n).step_by(9) {
            for value in [T::from_f64(-1.0), T::from_f64(f64::NAN)] {
                let mut a = Array2::<T>::eye(n);
                a[(bad, bad)] = value;
                assert_eq!(
                    B::cholesky(a.view_mut()),
                    Err(NotPositiveDefinite { column: bad }),
                    "{}",
                    B::NAME
                );
            }
        }
    }
}

for_all!(gemm, gemm_of_far_columns, gram, trsm, cholesky);
