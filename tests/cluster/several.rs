//! Several runs at once.

use crate::peer::Peer;
use crate::processes::{Cluster, ended};
use cluster::role::Role;
use std::process::{Child, Stdio};
use std::time::Duration;

/// Three of its blocks of 32 MB are more than the small portion of a worker.
const LARGE: &str = "matmul a.npy a.npy --block 2000 --quiet --out";

/// Clients at once.
const MANY: usize = 100;

fn begin(cluster: &Cluster, words: &str) -> Child {
    cluster.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process")
}

/// A client that asks for a matrix and never fetches it: its run has the large portion until the client goes.
fn slow_client(cluster: &Cluster) -> Peer {
    let client = Peer::of(cluster, Role::Client, "slow");
    client.ask_for_ones(1);
    cluster.wait_for("run 0 is done");
    client
}

fn cluster() -> Cluster {
    let cluster = Cluster::new(1, "--threads 1 --memory 512MiB");
    cluster.folder.ok("generate normal --shape 3000x3000 --seed 1 --out a.npy");
    cluster.folder.ok("generate normal --shape 300x300 --seed 2 --out small.npy");
    cluster.folder.ok("transpose-add small.npy --out here.npy");
    cluster.wait_for("worker n0 joins");
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
    let first = slow_client(&cluster);
    let mut second = begin(&cluster, &format!("{LARGE} second.npy"));
    cluster.wait_for("does not fit the small portion");
    for _ in 0..3 {
        cluster.ok("transpose-add small.npy --out there.npy --quiet");
        let files = cluster.folder.contents();
        assert!(files["here.npy"] == files["there.npy"]);
        assert_eq!(states(&cluster), ["hands out results", "waits"], "{}", cluster.log());
    }
    drop(first);
    assert_eq!(ended(&mut second), Some(0), "{}", cluster.log());
}

/// Clients that all come at once, each with a small run.
fn many(cluster: &Cluster) -> Vec<Child> {
    let one = |number: usize| {
        let words = format!("transpose-add small.npy --out there{number}.npy --quiet");
        cluster.command(&words).stdout(Stdio::null()).spawn().expect("a process")
    };
    (0..MANY).map(one).collect()
}

#[track_caller]
fn all_are_right(cluster: &Cluster, mut clients: Vec<Child>) {
    assert!(clients.iter_mut().all(|child| ended(child) == Some(0)), "{}", cluster.log());
    let files = cluster.folder.contents();
    assert!((0..MANY).all(|number| files[&format!("there{number}.npy")] == files["here.npy"]));
}

#[test]
fn many_clients_at_once_are_all_served_by_the_small_portion() {
    let cluster = cluster();
    let _first = slow_client(&cluster);
    let clients = many(&cluster);
    all_are_right(&cluster, clients);
    assert_eq!(states(&cluster), ["hands out results"]);
}

/// As soon as one large run is over the next one begins, until all small ones are done.
#[test]
fn large_runs_go_on_beside_many_clients() {
    let cluster = cluster();
    cluster.folder.ok(&format!("{LARGE} large.npy"));
    let mut large = begin(&cluster, &format!("{LARGE} large0.npy"));
    cluster.wait_for("run 0 of");
    let mut clients = many(&cluster);
    let mut runs = 1;
    while clients.iter_mut().any(|child| child.try_wait().expect("a child").is_none()) {
        if large.try_wait().expect("a child").is_some() {
            assert_eq!(ended(&mut large), Some(0), "{}", cluster.log());
            large = begin(&cluster, &format!("{LARGE} large{runs}.npy"));
            runs += 1;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(ended(&mut large), Some(0), "{}", cluster.log());
    all_are_right(&cluster, clients);
    let files = cluster.folder.contents();
    assert!((0..runs).all(|number| files[&format!("large{number}.npy")] == files["large.npy"]));
    let log = cluster.log();
    let first = &log[log.find("run 0 of").expect("its begin")..log.find("run 0 is done").expect("its end")];
    assert!(first.contains(" is done after "), "none is done beside the large one:\n{log}");
    assert_eq!(log.matches(" is done after ").count(), MANY + runs, "{log}");
}
