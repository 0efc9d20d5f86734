//! Wrong arrays: exit code 2, one line that says what, and no file left behind.

use super::arrays::{Codec, put, put_plain};
use crate::support::dolmen::Folder;
use crate::support::matrix::Matrix;
use flate2::{Compression, write::GzEncoder};
use std::fs;
use std::io::Write;

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
    for unknown in ["F".into(), serde_json::json!({ "name": "x", "must_understand": true })] {
        let mut node: serde_json::Value = serde_json::from_str(&good).unwrap();
        node["chunk_memory_layout"] = unknown;
        folder.write("a.zarr/zarr.json", node.to_string());
        folder.refused("svd a.zarr --out out", &["a.zarr", "chunk_memory_layout"]);
    }
    changed(|node| node["told"] = serde_json::json!({ "must_understand": false }));
    folder.ok("svd a.zarr --out told");
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

/// 64 MiB of zeros in a few KiB, with and without a word on their length, and as gzip.
fn bombs() -> [(Codec, Vec<u8>); 3] {
    let zeros = vec![0; 64 << 20];
    let announced = zstd::bulk::compress(&zeros, 1).unwrap();
    let silent = zstd::stream::encode_all(&zeros[..], 1).unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&zeros).unwrap();
    [(Codec::Zstd, announced), (Codec::Zstd, silent), (Codec::Gzip, gzip.finish().unwrap())]
}

#[test]
fn a_chunk_that_would_become_more_than_a_chunk_is_not_decoded() {
    for (codec, bomb) in bombs() {
        let folder = Folder::new();
        put(&folder, "a.zarr", &Matrix::gaussian(400, 400, 1), ("float64", |x| x), [200, 200], codec);
        assert!(bomb.len() < 320_000, "short enough to be looked at");
        fs::write(folder.path("a.zarr/c/1/1"), &bomb).unwrap();
        let error = folder.refused("transpose-add a.zarr --out out.npy", &["a.zarr/c/1/1"]);
        assert!(error.contains("more than the 320000 bytes"), "{error}");
    }
}

#[cfg(feature = "blosc")]
#[test]
fn a_chunk_of_blosc_that_would_become_more_than_a_chunk_is_not_decoded() {
    let folder = Folder::new();
    // A chunk of zeros alone would not be stored.
    let one = Matrix::from_fn(2048, 2048, |i, j| if i + j == 0 { 1.0 } else { 0.0 });
    put(&folder, "bomb.zarr", &one, ("float64", |x| x), [2048, 2048], Codec::Blosc);
    put(&folder, "a.zarr", &Matrix::gaussian(400, 400, 1), ("float64", |x| x), [200, 200], Codec::Blosc);
    fs::copy(folder.path("bomb.zarr/c/0/0"), folder.path("a.zarr/c/1/1")).unwrap();
    let error = folder.refused("transpose-add a.zarr --out out.npy", &["a.zarr/c/1/1"]);
    assert!(error.contains("320000 bytes"), "{error}");
    fs::write(folder.path("a.zarr/c/1/1"), [1, 2, 3]).unwrap();
    folder.refused("transpose-add a.zarr --out out.npy", &["a.zarr/c/1/1"]);
}

/// The index of a shard without a checksum, all of whose six chunks are at this place.
fn index(offset: u64, bytes: u64) -> Vec<u8> {
    [offset, bytes].repeat(6).into_iter().flat_map(u64::to_le_bytes).collect()
}

#[test]
fn a_shard_whose_index_lies_is_refused() {
    let [(_, bomb), ..] = bombs();
    let folder = Folder::new();
    put(&folder, "a.zarr", &Matrix::gaussian(400, 600, 1), ("float64", |x| x), [200, 200], Codec::Sharded);
    let mut node: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.path("a.zarr/zarr.json")).unwrap()).unwrap();
    let sharding = &mut node["codecs"][0]["configuration"];
    sharding["index_codecs"] = serde_json::json!([sharding["index_codecs"][0]]);
    folder.write("a.zarr/zarr.json", node.to_string());
    let shard = |content: &[u8], index: Vec<u8>| {
        fs::write(folder.path("a.zarr/c/0/0"), [content, &index].concat()).unwrap();
        folder.refused("svd a.zarr --out out", &["a.zarr/c/0/0"])
    };
    let error = shard(&bomb, index(0, bomb.len() as u64));
    assert!(error.contains("more than the 320000 bytes"), "{error}");
    let error = shard(&bomb, index(0, 1 << 40));
    assert!(error.contains("too many"), "{error}");
    shard(&bomb, index(1 << 40, 100));
}

#[test]
fn what_is_not_finite_is_named_with_array_row_and_column() {
    for &codec in Codec::ALL {
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
