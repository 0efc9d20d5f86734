//! Several runs at once.

use crate::peer::Peer;
use crate::processes::{Cluster, ended};
use cluster::role::Role;
use dolmen::array::{Axis, BlockGrid, Element, Fill};
use dolmen::graph::ProgramBuilder;
use dolmen::protocol::{FromClient, RunSpec};
use std::process::{Child, Stdio};

/// Three of its blocks of 32 MB are more than the small portion of a worker.
const LARGE: &str = "matmul a.npy a.npy --block 2000 --quiet --out";

fn begin(cluster: &Cluster, words: &str) -> Child {
    cluster.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process")
}

/// A client that asks for a matrix and never fetches it: its run has the large portion until the client goes.
fn slow_client(cluster: &Cluster) -> Peer {
    let mut builder = ProgramBuilder::default();
    let axis = || Axis::new(100, 100);
    let ones = builder.fill(Fill::Constant(1.0), 0, 0, BlockGrid::new(axis(), axis()), Element::F64);
    builder.keep(ones.stage);
    let stages = builder.finish().stages().to_vec();
    let spec = RunSpec { stages, inputs: Vec::new(), outputs: Vec::new(), sync: false, own: None };
    let client = Peer::of(cluster, Role::Client, "slow");
    client.say(&FromClient::Submit { number: 1, spec: Box::new(spec) });
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

#[test]
fn many_clients_at_once_are_all_served() {
    let cluster = cluster();
    let _first = slow_client(&cluster);
    let one = |number: usize| {
        let words = format!("transpose-add small.npy --out there{number}.npy --quiet");
        cluster.command(&words).stdout(Stdio::null()).spawn().expect("a process")
    };
    let mut small: Vec<Child> = (0..12).map(one).collect();
    assert!(small.iter_mut().all(|child| ended(child) == Some(0)), "{}", cluster.log());
    let files = cluster.folder.contents();
    assert!((0..12).all(|number| files[&format!("there{number}.npy")] == files["here.npy"]));
    assert_eq!(states(&cluster), ["hands out results"]);
}
