//! Workers that have to spill, and whose disk is full.

use crate::processes::{Cluster, after_mounting, can_mount, result, until};
use crate::support::dolmen::Outcome;
use std::path::PathBuf;

/// Files that a worker sees below a folder. The folder in which it spills stays as long as it is there.
fn files_seen_by(cluster: &mut Cluster, worker: &str, folder: &str) -> Vec<PathBuf> {
    let process = cluster.worker(worker).id();
    let mut folders = vec![format!("/proc/{process}/root{}", cluster.folder.path(folder).display()).into()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir::<PathBuf>(folder).expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let (inner, others): (Vec<PathBuf>, Vec<PathBuf>) = paths.partition(|path| path.is_dir());
        folders.extend(inner);
        files.extend(others);
    }
    files
}

#[test]
fn a_full_disk_at_a_worker_is_one_line_and_leaves_nothing() {
    let mut cluster = Cluster::with_options("");
    std::fs::create_dir(cluster.folder.path("spill")).expect("a folder");
    let small = format!("mount -t tmpfs -o size=100k none {}", cluster.folder.path("spill").display());
    if !can_mount(&small, "runs on a cluster whose spills fill the disk") {
        return;
    }
    for name in ["n0", "n1"] {
        let options = "--threads 1 --memory 6MiB --spill-dir spill";
        cluster.add_through(&after_mounting(&small), name, options);
    }
    cluster.folder.ok("generate normal --shape 900x900 --seed 1 --out a.npy");
    let spills = "rsvd a.npy --rank 10 --block 60 --quiet --out";
    cluster.folder.ok(&format!("{spills} here"));
    // How much leaves memory is a matter of chance: it may be little.
    let fails = |round: usize| {
        let out = format!("there{round}");
        let outcome = cluster.command(&format!("{spills} {out}")).output().expect("the program starts");
        let outcome = Outcome::of(outcome);
        if outcome.code == Some(0) {
            assert!(result(&cluster.folder, "here") == result(&cluster.folder, &out));
            return false;
        }
        assert_eq!((outcome.code, outcome.stderr.lines().count()), (Some(1), 1), "{outcome:?}");
        for part in ["worker n", "no space is left in", "--spill-dir"] {
            assert!(outcome.stderr.contains(part), "no {part:?} in {}", outcome.stderr);
        }
        assert!(!cluster.folder.path(&out).exists());
        true
    };
    assert!((0..10).any(fails), "nothing spills");
    let names = cluster.folder.names();
    assert!(!names.iter().any(|name| name.contains("partial")), "{names:?}");
    for name in ["n0", "n1"] {
        until(
            || files_seen_by(&mut cluster, name, "spill").is_empty(),
            || format!("files of {name} are left"),
        );
    }
    cluster.ok("transpose-add a.npy --block 50 --out after.npy --quiet");
    cluster.folder.ok("transpose-add a.npy --block 50 --out alone.npy --quiet");
    assert!(result(&cluster.folder, "after") == result(&cluster.folder, "alone"));
    assert_eq!(cluster.stop(), (Some(0), vec![Some(0); 2]));
}
