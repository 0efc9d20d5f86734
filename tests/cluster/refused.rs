//! What a cluster does not do, and what it says then.

use crate::processes::{Cluster, ended, until};
use crate::support::dolmen::Folder;
use std::fs::File;
use std::process::Stdio;

#[test]
fn what_only_a_run_in_one_process_is_told_is_refused() {
    let cluster = Cluster::new(1, "--threads 1 --memory 100MiB");
    for option in ["--workers 2", "--threads 2", "--memory 1G", "--spill-dir .", "--spill-limit 0"] {
        let words = format!("generate normal --shape 9x9 --out a.npy {option}");
        cluster.refused(&words, &[option.split(' ').next().unwrap(), "dolmen worker"]);
    }
}

#[test]
fn who_finds_no_scheduler_or_no_worker_is_told_so() {
    let folder = Folder::new();
    folder.refused("generate normal --shape 9x9 --out a.npy --scheduler-file none --wait 0s", &["none"]);
    folder.refused("worker --scheduler-file none --wait 0s", &["none"]);
    for command in ["worker", "status", "explain s0.0", "drain n0", "stop"] {
        folder.refused(command, &["--scheduler-file FILE", "--keys DIR"]);
    }
    folder.refused("stop --scheduler 127.0.0.1:1 --keys none", &["none", "dolmen keygen"]);
    folder.refused("generate normal --shape 9x9 --out a.npy --wait 1s", &["--scheduler-file"]);
    folder.refused("scheduler --listen 0.0.0.0:0", &["dolmen keygen"]);
}

#[test]
fn what_is_wrong_is_told_before_workers_are_waited_for_and_then_what_is_missing() {
    let cluster = Cluster::with_options("");
    cluster.wait_until_it_listens();
    cluster.folder.ok("generate normal --shape 9x9 --out a.npy");
    let wrong = "transpose-add a.npy --wait 3600s --out";
    cluster.refused(&format!("{wrong} a.npy"), &["a.npy", "which this run reads"]);
    cluster.refused(&format!("{wrong} none/b.npy"), &["none"]);
    std::fs::create_dir(cluster.folder.path("o")).unwrap();
    std::os::unix::fs::symlink("../cluster.json", cluster.folder.path("o/u.npy")).unwrap();
    cluster.refused("svd a.npy --wait 3600s --out o", &["o/u.npy", "cluster.json", "which this run reads"]);
    cluster.refused("transpose-add none.npy --wait 3600s --out b.npy", &["none.npy"]);
    let words = "transpose-add a.npy --out b.npy --wait 0s --scheduler-file cluster.json";
    let outcome = cluster.folder.run(words);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(
        outcome.stderr.contains("dolmen: no worker is there: start more with dolmen worker"),
        "{outcome:?}"
    );
}

/// The folder of the report goes when it has been looked at, while workers are waited for.
#[test]
fn a_report_that_cannot_be_written_hides_no_results() {
    let mut cluster = Cluster::with_options("");
    cluster.wait_until_it_listens();
    let folder = &cluster.folder;
    std::fs::create_dir(folder.path("gone")).unwrap();
    let words = "generate normal --shape 9x9 --out c.npy --report gone/r.json --scheduler-file cluster.json --wait 600s";
    let said = File::create(folder.path("said")).unwrap();
    let mut run = folder.command(words).stdout(Stdio::null()).stderr(said).spawn().unwrap();
    let said = || std::fs::read_to_string(folder.path("said")).unwrap();
    until(|| said().contains("waiting for workers"), said);
    std::fs::remove_dir_all(folder.path("gone")).unwrap();
    cluster.add("n0", "--threads 1 --memory 100MiB");
    let code = ended(&mut run);
    let said = std::fs::read_to_string(cluster.folder.path("said")).unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("gone/r.json") && said.contains("the results are whole: c.npy"), "{said}");
    assert_eq!(cluster.folder.get("c.npy").shape, [9, 9]);
}

#[test]
fn a_run_that_fits_no_worker_is_refused_with_what_would() {
    let cluster = Cluster::new(2, "--threads 1 --memory 8MiB");
    cluster.folder.ok("generate normal --shape 1000x1000 --out a.npy");
    let words = "matmul a.npy a.npy --block 1000 --out b.npy --wait-workers 2";
    cluster.refused(words, &["8.0 MiB", ", the largest, has", "give a worker --memory", "use --block"]);
}

/// Blocks that one worker may not put away all of them have to hold.
#[test]
fn where_one_worker_may_not_spill_a_refusal_names_the_smallest() {
    let mut cluster = Cluster::new(1, "--threads 1 --memory 300MiB");
    cluster.add("small", "--threads 1 --memory 8MiB --spill-limit 0");
    cluster.folder.ok("generate normal --shape 1000x1000 --out a.npy");
    let words = "matmul a.npy a.npy --block 1000 --out b.npy --wait-workers 2";
    cluster.refused(words, &["at each worker", "but small has 8.0 MiB", "give each worker --memory"]);
}

#[test]
fn blocks_are_announced_at_the_network_that_is_named() {
    let mut cluster = Cluster::with_options("");
    cluster.wait_until_it_listens();
    cluster.add("n0", "--threads 1 --memory 100MiB --interface lo");
    cluster.wait_for("worker n0 joins: 1 thread, 104857600 bytes, blocks at 127.0.0.1:");
    cluster.refused("worker --threads 1 --memory 100MiB --interface nope0", &["nope0", "lo"]);
}
