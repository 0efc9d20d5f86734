//! Runs whose workers are jobs, and what may happen to these meanwhile. The bits are those of one process.

use super::bed::{Bed, own, shared};
use super::job::script;
use super::scheduler::{Scheduler, until};
use super::support::dolmen::Outcome;
use super::world::{World, options};
use cluster::provider::{Cause, End, PlaceState, Provider};
use serde_json::Value;
use std::process::{Child, Stdio};
use std::sync::Arc;

/// A run with three workers that are jobs.
struct Disturbed {
    bed: Arc<Bed>,
    scheduler: Scheduler,
    world: World,
    names: Vec<String>,
    client: Child,
}

impl Disturbed {
    /// Comes back when the run has begun.
    #[track_caller]
    fn begin(bed: Arc<Bed>) -> Disturbed {
        let scheduler = Scheduler::start();
        let folder = &scheduler.folder;
        let mut world = World::new(&bed, options(folder));
        let names = world.provider.ask(3, world.now()).expect("three places");
        folder.ok("generate normal --shape 2000x2000 --seed 1 --out a.npy");
        folder.ok("matmul a.npy a.npy --block 64 --out here.npy --quiet");
        let words = "matmul a.npy a.npy --block 64 --out there.npy --report report.json --scheduler-file \
                     cluster.json --wait-workers 3 --quiet";
        let mut command = folder.command(words);
        let client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
        scheduler.wait_for("begins", 1);
        Disturbed { bed, scheduler, world, names, client }
    }

    /// The job of a worker, as SLURM calls it.
    fn job(&self, worker: usize) -> String {
        self.names[worker].trim_start_matches("slurm-").to_string()
    }

    fn node(&self, worker: usize) -> String {
        let node = self.bed.ok(&format!("squeue --noheader --format=%N --jobs={}", self.job(worker)));
        node.trim().to_string()
    }

    /// Waits for the end of the run; its report. Nothing is left in the queue then.
    #[track_caller]
    fn end(mut self) -> Value {
        let outcome = Outcome::of(self.client.wait_with_output().expect("a child"));
        assert_eq!(outcome.code, Some(0), "{outcome:?}\n{}", self.scheduler.log());
        let files = self.scheduler.folder.contents();
        assert!(files["here.npy"] == files["there.npy"], "other bits\n{}", self.scheduler.log());
        self.world.end();
        serde_json::from_slice(&files["report.json"]).expect("JSON")
    }
}

#[test]
fn a_worker_that_is_told_of_the_end_of_its_walltime_hands_over_and_leaves() {
    let Some(bed) = shared() else { return };
    let mut run = Disturbed::begin(bed);
    // As SLURM does it itself, `--signal=B:USR1@60`.
    run.bed.ok(&format!("scancel --batch --signal=USR1 {}", run.job(1)));
    run.scheduler.wait_for(&format!("worker {} leaves", run.names[1]), 1);
    run.world.until(&run.names[1].clone(), PlaceState::Ended(End::Left));
    assert_eq!(run.end()["recomputed_tasks"], 0);
}

#[test]
fn a_worker_whose_job_is_cancelled_hands_over_and_leaves() {
    let Some(bed) = shared() else { return };
    let mut run = Disturbed::begin(bed);
    run.bed.ok(&format!("scancel {}", run.job(1)));
    run.scheduler.wait_for(&format!("worker {} leaves", run.names[1]), 1);
    run.world.until(&run.names[1].clone(), PlaceState::Ended(End::Cancelled));
    assert_eq!(run.end()["recomputed_tasks"], 0);
}

#[test]
fn a_node_that_fails_is_done_without() {
    // A node of its own, so to speak: no other test has jobs there.
    let Some(bed) = own() else { return };
    let mut run = Disturbed::begin(bed);
    let node = run.node(1);
    run.bed.ok(&format!("scontrol update NodeName={node} State=DOWN Reason=test"));
    // SLURM puts the job back into the queue.
    run.world.until(&run.names[1].clone(), PlaceState::Waiting);
    // The node comes back by itself, as this SLURM is set up.
    let state = format!("sinfo --noheader --Node --format=%T --partition=debug --nodes={node}");
    until("the node", || run.bed.ok(&state).trim() == "idle");
    run.end();
}

#[test]
fn a_worker_that_is_preempted_hands_over_and_comes_back() {
    let Some(bed) = own() else { return };
    let mut run = Disturbed::begin(bed);
    let node = run.node(1);
    // Without words it ends at once.
    let preempts =
        format!("sbatch --partition=high --exclusive --nodes=1 --nodelist={node} --output=/dev/null");
    run.bed.ok(&format!("{preempts} {}", script("svd.sbatch")));
    run.scheduler.wait_for(&format!("worker {} leaves", run.names[1]), 1);
    // SLURM puts the job back into the queue.
    run.world.until(&run.names[1].clone(), PlaceState::Waiting);
    assert_eq!(run.end()["recomputed_tasks"], 0);
}

#[test]
fn without_its_controller_slurm_is_not_needed_for_a_run() {
    let Some(bed) = own() else { return };
    let mut run = Disturbed::begin(bed);
    run.bed.end_controller();
    let outcome = run.client.wait().expect("a child");
    assert_eq!(outcome.code(), Some(0), "{}", run.scheduler.log());
    let refusal = run.world.provider.ask(1, 1e3).expect_err("a refusal");
    assert_eq!((refusal.cause, refusal.words.lines().count()), (Cause::Silent, 1), "{refusal}");
    run.bed.ok("slurmctld");
    until("a controller", || run.world.provider.state(1e6).is_ok());
    run.end();
}
