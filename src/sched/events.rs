//! What goes into the scheduler core and what comes out.

use crate::failure::Failure;
use crate::ids::{BlockId, MemoryId, StageId, TaskId, TaskList, WorkerId};

/// How long tasks of a stage took.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Timing {
    pub stage: StageId,
    pub tasks: u32,
    pub seconds: f64,
}

/// Blocks that a worker has got from another one, and for how long one of them or more was on its way.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Pull {
    pub from: WorkerId,
    pub blocks: u32,
    pub bytes: u64,
    pub seconds: f64,
}

/// What a worker has of a run whose scheduler was lost.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Holding {
    /// Blocks in its memory.
    pub in_memory: TaskList,
    /// Blocks that it has written and can read.
    pub written: TaskList,
    /// Tasks that leave no blocks and have been done there.
    pub done: TaskList,
}

impl Holding {
    /// The ranges of its lists.
    pub fn ranges(&self) -> usize {
        [&self.in_memory, &self.written, &self.done].map(|list| list.ranges().len()).iter().sum()
    }
}

/// What the core is told.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// `memory` holds at most `bytes` of blocks. Workers that share it say the same.
    Join {
        worker: WorkerId,
        threads: u32,
        memory: MemoryId,
        bytes: u64,
    },
    /// Said with the joins before anything else, and only then: `worker` has this of the run from an earlier scheduler.
    /// What is not wanted of it is freed.
    Holds {
        worker: WorkerId,
        holding: Holding,
    },
    /// Planned: nothing new goes there, its blocks are handed over, then it is let go.
    Leave {
        worker: WorkerId,
    },
    /// The workers together now run so many I/O tasks more than the least that any may run.
    MoreIo {
        tasks: u64,
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
    /// What `worker` has got from others since it told of that last.
    Pulled {
        worker: WorkerId,
        pulls: Vec<Pull>,
    },
    /// Given back without having been started: because asked to, or because an input could not be had. With a task
    /// come back all that were to read what it makes. The answer to every [`Action::TakeBack`], empty if there is
    /// nothing to give. Copies that the worker fetched for these tasks only, and used for no other, are dropped by the
    /// worker itself.
    Returned {
        worker: WorkerId,
        tasks: TaskList,
    },
    /// `worker` could begin these, and was told to ask first. The answer is [`Action::Permit`].
    Asks {
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
    /// What was written in this worker's place cannot be read back.
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
    /// Run these; the inputs that are not at the worker lie where `fetch` says. That may be the worker itself: it reads
    /// back what was written, or makes it again from its source. At another worker it is in memory, or on its way
    /// there, or has been written there. Inputs of which nothing is said and that are not at the worker are made there
    /// by tasks that it was given before. Before it begins one of the `suspects` among them it asks: see
    /// [`Event::Asks`].
    Assign {
        worker: WorkerId,
        tasks: TaskList,
        fetch: Vec<(BlockId, WorkerId)>,
        suspects: TaskList,
    },
    /// Begin these now.
    Permit {
        worker: WorkerId,
        tasks: TaskList,
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
    /// Give back compute tasks that have not been started.
    TakeBack {
        worker: WorkerId,
        share: Unbegun,
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

/// Which tasks that it has not begun a worker gives back. Those that wait for one of them come back with it; none does
/// that waits for a block on its way, nor what such a task waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum Unbegun {
    /// The later half of those that lack nothing: another worker could begin them at once.
    Half,
    All,
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
    /// Written where the workers of this memory can read it.
    Written(MemoryId),
    /// Where it came from: it can be read or made again.
    Source,
    Nowhere,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{StageId, TaskId};

    #[test]
    fn a_holding_has_the_ranges_of_all_its_lists() {
        let list = |indices: &[u32]| {
            indices.iter().map(|index| TaskId::new(StageId(0), *index)).collect::<TaskList>()
        };
        let holding = Holding { in_memory: list(&[0, 1, 3]), written: list(&[5]), done: list(&[7, 8]) };
        assert_eq!(holding.ranges(), 4);
        assert_eq!(Holding::default().ranges(), 0);
    }
}
