//! A session is a guest in its process: what others in it rely on stays theirs.

use dolmen::graph::Graph;
use dolmen::session::Session;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use zarrs::array::codec::{GzipCodec, ZstdCodec};
use zarrs::array::{ArrayBuilder, BytesToBytesCodecTraits, CodecChain, data_type};
use zarrs::filesystem::FilesystemStore;
use zarrs::metadata::v3::MetadataV3;

static HEARD: AtomicU32 = AtomicU32::new(0);

#[test]
fn the_panic_hook_of_the_process_stays_and_hears_of_every_panic() {
    std::panic::set_hook(Box::new(|_| {
        HEARD.fetch_add(1, Ordering::Relaxed);
    }));
    let session = Session::builder().threads(1).memory(16 << 20).build().unwrap();
    session.functions(|f| f.register("boom", |x: f64| if x > 0.0 { panic!("too warm") } else { x }));
    let mut graph = Graph::new();
    let one = Graph::value(&1.0).unwrap();
    let call = graph.call("boom", [one]);
    let message = session.run_graph::<f64>(&graph, call).unwrap_err().to_string();
    assert!(message.contains("panicked: too warm"), "{message}");
    assert_eq!(HEARD.load(Ordering::Relaxed), 1, "the hook hears of panics in tasks");
    std::thread::spawn(|| panic!("mine")).join().unwrap_err();
    assert_eq!(HEARD.load(Ordering::Relaxed), 2, "and of others");
}

/// The codecs that anybody in this process gets for this list.
fn codecs(list: &str) -> CodecChain {
    let list: Vec<MetadataV3> = serde_json::from_str(list).unwrap();
    CodecChain::from_metadata(&list).unwrap()
}

#[test]
fn the_codecs_of_the_zarr_library_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(FilesystemStore::new(folder.path()).unwrap());
    let array = ArrayBuilder::new(vec![8, 8], vec![4, 4], data_type::float64(), 0.0_f64)
        .bytes_to_bytes_codecs(vec![Arc::new(ZstdCodec::new(1, false)) as Arc<dyn BytesToBytesCodecTraits>])
        .build(store, "/a.zarr")
        .unwrap();
    array.store_metadata().unwrap();
    let ones = vec![1.0_f64; 16];
    for chunk in [[0, 0], [0, 1], [1, 0], [1, 1]] {
        array.store_chunk(&chunk, ones.as_slice()).unwrap();
    }
    let session = Session::builder().threads(1).memory(16 << 20).build().unwrap();
    let input = session.from_files(&[folder.path().join("a.zarr")]).unwrap();
    assert_eq!(session.compute::<f64>(&input.sum()).unwrap()[(0, 0)], 64.0);
    let list = r#"[{"name":"bytes","configuration":{"endian":"little"}},
        {"name":"zstd","configuration":{"level":1,"checksum":false}},
        {"name":"gzip","configuration":{"level":1}}]"#;
    let theirs = codecs(list);
    let [zstd, gzip] = theirs.bytes_to_bytes_codecs() else { panic!("two were asked for") };
    assert!(zstd.as_any().is::<ZstdCodec>() && gzip.as_any().is::<GzipCodec>());
}
