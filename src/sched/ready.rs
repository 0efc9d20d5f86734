//! Tasks that could start now, most urgent first.

use crate::graph::Program;
use crate::ids::TaskId;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// A task with what decides its turn.
#[derive(Clone, Copy, PartialEq)]
pub struct Urgent {
    /// Seconds of the longest path from the start of this task to the end.
    path: f32,
    /// When it was admitted.
    turn: u64,
    pub task: TaskId,
}

impl Eq for Urgent {}

impl Ord for Urgent {
    fn cmp(&self, other: &Self) -> Ordering {
        self.path.total_cmp(&other.path).then(Reverse(self.turn).cmp(&Reverse(other.turn)))
    }
}

impl PartialOrd for Urgent {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Priority as a formula of stage and step: longest remaining path first, then depth first.
pub struct Paths {
    /// Seconds from the start of the last step of a stage to the end.
    from_last: Vec<f32>,
    /// Seconds of one step.
    step: Vec<f32>,
}

impl Paths {
    pub fn new(program: &Program, seconds: impl Fn(usize) -> f64) -> Self {
        let stages = program.stages().len();
        let step: Vec<f32> = (0..stages).map(|at| seconds(at) as f32).collect();
        let mut from_last = step.clone();
        for id in program.stage_ids().rev() {
            let later = |user: &crate::ids::StageId| *user != id;
            let from_start = |user: crate::ids::StageId| {
                from_last[user.at()] + step[user.at()] * (program.stage(user).space.extents().k - 1) as f32
            };
            let after = program.users(id).filter(later).map(from_start).fold(0.0, f32::max);
            from_last[id.at()] = step[id.at()] + after;
        }
        Paths { from_last, step }
    }

    pub fn urgent(&self, program: &Program, task: TaskId, turn: u64) -> Urgent {
        let space = &program.stage(task.stage).space;
        let left = if space.extents().k > 1 { space.extents().k - 1 - space.coords(task.index).k } else { 0 };
        let path = self.from_last[task.stage.at()] + left as f32 * self.step[task.stage.at()];
        Urgent { path, turn, task }
    }
}

/// A heap whose entries may have gone stale; whoever pops asks the table.
pub type Heap = BinaryHeap<Urgent>;
