//! Wrong requests and results that no number can hold: an exit code, one line that says what, no file left behind.

use crate::support::dolmen::Folder;
use crate::support::matrix::Matrix;
use crate::support::npy::{self, Kind};
use std::fs;

/// A folder with `a.npy` (50×8), `b.npy` (8×6) and `sq.npy` (20×20).
fn folder() -> Folder {
    let folder = Folder::new();
    folder.put("a.npy", &Matrix::gaussian(50, 8, 1));
    folder.put("b.npy", &Matrix::gaussian(8, 6, 2));
    folder.put("sq.npy", &Matrix::gaussian(20, 20, 3));
    folder
}

/// The commands that read one matrix, with this one.
fn commands(input: &str) -> [String; 5] {
    [
        format!("transpose-add {input} --out out.npy"),
        format!("matmul {input} {input} --out out.npy"),
        format!("qr {input} --out out"),
        format!("svd {input} --out out"),
        format!("rsvd {input} --rank 2 --out out"),
    ]
}

fn refused_by_all(folder: &Folder, input: &str, says: &[&str]) {
    for command in commands(input) {
        folder.refused(&command, says);
        folder.refused(&format!("plan {command}"), says);
    }
}

#[test]
fn a_missing_file() {
    refused_by_all(&folder(), "nowhere.npy", &["nowhere.npy"]);
    folder().refused("matmul a.npy nowhere.npy --out out.npy", &["nowhere.npy"]);
    folder().refused("svd day*.npy --out out", &["day*.npy"]);
}

#[test]
fn a_place_to_spill_that_is_none() {
    let folder = folder();
    for place in ["nowhere", "a.npy"] {
        for command in commands("sq.npy") {
            for command in
                [format!("{command} --spill-dir {place}"), format!("plan {command} --spill-dir {place}")]
            {
                folder.refused(&command, &["folder for spilled blocks", place, "--spill-dir"]);
            }
        }
    }
    folder.refused("svd a.npy --out out --spill-limit much", &["--spill-limit"]);
}

/// The ending decides, whatever is in the file.
#[cfg(not(feature = "hdf5"))]
#[test]
fn hdf5_without_the_feature() {
    let folder = folder();
    fs::copy(folder.path("sq.npy"), folder.path("sq.h5")).unwrap();
    for input in ["sq.h5", "sq.h5:/x", "nowhere.hdf5", "nowhere.hdf5:/x[1]"] {
        refused_by_all(&folder, input, &["built without HDF5", "--features hdf5"]);
    }
}

#[test]
fn a_folder_instead_of_a_file() {
    let folder = folder();
    fs::create_dir(folder.path("d.npy")).unwrap();
    refused_by_all(&folder, "d.npy", &["d.npy"]);
}

#[test]
fn a_truncated_file() {
    let folder = folder();
    let whole = npy::encode(&Matrix::gaussian(20, 20, 1), Kind::F64, false);
    for len in [0, 3, 6, 9, 40, 127, 128, 129, whole.len() - 1] {
        folder.write("cut.npy", &whole[..len]);
        refused_by_all(&folder, "cut.npy", &["cut.npy"]);
    }
}

#[test]
fn something_else_than_npy() {
    let folder = folder();
    folder.write("a.csv.npy", "1,2,3\n4,5,6\n7,8,9\n".repeat(50));
    refused_by_all(&folder, "a.csv.npy", &["a.csv.npy"]);
    folder.write("bad.npy", b"\x93NUMPY\x01\x00\x76\x00{'descr': nonsense");
    refused_by_all(&folder, "bad.npy", &["bad.npy"]);
    folder.write("huge.npy", npy::raw("<f8", false, "(9999999999999, 9999999999999)", &[0; 64]));
    refused_by_all(&folder, "huge.npy", &["huge.npy"]);
}

#[test]
fn complex_string_and_other_dtypes() {
    for descr in ["<c16", "<c8", "<U5", "|S8", "|O", "<M8[ns]", "|V4"] {
        let folder = folder();
        folder.write("odd.npy", npy::raw(descr, false, "(2, 2)", &[0; 80]));
        refused_by_all(&folder, "odd.npy", &["odd.npy", descr.trim_start_matches(['<', '|'])]);
    }
}

#[test]
fn more_than_two_dimensions() {
    let folder = folder();
    folder.write("cube.npy", npy::raw("<f8", false, "(2, 2, 2)", &[0; 64]));
    refused_by_all(&folder, "cube.npy", &["cube.npy"]);
}

#[test]
fn shapes_that_do_not_match() {
    let folder = folder();
    folder.refused("matmul a.npy a.npy --out out.npy", &["50", "8"]);
    folder.refused("transpose-add a.npy --out out.npy", &["50", "8"]);
    folder.put("day1.npy", &Matrix::gaussian(9, 4, 1));
    folder.put("day2.npy", &Matrix::gaussian(9, 5, 1));
    folder.refused("svd day*.npy --out out", &["day2.npy", "4", "5"]);
}

#[test]
fn files_of_one_matrix_with_different_dtypes_are_one_matrix_or_refused() {
    let folder = folder();
    folder.put_as("day1.npy", &Matrix::gaussian(9, 4, 1), Kind::F32, false);
    folder.put_as("day2.npy", &Matrix::gaussian(9, 4, 1), Kind::F64, false);
    if folder.run("svd day*.npy --out probe").code != Some(0) {
        folder.refused("svd day*.npy --out out", &["day2.npy"]);
    }
}

#[test]
fn a_rank_of_zero_or_above_the_smaller_side() {
    let folder = folder();
    for rank in ["0", "9", "50", "-1", "1.5", "x"] {
        folder.refused(&format!("rsvd a.npy --rank {rank} --out out"), &["rank"]);
    }
    folder.refused("rsvd a.npy --rank 9 --out out", &["9", "8"]);
    folder.ok("rsvd a.npy --rank 8 --out out");
}

#[test]
fn blocks_of_zero_and_other_impossible_numbers() {
    let folder = folder();
    for block in ["0", "0x4", "4x0", "x", "-4", "4x4x4", ""] {
        folder.refused(&format!("svd a.npy --out out --block={block}"), &["block"]);
    }
    folder.refused("svd a.npy --out out --threads 0", &["threads"]);
    folder.refused("svd a.npy --out out --workers 0", &["workers"]);
    folder.refused("svd a.npy --out out --workers 4..1", &["--workers", "1..4"]);
    folder.refused("svd a.npy --out out --workers x", &["--workers", "1..8"]);
    folder.refused("svd a.npy --out out --memory 4parsecs", &["memory"]);
    folder.refused("rsvd a.npy --rank 2 --power-iters -1 --out out", &["power-iters"]);
    folder.refused("generate normal --shape 10 --seed 1 --out out.npy", &["shape"]);
    folder.refused("generate normal --shape 10x --seed 1 --out out.npy", &["shape"]);
    folder.refused("generate normal --shape 4x4 --seed 1 --dtype f16 --out out.npy", &["f16"]);
    folder.refused("generate cauchy --shape 4x4 --seed 1 --out out.npy", &["cauchy"]);
}

#[test]
fn words_that_mean_nothing() {
    let folder = folder();
    folder.refused("svd a.npy --out out --fast", &["--fast"]);
    folder.refused("eigen a.npy --out out", &["eigen"]);
    folder.refused("svd a.npy", &["--out"]);
    folder.refused("rsvd a.npy --out out", &["--rank"]);
    folder.refused("matmul a.npy --out out.npy", &[]);
}

/// Rows and columns are counted from 0, as in NumPy, and within the file that is named.
#[test]
fn what_is_not_finite_is_named_with_file_row_and_column() {
    for (bad, kind, fortran) in [
        (f64::NAN, Kind::F64, false),
        (f64::INFINITY, Kind::F64, true),
        (f64::NEG_INFINITY, Kind::F32, false),
        (f64::NAN, Kind::F32, true),
    ] {
        let folder = folder();
        let mut a = Matrix::gaussian(40, 40, 4);
        a.data[37 * 40 + 5] = bad;
        folder.put_as("bad.npy", &a, kind, fortran);
        for command in commands("bad.npy") {
            for block in ["16", "1", "7x3", "100"] {
                folder.refused(&format!("{command} --block {block}"), &["bad.npy", "row 37", "column 5"]);
            }
        }
    }
}

#[test]
fn a_nan_in_the_second_operand_or_file() {
    let folder = folder();
    let mut b = Matrix::gaussian(8, 6, 4);
    b.data[7 * 6 + 5] = f64::NAN;
    folder.put("nan.npy", &b);
    folder.refused("matmul a.npy nan.npy --out out.npy", &["nan.npy", "row 7", "column 5"]);
    folder.put("day1.npy", &Matrix::gaussian(30, 6, 5));
    folder.put("day2.npy", &b);
    folder.refused("svd day*.npy --out out --block 16", &["day2.npy", "row 7", "column 5"]);
}

/// Permissions do not stop root, so the paths are impossible ones.
#[test]
fn an_output_that_cannot_be_written() {
    let folder = folder();
    folder.write("plain", "a file, not a folder");
    fs::create_dir(folder.path("taken.npy")).unwrap();
    for out in ["plain/out.npy", "/proc/dolmen/out.npy", "taken.npy"] {
        folder.refused(&format!("matmul a.npy b.npy --out {out}"), &[out.trim_end_matches("/out.npy")]);
        folder.refused(&format!("transpose-add sq.npy --out {out}"), &[]);
        folder.refused(&format!("generate normal --shape 40x4 --seed 1 --out {out}"), &[]);
    }
    for out in ["plain", "plain/sub", "/proc/dolmen"] {
        folder.refused(&format!("svd a.npy --out {out}"), &[out]);
        folder.refused(&format!("svd a.npy --values-only --out {out}"), &[out]);
        folder.refused(&format!("qr a.npy --out {out}"), &[out]);
        folder.refused(&format!("rsvd a.npy --rank 2 --out {out}"), &[out]);
    }
    folder.refused("matmul a.npy b.npy --out out.npy --report plain/run.json", &["plain/run.json"]);
}

#[test]
fn numbers_beyond_reason() {
    let folder = folder();
    folder.refused("generate normal --shape 1000000x1000000 --block 10 --out out.npy", &["--block"]);
    folder.refused("rsvd a.npy --rank 2 --power-iters 4000000000 --out out", &["power"]);
    folder.refused("generate normal --shape 4x4 --out out.npy --report out.npy", &["out.npy", "report"]);
    folder.refused("svd a.npy --out out --report out/s.npy", &["s.npy", "report"]);
    folder.ok("rsvd a.npy --rank 2 --oversample 18446744073709551615 --out many");
}

/// Columns are within the type and σ₁ is not.
#[test]
fn singular_values_beyond_the_type_are_a_failure() {
    let says = ["too large for the element type", "divide the matrix"];
    for (kind, largest) in [(Kind::F64, f64::MAX), (Kind::F32, f64::from(f32::MAX))] {
        let folder = Folder::new();
        folder.put_as("a.npy", &Matrix::from_fn(10, 10, |_, _| largest / 9.0), kind, false);
        for command in ["svd a.npy", "svd a.npy --values-only", "rsvd a.npy --rank 2"] {
            folder.failed(&format!("{command} --out out"), &says);
        }
        folder.ok("qr a.npy --out out");
    }
}

#[test]
fn too_little_memory_is_said_beforehand() {
    let folder = Folder::new();
    folder.put("a.npy", &Matrix::gaussian(256, 256, 1));
    for command in commands("a.npy") {
        folder.refused(&format!("{command} --block 128 --memory 4KiB"), &["memory"]);
    }
    folder.ok("matmul a.npy a.npy --out out.npy --block 32 --memory 64MiB");
}

#[test]
fn a_refusal_leaves_earlier_results_as_they_were() {
    let folder = folder();
    fs::create_dir(folder.path("out")).unwrap();
    for name in ["out/u.npy", "out/s.npy", "out/vt.npy", "out.npy", "run.json"] {
        folder.write(name, "an earlier result");
    }
    let mut bad = Matrix::gaussian(20, 20, 4);
    bad.data[399] = f64::NAN;
    folder.put("bad.npy", &bad);
    for command in commands("bad.npy") {
        folder.refused(&format!("{command} --block 4 --report run.json"), &["row 19", "column 19"]);
    }
}
