//! Tasks that could start now, most urgent first.

use super::estimates::Estimates;
use super::lane::Lane;
use super::table::TaskState;
use super::tasks::Tasks;
use crate::graph::Program;
use crate::ids::{StageId, TaskId};
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// A task with what decides its turn.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Urgent {
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
pub(super) struct Paths {
    /// Seconds from the start of the last step of a stage to the end.
    from_last: Vec<f32>,
    /// Seconds of one step.
    step: Vec<f32>,
}

impl Paths {
    pub fn new(program: &Program, seconds: impl Fn(StageId) -> f64) -> Self {
        let step: Vec<f32> = program.stage_ids().map(|stage| seconds(stage) as f32).collect();
        let mut from_last = step.clone();
        for id in program.stage_ids().rev() {
            let later = |user: &StageId| *user != id;
            let from_start = |user: StageId| {
                from_last[user.at()] + step[user.at()] * (program.stage(user).space.extents().k - 1) as f32
            };
            let after = program.users(id).filter(later).map(from_start).fold(0.0, f32::max);
            from_last[id.at()] = step[id.at()] + after;
        }
        Paths { from_last, step }
    }

    /// Seconds to the end from where so many steps of a stage are left, one at least.
    pub fn to_end(&self, stage: StageId, left: u32) -> f64 {
        f64::from(self.from_last[stage.at()]) + f64::from(left - 1) * f64::from(self.step[stage.at()])
    }

    fn urgent(&self, program: &Program, task: TaskId, turn: u64) -> Urgent {
        let space = &program.stage(task.stage).space;
        let left = if space.extents().k > 1 { space.extents().k - 1 - space.coords(task.index).k } else { 0 };
        let path = self.from_last[task.stage.at()] + left as f32 * self.step[task.stage.at()];
        Urgent { path, turn, task }
    }
}

/// A heap whose entries may have gone stale; whoever pops asks the table.
pub(super) type Heap = BinaryHeap<Urgent>;

/// The tasks that are ready and wait for a worker, by class.
pub(super) struct ReadyTasks {
    compute: Heap,
    io: Heap,
    pinned: Heap,
    paths: Paths,
    /// Tasks so far.
    turn: u64,
}

impl ReadyTasks {
    pub fn new(program: &Program, estimates: &Estimates) -> Self {
        let paths = Paths::new(program, |stage| estimates.of_stage(stage));
        ReadyTasks { compute: Heap::new(), io: Heap::new(), pinned: Heap::new(), paths, turn: 0 }
    }

    fn heap(&self, lane: Lane) -> &Heap {
        match lane {
            Lane::Compute => &self.compute,
            Lane::Io => &self.io,
            Lane::Pinned => &self.pinned,
        }
    }

    fn heap_mut(&mut self, lane: Lane) -> &mut Heap {
        match lane {
            Lane::Compute => &mut self.compute,
            Lane::Io => &mut self.io,
            Lane::Pinned => &mut self.pinned,
        }
    }

    /// All inputs of `task` are there.
    pub fn push(&mut self, tasks: &mut Tasks, task: TaskId) {
        tasks.set(task, TaskState::Ready);
        let urgent = self.paths.urgent(&tasks.program, task, self.turn);
        self.turn += 1;
        self.heap_mut(tasks.lane(task)).push(urgent);
    }

    /// Takes in compute tasks that were parked for a worker.
    pub fn take_in(&mut self, parked: Heap) {
        self.compute.extend(parked);
    }

    /// Takes a compute task in again that could not be placed.
    pub fn put_back(&mut self, urgent: Urgent) {
        self.compute.push(urgent);
    }

    /// The most urgent task that is ready still. Entries that are not go.
    pub fn first(&mut self, tasks: &Tasks, lane: Lane) -> Option<Urgent> {
        let heap = self.heap_mut(lane);
        while let Some(urgent) = heap.peek().copied() {
            if tasks.state(urgent.task) == TaskState::Ready {
                return Some(urgent);
            }
            heap.pop();
        }
        None
    }

    pub fn pop(&mut self, lane: Lane) {
        self.heap_mut(lane).pop();
    }

    pub fn is_empty(&self, lane: Lane) -> bool {
        self.heap(lane).is_empty()
    }

    pub fn clear(&mut self) {
        self.compute.clear();
        self.io.clear();
        self.pinned.clear();
    }
}
