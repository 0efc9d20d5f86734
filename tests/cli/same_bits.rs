//! The same input, seed and block give the same bytes, whoever computes them.

use crate::support::dolmen::Folder;
use crate::support::matrix::Matrix;
use crate::support::npy::Kind;
use std::collections::BTreeMap;
use std::fs;

fn results(folder: &Folder, command: &str, options: &str) -> BTreeMap<String, Vec<u8>> {
    fs::create_dir(folder.path("out")).unwrap();
    folder.ok(&format!("{command} {options}"));
    let mut out = folder.contents();
    out.retain(|name, _| name.starts_with("out/") && name.ends_with(".npy"));
    fs::remove_dir_all(folder.path("out")).unwrap();
    assert!(!out.is_empty(), "{command} made nothing");
    out
}

#[test]
fn for_any_number_of_threads_and_workers() {
    let folder = Folder::new();
    folder.put("tall.npy", &Matrix::gaussian(701, 23, 1));
    folder.put_as("tall32.npy", &Matrix::gaussian(701, 23, 1), Kind::F32, true);
    folder.put("flat.npy", &Matrix::gaussian(19, 500, 2));
    folder.put("mid.npy", &Matrix::gaussian(500, 23, 1));
    folder.put("sq.npy", &Matrix::gaussian(190, 190, 3));
    for command in [
        "transpose-add sq.npy --out out/c.npy --block 32",
        "matmul sq.npy sq.npy --out out/c.npy --block 48x32",
        "matmul flat.npy mid.npy --out out/c.npy --block 64",
        "qr tall.npy --out out --block 50",
        "svd tall.npy --out out --block 50",
        "svd tall.npy --out out --block 50 --values-only",
        "svd tall32.npy --out out --block 64",
        "svd flat.npy --out out --block 64",
        "rsvd sq.npy --rank 7 --seed 5 --out out --block 40",
    ] {
        let first = results(&folder, command, "--threads 1 --workers 1");
        for options in [
            "--threads 2",
            "--threads 4 --workers 1",
            "--workers 2 --threads 1",
            "--workers 2 --threads 2",
            "--workers 1..4 --threads 1",
            "",
        ] {
            assert!(results(&folder, command, options) == first, "{command} {options}");
        }
    }
}

#[test]
fn again_and_again() {
    let folder = Folder::new();
    folder.put("a.npy", &Matrix::gaussian(997, 12, 1));
    let command = "svd a.npy --out out --block 13 --threads 4 --workers 2";
    let first = results(&folder, command, "");
    for turn in 0..8 {
        assert!(results(&folder, command, "") == first, "turn {turn}");
    }
}

#[test]
fn a_seed_chooses_the_sketch() {
    let folder = Folder::new();
    folder.put("a.npy", &Matrix::with_spectrum(120, 60, |i| 1.0 / (1.0 + i as f64).sqrt(), 1));
    let run = |seed: &str| results(&folder, "rsvd a.npy --rank 5 --power-iters 0 --out out --block 32", seed);
    assert!(run("--seed 1") == run("--seed 1"));
    assert!(run("--seed 1") != run("--seed 2"));
    assert!(run("") == run("--seed 0"), "0 is the default");
}
