//! What is read is what is there, whatever the chunks, the blocks, the codecs and the types.

use super::arrays::{Codec, put, put_plain};
use crate::support::dolmen::Folder;
use crate::support::matrix::Matrix;
use std::fs;

/// Multiplies by the identity and demands the same numbers.
#[track_caller]
fn check(folder: &Folder, a: &Matrix, block: &str, what: &str) {
    folder.ok(&format!("matmul a.zarr eye.npy --out out.npy --block {block}"));
    assert!(folder.get("out.npy").values == *a, "{what}, block {block}");
}

#[test]
fn each_codec_with_blocks_that_match_chunks_and_others() {
    for &codec in Codec::ALL {
        let folder = Folder::new();
        let a = Matrix::gaussian(53, 41, 1);
        folder.put("eye.npy", &Matrix::identity(41));
        put(&folder, "a.zarr", &a, ("float64", |x| x), [16, 10], codec);
        for block in ["16x10", "32x20", "7", "100", "auto"] {
            check(&folder, &a, block, &format!("{codec:?}"));
        }
    }
}

#[test]
fn ragged_edges_and_chunks_of_every_shape() {
    for (rows, cols) in [(1, 1), (1, 30), (30, 1), (31, 29)] {
        for chunk in [[1, 1], [31, 29], [100, 7], [7, 100], [16, 16]] {
            let folder = Folder::new();
            let a = Matrix::gaussian(rows, cols, 2);
            folder.put("eye.npy", &Matrix::identity(cols));
            put_plain(&folder, "a.zarr", &a, chunk);
            for block in ["5", "16", "auto"] {
                check(&folder, &a, block, &format!("{rows}×{cols}, chunks of {chunk:?}"));
            }
        }
    }
}

/// Rows of a chunk that are longer than a page are read one by one.
#[test]
fn long_rows() {
    let folder = Folder::new();
    let a = Matrix::gaussian(6, 1500, 3);
    put_plain(&folder, "a.zarr", &a, [4, 1200]);
    folder.put("eye.npy", &Matrix::identity(6));
    for block in ["6x900", "4x1200", "6x1500"] {
        folder.ok(&format!("matmul eye.npy a.zarr --out out.npy --block {block}"));
        assert!(folder.get("out.npy").values == a, "block {block}");
    }
}

#[test]
fn integers_and_booleans_become_f64() {
    let a = Matrix::from_fn(20, 17, |i, j| ((i * 17 + j) % 100) as f64);
    for codec in [Codec::Plain, Codec::Zstd] {
        let folder = Folder::new();
        folder.put("eye.npy", &Matrix::identity(17));
        let put_as = |kind: &str| {
            let _ = fs::remove_dir_all(folder.path("a.zarr"));
            match kind {
                "int8" => put(&folder, "a.zarr", &a, (kind, |x| x as i8), [8, 5], codec),
                "int16" => put(&folder, "a.zarr", &a, (kind, |x| x as i16), [8, 5], codec),
                "int32" => put(&folder, "a.zarr", &a, (kind, |x| x as i32), [8, 5], codec),
                "int64" => put(&folder, "a.zarr", &a, (kind, |x| x as i64), [8, 5], codec),
                "uint8" => put(&folder, "a.zarr", &a, (kind, |x| x as u8), [8, 5], codec),
                "uint16" => put(&folder, "a.zarr", &a, (kind, |x| x as u16), [8, 5], codec),
                "uint32" => put(&folder, "a.zarr", &a, (kind, |x| x as u32), [8, 5], codec),
                _ => put(&folder, "a.zarr", &a, (kind, |x| x as u64), [8, 5], codec),
            }
        };
        for kind in ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"] {
            put_as(kind);
            check(&folder, &a, "6", &format!("{kind} {codec:?}"));
        }
        let truth = a.map(|x| f64::from(x > 50.0));
        fs::remove_dir_all(folder.path("a.zarr")).unwrap();
        put(&folder, "a.zarr", &truth, ("bool", |x| x != 0.0), [8, 5], codec);
        check(&folder, &truth, "6", &format!("bool {codec:?}"));
    }
}

#[test]
fn missing_chunks_are_the_fill_value() {
    for codec in [Codec::Plain, Codec::Zstd] {
        let folder = Folder::new();
        let mut a = Matrix::gaussian(20, 20, 4);
        put(&folder, "a.zarr", &a, ("float64", |x| x), [8, 8], codec);
        let metadata = fs::read_to_string(folder.path("a.zarr/zarr.json")).unwrap();
        let mut metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
        metadata["fill_value"] = 2.5.into();
        folder.write("a.zarr/zarr.json", metadata.to_string());
        fs::remove_file(folder.path("a.zarr/c/1/2")).unwrap();
        (8..16).for_each(|i| a.data[i * 20 + 16..(i + 1) * 20].fill(2.5));
        folder.put("eye.npy", &Matrix::identity(20));
        for block in ["8", "20", "3"] {
            check(&folder, &a, block, &format!("{codec:?}"));
        }
    }
}

/// As Python's zarr writes them; what is in attributes does not matter.
#[test]
fn attributes_that_are_no_json_and_a_byte_order_mark() {
    for codec in [Codec::Plain, Codec::Zstd, Codec::Sharded] {
        let folder = Folder::new();
        let a = Matrix::gaussian(20, 20, 4);
        put(&folder, "a.zarr", &a, ("float64", |x| x), [8, 8], codec);
        let good = fs::read_to_string(folder.path("a.zarr/zarr.json")).unwrap();
        let attributes = r#"{ "attributes": { "scale": NaN, "range": [-Infinity, Infinity], "say": "NaN \" Infinity",
            "file": "day\udcff.npy", "large": [1e999, 1DIGITS], "deep": OPEN CLOSE },
            "dimension_names": ["only one"], "#;
        let attributes = attributes.replace("DIGITS", &"0".repeat(400));
        let attributes = attributes.replace("OPEN", &"[".repeat(200)).replace("CLOSE", &"]".repeat(200));
        folder.put("eye.npy", &Matrix::identity(20));
        for text in [
            format!("\u{feff}{good}"),
            good.replacen('{', &attributes, 1),
            good.replace("\"fill_value\":0", "\"fill_value\":NaN"),
        ] {
            assert_ne!(text, good);
            folder.write("a.zarr/zarr.json", text);
            check(&folder, &a, "7", &format!("{codec:?}"));
        }
    }
}

#[test]
fn the_same_bits_as_from_npy() {
    let folder = Folder::new();
    let a = Matrix::gaussian(150, 40, 5);
    folder.put("a.npy", &a);
    put_plain(&folder, "a.zarr", &a, [32, 40]);
    for command in ["qr", "svd", "rsvd --rank 5"] {
        for block in ["64", "17"] {
            folder.ok(&format!("{command} a.npy --out one --block {block}"));
            folder.ok(&format!("{command} a.zarr --out two --block {block}"));
            let files = folder.contents();
            for (name, bytes) in
                files.iter().filter(|(name, _)| name.starts_with("one/") && !name.ends_with('/'))
            {
                let other = &files[&name.replacen("one/", "two/", 1)];
                assert!(bytes == other, "{command}, block {block}: {name}");
            }
        }
    }
}

/// Automatic blocks of a matrix in chunks are whole chunks, and memory does not change them.
#[test]
fn automatic_blocks_are_whole_chunks() {
    let folder = Folder::new();
    put_plain(&folder, "a.zarr", &Matrix::gaussian(600, 600, 6), [50, 50]);
    for memory in ["", "--memory 128MiB --threads 1"] {
        for (command, rows) in [("transpose-add a.zarr --out o.npy", 50), ("svd a.zarr --out o", 50)] {
            folder.ok(&format!("{command} --report run.json {memory}"));
            let report = fs::read(folder.path("run.json")).unwrap();
            let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
            let block = report["block"][0].as_u64().unwrap();
            assert!(block.is_multiple_of(rows) || block == 600, "{command}: blocks of {block} rows");
        }
    }
}
