//! Several runs at once.

use crate::processes::{Cluster, ended};
use std::process::{Child, Stdio};

/// It goes on for as long as these tests take.
const LONG: &str = "matmul a.npy a.npy --block 64 --quiet --out";
/// Three of its blocks of 32 MB are more than the small portion of a worker.
const LARGE: &str = "matmul a.npy a.npy --block 2000 --quiet --out";

fn begin(cluster: &Cluster, words: &str) -> Child {
    cluster.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process")
}

fn cluster() -> Cluster {
    let cluster = Cluster::new(1, "--threads 1 --memory 512MiB");
    cluster.folder.ok("generate normal --shape 3000x3000 --seed 1 --out a.npy");
    cluster.folder.ok("generate normal --shape 300x300 --seed 2 --out small.npy");
    cluster.folder.ok("transpose-add small.npy --out here.npy");
    cluster
}

fn states(cluster: &Cluster) -> Vec<String> {
    let status = cluster.folder.ok("status --scheduler-file cluster.json --json").stdout;
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let state = |run: &serde_json::Value| run["state"].as_str().expect("a state").to_owned();
    status["runs"].as_array().expect("runs").iter().map(state).collect()
}

#[test]
fn a_small_run_is_done_beside_a_large_one_and_a_large_one_waits() {
    let cluster = cluster();
    let mut first = begin(&cluster, &format!("{LONG} first.npy"));
    cluster.wait_for("run 0 of");
    let mut second = begin(&cluster, &format!("{LARGE} second.npy"));
    cluster.wait_for("does not fit the small portion");
    for _ in 0..3 {
        cluster.ok("transpose-add small.npy --out there.npy --quiet");
        let files = cluster.folder.contents();
        assert!(files["here.npy"] == files["there.npy"]);
        assert_eq!(states(&cluster), ["runs", "waits"], "{}", cluster.log());
    }
    first.kill().expect("it runs");
    ended(&mut first);
    cluster.wait_for("run 0 is cancelled");
    cluster.wait_for("run 4 of");
    second.kill().expect("it runs");
    ended(&mut second);
}

#[test]
fn many_clients_at_once_are_all_served() {
    let cluster = cluster();
    let mut large = begin(&cluster, &format!("{LONG} first.npy"));
    cluster.wait_for("run 0 of");
    let one = |number: usize| {
        let words = format!("transpose-add small.npy --out there{number}.npy --quiet");
        cluster.command(&words).stdout(Stdio::null()).spawn().expect("a process")
    };
    let mut small: Vec<Child> = (0..12).map(one).collect();
    assert!(small.iter_mut().all(|child| ended(child) == Some(0)), "{}", cluster.log());
    let files = cluster.folder.contents();
    assert!((0..12).all(|number| files[&format!("there{number}.npy")] == files["here.npy"]));
    assert!(large.try_wait().expect("a child").is_none(), "the large run is over");
    large.kill().expect("it runs");
    ended(&mut large);
}
