//! What a worker has to do and holds, for whoever wants to see it.

use super::Core;
use crate::ids::{BlockId, StageId, WorkerId};

/// A worker as the scheduler sees it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct WorkerView {
    /// Tasks in its hands that compute, and tasks that wait for files.
    pub computing: u32,
    pub io: u32,
    /// Until a task that is handed over now would start.
    pub queue_seconds: f64,
    /// Bytes of blocks that its memory holds or is going to, and may hold.
    pub reserved: u64,
    pub limit: u64,
    pub is_leaving: bool,
}

impl Core {
    /// None if it is not there.
    pub fn look_at(&self, worker: WorkerId) -> Option<WorkerView> {
        let queue = self.fleet.get(worker)?;
        let ledger = self.memories.ledger(queue.memory)?;
        Some(WorkerView {
            computing: queue.compute.tasks(),
            io: queue.io.tasks(),
            queue_seconds: queue.queue(),
            reserved: ledger.reserved(),
            limit: ledger.limit(),
            is_leaving: queue.draining,
        })
    }

    /// Who can give a block, if it is anywhere: its holder, or a worker that reads what was written.
    pub fn giver(&self, block: BlockId) -> Option<WorkerId> {
        let reader = |memory| self.memories.workers(memory).next();
        self.location(block).or_else(|| self.transit.file(block).and_then(reader))
    }

    /// Seconds that a task of this stage takes, as measured so far.
    pub fn seconds_of(&self, stage: StageId) -> f64 {
        self.estimates.of_stage(stage)
    }
}
