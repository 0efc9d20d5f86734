//! What the threads of a worker do, and what comes of it.

use super::activity::WorkClass;
use super::panics::guard;
use super::run::{Pulled, Run};
use crate::exec;
use crate::failure::Failure;
use crate::ids::{BlockId, RunId, TaskId, WorkerId};
use crate::sched::Prepared;
use crate::store::{Block, Buffer, SpillFiles};
use std::sync::Arc;
use std::time::Instant;

/// Something to do, with all it needs.
pub struct WorkItem {
    pub run: Arc<Run>,
    /// The task, or the block that is moved, or one of those that are removed.
    pub task: TaskId,
    pub kind: WorkKind,
}

pub enum WorkKind {
    Task(Prepared<Arc<Block>>),
    /// Write the block and let it go.
    Spill(Arc<Block>),
    /// Read the block back, or make it again if it is a source's.
    Load,
    /// Get the block from a worker of another process, for tasks here that wait for it.
    Receive {
        from: WorkerId,
    },
    /// The same, as a copy that is to stay.
    Copy {
        from: WorkerId,
    },
    /// Remove the files of blocks that nobody wants any more.
    Sweep,
}

/// What became of a work item.
pub struct Done {
    pub run: RunId,
    pub task: TaskId,
    pub seconds: f64,
    pub outcome: WorkOutcome,
}

/// Called with each batch of finished items: by a thread of this class, which looks for the next ones then, or by
/// another one.
pub type Report = Arc<dyn Fn(Option<WorkClass>, Vec<Done>) + Send + Sync>;

pub enum WorkOutcome {
    /// A task is done; some leave a block.
    Made(Option<Block>),
    Spilled,
    Swept,
    Loaded(Block),
    Received(Received),
    /// Nobody has it any more where it was.
    Missed,
    /// What came of a copy.
    Copied(Option<Block>),
    /// What was written cannot be read back.
    Vanished,
    /// A task could not be done.
    Failed(Failure),
    /// A block could not be moved.
    MoveFailed(Failure),
}

/// A block that has come from another process.
pub struct Received {
    pub block: Block,
    pub from: WorkerId,
    /// When it was asked for, or came to whoever gave it.
    pub began: Instant,
    pub came: Instant,
}

/// The workspace of a thread, kept from item to item of one run.
pub type Room = Option<(RunId, Buffer)>;

/// Times items that follow each other: one look at the clock for each.
pub struct Stopwatch {
    began: Instant,
    lap_began: Instant,
}

impl Stopwatch {
    pub fn start() -> Stopwatch {
        let now = Instant::now();
        Stopwatch { began: now, lap_began: now }
    }

    /// Seconds since the last lap. The next one begins.
    fn lap(&mut self) -> f64 {
        let now = Instant::now();
        now.duration_since(std::mem::replace(&mut self.lap_began, now)).as_secs_f64()
    }

    /// Seconds of all laps.
    pub fn seconds(&self) -> f64 {
        self.lap_began.duration_since(self.began).as_secs_f64()
    }
}

impl WorkItem {
    pub fn task(run: &Arc<Run>, prepared: Prepared<Arc<Block>>) -> WorkItem {
        WorkItem { run: run.clone(), task: prepared.task, kind: WorkKind::Task(prepared) }
    }

    pub fn class(&self) -> WorkClass {
        match &self.kind {
            WorkKind::Spill(_) | WorkKind::Sweep => WorkClass::Spill,
            WorkKind::Receive { .. } | WorkKind::Copy { .. } => WorkClass::Load,
            WorkKind::Load if !self.is_source() => WorkClass::Load,
            _ => WorkClass::of(&self.run.program.stage(self.task.stage).kind),
        }
    }

    /// Bytes that a thread moves between memory and files for it.
    pub fn io_bytes(&self) -> u64 {
        match &self.kind {
            WorkKind::Task(prepared) if self.class() == WorkClass::Write => {
                prepared.inputs.iter().map(|block| block.bytes().len() as u64).sum()
            }
            WorkKind::Task(_) | WorkKind::Load => self.run.program.size(self.task),
            WorkKind::Spill(block) => block.bytes().len() as u64,
            // The network does it.
            WorkKind::Receive { .. } | WorkKind::Copy { .. } | WorkKind::Sweep => 0,
        }
    }

    fn is_source(&self) -> bool {
        self.run.program.stage(self.task.stage).kind.is_source()
    }

    /// Does it, as a lap of `stopwatch`. None if it goes on elsewhere, and is told to `report` when it is done.
    pub fn perform(self, room: &mut Room, stopwatch: &mut Stopwatch, report: &Report) -> Option<Done> {
        let wait = match self.kind {
            WorkKind::Receive { from } => Some((from, false)),
            WorkKind::Copy { from } => Some((from, true)),
            _ => None,
        };
        match wait {
            Some((from, stays)) => self.receive(from, stays, report),
            None => Some(self.do_here(room, stopwatch)),
        }
    }

    /// Takes room for a block and has the network fill it.
    fn receive(self, from: WorkerId, stays: bool, report: &Report) -> Option<Done> {
        let WorkItem { run, task, .. } = self;
        let (id, began) = (run.id, Instant::now());
        let stage = run.program.stage(task.stage);
        let shape = stage.shape(task.index);
        let taken = Block::new(&run.pool, shape, stage.element).map_err(Failure::of_run);
        let network = run.network.as_ref().ok_or_else(|| Failure::of_run("there are no other processes"));
        let done = move |outcome| Done { run: id, task, seconds: began.elapsed().as_secs_f64(), outcome };
        let (block, network) = match taken.and_then(|block| Ok((block, network?))) {
            Ok(both) => both,
            Err(failure) => return Some(done(WorkOutcome::MoveFailed(failure))),
        };
        let report = report.clone();
        let came = move |found: Option<Pulled>| {
            let outcome = match (stays, found) {
                (true, found) => WorkOutcome::Copied(found.map(|pulled| pulled.block)),
                (false, Some(Pulled { block, since })) => {
                    let began = since.unwrap_or(began);
                    WorkOutcome::Received(Received { block, from, began, came: Instant::now() })
                }
                (false, None) => WorkOutcome::Missed,
            };
            report(None, vec![done(outcome)]);
        };
        network.pull(id, task, from, block, Box::new(came));
        None
    }

    fn do_here(self, room: &mut Room, stopwatch: &mut Stopwatch) -> Done {
        let (run, task) = (self.run.id, self.task);
        let moves = !matches!(self.kind, WorkKind::Task(_));
        let outcome = guard(|| self.attempt(room));
        let outcome = outcome.unwrap_or_else(|message| Err(Failure::of_run(message)));
        let failed =
            |failure| if moves { WorkOutcome::MoveFailed(failure) } else { WorkOutcome::Failed(failure) };
        Done { run, task, seconds: stopwatch.lap(), outcome: outcome.unwrap_or_else(failed) }
    }

    fn attempt(self, room: &mut Room) -> Result<WorkOutcome, Failure> {
        let class = self.class();
        let remake = self.is_source();
        let WorkItem { run, task, kind } = self;
        if matches!(kind, WorkKind::Sweep) {
            spill_files(&run)?.sweep();
            return Ok(WorkOutcome::Swept);
        }
        let bytes = if class == WorkClass::Compute { run.workspace.compute } else { run.workspace.io };
        if room.as_ref().is_none_or(|(of, room)| *of != run.id || (room.len() as u64) < bytes) {
            *room = None;
            *room = Some((run.id, run.pool.take(bytes).map_err(Failure::of_run)?));
        }
        let Some((_, scratch)) = room else { unreachable!("made above") };
        match kind {
            WorkKind::Task(Prepared { ids, inputs, taken, .. }) => {
                let taken = taken.map(|block| take_over(block, &run)).transpose()?;
                let (program, inputs) = (&run.program, (&ids[..], &inputs[..]));
                exec::run(program, &run.bindings, task, inputs, taken, &run.pool, scratch)
                    .map(WorkOutcome::Made)
            }
            WorkKind::Load if remake => {
                let made =
                    exec::run(&run.program, &run.bindings, task, (&[], &[]), None, &run.pool, scratch)?;
                Ok(WorkOutcome::Loaded(made.expect("sources make blocks")))
            }
            WorkKind::Load => load(&run, task, scratch),
            WorkKind::Spill(block) => {
                spill_files(&run)?.write(task, &block, scratch.bytes_mut()).map_err(Failure::of_run)?;
                Ok(WorkOutcome::Spilled)
            }
            WorkKind::Sweep | WorkKind::Receive { .. } | WorkKind::Copy { .. } => unreachable!("done above"),
        }
    }
}

/// The block of the step before, or a copy if someone else still holds it.
fn take_over(block: Arc<Block>, run: &Run) -> Result<Block, Failure> {
    Arc::try_unwrap(block).or_else(|shared| shared.duplicate(&run.pool).map_err(Failure::of_run))
}

fn load(run: &Run, block: BlockId, scratch: &mut Buffer) -> Result<WorkOutcome, Failure> {
    let files = spill_files(run)?;
    let stage = run.program.stage(block.stage);
    let shape = stage.shape(block.index);
    let mut loaded = Block::new(&run.pool, shape, stage.element).map_err(Failure::of_run)?;
    match files.read(block, &mut loaded, scratch.bytes_mut()) {
        Ok(()) => Ok(WorkOutcome::Loaded(loaded)),
        Err(error) if error.is_lost() => Ok(WorkOutcome::Vanished),
        Err(error) => Err(Failure::of_run(error)),
    }
}

fn spill_files(run: &Run) -> Result<&SpillFiles, Failure> {
    run.spill.as_ref().ok_or_else(|| Failure::of_run("this run may not spill"))
}
