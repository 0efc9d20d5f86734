//! Arrays made and read by the crate `zarrs`, apart from `src/files`.

use crate::support::dolmen::Folder;
use crate::support::matrix::Matrix;
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;
use zarrs::array::{Array, ElementOwned};
use zarrs::filesystem::FilesystemStore;

/// How chunks are stored.
#[derive(Clone, Copy, Debug)]
pub enum Codec {
    Plain,
    Zstd,
    Gzip,
    Checked,
    Transposed,
    /// In shards of 2×3 chunks.
    Sharded,
    #[cfg(feature = "blosc")]
    Blosc,
}

impl Codec {
    pub const ALL: &[Codec] = &[
        Codec::Plain,
        Codec::Zstd,
        Codec::Gzip,
        Codec::Checked,
        Codec::Transposed,
        Codec::Sharded,
        #[cfg(feature = "blosc")]
        Codec::Blosc,
    ];

    /// As `zarr.json` lists it.
    fn chain(self, chunk: [u64; 2]) -> Value {
        let bytes = json!({ "name": "bytes", "configuration": { "endian": "little" } });
        let zstd = json!({ "name": "zstd", "configuration": { "level": 1, "checksum": true } });
        match self {
            Codec::Plain => json!([bytes]),
            Codec::Zstd => json!([bytes, zstd]),
            Codec::Gzip => json!([bytes, { "name": "gzip", "configuration": { "level": 1 } }]),
            Codec::Checked => json!([bytes, { "name": "crc32c" }]),
            Codec::Transposed => {
                json!([{ "name": "transpose", "configuration": { "order": [1, 0] } }, bytes])
            }
            #[cfg(feature = "blosc")]
            Codec::Blosc => json!([bytes, { "name": "blosc", "configuration": {
                "cname": "zstd", "clevel": 5, "shuffle": "shuffle", "typesize": 8, "blocksize": 0,
            } }]),
            Codec::Sharded => json!([{ "name": "sharding_indexed", "configuration": {
                "chunk_shape": chunk, "codecs": [bytes, zstd], "index_codecs": [bytes, { "name": "crc32c" }],
            } }]),
        }
    }
}

fn store(folder: &Folder, name: &str) -> Arc<FilesystemStore> {
    Arc::new(FilesystemStore::new(folder.path(name)).expect("a store"))
}

/// Puts a matrix there as an array of `kind`, as Zarr names it.
pub fn put<T: ElementOwned + Copy>(
    folder: &Folder,
    name: &str,
    a: &Matrix,
    (kind, convert): (&str, fn(f64) -> T),
    chunk: [u64; 2],
    codec: Codec,
) {
    let whole = match codec {
        Codec::Sharded => [2 * chunk[0], 3 * chunk[1]],
        _ => chunk,
    };
    let fill = if kind == "bool" { json!(false) } else { json!(0) };
    let metadata = json!({
        "zarr_format": 3, "node_type": "array", "shape": [a.rows, a.cols], "data_type": kind, "fill_value": fill,
        "chunk_grid": { "name": "regular", "configuration": { "chunk_shape": whole } },
        "chunk_key_encoding": { "name": "default" },
        "codecs": codec.chain(chunk),
    });
    fs::create_dir_all(folder.path(name)).expect("a writable folder");
    folder.write(&format!("{name}/zarr.json"), metadata.to_string());
    let array = Array::open(store(folder, name), "/").expect("an array");
    let values: Vec<T> = a.data.iter().map(|x| convert(*x)).collect();
    array.store_array_subset(&array.subset_all(), values.as_slice()).expect("writable");
}

/// As f64, uncompressed.
pub fn put_plain(folder: &Folder, name: &str, a: &Matrix, chunk: [u64; 2]) {
    put(folder, name, a, ("float64", |x| x), chunk, Codec::Plain);
}

/// Shape and elements of an array of f64.
pub fn get(folder: &Folder, name: &str) -> (Vec<u64>, Vec<f64>) {
    let array = Array::open(store(folder, name), "/").expect("an array that zarrs reads");
    let values: Vec<f64> = array.retrieve_array_subset(&array.subset_all()).expect("whole chunks");
    (array.shape().to_vec(), values)
}
