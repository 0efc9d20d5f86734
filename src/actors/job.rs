//! What the threads of a worker do, and what comes of it.

use super::activity::Class;
use super::panics::guard;
use super::run::Run;
use crate::exec;
use crate::failure::Failure;
use crate::ids::{BlockId, RunId, TaskId};
use crate::store::{Block, Buffer, SpillFiles};
use std::sync::Arc;
use std::time::Instant;

/// Something to do, with all it needs.
pub struct Job {
    pub run: Arc<Run>,
    /// The task, or the block that is moved, or one of those that are removed.
    pub task: TaskId,
    pub work: Work,
}

pub enum Work {
    Task {
        ids: Vec<BlockId>,
        inputs: Vec<Arc<Block>>,
        taken: Option<Arc<Block>>,
    },
    /// Write the block and let it go.
    Spill(Arc<Block>),
    /// Read the block back, or make it again if it is a source's.
    Load,
    /// Remove the files of blocks that nobody wants any more.
    Sweep,
}

/// What became of a job.
pub struct Done {
    pub run: RunId,
    pub task: TaskId,
    pub seconds: f64,
    pub outcome: JobOutcome,
}

pub enum JobOutcome {
    /// A task is done; some leave a block.
    Made(Option<Block>),
    Spilled,
    Swept,
    Loaded(Block),
    /// What was written cannot be read back.
    Vanished,
    /// A task could not be done.
    Failed(Failure),
    /// A block could not be moved.
    MoveFailed(Failure),
}

/// The workspace of a thread, kept from job to job of one run.
pub type Room = Option<(RunId, Buffer)>;

impl Job {
    pub fn class(&self) -> Class {
        match &self.work {
            Work::Spill(_) | Work::Sweep => Class::Spill,
            Work::Load if !self.is_source() => Class::Load,
            _ => Class::of(&self.run.program.stage(self.task.stage).kind),
        }
    }

    fn is_source(&self) -> bool {
        self.run.program.stage(self.task.stage).kind.is_source()
    }

    pub fn perform(self, room: &mut Room) -> Done {
        let (run, task, began) = (self.run.id, self.task, Instant::now());
        let moves = !matches!(self.work, Work::Task { .. });
        let outcome = guard(|| self.attempt(room));
        let outcome = outcome.unwrap_or_else(|message| Err(Failure::of_run(message)));
        let failed =
            |failure| if moves { JobOutcome::MoveFailed(failure) } else { JobOutcome::Failed(failure) };
        Done { run, task, seconds: began.elapsed().as_secs_f64(), outcome: outcome.unwrap_or_else(failed) }
    }

    fn attempt(self, room: &mut Room) -> Result<JobOutcome, Failure> {
        let class = self.class();
        let remake = self.is_source();
        let Job { run, task, work } = self;
        if matches!(work, Work::Sweep) {
            spill_files(&run)?.sweep();
            return Ok(JobOutcome::Swept);
        }
        let bytes = if class == Class::Compute { run.workspace.compute } else { run.workspace.io };
        if room.as_ref().is_none_or(|(of, _)| *of != run.id) {
            *room = None;
            *room = Some((run.id, run.pool.take(bytes).map_err(Failure::of_run)?));
        }
        let Some((_, scratch)) = room else { unreachable!("made above") };
        match work {
            Work::Task { ids, inputs, taken } => {
                let taken = taken.map(|block| take_over(block, &run)).transpose()?;
                let (program, inputs) = (&run.program, (&ids[..], &inputs[..]));
                exec::run(program, &run.bindings, task, inputs, taken, &run.pool, scratch)
                    .map(JobOutcome::Made)
            }
            Work::Load if remake => {
                let made =
                    exec::run(&run.program, &run.bindings, task, (&[], &[]), None, &run.pool, scratch)?;
                Ok(JobOutcome::Loaded(made.expect("sources make blocks")))
            }
            Work::Load => load(&run, task, scratch),
            Work::Spill(block) => {
                spill_files(&run)?.write(task, &block, scratch.bytes_mut()).map_err(Failure::of_run)?;
                Ok(JobOutcome::Spilled)
            }
            Work::Sweep => unreachable!("done above"),
        }
    }
}

/// The block of the step before, or a copy if someone else still holds it.
fn take_over(block: Arc<Block>, run: &Run) -> Result<Block, Failure> {
    Arc::try_unwrap(block).or_else(|shared| shared.duplicate(&run.pool).map_err(Failure::of_run))
}

fn load(run: &Run, block: BlockId, scratch: &mut Buffer) -> Result<JobOutcome, Failure> {
    let files = spill_files(run)?;
    let stage = run.program.stage(block.stage);
    let shape = stage.shape(block.index);
    let mut loaded = Block::new(&run.pool, shape, stage.element).map_err(Failure::of_run)?;
    match files.read(block, &mut loaded, scratch.bytes_mut()) {
        Ok(()) => Ok(JobOutcome::Loaded(loaded)),
        Err(error) if error.is_lost() => Ok(JobOutcome::Vanished),
        Err(error) => Err(Failure::of_run(error)),
    }
}

fn spill_files(run: &Run) -> Result<&SpillFiles, Failure> {
    run.spill.as_ref().ok_or_else(|| Failure::of_run("this run may not spill"))
}
