//! What goes into the scheduler core and what comes out.

use crate::failure::Failure;
use crate::ids::{BlockId, StageId, TaskId, TaskList, WorkerId};

/// How long tasks of a stage took.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Timing {
    pub stage: StageId,
    pub tasks: u32,
    pub seconds: f64,
}

/// What the core is told.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    Join {
        worker: WorkerId,
        threads: u32,
    },
    /// Planned: nothing new goes there, its blocks are handed over, then it is let go.
    Leave {
        worker: WorkerId,
    },
    /// Gone without notice, with all its blocks.
    Lost {
        worker: WorkerId,
    },
    Finished {
        worker: WorkerId,
        tasks: TaskList,
        timings: Vec<Timing>,
    },
    /// Given back without having been started: because asked to, or because an input could not be had.
    /// The answer to every [`Action::TakeBack`], empty if there is nothing to give. Copies that the
    /// worker fetched for these tasks only, and used for no other, are dropped by the worker itself.
    Returned {
        worker: WorkerId,
        tasks: TaskList,
    },
    /// `worker` now holds `block` too.
    Copied {
        worker: WorkerId,
        block: BlockId,
    },
    /// `worker` could not fetch the block that an [`Action::Copy`] named.
    CopyFailed {
        worker: WorkerId,
        block: BlockId,
    },
    /// Written, and out of memory.
    Spilled {
        worker: WorkerId,
        block: BlockId,
    },
    /// Read back, or made again from its source.
    Loaded {
        worker: WorkerId,
        block: BlockId,
    },
    /// What was written cannot be read back.
    Vanished {
        worker: WorkerId,
        block: BlockId,
    },
    /// A block can be neither written nor read: the run cannot go on.
    MoveFailed {
        worker: WorkerId,
        block: BlockId,
        failure: Failure,
    },
    Failed {
        worker: WorkerId,
        task: TaskId,
        failure: Failure,
    },
}

/// What the core wants done.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Run these; the inputs that are not at the worker lie where `fetch` says.
    Assign {
        worker: WorkerId,
        tasks: TaskList,
        fetch: Vec<(BlockId, WorkerId)>,
    },
    /// Forget these blocks, and what was written of them.
    Free {
        worker: WorkerId,
        blocks: TaskList,
    },
    /// Take these blocks out of memory: they can be read or made again.
    Drop {
        worker: WorkerId,
        blocks: TaskList,
    },
    /// Write these blocks to disk and take them out of memory; the answer to each is [`Event::Spilled`].
    Spill {
        worker: WorkerId,
        blocks: TaskList,
    },
    /// Read these blocks back, or make those of sources again.
    Load {
        worker: WorkerId,
        blocks: TaskList,
    },
    /// Return up to so many compute tasks that have not been started.
    TakeBack {
        worker: WorkerId,
        tasks: u32,
    },
    /// Fetch a block that would otherwise be lost with a leaving worker.
    Copy {
        from: WorkerId,
        to: WorkerId,
        block: BlockId,
    },
    /// A leaving worker has nothing left that is needed.
    Release {
        worker: WorkerId,
    },
    Completed,
    Failed(Failure),
}

/// Why a task is where it is.
#[derive(Clone, PartialEq, Debug)]
pub struct Explain {
    pub task: TaskId,
    pub state: String,
    pub missing: Vec<TaskId>,
}

/// Where a block is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whereabouts {
    Memory(WorkerId),
    /// On its way out of this worker's memory.
    Leaving(WorkerId),
    /// In the place for spilled blocks, or where it came from.
    Spilled,
    Nowhere,
}
