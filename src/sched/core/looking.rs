//! What a worker has to do and holds, for whoever wants to see it.

use super::Core;
use crate::ids::{BlockId, StageId, WorkerId};
use crate::sched::lane::Lane;
use crate::sched::ready::Paths;

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

/// What is left of a run.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Remaining {
    /// All that computes, in core-seconds.
    pub work: f64,
    /// What must be done one after the other, in seconds.
    pub path: f64,
    /// The longest task, in seconds.
    pub longest: f64,
}

impl Core {
    /// What is left to do, as measured so far. Of the stages that are not done a task may be at any step that is left
    /// on average. O(stages and their users).
    pub fn remaining(&self) -> Remaining {
        let Core { tasks, counts, estimates, .. } = self;
        let program = &tasks.program;
        let paths = Paths::new(program, |stage| estimates.of_stage(stage));
        let mut remaining = Remaining::default();
        for id in program.stage_ids().filter(|id| counts.left(*id) > 0) {
            let left = counts.left(id);
            if tasks.lane_of(id) == Lane::Compute {
                remaining.work += left as f64 * estimates.of_stage(id);
            }
            remaining.longest = remaining.longest.max(estimates.of_stage(id));
            let space = &program.stage(id).space;
            let chains = (space.tasks() / space.extents().k).max(1) as usize;
            let steps = left.div_ceil(chains).max(1) as u32;
            remaining.path = remaining.path.max(paths.to_end(id, steps));
        }
        remaining
    }

    /// None if it is not there.
    pub fn look_at(&self, worker: WorkerId) -> Option<WorkerView> {
        let queue = self.fleet.get(worker)?;
        let ledger = self.memories.ledger(queue.memory)?;
        Some(WorkerView {
            computing: queue.compute.assigned,
            io: queue.io.assigned,
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
