use super::super::Core;
use super::super::scene::{FIRST, SECOND, THIRD, block, chain, core_of, program, spilling, task};
use super::Fit;
use crate::ids::MemoryId;
use crate::sched::plan::ResultsWhenShort;
use crate::sched::table::TaskState;

#[test]
fn a_block_comes_from_outside_unless_another_one_of_the_same_memory_has_it() {
    for (source, from_outside) in [(FIRST, true), (SECOND, false), (THIRD, true)] {
        let mut core = core_of(&[&[], &[0]]).with(&[0, 0, 1]);
        core.expect_at(task(0), FIRST, source);
        assert_eq!(core.holders.of(task(0))[0].from_outside, from_outside, "{source:?}");
    }
}

#[test]
fn a_step_goes_on_in_a_block_that_nobody_shares() {
    let goes_on = |holder, change: &dyn Fn(&mut Core)| {
        let mut core = chain(3).with(&[0, 0, 1]);
        core.put(0, TaskState::Done(holder));
        change(&mut core);
        core.goes_on_in_place(FIRST, task(1))
    };
    assert!(goes_on(FIRST, &|_| {}));
    assert!(goes_on(THIRD, &|_| {}), "it gets one of its own");
    assert!(!goes_on(SECOND, &|_| {}));
    assert!(!goes_on(FIRST, &|core| core.give_copy(0, SECOND)));
    assert!(goes_on(FIRST, &|core| core.give_copy(0, THIRD)));
}

#[test]
fn a_step_that_is_done_is_apart_no_more() {
    let mut core = chain(2).with(&[0]);
    core.apart.insert(task(1));
    assert_eq!(core.take_output(task(1)), block());
    assert!(core.apart.is_empty());
    assert_eq!(core.take_output(task(1)), 0);
}

#[test]
fn a_result_stays_where_results_do() {
    for (results, stays) in [(ResultsWhenShort::Stay, true), (ResultsWhenShort::MayLeave, false)] {
        let core = spilling(program(&[&[]]), results);
        assert_eq!(core.must_stay(task(0)), stays);
    }
}

/// Blocks of a worker whose memory has room for three.
fn with_blocks(blocks: u32) -> Core {
    let mut core = spilling(program(&[&[], &[], &[], &[0, 1, 2]]), ResultsWhenShort::MayLeave);
    core.join(FIRST, 1, MemoryId(0), 3 * block());
    core.join(SECOND, 1, MemoryId(0), 3 * block());
    core.join(THIRD, 1, MemoryId(1), 3 * block());
    for index in 0..blocks {
        core.put(index, TaskState::Done(FIRST));
        core.reserve_at(MemoryId(0), block());
        core.settle(task(index));
    }
    core
}

#[test]
fn there_is_room_when_a_block_has_been_written() {
    let mut core = with_blocks(2);
    assert_eq!(core.make_room(FIRST, block(), &[]), Fit::Now);
    assert_eq!(core.make_room(FIRST, 2 * block(), &[]), Fit::Soon);
    assert_eq!(core.make_room(FIRST, 4 * block(), &[]), Fit::No);
}

#[test]
fn nothing_goes_where_there_is_no_room_without_what_is_spared() {
    let mut core = with_blocks(3);
    core.eviction.pin(task(2));
    core.settle(task(2));
    assert_eq!(core.make_room(FIRST, 2 * block(), &[task(0)]), Fit::No);
    assert_eq!(core.tasks.state(task(1)), TaskState::Done(FIRST));
    assert_eq!(core.make_room(FIRST, block(), &[task(0)]), Fit::Soon);
    assert_eq!(core.tasks.state(task(1)), TaskState::Spilled);
}

/// Both copies make room of one block.
#[test]
fn copies_of_two_workers_that_share_a_memory_are_one_block_there() {
    let mut core = with_blocks(2);
    core.eviction.pin(task(0));
    core.settle(task(0));
    core.put(1, TaskState::Done(THIRD));
    core.holders.add(task(1), FIRST);
    core.holders.add(task(1), SECOND);
    core.settle(task(1));
    assert_eq!(core.make_room(FIRST, 3 * block(), &[]), Fit::No);
}
