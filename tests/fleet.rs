//! Runs of several processes with a memory each: what they are asked for, and who gets what.

use dolmen::array::{Array, Axis, BlockGrid, Element, Fill, Input, InputId, Origin, footprint};
use dolmen::graph::{Blocks, Edges, Kind, Lowering, Order, Pattern, Program, ProgramBuilder, Read};
use dolmen::graph::{Space, Stage, Work};
use dolmen::ids::{BlockId, MemoryId, StageId, TaskId, WorkerId};
use dolmen::sched::{
    Action, ClientSeat, Core, Event, Pull, Seat, Threads, Timing, Unbegun, Whereabouts, Whose, plan,
    plan_fleet,
};
use std::collections::BTreeMap;
use std::sync::Arc;

const FIRST: WorkerId = WorkerId(0);
const SECOND: WorkerId = WorkerId(1);
const CLIENT: WorkerId = WorkerId(7);
const PLENTY: u64 = 1 << 40;
/// Rows and columns of the blocks of `wired`: what takes longer to move than a task that does nothing.
const LEN: u64 = 1 << 10;

fn seat(compute: u64, budget: u64) -> Seat {
    Seat { threads: Threads { compute, io: 4 }, budget, may_spill: true }
}

fn block_bytes() -> u64 {
    footprint(LEN * LEN * 8)
}

/// A stage whose tasks do nothing and leave a block. Each reads those that are named.
fn wired(inputs: &[Vec<u32>], keep: bool) -> Arc<Program> {
    let edges = Pattern::Edges(Arc::new(Edges::new(inputs)));
    let stage = Stage {
        kind: Kind::Null,
        space: Space::new(inputs.len() as u32, 1, 1, Order::Rows),
        blocks: Blocks::Each { rows: LEN, cols: LEN },
        element: Element::F64,
        reads: vec![Read { source: StageId(0), pattern: edges }],
        keep,
        lockstep: false,
        work: Work::default(),
    };
    Arc::new(Program::new(vec![stage]))
}

/// Twice a matrix from a file, in blocks, to a file.
fn doubled() -> Arc<Program> {
    let input = Input::new(InputId(0), Arc::new(()), false);
    let a = Array::source(Origin::Input(input), 4 * LEN, LEN, Element::F64);
    let mut builder = ProgramBuilder::default();
    let grid = BlockGrid::new(Axis::new(4 * LEN, LEN), Axis::whole(LEN));
    let access = Lowering::new(&mut builder, LEN).lower(&(a * 2.0), grid).unwrap();
    builder.write(access, 0, (0, 0));
    Arc::new(builder.finish())
}

fn io_stages(program: &Program) -> Vec<StageId> {
    program.stage_ids().filter(|id| program.stage(*id).kind.is_io()).collect()
}

fn join(worker: WorkerId, threads: u32, bytes: u64) -> Event {
    Event::Join { worker, threads, memory: MemoryId(worker.0), bytes }
}

/// A core, and what it has said since it was asked last.
struct Scene {
    core: Core,
    actions: Vec<Action>,
}

impl Scene {
    fn new(core: Core) -> Self {
        Scene { core, actions: Vec::new() }
    }

    fn hear(&mut self, event: Event) -> &mut Self {
        self.hear_all([event])
    }

    fn hear_all<const EVENTS: usize>(&mut self, events: [Event; EVENTS]) -> &mut Self {
        self.core.handle(events, &mut self.actions);
        self.core.check_invariants();
        self
    }

    fn done(&mut self, worker: WorkerId, task: TaskId) -> &mut Self {
        self.hear(Event::Finished { worker, tasks: [task].into_iter().collect(), timings: Vec::new() })
    }

    /// Who has been given what.
    fn take_assigned(&mut self) -> BTreeMap<TaskId, WorkerId> {
        let mut assigned = BTreeMap::new();
        for action in self.actions.drain(..) {
            if let Action::Assign { worker, tasks, .. } = action {
                assigned.extend(tasks.iter().map(|task| (task, worker)));
            }
        }
        assigned
    }

    /// All that is asked for is done at once, until the run is over. Returns who has done what.
    fn drive(&mut self) -> BTreeMap<TaskId, WorkerId> {
        let mut done = BTreeMap::new();
        while !self.core.is_over() {
            let asked = std::mem::take(&mut self.actions);
            assert!(!asked.is_empty(), "stuck: {:?}", self.core.progress());
            for action in asked {
                match action {
                    Action::Assign { worker, tasks, .. } => {
                        done.extend(tasks.iter().map(|task| (task, worker)));
                        self.hear(Event::Finished { worker, tasks, timings: Vec::new() });
                    }
                    Action::Spill { worker, blocks } => {
                        blocks.iter().for_each(|block| {
                            self.hear(Event::Spilled { worker, block });
                        });
                    }
                    Action::TakeBack { worker, .. } => {
                        self.hear(Event::Returned { worker, tasks: Default::default() });
                    }
                    _ => {}
                }
            }
        }
        assert!(self.actions.contains(&Action::Completed), "{:?}", self.actions);
        done
    }
}

fn task(index: u32) -> TaskId {
    BlockId::new(StageId(0), index)
}

#[test]
fn a_task_goes_where_its_data_lie() {
    let program = wired(&[vec![], vec![], vec![], vec![], vec![0, 1, 3]], true);
    let mut scene = Scene::new(Core::new(program, PLENTY));
    scene.hear_all([join(FIRST, 1, PLENTY), join(SECOND, 1, PLENTY)]);
    // If there is nothing to move, and both are idle, the first one gets it.
    let assigned = scene.take_assigned();
    let in_turn = [(task(0), FIRST), (task(1), SECOND), (task(2), FIRST), (task(3), SECOND)];
    assert_eq!(assigned, in_turn.into());
    for (task, worker) in in_turn {
        scene.done(worker, task);
    }
    assert_eq!(scene.take_assigned(), [(task(4), SECOND)].into());
}

/// The same where what lies at the second worker travels well, and the other way badly.
#[test]
fn a_task_goes_where_its_data_travel_to() {
    let placed = |pulls: [Event; 2]| {
        let program = wired(&[vec![], vec![], vec![], vec![], vec![0, 1, 3]], true);
        let mut scene = Scene::new(Core::new(program, PLENTY));
        scene.hear_all([join(FIRST, 1, PLENTY), join(SECOND, 1, PLENTY)]);
        let before = scene.take_assigned();
        scene.hear_all(pulls);
        for (task, worker) in before {
            scene.done(worker, task);
        }
        scene.take_assigned()[&task(4)]
    };
    let pulled = |worker, from, seconds| Event::Pulled {
        worker,
        pulls: vec![Pull { from, blocks: 1, bytes: 100 << 20, seconds }],
    };
    assert_eq!(placed([pulled(FIRST, SECOND, 0.1), pulled(SECOND, FIRST, 0.1)]), SECOND);
    assert_eq!(placed([pulled(FIRST, SECOND, 0.1), pulled(SECOND, FIRST, 100.0)]), FIRST);
}

/// What `worker` has been told to do, in this order.
fn told(scene: &mut Scene, worker: WorkerId) -> Vec<TaskId> {
    let tasks = |action: Action| match action {
        Action::Assign { worker: to, tasks, .. } if to == worker => tasks.iter().collect(),
        _ => Vec::new(),
    };
    scene.actions.drain(..).flat_map(tasks).collect()
}

#[test]
fn a_task_follows_those_that_make_what_it_reads() {
    let program = wired(&[vec![], vec![0], vec![], vec![1, 2]], true);
    let mut scene = Scene::new(Core::new(program, PLENTY));
    scene.hear(join(FIRST, 1, PLENTY));
    assert_eq!(told(&mut scene, FIRST), [0, 2, 1, 3].map(task), "all of it, and makers first");
    let last = scene.core.explain(task(3));
    assert_eq!((last.state.as_str(), last.missing.len()), ("at worker 0, to follow what it reads", 2));
}

#[test]
fn nobody_follows_two_workers() {
    let program = wired(&[vec![], vec![], vec![0, 1]], true);
    let mut scene = Scene::new(Core::new(program, PLENTY));
    scene.hear_all([join(FIRST, 1, PLENTY), join(SECOND, 1, PLENTY)]);
    assert_eq!(scene.take_assigned(), [(task(0), FIRST), (task(1), SECOND)].into());
    scene.done(FIRST, task(0)).done(SECOND, task(1));
    assert_eq!(scene.take_assigned().len(), 1);
}

#[test]
fn nothing_goes_out_of_memory_for_a_task_that_follows() {
    let program = wired(&[vec![], vec![0], vec![1]], true);
    let plan = plan_fleet(&program, &[seat(1, PLENTY)], None, 0).unwrap();
    let mut scene = Scene::new(Core::for_fleet(program, &plan, None));
    scene.hear(join(FIRST, 1, 2 * block_bytes()));
    assert_eq!(told(&mut scene, FIRST), [0, 1].map(task), "there is room for two blocks");
    scene.done(FIRST, task(0));
    assert_eq!(told(&mut scene, FIRST), [], "and none for a third yet");
}

#[test]
fn who_follows_comes_back_with_what_it_follows() {
    let program = wired(&[vec![], vec![0], vec![1]], true);
    let mut scene = Scene::new(Core::new(program, PLENTY));
    scene.hear(join(FIRST, 1, PLENTY)).hear(Event::Leave { worker: FIRST });
    let share = Unbegun::All;
    assert_eq!(scene.actions.last(), Some(&Action::TakeBack { worker: FIRST, share }));
    let tasks = [0, 1, 2].into_iter().map(task).collect();
    scene.hear(Event::Returned { worker: FIRST, tasks });
    scene.actions.clear();
    scene.hear(join(SECOND, 1, PLENTY));
    assert_eq!(told(&mut scene, SECOND), [0, 1, 2].map(task));
}

/// The worker gives back of itself what makes something, and hears only then of the tasks that were to follow.
#[test]
fn a_task_that_was_handed_out_in_vain_does_not_count_as_a_reader() {
    let program = wired(&[vec![], vec![], vec![], vec![], vec![0, 1], vec![1], vec![1, 2, 3]], true);
    let mut scene = Scene::new(Core::new(program, PLENTY));
    scene.hear(join(FIRST, 1, PLENTY)).done(FIRST, task(2)).done(FIRST, task(3));
    assert_eq!(told(&mut scene, FIRST), [0, 1, 2, 3, 4, 5].map(task));
    let back = |tasks: &[u32]| {
        let tasks = tasks.iter().map(|index| task(*index)).collect();
        Event::Returned { worker: FIRST, tasks }
    };
    scene.hear_all([back(&[1]), join(SECOND, 1, PLENTY)]);
    assert_eq!(scene.take_assigned(), [(task(1), SECOND)].into());
    scene.done(FIRST, task(0)).done(SECOND, task(1));
    assert_eq!(
        scene.take_assigned(),
        [(task(6), FIRST)].into(),
        "it fetches what the two others wait for in vain"
    );
    // If they counted as readers, 6 would lose its copy, which the check of the invariants sees.
    scene.hear(back(&[4, 5]));
    assert_eq!(scene.core.explain(task(6)).state, "at worker 0");
}

/// A copy counts as what it is.
#[test]
fn a_task_goes_where_a_copy_of_its_data_lies() {
    let readers = 20;
    let inputs = std::iter::once(vec![]).chain((0..readers).map(|_| vec![0]));
    let mut scene = Scene::new(Core::new(wired(&inputs.collect::<Vec<_>>(), true), PLENTY));
    scene.hear_all([join(FIRST, 1, PLENTY), join(SECOND, 1, PLENTY)]);
    scene.done(FIRST, task(0));
    let assigned = scene.take_assigned();
    // They begin where the block is, and wait there. At length fetching it is quicker, and needs to be done once.
    let fetches = assigned.iter().find(|(_, worker)| **worker == SECOND).map(|(task, _)| *task);
    let next = task(fetches.expect("one that fetches it").index + 1);
    assert_eq!(assigned.get(&next), Some(&SECOND), "{assigned:?}");
}

/// Chains whose steps do nothing and go on in the block of the step before.
fn chains(number: u32, steps: u32) -> Arc<Program> {
    let stage = Stage {
        kind: Kind::Null,
        space: Space::new(number, 1, steps, Order::Rows),
        blocks: Blocks::Each { rows: LEN, cols: LEN },
        element: Element::F64,
        reads: vec![Read { source: StageId(0), pattern: Pattern::Previous }],
        keep: true,
        lockstep: false,
        work: Work::default(),
    };
    Arc::new(Program::new(vec![stage]))
}

#[test]
fn a_chain_goes_on_elsewhere_if_that_is_sooner_by_far() {
    let step = |chain: u32, step: u32| task(3 * chain + step);
    let mut scene = Scene::new(Core::new(chains(4, 3), PLENTY));
    scene.hear(join(FIRST, 1, PLENTY));
    let timings = vec![Timing { stage: StageId(0), tasks: 4, seconds: 4.0 }];
    let tasks = (0..4).map(|chain| step(chain, 0)).collect();
    scene.hear(Event::Finished { worker: FIRST, tasks, timings });
    let busy = scene.take_assigned();
    assert!(!busy.contains_key(&step(3, 1)), "it has enough to do: {busy:?}");
    let moved = scene.hear(join(SECOND, 1, PLENTY)).take_assigned();
    assert_eq!(moved, [(step(2, 1), SECOND)].into(), "the first that waits");
}

/// Chains of a product: two workers have every other one each.
fn chains_of_a_product(number: u32, steps: u32) -> Arc<Program> {
    let mut program = chains(number, steps);
    Arc::get_mut(&mut program)
        .expect("nobody else has it")
        .stages_mut()
        .for_each(|stage| stage.lockstep = true);
    program
}

/// Anywhere else it would need a second block, for which there may be no room.
#[test]
fn a_chain_stays_with_its_block_though_its_home_is_elsewhere() {
    let program = chains_of_a_product(4, 3);
    let step = |chain: u32, step: u32| task(3 * chain + step);
    let mut together = Scene::new(Core::new(program.clone(), PLENTY));
    together.hear_all([join(FIRST, 1, PLENTY), join(SECOND, 1, PLENTY)]);
    assert_eq!(together.take_assigned().get(&step(1, 0)), Some(&SECOND), "that is its home");
    let mut scene = Scene::new(Core::new(program, PLENTY));
    scene.hear(join(FIRST, 1, PLENTY)).done(FIRST, step(1, 0)).actions.clear();
    let tasks = [step(1, 1), step(1, 2)].into_iter().collect();
    scene.hear_all([Event::Returned { worker: FIRST, tasks }, join(SECOND, 1, PLENTY)]);
    assert_eq!(scene.take_assigned().get(&step(1, 1)), Some(&FIRST), "its block is there");
}

/// A tall matrix in blocks below each other, and something that is made of each `fan` of them.
fn tall(blocks: u32, fan: u32) -> Arc<Program> {
    let stage = |tasks, reads| Stage {
        kind: Kind::Null,
        space: Space::new(tasks, 1, 1, Order::Rows),
        blocks: Blocks::Each { rows: LEN, cols: LEN },
        element: Element::F64,
        keep: reads != Vec::new(),
        reads,
        lockstep: false,
        work: Work::default(),
    };
    let read = Read { source: StageId(0), pattern: Pattern::Gather { fan } };
    Arc::new(Program::new(vec![stage(blocks, Vec::new()), stage(blocks / fan, vec![read])]))
}

/// The fleet was another one when the blocks were made. Two of a size are together more than half of what is read.
#[test]
fn a_task_of_a_tall_matrix_goes_where_its_blocks_lie() {
    for fan in [1, 2] {
        let program = tall(4, fan);
        let blocks: Vec<TaskId> = (0..fan).map(|block| task(2 + block)).collect();
        let made = BlockId::new(StageId(1), 2 / fan);
        let mut together = Scene::new(Core::new(program.clone(), PLENTY));
        together.hear_all([join(FIRST, 1, PLENTY), join(SECOND, 1, PLENTY)]);
        let homes = together.take_assigned();
        assert!(
            blocks.iter().all(|block| homes.get(block) == Some(&SECOND)),
            "that is their home: {homes:?}"
        );
        let mut scene = Scene::new(Core::new(program, PLENTY));
        scene.hear(join(FIRST, 1, PLENTY));
        blocks.iter().for_each(|block| {
            scene.done(FIRST, *block);
        });
        scene.actions.clear();
        let tasks = [made].into_iter().collect();
        scene.hear_all([Event::Returned { worker: FIRST, tasks }, join(SECOND, 1, PLENTY)]);
        assert_eq!(scene.take_assigned().get(&made), Some(&FIRST), "{fan} blocks");
    }
}

#[test]
fn in_one_memory_a_task_goes_to_who_is_idle() {
    let program = chains_of_a_product(4, 1);
    let join = |worker| Event::Join { worker, threads: 1, memory: MemoryId(0), bytes: PLENTY };
    let mut scene = Scene::new(Core::new(program, PLENTY));
    scene.hear(join(FIRST)).actions.clear();
    let tasks = [task(2)].into_iter().collect();
    scene.hear_all([Event::Returned { worker: FIRST, tasks }, join(SECOND)]);
    assert_eq!(scene.take_assigned().get(&task(2)), Some(&SECOND));
}

#[test]
fn the_run_goes_further_ahead_when_workers_join() {
    let program = wired(&vec![vec![]; 40], true);
    // With more it would go further ahead in any case.
    let just_enough = 40 * block_bytes();
    let plan = plan_fleet(&program, &[seat(1, just_enough)], None, 0).unwrap();
    let mut scene = Scene::new(Core::for_fleet(program, &plan, None));
    let alone = scene.hear(join(FIRST, 1, just_enough)).take_assigned().len();
    assert!(alone < 5, "{alone}");
    let more = scene.hear(join(SECOND, 8, just_enough)).take_assigned();
    assert!(more.len() >= 8, "{more:?}");
}

#[test]
fn results_leave_memory() {
    let program = wired(&vec![vec![]; 40], true);
    let small = seat(1, 3 * block_bytes());
    let plan = plan_fleet(&program, &[small], None, 0).unwrap();
    assert_eq!(plan.bytes_of(small), 3 * block_bytes());
    let mut scene = Scene::new(Core::for_fleet(program, &plan, None));
    scene.hear(join(FIRST, 1, plan.bytes_of(small))).drive();
    for index in 0..40 {
        let place = scene.core.whereabouts(task(index));
        assert!(matches!(place, Whereabouts::Memory(_) | Whereabouts::Written(_)), "{index} is {place:?}");
        assert_eq!(scene.core.giver(task(index)), Some(FIRST));
    }
}

/// Nobody could ask for one that is on its way to disk.
#[test]
fn a_run_is_not_over_while_a_result_is_being_written() {
    let program = wired(&vec![vec![]; 3], true);
    let plan = plan_fleet(&program, &[seat(1, PLENTY)], None, 0).unwrap();
    let mut scene = Scene::new(Core::for_fleet(program, &plan, None));
    scene.hear_all([join(FIRST, 1, block_bytes()), join(SECOND, 1, block_bytes())]);
    assert_eq!(scene.take_assigned(), [(task(0), FIRST), (task(1), SECOND)].into());
    scene.done(SECOND, task(1));
    let spill = |worker, index| Action::Spill { worker, blocks: [task(index)].into_iter().collect() };
    assert_eq!(scene.actions, [spill(SECOND, 1)], "the next task is to have its place");
    scene.done(FIRST, task(0));
    assert_eq!(scene.actions, [spill(SECOND, 1), spill(FIRST, 0)], "or that of the other one");
    scene.hear(Event::Spilled { worker: FIRST, block: task(0) });
    assert_eq!(scene.take_assigned(), [(task(2), FIRST)].into());
    scene.done(FIRST, task(2));
    assert!(!scene.core.is_over());
    scene.hear(Event::Spilled { worker: SECOND, block: task(1) });
    assert!(scene.core.is_over());
}

#[test]
fn who_is_too_small_is_told() {
    let program = wired(&[vec![], vec![0], vec![0, 1]], true);
    let three = 3 * block_bytes();
    // The nearest counts, not the largest: threads want memory as well.
    let refused = plan_fleet(&program, &[seat(1, 5), seat(1, three - 1)], None, 0).unwrap_err();
    assert_eq!((refused.needed, refused.budget, refused.whose), (three, three - 1, Whose::OneWorker));
    assert!(plan_fleet(&program, &[seat(1, 5), seat(1, three)], None, 0).is_ok());
    assert!(plan_fleet(&program, &[seat(0, PLENTY)], None, 0).is_err(), "nobody computes");
    // One that may not spill: all have to hold the run.
    let holding = plan(&program, Threads { compute: 1, io: 4 }, PLENTY).unwrap().smallest_budget;
    let stays = Seat { may_spill: false, ..seat(1, PLENTY) };
    let refused = plan_fleet(&program, &[stays, seat(1, holding - 1)], None, 0).unwrap_err();
    assert_eq!((refused.needed, refused.whose), (holding, Whose::EachWorker));
    assert_eq!(
        refused.to_string(),
        format!(
            "needs {holding} bytes of memory at each worker, since one may not spill, but only {} are allowed: give \
             each worker more with --memory",
            holding - 1
        )
    );
    let held = plan_fleet(&program, &[stays, seat(1, holding)], None, 0).unwrap();
    assert!(held.plan.spill.is_none() && held.plan.blocks_limit <= holding, "{held:?}");
    // One that may not spill gets nothing of a run that does.
    let spilling = plan_fleet(&program, &[seat(1, three)], None, 0).unwrap();
    assert_eq!(spilling.bytes_of(stays), 0);
}

#[test]
fn the_client_holds_its_largest_task() {
    let program = doubled();
    let pinned = io_stages(&program);
    let plan = |budget| {
        let client = ClientSeat { seat: seat(0, budget), pinned: &pinned };
        plan_fleet(&program, &[seat(1, PLENTY)], Some(client), 0)
    };
    let refused = plan(0).unwrap_err();
    assert_eq!((refused.needed, refused.whose), (block_bytes(), Whose::Client));
    assert!(plan(refused.needed).is_ok());
}

#[test]
fn the_client_does_what_is_pinned_and_nothing_else() {
    let program = doubled();
    let pinned = io_stages(&program);
    let client = ClientSeat { seat: seat(0, block_bytes()), pinned: &pinned };
    let plan = plan_fleet(&program, &[seat(1, PLENTY)], Some(client), 0).unwrap();
    let mut scene = Scene::new(Core::for_fleet(program.clone(), &plan, Some(CLIENT)));
    scene.hear(join(FIRST, 2, PLENTY));
    assert!(scene.actions.is_empty(), "nobody else can read it: {:?}", scene.actions);
    scene.hear(join(CLIENT, 0, plan.bytes_of(client.seat)));
    // It stays to the end.
    scene.hear(Event::Leave { worker: CLIENT });
    let done = scene.drive();
    assert_eq!(done.len(), program.tasks());
    for (task, worker) in done {
        let wanted = if pinned.contains(&task.stage) { CLIENT } else { FIRST };
        assert_eq!(worker, wanted, "{task:?}");
    }
}

#[test]
fn a_share_of_the_memory_of_a_worker_pays_for_more_io_tasks() {
    const MOST: u64 = 16;
    let grid = BlockGrid::new(Axis::new(400, 100), Axis::new(400, 100));
    let mut builder = ProgramBuilder::default();
    let a = builder.fill(Fill::Constant(1.0), 0, 0, grid, Element::F64);
    let product = builder.gemm(a, a);
    builder.write(product, 0, (0, 0));
    let program = builder.finish();
    let scratch = 10_000;
    for budget in [600_000, 1_000_000, 4_000_000, 100_000_000] {
        let worker = seat(2, budget);
        let plan = plan_fleet(&program, &[worker], None, scratch).expect("it fits");
        let allotted = plan.allot(worker, MOST);
        let more = allotted.io_tasks - worker.threads.io;
        assert!(allotted.io_tasks <= MOST && allotted.bytes > 0);
        let taken = more * plan.plan.workspace.io;
        assert_eq!(allotted.bytes, plan.bytes_of(worker) - taken);
        assert!(taken <= budget / 8, "{more} for {budget} bytes");
        // What a client does alone, and what spills nothing, goes on as before.
        assert_eq!(plan.allot(seat(0, budget), MOST).io_tasks, 4);
        assert_eq!(plan.allot(worker, 4).bytes, plan.bytes_of(worker));
    }
    let with = |budget| {
        let plan = plan_fleet(&program, &[seat(2, budget)], None, scratch).expect("it fits");
        plan.allot(seat(2, budget), MOST).io_tasks
    };
    assert_eq!((with(600_000), with(100_000_000)), (4, MOST));
}
