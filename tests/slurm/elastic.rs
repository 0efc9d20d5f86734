//! Schedulers that ask a real SLURM for their workers.

use super::bed::{Bed, shared};
use super::scheduler::{LOOK_AGAIN, Scheduler, until};
use cluster::life::Life;
use cluster::slurm::job_name::{JobName, Whose};
use serde_json::Value;

const WORKERS: &str = "--provider slurm --max-workers 2 --worker-memory 300MiB";

/// Jobs of a scheduler that are in the queue.
pub fn jobs(bed: &Bed, scheduler: &Scheduler) -> usize {
    listed(bed, scheduler, "")
}

/// Of these, those that have a node.
pub fn running(bed: &Bed, scheduler: &Scheduler) -> usize {
    listed(bed, scheduler, "--states=RUNNING")
}

fn listed(bed: &Bed, scheduler: &Scheduler, which: &str) -> usize {
    let owner = scheduler.folder.path("cluster.json");
    let name = JobName::new(&owner.to_string_lossy(), Life::random());
    let listed = bed.ok(&format!("squeue --noheader --array --format=%j {which}"));
    listed.lines().filter(|line| name.whose(line.trim()) == Whose::Earlier).count()
}

#[test]
fn workers_are_asked_for_when_there_is_work_and_nobody_is_left_in_the_queue() {
    let Some(bed) = shared() else { return };
    let mut scheduler = Scheduler::with(&format!("{WORKERS} --slurm-time 10m"), &bed.variable());
    let folder = &scheduler.folder;
    folder.ok("generate normal --shape 2000x50 --seed 1 --out a.npy");
    folder.ok("svd a.npy --out here --quiet --block 100");
    folder.ok("svd a.npy --out there --quiet --block 100 --scheduler-file cluster.json --wait 3m");
    let files = folder.contents();
    for name in ["u.npy", "s.npy", "vt.npy"] {
        assert!(files[&format!("here/{name}")] == files[&format!("there/{name}")], "{name} has other bits");
    }
    // The client has gone, and its workers stay no longer than a start takes.
    until("an empty queue", || jobs(&bed, &scheduler) == 0);
    assert!(scheduler.log().contains(" leaves"), "{}", scheduler.log());
    folder.ok("svd a.npy --out again --quiet --block 100 --scheduler-file cluster.json --wait 3m");
    scheduler.stop();
    until("an empty queue", || jobs(&bed, &scheduler) == 0);
}

#[test]
fn what_slurm_refuses_is_told_in_its_words() {
    let Some(bed) = shared() else { return };
    let options = format!("{WORKERS} --min-workers 1 --slurm-partition nope");
    let mut scheduler = Scheduler::with(&options, &bed.variable());
    scheduler.wait_for("autoscaler: sbatch: ", 1);
    let status = scheduler.folder.ok("status --scheduler-file cluster.json --json");
    let status: Value = serde_json::from_str(&status.stdout).expect("JSON");
    let words = status["autoscaler"]["words"].as_str().expect("words");
    assert!(words.contains("Invalid partition name"), "{status}");
    scheduler.stop();
}

/// Computes the product of a matrix with itself. Says how many nodes were seen meanwhile.
fn most_nodes_of_a_product(bed: &Bed, scheduler: &Scheduler) -> usize {
    let command =
        "matmul a.npy a.npy --block 200 --out there.npy --quiet --scheduler-file cluster.json --wait 3m";
    let mut run = scheduler.folder.command(command).spawn().expect("a process");
    let mut most = 0;
    let ended = loop {
        most = most.max(running(bed, scheduler));
        if let Some(ended) = run.try_wait().expect("a child") {
            break ended;
        }
        std::thread::sleep(LOOK_AGAIN);
    };
    assert!(ended.success(), "{}", scheduler.log());
    most
}

/// Two wide runs with a pause between: all nodes are taken, but one given back, and taken again.
#[test]
fn a_scheduler_grows_shrinks_and_grows_again() {
    let Some(bed) = shared() else { return };
    let options = "--provider slurm --max-workers 4 --min-workers 1 --worker-cost 0 --worker-threads 1";
    let options = format!("{options} --worker-memory 300MiB --slurm-time 10m");
    let mut scheduler = Scheduler::with(&options, &bed.variable());
    let folder = &scheduler.folder;
    folder.ok("generate normal --shape 6000x6000 --seed 1 --out a.npy");
    folder.ok("matmul a.npy a.npy --block 200 --out here.npy --quiet --threads 1");
    let expected = std::fs::read(folder.path("here.npy")).expect("a product");
    for time in 1..=2 {
        // Where SLURM is slow or the machine quick, a run may be over before the last node is there.
        until("four nodes", || {
            let most = most_nodes_of_a_product(&bed, &scheduler);
            assert!(std::fs::read(folder.path("there.npy")).expect("a product") == expected, "other bits");
            most == 4
        });
        until("one node", || jobs(&bed, &scheduler) == 1);
        let log = scheduler.log();
        let sent_away =
            log.lines().filter(|line| line.contains(" sent away: ") && line.contains(" leaves: "));
        assert!(sent_away.count() >= time, "{log}");
    }
    let log = scheduler.log();
    let asked = log.lines().filter(|line| line.contains("autoscaler: asked for "));
    assert!(asked.clone().count() >= 2 && asked.into_iter().all(|line| line.contains(": ")), "{log}");
    scheduler.stop();
    until("an empty queue", || jobs(&bed, &scheduler) == 0);
}
