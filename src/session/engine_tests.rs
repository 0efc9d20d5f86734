//! Workers of one process that join and leave while runs go on.

use super::*;
use crate::actors::autoscaler::DrainWorkers;
use crate::actors::{CallRoll, Recruit, WorkerStanding};
use crate::array::{Array, BlockSize, Element};
use crate::session::{Operation, Session};
use futures_executor::block_on;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

const PATIENCE: Duration = Duration::from_secs(180);

fn scheduler(session: &Session) -> &Addr<Scheduler> {
    let Engine::Here(here) = session.engine() else { panic!("it is here") };
    &here.scheduler
}

fn roll(session: &Session) -> BTreeMap<String, WorkerStanding> {
    block_on(scheduler(session).send(CallRoll)).expect("an answer")
}

fn session(workers: impl Into<Workers>, memory: u64) -> Session {
    let builder = Session::builder().workers(workers).threads(1).memory(memory);
    builder.block(BlockSize::Square(64)).build().expect("a session")
}

/// A run with many tasks, that keeps more blocks than a worker's mailbox takes questions for.
fn wide() -> Operation {
    let a = Array::normal(2112, 128, 1, Element::F64);
    Operation::Compute(a.dot(&a.t()) + Array::normal(2112, 2112, 2, Element::F64))
}

/// A run with a product between that takes more memory than what is made of it.
fn deep() -> Operation {
    let a = Array::normal(900, 256, 1, Element::F64);
    let product = a.dot(&a.t());
    Operation::Compute(product.dot(&product).sum())
}

/// One task after the other.
fn narrow(session: &Session) -> Operation {
    let ones = |rows, cols| session.from_array(ndarray::Array2::<f64>::ones((rows, cols)));
    Operation::Compute(ones(64, 64 * 100).dot(&ones(64 * 100, 64)))
}

/// Has workers join and leave, one after the other, until `over`. At most three are there. How many have left.
fn come_and_go(session: &Session, over: &AtomicBool) -> usize {
    let mut names: Vec<String> = roll(session).into_keys().collect();
    let mut joined = 0;
    let mut left = 0;
    while !over.load(Ordering::Relaxed) {
        let there = roll(session);
        let before = names.len();
        names.retain(|name| there.contains_key(name));
        left += before - names.len();
        let leaving = there.values().filter(|standing| **standing == WorkerStanding::Leaves).count();
        if there.len() < 3 {
            names.push(format!("extra-{joined}"));
            joined += 1;
            scheduler(session).do_send(Recruit(names.last().cloned().into_iter().collect()));
        } else if leaving == 0 {
            // The one that has been there longest.
            scheduler(session).do_send(DrainWorkers(vec![names[0].clone()]));
        }
    }
    left
}

/// Runs an operation over and over while workers come and go, until many have.
fn bits_under_change(operation: &Operation, memory: u64, spills: bool) {
    let expected = session(1, 1 << 30).run(operation).expect("a result").named;
    let changing = session(3, memory);
    let began = Instant::now();
    let mut left = 0;
    while left < 30 {
        assert!(began.elapsed() < PATIENCE, "{left} have left");
        let over = AtomicBool::new(false);
        let results = std::thread::scope(|scope| {
            let leavers = scope.spawn(|| come_and_go(&changing, &over));
            let results = changing.run(operation);
            over.store(true, Ordering::Relaxed);
            left += leavers.join().expect("no panic");
            results.expect("a result")
        });
        assert!(results.named == expected, "other bits");
        let stats = results.stats;
        assert!(stats.peak_memory <= stats.memory_bound && stats.memory_bound <= memory, "{stats:?}");
        assert!(stats.recomputed == 0 && stats.workers <= 3, "{stats:?}");
        assert_eq!(stats.spilled.bytes > 0, spills, "{stats:?}");
    }
}

#[test]
fn joins_and_leaves_change_no_bit_and_recompute_nothing() {
    bits_under_change(&wide(), 1 << 30, false);
}

#[test]
fn nor_do_they_when_memory_is_short() {
    let needed = session(3, 1 << 30).run(&deep()).expect("a result").stats.memory_bound;
    bits_under_change(&deep(), needed * 3 / 5, true);
}

/// Another run may need fewer workers than the one before it.
#[test]
fn workers_that_a_narrow_run_does_not_need_leave() {
    let session = session(1..=3, 1 << 30);
    assert_eq!(session.run(&narrow(&session)).expect("a result").stats.workers, 1);
    let began = Instant::now();
    while session.run(&wide()).expect("a result").stats.workers < 3 {
        assert!(began.elapsed() < PATIENCE, "nobody joins");
    }
    while roll(&session).len() > 1 {
        assert!(began.elapsed() < PATIENCE, "nobody leaves: {:?}", roll(&session));
        session.run(&narrow(&session)).expect("a result");
    }
    // Numbers are used again, and those that came last are found under theirs.
    while session.run(&wide()).expect("a result").stats.workers < 3 {
        assert!(began.elapsed() < PATIENCE, "nobody joins again");
    }
}
