//! What the core says to workers that come, go, fail and wait, in small scenes.

use super::scene::{
    FIRST, ROOM, SECOND, THIRD, block, core_of, done, hear, join, linked, list, program, spilling, task,
};
use crate::array::footprint;
use crate::failure::{Blame, Failure};
use crate::graph::{Program, Stage};
use crate::ids::{MemoryId, StageId, TaskId, TaskList, WorkerId};
use crate::sched::core::{Core, WorkerView};
use crate::sched::events::{Action, Event, Pull, Timing, Unbegun};
use crate::sched::plan::ResultsWhenShort;
use crate::sched::table::TaskState;
use std::sync::Arc;

/// Two blocks are made, by the first two workers, and read together. The first one is done, and its worker leaves.
fn leaving(workers: &[WorkerId]) -> (Core, Vec<Action>) {
    let mut core = core_of(&[&[], &[], &[0, 1]]);
    hear(&mut core, workers.iter().map(|worker| join(*worker)));
    let actions = hear(&mut core, [done(FIRST, 0), Event::Leave { worker: FIRST }]);
    (core, actions)
}

fn copy(to: WorkerId) -> Action {
    Action::Copy { from: FIRST, to, block: task(0) }
}

#[test]
fn who_leaves_hands_its_blocks_over_and_is_let_go() {
    let (mut core, actions) = leaving(&[FIRST, SECOND]);
    assert_eq!(actions, [copy(SECOND)]);
    let actions = hear(&mut core, [Event::Copied { worker: SECOND, block: task(0) }]);
    assert_eq!(actions, [Action::Release { worker: FIRST }]);
    assert_eq!((core.location(task(0)), core.look_at(FIRST)), (Some(SECOND), None));
    let next = hear(&mut core, [done(SECOND, 1)]);
    assert!(
        matches!(&next[..], [Action::Assign { worker: SECOND, fetch, .. }] if fetch.is_empty()),
        "{next:?}"
    );
}

#[test]
fn a_copy_is_tried_three_times_by_one_after_the_other() {
    let (mut core, actions) = leaving(&[FIRST, SECOND, THIRD]);
    assert_eq!(actions, [copy(SECOND)]);
    let failed = |worker| [Event::CopyFailed { worker, block: task(0) }];
    assert_eq!(hear(&mut core, failed(THIRD)), [], "it was not to get it");
    assert_eq!(hear(&mut core, failed(SECOND)), [copy(THIRD)]);
    assert_eq!(hear(&mut core, failed(THIRD)), [copy(SECOND)]);
    let last = hear(&mut core, failed(SECOND));
    assert!(last.contains(&Action::Drop { worker: FIRST, blocks: list(&[0]) }), "{last:?}");
    assert!(last.contains(&Action::Release { worker: FIRST }), "{last:?}");
    assert_eq!(core.recomputed(), 1, "it is made again");
    let made_by = |action: &Action| match action {
        Action::Assign { worker, tasks, .. } if *tasks == list(&[0]) => Some(*worker),
        _ => None,
    };
    assert_eq!(last.iter().find_map(made_by), Some(THIRD));
}

#[test]
fn a_block_that_lies_elsewhere_too_is_not_copied() {
    let mut core = core_of(&[&[], &[], &[0, 1], &[2]]);
    hear(&mut core, [join(FIRST), join(SECOND)]);
    hear(&mut core, [done(FIRST, 0), done(SECOND, 1)]);
    // To do that the first worker has got a copy of the second block.
    hear(&mut core, [done(FIRST, 2)]);
    assert_eq!(core.location(task(1)), Some(SECOND));
    assert_eq!(hear(&mut core, [Event::Leave { worker: SECOND }]), [Action::Release { worker: SECOND }]);
    assert_eq!(core.location(task(1)), Some(FIRST));
}

/// The third worker gets a block from the copy that the second one has, as the first is far from it.
#[test]
fn who_leaves_stays_until_the_copies_that_come_from_its_own_are_there() {
    let mut core = core_of(&[&[], &[0], &[0], &[0, 1], &[0, 1], &[0, 1], &[0, 1], &[0, 1], &[0, 1]]);
    let timings = vec![Timing { stage: StageId(0), tasks: 1, seconds: 50.0 }];
    let long = Event::Finished { worker: FIRST, tasks: TaskList::default(), timings };
    hear(&mut core, [join(FIRST), long, join(SECOND)]);
    hear(&mut core, [done(FIRST, 0)]);
    let near = Pull { from: FIRST, blocks: 1, bytes: 8, seconds: 1e-4 };
    hear(&mut core, [Event::Pulled { worker: SECOND, pulls: vec![near] }, done(SECOND, 2), join(THIRD)]);
    let pulls = vec![Pull { seconds: 0.1, ..near }, Pull { from: SECOND, ..near }];
    let actions = hear(&mut core, [Event::Pulled { worker: THIRD, pulls }, done(FIRST, 1)]);
    let assigned_to = |wanted: WorkerId| -> TaskList {
        let tasks = actions.iter().filter_map(|action| match action {
            Action::Assign { worker, tasks, .. } if *worker == wanted => Some(tasks.iter()),
            _ => None,
        });
        tasks.flatten().collect()
    };
    let gets = |action: &Action| matches!(action, Action::Assign { worker: THIRD, fetch, .. } if fetch.contains(&(task(0), SECOND)));
    assert!(actions.iter().any(gets), "{actions:?}");
    let back = Event::Returned { worker: SECOND, tasks: assigned_to(SECOND) };
    let leave = hear(&mut core, [Event::Leave { worker: SECOND }, back]);
    let goes = |action: &Action| {
        matches!(action, Action::Copy { from: SECOND, .. } | Action::Release { worker: SECOND })
    };
    assert!(!leave.iter().any(goes), "{leave:?}");
    let finished = Event::Finished { worker: THIRD, tasks: assigned_to(THIRD), timings: Vec::new() };
    let then = hear(&mut core, [finished]);
    let result = then.iter().find_map(|action| match action {
        Action::Copy { from: SECOND, to, block } => Some((*to, *block)),
        _ => None,
    });
    let (worker, block) = result.expect("its result goes to another one");
    assert_eq!(block, task(2));
    assert!(hear(&mut core, [Event::Copied { worker, block }]).contains(&Action::Release { worker: SECOND }));
}

#[test]
fn a_copy_that_nobody_asked_for_goes() {
    let mut core = core_of(&[&[], &[], &[0, 1]]);
    hear(&mut core, [join(FIRST), join(SECOND)]);
    let copied = |worker, index| [Event::Copied { worker, block: task(index) }];
    hear(&mut core, [done(FIRST, 0)]);
    assert_eq!(hear(&mut core, copied(SECOND, 0)), [Action::Drop { worker: SECOND, blocks: list(&[0]) }]);
    assert_eq!(hear(&mut core, copied(FIRST, 0)), [], "it is its own");
    assert_eq!(hear(&mut core, copied(SECOND, 1)), [], "it is going to be its own");
}

#[test]
fn who_is_idle_gets_half_of_what_waits_elsewhere() {
    let mut core = core_of(&[&[][..]; 8]);
    hear(&mut core, [join(FIRST)]);
    let take_back = Action::TakeBack { worker: FIRST, share: Unbegun::Half };
    assert_eq!(hear(&mut core, [join(SECOND)]), std::slice::from_ref(&take_back));
    let returned = Event::Returned { worker: FIRST, tasks: list(&[7]) };
    let next = hear(&mut core, [returned]);
    assert!(
        matches!(&next[..], [Action::Assign { worker: SECOND, tasks, .. }] if *tasks == list(&[7])),
        "{next:?}"
    );
    assert_eq!(hear(&mut core, [join(THIRD)]), [], "it is not asked again before it has done something");
    assert_eq!(hear(&mut core, [done(FIRST, 0)]), [take_back]);
}

#[test]
fn what_has_been_begun_is_not_asked_for() {
    let mut core = core_of(&[&[][..]; 2]);
    hear(&mut core, [join(FIRST)]);
    hear(&mut core, [done(FIRST, 0)]);
    assert_eq!(hear(&mut core, [join(SECOND)]), []);
    assert_eq!(hear(&mut core, [Event::Leave { worker: FIRST }]), []);
    let mut core = core_of(&[&[][..]; 2]);
    hear(&mut core, [join(FIRST)]);
    let take_back = Action::TakeBack { worker: FIRST, share: Unbegun::All };
    assert_eq!(hear(&mut core, [Event::Leave { worker: FIRST }]), [take_back]);
}

#[test]
fn a_worker_can_be_looked_at() {
    let mut core = core_of(&[&[], &[]]);
    assert_eq!(core.look_at(FIRST), None);
    hear(&mut core, [join(FIRST)]);
    let each = core.seconds_of(StageId(0));
    let view = WorkerView {
        computing: 2,
        io: 0,
        queue_seconds: 2.0 * each,
        reserved: 2 * footprint(8),
        limit: ROOM,
        is_leaving: false,
    };
    assert_eq!(core.look_at(FIRST), Some(view));
    assert!((1e-6..1e-5).contains(&each), "{each}");
}

/// Tasks handed out at once when these come, of a chain of three. A task takes so long.
fn handed_out(threads: u32, seconds: f64, others: &[WorkerId]) -> Vec<TaskId> {
    let mut core = core_of(&[&[], &[0], &[1]]);
    let first = Event::Join { worker: FIRST, threads, memory: MemoryId(0), bytes: ROOM };
    // The newest measurement counts for a fifth.
    let timings = vec![Timing { stage: StageId(0), tasks: 1, seconds: 5.0 * seconds }];
    let told = Event::Finished { worker: FIRST, tasks: TaskList::default(), timings };
    let events = [first, told].into_iter().chain(others.iter().map(|worker| join(*worker)));
    let tasks = |action: Action| match action {
        Action::Assign { worker: FIRST, tasks, .. } => tasks.iter().collect(),
        _ => Vec::new(),
    };
    hear(&mut core, events).into_iter().flat_map(tasks).collect()
}

#[test]
fn a_long_task_waits_for_no_thread_while_somebody_else_is_idle() {
    assert_eq!(handed_out(1, 1.0, &[]), [0, 1].map(task), "nobody else is there");
    assert_eq!(handed_out(1, 1.0, &[SECOND]), [0].map(task));
    assert_eq!(handed_out(2, 1.0, &[SECOND]), [0, 1].map(task), "it has a thread for that");
    assert_eq!(handed_out(1, 1e-6, &[SECOND]), [0, 1, 2].map(task), "handing it out takes longer");
}

fn lost(worker: WorkerId) -> Event {
    Event::Lost { worker }
}

/// A worker gets the only task, asks whether it may begin it, and is lost. What is said at last.
fn is_killed(core: &mut Core, worker: WorkerId) -> Vec<Action> {
    let suspects = list(&[0]);
    let assign = Action::Assign { worker, tasks: list(&[0]), fetch: Vec::new(), suspects: suspects.clone() };
    assert_eq!(hear(core, [join(worker)]), [assign]);
    let permit = Action::Permit { worker, tasks: suspects.clone() };
    assert_eq!(hear(core, [Event::Asks { worker, tasks: suspects }]), [permit]);
    hear(core, [lost(worker)])
}

#[test]
fn a_task_that_kills_three_workers_ends_the_run() {
    let mut core = core_of(&[&[]]);
    hear(&mut core, [join(FIRST)]);
    assert_eq!(hear(&mut core, [lost(FIRST)]), []);
    assert_eq!(is_killed(&mut core, SECOND), []);
    assert_eq!(
        core.explain(task(0)).state.split_once("; "),
        Some(("ready: waits for a worker with room", "lost workers that had it in hand: 2"))
    );
    let last = is_killed(&mut core, THIRD);
    let [Action::Failed(failure)] = &last[..] else { panic!("{last:?}") };
    assert_eq!(failure.blame, Blame::Run);
    assert!(
        failure.message.starts_with("stage 0 (null), block (0, 0): three workers were lost"),
        "{failure:?}"
    );
    assert!(core.is_over());
}

#[test]
fn who_was_to_leave_is_lost_without_blame() {
    let mut core = core_of(&[&[]]);
    for number in 0..5 {
        let worker = WorkerId(number);
        let assigned = hear(&mut core, [join(worker)]);
        assert!(matches!(&assigned[..], [Action::Assign { suspects, .. }] if suspects.is_empty()));
        assert_eq!(hear(&mut core, [Event::Leave { worker }, lost(worker)]), []);
    }
}

fn failed(worker: WorkerId, index: u32, blame: Blame) -> Event {
    let failure = Failure { blame, message: "no such file".into() };
    Event::Failed { worker, task: task(index), failure }
}

#[test]
fn a_failure_says_where_unless_the_request_was_wrong() {
    for (blame, message) in
        [(Blame::Request, "no such file"), (Blame::Run, "stage 0 (null), block (1, 0): no such file")]
    {
        let mut core = core_of(&[&[], &[]]);
        hear(&mut core, [join(FIRST)]);
        assert_eq!(hear(&mut core, [failed(SECOND, 1, blame)]), [], "it is not there");
        let failure = Failure { blame, message: message.into() };
        assert_eq!(hear(&mut core, [failed(FIRST, 1, blame)]), [Action::Failed(failure)]);
        assert_eq!(hear(&mut core, [done(FIRST, 0), join(SECOND)]), [], "a failed run hears nothing");
    }
}

#[test]
fn what_has_been_done_cannot_fail() {
    let mut core = core_of(&[&[], &[]]);
    hear(&mut core, [join(FIRST)]);
    hear(&mut core, [done(FIRST, 0)]);
    assert_eq!(hear(&mut core, [failed(FIRST, 0, Blame::Run)]), []);
    assert!(!core.is_over());
}

#[test]
fn just_who_writes_a_block_can_fail_to() {
    let mut core = spilling(program(&[&[], &[], &[]]), ResultsWhenShort::MayLeave);
    let join =
        |worker: WorkerId| Event::Join { worker, threads: 1, memory: MemoryId(worker.0), bytes: block() };
    hear(&mut core, [join(FIRST), join(SECOND)]);
    let next = hear(&mut core, [done(SECOND, 1)]);
    assert_eq!(
        next,
        [Action::Spill { worker: SECOND, blocks: list(&[1]) }],
        "the next task is to have its place"
    );
    let failed = |worker, index| {
        let failure = Failure { blame: Blame::Request, message: "the disk is full".into() };
        [Event::MoveFailed { worker, block: task(index), failure }]
    };
    assert_eq!(hear(&mut core, failed(FIRST, 1)), []);
    assert_eq!(hear(&mut core, failed(SECOND, 0)), []);
    assert!(matches!(&hear(&mut core, failed(SECOND, 1))[..], [Action::Failed(_)]));
}

#[test]
fn what_is_not_there_is_not_heard_of() {
    let mut core = core_of(&[&[], &[]]);
    hear(&mut core, [join(FIRST)]);
    let (nobody, nothing) = (WorkerId(9), 99);
    let failure = || Failure { blame: Blame::Run, message: String::new() };
    let events = [
        done(nobody, 0),
        done(FIRST, nothing),
        Event::Returned { worker: FIRST, tasks: list(&[nothing]) },
        Event::Asks { worker: FIRST, tasks: list(&[nothing]) },
        Event::Leave { worker: nobody },
        Event::Pulled { worker: nobody, pulls: Vec::new() },
        Event::Failed { worker: FIRST, task: task(nothing), failure: failure() },
        Event::Failed { worker: nobody, task: task(0), failure: failure() },
        Event::Copied { worker: nobody, block: task(0) },
        Event::Copied { worker: FIRST, block: task(nothing) },
        Event::CopyFailed { worker: FIRST, block: task(nothing) },
        Event::Spilled { worker: FIRST, block: task(nothing) },
        Event::Vanished { worker: FIRST, block: task(nothing) },
        Event::MoveFailed { worker: FIRST, block: task(nothing), failure: failure() },
        lost(nobody),
    ];
    for event in events {
        assert_eq!(hear(&mut core, [event.clone()]), [], "{event:?}");
    }
    assert_eq!(core.progress(), (0, 2));
}

#[test]
fn one_memory_has_to_hold_the_least_unless_results_stay() {
    use ResultsWhenShort::{MayLeave, Stay};
    for (results, keep, least) in [(MayLeave, true, block()), (Stay, true, u64::MAX), (Stay, false, block())]
    {
        let stage = Stage { keep, ..linked(&[&[], &[0]]) };
        let core = spilling(Arc::new(Program::new(vec![stage])), results);
        assert_eq!(core.least_memory, least, "{results:?}, {keep}");
        assert_eq!(core.drops(), 0);
    }
}

#[test]
fn so_many_tasks_are_admitted_for_each_thread() {
    let mut core = Core::new(program(&[&[][..]; 13_000]), u64::MAX);
    core.join(FIRST, 200, MemoryId(0), ROOM);
    core.admit();
    assert_eq!(core.counts.admitted(), 64 * 200);
}

#[test]
fn a_block_that_is_read_already_counts_once() {
    let mut core = spilling(program(&[&[], &[0], &[0]]), ResultsWhenShort::MayLeave).with(&[0]);
    core.put(0, TaskState::Done(FIRST));
    core.counts.admit();
    core.ahead.add_output(3 * block());
    assert!(!core.may_enter(0, &[task(0)]));
    let mut core = spilling(program(&[&[], &[0], &[0]]), ResultsWhenShort::MayLeave).with(&[0]);
    core.put(0, TaskState::Done(FIRST));
    core.counts.admit();
    core.ahead.add_reader(task(0), block());
    core.ahead.add_output(2 * block());
    assert!(core.may_enter(0, &[task(0)]));
}

#[test]
fn a_copy_elsewhere_is_no_room_for_what_is_made() {
    let mut core = core_of(&[&[], &[0]]);
    hear(&mut core, [join(FIRST)]);
    core.join(SECOND, 1, MemoryId(1), ROOM);
    core.give_copy(0, SECOND);
    let reserved = core.look_at(FIRST).expect("it is there").reserved;
    core.make_block(FIRST, task(0));
    assert_eq!(core.look_at(FIRST).expect("it is there").reserved, reserved);
}

#[test]
fn all_copies_of_a_block_are_freed() {
    let mut core = core_of(&[&[], &[0]]).with(&[0, 1]);
    core.give_copy(0, SECOND);
    core.free_further(task(0));
    assert!(core.holders.of(task(0)).is_empty());
    assert_eq!(core.said(), [Action::Free { worker: SECOND, blocks: list(&[0]) }]);
}
