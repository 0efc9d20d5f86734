use super::super::Core;
use super::super::scene::{FIRST, ROOM, SECOND, linked, stage, task};
use super::Given;
use crate::array::{BlockGrid, Element, Fill};
use crate::graph::{Order, Pattern, Pick, Program, ProgramBuilder, Read, Space, Stage};
use crate::ids::{StageId, TaskId};
use crate::sched::events::Action;
use crate::sched::table::{NOWHERE, TaskState};
use std::sync::Arc;

/// What the tasks of the first stage make is no result.
fn core_of(inputs: &[&[u32]]) -> Core {
    let first = Stage { keep: false, ..linked(inputs) };
    let read = Read { source: StageId(0), pattern: Pattern::Block(Pick::Row, Pick::Zero) };
    let results = stage(Space::new(inputs.len() as u32, 1, 1, Order::Rows), vec![read]);
    Core::new(Arc::new(Program::new(vec![first, results])), ROOM).with(&[0, 1])
}

fn result(index: u32) -> TaskId {
    TaskId::new(StageId(1), index)
}

#[test]
fn a_block_falls_back_to_its_copy() {
    let mut core = core_of(&[&[]]);
    core.put(0, TaskState::Done(FIRST));
    assert!(!core.falls_back(task(0)));
    core.give_copy(0, SECOND);
    assert!(core.falls_back(task(0)));
    assert_eq!(core.location(task(0)), Some(SECOND));
}

#[test]
fn what_an_abandoned_task_reads_stays_while_others_read_it() {
    let mut core = core_of(&[&[], &[0]]);
    core.put(0, TaskState::Done(FIRST));
    core.reserve_at(core.fleet.memory(FIRST).expect("it is there"), core.tasks.size(task(0)));
    core.ahead.add_block(core.tasks.size(task(0)), false);
    core.tasks.set(result(1), TaskState::Released);
    core.tasks.table.set_count(0, 2);
    core.counts.redo(StageId(0));
    core.abandon(task(1));
    assert_eq!(core.tasks.state(task(1)), TaskState::Released);
    assert_eq!(core.tasks.state(task(0)), TaskState::Done(FIRST));
    core.tasks.set(task(1), TaskState::Idle);
    core.counts.redo(StageId(0));
    core.abandon(task(1));
    assert_eq!(core.tasks.state(task(0)), TaskState::Released);
}

#[test]
fn a_task_that_is_ready_is_found() {
    let mut core = core_of(&[&[]]);
    assert!(!core.has_ready());
    core.ready.push(&mut core.tasks, task(0));
    assert!(core.has_ready());
}

#[test]
fn a_run_goes_on_without_a_client_that_has_no_part_in_it() {
    let mut builder = ProgramBuilder::default();
    let matrix = builder.fill(Fill::Constant(1.0), 0, 0, BlockGrid::whole(10, 10), Element::F64);
    builder.write(matrix, 0, (0, 0));
    let program = Arc::new(builder.finish());
    let writes = [StageId(1)];
    let goes_on = |of_client: &[StageId], workers: &[u32]| {
        Core::new(program.clone(), ROOM).pinned(SECOND, of_client).with(workers).can_go_on()
    };
    assert!(goes_on(&[], &[0]));
    assert!(!goes_on(&writes, &[0]), "the client has not come");
    assert!(goes_on(&writes, &[0, 1]));
}

/// A block and a result are there, another task is under way, and one has left no block.
fn after_giving_up(given: Given) -> (Core, Vec<Action>) {
    let mut core = core_of(&[&[], &[], &[]]);
    core.put(0, TaskState::Done(FIRST));
    core.put(1, TaskState::Assigned(FIRST));
    core.put(2, TaskState::Done(NOWHERE));
    core.tasks.set(result(0), TaskState::Done(SECOND));
    core.counts.admit();
    core.counts.assign();
    core.give_up(given);
    let said = core.said();
    (core, said)
}

#[test]
fn results_are_given_up_last_and_what_is_under_way_never() {
    // Nobody wants the block while the result is there that was made of it.
    let expected = [
        (Given::Intermediate, TaskState::Released, TaskState::Done(SECOND)),
        (Given::All, TaskState::Idle, TaskState::Idle),
    ];
    for (given, of_block, of_result) in expected {
        let (core, said) = after_giving_up(given);
        assert_eq!(core.tasks.state(task(0)), of_block);
        assert_eq!(core.tasks.state(task(1)), TaskState::Assigned(FIRST));
        assert_eq!(core.tasks.state(task(2)), TaskState::Done(NOWHERE));
        assert_eq!(core.tasks.state(result(0)), of_result);
        let is_freed = |action: &Action| matches!(action, Action::Free { worker: SECOND, .. });
        assert_eq!(said.iter().any(is_freed), given == Given::All, "{said:?}");
    }
}
