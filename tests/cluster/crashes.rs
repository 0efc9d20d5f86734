//! Workers that are killed, stopped, and started while a run goes on.

use crate::peer::{Peer, seat};
use crate::processes::{Cluster, caught, ended, send, until};
use crate::support::dolmen::Outcome;
use cluster::role::Role;
use dolmen::array::{Array, Element};
use dolmen::session::Session;
use std::process::{Child, Stdio};

/// Long enough for something to happen in the middle.
const LONG: &str = "matmul a.npy a.npy --block 64 --report report.json --out";
/// Seven times as many tasks: it will not come to its end.
const ENDLESS: &str = "matmul a.npy a.npy --block 32 --out";

fn begin(cluster: &Cluster, words: &str) -> Child {
    let mut command = cluster.command(words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process")
}

/// A cluster with an input, and the product in one process beside it.
fn cluster(workers: usize, scheduler: &str) -> Cluster {
    let mut cluster = Cluster::with_options(scheduler);
    (0..workers).for_each(|number| cluster.add(&format!("n{number}"), "--threads 1 --memory 300MiB"));
    cluster.folder.ok("generate normal --shape 1500x1500 --seed 1 --out a.npy");
    cluster.folder.ok("matmul a.npy a.npy --block 64 --out here.npy --quiet");
    cluster
}

#[track_caller]
fn same(cluster: &Cluster, child: Child) {
    let outcome = Outcome::of(child.wait_with_output().expect("a child"));
    assert_eq!(outcome.code, Some(0), "{outcome:?}\n{}", cluster.log());
    let files = cluster.folder.contents();
    assert!(files["here.npy"] == files["there.npy"], "other bits\n{}", cluster.log());
}

#[test]
fn a_worker_that_is_killed_is_done_without() {
    let mut cluster = cluster(3, "");
    let run = begin(&cluster, &format!("{LONG} there.npy"));
    cluster.wait_for("begins");
    cluster.kill("n1");
    same(&cluster, run);
    cluster.wait_for("worker n1 is lost");
}

/// Nobody has fetched the results, so all are needed, and those that lay there are gone.
#[test]
fn what_a_killed_worker_had_is_done_again_and_nothing_else() {
    let mut cluster = Cluster::new(2, "--threads 1 --memory 300MiB");
    cluster.wait_for("n0 joins");
    cluster.wait_for("n1 joins");
    let client = Peer::of(&cluster, Role::Client, "slow");
    client.ask_for_ones(10);
    let before = client.ended();
    assert_eq!((before.kept.len(), before.recomputed), (100, 0));
    cluster.kill("n0");
    let after = client.ended();
    let (_, left) = after.kept[0];
    assert!(after.kept.iter().all(|(_, depot)| *depot == left), "{after:?}");
    let lost = before.kept.iter().filter(|(_, depot)| *depot != left).count();
    assert!(lost > 0, "{before:?}");
    assert_eq!((after.kept.len(), after.recomputed), (100, lost as u64));
    assert_eq!(cluster.stop().0, Some(0));
}

#[test]
fn a_worker_that_is_stopped_is_given_up_and_one_that_comes_takes_part() {
    let mut cluster = cluster(2, "--lost-after 1s");
    let run = begin(&cluster, &format!("{LONG} there.npy"));
    cluster.wait_for("begins");
    send(cluster.worker("n0"), libc::SIGSTOP);
    cluster.add("late", "--threads 1 --memory 300MiB");
    cluster.wait_for("worker n0 is lost: silent");
    same(&cluster, run);
    send(cluster.worker("n0"), libc::SIGCONT);
    // It was given up: it cannot go on as if nothing had been.
    assert_eq!(ended(cluster.worker("n0")), Some(1));
}

#[test]
fn a_client_that_is_killed_frees_its_run_and_the_next_one_is_done() {
    let cluster = cluster(2, "");
    let mut run = begin(&cluster, &format!("{ENDLESS} killed.npy"));
    cluster.wait_for("run 0");
    run.kill().unwrap();
    ended(&mut run);
    let next = begin(&cluster, &format!("{LONG} there.npy"));
    same(&cluster, next);
}

#[test]
fn a_scheduler_that_is_told_to_end_ends_its_workers_and_leaves_nothing() {
    let mut cluster = cluster(2, "");
    cluster.wait_for("n0 joins");
    cluster.wait_for("n1 joins");
    let keys = cluster.keys();
    assert!(keys.exists());
    assert_eq!(cluster.end_scheduler(libc::SIGTERM), Some(0), "{}", cluster.log());
    assert_eq!([ended(cluster.worker("n0")), ended(cluster.worker("n1"))], [Some(0); 2]);
    assert!(!cluster.folder.path("cluster.json").exists() && !keys.exists());
}

#[test]
fn whoever_has_something_to_do_is_told_that_the_scheduler_was_stopped_and_does_not_look_for_it() {
    let mut cluster = cluster(1, "--state-dir state --lost-after 3600s");
    let run = begin(&cluster, &format!("{ENDLESS} there.npy"));
    cluster.wait_for("run 0 of");
    assert_eq!(cluster.stop(), (Some(0), vec![Some(0)]), "{}", cluster.log());
    let outcome = Outcome::of(run.wait_with_output().unwrap());
    assert_eq!((outcome.code, outcome.stderr.lines().count()), (Some(1), 1), "{outcome:?}");
    assert!(outcome.stderr.contains("the scheduler was stopped: start it again"), "{outcome:?}");
}

#[test]
fn when_a_scheduler_was_stopped_the_next_one_may_begin() {
    let mut cluster = Cluster::with_options("--state-dir state");
    cluster.wait_until_it_listens();
    cluster.ask("stop");
    assert!(!cluster.folder.path("cluster.json").exists());
    assert_eq!(std::fs::read_dir(cluster.folder.path("state")).unwrap().count(), 0);
    cluster.start_scheduler_again();
    assert_eq!(cluster.stop().0, Some(0), "{}", cluster.log());
}

#[test]
fn a_session_whose_scheduler_was_stopped_meanwhile_is_told_so() {
    let mut cluster = Cluster::new(1, "--threads 1 --memory 100MiB");
    cluster.wait_until_it_listens();
    let session = Session::builder().connect(cluster.folder.path("cluster.json")).build().expect("a worker");
    cluster.stop();
    let error = session.svd::<f64>(&Array::normal(40, 4, 1, Element::F64)).unwrap_err().to_string();
    assert!(error.contains("the scheduler was stopped: start it again"), "{error}");
}

#[test]
fn without_its_scheduler_a_worker_and_a_client_end_with_one_line() {
    let mut cluster = cluster(1, "");
    let run = begin(&cluster, &format!("{ENDLESS} there.npy"));
    cluster.wait_for("run 0");
    cluster.kill_scheduler();
    let outcome = Outcome::of(run.wait_with_output().unwrap());
    assert_eq!((outcome.code, outcome.stderr.lines().count()), (Some(1), 1), "{outcome:?}");
    assert!(outcome.stderr.contains("the scheduler is lost"), "{outcome:?}");
    assert_eq!(ended(cluster.worker("n0")), Some(1));
    let log = cluster.log_of("n0");
    assert_eq!(log.matches("the scheduler is lost").count(), 1, "{log}");
    assert!(
        !cluster.folder.names().iter().any(|name| name.contains("partial")),
        "{:?}",
        cluster.folder.names()
    );
}

#[test]
fn a_scheduler_that_is_started_again_has_its_workers_and_its_run_back() {
    caught("the scheduler was killed in the middle of a run", || {
        let mut cluster = cluster(2, "--state-dir state --lost-after 60s");
        let mut run = begin(&cluster, &format!("{LONG} there.npy"));
        cluster.wait_for("run 0 of");
        let keys = cluster.keys();
        cluster.kill_scheduler();
        assert!(keys.exists(), "{}", keys.display());
        cluster.start_scheduler_again();
        let mut goes_on = false;
        let is_known = || {
            let is_over = run.try_wait().expect("a child").is_some();
            goes_on = cluster.log().contains("run 0 of");
            goes_on || is_over
        };
        until(is_known, || cluster.log());
        same(&cluster, run);
        let (scheduler, workers) = cluster.stop();
        assert_eq!((scheduler, workers), (Some(0), vec![Some(0); 2]), "{}", cluster.log());
        let left = std::fs::read_dir(cluster.folder.path("state")).unwrap().count();
        assert_eq!(left, 0, "the state dir is not empty");
        goes_on.then_some(())
    });
}

/// As after a cut that the worker has noticed and the scheduler has not.
#[test]
fn a_worker_comes_back_once_its_earlier_connection_is_given_up() {
    let mut cluster = cluster(1, "--state-dir state --lost-after 3600s");
    cluster.wait_for("n0 joins");
    send(cluster.worker("n0"), libc::SIGSTOP);
    cluster.kill_scheduler();
    cluster.start_scheduler_again();
    let earlier = Peer::enlisted(&cluster, "n0", seat());
    send(cluster.worker("n0"), libc::SIGCONT);
    cluster.wait_for("another worker is connected as n0");
    drop(earlier);
    until(|| cluster.log().matches("worker n0 joins").count() == 2, || cluster.log());
    assert_eq!(cluster.stop(), (Some(0), vec![Some(0)]), "{}", cluster.log());
}

#[test]
fn a_client_waits_for_a_scheduler_that_may_come_back() {
    let mut cluster = cluster(1, "--state-dir state --lost-after 60s");
    cluster.wait_for("n0 joins");
    cluster.kill_scheduler();
    let run = begin(&cluster, &format!("{LONG} there.npy"));
    cluster.start_scheduler_again();
    same(&cluster, run);
}

#[test]
fn who_looks_for_a_scheduler_that_was_stopped_does_not_wait_for_it() {
    let mut cluster = cluster(1, "--state-dir state --lost-after 3600s");
    cluster.wait_for("n0 joins");
    cluster.kill_scheduler();
    until(|| cluster.log_of("n0").contains("looks for it for 3600 s"), || cluster.log_of("n0"));
    std::fs::remove_file(cluster.folder.path("cluster.json")).unwrap();
    assert_eq!(ended(cluster.worker("n0")), Some(1), "{}", cluster.log_of("n0"));
}

#[test]
fn a_scheduler_that_does_not_come_back_ends_all() {
    let mut cluster = cluster(1, "--state-dir state --lost-after 1s");
    let run = begin(&cluster, &format!("{ENDLESS} there.npy"));
    cluster.wait_for("run 0 of");
    cluster.kill_scheduler();
    let outcome = Outcome::of(run.wait_with_output().unwrap());
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("does not come back"), "{outcome:?}");
    assert_eq!(ended(cluster.worker("n0")), Some(1));
}

#[test]
fn a_state_dir_has_one_scheduler() {
    let cluster = Cluster::with_options("--state-dir state");
    cluster.wait_until_it_listens();
    let second = cluster.folder.run("scheduler --state-dir state");
    assert_eq!((second.code, second.stderr.lines().count()), (Some(2), 1), "{second:?}");
    assert!(second.stderr.contains("belongs to a scheduler that runs"), "{second:?}");
}
