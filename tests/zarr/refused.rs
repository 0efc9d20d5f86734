//! Wrong arrays: exit code 2, one line that says what, and no file left behind.

use super::arrays::{Codec, put, put_plain};
use crate::support::dolmen::Folder;
use crate::support::matrix::Matrix;
use std::fs;

#[test]
fn directories_that_are_no_array() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path("empty.zarr")).unwrap();
    folder.refused("svd empty.zarr --out out", &["empty.zarr", "zarr.json"]);
    fs::create_dir_all(folder.path("old.zarr")).unwrap();
    folder.write("old.zarr/.zarray", "{}");
    folder.refused("svd old.zarr --out out", &["old.zarr", "version 2", "convert"]);
    fs::create_dir_all(folder.path("bad.zarr")).unwrap();
    folder.write("bad.zarr/zarr.json", "{ \"zarr_format\": 3, ");
    folder.refused("svd bad.zarr --out out", &["bad.zarr", "zarr.json"]);
}

#[test]
fn a_group_names_its_arrays() {
    let folder = Folder::new();
    put_plain(&folder, "g.zarr/x", &Matrix::gaussian(5, 5, 1), [2, 2]);
    put_plain(&folder, "g.zarr/deep/y", &Matrix::gaussian(5, 5, 1), [2, 2]);
    folder.write("g.zarr/zarr.json", "{\"zarr_format\": 3, \"node_type\": \"group\"}");
    folder.refused("svd g.zarr --out out", &["group", "g.zarr/x", "g.zarr/deep/y"]);
    folder.ok("svd g.zarr/x --out out");
}

#[test]
fn types_dimensions_and_company_that_do_not_do() {
    let folder = Folder::new();
    put_plain(&folder, "a.zarr", &Matrix::gaussian(5, 5, 1), [2, 2]);
    let good = fs::read_to_string(folder.path("a.zarr/zarr.json")).unwrap();
    let changed = |change: fn(&mut serde_json::Value)| {
        let mut node = serde_json::from_str(&good).unwrap();
        change(&mut node);
        folder.write("a.zarr/zarr.json", node.to_string());
    };
    changed(|node| node["data_type"] = "complex128".into());
    folder.refused("svd a.zarr --out out", &["a.zarr", "complex128"]);
    changed(|node| node["shape"] = vec![5, 5, 5].into());
    folder.refused("svd a.zarr --out out", &["a.zarr", "3 dimensions"]);
    changed(|node| node["chunk_grid"]["configuration"]["chunk_shape"] = vec![0, 2].into());
    folder.refused("svd a.zarr --out out", &["a.zarr", "chunk_shape"]);
    changed(|node| node["codecs"][0]["name"] = "nonsense".into());
    folder.refused("svd a.zarr --out out", &["a.zarr", "nonsense"]);
    folder.write("a.zarr/zarr.json", &good);
    folder.put("a.npy", &Matrix::gaussian(5, 5, 1));
    folder.refused("svd a.zarr a.npy --out out", &["a.zarr", "alone"]);
}

#[test]
fn a_chunk_that_is_cut_off_is_named() {
    for codec in [Codec::Plain, Codec::Zstd, Codec::Gzip, Codec::Checked, Codec::Sharded] {
        let folder = Folder::new();
        put(&folder, "a.zarr", &Matrix::gaussian(40, 40, 1), ("float64", |x| x), [8, 8], codec);
        let chunk = folder.path("a.zarr/c/1/1");
        let whole = fs::read(&chunk).unwrap();
        for len in [whole.len() - 9, 1, 0] {
            fs::write(&chunk, &whole[..len]).unwrap();
            folder.refused("transpose-add a.zarr --out out.npy", &["a.zarr/c/1/1"]);
        }
        fs::write(&chunk, [&whole[..], &vec![0; 1 << 20][..]].concat()).unwrap();
        if matches!(codec, Codec::Plain | Codec::Zstd | Codec::Checked) {
            folder.refused("transpose-add a.zarr --out out.zarr", &["a.zarr/c/1/1"]);
        }
    }
}

#[test]
fn what_is_not_finite_is_named_with_array_row_and_column() {
    for codec in Codec::ALL {
        let folder = Folder::new();
        let mut a = Matrix::gaussian(40, 40, 4);
        a.data[37 * 40 + 5] = f64::NAN;
        put(&folder, "bad.zarr", &a, ("float64", |x| x), [16, 7], codec);
        for block in ["16x7", "9", "100"] {
            let command = format!("matmul bad.zarr bad.zarr --out out.zarr --block {block}");
            folder.refused(&command, &["bad.zarr", "row 37", "column 5"]);
        }
    }
}
