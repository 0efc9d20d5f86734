use super::super::Core;
use super::super::scene::{FIRST, SECOND, chain_over_blocks, core_of, stage, task};
use super::{MOST_LED, MOST_MISSING};
use crate::graph::{Order, Pattern, Pick, Program, Read, Space};
use crate::ids::{StageId, TaskId, WorkerId};
use crate::sched::lane::Lane;
use crate::sched::table::TaskState;
use std::sync::Arc;

#[test]
fn who_has_enough_or_gives_back_or_leaves_gets_no_followers() {
    let may_lead = |change: &dyn Fn(&mut Core)| {
        let mut core = core_of(&[&[], &[]]).with(&[0]);
        change(&mut core);
        core.may_lead(FIRST)
    };
    let charge = |core: &mut Core, tasks| {
        (0..tasks).for_each(|_| core.fleet.charge(FIRST, Lane::Compute, StageId(0), 1.0));
    };
    assert!(may_lead(&|core| charge(core, MOST_LED - 1)));
    assert!(!may_lead(&|core| charge(core, MOST_LED)));
    assert!(!may_lead(&|core| {
        core.ready.push(&mut core.tasks, task(0));
        let urgent = core.ready.first(&core.tasks, Lane::Compute).expect("it is ready");
        core.fleet.park(FIRST, urgent, 1.0);
    }));
    assert!(!may_lead(&|core| core.fleet.get_mut(FIRST).expect("it is there").asked_back = true));
    assert!(!may_lead(&|core| core.fleet.get_mut(FIRST).expect("it is there").draining = true));
    assert!(!may_lead(&|core| drop(core.fleet.remove(FIRST))));
}

#[test]
fn a_task_that_waits_for_many_blocks_is_not_looked_at() {
    for (missing, follows) in [(MOST_MISSING, true), (MOST_MISSING + 1, false)] {
        let all: Vec<u32> = (0..missing).collect();
        let mut inputs = vec![&[][..]; missing as usize];
        inputs.push(&all);
        let mut core = core_of(&inputs).with(&[0]);
        all.iter().for_each(|index| core.put(*index, TaskState::Assigned(FIRST)));
        core.put(missing, TaskState::Waiting);
        core.tasks.table.set_count(missing as usize, missing);
        assert!(core.follow(FIRST, task(missing)));
        assert_eq!(core.tasks.state(task(missing)) == TaskState::Assigned(FIRST), follows);
    }
}

#[test]
fn a_task_follows_nobody_away_from_its_home() {
    let column = || Space::new(32, 1, 1, Order::Rows);
    let read = Read { source: StageId(0), pattern: Pattern::Block(Pick::Row, Pick::Zero) };
    let stages = vec![stage(column(), Vec::new()), stage(column(), vec![read])];
    let program = Arc::new(Program::new(stages));
    let first = TaskId::new(StageId(1), 0);
    for (maker, follows) in [(FIRST, true), (SECOND, false)] {
        let mut core = Core::new(program.clone(), u64::MAX).with(&[0, 1]);
        assert_eq!(core.home(first).map(|home| home.worker()), Some(FIRST));
        core.put(0, TaskState::Assigned(maker));
        core.tasks.set(first, TaskState::Waiting);
        let at = core.tasks.program.position(first);
        core.tasks.table.set_count(at, 1);
        assert!(core.follow(maker, first));
        assert_eq!(core.tasks.state(first) == TaskState::Assigned(maker), follows);
    }
}

/// Is a task that reads blocks in these states best made at the first worker?
fn is_best(states: &[TaskState], change: impl Fn(&mut Core)) -> bool {
    let all: Vec<u32> = (0..states.len() as u32).collect();
    let mut inputs = vec![&[][..]; states.len()];
    inputs.push(&all);
    let mut core = core_of(&inputs).with(&[0, 1]);
    all.iter().zip(states).for_each(|(index, state)| core.put(*index, *state));
    change(&mut core);
    core.is_best_made_at(FIRST, task(states.len() as u32))
}

#[test]
fn a_task_is_best_made_where_half_of_what_it_reads_is_or_will_be() {
    let (here, made_here) = (TaskState::Done(FIRST), TaskState::Assigned(FIRST));
    let there = TaskState::Done(SECOND);
    assert!(is_best(&[here], |_| {}));
    assert!(is_best(&[made_here, there], |_| {}));
    assert!(!is_best(&[made_here, there, there], |_| {}));
    assert!(is_best(&[made_here, there, there], |core| core.give_copy(1, FIRST)));
    assert!(!is_best(&[made_here, TaskState::Assigned(SECOND)], |_| {}), "it may come late");
    assert!(!is_best(&[made_here, TaskState::Waiting], |_| {}));
}

#[test]
fn what_has_been_written_lies_elsewhere_once_it_has_left() {
    let states = [TaskState::Assigned(FIRST), TaskState::Spilled];
    assert!(is_best(&states, |_| {}));
    assert!(!is_best(&states, |core| core.transit.leave(task(1), SECOND)));
}

#[test]
fn a_step_goes_where_its_block_is() {
    let step = TaskId::new(StageId(1), 1);
    for (holder, best) in [(FIRST, true), (SECOND, false)] {
        let mut core = chain_over_blocks(2).with(&[0, 1]);
        core.put(1, TaskState::Done(FIRST));
        core.tasks.set(TaskId::new(StageId(1), 0), TaskState::Done(holder));
        assert_eq!(core.is_best_made_at(FIRST, step), best);
    }
}

#[test]
fn what_is_being_made_leads_a_task_that_waits_for_it() {
    let mut core = core_of(&[&[], &[], &[0, 1]]).with(&[0]);
    core.put(1, TaskState::Assigned(FIRST));
    core.await_inputs(&[task(0), task(1)]);
    assert_eq!(core.leads.first(FIRST), Some(task(1)));
}

#[test]
fn nobody_reads_what_a_stage_without_users_makes() {
    let alone = Program::new(vec![stage(Space::new(2, 1, 1, Order::Rows), Vec::new())]);
    assert!(!Core::new(Arc::new(alone), u64::MAX).tasks.has_consumers(task(0)));
    assert!(core_of(&[&[], &[0]]).tasks.has_consumers(task(0)));
}

#[test]
fn who_finds_a_copy_is_not_led_astray() {
    let stray = |copy_at: WorkerId| {
        let mut core = core_of(&[&[], &[0]]).with(&[0, 1]);
        core.put(1, TaskState::Assigned(FIRST));
        core.give_copy(0, copy_at);
        core.leave_astray(FIRST, task(0));
        core.astray.len()
    };
    assert_eq!((stray(FIRST), stray(SECOND)), (0, 1));
}

#[test]
fn just_who_was_led_astray_reads_again_what_comes() {
    let mut core = core_of(&[&[], &[0], &[0]]).with(&[0, 1]);
    core.give_copy(0, FIRST);
    core.astray.insert((task(1), task(0)));
    core.find_again(FIRST, task(2), task(0));
    assert_eq!(core.holders.of(task(0))[0].readers, 0);
    core.find_again(FIRST, task(1), task(0));
    assert_eq!(core.holders.of(task(0))[0].readers, 1);
}
