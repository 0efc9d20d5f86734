//! Runs that go on after the loss of their scheduler, with what the workers hold of them.

use crate::processes::{Cluster, result, until};
use crate::support::dolmen::Outcome;
use dolmen::session::{Operation, Session};
use ndarray::Array2;
use serde_json::Value;
use std::process::{Child, Stdio};

/// So many tasks are not done by chance.
const MANY: u64 = 1000;
/// The next scheduler waits so long for what the workers have kept.
const STATE: &str = "--state-dir state --lost-after 60s";

fn begin(cluster: &Cluster, words: &str) -> Child {
    let mut command = cluster.command(&format!("{words} --quiet"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process")
}

fn succeeded(cluster: &Cluster, run: Child) {
    let outcome = Outcome::of(run.wait_with_output().expect("a child"));
    assert_eq!(outcome.code, Some(0), "{outcome:?}\n{}", cluster.log());
}

fn report(cluster: &Cluster) -> Value {
    let report = std::fs::read(cluster.folder.path("report.json")).expect("a report");
    serde_json::from_slice(&report).expect("JSON")
}

fn status(cluster: &Cluster) -> Value {
    serde_json::from_str(&cluster.ask("status --json").stdout).expect("JSON")
}

/// Begins something, and kills the scheduler when what can be seen of the cluster is so. If it is over too soon it is
/// begun again.
fn killed_when<R>(
    cluster: &mut Cluster,
    begin: impl Fn(&Cluster) -> R,
    mut is_over: impl FnMut(&mut R) -> bool,
    is_so: impl Fn(&Value) -> bool,
) -> R {
    let mut begun = begin(cluster);
    loop {
        until(
            || {
                if is_over(&mut begun) {
                    begun = begin(cluster);
                }
                is_so(&status(cluster))
            },
            || format!("no run is so far\n{}", cluster.log()),
        );
        cluster.kill_scheduler();
        if !is_over(&mut begun) {
            return begun;
        }
        cluster.start_scheduler_again();
    }
}

fn has_ended(run: &mut Child) -> bool {
    run.try_wait().expect("a child").is_some()
}

fn is_half_done(status: &Value) -> bool {
    let run = &status["runs"][0];
    run["tasks"].as_u64().is_some_and(|tasks| tasks > 0 && run["done"].as_u64() >= Some(tasks / 2))
}

/// A run that writes to `out`, of which half is done when its scheduler is killed.
fn killed_at_half(cluster: &mut Cluster, command: &str, out: &str) -> Child {
    let words = format!("{command} --report report.json --out {out}");
    let begin = |cluster: &Cluster| {
        // Of an attempt before, if there was one.
        let _ = std::fs::remove_file(cluster.folder.path(out));
        begin(cluster, &words)
    };
    killed_when(cluster, begin, has_ended, is_half_done)
}

/// All workers come back: nothing is done again that was.
fn goes_on_at_half(mut cluster: Cluster, command: &str) -> Value {
    cluster.folder.ok(&format!("{command} --quiet --out here.npy"));
    let run = killed_at_half(&mut cluster, command, "there.npy");
    cluster.start_scheduler_again();
    succeeded(&cluster, run);
    assert!(result(&cluster.folder, "here") == result(&cluster.folder, "there"), "{}", cluster.log());
    let report = report(&cluster);
    let taken_up = report["tasks_taken_up"].as_u64().expect("a number");
    let half = report["tasks"].as_u64().expect("a number") / 2;
    assert!(taken_up >= half, "fewer than {half} tasks are taken up: {report}\n{}", cluster.log());
    assert_eq!(report["recomputed_tasks"], 0, "{report}");
    let line = format!("goes on: {taken_up} of {} tasks are done", report["tasks"]);
    assert!(cluster.log().contains(&line), "no {line:?} in\n{}", cluster.log());
    cluster.stop();
    report
}

fn cluster(memory: &str, scheduler: &str) -> Cluster {
    let mut cluster = Cluster::with_options(scheduler);
    let options = format!("--threads 1 --memory {memory} --spill-dir .");
    ["n0", "n1"].into_iter().for_each(|name| cluster.add(name, &options));
    cluster.folder.ok("generate normal --shape 1500x1500 --seed 1 --out a.npy");
    cluster
}

#[test]
fn a_run_goes_on_where_it_was() {
    goes_on_at_half(cluster("300MiB", STATE), "matmul a.npy a.npy --block 64");
}

#[test]
fn blocks_that_were_spilled_are_taken_up_too() {
    let report = goes_on_at_half(cluster("3MiB", STATE), "matmul a.npy a.npy --block 100");
    // What it still had to spill, as it began with full memories.
    assert!(report["bytes_spilled"].as_u64() > Some(0), "{report}");
}

#[test]
fn what_a_lost_worker_held_is_made_again_and_nothing_else() {
    let mut cluster = cluster("300MiB", "--state-dir state --lost-after 20s");
    let command = "matmul a.npy a.npy --block 64";
    cluster.folder.ok(&format!("{command} --quiet --out here.npy"));
    let run = killed_at_half(&mut cluster, command, "there.npy");
    cluster.kill("n0");
    // The client waits for both workers, but not so long that the other one lets go what it keeps.
    cluster.start_scheduler_again();
    succeeded(&cluster, run);
    assert!(result(&cluster.folder, "here") == result(&cluster.folder, "there"), "{}", cluster.log());
    let report = report(&cluster);
    let taken_up = report["tasks_taken_up"].as_u64().expect("a number");
    assert!(taken_up > 0 && taken_up < report["tasks"].as_u64().unwrap(), "{report}\n{}", cluster.log());
    cluster.stop();
}

/// The client reads one factor from its memory, and writes nothing itself.
#[test]
fn the_part_of_a_client_goes_on_as_well() {
    let mut cluster = cluster("100MiB", STATE);
    let matrix = Array2::from_shape_fn((1500, 1500), |(i, j)| ((i * 31 + j * 17) % 101) as f64 / 10.0 - 5.0);
    let input = cluster.folder.path("a.npy");
    let product = |session: &Session| {
        let b = session.from_files(std::slice::from_ref(&input)).unwrap();
        session.from_array(matrix.clone()).dot(&b)
    };
    let here = Session::builder().threads(1).memory(300 << 20).build().unwrap();
    let path = cluster.folder.path("here.npy");
    here.run_to_files(&Operation::Compute(product(&here)), &[path]).unwrap();
    let begin = |cluster: &Cluster| {
        let there =
            Session::builder().connect(cluster.folder.path("cluster.json")).wait_workers(2).build().unwrap();
        let (operation, path) = (Operation::Compute(product(&there)), cluster.folder.path("there.npy"));
        // Of an attempt before, if there was one.
        let _ = std::fs::remove_file(&path);
        std::thread::spawn(move || there.run_to_files(&operation, &[path]))
    };
    let run = killed_when(&mut cluster, begin, |run| run.is_finished(), is_half_done);
    cluster.start_scheduler_again();
    let stats = run.join().unwrap().unwrap();
    assert!(stats.taken_up >= stats.tasks / 2, "{stats:?}\n{}", cluster.log());
    assert!(result(&cluster.folder, "here") == result(&cluster.folder, "there"), "{}", cluster.log());
    cluster.stop();
}

/// Each run goes on in the portion that it had.
#[test]
fn a_large_run_and_a_small_one_both_go_on() {
    let mut cluster = cluster("1GiB", STATE);
    cluster.folder.ok("matmul a.npy a.npy --block 64 --quiet --out here.npy");
    let begin = |cluster: &Cluster| {
        [0, 1].map(|number| {
            // Of an attempt before, if there was one.
            let _ = std::fs::remove_file(cluster.folder.path(&format!("there{number}.npy")));
            let out = format!("--report {number}.json --out there{number}.npy");
            begin(cluster, &format!("matmul a.npy a.npy --block 64 {out}"))
        })
    };
    let is_far = |run: &Value| run["state"] == "runs" && run["done"].as_u64() >= Some(MANY);
    let are_far = |status: &Value| {
        status["runs"].as_array().is_some_and(|runs| runs.iter().filter(|run| is_far(run)).count() == 2)
    };
    let runs = killed_when(&mut cluster, begin, |runs| runs.iter_mut().all(has_ended), are_far);
    cluster.start_scheduler_again();
    for (number, run) in runs.into_iter().enumerate() {
        succeeded(&cluster, run);
        let there = result(&cluster.folder, &format!("there{number}"));
        assert!(result(&cluster.folder, "here") == there, "{}", cluster.log());
        let report = std::fs::read(cluster.folder.path(&format!("{number}.json"))).expect("a report");
        let report: Value = serde_json::from_slice(&report).expect("JSON");
        assert!(report["tasks_taken_up"].as_u64() >= Some(MANY), "{report}\n{}", cluster.log());
    }
    cluster.stop();
}

/// Another client's run waits while workers keep what they hold, and not for ever.
#[test]
fn what_is_kept_for_a_client_that_does_not_come_is_let_go() {
    let mut cluster = cluster("300MiB", "--state-dir state --lost-after 10s");
    cluster.folder.ok("matmul a.npy a.npy --block 64 --quiet --out here.npy");
    let mut killed = killed_at_half(&mut cluster, "matmul a.npy a.npy --block 64", "killed.npy");
    killed.kill().expect("a child");
    killed.wait().expect("a child");
    cluster.start_scheduler_again();
    succeeded(
        &cluster,
        begin(&cluster, "matmul a.npy a.npy --block 64 --report report.json --out there.npy"),
    );
    assert!(result(&cluster.folder, "here") == result(&cluster.folder, "there"), "{}", cluster.log());
    assert_eq!(report(&cluster)["tasks_taken_up"], 0);
    assert!(cluster.log().contains("has kept what it holds of a run"), "{}", cluster.log());
    cluster.stop();
}
