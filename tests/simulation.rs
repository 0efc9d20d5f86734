//! The scheduler core in a simulated world. `DOLMEN_SEED=n` replays one seed with a log,
//! `DOLMEN_SEEDS=count` runs so many from `DOLMEN_FROM` on, with `DOLMEN_ALL=1` beyond the first that
//! goes wrong; matrices have up to 2^`DOLMEN_SIZE` rows (default 5).

mod sim;

use dolmen::graph::{Program, ProgramBuilder};
use dolmen::ids::{MemoryId, StageId, TaskId, WorkerId};
use dolmen::sched::{
    Action, ClientSeat, Core, Event, Seat, SpillPlan, Threads, Whose, plan, plan_fleet, plan_spilling,
};
use sim::client::some_io_stages;
use sim::memory::Given;
use sim::programs;
use sim::rng::Rng;
use sim::world::{Chaos, World};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

const SEEDS: u64 = 20_000;
const ONE: Threads = Threads { compute: 1, io: 0 };
const NONE: Threads = Threads { compute: 0, io: 0 };
const PLENTY: u64 = u64::MAX / 4;

#[derive(Default, Debug)]
struct Tally {
    runs: u64,
    tight: u64,
    with_crashes: u64,
    tight_with_crashes: u64,
    failed_after_loss: u64,
    recomputed: u64,
    excuse: u64,
    spills: u64,
    ahead: u64,
    failed_copies: u64,
    resumed: u64,
    deaths: u64,
    taken_up: u64,
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A run to be, as a seed tells it.
struct Case {
    world: World,
    chaos: Chaos,
    /// Memory is as short as it may be.
    tight: bool,
}

fn case(seed: u64) -> Case {
    let mut rng = Rng::new(seed);
    let size = 1 << rng.range(2, env("DOLMEN_SIZE").unwrap_or(5));
    let (name, program) = programs::random(&mut rng, size);
    let chaos = *rng.pick(&[Chaos::None, Chaos::Elastic, Chaos::Crashes, Chaos::Crashes]);
    let tight = rng.chance(40);
    let needs = plan(&program, ONE, u64::MAX / 4).unwrap();
    let least = plan(&program, ONE, needs.smallest_budget).unwrap().blocks_limit;
    let limit = match tight {
        true => least,
        false if rng.chance(50) => needs.blocks_limit,
        false => u64::MAX / 4,
    };
    let spills = rng.chance(40);
    let workers = rng.range(1, 5) as u32;
    if env("DOLMEN_SEED").is_some() {
        println!(
            "seed {seed}: {name}, {} tasks, {workers} workers, {chaos:?}, tight {tight}, spills {spills}",
            program.tasks()
        );
    }
    let most = limit.min(needs.smallest_budget);
    let seed_of_world = rng.next();
    let own = rng.chance(50);
    let pinned = if own { pinned(seed, &program) } else { Vec::new() };
    let spill = spills.then(|| if own { fleet_spilling(&program) } else { process_spilling(&program) });
    let least_of_client = least_of_client(&program, &pinned);
    let mut world = World::new(seed_of_world, program, limit);
    let mut of_client = limit;
    if let Some(mut spill) = spill {
        let least = spill.least;
        let limit = if rng.chance(50) { least } else { rng.range(least, least.max(most)) };
        spill.window = rng.range(least, limit);
        spill.window_per_thread *= rng.below(2);
        world = world.spilling(limit, &spill);
        of_client = least_of_client;
        if own {
            world = world.memory(Given::Own(least));
        }
    } else if own {
        world = world.memory(Given::Own(limit));
    } else if Rng::new(seed ^ 0x5712_de00).chance(50) {
        world = world.striding(limit, least, least / 4);
    }
    if !pinned.is_empty() {
        world = world.client(&pinned, of_client);
    }
    world = world.workers(workers).chaos(chaos);
    let mut of_death = Rng::new(seed ^ 0xdead_5c4e);
    if own && of_death.chance(40) {
        let times = of_death.range(1, 3);
        world = world.dying(of_death.next(), times);
    }
    if seed % 8 == 5 {
        world = world.far(WorkerId((seed / 8 % 3) as u32), 100);
    }
    if seed % 8 == 3 {
        world = world.uplinks(0.0001);
    }
    world.verbose = env("DOLMEN_SEED").is_some();
    Case { world, chaos, tight }
}

/// What a run of one process that spills needs.
fn process_spilling(program: &Program) -> SpillPlan {
    plan_spilling(program, ONE, PLENTY, 0).unwrap().spill.unwrap()
}

/// What a run of a fleet needs.
fn fleet_spilling(program: &Program) -> SpillPlan {
    plan_fleet(program, &[seat(ONE, PLENTY)], None, 0).unwrap().plan.spill.unwrap()
}

/// Stages whose tasks only the client can do, in some of the runs.
fn pinned(seed: u64, program: &Program) -> Vec<StageId> {
    let mut rng = Rng::new(seed ^ 0xc11e_4700);
    if rng.chance(40) { some_io_stages(&mut rng, program) } else { Vec::new() }
}

/// Bytes of blocks that the client has to hold for what is pinned, and not one less.
fn least_of_client(program: &Program, pinned: &[StageId]) -> u64 {
    let client = |budget| ClientSeat { seat: seat(NONE, budget), pinned };
    let plan = |budget| plan_fleet(program, &[seat(ONE, PLENTY)], Some(client(budget)), 0);
    let Err(error) = plan(0) else { return 0 };
    assert_eq!(error.whose, Whose::Client);
    assert!(plan(error.needed).is_ok() && plan(error.needed - 1).is_err());
    error.needed
}

fn seat(threads: Threads, budget: u64) -> Seat {
    Seat { threads, budget, may_spill: true }
}

fn run(seed: u64, tally: &mut Tally) {
    let Case { mut world, tight, .. } = case(seed);
    world.drive_beyond_the_end();
    tally.runs += 1;
    tally.tight += u64::from(tight);
    tally.with_crashes += u64::from(world.crashes > 0);
    tally.tight_with_crashes += u64::from(tight && world.crashes > 0);
    tally.recomputed += world.core.recomputed();
    tally.excuse += world.excuse;
    tally.spills += world.spills;
    tally.ahead += world.ahead;
    tally.failed_copies += world.failed_copies();
    tally.resumed += world.resumed;
    tally.deaths += world.deaths;
    tally.taken_up += world.core.taken_up();
    if let Some(message) = &world.failed {
        assert!(world.crashes > 0, "failed without a loss: {message}");
        assert!(!message.contains("workers were lost with"), "no task crashes its workers: {message}");
        tally.failed_after_loss += 1;
        return;
    }
    world.check_results();
    let drops = world.drops + world.core.drops();
    if world.crashes == 0 && (world.deaths == 0 || drops == 0) {
        assert_eq!(world.core.recomputed(), 0, "nothing was lost");
        for (task, times) in &world.ran {
            let most = 1 + world.may_run_again.get(task).copied().unwrap_or(0);
            assert!(*times <= most, "{task:?} ran {times} times");
        }
    }
    if world.core.drops() == 0 {
        assert!(world.core.recomputed() <= world.excuse, "{} > {}", world.core.recomputed(), world.excuse);
    }
    let left = world.leftovers();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn chaos_and_then_every_block() {
    let mut tally = Tally::default();
    let mut wrong = 0;
    if let Some(seed) = env("DOLMEN_SEED") {
        return run(seed, &mut tally);
    }
    let from = env("DOLMEN_FROM").unwrap_or(0);
    for seed in from..from + env("DOLMEN_SEEDS").unwrap_or(SEEDS) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed, &mut tally))) {
            println!("replay with DOLMEN_SEED={seed}");
            wrong += 1;
            if env("DOLMEN_ALL").is_none() {
                resume_unwind(panic);
            }
        }
    }
    println!("{tally:?}");
    assert_eq!(wrong, 0, "seeds went wrong");
}

/// A task that crashes its workers is found out, and nothing else is blamed for it. A worker that was to leave may have
/// crashed beside the three.
#[test]
fn a_task_that_crashes_three_workers_ends_the_run() {
    let (mut blamed, mut without_room) = (0, 0);
    for seed in 0..1000 {
        let Case { mut world, chaos, .. } = case(seed);
        if chaos == Chaos::Crashes {
            continue;
        }
        let tasks = world.program.tasks() as u64;
        let killer = world.program.at_position(Rng::new(seed).below(tasks) as usize);
        if world.is_pinned(killer.stage) {
            continue;
        }
        world = world.with_killer(killer);
        world.settle();
        let message = world.failed.as_ref().expect("the run cannot end otherwise");
        if message.contains("no longer fits its memory") {
            without_room += 1;
            continue;
        }
        assert!(
            message.contains(&format!("three workers were lost with this task, {killer:?}, in hand")),
            "{message}"
        );
        assert_eq!(world.killed, 3, "seed {seed}");
        blamed += 1;
    }
    println!("{blamed} runs ended with the right name, {without_room} had no room any more");
    assert!(blamed > 300);
}

#[test]
fn one_worker_never_holds_more_than_the_limit() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let (name, program) = programs::random(&mut rng, 24);
        let budget = plan(&program, ONE, u64::MAX / 4).unwrap().smallest_budget;
        let limit = plan(&program, ONE, budget).unwrap().blocks_limit;
        let mut world = World::new(rng.next(), program, limit).memory(Given::Exactly(limit)).workers(1);
        println!("seed {seed} {name}");
        // The world ends if something finds no room.
        world.drive();
        world.check_results();
        assert_eq!(world.core.recomputed(), 0);
    }
}

#[test]
fn one_worker_that_spills_never_holds_more_than_the_limit() {
    let mut spills = 0;
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let (name, program) = programs::random(&mut rng, 24);
        let spill = process_spilling(&program);
        let limit = rng.range(spill.least, 2 * spill.least);
        let seed_of_world = rng.next();
        let spill = SpillPlan { window: rng.range(spill.least, limit), ..spill };
        let mut world = World::new(seed_of_world, program, limit).spilling(limit, &spill);
        world = world.memory(Given::Exactly(limit)).workers(1);
        println!("seed {seed} {name}");
        world.drive();
        world.check_results();
        assert_eq!(world.core.recomputed(), 0);
        assert!(world.leftovers().is_empty(), "seed {seed} {name}");
        spills += world.spills;
    }
    assert!(spills > 100, "{spills} spills prove little");
}

/// What the core says in a run of this seed.
fn log(mut world: World) -> Vec<String> {
    world.record = Some(Vec::new());
    world.drive();
    world.record.take().unwrap()
}

#[test]
fn made_up_events_change_nothing() {
    for seed in 0..500 {
        let plain = case(seed).world;
        let with_made_up = case(seed).world.with_made_up_events(seed);
        assert_eq!(log(plain), log(with_made_up), "seed {seed}");
    }
}

/// Seeds that went wrong once, beyond those that always run.
#[test]
fn seeds_that_went_wrong_end_well() {
    // Two workers of one memory waited for the same block from each other.
    let waited_in_a_circle = 94514;
    // A copy off a worker that was lost took memory that nobody had reserved.
    let copy_of_a_lost_worker = 72966;
    // A copy that was freed on its way was kept.
    let freed_on_its_way = 70314;
    // A step of a chain was made again although the next one was not wanted any more.
    let step_without_successor = 113233;
    // Two copies in one memory, freed together, gave its bytes back twice.
    let copies_freed_together = 308172;
    // A block was written a second time, and nobody knew any more of the file that a leaving worker had of it.
    let file_of_a_leaving_worker = 380111;
    // The file of a result was damaged when the run was complete.
    let damaged_after_the_end = 498154;
    // What nobody was going to hold took the room of what was still to be read, when a run was taken up.
    let taken_up_for_nobody = [73102, 91798];
    // A worker let a block go that another task there still read, and its readers were given back for ever.
    let read_by_another = 49181;
    // A block was still being read back when the task that it was for had been done elsewhere.
    let read_for_nobody = 28351;
    for seed in [
        read_by_another,
        read_for_nobody,
        taken_up_for_nobody[0],
        taken_up_for_nobody[1],
        damaged_after_the_end,
        file_of_a_leaving_worker,
        copies_freed_together,
        step_without_successor,
        waited_in_a_circle,
        copy_of_a_lost_worker,
        freed_on_its_way,
    ] {
        run(seed, &mut Tally::default());
    }
}

#[test]
fn the_same_seed_says_the_same() {
    // In the last ones several blocks wait for a worker to bring them back.
    for seed in (0..30).chain([3445, 11887, 13576, 13827]) {
        assert_eq!(log(case(seed).world), log(case(seed).world), "seed {seed}");
    }
}

fn wide<const TASKS: u32>(builder: &mut ProgramBuilder) {
    builder.null_wide(TASKS);
}

fn null_world(build: impl FnOnce(&mut ProgramBuilder), workers: u32) -> World {
    let mut builder = ProgramBuilder::default();
    build(&mut builder);
    World::new(1, builder.finish(), 0).workers(workers)
}

#[test]
fn null_programs_run_to_the_end() {
    let builds: [fn(&mut ProgramBuilder); 4] =
        [wide::<3000>, |b| b.null_tree(1000), |b| b.null_chain(300), |b| b.null_grid(20)];
    for build in builds {
        let mut world = null_world(build, 3);
        world.drive();
        world.check_results();
        assert_eq!(world.ran.len(), world.program.tasks());
    }
}

#[test]
fn who_joins_late_finds_work() {
    let mut world = null_world(wide::<2000>, 1).speeds(0.01, 0.0005);
    while world.ran.len() < 100 {
        assert!(world.step());
    }
    let late = world.join(4);
    world.drive();
    let share = world.workers[&late].ran;
    assert!(share > 500, "the late one did {share} of 2000");
}

/// Tasks done by threads that compute.
fn computed(world: &World) -> u64 {
    let is_io = |task: &TaskId| world.program.stage(task.stage).kind.is_io();
    world.ran.iter().filter(|(task, _)| !is_io(task)).map(|(_, times)| u64::from(*times)).sum()
}

/// Half of a product is done on four workers when one of them is lost. The rest, and what was lost with it, takes the
/// others hardly longer than if nobody ever waited. So too if the first guess of a step is wrong by far.
#[test]
fn a_worker_that_is_lost_at_half_time_costs_little_beside_its_work() {
    const SECONDS: f64 = 0.01;
    for (blocks, lost) in [(8, 0), (8, 1), (8, 2), (8, 3), (10, 0)] {
        for lockstep in [false, true] {
            for guess in [SECONDS / 10_000.0, SECONDS] {
                let name = format!(
                    "{blocks} × {blocks} blocks, lockstep {lockstep}, {guess} s guessed, {lost} lost"
                );
                let ratio =
                    with_a_loss_at_half_time(programs::product(blocks, lockstep, guess), lost, SECONDS);
                println!("{name}: {ratio:.3}");
                assert!(ratio <= 1.10, "{name}: {ratio} times what the rest takes three workers at least");
            }
        }
    }
}

/// The time of the run beside the least that it takes with three workers from the loss on, after that is known. So long
/// takes a step.
fn with_a_loss_at_half_time(program: Program, lost: usize, seconds: f64) -> f64 {
    const MESSAGE: f64 = 0.0002;
    let is_io = |at: &usize| program.stage(program.at_position(*at).stage).kind.is_io();
    let tasks = (0..program.tasks()).filter(|at| !is_io(at)).count() as u64;
    let world = World::new(1, program, PLENTY).memory(Given::Exactly(PLENTY / 8));
    let mut world = world.speeds(seconds, MESSAGE).steady();
    let workers: Vec<WorkerId> = (0..4).map(|_| world.join(1)).collect();
    while computed(&world) < tasks / 2 {
        assert!(world.step());
    }
    let (at_loss, before) = (world.seconds(), computed(&world));
    world.crash(workers[lost]);
    world.drive();
    world.check_results();
    let rest = computed(&world) - before;
    assert!(rest >= tasks - tasks / 2);
    (world.seconds() - 2.0 * MESSAGE) / (at_loss + rest as f64 * seconds / 3.0)
}

/// Blocks take a hundred times longer to one of four workers and from it. What goes there is less than where links are
/// alike: 0.6 times as much, and 0.8 times if tasks are placed without a look at them.
#[test]
fn less_goes_over_slow_links() {
    let mut sent = [0, 0];
    for seed in 0..6 {
        for (sent, times) in sent.iter_mut().zip([1, 100]) {
            let program = programs::edges(&mut Rng::new(seed), 200);
            let world = World::new(1, program, PLENTY).memory(Given::Exactly(PLENTY / 8));
            let mut world = world.speeds(0.001, 0.0002).steady().far(WorkerId(3), times);
            for _ in 0..4 {
                world.join(1);
            }
            world.drive();
            world.check_results();
            *sent += world.pulled_far;
        }
    }
    let [alike, slow] = sent;
    println!("{alike} blocks where links are alike, {slow} where they are slow");
    assert!(10 * slow < 7 * alike, "{slow} of {alike}");
}

/// Seconds until each of so many workers has done a task that reads one block, which takes a second to leave a worker
/// that sends nothing else.
fn broadcast_to(workers: usize) -> f64 {
    const TASK: f64 = 10.0;
    const MESSAGE: f64 = 0.01;
    let program = programs::broadcast(workers, TASK);
    let world = World::new(1, program, PLENTY).memory(Given::Exactly(PLENTY / 512));
    let mut world = world.speeds(TASK, MESSAGE).steady().uplinks(1.0);
    for _ in 0..workers {
        world.join(1);
    }
    world.drive();
    world.check_results();
    world.seconds() - 2.0 * TASK
}

/// What all want goes as a tree: each gives it to two, which share its way out, so a round takes two seconds. From one
/// holder it would take a second for each of the others.
#[test]
fn what_many_want_goes_as_a_tree() {
    for (workers, most) in [(16_usize, 7.0), (64, 14.0), (256, 20.0)] {
        let seconds = broadcast_to(workers);
        println!("{workers} workers: {seconds:.1} s, from one holder {} s", workers - 1);
        assert!(seconds <= most, "{workers} workers: {seconds}");
    }
}

/// Many pulls fail, so that tasks are given back while other blocks are on their way for them, and whoever was to give
/// a block gets it from elsewhere. Nobody waits for a block on its way to somebody who waits for that one in turn: the
/// run would come to no end.
#[test]
fn pulls_that_fail_leave_nobody_waiting_in_a_circle() {
    let seeds = match env("DOLMEN_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..env("DOLMEN_SEEDS").unwrap_or(5000),
    };
    for seed in seeds {
        let mut rng = Rng::new(seed);
        let (blocks, readers) = (rng.range(2, 4), rng.range(8, 80));
        let program = programs::much_wanted(&mut rng, blocks, readers);
        let flaky = *rng.pick(&[10, 30, 60]);
        let world = World::new(rng.next(), program, PLENTY).memory(Given::Exactly(PLENTY / 16));
        println!("seed {seed}: {blocks} blocks, {readers} readers, {flaky} % fail");
        let mut world = world.workers(rng.range(3, 12) as u32).flaky(flaky);
        world.drive();
        world.check_results();
        assert_eq!(world.core.recomputed(), 0);
    }
}

#[test]
fn a_task_can_be_explained() {
    let mut builder = ProgramBuilder::default();
    builder.null_chain(3);
    let mut core = Core::new(Arc::new(builder.finish()), 0);
    let mut actions = Vec::new();
    core.handle([], &mut actions);
    assert!(actions.is_empty(), "{actions:?}");
    let task = |index| TaskId::new(StageId(0), index);
    assert_eq!(core.explain(task(0)).state, "ready: waits for a worker with room");
    assert_eq!(core.explain(task(2)).missing, [task(1)]);
    let worker = WorkerId(0);
    core.handle([Event::Join { worker, threads: 1, memory: MemoryId(0), bytes: 0 }], &mut actions);
    assert_eq!(core.explain(task(0)).state, "at worker 0");
    assert_eq!(core.explain(task(2)).state, "at worker 0, to follow what it reads");
    let all = Action::Assign {
        worker,
        tasks: (0..3).map(task).collect(),
        fetch: Vec::new(),
        suspects: Default::default(),
    };
    assert_eq!(actions, [all]);
    for index in 0..3 {
        actions.clear();
        let tasks = [task(index)].into_iter().collect();
        core.handle([Event::Finished { worker, tasks, timings: Vec::new() }], &mut actions);
        core.check_invariants();
    }
    assert_eq!(actions, [Action::Completed]);
    assert_eq!(core.progress(), (3, 3));
}
