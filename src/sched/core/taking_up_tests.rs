use super::super::Core;
use super::Places;
use crate::array::footprint;
use crate::graph::testing::linked;
use crate::graph::{Program, Stage};
use crate::ids::{MemoryId, StageId, TaskId, TaskList, WorkerId};
use crate::sched::events::{Action, Event, Holding};
use std::sync::Arc;

const FIRST: WorkerId = WorkerId(0);
const SECOND: WorkerId = WorkerId(1);

/// Two tasks read two blocks each; nobody reads theirs.
const READS: [&[u32]; 6] = [&[], &[], &[], &[], &[0, 1], &[2, 3]];

fn core_of(keep: bool) -> Core {
    let stage = Stage { keep, ..linked(&READS) };
    Core::new(Arc::new(Program::new(vec![stage])), 100 * block())
}

fn core() -> Core {
    core_of(true)
}

fn block() -> u64 {
    footprint(8)
}

fn list(indices: &[u32]) -> TaskList {
    indices.iter().map(|index| TaskId::new(StageId(0), *index)).collect()
}

/// A worker with room for so many blocks comes and holds these.
fn comes(worker: WorkerId, room: u64, in_memory: &[u32]) -> [Event; 2] {
    let join = Event::Join { worker, threads: 1, memory: MemoryId(worker.0), bytes: room * block() };
    let holding = Holding { in_memory: list(in_memory), ..Holding::default() };
    [join, Event::Holds { worker, holding }]
}

fn actions(core: &mut Core, events: impl IntoIterator<Item = Event>) -> Vec<Action> {
    let mut actions = Vec::new();
    core.handle(events, &mut actions);
    core.check_invariants();
    actions
}

#[test]
fn a_run_of_which_all_is_held_is_complete() {
    let mut core = core();
    let all = comes(FIRST, 100, &[0, 1, 2]).into_iter().chain(comes(SECOND, 100, &[2, 3, 4, 5]));
    assert_eq!(actions(&mut core, all), [Action::Completed]);
    assert_eq!((core.taken_up(), core.recomputed()), (6, 0));
}

#[test]
fn what_led_to_a_block_that_is_held_is_done() {
    let mut core = core_of(false);
    actions(&mut core, comes(FIRST, 100, &[3, 5]));
    // Nobody reads what it made, and nobody wants to see it.
    assert_eq!((core.taken_up(), core.progress()), (3, (3, 6)));
}

#[test]
fn what_is_held_beyond_the_bytes_of_a_worker_is_freed_and_made_again() {
    let mut core = core();
    let said = actions(&mut core, comes(FIRST, 2, &[0, 1, 2, 3]));
    assert_eq!(said, [Action::Free { worker: FIRST, blocks: list(&[1, 0]) }]);
    assert_eq!((core.taken_up(), core.progress()), (2, (2, 6)));
}

#[test]
fn who_tells_what_it_holds_when_the_run_goes_on_is_not_heard() {
    let mut core = core();
    actions(&mut core, comes(FIRST, 100, &[]));
    let said = actions(&mut core, comes(SECOND, 100, &[0, 1, 2, 3]));
    assert!(said.iter().all(|action| !matches!(action, Action::Free { .. })), "{said:?}");
    assert_eq!(core.taken_up(), 0);
}

#[test]
fn a_list_longer_than_the_program_is_not_taken_for_true() {
    let mut core = core();
    let twice = comes(FIRST, 100, &[0, 1, 2, 3, 4, 5, 0]);
    actions(&mut core, twice);
    assert_eq!(core.taken_up(), 0);
}

#[test]
fn one_file_is_kept_near_a_holder() {
    let mut places = Places { holders: vec![SECOND], files: vec![FIRST, SECOND] };
    assert_eq!(places.keep_one_file(), [FIRST]);
    assert_eq!((places.files, places.holders), (vec![SECOND], vec![SECOND]));
}

#[test]
fn what_has_been_written_is_of_no_use_in_a_run_whose_blocks_stay() {
    let mut core = core_of(false);
    let [join, _] = comes(FIRST, 100, &[]);
    let holding = Holding { written: list(&[3, 4]), ..Holding::default() };
    actions(&mut core, [join, Event::Holds { worker: FIRST, holding }]);
    assert_eq!(core.taken_up(), 0);
}

#[test]
fn what_is_held_beyond_the_bytes_of_the_run_is_freed() {
    let mut core = Core::new(core().tasks.program.clone(), 3 * block());
    let said = actions(&mut core, comes(FIRST, 100, &[0, 1, 2, 3]));
    let freed = said.iter().any(|action| *action == Action::Free { worker: FIRST, blocks: list(&[0]) });
    assert!(freed, "{said:?}");
    assert_eq!(core.taken_up(), 3);
}
