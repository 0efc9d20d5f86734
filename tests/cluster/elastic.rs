//! Schedulers that start and end their workers.

use crate::processes::{Cluster, caught, ended, until};
use dolmen::array::{Array, Element};
use dolmen::session::Session;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

const SMALL: &str = "--worker-threads 1 --worker-memory 300MiB";

struct Elastic {
    cluster: Cluster,
    keys: PathBuf,
}

impl Elastic {
    /// A scheduler that starts workers on this machine.
    fn new(options: &str) -> Elastic {
        let cluster = Cluster::with_options(&format!("--provider local {SMALL} {options}"));
        cluster.wait_until_it_listens();
        let keys = cluster.keys();
        Elastic { cluster, keys }
    }

    fn autoscaler(&self) -> Value {
        let status = self.cluster.folder.ok("status --scheduler-file cluster.json --json");
        let status: Value = serde_json::from_str(&status.stdout).expect("JSON");
        status["autoscaler"].clone()
    }

    #[track_caller]
    fn until_workers_are(&self, wanted: usize) {
        until(
            || workers(&self.keys).len() == wanted,
            || format!("no {wanted} workers\n{}", self.cluster.log()),
        );
    }

    /// A command of this cluster leaves what it leaves in one process.
    #[track_caller]
    fn same(&self, command: &str, there: &str) {
        let folder = &self.cluster.folder;
        folder.ok(&format!("{command} --out here.npy --quiet"));
        folder.ok(&format!("{command} --out there.npy --quiet --scheduler-file cluster.json {there}"));
        let files = folder.contents();
        assert!(files["here.npy"] == files["there.npy"], "other bits\n{}", self.cluster.log());
    }
}

/// Worker processes that have been told these keys, whoever is their parent now.
fn workers(keys: &Path) -> Vec<i32> {
    let is_one = |process: &i32| {
        let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.contains(&b"worker".as_slice()) && words.contains(&keys.as_os_str().as_encoded_bytes())
    };
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    processes.filter_map(|process| process.file_name().to_str()?.parse().ok()).filter(is_one).collect()
}

#[test]
fn workers_come_for_a_run_and_go_after_it() {
    let mut elastic = Elastic::new("--max-workers 2 --worker-cost 0.1");
    elastic.cluster.folder.ok("generate normal --shape 3000x3000 --seed 1 --out a.npy");
    assert_eq!(workers(&elastic.keys).len(), 0);
    elastic.same("matmul a.npy a.npy --block 100", "");
    elastic.cluster.wait_for("autoscaler: asked for local-1: ");
    elastic.until_workers_are(0);
    elastic.cluster.wait_for("worker local-0 leaves");
    let autoscaler = elastic.autoscaler();
    assert_eq!(autoscaler["provider"], "local", "{autoscaler}");
    assert_eq!((&autoscaler["wanted"], &autoscaler["max_workers"]), (&0.into(), &2.into()), "{autoscaler}");
    assert!(autoscaler["reason"].as_str().unwrap().contains("not wanted again"), "{autoscaler}");
    let log = elastic.cluster.log();
    assert!(!log.contains("is lost") && !log.contains("ended with"), "{log}");
    assert_eq!(elastic.cluster.stop().0, Some(0));
}

#[test]
fn the_least_stay_and_nobody_is_left_when_the_scheduler_is_told_to_stop() {
    let mut elastic = Elastic::new("--min-workers 1 --max-workers 2");
    elastic.cluster.wait_for("worker local-0 joins");
    elastic.cluster.folder.ok("generate normal --shape 300x300 --seed 1 --out a.npy");
    elastic.same("transpose-add a.npy", "--wait-workers 2");
    elastic.cluster.wait_for("autoscaler: local-");
    elastic.until_workers_are(1);
    let line = elastic.cluster.folder.ok("status --scheduler-file cluster.json").stdout;
    assert!(line.contains("\nautoscaler: local, 1 of at most 2 workers wanted"), "{line}");
    assert_eq!(elastic.cluster.stop().0, Some(0));
    assert_eq!(workers(&elastic.keys).len(), 0, "it ends after its workers");
}

#[test]
fn nobody_is_left_when_the_scheduler_is_killed() {
    let mut elastic = Elastic::new("--min-workers 2 --max-workers 2");
    elastic.cluster.wait_for("worker local-0 joins: ");
    elastic.cluster.kill_scheduler();
    until(|| workers(&elastic.keys).is_empty(), || "workers are left".into());
}

/// The only worker that is allowed gets a signal, and another one does the run.
fn replaced_after(signal: i32) -> Elastic {
    caught("another worker comes before the run is done", || {
        let mut elastic = Elastic::new("--max-workers 1");
        let folder = &elastic.cluster.folder;
        folder.ok("generate normal --shape 1500x1500 --seed 1 --out a.npy");
        folder.ok("matmul a.npy a.npy --block 64 --out here.npy --quiet");
        let run = "matmul a.npy a.npy --block 64 --out there.npy --quiet --scheduler-file cluster.json";
        let mut run = folder.command(run).spawn().expect("a client");
        elastic.cluster.wait_for("run 0 begins here");
        for worker in workers(&elastic.keys) {
            // It may have ended just now.
            // SAFETY: a signal, to whom it may concern.
            unsafe { libc::kill(worker, signal) };
        }
        assert_eq!(ended(&mut run), Some(0), "{}", elastic.cluster.log());
        let files = elastic.cluster.folder.contents();
        assert!(files["here.npy"] == files["there.npy"], "other bits\n{}", elastic.cluster.log());
        let is_replaced = elastic.cluster.log().contains("worker local-1 joins: ");
        assert_eq!(elastic.cluster.stop().0, Some(0));
        is_replaced.then_some(elastic)
    })
}

#[test]
fn the_only_worker_is_killed_and_another_one_does_the_run() {
    let elastic = replaced_after(libc::SIGKILL);
    assert!(elastic.cluster.log().contains("worker local-0 is lost"), "{}", elastic.cluster.log());
}

#[test]
fn the_only_worker_wants_to_leave_and_another_one_does_the_run() {
    let elastic = replaced_after(libc::SIGTERM);
    assert!(elastic.cluster.log().contains("local-0 goes at once"), "{}", elastic.cluster.log());
}

#[test]
fn a_session_that_is_open_keeps_its_worker() {
    let elastic = Elastic::new("--max-workers 2");
    let session = Session::builder().connect(elastic.cluster.folder.path("cluster.json")).build();
    let session = session.expect("a worker comes");
    let a = || Array::normal(400, 20, 1, Element::F64);
    let first = session.svd::<f64>(&a()).expect("an SVD").s;
    let is_paused = || elastic.autoscaler()["now"].as_str().unwrap().contains("a session is open");
    until(is_paused, || elastic.cluster.log());
    assert_eq!(session.svd::<f64>(&a()).expect("an SVD").s, first);
    assert_eq!(
        elastic.cluster.log().matches("worker local-0 joins: ").count(),
        1,
        "{}",
        elastic.cluster.log()
    );
    drop(session);
    elastic.until_workers_are(0);
}

#[test]
fn workers_that_fail_at_once_are_told_and_not_started_without_end() {
    let mut cluster = Cluster::prepared(|folder| {
        folder.ok("keygen keys");
        std::fs::remove_file(folder.path("keys/worker.pem")).expect("a key");
        format!("--keys keys --provider local {SMALL} --max-workers 2")
    });
    cluster.wait_until_it_listens();
    let run = "svd a.npy --out r --scheduler-file cluster.json --wait 10m";
    cluster.folder.ok("generate normal --shape 100x20 --seed 1 --out a.npy");
    let mut client = cluster.folder.command(run).stderr(Stdio::piped()).spawn().expect("a client");
    let said = || {
        let status = cluster.folder.ok("status --scheduler-file cluster.json");
        status.stdout.contains("autoscaler: local says: worker local-2 ended with exit status: 2: ")
            && status.stdout.contains("; tried again in ")
    };
    until(said, || cluster.log());
    assert_eq!(cluster.log().matches("autoscaler: asked for").count(), 3, "{}", cluster.log());
    let client_hears = BufReader::new(client.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let words = "waiting for workers: 0 of 1 are there: local: worker local-2 ended with exit status: 2: ";
    assert!(client_hears.into_iter().any(|line| line.contains(words)), "its client is told, too");
    client.kill().expect("a child");
    client.wait().expect("a child");
    assert_eq!(cluster.stop().0, Some(0));
}

#[test]
fn fewer_at_most_than_at_least_is_refused() {
    let folder = crate::support::dolmen::Folder::new();
    let words = "scheduler --scheduler-file c.json --provider local --min-workers 3 --max-workers 2";
    folder.refused(words, &["--min-workers 3 is more than --max-workers 2"]);
    folder.refused("scheduler --scheduler-file c.json --max-workers 2", &["--provider"]);
    folder.refused("scheduler --provider local --slurm-qos q", &["--slurm-qos is for --provider slurm"]);
    folder.refused("scheduler --provider slurm", &["--provider slurm needs --scheduler-file"]);
    let no_option = "scheduler --scheduler-file c.json --provider slurm --slurm-extra rm";
    folder.refused(no_option, &["no option of sbatch"]);
}

#[test]
fn a_dry_run_prints_the_script_and_leaves_nothing() {
    let folder = crate::support::dolmen::Folder::new();
    folder.write("prologue", "module load x\n");
    let words = "scheduler --scheduler-file c.json --provider slurm --max-workers 3 --worker-threads 2 \
                 --slurm-partition long --slurm-time 90m --slurm-prologue prologue --dry-run";
    let script = folder.ok(words).stdout;
    for line in
        ["#SBATCH --array=0-2", "#SBATCH --cpus-per-task=2", "#SBATCH --partition=long", "module load x"]
    {
        assert!(script.lines().any(|found| found == line), "no {line} in\n{script}");
    }
    assert_eq!(folder.names(), ["prologue"]);
}
