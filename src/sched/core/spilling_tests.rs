use super::super::Core;
use super::super::scene::{FIRST, SECOND, THIRD, block, program, spilling, task};
use crate::ids::MemoryId;
use crate::sched::events::{Action, Whereabouts};
use crate::sched::eviction::{Class, EvictionRank, IdleBlock};
use crate::sched::plan::ResultsWhenShort;
use crate::sched::table::{NOWHERE, TaskState};

/// The first two workers share a memory. The first has a block.
fn scene() -> Core {
    let mut core = spilling(program(&[&[], &[0]]), ResultsWhenShort::MayLeave).with(&[0, 0, 1]);
    core.put(0, TaskState::Done(FIRST));
    core.reserve_at(MemoryId(0), block());
    core
}

#[test]
fn what_leaves_no_block_is_nowhere() {
    let mut core = scene();
    assert_eq!(core.whereabouts(task(0)), Whereabouts::Memory(FIRST));
    core.put(0, TaskState::Done(NOWHERE));
    assert_eq!(core.whereabouts(task(0)), Whereabouts::Nowhere);
}

fn send_away(core: &mut Core) {
    let rank = EvictionRank { class: Class::Small, next_use: 1 };
    core.send_away(IdleBlock { rank, block: task(0), worker: FIRST });
}

#[test]
fn a_block_is_written_unless_it_stays_in_another_memory() {
    let mut core = scene();
    core.give_copy(0, SECOND);
    send_away(&mut core);
    assert_eq!(core.tasks.state(task(0)), TaskState::Spilled);
    let mut core = scene();
    core.give_copy(0, THIRD);
    core.fleet.drain(THIRD);
    send_away(&mut core);
    assert_eq!(core.tasks.state(task(0)), TaskState::Spilled);
    let mut core = scene();
    core.give_copy(0, SECOND);
    core.give_copy(0, THIRD);
    send_away(&mut core);
    assert_eq!(core.tasks.state(task(0)), TaskState::Done(THIRD));
    assert!(core.holders.of(task(0)).is_empty(), "copies go with the block");
}

#[test]
fn just_the_copies_of_one_memory_go() {
    let mut core = scene();
    core.put(0, TaskState::Waiting);
    core.give_copy(0, SECOND);
    core.give_copy(0, THIRD);
    core.drop_copies_in(task(0), MemoryId(0));
    let left: Vec<_> = core.holders.of(task(0)).iter().map(|copy| copy.worker).collect();
    assert_eq!(left, [THIRD]);
}

#[test]
fn what_has_been_written_where_somebody_stays_is_not_written_again() {
    let mut core = scene();
    assert!(!core.has_lasting_file(task(0)));
    core.transit.add_file(task(0), MemoryId(1));
    assert!(core.has_lasting_file(task(0)));
    core.fleet.drain(THIRD);
    assert!(!core.has_lasting_file(task(0)));
}

#[test]
fn a_block_that_came_back_lies_where_it_came() {
    let mut core = scene();
    core.put(0, TaskState::Spilled);
    core.give_copy(0, SECOND);
    core.came_back(task(0), SECOND);
    assert_eq!(core.location(task(0)), Some(SECOND));
    assert!(core.holders.of(task(0)).is_empty());
}

#[test]
fn what_was_written_earlier_in_another_memory_goes() {
    for (earlier, freed) in [(MemoryId(0), false), (MemoryId(1), true)] {
        let mut core = scene();
        send_away(&mut core);
        core.said();
        core.transit.add_file(task(0), earlier);
        core.spilled(FIRST, task(0));
        assert_eq!(core.transit.file(task(0)), Some(MemoryId(0)));
        let is_freed = |action: &Action| matches!(action, Action::Free { .. });
        assert_eq!(core.said().iter().any(is_freed), freed);
    }
}

#[test]
fn just_who_could_read_it_can_tell_that_it_has_vanished() {
    let mut core = scene();
    core.transit.add_file(task(0), MemoryId(1));
    core.vanished(FIRST, task(0));
    assert_eq!(core.transit.file(task(0)), Some(MemoryId(1)));
    core.vanished(THIRD, task(0));
    assert_eq!(core.transit.file(task(0)), None);
}
