use super::super::Core;
use super::super::scene::{FIRST, SECOND, THIRD, block, chain, core_of, program, spilling, task};
use super::COPY_ATTEMPTS;
use crate::ids::{MemoryId, StageId, TaskId, WorkerId};
use crate::sched::holders::Transfer;
use crate::sched::lane::Lane;
use crate::sched::plan::ResultsWhenShort;
use crate::sched::table::TaskState;

/// Ready, and left to wait for the first worker.
fn park(core: &mut Core, task: TaskId) {
    core.ready.push(&mut core.tasks, task);
    let urgent = core.ready.first(&core.tasks, Lane::Compute).expect("it is ready");
    core.ready.pop(Lane::Compute);
    core.fleet.park(FIRST, urgent, core.estimates.of(task));
}

fn charge(core: &mut Core, worker: WorkerId, tasks: u32, seconds: f64) {
    (0..tasks).for_each(|_| core.fleet.charge(worker, Lane::Compute, StageId(0), seconds));
}

#[test]
fn all_that_waits_for_a_busy_worker_goes_to_one_that_has_nothing_to_do() {
    let mut core = core_of(&[&[], &[]]).with(&[0, 1]);
    charge(&mut core, FIRST, 2, 10.0);
    [0, 1].into_iter().for_each(|index| park(&mut core, task(index)));
    core.relieve_one(FIRST);
    assert_eq!([0, 1].map(|index| core.tasks.state(task(index))), [TaskState::Assigned(SECOND); 2]);
    assert!(!core.fleet.get(FIRST).expect("it is there").has_parked());
}

#[test]
fn what_is_best_done_by_another_one_that_is_busy_waits_where_it_is() {
    let mut core = core_of(&[&[], &[0]]).with(&[0, 1, 2]);
    core.set_seconds(1.0);
    core.put(0, TaskState::Done(SECOND));
    [FIRST, THIRD].into_iter().for_each(|to| core.set_way(SECOND, to, 100.0));
    charge(&mut core, FIRST, 2, 1.0);
    charge(&mut core, SECOND, 2, 1.0);
    park(&mut core, task(1));
    assert_eq!(core.relief(task(1), FIRST, THIRD), SECOND);
    core.relieve_one(FIRST);
    assert_eq!(core.tasks.state(task(1)), TaskState::Ready);
    assert!(core.fleet.get(FIRST).expect("it is there").has_parked());
}

#[test]
fn a_step_waits_for_its_block_no_longer_than_is_worth_it() {
    for (before, best) in [(0, FIRST), (10, SECOND)] {
        let mut core = chain(2).with(&[0, 1]);
        core.set_seconds(1.0);
        core.put(0, TaskState::Done(FIRST));
        charge(&mut core, FIRST, before, 1.0);
        assert_eq!(core.relief(task(1), FIRST, SECOND), best);
    }
}

#[test]
fn a_block_in_which_the_next_step_goes_on_is_not_handed_over() {
    let mut core = chain(4).with(&[0, 1]);
    core.put(1, TaskState::Done(FIRST));
    assert!(!core.is_being_taken_over(task(1)));
    core.put(2, TaskState::Assigned(SECOND));
    assert!(core.is_being_taken_over(task(1)));
    assert!(!core.move_away(task(1), FIRST, &[SECOND]));
    assert!(!core.holders.is_copied(task(1)));
}

#[test]
fn a_block_is_handed_over_once() {
    let mut core = core_of(&[&[], &[0]]).with(&[0, 1]);
    core.put(0, TaskState::Done(FIRST));
    core.reserve_at(MemoryId(0), block());
    assert!(!core.move_away(task(0), FIRST, &[SECOND]));
    assert!(!core.move_away(task(0), FIRST, &[SECOND]));
    assert_eq!(core.holders.giving(FIRST), 1);
    assert_eq!(core.said().len(), 1);
}

/// A block has been written in the memory of the first worker, and is on its way to the second one.
fn on_its_way() -> Core {
    let mut core = spilling(program(&[&[], &[0]]), ResultsWhenShort::MayLeave).with(&[0, 1]);
    core.put(0, TaskState::Spilled);
    core.counts.admit();
    core.counts.assign();
    core.counts.finish(StageId(0));
    core.tasks.table.set_count(0, 1);
    core.transit.add_file(task(0), MemoryId(0));
    core
}

fn begin_copy(core: &mut Core) {
    core.expect_at(task(0), SECOND, FIRST);
    core.holders.begin_copy(task(0), Transfer { from: FIRST, to: SECOND });
}

#[test]
fn what_was_out_of_memory_lies_where_it_has_been_copied() {
    let mut core = on_its_way();
    begin_copy(&mut core);
    core.copied(SECOND, task(0));
    assert_eq!(core.location(task(0)), Some(SECOND));
}

#[test]
fn what_cannot_be_read_in_three_attempts_is_made_again() {
    let mut core = on_its_way();
    for attempt in 1..=COPY_ATTEMPTS {
        assert_eq!((core.tasks.state(task(0)), core.recomputed()), (TaskState::Spilled, 0), "{attempt}");
        begin_copy(&mut core);
        core.copy_failed(SECOND, task(0));
    }
    assert_eq!((core.tasks.state(task(0)), core.recomputed()), (TaskState::Idle, 1));
    assert_eq!(core.transit.file(task(0)), None);
}
