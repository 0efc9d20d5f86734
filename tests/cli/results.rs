//! Results held to NUMERICS' bounds: `n` is the smaller side, `eps` the unit roundoff of the result's type.

use crate::support::dolmen::Folder;
use crate::support::matrix::{EPS32, EPS64, Matrix, power_of_two};
use crate::support::npy::{Array, Kind};

fn eps(kind: Kind) -> f64 {
    if kind == Kind::F32 { EPS32 } else { EPS64 }
}

/// The matrix as a file of this kind holds it.
fn stored(a: &Matrix, kind: Kind) -> Matrix {
    if kind == Kind::F32 { a.map(|x| f64::from(x as f32)) } else { a.clone() }
}

fn shape(a: &Array) -> [usize; 2] {
    [a.values.rows, a.values.cols]
}

/// Columns of `u` and rows of `vt` scaled by `s / scale`, multiplied.
fn product(u: &Matrix, s: &[f64], vt: &Matrix, scale: f64) -> Matrix {
    Matrix::from_fn(u.rows, u.cols, |i, j| u.at(i, j) * (s[j] / scale)).times(vt)
}

#[track_caller]
fn check_svd(folder: &Folder, out: &str, a: &Matrix, kind: Kind, what: &str) {
    let [u, s, vt] = ["u", "s", "vt"].map(|name| folder.get(&format!("{out}/{name}.npy")));
    let n = a.rows.min(a.cols);
    let bound = 10.0 * n as f64 * eps(kind);
    assert_eq!(
        (shape(&u), s.shape.as_slice(), shape(&vt)),
        ([a.rows, n], [n].as_slice(), [n, a.cols]),
        "{what}"
    );
    assert_eq!([u.kind, s.kind, vt.kind], [kind; 3], "{what}");
    check_values(&s.values.data, a, kind, what);
    let [u, s, vt] = [u.values, s.values, vt.values];
    let (left, right) = (u.orthogonality_error(), vt.t().orthogonality_error());
    assert!(
        left <= bound && right <= bound,
        "{what}: U is off by {left:e}, V by {right:e}, allowed {bound:e}"
    );
    let scale = power_of_two(a.max_abs());
    let scaled = a.map(|x| x / scale);
    let residual = scaled.minus(&product(&u, &s.data, &vt, scale)).norm();
    let allowed = bound * scaled.norm();
    assert!(residual <= allowed, "{what}: residual {residual:e}, allowed {allowed:e}");
}

#[track_caller]
fn check_values(sigma: &[f64], a: &Matrix, kind: Kind, what: &str) {
    let reference = a.singular_values();
    let bound = 10.0 * reference.len() as f64 * eps(kind) * reference[0];
    assert_eq!(sigma.len(), reference.len(), "{what}");
    assert!(sigma.iter().all(|&s| s >= 0.0) && sigma.is_sorted_by(|a, b| a >= b), "{what}: {sigma:?}");
    for (i, (found, expected)) in sigma.iter().zip(&reference).enumerate() {
        let off = (found - expected).abs();
        assert!(off <= bound, "{what}: σ{i} is {found:e}, not {expected:e}, allowed {bound:e}");
    }
}

#[track_caller]
fn check_qr(folder: &Folder, a: &Matrix, kind: Kind, what: &str) {
    let [q, r] = ["q", "r"].map(|name| folder.get(&format!("out/{name}.npy")));
    let n = a.rows.min(a.cols);
    let bound = 10.0 * n as f64 * eps(kind);
    assert_eq!((shape(&q), shape(&r), q.kind, r.kind), ([a.rows, n], [n, a.cols], kind, kind), "{what}");
    let (q, r) = (q.values, r.values);
    for i in 0..n {
        assert!(r.at(i, i) >= 0.0, "{what}: R({i},{i}) = {}", r.at(i, i));
        assert!((0..i).all(|j| r.at(i, j) == 0.0), "{what}: row {i} of R is not upper triangular");
    }
    let off = q.orthogonality_error();
    assert!(off <= bound, "{what}: Q is off by {off:e}, allowed {bound:e}");
    let scale = power_of_two(a.max_abs());
    let (scaled, r) = (a.map(|x| x / scale), r.map(|x| x / scale));
    let (residual, allowed) = (scaled.minus(&q.times(&r)).norm(), bound * scaled.norm());
    assert!(residual <= allowed, "{what}: residual {residual:e}, allowed {allowed:e}");
}

/// NUMERICS' spectra on a tall matrix of 30 columns.
fn spectra() -> Vec<(&'static str, Matrix)> {
    let (m, n) = (211, 30);
    let unit = |i: usize| (i as f64 + 0.5) / m as f64;
    let (sin, cos) = 1.2f64.sin_cos();
    let kahan = |i: usize, j: usize| match i.cmp(&j) {
        std::cmp::Ordering::Equal => sin.powi(i as i32),
        std::cmp::Ordering::Less => -cos * sin.powi(i as i32),
        std::cmp::Ordering::Greater => 0.0,
    };
    let gaussian = Matrix::gaussian(m, n, 11);
    let column = |power: f64| {
        Matrix::from_fn(m, n, |i, j| gaussian.at(i, j) * 10f64.powf(power * (j as f64 / 29.0 - 0.5)))
    };
    vec![
        ("gaussian", gaussian.clone()),
        ("vandermonde", Matrix::from_fn(m, 15, |i, j| unit(i).powi(j as i32))),
        ("hilbert", Matrix::from_fn(m, n, |i, j| 1.0 / (i + j + 1) as f64)),
        ("kahan", Matrix::from_fn(m, n, kahan)),
        ("10^-i", Matrix::with_spectrum(m, n, |i| 10f64.powi(-(i as i32)), 12)),
        ("i^-1/2", Matrix::with_spectrum(m, n, |i| 1.0 / (i as f64 + 1.0).sqrt(), 14)),
        ("step", Matrix::with_spectrum(m, n, |i| if i < 8 { 1.0 } else { 1e-6 }, 16)),
        ("rank 5", Matrix::gaussian(m, 5, 18).times(&Matrix::gaussian(5, n, 19))),
        ("zero", Matrix::zeros(m, n)),
        ("one nonzero", Matrix::from_fn(m, n, |i, j| if (i, j) == (100, 7) { -3.0 } else { 0.0 })),
        ("repeated columns", Matrix::from_fn(m, n, |i, j| gaussian.at(i, j % 4))),
        ("zero columns", Matrix::from_fn(m, n, |i, j| if j % 3 == 0 { 0.0 } else { gaussian.at(i, j) })),
        ("ones", Matrix::from_fn(m, n, |_, _| 1.0)),
        ("columns 1e-15 to 1e15", column(30.0)),
        ("columns 1e-150 to 1e150", column(300.0)),
        ("huge", gaussian.map(|x| x * 1e300)),
        ("tiny", gaussian.map(|x| x * 1e-300)),
    ]
}

#[test]
fn svd_and_qr_of_each_spectrum() {
    let folder = Folder::new();
    for (name, a) in spectra() {
        folder.put("a.npy", &a);
        for block in ["64", "211", "17"] {
            folder.ok(&format!("svd a.npy --out out --block {block}"));
            check_svd(&folder, "out", &a, Kind::F64, &format!("svd, {name}, block {block}"));
            folder.ok(&format!("qr a.npy --out out --block {block}"));
            check_qr(&folder, &a, Kind::F64, &format!("qr, {name}, block {block}"));
        }
    }
}

#[test]
fn svd_and_qr_in_single_precision() {
    let folder = Folder::new();
    for (name, a) in
        spectra().into_iter().filter(|(name, _)| !["columns 1e-150 to 1e150", "huge", "tiny"].contains(name))
    {
        folder.put_as("a.npy", &a, Kind::F32, false);
        let a = stored(&a, Kind::F32);
        folder.ok("svd a.npy --out out --block 64");
        check_svd(&folder, "out", &a, Kind::F32, &format!("svd, {name}, f32"));
        folder.ok("qr a.npy --out out --block 64");
        check_qr(&folder, &a, Kind::F32, &format!("qr, {name}, f32"));
    }
}

#[test]
fn svd_of_each_shape_and_block() {
    for (rows, cols) in [(1, 1), (1, 9), (9, 1), (12, 12), (9, 40), (300, 7), (129, 16), (65, 64), (16, 129)]
    {
        let folder = Folder::new();
        let a = Matrix::gaussian(rows, cols, 21);
        folder.put("a.npy", &a);
        for block in ["64", "1000", "5", "128", "auto", "8x3"] {
            folder.ok(&format!("svd a.npy --out out --block {block}"));
            check_svd(&folder, "out", &a, Kind::F64, &format!("{rows}×{cols}, block {block}"));
        }
    }
}

#[test]
fn qr_of_each_shape_and_block() {
    for (rows, cols) in [(1, 1), (9, 1), (12, 12), (300, 7), (65, 64), (1, 9), (16, 129)] {
        let folder = Folder::new();
        let a = Matrix::gaussian(rows, cols, 22);
        folder.put("a.npy", &a);
        for block in ["64", "1000", "5", "auto"] {
            folder.ok(&format!("qr a.npy --out out --block {block}"));
            check_qr(&folder, &a, Kind::F64, &format!("{rows}×{cols}, block {block}"));
        }
    }
}

#[test]
fn values_alone() {
    let folder = Folder::new();
    for (rows, cols) in [(211, 30), (30, 211), (1, 1)] {
        let a = Matrix::gaussian(rows, cols, 23);
        folder.put("a.npy", &a);
        folder.ok("svd a.npy --out values --values-only --block 32");
        let s = folder.get("values/s.npy");
        assert_eq!(s.shape, [rows.min(cols)]);
        check_values(&s.values.data, &a, Kind::F64, &format!("{rows}×{cols}"));
    }
}

/// The last block is shorter by one row, and so cut into fewer but taller panels.
#[test]
fn a_last_block_that_is_almost_whole() {
    let folder = Folder::new();
    let a = Matrix::gaussian(1537, 100, 24);
    folder.put("a.npy", &a);
    for command in ["svd a.npy --values-only", "svd a.npy"] {
        folder.ok(&format!("{command} --out out --block 769"));
        check_values(&folder.get("out/s.npy").values.data, &a, Kind::F64, command);
    }
}

#[test]
fn matmul_of_each_shape_block_and_type() {
    for (m, k, n) in [(1, 1, 1), (50, 40, 30), (64, 64, 64), (65, 129, 33), (1, 200, 1), (200, 1, 150)] {
        for kind in [Kind::F64, Kind::F32] {
            let folder = Folder::new();
            let [a, b] = [(m, k), (k, n)].map(|(rows, cols)| stored(&Matrix::gaussian(rows, cols, 31), kind));
            folder.put_as("a.npy", &a, kind, false);
            folder.put_as("b.npy", &b, kind, true);
            let (expected, bound) = (a.times(&b), 4.0 * k as f64 * eps(kind) * a.max_abs() * b.max_abs());
            for block in ["32", "1000", "17x64", "auto"] {
                folder.ok(&format!("matmul a.npy b.npy --out c.npy --block {block}"));
                let c = folder.get("c.npy");
                assert_eq!((c.kind, shape(&c)), (kind, [m, n]));
                let off = c.values.minus(&expected).max_abs();
                assert!(off <= bound, "{m}×{k}×{n} {kind:?}, block {block}: {off:e}, allowed {bound:e}");
            }
        }
    }
}

/// As in NumPy: f32 with f64 and with integers of 32 bits and more is f64, with smaller ones f32. The bits are those of
/// two files of that type.
#[test]
fn matmul_of_mixed_types() {
    let folder = Folder::new();
    let a = Matrix::from_fn(50, 40, |i, j| ((i * 7 + j * 3) % 11) as f64 / 8.0);
    let b = Matrix::gaussian(40, 30, 32);
    let integers = Matrix::from_fn(40, 30, |i, j| ((i + 2 * j) % 9) as f64);
    let narrow = [Kind::U8, Kind::I8, Kind::U16, Kind::I16];
    for kind in Kind::INTEGERS.into_iter().chain([Kind::F64]) {
        let result = if narrow.contains(&kind) { Kind::F32 } else { Kind::F64 };
        let matrix = if kind == Kind::F64 { &b } else { &integers };
        folder.put_as("a.npy", &a, result, false);
        folder.put_as("b.npy", matrix, result, false);
        folder.ok("matmul a.npy b.npy --out expected.npy --block 16");
        folder.put_as("a.npy", &a, Kind::F32, true);
        folder.put_as("b.npy", matrix, kind, false);
        folder.ok("matmul a.npy b.npy --out c.npy --block 16");
        let (c, expected) = (folder.get("c.npy"), folder.get("expected.npy"));
        assert_eq!((c.kind, shape(&c)), (result, [50, 30]), "{kind:?}");
        assert_eq!(c.values.data, expected.values.data, "{kind:?}");
    }
}

/// Files below each other are f32 if that rounds none of them.
#[test]
fn files_of_mixed_types_below_each_other() {
    let folder = Folder::new();
    let a = Matrix::from_fn(20, 20, |i, j| ((i * 7 + j * 3) % 11) as f64);
    for (kind, result) in [(Kind::U8, Kind::F32), (Kind::I32, Kind::F64), (Kind::F64, Kind::F64)] {
        folder.put_as("a.npy", &a, Kind::F32, false);
        folder.put_as("b.npy", &a, kind, false);
        folder.ok("svd a.npy b.npy --out r --block 16");
        assert_eq!(folder.get("r/s.npy").kind, result, "{kind:?}");
    }
}

#[test]
fn transpose_add_is_exact_for_each_type_and_order() {
    let sum =
        |a: &Matrix, kind| stored(&Matrix::from_fn(a.rows, a.cols, |i, j| a.at(i, j) + a.at(j, i)), kind);
    let folder = Folder::new();
    let check = |a: &Matrix, kind: Kind, fortran: bool, block: &str| {
        folder.put_as("a.npy", a, kind, fortran);
        folder.ok(&format!("transpose-add a.npy --out b.npy --block {block}"));
        let b = folder.get("b.npy");
        let (result, what) =
            (if kind == Kind::F32 { kind } else { Kind::F64 }, format!("{kind:?} {fortran} block {block}"));
        assert_eq!((b.kind, shape(&b)), (result, [a.rows, a.cols]), "{what}");
        assert!(b.values == sum(a, result), "{what}");
    };
    for block in ["16", "1000", "7x20", "auto"] {
        for fortran in [false, true] {
            check(&Matrix::gaussian(65, 65, 1), Kind::F64, fortran, block);
            check(&stored(&Matrix::gaussian(65, 65, 1), Kind::F32), Kind::F32, fortran, block);
        }
    }
    for kind in Kind::INTEGERS {
        let signed = kind.descr().contains('i');
        let a = Matrix::from_fn(33, 33, |i, j| {
            ((i * 31 + j * 17) % 120) as f64 - if signed { 60.0 } else { 0.0 }
        });
        check(&a, kind, false, "16");
        check(&a, kind, true, "10");
    }
    check(&Matrix::from_fn(1, 1, |_, _| 2.5), Kind::F64, false, "4");
}

#[test]
fn integers_and_fortran_order_in_an_svd() {
    let folder = Folder::new();
    let a = Matrix::from_fn(150, 12, |i, j| ((i * i + 7 * j * i + 3 * j) % 251) as f64);
    for (kind, fortran) in
        [(Kind::U8, false), (Kind::U8, true), (Kind::I32, false), (Kind::F64, true), (Kind::F32, true)]
    {
        folder.put_as("a.npy", &a, kind, fortran);
        folder.ok("svd a.npy --out out --block 32");
        let result = if kind == Kind::F32 { kind } else { Kind::F64 };
        check_svd(&folder, "out", &a, result, &format!("{kind:?} {fortran}"));
    }
}

#[test]
fn several_files_are_one_tall_matrix() {
    let folder = Folder::new();
    let parts = [Matrix::gaussian(40, 9, 1), Matrix::gaussian(1, 9, 2), Matrix::gaussian(77, 9, 3)];
    folder.put("day1.npy", &parts[0]);
    folder.put_as("day2.npy", &parts[1], Kind::F64, true);
    folder.put_as("day3.npy", &parts[2], Kind::F64, true);
    let whole = Matrix::stacked(&parts);
    folder.put("eye.npy", &Matrix::identity(9));
    for block in ["16", "1000", "41"] {
        folder.ok(&format!("matmul day*.npy eye.npy --out whole.npy --block {block}"));
        assert!(folder.get("whole.npy").values == whole, "rows in the order of the names, block {block}");
        folder.ok(&format!("svd day*.npy --out out --block {block}"));
        check_svd(&folder, "out", &whole, Kind::F64, &format!("three files, block {block}"));
    }
}

/// Orthonormal, close to the best of its rank, and with the right values where they stand out.
#[track_caller]
fn check_rsvd(folder: &Folder, a: &Matrix, rank: usize, what: &str) {
    let [u, s, vt] = ["u", "s", "vt"].map(|name| folder.get(&format!("out/{name}.npy")));
    assert_eq!(
        (shape(&u), s.shape.as_slice(), shape(&vt)),
        ([a.rows, rank], [rank].as_slice(), [rank, a.cols]),
        "{what}"
    );
    let (u, s, vt) = (u.values, s.values.data, vt.values);
    let sigma = a.singular_values();
    let n = sigma.len() as f64;
    let (left, right) = (u.orthogonality_error(), vt.t().orthogonality_error());
    assert!(left <= 10.0 * n * EPS64 && right <= 10.0 * n * EPS64, "{what}: U {left:e}, V {right:e}");
    assert!(s.iter().all(|&s| s >= 0.0) && s.is_sorted_by(|a, b| a >= b), "{what}: {s:?}");
    let next = sigma.get(rank).copied().unwrap_or(0.0);
    let rounding = 100.0 * n * EPS64 * sigma[0];
    let residual = a.minus(&product(&u, &s, &vt, 1.0)).norm();
    let allowed = (1.5 * next).max(rounding);
    assert!(residual <= allowed, "{what}: residual {residual:e}, allowed {allowed:e}");
    for (i, (found, expected)) in
        s.iter().zip(&sigma).enumerate().filter(|(_, (_, expected))| **expected > 2.0 * next)
    {
        let allowed = (0.01 * expected).max(rounding);
        assert!((found - expected).abs() <= allowed, "{what}: σ{i} is {found:e}, not {expected:e}");
    }
}

#[test]
fn rsvd_of_each_spectrum() {
    let folder = Folder::new();
    for (name, a) in spectra().into_iter().filter(|(name, _)| *name != "columns 1e-150 to 1e150") {
        let scale = power_of_two(a.max_abs());
        folder.put("a.npy", &a.map(|x| x / scale));
        folder.ok("rsvd a.npy --rank 8 --out out --block 64");
        check_rsvd(&folder, &a.map(|x| x / scale), 8, name);
    }
}

#[test]
fn rsvd_of_each_shape_and_block() {
    for (rows, cols) in [(120, 90), (90, 120), (300, 25), (12, 12), (1, 1), (40, 1)] {
        let folder = Folder::new();
        let a = Matrix::with_spectrum(rows, cols, |i| 0.7f64.powi(i as i32), 41);
        folder.put("a.npy", &a);
        let smaller = rows.min(cols);
        for rank in [1, 5.min(smaller), smaller.min(12)] {
            for block in ["32", "1000", "7x50", "auto"] {
                folder.ok(&format!("rsvd a.npy --rank {rank} --oversample 6 --out out --block {block}"));
                check_rsvd(&folder, &a, rank, &format!("{rows}×{cols}, rank {rank}, block {block}"));
            }
        }
    }
}
