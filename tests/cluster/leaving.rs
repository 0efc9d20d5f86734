//! Workers that are told to leave: by name, and by a signal.

use crate::peer::{Peer, seat};
use crate::processes::{Cluster, caught, ended, send};
use crate::support::dolmen::Outcome;
use serde_json::Value;
use std::process::Stdio;

/// Two workers, n0 of which is made to leave in the middle of a run: nothing is computed twice.
fn without_loss(leave: impl Fn(&mut Cluster)) -> Cluster {
    caught("n0 leaves before the run is done", || {
        let cluster = one_of_two_leaves(&leave);
        let log = cluster.log();
        let at = |what: &str| log.find(what).unwrap_or_else(|| panic!("no {what:?} in\n{log}"));
        (at("worker n0 leaves") < at("run 0 is done")).then_some(cluster)
    })
}

fn one_of_two_leaves(leave: impl FnOnce(&mut Cluster)) -> Cluster {
    let mut cluster = Cluster::new(2, "--threads 1 --memory 200MiB");
    cluster.folder.ok("generate normal --shape 1500x1500 --seed 1 --out a.npy");
    cluster.folder.ok("matmul a.npy a.npy --block 64 --out here.npy --quiet");
    let mut run = cluster.command("matmul a.npy a.npy --block 64 --out there.npy --quiet --report r.json");
    let mut run = run.spawn().expect("a process");
    cluster.wait_for("begins");
    leave(&mut cluster);
    assert_eq!(ended(cluster.worker("n0")), Some(0), "{}", cluster.log());
    assert_eq!(run.wait().unwrap().code(), Some(0), "{}", cluster.log());
    let files = cluster.folder.contents();
    assert!(files["here.npy"] == files["there.npy"]);
    let report: Value = serde_json::from_slice(&files["r.json"]).unwrap();
    assert_eq!(report["recomputed_tasks"], 0);
    cluster
}

#[test]
fn a_worker_that_is_told_to_leave_hands_over_what_it_has() {
    without_loss(|cluster| send(cluster.worker("n0"), libc::SIGTERM));
}

#[test]
fn a_worker_leaves_when_it_is_drained_by_name_or_gets_sigusr1() {
    let mut cluster = without_loss(|cluster| {
        cluster.folder.ok("drain n0 --scheduler-file cluster.json");
        cluster.refused("drain n0", &["no worker is called n0", "dolmen status"]);
    });
    send(cluster.worker("n1"), libc::SIGUSR1);
    assert_eq!(ended(cluster.worker("n1")), Some(0), "{}", cluster.log());
    let log = cluster.log_of("n1");
    for line in
        ["joins the scheduler at", "1 thread,", "run 0 begins", "run 0 is over", "wants to leave", "told to"]
    {
        assert_eq!(log.matches(line).count(), 1, "{line}: {log}");
    }
    assert!(cluster.log_of("n0").contains("told to leave"));
}

#[test]
fn a_worker_that_has_not_left_yet_is_seen_leaving() {
    let cluster = Cluster::with_options("");
    // It never does what it is given, so it cannot leave.
    let idle = Peer::enlisted(&cluster, "idle", seat());
    let words = "generate normal --shape 100x100 --out a.npy --quiet --scheduler-file cluster.json";
    let mut run = cluster.folder.command(words).spawn().unwrap();
    cluster.wait_for("run 0 of");
    let mut drain = cluster.folder.command("drain idle --scheduler-file cluster.json");
    let drain = drain.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    cluster.wait_for("worker idle is to leave");
    let json = cluster.folder.ok("status --scheduler-file cluster.json --json").stdout;
    let seen: Value = serde_json::from_str(&json).unwrap();
    let worker = &seen["workers"][0];
    assert_eq!((&worker["leaving"], &worker["queue_seconds"]), (&true.into(), &Value::Null));
    let text = cluster.folder.ok("status --scheduler-file cluster.json").stdout;
    assert!(
        text.contains(": 1 thread, ") && text.contains("queue -, ") && text.contains(", leaving"),
        "{text}"
    );
    drop(idle);
    let outcome = Outcome::of(drain.wait_with_output().unwrap());
    assert_eq!((outcome.code, outcome.stderr.lines().count()), (Some(1), 1), "{outcome:?}");
    assert!(outcome.stderr.contains("idle was lost before it could leave"), "{outcome:?}");
    run.kill().unwrap();
    ended(&mut run);
}
