use super::*;
use crate::graph::ProgramBuilder;
use crate::ids::TaskId;
use crate::sched::ready::ReadyTasks;
use crate::sched::tasks::Tasks;
use std::sync::Arc;

const FIRST: WorkerId = WorkerId(0);
const SECOND: WorkerId = WorkerId(1);
const STAGE: StageId = StageId(0);

/// Workers with so many threads, each in a memory of its own.
fn fleet(threads: &[u32]) -> Fleet {
    let mut fleet = Fleet::default();
    for (number, threads) in (0..).zip(threads) {
        assert!(fleet.join(WorkerId(number), *threads, MemoryId(number)));
    }
    fleet
}

fn charge(fleet: &mut Fleet, worker: WorkerId, lane: Lane, tasks: u32, seconds: f64) {
    (0..tasks).for_each(|_| fleet.charge(worker, lane, STAGE, seconds));
}

/// Parks a task for a worker.
fn park(fleet: &mut Fleet, worker: WorkerId) -> TaskId {
    let mut builder = ProgramBuilder::default();
    builder.null_wide(1);
    let program = Arc::new(builder.finish());
    let mut ready = ReadyTasks::new(&program, &Estimates::new(&program));
    let mut tasks = Tasks::new(program);
    let task = TaskId::new(STAGE, 0);
    ready.push(&mut tasks, task);
    let urgent = ready.first(&tasks, Lane::Compute).expect("it is ready");
    fleet.park(worker, urgent, 1.0);
    task
}

#[test]
fn workers_are_compared_by_what_waits_for_each_thread() {
    let mut fleet = fleet(&[4, 1]);
    charge(&mut fleet, FIRST, Lane::Compute, 4, 2.0);
    charge(&mut fleet, SECOND, Lane::Compute, 2, 2.0);
    assert_eq!(fleet.get(FIRST).map(WorkerQueue::queue), Some(2.0));
    assert_eq!(fleet.busiest(), Some(SECOND));
    assert_eq!(fleet.least_loaded(Lane::Compute, 0.0), Some(FIRST));
}

#[test]
fn a_long_queue_is_a_round_number() {
    assert_eq!([0, 9, 15, 16, 31, 1000].map(roughly), [0, 9, 15, 16, 30, 960]);
}

#[test]
fn a_worker_has_room_for_a_hundredth_of_a_second_of_its_threads() {
    let room = |threads, tasks, each, more| {
        let mut fleet = fleet(&[threads]);
        charge(&mut fleet, FIRST, Lane::Compute, tasks, each);
        fleet.has_room(FIRST, Lane::Compute, more)
    };
    assert!(room(4, 7, 1.0, 1.0), "two for each thread");
    assert!(!room(4, 8, 1.0, 0.0));
    assert!(room(4, 8, 0.0025, 0.01));
    assert!(!room(4, 8, 0.0025, 0.02));
    assert!(!room(1, 2, 0.0, AHEAD_SECONDS), "that is not less");
    assert!(room(1, MOST_ASSIGNED - 1, 0.0, 0.0));
    assert!(!room(1, MOST_ASSIGNED, 0.0, 0.0));
}

#[test]
fn a_worker_has_so_many_io_tasks_in_hand_at_most() {
    for lane in [Lane::Io, Lane::Pinned] {
        let mut fleet = fleet(&[1]);
        fleet.set_client(FIRST);
        charge(&mut fleet, FIRST, lane, MOST_IO - 1, 1.0);
        assert!(fleet.has_room(FIRST, lane, 0.0));
        charge(&mut fleet, FIRST, lane, 1, 1.0);
        assert!(!fleet.has_room(FIRST, lane, 0.0));
    }
}

#[test]
fn nothing_goes_to_who_leaves() {
    let mut fleet = fleet(&[2, 3]);
    fleet.set_client(FIRST);
    assert!(fleet.has_client() && !fleet.is_draining());
    assert_eq!(fleet.threads(), 5);
    fleet.drain(FIRST);
    assert!(fleet.is_draining() && !fleet.has_client());
    assert_eq!(fleet.threads(), 3);
    for lane in [Lane::Compute, Lane::Io, Lane::Pinned] {
        assert!(!fleet.has_room(FIRST, lane, 0.0));
        assert_eq!(fleet.get(FIRST).map(|worker| worker.queue_of(lane)), Some(f64::INFINITY));
    }
    assert_eq!(fleet.least_loaded(Lane::Io, 0.0), Some(SECOND));
    assert!(fleet.has_idle());
    charge(&mut fleet, SECOND, Lane::Compute, 1, 1.0);
    assert!(!fleet.has_idle(), "who leaves does not count");
    fleet.remove(FIRST);
    assert!(!fleet.is_draining());
    assert!(!fleet.join(FIRST, 1, MemoryId(0)), "a name is not used again");
    fleet.remove(SECOND);
    assert_eq!((fleet.threads(), fleet.busiest()), (0, None));
}

#[test]
fn who_has_no_threads_does_just_what_is_pinned() {
    let mut fleet = fleet(&[0]);
    fleet.set_client(FIRST);
    let may = [Lane::Compute, Lane::Io, Lane::Pinned].map(|lane| fleet.may_do(FIRST, lane));
    assert_eq!(may, [false, false, true]);
    assert_eq!(fleet.least_loaded(Lane::Compute, 0.0), None);
}

#[test]
fn what_is_parked_waits_with_what_was_handed_out() {
    let mut fleet = fleet(&[1, 1]);
    charge(&mut fleet, FIRST, Lane::Compute, 2, 1.0);
    charge(&mut fleet, SECOND, Lane::Compute, 2, 1.0);
    let task = park(&mut fleet, FIRST);
    assert_eq!(
        [FIRST, SECOND].map(|id| fleet.get(id).map(WorkerQueue::has_parked)),
        [Some(true), Some(false)]
    );
    assert_eq!(fleet.get(FIRST).map(WorkerQueue::queue), Some(3.0));
    for worker in [FIRST, FIRST, SECOND] {
        fleet.discharge(worker, Lane::Compute, STAGE, 1.0);
    }
    assert_eq!(fleet.take_freed(), [FIRST], "once, and nothing waits for the other");
    assert!(fleet.take_freed().is_empty());
    let mut back = fleet.drain(FIRST);
    assert_eq!(back.pop().map(|urgent| urgent.task), Some(task));
    assert_eq!(fleet.with_parked().count(), 0);
}

#[test]
fn what_a_worker_has_computed_is_told_for_each_of_its_threads() {
    let mut fleet = fleet(&[2]);
    for (lane, computed) in [(Lane::Compute, 3.0), (Lane::Io, 3.0)] {
        charge(&mut fleet, FIRST, lane, 1, 6.0);
        fleet.finish(FIRST, lane, STAGE, 6.0);
        assert_eq!(fleet.get(FIRST).map(WorkerQueue::computed), Some(computed), "{lane:?}");
    }
    charge(&mut fleet, FIRST, Lane::Compute, 1, 6.0);
    fleet.discharge(FIRST, Lane::Compute, STAGE, 6.0);
    assert_eq!(fleet.get(FIRST).map(WorkerQueue::computed), Some(3.0), "it came back undone");
}

#[test]
fn who_was_asked_for_tasks_rests_until_it_has_done_some() {
    let mut fleet = fleet(&[1]);
    fleet.get_mut(FIRST).expect("it is there").rest = 2;
    let mut rest = || {
        fleet.rested(FIRST);
        fleet.get(FIRST).map(|worker| worker.rest)
    };
    assert_eq!([rest(), rest(), rest()], [Some(1), Some(0), Some(0)]);
}
