//! Runs that wait for their turn.

use crate::peer::{Peer, seat};
use crate::processes::{Cluster, HANGS, ended};
use dolmen::sched::Seat;
use std::fs::{File, read_to_string};
use std::process::Child;
use std::time::Instant;

/// A run that needs 39 MiB at its worker. What it says goes to a file.
fn begin(cluster: &Cluster, name: &str) -> Child {
    let words = format!("generate normal --shape 1000x1000 --block 1000 --out {name}.npy");
    let mut command = cluster.folder.command(&format!("{words} --scheduler-file cluster.json"));
    let said = File::create(cluster.folder.path(&format!("{name}.log"))).unwrap();
    command.stderr(said).spawn().expect("a process")
}

#[test]
fn a_run_that_waits_in_line_says_so_in_one_line() {
    let cluster = Cluster::with_options("");
    // It never does what it is given, so the first run stays. There is no room for both.
    let _idle = Peer::enlisted(&cluster, "idle", Seat { budget: 64 << 20, ..seat() });
    let mut first = begin(&cluster, "first");
    cluster.wait_for("run 0 of");
    let mut second = begin(&cluster, "second");
    let began = Instant::now();
    let said = || read_to_string(cluster.folder.path("second.log")).unwrap();
    while said() != "dolmen: waits for 1 run before it\n" {
        assert!(began.elapsed() < HANGS, "{:?}", said());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    first.kill().unwrap();
    ended(&mut first);
    cluster.wait_for("run 1 of");
    assert_eq!(said().lines().count(), 1, "{}", said());
    second.kill().unwrap();
    ended(&mut second);
}
