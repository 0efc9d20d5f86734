use super::super::Core;
use super::super::scene::{FIRST, SECOND, THIRD, core_of, stage, task};
use super::shares_of_time;
use crate::array::Fill;
use crate::graph::kinds::FillBlock;
use crate::graph::testing::column;
use crate::graph::{Kind, Program, Stage};
use crate::ids::{MemoryId, WorkerId};
use crate::sched::table::TaskState;
use std::sync::Arc;

#[test]
fn a_copy_costs_the_rounds_before_it_and_those_that_are_given_beside_it() {
    let costs = [((0, 0), 1), ((0, 1), 2), ((0, 2), 5), ((0, 3), 7), ((1, 0), 3), ((2, 1), 6), ((1, 2), 7)];
    for ((rounds, gives), shares) in costs {
        assert_eq!(shares_of_time(rounds, gives), shares, "{rounds} rounds, beside {gives}");
    }
}

/// A block that the third worker has. The workers are in these memories.
fn held_by_third(memories: &[u32]) -> Core {
    let mut core = core_of(&[&[], &[0]]).with(memories);
    core.put(0, TaskState::Done(THIRD));
    core
}

#[test]
fn what_lies_in_the_memory_of_a_worker_is_taken_from_there() {
    let mut core = held_by_third(&[0, 0, 1]);
    assert_eq!(core.source_for(task(0), FIRST), Some(THIRD));
    core.give_copy(0, SECOND);
    assert_eq!(core.source_for(task(0), FIRST), Some(SECOND));
}

#[test]
fn what_has_been_written_in_the_memory_of_a_worker_it_reads_itself() {
    let mut core = held_by_third(&[0, 0, 1]);
    core.put(0, TaskState::Spilled);
    core.transit.add_file(task(0), MemoryId(0));
    assert_eq!(core.source_for(task(0), SECOND), Some(SECOND));
    assert_eq!(core.source_for(task(0), THIRD), Some(FIRST));
}

#[test]
fn what_is_on_its_way_comes_from_who_was_to_give_it() {
    let mut core = held_by_third(&[0, 1, 2]);
    core.give_copy(0, SECOND);
    core.expect_at(task(0), FIRST, SECOND);
    assert_eq!(
        core.source_for(task(0), FIRST),
        Some(SECOND),
        "the holder would be as near, and gives to nobody"
    );
}

#[test]
fn a_way_is_as_much_longer_as_others_share_it() {
    // For the third that gets it from there it takes five times as long.
    for (seconds, giver) in [(0.1, SECOND), (0.3, THIRD)] {
        let mut core = held_by_third(&[0, 1, 2, 3, 4]);
        core.give_copy(0, SECOND);
        core.set_way(SECOND, FIRST, seconds);
        core.set_way(THIRD, FIRST, 1.0);
        for other in [3, 4].map(WorkerId) {
            core.expect_at(task(0), other, SECOND);
            core.set_way(other, FIRST, 100.0);
        }
        assert_eq!(core.source_for(task(0), FIRST), Some(giver));
    }
}

#[test]
fn who_leaves_gives_nothing() {
    let mut core = held_by_third(&[0, 1, 2]);
    core.give_copy(0, SECOND);
    core.set_way(THIRD, FIRST, 10.0);
    core.set_way(SECOND, FIRST, 1.0);
    assert_eq!(core.source_for(task(0), FIRST), Some(SECOND));
    core.fleet.drain(SECOND);
    assert_eq!(core.source_for(task(0), FIRST), Some(THIRD));
}

#[test]
fn numbers_are_made_where_they_are_wanted_if_they_are_in_no_memory_near() {
    for (memories, source) in [([0, 1, 2], FIRST), ([0, 1, 0], THIRD)] {
        let kind = Kind::Fill(FillBlock { fill: Fill::Constant(1.0), row: 0, col: 0 });
        let program = Program::new(vec![Stage { kind, ..stage(column(1), Vec::new()) }]);
        let mut core = Core::new(Arc::new(program), 1 << 20).with(&memories);
        core.put(0, TaskState::Done(THIRD));
        assert_eq!(core.source_for(task(0), FIRST), Some(source));
    }
}
