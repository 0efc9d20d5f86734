use super::super::Core;
use super::super::scene::{FIRST, SECOND, THIRD, core_of, task};
use crate::array::{Array, Axis, BlockGrid, Element, Input, InputId, Origin};
use crate::graph::{Lowering, ProgramBuilder, Tall};
use crate::ids::{StageId, TaskId, WorkerId};
use crate::sched::events::{Pull, Timing};
use crate::sched::homes::Home;
use crate::sched::lane::Lane;
use crate::sched::links::Way;
use crate::sched::table::TaskState;
use std::sync::Arc;

/// `task` is ready, and waits for `worker`.
fn park(core: &mut Core, worker: WorkerId, task: TaskId) {
    core.ready.push(&mut core.tasks, task);
    let urgent = core.ready.first(&core.tasks, Lane::Compute).expect("it is ready");
    core.ready.pop(Lane::Compute);
    core.fleet.park(worker, urgent, core.estimates.of(task));
}

/// The first worker is done with something.
fn free(core: &mut Core) {
    core.fleet.charge(FIRST, Lane::Compute, StageId(0), 1.0);
    core.fleet.discharge(FIRST, Lane::Compute, StageId(0), 1.0);
}

#[test]
fn all_that_waits_for_a_worker_goes_there_when_it_has_room() {
    let mut core = core_of(&[&[], &[], &[]]).with(&[0]);
    [0, 1].into_iter().for_each(|index| park(&mut core, FIRST, task(index)));
    free(&mut core);
    assert_eq!(core.place_all(Lane::Compute), 2);
    assert_eq!([0, 1].map(|index| core.tasks.state(task(index))), [TaskState::Assigned(FIRST); 2]);
    assert_eq!(core.place_all(Lane::Compute), 0);
    core.ready.push(&mut core.tasks, task(2));
    assert_eq!(core.place_all(Lane::Compute), 1);
}

#[test]
fn who_holds_more_than_half_of_what_a_task_reads_is_asked() {
    let most = |holders: &[WorkerId]| {
        let mut core = core_of(&[&[], &[], &[], &[0, 1, 2], &[0, 1]]).with(&[0, 1]);
        (0..).zip(holders).for_each(|(index, holder)| core.put(index, TaskState::Done(*holder)));
        core.holder_of_most(task(3))
    };
    assert_eq!(most(&[SECOND, FIRST, SECOND]), Some(SECOND));
    assert_eq!(most(&[SECOND, FIRST]), None);
    assert_eq!(most(&[SECOND]), Some(SECOND));
}

#[test]
fn a_task_is_late_where_another_one_would_be_done_in_less_than_half_of_the_time() {
    // In times of the task, all of them without rounding.
    for (before, late) in [(0.5, false), (1.0, false), (1.5, true)] {
        let mut core = core_of(&[&[]]).with(&[0, 1]);
        let each = core.seconds_of(StageId(0));
        core.fleet.charge(FIRST, Lane::Compute, StageId(0), before * each);
        assert_eq!(core.is_late(task(0), FIRST, SECOND), late, "{before}");
    }
}

#[test]
fn a_move_that_costs_as_much_as_the_task_takes_is_not_worth_it() {
    let mut core = core_of(&[&[], &[0]]).with(&[0, 1]);
    core.put(0, TaskState::Done(FIRST));
    core.fleet.charge(FIRST, Lane::Compute, StageId(0), 1.0);
    // About what the task takes by the first guess: near to it seconds are set without rounding.
    core.set_way(FIRST, SECOND, 2.5e-7);
    let held = core.inputs_held(task(1));
    let cost = core.cost_of_moving(SECOND, &held);
    for (seconds, late) in [(cost, false), (1.25 * cost, true)] {
        core.set_seconds(seconds);
        assert_eq!(core.seconds_of(StageId(0)), seconds);
        assert_eq!(core.is_late(task(1), FIRST, SECOND), late);
    }
}

#[test]
fn just_ways_between_workers_that_are_there_are_measured() {
    let known = |way: Way, core: &Core| core.links.seconds(way, 8) > 0.1;
    let (way, other) = (Way { from: FIRST, to: SECOND }, Way { from: SECOND, to: THIRD });
    // From whom, and what is known then of this way and of others.
    for (from, client, measured) in [
        (FIRST, None, [true, true]),
        (FIRST, Some(FIRST), [true, false]),
        (WorkerId(9), None, [false, false]),
        (SECOND, None, [false, false]),
    ] {
        let mut core = core_of(&[&[]]).with(&[0, 1, 2]);
        if let Some(client) = client {
            core = core.pinned(client, &[]);
        }
        core.pulled(SECOND, &[Pull { from, blocks: 1, bytes: 8, seconds: 1.0 }]);
        assert_eq!([known(way, &core), known(other, &core)], measured, "{from:?}");
    }
}

#[test]
fn the_walk_begins_anew_if_what_comes_back_reads_what_was_lost() {
    for (input, is_stale) in [(TaskState::Idle, true), (TaskState::Assigned(FIRST), false)] {
        let mut core = core_of(&[&[], &[0]]).with(&[0]);
        core.put(0, TaskState::Assigned(FIRST));
        core.counts.admit();
        core.assign(FIRST, task(1));
        core.put(0, input);
        core.take_one_back(FIRST, task(1));
        assert_eq!(core.admission.is_stale(), is_stale);
    }
}

/// The singular values of a matrix in a file, in four blocks below each other. Two workers have two each.
fn tall() -> Core {
    let input = Input::new(InputId(0), Arc::new(()), false);
    let matrix = Array::source(Origin::Input(input), 40, 2, Element::F64);
    let mut builder = ProgramBuilder::default();
    let grid = BlockGrid::new(Axis::new(40, 10), Axis::whole(2));
    let access = Lowering::new(&mut builder, 10).lower(&matrix, grid).expect("it has these blocks");
    let values = Tall::new(&mut builder, access, |_, _, _| 1).values(&mut builder, 2);
    builder.write(values, 0, (0, 0));
    let core = Core::new(Arc::new(builder.finish()), 1 << 20).with(&[0, 1]);
    assert!(core.tasks.lane(task(0)) == Lane::Io && core.tasks.lane(leaf(0)) == Lane::Compute);
    core
}

fn leaf(index: u32) -> TaskId {
    TaskId::new(StageId(1), index)
}

#[test]
fn blocks_of_a_tall_matrix_stay_where_they_are_while_that_is_not_far_behind() {
    for (computed, by_idle, reads, late) in [
        (0.0, 0.0, 0, true),
        (0.0, 0.0, 1, false),
        (6.0, 6.0, 0, false),
        (5.0, 6.0, 0, true),
        (6.0, 5.0, 0, true),
    ] {
        let mut core = tall();
        core.put(0, TaskState::Done(FIRST));
        for (worker, seconds) in [(FIRST, computed), (SECOND, by_idle)] {
            core.fleet.charge(worker, Lane::Compute, StageId(1), seconds);
            core.fleet.finish(worker, Lane::Compute, StageId(1), seconds);
        }
        (0..reads).for_each(|_| core.fleet.charge(SECOND, Lane::Io, StageId(0), 1e-9));
        core.fleet.charge(FIRST, Lane::Compute, StageId(9), 2.75);
        core.set_seconds(1e-9);
        core.estimates.measure(&[Timing { stage: StageId(1), tasks: 1, seconds: 0.5 }]);
        assert_eq!(
            core.is_late(leaf(0), FIRST, SECOND),
            late,
            "{computed} and {by_idle} seconds computed, {reads} reads"
        );
    }
}

#[test]
fn who_has_nothing_to_do_reads_for_one_that_is_far_behind() {
    for (waiting, busy, reader) in [(4, false, SECOND), (3, false, FIRST), (4, true, FIRST)] {
        let mut core = tall();
        core.fleet.charge(FIRST, Lane::Compute, StageId(1), 1.0);
        for index in 0..waiting {
            park(&mut core, FIRST, leaf(index));
        }
        if busy {
            core.fleet.charge(SECOND, Lane::Io, StageId(0), 1.0);
        }
        assert_eq!(core.home(task(0)).map(Home::worker), Some(reader), "{waiting} wait");
        assert_eq!(core.home(task(2)).map(Home::worker), Some(SECOND));
    }
}

#[test]
fn a_read_waits_for_its_home_unless_another_one_has_far_less_to_read() {
    for (at_home, elsewhere, reader) in [(32, 15, Some(SECOND)), (32, 16, None), (31, 31, Some(FIRST))] {
        let mut core = tall();
        for (worker, reads) in [(FIRST, at_home), (SECOND, elsewhere)] {
            (0..reads).for_each(|_| core.fleet.charge(worker, Lane::Io, StageId(0), 1.0));
        }
        core.ready.push(&mut core.tasks, task(0));
        assert_eq!(core.place_all(Lane::Io), usize::from(reader.is_some()), "{elsewhere} reads");
        let is_reader = |worker| core.tasks.state(task(0)) == TaskState::Assigned(worker);
        assert_eq!([FIRST, SECOND].into_iter().find(|worker| is_reader(*worker)), reader);
    }
}

#[test]
fn a_block_of_a_tall_matrix_costs_what_it_takes_to_read_it() {
    let mut core = tall();
    core.put(0, TaskState::Done(FIRST));
    core.set_way(FIRST, SECOND, 1000.0);
    let held = core.inputs_held(leaf(0));
    assert_eq!(core.cost_of_moving(SECOND, &held), core.estimates.of(task(0)));
    assert_eq!(core.source_for(task(0), SECOND), Some(SECOND));
}
