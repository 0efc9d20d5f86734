//! Which files a name or a pattern means, and what they are together.

use crate::support::dolmen::{Folder, Outcome};
use crate::support::matrix::Matrix;
use crate::support::npy;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

fn run(folder: &Folder, words: &[&[u8]]) -> Outcome {
    let words = words.iter().map(|word| OsStr::from_bytes(word));
    Outcome::of(folder.command("").args(words).output().expect("the program starts"))
}

#[test]
fn a_folder_of_a_pattern_that_cannot_be_looked_into_is_an_error() {
    let folder = Folder::new();
    for name in ["a", "c"] {
        fs::create_dir(folder.path(name)).unwrap();
        folder.put(&format!("{name}/day1.npy"), &Matrix::gaussian(20, 4, 1));
    }
    folder.ok("svd */day*.npy --out out");
    fs::remove_dir_all(folder.path("out")).unwrap();
    for target in ["b", "a/not-mounted"] {
        symlink(target, folder.path("b")).unwrap();
        for pattern in ["*/day*.npy", "*/day1.npy", "b/day*.npy"] {
            let out = run(&folder, &[b"svd", pattern.as_bytes(), b"--out", b"out"]);
            assert_eq!(out.code, Some(2), "{pattern}: {out:?}");
            assert!(out.stderr.contains("b:") && out.stderr.lines().count() == 1, "{pattern}: {out:?}");
            assert!(!folder.path("out").exists());
        }
        fs::remove_file(folder.path("b")).unwrap();
    }
}

#[test]
fn folders_behind_links_are_looked_into_and_circles_end() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path("days/d1")).unwrap();
    fs::create_dir_all(folder.path("elsewhere/d2")).unwrap();
    for name in ["days/d1/x.npy", "elsewhere/d2/x.npy"] {
        folder.put(name, &Matrix::gaussian(20, 4, 1));
    }
    symlink("../elsewhere/d2", folder.path("days/d2")).unwrap();
    symlink("..", folder.path("days/d1/up")).unwrap();
    symlink("nowhere", folder.path("days/nothing")).unwrap();
    let out = folder.ok("svd days/**/*.npy --out out");
    assert!(out.stdout.contains("40x4") && out.stdout.contains("2 files"), "{out:?}");
}

#[test]
fn a_class_is_negated_as_in_a_shell() {
    let folder = Folder::new();
    for name in ["a", "b", "c"] {
        fs::create_dir(folder.path(name)).unwrap();
        folder.put(&format!("{name}/x.npy"), &Matrix::gaussian(20, 4, 1));
    }
    for pattern in ["[^a]/x.npy", "[!a]/x.npy"] {
        let out = folder.ok(&format!("svd {pattern} --out out"));
        assert!(out.stdout.contains("2 files"), "{pattern}: {out:?}");
    }
}

#[test]
fn a_file_of_a_pattern_that_cannot_be_opened_is_an_error() {
    let folder = Folder::new();
    folder.put("day1.npy", &Matrix::gaussian(20, 4, 1));
    symlink("nowhere", folder.path("day2.npy")).unwrap();
    let out = folder.run("svd day*.npy --out out");
    assert_eq!(out.code, Some(2), "{out:?}");
    assert!(out.stderr.contains("day2.npy"), "{out:?}");
}

#[test]
fn hidden_files_are_meant_only_by_patterns_with_a_dot() {
    let folder = Folder::new();
    folder.put("day1.npy", &Matrix::gaussian(20, 4, 1));
    folder.put(".day2.npy", &Matrix::gaussian(30, 4, 2));
    folder.put("eye.npy", &Matrix::identity(4));
    folder.ok("matmul *day*.npy eye.npy --out out.npy");
    assert_eq!(folder.get("out.npy").shape, [20, 4]);
    folder.ok("matmul .day*.npy eye.npy --out out.npy");
    assert_eq!(folder.get("out.npy").shape, [30, 4]);
}

#[test]
fn names_that_are_not_utf8_are_names() {
    let folder = Folder::new();
    let parts = [Matrix::gaussian(20, 4, 1), Matrix::gaussian(10, 4, 2)];
    folder.put("day1.npy", &parts[0]);
    fs::copy(folder.path("day1.npy"), folder.path("").join(OsStr::from_bytes(b"day\xff.npy"))).unwrap();
    folder.put("day1.npy", &parts[1]);
    let twice = Matrix::from_fn(20, 4, |i, j| 2.0 * parts[0].at(i, j));
    folder.put("two.npy", &Matrix::from_fn(4, 4, |i, j| if i == j { 2.0 } else { 0.0 }));
    let inside = |name: &[u8]| folder.path("").join(OsStr::from_bytes(name));
    for pattern in [&b"day\xff.npy"[..], b"d*\xff*", b"day[!0-9].npy"] {
        let words: &[&[u8]] =
            &[b"matmul", pattern, b"two.npy", b"--out", b"out\xff.npy", b"--report", b"run\xff.json"];
        let out = run(&folder, words);
        assert_eq!(out.code, Some(0), "{out:?}");
        assert!(npy::read(&inside(b"out\xff.npy")).values == twice);
        fs::remove_file(inside(b"out\xff.npy")).unwrap();
        fs::remove_file(inside(b"run\xff.json")).unwrap();
    }
    let out = run(&folder, &[b"qr", b"day*.npy", b"--out", b"dir\xff"]);
    assert_eq!(out.code, Some(0), "{out:?}");
    assert_eq!(npy::read(&inside(b"dir\xff/q.npy")).shape, [30, 4]);
    let out = run(&folder, &[b"transpose-add", b"two.npy", b"--out", b"\xff.zarr"]);
    assert_eq!(out.code, Some(0), "{out:?}");
    let out = run(&folder, &[b"transpose-add", b"\xff.zarr", b"--out", b"back.npy"]);
    assert_eq!(out.code, Some(0), "{out:?}");
    assert_eq!(folder.get("back.npy").values.data[0], 8.0);
}

/// As `numpy.vstack` makes them one matrix; alone a vector is a column, as it always was.
#[test]
fn several_vectors_are_rows_and_one_is_a_column() {
    let folder = Folder::new();
    let a = Matrix::gaussian(20, 45, 1);
    for (day, row) in a.data.chunks(45).enumerate() {
        let bytes: Vec<u8> = row.iter().flat_map(|x| x.to_le_bytes()).collect();
        folder.write(&format!("day{day}.npy"), npy::raw("<f8", false, "(45,)", &bytes));
    }
    folder.put("eye.npy", &Matrix::identity(45));
    folder.put("one.npy", &Matrix::identity(1));
    let said = folder.ok("matmul day*.npy eye.npy --out out.npy").stdout;
    assert!(folder.get("out.npy").values == a);
    assert!(said.contains("20x45") && said.contains("21 files"), "{said}");
    folder.ok("matmul day3.npy one.npy --out out.npy");
    assert_eq!(folder.get("out.npy").shape, [45, 1]);
    folder.put("day20.npy", &Matrix::gaussian(3, 45, 2));
    folder.ok("matmul day*.npy eye.npy --out out.npy --block 7");
    assert_eq!(folder.get("out.npy").shape, [23, 45]);
}

#[test]
fn a_summary_and_a_plan_say_the_shape_and_the_number_of_files() {
    let folder = Folder::new();
    for day in 0..3 {
        folder.put(&format!("day{day}.npy"), &Matrix::gaussian(10, 4, day));
    }
    for command in ["svd", "plan svd"] {
        let said = folder.ok(&format!("{command} day*.npy --out out")).stdout;
        assert!(said.contains("svd of a 30x4 f64 matrix from 3 files"), "{said}");
    }
    assert!(folder.ok("qr day0.npy --out out").stdout.contains("10x4 f64 matrix from 1 file:"));
    let said = folder.ok("generate normal --shape 4x5 --out out.npy").stdout;
    assert!(said.contains("4x5 f64 matrix:"), "{said}");
}

#[test]
fn sizes_are_what_slurm_and_kubernetes_take() {
    let folder = Folder::new();
    folder.put("a.npy", &Matrix::gaussian(10, 4, 1));
    for (size, bytes) in [
        ("1G", 1 << 30),
        ("1Gi", 1 << 30),
        ("1GiB", 1 << 30),
        ("1GB", 1_000_000_000_u64),
        ("1e9", 1_000_000_000),
    ] {
        let plan =
            folder.ok(&format!("plan svd a.npy --out out --memory {size} --spill-limit {size}")).stdout;
        assert!(plan.contains(&format!("memory allowed {bytes} bytes")), "{size}: {plan}");
    }
    let help = folder.ok("svd --help").stdout;
    assert!(help.contains("1024") && help.contains("1000"), "{help}");
}
