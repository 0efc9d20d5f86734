//! Prints the rate of each kernel, one core, both backends if the feature is on:
//! `cargo run --release -p kernels --example rates [-- NAME]`

use kernels::{Backend, Scalar, elementwise, random, reduce, sketch, svd, tsqr};
use ndarray::{Array2, ArrayView2};
use std::time::Instant;

fn normal<T: Scalar>(m: usize, n: usize, seed: u64) -> Array2<T> {
    let mut a = Array2::zeros((m, n));
    random::fill_normal(seed, 0, 0, a.view_mut());
    a
}

/// Seconds of the fastest of several calls.
fn fastest(mut f: impl FnMut()) -> f64 {
    f();
    let mut best = f64::INFINITY;
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < 0.7 {
        let t = Instant::now();
        f();
        best = best.min(t.elapsed().as_secs_f64());
    }
    best
}

struct Table {
    filter: Option<String>,
    backend: &'static str,
}

impl Table {
    fn row(&self, name: &str, amount: f64, unit: &str, f: impl FnMut()) {
        if self.filter.as_ref().is_none_or(|x| name.contains(x.as_str())) {
            let seconds = fastest(f);
            println!("{:10} {name:34} {:8.2} {unit}", self.backend, amount / seconds / 1e9);
        }
    }
}

fn dense<B: Backend, T: Scalar>(table: &Table) {
    let t = T::NAME;
    let n = 2048;
    let (a, b, mut c) = (normal::<T>(n, n, 1), normal::<T>(n, n, 2), Array2::zeros((n, n)));
    let flops = 2.0 * (n as f64).powi(3);
    table.row(&format!("gemm {t} 2048"), flops, "GFLOP/s", || {
        B::gemm(T::ONE, a.view(), b.view(), T::ZERO, c.view_mut())
    });
    table.row(&format!("gemm {t} 2048 A transposed"), flops, "GFLOP/s", || {
        B::gemm(T::ONE, a.t(), b.view(), T::ZERO, c.view_mut())
    });
    let a = normal::<T>(8192, 100, 1);
    let mut g = Array2::zeros((100, 100));
    table.row(&format!("gram {t} 8192x100"), 8192e4, "GFLOP/s (bn²)", || {
        B::gram(a.view(), T::ZERO, g.view_mut())
    });
    B::gram(a.view(), T::ZERO, g.view_mut());
    B::cholesky(g.view_mut()).expect("Gaussian");
    let mut x = a.clone();
    table.row(&format!("trsm {t} 8192x100"), 8192e4, "GFLOP/s", || {
        x.assign(&a);
        B::trsm_right_upper(g.view(), x.view_mut())
    });
}

fn leaves<B: Backend, T: Scalar>(table: &Table) {
    for (b, n) in [(1000, 100), (4096, 100), (8192, 100), (8192, 32), (60000, 784), (8192, 2048)] {
        if b == 60000 && table.filter.is_none() {
            continue;
        }
        let a = normal::<T>(b, n, 1);
        let mut r = Array2::zeros((n, n));
        let mut work = vec![T::ZERO; tsqr::leaf_workspace::<T>(b, n)];
        table.row(&format!("leaf_r {} {b}x{n}", T::NAME), tsqr::leaf_flops(b, n), "GFLOP/s", || {
            tsqr::leaf_r::<B, T>(a.view(), &mut r.view_mut(), &mut work)
        });
        let seed = Array2::eye(n);
        let mut out = Array2::zeros((b, n));
        let mut work = vec![T::ZERO; tsqr::leaf_apply_workspace::<T>(b, n, n)];
        table.row(
            &format!("leaf_apply {} {b}x{n}", T::NAME),
            tsqr::leaf_apply_flops(b, n, n),
            "GFLOP/s",
            || tsqr::leaf_apply::<B, T>(a.view(), seed.view(), out.view_mut(), &mut work),
        );
        if b == 8192 && n == 100 {
            let mut factor = vec![T::ZERO; tsqr::factor_len(n, n, n)];
            let mut work = vec![T::ZERO; tsqr::merge_workspace(n, n, n)];
            table.row(&format!("merge {} {n}", T::NAME), tsqr::merge_flops(n, n, n), "GFLOP/s", || {
                tsqr::merge::<B, T>(r.view(), r.view(), &mut factor, &mut work)
            });
        }
    }
}

fn others<B: Backend, T: Scalar>(table: &Table) {
    let t = T::NAME;
    let (b, n, l) = (4096, 4000, 30);
    let (a, x, mut z) = (normal::<T>(b, n, 1), normal::<T>(n, l, 2), Array2::zeros((n, l)));
    let mut work = vec![T::ZERO; sketch::gram_apply_workspace(b, l)];
    table.row(&format!("gram_apply {t} {b}x{n} l={l}"), sketch::gram_apply_flops(b, n, l), "GFLOP/s", || {
        sketch::gram_apply::<B, T>(a.view(), x.view(), z.view_mut(), &mut work)
    });
    let at = normal::<T>(n, b, 1);
    table.row(&format!("gram_apply {t} transposed"), sketch::gram_apply_flops(b, n, l), "GFLOP/s", || {
        sketch::gram_apply::<B, T>(at.t(), x.view(), z.view_mut(), &mut work)
    });
    for n in [100, 300] {
        let a = normal::<T>(n, n, 3);
        let (mut u, mut s, mut vt) = (a.clone(), vec![T::ZERO; n], a.clone());
        let mut work = vec![T::ZERO; svd::small_workspace::<B, T>(n, n)];
        table.row(&format!("svd {t} {n}"), svd::small_flops(n, n), "GFLOP/s", || {
            svd::small::<B, T>(a.view(), u.view_mut(), &mut s, vt.view_mut(), &mut work).expect("finite")
        });
    }
}

fn passes<T: Scalar>(table: &Table) {
    let t = T::NAME;
    let n = 4096;
    let bytes = (n * n * size_of::<T>()) as f64;
    let (a, b, mut c) = (normal::<T>(n, n, 1), normal::<T>(n, n, 2), Array2::<T>::zeros((n, n)));
    use elementwise::Op::{Add, Load, Mul, Scalar};
    let views: [ArrayView2<T>; 2] = [a.view(), b.t()];
    table.row(&format!("copy {t} {n}"), 2.0 * bytes, "GB/s", || c.assign(&a));
    table.row(&format!("transpose_add {t} {n}"), 3.0 * bytes, "GB/s", || {
        elementwise::eval(&[Load(0), Load(1), Add], &views, c.view_mut())
    });
    let ops = [Load(0), Scalar(T::from_f64(2.0)), Mul, Load(1), Add];
    table.row(&format!("eval 2A+Bt {t} {n}"), 3.0 * bytes, "GB/s", || {
        elementwise::eval(&ops, &views, c.view_mut())
    });
    let ops = [Load(0), Scalar(T::from_f64(2.0)), Mul, Load(0), Add];
    table.row(&format!("eval 2A+A {t} {n}"), 2.0 * bytes, "GB/s", || {
        elementwise::eval(&ops, &views, c.view_mut())
    });
    let mut total = T::ZERO;
    table.row(&format!("sum {t} {n}"), bytes, "GB/s", || total += reduce::sum(a.view()));
    table.row(&format!("sum transposed {t} {n}"), bytes, "GB/s", || total += reduce::sum(a.t()));
    table.row(&format!("sum_squares {t} {n}"), bytes, "GB/s", || {
        total += reduce::sum_squares_scaled(a.view()).sum
    });
    table.row(&format!("max_abs {t} {n}"), bytes, "GB/s", || total += reduce::max_abs(a.view()));
    table.row(&format!("first_nonfinite {t} {n}"), bytes, "GB/s", || {
        assert!(reduce::first_nonfinite(a.view()).is_none())
    });
    let mut c = c.slice_mut(ndarray::s![..256, ..]);
    let elements = c.len() as f64;
    table.row(&format!("fill_uniform {t}"), elements, "G/s", || random::fill_uniform(1, 0, 0, c.view_mut()));
    table.row(&format!("fill_normal {t}"), elements, "G/s", || random::fill_normal(1, 0, 0, c.view_mut()));
    std::hint::black_box(total);
}

fn all<B: Backend>() {
    let table = Table { filter: std::env::args().nth(1), backend: B::NAME };
    dense::<B, f64>(&table);
    dense::<B, f32>(&table);
    leaves::<B, f64>(&table);
    leaves::<B, f32>(&table);
    others::<B, f64>(&table);
    others::<B, f32>(&table);
}

fn main() {
    all::<kernels::Faer>();
    #[cfg(feature = "openblas")]
    all::<kernels::OpenBlas>();
    let table = Table { filter: std::env::args().nth(1), backend: "-" };
    passes::<f64>(&table);
    passes::<f32>(&table);
}
