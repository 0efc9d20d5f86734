//! One run of three phases, wide, narrow and wide, with as many nodes as each has use for.

use super::bed::{Bed, shared};
use super::elastic::{jobs, running};
use super::scheduler::{LOOK_AGAIN, Scheduler, until};
use dolmen::array::{Array, BlockSize, Element};
use dolmen::session::{Session, SessionBuilder};
use ndarray::Array2;
use std::thread;

/// Rows and columns of a block: a product of two takes some hundredth of a second.
const SIDE: u64 = 1000;
/// Blocks in a column of what is wide, and in a row of its factors.
const WIDE: u64 = 4;
const DEEP: u64 = 10;
/// Products one after the other, longer than it takes to give nodes back and to get others.
const CHAIN: u64 = 100;

/// So many runs are tried.
const RUNS: usize = 20;

fn normal(rows: u64, cols: u64, seed: u64) -> Array {
    Array::normal(rows * SIDE, cols * SIDE, seed, Element::F64)
}

/// A product of blocks that any number of nodes can share, products of which each needs the one before it, and once
/// more what can be shared.
fn three_phases() -> Array {
    // Numbers stay as large as they are.
    let scale = |rows: u64| 1.0 / (rows as f64 * SIDE as f64).sqrt();
    let wide = &normal(WIDE, DEEP, 1).dot(&normal(DEEP, WIDE, 2)) * scale(DEEP);
    let mut narrow = normal(1, WIDE, 3).dot(&wide).dot(&normal(WIDE, 1, 4));
    let step = normal(1, 1, 5);
    for _ in 0..CHAIN {
        narrow = &narrow.dot(&step) * scale(1);
    }
    let again = normal(WIDE, 1, 6).dot(&narrow).dot(&normal(1, DEEP, 7));
    again.dot(&normal(DEEP, WIDE, 8))
}

fn result(session: SessionBuilder) -> Array2<f64> {
    let session = session.block(BlockSize::Square(SIDE)).build().expect("a session");
    session.compute(&three_phases()).expect("a product")
}

/// How many nodes there were, as far as it changed, while the run went on.
fn nodes_of_a_run(bed: &Bed, scheduler: &Scheduler, expected: &Array2<f64>) -> Vec<usize> {
    let file = scheduler.folder.path("cluster.json");
    let run = thread::spawn(move || result(Session::builder().connect(file)));
    let mut seen = Vec::new();
    while !run.is_finished() {
        let nodes = running(bed, scheduler);
        if seen.last() != Some(&nodes) {
            seen.push(nodes);
        }
        thread::sleep(LOOK_AGAIN);
    }
    assert!(run.join().expect("it ends") == *expected, "other bits");
    seen
}

/// Are these among those, in this order?
fn in_order<T: PartialEq>(some: &[T], all: &[T]) -> bool {
    let mut all = all.iter();
    some.iter().all(|wanted| all.any(|found| found == wanted))
}

#[test]
fn one_run_grows_to_all_nodes_shrinks_to_one_and_grows_again() {
    let Some(bed) = shared() else { return };
    let options = "--provider slurm --max-workers 4 --min-workers 1 --worker-cost 0 --worker-threads 1";
    let options = format!("{options} --worker-memory 500MiB --slurm-time 10m");
    let mut scheduler = Scheduler::with(&options, &bed.variable());
    let expected = result(Session::builder().threads(2));
    // Where SLURM is slow, the machine quick, or another test has nodes, a phase may be over before the last is there.
    let grows_and_shrinks = |_| {
        let seen = nodes_of_a_run(&bed, &scheduler, &expected);
        println!("nodes of a run: {seen:?}");
        until("one node", || jobs(&bed, &scheduler) == 1);
        in_order(&[4, 1, 4], &seen)
    };
    assert!((0..RUNS).any(grows_and_shrinks), "no run had four nodes, one, and four");
    let log = scheduler.log();
    let decisions: Vec<&str> = log.lines().filter(|line| line.contains(" autoscaler: ")).collect();
    let is_told =
        |what: &str, why: &str| decisions.iter().any(|line| line.contains(what) && line.contains(why));
    assert!(is_told(" asked for ", " more: finished in "), "{log}");
    assert!(is_told(" sent away: ", " leaves: idle, and not wanted again for "), "{log}");
    scheduler.stop();
    until("an empty queue", || jobs(&bed, &scheduler) == 0);
}
