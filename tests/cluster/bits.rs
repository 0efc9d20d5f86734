//! All commands on one, two and four workers: the bytes of one process.

use crate::processes::{Cluster, result};
use crate::support::dolmen::Folder;
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Each with the words behind its name; what they leave ends up at OUT.
const COMMANDS: [&str; 8] = [
    "generate normal --shape 700x300 --seed 4 --block 128 --out OUT.npy",
    "transpose-add a.npy --block 100 --out OUT.npy",
    "transpose-add a.zarr --block 128 --out OUT.zarr",
    "matmul a.npy a.zarr --block 120 --out OUT.npy",
    "qr t.npy --block 256 --out OUT",
    "svd t.npy --block 300 --out OUT",
    "svd t.npy --values-only --out OUT",
    "rsvd a.npy --rank 10 --block 100 --out OUT",
];

fn inputs(folder: &Folder) {
    folder.ok("generate normal --shape 500x500 --seed 1 --out a.npy");
    folder.ok("generate uniform --shape 500x500 --seed 2 --block 128 --out a.zarr");
    folder.ok("generate normal --shape 3000x40 --seed 3 --out t.npy");
}

/// Those that spill, and the memory of a worker in which they do.
const SPILLING: [(&str, &str); 2] = [
    ("matmul a.npy a.npy --block 200 --out OUT.npy", "9MiB"),
    ("rsvd a.npy --rank 20 --block 200 --out OUT", "15MiB"),
];

/// Has the cluster and one process do the same. The report of the cluster's run.
#[track_caller]
fn same(cluster: &Cluster, command: &str) -> Value {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let number = RUNS.fetch_add(1, Ordering::Relaxed);
    let (there, here) = (format!("there{number}"), format!("here{number}"));
    cluster.ok(&format!("{} --report report.json", command.replace("OUT", &there)));
    cluster.folder.ok(&command.replace("OUT", &here));
    let (there, here) = (result(&cluster.folder, &there), result(&cluster.folder, &here));
    assert!(!here.is_empty(), "{command}");
    assert!(there == here, "{command}");
    let report = std::fs::read(cluster.folder.path("report.json")).expect("a report");
    serde_json::from_slice(&report).expect("JSON")
}

#[test]
fn on_any_number_of_workers_they_are_those_of_one_process() {
    for workers in [1, 2, 4] {
        let mut cluster = Cluster::new(workers, "--threads 1 --memory 200MiB");
        inputs(&cluster.folder);
        COMMANDS.iter().for_each(|command| drop(same(&cluster, command)));
        assert_eq!(cluster.stop(), (Some(0), vec![Some(0); workers]));
        assert!(!cluster.folder.path("cluster.json").exists());
    }
}

#[test]
fn with_blocks_that_leave_memory_too() {
    for (command, memory) in SPILLING {
        let mut cluster = Cluster::new(3, &format!("--threads 1 --memory {memory} --spill-dir ."));
        cluster.folder.ok("generate normal --shape 1600x1600 --seed 1 --block 200 --out a.npy");
        let report = same(&cluster, command);
        assert!(report["bytes_spilled"].as_u64() > Some(0), "{command}: {report}");
        cluster.stop();
        let spilled = cluster.folder.names().into_iter().filter(|name| name.contains("dolmen-spill"));
        assert_eq!(spilled.collect::<Vec<_>>(), Vec::<String>::new());
    }
}

/// A worker with so little memory writes results, too.
#[test]
fn results_that_have_left_memory_are_fetched_from_their_files() {
    let cluster = Cluster::new(1, "--threads 1 --memory 5300KiB --spill-dir .");
    cluster.folder.ok("generate normal --shape 900x900 --seed 1 --out a.npy");
    let report = same(&cluster, "rsvd a.npy --rank 10 --block 60 --out OUT");
    assert!(report["bytes_spilled"].as_u64() > Some(0), "{report}");
}
