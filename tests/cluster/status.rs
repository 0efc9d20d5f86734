//! What can be seen of a cluster from outside.

use crate::processes::Cluster;
use crate::support::dolmen::Folder;
use serde_json::Value;

fn status(folder: &Folder) -> Value {
    let outcome = folder.ok("status --scheduler-file cluster.json --json");
    serde_json::from_str(&outcome.stdout).expect("JSON")
}

#[test]
fn its_workers_and_runs_are_seen_and_why_a_task_is_where_it_is() {
    let mut cluster = Cluster::with_options("");
    cluster.wait_until_it_listens();
    assert_eq!(status(&cluster.folder), serde_json::json!({ "workers": [], "runs": [] }));
    cluster.refused("explain s0.0", &["no run goes on"]);
    cluster.add("n0", "--threads 1 --memory 300MiB");
    cluster.wait_for("worker n0 joins");
    cluster.folder.ok("generate normal --shape 1500x1500 --seed 1 --out a.npy");
    let mut run = cluster.command("matmul a.npy a.npy --block 64 --out b.npy --quiet").spawn().unwrap();
    cluster.wait_for("run 0 of");
    let seen = status(&cluster.folder);
    let worker = &seen["workers"][0];
    assert_eq!(
        (&worker["name"], &worker["threads"], &worker["memory_bytes"]),
        (&"n0".into(), &1.into(), &(300 << 20).into())
    );
    assert!(worker["held_bytes"].as_u64().unwrap() <= worker["most_held_bytes"].as_u64().unwrap());
    let seen = &seen["runs"][0];
    assert_eq!((&seen["state"], &seen["recomputed"]), (&"runs".into(), &0.into()));
    assert!(seen["done"].as_u64() <= seen["tasks"].as_u64());
    // A read of A, a product, and one that there is not.
    let read = cluster.folder.ok("explain s0.0 --scheduler-file cluster.json").stdout;
    assert!(read.starts_with("task s0.0 is read of block (0, 0): "), "{read}");
    cluster.refused("explain s0.999999", &["no task s0.999999"]);
    let text = cluster.folder.ok("status --scheduler-file cluster.json").stdout;
    assert!(text.contains("worker n0 at 127.0.0.1:") && text.contains("run of "), "{text}");
    assert_eq!(run.wait().unwrap().code(), Some(0));
}
