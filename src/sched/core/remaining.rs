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

/// When a stage could begin if there were as many cores as tasks.
#[derive(Clone, Copy, Default)]
struct Begin {
    /// When all is begun that it reads.
    sources_begin: f64,
    /// When all is done that it reads.
    sources_end: f64,
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
        let program = &self.tasks.program;
        let begins = self.begins();
        let mut intervals = Vec::new();
        let mut longest = 0.0_f64;
        for id in program.stage_ids().filter(|id| self.counts.left(*id) > 0) {
            intervals.push(self.interval(id, &begins));
            longest = longest.max(self.estimates.of_stage(id));
        }
        let (wanted, is_short_of_room) = self.room_wanted();
        Remaining { phases: phases(intervals), longest, wanted, is_short_of_room }
    }

    /// What a stage takes from when it could begin on, and how many cores could do it.
    fn interval(&self, id: StageId, begins: &[Begin]) -> Interval {
        let stage = self.tasks.program.stage(id);
        let begin = begins[id.at()];
        // What is read or made from nothing is so when it is used, and what is written as it comes.
        let from = match stage.kind.is_source() {
            true => self.first_use(id, begins),
            false if stage.kind.io() == Some(Io::Write) => begin.sources_begin,
            false => begin.sources_end,
        };
        let (left, seconds) = (self.counts.left(id), self.estimates.of_stage(id));
        let computes = self.tasks.lane_of(id) == Lane::Compute;
        let (reads, makes) = self.bytes_of(id);
        let to = from + self.steps_left(id) * seconds;
        match computes {
            true => {
                let (work, width) = (left as f64 * seconds, left.min(self.chains(id)) as f64);
                Interval { from, to, work, width, bytes: 0.0, holds: reads + makes }
            }
            false => {
                let bytes = left as f64 * reads.max(makes) as f64;
                Interval { from, to, work: 0.0, width: 0.0, bytes, holds: 0 }
            }
        }
    }

    /// When each stage could begin if there were as many cores as tasks.
    fn begins(&self) -> Vec<Begin> {
        let program = &self.tasks.program;
        let mut begins = vec![Begin::default(); program.stages().len()];
        for id in program.stage_ids().filter(|id| self.counts.left(*id) > 0) {
            let from = begins[id.at()].sources_end;
            // What is read, or made from nothing, is computed with as it comes.
            let comes = self.tasks.lane_of(id) != Lane::Compute || program.stage(id).kind.is_source();
            let ready = if comes { from } else { from + self.steps_left(id) * self.estimates.of_stage(id) };
            for user in program.users(id).filter(|user| *user != id) {
                let begin = &mut begins[user.at()];
                begin.sources_end = begin.sources_end.max(ready);
                begin.sources_begin = begin.sources_begin.max(from);
            }
        }
        begins
    }

    /// When the first of those stages begins that use what this one makes.
    fn first_use(&self, id: StageId, begins: &[Begin]) -> f64 {
        let users = self.tasks.program.users(id).filter(|user| self.counts.left(*user) > 0);
        users.map(|user| begins[user.at()].sources_end).reduce(f64::min).unwrap_or(0.0)
    }

    /// Tasks of a stage that can go on at the same time when it begins.
    fn chains(&self, id: StageId) -> usize {
        let space = &self.tasks.program.stage(id).space;
        (space.tasks() / space.extents().k).max(1) as usize
    }

    /// Steps that are left of each chain of a stage, on average.
    fn steps_left(&self, id: StageId) -> f64 {
        (self.counts.left(id) as f64 / self.chains(id) as f64).max(1.0)
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
