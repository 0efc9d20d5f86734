//! What is written is read by others, appears only when whole, and replaces only what it may.

use super::arrays::{get, put_plain};
use crate::support::dolmen::{Folder, Outcome};
use crate::support::matrix::Matrix;
use std::process::{Child, Stdio};

#[test]
fn a_result_is_what_the_npy_file_would_be() {
    for (shape, block) in [("53x41", "16x10"), ("53x41", "53x41"), ("30x1", "7"), ("1x30", "7"), ("0x5", "4")]
    {
        let folder = Folder::new();
        for out in ["out.npy", "out.zarr"] {
            folder.ok(&format!("generate normal --shape {shape} --seed 3 --block {block} --out {out}"));
        }
        let (npy, (shape, values)) = (folder.get("out.npy"), get(&folder, "out.zarr"));
        assert_eq!(npy.shape.iter().map(|n| *n as u64).collect::<Vec<_>>(), shape);
        assert!(npy.values.data == values, "{shape:?} in blocks of {block}");
    }
}

#[test]
fn a_folder_of_results() {
    let folder = Folder::new();
    folder.put("a.npy", &Matrix::gaussian(90, 12, 1));
    for (command, names) in
        [("svd", &["u", "s", "vt"][..]), ("qr", &["q", "r"]), ("rsvd --rank 3", &["u", "s", "vt"])]
    {
        folder.ok(&format!("{command} a.npy --out one --block 25"));
        folder.ok(&format!("{command} a.npy --out two --block 25 --format zarr"));
        for name in names {
            let npy = folder.get(&format!("one/{name}.npy"));
            let (shape, values) = get(&folder, &format!("two/{name}.zarr"));
            assert_eq!(npy.shape.iter().map(|n| *n as u64).collect::<Vec<_>>(), shape, "{command} {name}");
            assert!(npy.values.data == values, "{command} {name}");
        }
    }
}

/// With little memory a product is made piece by piece: pieces begin where blocks do.
#[test]
fn a_product_in_pieces_and_its_chunks() {
    let folder = Folder::new();
    folder.put("a.npy", &Matrix::gaussian(300, 300, 1));
    folder.ok("matmul a.npy a.npy --out out.npy --block 40 --threads 1");
    folder.ok("matmul a.npy a.npy --out out.zarr --block 40 --threads 1 --memory 1MiB");
    assert!(folder.get("out.npy").values.data == get(&folder, "out.zarr").1);
    folder.ok("transpose-add out.zarr --out back.npy --block 33");
    folder.ok("transpose-add out.npy --out forth.npy --block 33");
    assert!(folder.get("back.npy").values == folder.get("forth.npy").values);
}

#[test]
fn an_array_is_replaced_as_a_whole() {
    let folder = Folder::new();
    let a = Matrix::gaussian(20, 20, 1);
    put_plain(&folder, "a.zarr", &a, [3, 20]);
    put_plain(&folder, "b.zarr", &a, [3, 20]);
    folder.ok("transpose-add a.zarr --out b.zarr --block 8");
    let twice = Matrix::from_fn(20, 20, |i, j| a.at(i, j) + a.at(j, i));
    assert!(get(&folder, "b.zarr").1 == twice.data);
    assert!(!folder.names().iter().any(|name| name.starts_with('.')), "{:?}", folder.names());
    assert!(!folder.names().iter().any(|name| name.starts_with("b.zarr/c/6")), "a chunk of the old one");
}

/// Whoever is last wins, and nobody fails for it.
#[test]
fn many_may_write_one_array_at_once() {
    let folder = Folder::new();
    for round in 0..8 {
        let words = format!("generate normal --shape 9x9 --out {round}.zarr --block 3 --no-sync --quiet");
        let start = |_| folder.command(&words).stderr(Stdio::piped()).spawn().unwrap();
        let started: Vec<Child> = (0..6).map(start).collect();
        for child in started {
            let out = Outcome::of(child.wait_with_output().unwrap());
            assert_eq!(out.code, Some(0), "{out:?}");
        }
        assert_eq!(get(&folder, &format!("{round}.zarr")).0, [9, 9]);
    }
    assert!(!folder.names().iter().any(|name| name.starts_with('.')), "{:?}", folder.names());
}

#[test]
fn what_is_not_a_zarr_array_is_not_replaced() {
    let folder = Folder::new();
    folder.write("file.zarr", "mine");
    std::fs::create_dir(folder.path("folder.zarr")).unwrap();
    folder.write("folder.zarr/thesis.txt", "mine too");
    for out in ["file.zarr", "folder.zarr", "nowhere/out.zarr"] {
        folder.refused(&format!("generate normal --shape 9x9 --out {out}"), &[out]);
    }
}
