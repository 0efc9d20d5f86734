//! How many I/O tasks the workers of a cluster run beside those that compute.

use crate::processes::Cluster;
use serde_json::Value;

/// Its cores have little to do but to wait for files. How many more I/O tasks it gains from depends on the disk and on
/// who else uses it, so that is not asked here.
#[test]
fn with_as_many_io_tasks_as_a_worker_finds_its_bound_holds_and_the_bits_are_the_same() {
    let cluster = Cluster::new(1, "--threads 2 --memory 512MiB");
    let folder = &cluster.folder;
    folder.ok("generate normal --shape 4000x4000 --seed 1 --out a.zarr --block 250");
    folder.ok("transpose-add a.zarr --out here.npy --block 250 --quiet --threads 1");
    let expected = std::fs::read(folder.path("here.npy")).expect("a result");
    folder.ok(
        "transpose-add a.zarr --out there.npy --block 250 --quiet --no-sync --report r.json --scheduler-file \
         cluster.json",
    );
    assert!(std::fs::read(folder.path("there.npy")).expect("a result") == expected, "other bits");
    let report = std::fs::read(folder.path("r.json")).expect("a report");
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    let figure = |name: &str| report[name].as_u64().expect("a number");
    assert!(figure("peak_memory_bytes") <= figure("memory_bound_bytes"), "{report}");
    let most = figure("io_tasks_most");
    println!("I/O tasks at once: {most}");
    assert!((1..=16).contains(&most), "{report}");
}
