//! Runs that wait for their turn.

use crate::peer::{Peer, null_stages, seat, spec};
use crate::processes::{Cluster, HANGS, ended};
use cluster::role::Role;
use dolmen::protocol::{FromClient, RunSpec, ToWorkerProcess};
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

/// There is an end to them, and a run takes memory for each below its own.
#[test]
fn the_numbers_of_clients_that_have_taken_part_are_given_again() {
    let cluster = Cluster::with_options("");
    let _idle = Peer::enlisted(&cluster, "idle", seat());
    let client = Peer::of(&cluster, Role::Client, "c");
    let first = client.number_in_a_run(1);
    assert_eq!(client.number_in_a_run(2), first);
    drop(client);
    let other = Peer::of(&cluster, Role::Client, "d");
    cluster.wait_for("client c is gone");
    assert_eq!(other.number_in_a_run(1), first);
}

#[test]
fn a_run_that_is_given_up_while_it_is_planned_does_not_take_the_next_one_with_it() {
    let cluster = Cluster::with_options("");
    let worker = Peer::enlisted(&cluster, "idle", seat());
    let client = Peer::of(&cluster, Role::Client, "c");
    // The plan of the first is there before that of the second.
    client.submit(1, RunSpec { drawn: 1, ..spec(null_stages(1_000_000)) });
    client.say(&FromClient::Release { number: 1 });
    client.submit(2, RunSpec { drawn: 2, ..spec(null_stages(5_000_000)) });
    let Some(ToWorkerProcess::Begin { spec, .. }) = worker.hear() else { panic!("nothing begins") };
    assert_eq!(spec.drawn, 2);
}
