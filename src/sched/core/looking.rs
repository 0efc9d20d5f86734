//! What a worker has to do and holds, for whoever wants to see it.

use super::Core;
use crate::ids::{BlockId, StageId, WorkerId};
use crate::sched::lane::Lane;

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
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Remaining {
    /// Its phases, one after the other: none begins before the one before it is done.
    pub phases: Vec<RemainingPhase>,
    /// The longest task, in seconds.
    pub longest: f64,
}

/// Stages that may go on at the same time.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct RemainingPhase {
    /// All that computes, in core-seconds.
    pub work: f64,
    /// What must be done one after the other, in seconds.
    pub path: f64,
    /// Tasks that can go on at the same time.
    pub width: f64,
}

/// When a stage would go on if there were as many cores as tasks.
#[derive(Clone, Copy)]
struct Interval {
    from: f64,
    to: f64,
    work: f64,
    width: f64,
}

/// A smaller part of a second is rounding.
const ROUNDING: f64 = 1e-9;

/// Intervals that overlap are of one phase.
fn phases(mut intervals: Vec<Interval>) -> Vec<RemainingPhase> {
    intervals.sort_by(|a, b| a.from.total_cmp(&b.from));
    let mut phases: Vec<RemainingPhase> = Vec::new();
    let mut until = 0.0_f64;
    // Those of the phase so far.
    let mut going: Vec<Interval> = Vec::new();
    for interval in intervals {
        let Interval { from, to, work, width } = interval;
        going.retain(|other| other.to > from + ROUNDING);
        going.push(interval);
        match phases.last_mut() {
            Some(phase) if from < until - ROUNDING => {
                phase.work += work;
                phase.path += (to - until).max(0.0);
                phase.width = phase.width.max(going.iter().map(|interval| interval.width).sum());
            }
            _ => phases.push(RemainingPhase { work, path: to - from, width }),
        }
        until = until.max(to);
    }
    phases
}

impl Core {
    /// What is left to do, as measured so far. Of the stages that are not done a task may be at any step that is left
    /// on average. O(stages · log stages and their users).
    pub fn remaining(&self) -> Remaining {
        let Core { tasks, counts, estimates, .. } = self;
        let program = &tasks.program;
        let mut intervals = Vec::new();
        let mut longest = 0.0_f64;
        // When all is done that a stage reads.
        let mut from = vec![0.0_f64; program.stages().len()];
        for id in program.stage_ids().filter(|id| counts.left(*id) > 0) {
            let left = counts.left(id);
            let seconds = estimates.of_stage(id);
            let space = &program.stage(id).space;
            let chains = (space.tasks() / space.extents().k).max(1) as usize;
            let steps = (left as f64 / chains as f64).max(1.0);
            let to = from[id.at()] + steps * seconds;
            let computes = tasks.lane_of(id) == Lane::Compute;
            let work = if computes { left as f64 * seconds } else { 0.0 };
            let width = if computes { left.min(chains) as f64 } else { 0.0 };
            intervals.push(Interval { from: from[id.at()], to, work, width });
            longest = longest.max(seconds);
            // What is read is computed with as it comes.
            let ready = if computes { to } else { from[id.at()] };
            for user in program.users(id).filter(|user| *user != id) {
                from[user.at()] = from[user.at()].max(ready);
            }
        }
        Remaining { phases: phases(intervals), longest }
    }

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
