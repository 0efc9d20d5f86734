use kernels::{Faer, tsqr};
use ndarray::Array2;

#[test]
fn smoke() {
    for (b, n) in
        [(1usize, 1usize), (5, 3), (3, 5), (2000, 100), (50, 100), (300, 64), (1, 9), (9, 1), (3000, 20)]
    {
        let mut a = Array2::<f64>::zeros((b, n));
        kernels::random::fill_normal(1, 0, 0, a.view_mut());
        let k = b.min(n);
        let mut r = Array2::zeros((k, n));
        let mut w = vec![0.0; tsqr::leaf_workspace::<f64>(b, n)];
        tsqr::leaf_r::<Faer, f64>(a.view(), &mut r.view_mut(), &mut w);
        let mut q = Array2::zeros((b, k));
        let mut w = vec![0.0; tsqr::leaf_apply_workspace::<f64>(b, n, k)];
        tsqr::leaf_apply::<Faer, f64>(a.view(), Array2::eye(k).view(), q.view_mut(), &mut w);
        let e1 = (q.dot(&r) - &a).iter().fold(0f64, |m, x| m.max(x.abs()));
        let e2 = (q.t().dot(&q) - Array2::<f64>::eye(k)).iter().fold(0f64, |m, x| m.max(x.abs()));
        println!("{b} {n} {e1:e} {e2:e}");
        assert!(e1 < 1e-12 && e2 < 1e-13);
        for (r1, r2) in [(n, n), (n, 1), (1, n), (1, 1), (n / 2 + 1, n), (n, n / 2 + 1)] {
            let (mut t, mut u) = (Array2::<f64>::zeros((r1, n)), Array2::<f64>::zeros((r2, n)));
            kernels::random::fill_normal(2, 0, 0, t.view_mut());
            kernels::random::fill_normal(3, 0, 0, u.view_mut());
            let mut f = vec![0.0; tsqr::factor_len(r1, r2, n)];
            let mut w = vec![0.0; tsqr::merge_workspace(r1, r2, n)];
            tsqr::merge::<Faer, f64>(t.view(), u.view(), &mut f, &mut w);
            let k = n.min(r1 + r2);
            let mut out = Array2::zeros((k, n));
            tsqr::factor_r(&f, r1, r2, n, out.view_mut());
            let mut back = Array2::zeros((r1 + r2, n));
            let mut w = vec![0.0; tsqr::merge_apply_workspace(r1, r2, n, n)];
            tsqr::merge_apply::<Faer, f64>(&f, r1, r2, n, out.view(), back.view_mut(), &mut w);
            let stack = ndarray::concatenate![ndarray::Axis(0), t, u];
            for ((i, j), x) in stack.indexed_iter() {
                let i0 = if i < r1 { i } else { i - r1 };
                let want = if i0 <= j { *x } else { 0.0 };
                assert!((back[(i, j)] - want).abs() < 1e-12, "{r1} {r2} {n}");
            }
        }
    }
}
