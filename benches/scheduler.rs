//! What the scheduler core itself costs: workers that take no time, all in one thread.
//! `cargo bench --bench scheduler [tasks]`; `cargo bench --bench scheduler large [tasks]` does 100 000 000 tasks on
//! 10 000 workers.

use dolmen::graph::{Program, ProgramBuilder};
use dolmen::ids::{MemoryId, WorkerId};
use dolmen::sched::{Action, Core, Event, Timing};
use std::sync::Arc;
use std::time::Instant;

/// Of each worker.
const THREADS: u32 = 2;

/// Where the workers' blocks lie.
#[derive(Clone, Copy)]
enum Memory {
    Shared,
    /// Each worker is a process with one of its own.
    Own,
}

/// Workers whose tasks are done as soon as they are handed out, each reporting once per round.
struct NullWorkers {
    core: Core,
    events: Vec<Event>,
    actions: Vec<Action>,
    rounds: usize,
}

impl NullWorkers {
    fn new(program: Arc<Program>, workers: u32, memory: Memory) -> Self {
        let memory_of = |id| match memory {
            Memory::Shared => MemoryId(0),
            Memory::Own => MemoryId(id),
        };
        // All of them together can be counted.
        let bytes = u64::MAX / 2 / u64::from(workers);
        let join = |id| Event::Join { worker: WorkerId(id), threads: THREADS, memory: memory_of(id), bytes };
        let events = (0..workers).map(join).collect();
        NullWorkers { core: Core::new(program, u64::MAX / 2), events, actions: Vec::new(), rounds: 0 }
    }

    /// One batch of reports in, one batch of actions out. True if the run is over.
    fn round(&mut self) -> bool {
        self.rounds += 1;
        self.core.handle(self.events.drain(..), &mut self.actions);
        for action in self.actions.drain(..) {
            match action {
                Action::Assign { worker, tasks, .. } => {
                    let stage = tasks.ranges()[0].stage;
                    let timings = vec![Timing { stage, tasks: tasks.len() as u32, seconds: 0.0 }];
                    self.events.push(Event::Finished { worker, tasks, timings });
                }
                Action::TakeBack { worker, .. } => {
                    self.events.push(Event::Returned { worker, tasks: Default::default() });
                }
                Action::Completed => return true,
                Action::Failed(failure) => panic!("{failure}"),
                _ => {}
            }
        }
        assert!(!self.events.is_empty(), "stuck: {:?}", self.core.progress());
        false
    }
}

/// Resident bytes of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap_or("VmRSS: 0 kB");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<usize>().ok()).unwrap_or(0) * 1024
}

fn program(build: impl FnOnce(&mut ProgramBuilder)) -> Arc<Program> {
    let mut builder = ProgramBuilder::default();
    build(&mut builder);
    Arc::new(builder.finish())
}

fn wide(tasks: u32) -> Arc<Program> {
    program(|builder| {
        builder.null_wide(tasks);
    })
}

fn run(name: &str, program: Arc<Program>, workers: u32, memory: Memory) {
    let tasks = program.tasks();
    let before = resident();
    let start = Instant::now();
    let mut world = NullWorkers::new(program, workers, memory);
    world.round();
    let submitted = start.elapsed();
    while !world.round() {}
    let seconds = start.elapsed().as_secs_f64();
    let grown = resident().saturating_sub(before);
    println!(
        "{name:<12} {tasks:>10} {workers:>8} {:>9.3} {:>9.2} {:>9} {:>9.1} {:>10.1}",
        seconds * 1e6 / tasks as f64,
        submitted.as_secs_f64() * 1e3,
        world.rounds,
        grown as f64 / 1e6,
        grown as f64 / tasks as f64,
    );
}

fn main() {
    let tasks: Option<u32> = std::env::args().find_map(|arg| arg.parse().ok());
    println!(
        "{:<12} {:>10} {:>8} {:>9} {:>9} {:>9} {:>9} {:>10}",
        "program", "tasks", "workers", "µs/task", "submit ms", "batches", "MB", "bytes/task"
    );
    match std::env::args().any(|arg| arg == "large") {
        true => run_large(tasks.unwrap_or(100_000_000)),
        false => run_usual(tasks.unwrap_or(1_000_000)),
    }
}

fn run_large(tasks: u32) {
    run("wide fleet", wide(tasks), 10_000, Memory::Own);
    run("tree fleet", program(|b| b.null_tree(tasks)), 10_000, Memory::Own);
}

fn run_usual(tasks: u32) {
    run("wide", wide(10 * tasks), 4, Memory::Shared);
    run("wide", wide(tasks), 4, Memory::Shared);
    run("tree", program(|b| b.null_tree(tasks)), 4, Memory::Shared);
    run("chain", program(|b| b.null_chain(tasks)), 4, Memory::Shared);
    run("grid", program(|b| b.null_grid(tasks.isqrt())), 4, Memory::Shared);
    run("wide", wide(tasks), 1000, Memory::Shared);
    run("tree", program(|b| b.null_tree(tasks)), 1000, Memory::Shared);
    run("wide", wide(10 * tasks), 10_000, Memory::Shared);
    run("wide fleet", wide(tasks), 1000, Memory::Own);
    run("tree fleet", program(|b| b.null_tree(tasks)), 1000, Memory::Own);
    run("wide fleet", wide(10 * tasks), 10_000, Memory::Own);
}
