use super::{Desk, Orders};
use crate::graph::testing::{chains, column, linked, nulls};
use crate::graph::{Blocks, Program, Stage};
use crate::ids::{StageId, TaskId, TaskList, WorkerId};
use std::sync::Arc;

const ELSEWHERE: WorkerId = WorkerId(7);

fn id(index: u32) -> TaskId {
    TaskId::new(StageId(0), index)
}

fn list(indices: &[u32]) -> TaskList {
    indices.iter().map(|index| id(*index)).collect()
}

/// Tasks that read each other as told, and leave blocks.
fn desk(inputs: &[&[u32]]) -> Desk<u32> {
    desk_of(linked(inputs))
}

fn desk_of(stage: Stage) -> Desk<u32> {
    Desk::new(Arc::new(Program::new(vec![stage])))
}

fn begun(orders: &Orders<u32>) -> Vec<u32> {
    orders.begin.iter().map(|prepared| prepared.task.index).collect()
}

fn returned(tasks: &TaskList) -> Vec<u32> {
    let mut tasks: Vec<u32> = tasks.iter().map(|task| task.index).collect();
    tasks.sort_unstable();
    tasks
}

fn made(desk: &mut Desk<u32>, index: u32) -> Orders<u32> {
    let mut orders = Orders::default();
    desk.made(id(index), Some(index), &mut orders);
    orders
}

/// Two blocks from elsewhere, and tasks that read one or both of them.
const A: u32 = 0;
const B: u32 = 1;
const BOTH: u32 = 2;
const ONLY_B: u32 = 3;
const AFTER_BOTH: u32 = 4;
const READS: [&[u32]; 5] = [&[], &[], &[A, B], &[B], &[BOTH]];

fn from_elsewhere(indices: &[u32]) -> Vec<(TaskId, WorkerId)> {
    indices.iter().map(|index| (id(*index), ELSEWHERE)).collect()
}

#[test]
fn a_block_is_asked_for_once_and_a_task_begins_with_its_last_block() {
    let mut desk = desk(&READS);
    let orders = desk.assign(&list(&[BOTH, ONLY_B]), &from_elsewhere(&[A, B]));
    assert_eq!(orders.fetch, from_elsewhere(&[A, B]));
    assert!(orders.begin.is_empty() && desk.is_coming(id(A)));
    assert_eq!(begun(&desk.arrived(id(B), B)), [ONLY_B]);
    let orders = desk.arrived(id(A), A);
    assert_eq!(begun(&orders), [BOTH]);
    assert_eq!(orders.begin[0].inputs, [A, B]);
    assert!(!desk.is_coming(id(A)));
}

#[test]
fn what_another_task_still_reads_stays_if_one_that_reads_it_too_is_given_back() {
    let mut desk = desk(&READS);
    desk.assign(&list(&[ONLY_B]), &from_elsewhere(&[B]));
    assert_eq!(begun(&desk.arrived(id(B), B)), [ONLY_B]);
    // Its inputs are here or made here: nothing is named.
    desk.assign(&list(&[A, BOTH]), &[]);
    let mut back = TaskList::default();
    desk.give_back_waiting(&mut back);
    assert_eq!(returned(&back), [BOTH]);
    assert!(desk.get(id(B)).is_some(), "the scheduler counts on it for the first task");
    made(&mut desk, ONLY_B);
    assert!(desk.get(id(B)).is_some());
}

/// To the scheduler a block is on its way here as long as a task that reads it is: it tells others to get it here, and
/// here to get it from others. So the task stays until the block has come, or has failed to.
#[test]
fn a_task_goes_back_when_nothing_is_on_its_way_for_it_any_more() {
    for comes in [true, false] {
        let mut desk = desk(&READS);
        desk.assign(&list(&[BOTH, AFTER_BOTH]), &from_elsewhere(&[A, B]));
        assert!(desk.missed(id(A)).is_empty() && desk.is_coming(id(B)));
        let back = match comes {
            true => {
                let orders = desk.arrived(id(B), B);
                assert!(orders.begin.is_empty());
                orders.returned
            }
            false => desk.missed(id(B)),
        };
        assert_eq!(returned(&back), [BOTH, AFTER_BOTH]);
        assert!(desk.get(id(B)).is_none() && !desk.is_coming(id(B)), "it was for that task alone");
        let orders = desk.assign(&list(&[BOTH]), &from_elsewhere(&[A, B]));
        assert_eq!(orders.fetch, from_elsewhere(&[A, B]), "it may come again");
        assert!(desk.arrived(id(B), B).begin.is_empty());
        assert_eq!(begun(&desk.arrived(id(A), A)), [BOTH]);
    }
}

#[test]
fn what_another_task_asks_for_meanwhile_does_not_begin_one_that_is_to_go_back() {
    let mut desk = desk(&READS);
    desk.assign(&list(&[BOTH]), &from_elsewhere(&[A, B]));
    assert!(desk.missed(id(A)).is_empty());
    assert_eq!(desk.assign(&list(&[ONLY_B]), &from_elsewhere(&[B])).fetch, [], "it is on its way");
    desk.assign(&list(&[A]), &[]);
    assert!(made(&mut desk, A).begin.is_empty());
    let orders = desk.arrived(id(B), B);
    assert_eq!((begun(&orders), returned(&orders.returned)), (vec![ONLY_B], vec![BOTH]));
}

#[test]
fn what_waits_for_a_block_on_its_way_stays_though_a_task_before_it_is_given_back() {
    let mut desk = desk(&[&[], &[], &[0], &[1, 2]]);
    desk.assign(&list(&[2, 3]), &from_elsewhere(&[0, 1]));
    assert_eq!(returned(&desk.missed(id(0))), [2]);
    assert_eq!(returned(&desk.arrived(id(1), 1).returned), [3]);
    assert!(desk.get(id(1)).is_none());
}

#[test]
fn a_task_waits_for_what_is_made_here_before_it() {
    let mut desk = desk(&READS);
    let orders = desk.assign(&list(&[A, B, BOTH, AFTER_BOTH]), &[]);
    assert_eq!(begun(&orders), [A, B]);
    assert!(made(&mut desk, A).begin.is_empty());
    assert_eq!(begun(&made(&mut desk, B)), [BOTH]);
    assert_eq!(begun(&made(&mut desk, BOTH)), [AFTER_BOTH]);
}

#[test]
fn what_is_nowhere_is_given_back_with_all_that_wait_for_it() {
    let mut desk = desk(&READS);
    assert_eq!(returned(&desk.assign(&list(&[BOTH, AFTER_BOTH]), &[]).returned), [BOTH, AFTER_BOTH]);
    desk.assign(&list(&[A, BOTH, AFTER_BOTH]), &from_elsewhere(&[B]));
    assert_eq!(returned(&desk.missed(id(B))), [BOTH, AFTER_BOTH]);
    assert!(made(&mut desk, A).begin.is_empty());
}

#[test]
fn what_can_begin_is_given_back_with_all_that_wait_for_it() {
    let mut desk = desk(&READS);
    let mut orders = desk.assign(&list(&[A, B, BOTH, AFTER_BOTH]), &[]);
    let mut back = TaskList::default();
    let last = orders.begin.pop().expect("B lacks nothing");
    assert!(desk.may_give_back(last.task));
    desk.unprepare(last, &mut back);
    assert_eq!(returned(&back), [B, BOTH, AFTER_BOTH]);
    assert!(made(&mut desk, A).begin.is_empty());
}

#[test]
fn nothing_is_given_back_that_waits_for_a_block_on_its_way_nor_what_it_waits_for() {
    let mut desk = desk(&READS);
    let orders = desk.assign(&list(&[A, BOTH, AFTER_BOTH]), &from_elsewhere(&[B]));
    assert_eq!(begun(&orders), [A]);
    assert!(!desk.may_give_back(id(A)));
    let mut back = TaskList::default();
    desk.give_back_waiting(&mut back);
    assert_eq!(returned(&back), [AFTER_BOTH], "the one behind it does not wait for that itself");
    desk.arrived(id(B), B);
    assert!(desk.may_give_back(id(A)));
    assert_eq!(begun(&made(&mut desk, A)), [BOTH]);
}

#[test]
fn what_waits_for_a_task_that_waits_for_a_block_on_its_way_keeps_what_it_waits_for() {
    let mut desk = desk(&[&[], &[], &[0], &[1, 2]]);
    desk.assign(&list(&[0, 2, 3]), &from_elsewhere(&[1]));
    let mut back = TaskList::default();
    desk.give_back_waiting(&mut back);
    assert!(back.is_empty(), "{back:?}");
}

#[test]
fn what_is_nowhere_lets_nothing_else_be_asked_for() {
    let mut desk = desk(&READS);
    let orders = desk.assign(&list(&[BOTH]), &from_elsewhere(&[A]));
    assert_eq!((returned(&orders.returned), orders.fetch), (vec![BOTH], vec![]));
    assert!(!desk.is_coming(id(A)));
}

/// After a loss a block is made here that is on its way as well. The scheduler then knows nothing of its way any more:
/// nobody else is to wait for that.
#[test]
fn a_block_on_its_way_is_not_asked_for_again_though_it_is_made_here() {
    let mut desk = desk(&READS);
    desk.assign(&list(&[ONLY_B]), &from_elsewhere(&[B]));
    desk.assign(&list(&[B]), &[]);
    assert_eq!(begun(&made(&mut desk, B)), [ONLY_B]);
    desk.remove(id(B));
    let orders = desk.assign(&list(&[BOTH]), &from_elsewhere(&[A, B]));
    assert_eq!(orders.fetch, from_elsewhere(&[A]));
    assert!(desk.is_coming(id(A)) && !desk.is_coming(id(B)));
    assert!(desk.arrived(id(B), B).begin.is_empty());
    assert_eq!(begun(&desk.arrived(id(A), A)), [BOTH]);
}

#[test]
fn who_waits_for_a_block_on_its_way_waits_on_though_it_is_not_made_here() {
    let mut desk = desk(&READS);
    desk.assign(&list(&[ONLY_B]), &from_elsewhere(&[B]));
    let mut orders = desk.assign(&list(&[B]), &[]);
    let mut back = TaskList::default();
    desk.unprepare(orders.begin.remove(0), &mut back);
    assert_eq!(returned(&back), [B]);
    assert_eq!(begun(&desk.arrived(id(B), B)), [ONLY_B]);
}

/// A block in three steps.
fn desk_with_a_chain() -> Desk<u32> {
    desk_of(chains(1, 3))
}

#[test]
fn the_block_of_the_step_before_is_taken_over_and_comes_back() {
    let mut desk = desk_with_a_chain();
    desk.assign(&list(&[0, 1, 2]), &[]);
    let mut orders = made(&mut desk, 0);
    assert_eq!(begun(&orders), [1]);
    assert_eq!((orders.begin[0].taken, desk.get(id(0))), (Some(0), None));
    let mut back = TaskList::default();
    desk.unprepare(orders.begin.remove(0), &mut back);
    assert_eq!((returned(&back), desk.get(id(0))), (vec![1, 2], Some(&0)));
}

#[test]
fn what_was_done_is_taken_up_at_another_scheduler() {
    let mut desk = desk_with_a_chain();
    desk.assign(&list(&[0, 1, 2]), &[]);
    let begun = made(&mut desk, 0).begin;
    desk.settle(begun);
    assert_eq!(desk.into_blocks(), [(id(0), 0)], "the step after it has not been begun");
    let writes = || desk_of(Stage { blocks: Blocks::Nothing, ..nulls(column(3), Vec::new()) });
    let mut before = writes();
    before.assign(&list(&[0, 1]), &[]);
    before.made(id(1), None, &mut Orders::default());
    let mut after = writes();
    after.take_up([], &before.done());
    assert_eq!(returned(&after.done()), [1]);
}

#[test]
fn a_suspect_is_asked_about_and_begins_when_it_is_permitted() {
    let mut desk = desk(&READS);
    desk.suspect(&list(&[A, BOTH]));
    let orders = desk.assign(&list(&[A, B, BOTH]), &[]);
    assert_eq!((begun(&orders), returned(&orders.ask)), (vec![B], vec![A]));
    assert!(made(&mut desk, B).ask.is_empty());
    assert_eq!(begun(&desk.permit(&list(&[A]))), [A]);
    let orders = made(&mut desk, A);
    assert_eq!((begun(&orders), returned(&orders.ask)), (vec![], vec![BOTH]));
    let orders = desk.permit(&list(&[A, BOTH]));
    assert_eq!(begun(&orders), [BOTH], "what has begun does not begin again");
    assert_eq!(orders.begin[0].inputs, [A, B]);
}

#[test]
fn a_suspect_that_is_not_permitted_yet_is_given_back_with_all_that_wait_for_it() {
    let mut desk = desk(&READS);
    desk.suspect(&list(&[B]));
    desk.assign(&list(&[A, B, BOTH]), &[]);
    let mut back = TaskList::default();
    desk.give_back_held(&mut back);
    assert_eq!(returned(&back), [B, BOTH]);
    assert!(desk.permit(&list(&[B])).begin.is_empty(), "the answer comes too late");
    assert_eq!(begun(&desk.assign(&list(&[B]), &[])), [B], "it may come again as an ordinary task");
}
