//! Elementwise chains, reductions, sketches and random numbers.

mod common;

use common::*;
use kernels::elementwise::{Op, eval};
use kernels::reduce::ScaledSquares;
use kernels::{Backend, Scalar, random, reduce, sketch};
use ndarray::{Array2, ArrayView2, s};

const SHAPES: [(usize, usize); 10] =
    [(1, 1), (1, 70), (70, 1), (0, 5), (8, 8), (16, 64), (17, 65), (100, 33), (33, 300), (130, 129)];

/// Each matrix as rows, as columns, with holes, and backwards.
fn with_views<T: Scalar>(a: &Array2<T>, mut f: impl FnMut(ArrayView2<T>)) {
    let [turned, holes] = layouts(a);
    let backwards = a.slice(s![..;-1, ..;-1]).as_standard_layout().into_owned();
    let sparse = Array2::from_shape_fn((a.nrows() * 2, a.ncols() * 2), |(i, j)| a[(i / 2, j / 2)]);
    f(a.view());
    f(sparse.slice(s![..;2, ..;2]));
    // Each pair of views is tried, which is too much for Miri.
    if !cfg!(miri) {
        f(turned.view());
        f(holes.slice(s![.., ..a.ncols()]));
        f(backwards.slice(s![..;-1, ..;-1]));
    }
}

fn elementwise<T: Scalar>() {
    use Op::*;
    let seed = seed();
    let c = |x: f64| T::from_f64(x);
    for (m, n) in SHAPES.into_iter().filter(|(m, n)| tried(m * n)) {
        let (a, b) = (gaussian(m, n, seed).mapv(T::from_f64), gaussian(m, n, seed + 1).mapv(T::from_f64));
        type Reference<T> = fn(T, T) -> T;
        let cases: [(Vec<Op<T>>, Reference<T>); 7] = [
            (vec![Load(0), Load(1), Add], |a, b| a + b),
            (vec![Load(1), Load(0), Sub], |a, b| b - a),
            (vec![Load(0)], |a, _| a),
            (vec![Load(0), Neg, Load(1), Mul, Load(0), Add], |a, b| -a * b + a),
            (vec![Load(0), Load(1), Load(1), Mul, Scalar(c(1.5)), Add, Sub], |a, b| {
                a - (b * b + T::from_f64(1.5))
            }),
            (vec![Load(1), Load(1), Add], |_, b| b + b),
            (vec![Scalar(c(3.0))], |_, _| T::from_f64(3.0)),
        ];
        for (ops, f) in &cases {
            let want = Array2::from_shape_fn((m, n), |at| f(a[at], b[at]));
            with_views(&a, |a| {
                with_views(&b, |b| {
                    let mut out = Array2::from_elem((m, n), c(f64::NAN));
                    eval(ops, &[a, b], out.view_mut());
                    assert!(out == want, "{} {m}×{n} {ops:?}", T::NAME);
                    let mut out = Array2::from_elem((n, m), c(f64::NAN));
                    eval(ops, &[a, b], out.view_mut().reversed_axes());
                    assert!(out == want.t(), "{} {m}×{n} {ops:?} transposed", T::NAME);
                });
            });
        }
    }
}

#[test]
fn elementwise_equals_plain_loops() {
    elementwise::<f64>();
    elementwise::<f32>();
}

#[test]
fn malformed_expressions_are_refused() {
    let a = Array2::<f64>::zeros((2, 2));
    for ops in
        [vec![], vec![Op::Add], vec![Op::Load(1)], vec![Op::Load(0), Op::Load(0)], vec![Op::Load(0), Op::Mul]]
    {
        let result = std::panic::catch_unwind(|| eval(&ops, &[a.view()], Array2::zeros((2, 2)).view_mut()));
        assert!(result.is_err(), "{ops:?} was accepted");
    }
}

fn reductions<T: Scalar>() {
    let seed = seed();
    let long = [(3, 1000), (1000, 3)];
    for (m, n) in SHAPES.into_iter().chain(long).filter(|(m, n)| tried(m * n)) {
        let a = gaussian(m, n, seed).mapv(T::from_f64);
        let sum = reduce::sum(a.view());
        let squares = reduce::sum_squares_scaled(a.view());
        let by_rows = |f: fn(f64) -> f64| -> f64 {
            a.rows().into_iter().map(|row| row.iter().map(|x| f(x.to_f64())).sum::<f64>()).sum()
        };
        let exact = by_rows(|x| x);
        let size = by_rows(f64::abs);
        assert!((sum.to_f64() - exact).abs() <= 20.0 * T::EPS.to_f64() * size, "{m}×{n}");
        let exact = by_rows(|x| x * x);
        let got = squares.sum.to_f64() * squares.scale.to_f64().powi(2);
        assert!((got - exact).abs() <= 20.0 * T::EPS.to_f64() * exact, "{m}×{n}");
        let max = a.iter().fold(T::ZERO, |max, x| Scalar::max(max, x.abs()));
        with_views(&a, |a| {
            assert!(reduce::sum(a) == sum, "{m}×{n}: bits of the sum depend on the strides");
            assert!(reduce::sum_squares_scaled(a) == squares, "{m}×{n}");
            assert!(reduce::max_abs(a) == max, "{m}×{n}");
            assert_eq!(reduce::first_nonfinite(a), None);
        });
        for (at, bad) in [
            ((m / 2, n / 3), f64::NAN),
            ((m.saturating_sub(1), 0), f64::INFINITY),
            ((0, n / 2), -f64::INFINITY),
        ] {
            let mut a = a.clone();
            if let Some(x) = a.get_mut(at) {
                *x = T::from_f64(bad);
                with_views(&a, |a| assert_eq!(reduce::first_nonfinite(a), Some(at)));
            }
        }
    }
}

#[test]
fn reductions_equal_plain_loops() {
    reductions::<f64>();
    reductions::<f32>();
}

fn norms_at_the_ends<T: Scalar>() {
    let a = gaussian(40, 30, seed());
    let norm = a.iter().map(|x| x * x).sum::<f64>().sqrt();
    let (top, bottom) = if T::NAME == "f32" { (124, -140) } else { (1020, -1060) };
    let at = |e| reduce::sum_squares_scaled(a.mapv(|x| T::from_f64(x.clamp(-4.0, 4.0)).times_pow2(e)).view());
    for e in [top, 0, bottom] {
        let squares = at(e);
        let got = squares.scale.to_f64().times_pow2(-e) * squares.sum.to_f64().sqrt();
        assert!(
            squares.sum.is_finite() && (got / norm - 1.0).abs() < 1e-3,
            "{} 2^{e}: {got} for {norm}",
            T::NAME
        );
    }
    let all = reduce::combine(at(top), reduce::combine(at(bottom), reduce::combine(at(top), at(0))));
    let got = all.scale.to_f64().times_pow2(-top) * all.sum.to_f64().sqrt();
    assert!((got / norm - 2f64.sqrt()).abs() < 1e-5);
    let zero = reduce::sum_squares_scaled(Array2::<T>::zeros((3, 0)).view());
    assert!(
        zero == ScaledSquares { scale: T::ONE, sum: T::ZERO }
            && reduce::combine(zero, at(bottom)) == at(bottom)
    );
    assert!(reduce::combine(at(bottom), zero) == at(bottom) && reduce::combine(zero, zero) == zero);
}

#[test]
fn norms_neither_overflow_nor_vanish() {
    norms_at_the_ends::<f64>();
    norms_at_the_ends::<f32>();
}

fn gram_apply_equals_two_products<B: Backend, T: Scalar>() {
    let seed = seed();
    let shapes =
        [(1, 1, 1), (0, 4, 2), (5, 1, 3), (1, 9, 4), (17, 9, 5), (300, 70, 30), (70, 300, 11), (600, 40, 1)];
    for (b, n, l) in shapes.into_iter().filter(|(b, n, _)| tried(b * n)) {
        let a = gaussian(b, n, seed).mapv(T::from_f64);
        let (x, z0) =
            (gaussian(n, l, seed + 1).mapv(T::from_f64), gaussian(n, l, seed + 2).mapv(T::from_f64));
        let (aw, xw) = (wide(a.view()), wide(x.view()));
        let want = wide(z0.view()) + aw.t().dot(&aw.dot(&xw));
        let size = max_abs(&aw.mapv(f64::abs).t().dot(&aw.mapv(f64::abs).dot(&xw.mapv(f64::abs)))).max(1.0);
        with_views(&a, |a| {
            let (mut z, mut work) =
                (z0.clone(), vec![T::from_f64(f64::NAN); sketch::gram_apply_workspace(b, l)]);
            sketch::gram_apply::<B, T>(a, x.view(), z.view_mut(), &mut work);
            let error = max_abs(&(wide(z.view()) - &want));
            let limit = 2.0 * (b + n + 4) as f64 * T::EPS.to_f64() * size;
            assert!(error <= limit, "{} {} {b}×{n}×{l}: {error:e} > {limit:e}", B::NAME, T::NAME);
        });
    }
}

for_all!(gram_apply_equals_two_products);

type Fill<T> = fn(u64, u64, u64, ndarray::ArrayViewMut2<T>);

#[test]
fn random_elements_do_not_depend_on_the_block() {
    for fill in [random::fill_uniform::<f64> as Fill<f64>, random::fill_normal::<f64>] {
        for (row, col) in [(0, 0), (u64::from(u32::MAX) - 3, 0), (1 << 40, (1 << 48) - 40)] {
            let mut whole = Array2::zeros((20, 31));
            fill(7, row, col, whole.view_mut());
            for (i, j, h, w) in [(0, 0, 20, 31), (3, 1, 5, 7), (19, 30, 1, 1), (6, 2, 2, 1), (0, 5, 20, 0)] {
                let mut part = Array2::zeros((w, h)).reversed_axes();
                fill(7, row + i as u64, col + j as u64, part.view_mut());
                assert_eq!(part, whole.slice(s![i..i + h, j..j + w]));
            }
        }
    }
}

#[test]
fn random_f32_is_f64_rounded() {
    let fills: [(Fill<f64>, Fill<f32>); 2] =
        [(random::fill_uniform, random::fill_uniform), (random::fill_normal, random::fill_normal)];
    for (fill64, fill32) in fills {
        let (mut a, mut b) = (Array2::zeros((9, 11)), Array2::zeros((9, 11)));
        fill64(3, 5, 7, a.view_mut());
        fill32(3, 5, 7, b.view_mut());
        assert_eq!(a.mapv(|x| x as f32), b);
    }
}

#[test]
fn random_numbers_have_their_moments() {
    let seed = seed();
    let (m, n) = if cfg!(miri) { (20, 10) } else { (1000, 500) };
    let total = (m * n) as f64;
    let mean = |a: &Array2<f64>, p: i32| a.iter().map(|x| x.powi(p)).sum::<f64>() / total;
    // Six standard deviations of each mean.
    let near = |got: f64, want: f64, variance: f64| {
        assert!((got - want).abs() < 6.0 * (variance / total).sqrt(), "{got} for {want}");
    };
    let z = gaussian(m, n, seed);
    for (p, want, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
        near(mean(&z, p), want, variance);
    }
    let neighbours = &z.slice(s![.., 1..]) * &z.slice(s![.., ..n - 1]);
    near(neighbours.sum() / total, 0.0, 1.0);
    let mut u = Array2::<f64>::zeros((m, n));
    random::fill_uniform(seed, 0, 0, u.view_mut());
    assert!(u.iter().all(|x| (0.0..1.0).contains(x)));
    near(mean(&u, 1), 0.5, 1.0 / 12.0);
    near(mean(&u, 2), 1.0 / 3.0, 4.0 / 45.0);
    let mut other = Array2::<f64>::zeros((m, n));
    random::fill_uniform(seed + 1, 0, 0, other.view_mut());
    near(((&u - 0.5) * (&other - 0.5)).sum() / total, 0.0, 1.0 / 144.0);
}

/// Bits that every platform must give.
#[test]
fn random_bits_are_frozen() {
    let mut a = Array2::<f64>::zeros((1, 3));
    random::fill_normal(42, 1 << 33, 5, a.view_mut());
    let bits: Vec<u64> = a.iter().map(|x| x.to_bits()).collect();
    assert_eq!(bits, FROZEN, "{bits:#x?}");
}

const FROZEN: [u64; 3] = [4613282464447753839, 13799611333204064239, 13817481427240364362];
