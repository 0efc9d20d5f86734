//! What is left of a run, as an autoscaler has to know it: what is to be computed, read and written, and what memory is
//! wanted.

use super::Core;
use crate::graph::kinds::Io;
use crate::ids::{StageId, TaskId};
use crate::sched::lane::Lane;
use crate::sched::table::TaskState;

/// What is left of a run.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Remaining {
    /// Its phases, one after the other: none begins before the one before it is done.
    pub phases: Vec<RemainingPhase>,
    /// The longest task, in seconds.
    pub longest: f64,
    /// Bytes of blocks that are wanted: in memory, beside what could go without loss, and those that had to go.
    pub wanted: u64,
    /// Blocks had to go, or tasks wait, because memory has no room for them.
    pub is_short_of_room: bool,
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
    /// Bytes that are read and written.
    pub bytes: f64,
    /// Bytes of blocks that a task that computes has in its hands.
    pub holds: u64,
}

/// When a stage would go on if there were as many cores as tasks.
#[derive(Clone, Copy)]
struct Interval {
    from: f64,
    to: f64,
    work: f64,
    width: f64,
    bytes: f64,
    holds: u64,
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
        let Interval { from, to, work, width, bytes, holds } = interval;
        going.retain(|other| other.to > from + ROUNDING);
        going.push(interval);
        match phases.last_mut() {
            Some(phase) if from < until - ROUNDING => {
                phase.work += work;
                phase.path += (to - until).max(0.0);
                phase.width = phase.width.max(going.iter().map(|interval| interval.width).sum());
                phase.bytes += bytes;
                phase.holds = phase.holds.max(holds);
            }
            _ => phases.push(RemainingPhase { work, path: to - from, width, bytes, holds }),
        }
        until = until.max(to);
    }
    phases
}

impl Core {
    /// What is left to do, as measured so far. Of the stages that are not done a task may be at any step that is left
    /// on average. O(stages · log stages and their users, blocks that have been written or lie idle).
    pub fn remaining(&self) -> Remaining {
        let Core { tasks, counts, estimates, .. } = self;
        let program = &tasks.program;
        let mut intervals = Vec::new();
        let mut longest = 0.0_f64;
        // When all is done that a stage reads, and when that is begun.
        let mut from = vec![0.0_f64; program.stages().len()];
        let mut first = from.clone();
        for id in program.stage_ids().filter(|id| counts.left(*id) > 0) {
            let left = counts.left(id);
            let seconds = estimates.of_stage(id);
            let stage = program.stage(id);
            let chains = (stage.space.tasks() / stage.space.extents().k).max(1) as usize;
            let steps = (left as f64 / chains as f64).max(1.0);
            let computes = tasks.lane_of(id) == Lane::Compute;
            // What is written is written as it comes.
            let begin = if stage.kind.io() == Some(Io::Write) { first[id.at()] } else { from[id.at()] };
            let to = begin + steps * seconds;
            let work = if computes { left as f64 * seconds } else { 0.0 };
            let width = if computes { left.min(chains) as f64 } else { 0.0 };
            let (reads, makes) = self.bytes_of(id);
            let holds = if computes { reads + makes } else { 0 };
            let bytes = if computes { 0.0 } else { left as f64 * reads.max(makes) as f64 };
            intervals.push(Interval { from: begin, to, work, width, bytes, holds });
            longest = longest.max(seconds);
            // What is read is computed with as it comes.
            let ready = if computes { to } else { from[id.at()] };
            for user in program.users(id).filter(|user| *user != id) {
                from[user.at()] = from[user.at()].max(ready);
                first[user.at()] = first[user.at()].max(begin);
            }
        }
        let (wanted, is_short_of_room) = self.room_wanted();
        Remaining { phases: phases(intervals), longest, wanted, is_short_of_room }
    }

    /// Bytes that the first task of a stage reads and makes.
    fn bytes_of(&self, stage: StageId) -> (u64, u64) {
        let program = &self.tasks.program;
        let task = TaskId::new(stage, 0);
        let mut inputs = Vec::new();
        program.inputs(task, &mut inputs);
        (inputs.iter().map(|block| program.size(*block)).sum(), program.size(task))
    }

    /// Bytes of blocks that are wanted in memory, and whether there is too little of it.
    fn room_wanted(&self) -> (u64, bool) {
        let is_out = |block: &TaskId| self.tasks.state(*block) == TaskState::Spilled;
        let out: u64 = self.transit.written().filter(is_out).map(|block| self.tasks.size(block)).sum();
        let held: u64 = self.memories.ledgers().map(|(_, ledger)| ledger.reserved()).sum();
        let is_short = out > 0 || self.transit.is_moving() || self.waits_for_room();
        (held.saturating_sub(self.eviction.bytes_of_copies()) + out, is_short)
    }

    /// Could a worker begin a task that has no room in any memory?
    fn waits_for_room(&self) -> bool {
        let is_ready = |task: TaskId| self.tasks.state(task) == TaskState::Ready;
        let ready = self.ready.peek(Lane::Compute).filter(|task| is_ready(*task));
        let has_nothing_to_do =
            |task: TaskId| self.fleet.least_loaded(Lane::Compute, self.estimates.of(task)).is_some();
        let is_held = self.ahead.is_bounded_by_memory() && self.admission.held().is_some();
        ready.is_some_and(has_nothing_to_do) || (is_held && self.fleet.has_idle())
    }
}

#[cfg(test)]
#[path = "remaining_tests.rs"]
mod tests;
