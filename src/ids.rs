//! Names of things: stages, tasks, ranges of tasks, workers, runs. Pure.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Position of a stage in its [`Program`](crate::graph::Program).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StageId(pub u32);

impl StageId {
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

/// One task: it makes exactly one block, and the block bears its name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskId {
    pub stage: StageId,
    pub index: u32,
}

/// The block that a task makes.
pub type BlockId = TaskId;

impl TaskId {
    pub fn new(stage: StageId, index: u32) -> Self {
        TaskId { stage, index }
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}.{}", self.stage, self.index)
    }
}

/// Tasks `start..end` of one stage.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRange {
    pub stage: StageId,
    pub start: u32,
    pub end: u32,
}

impl TaskRange {
    pub fn one(task: TaskId) -> Self {
        TaskRange { stage: task.stage, start: task.index, end: task.index + 1 }
    }

    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn tasks(self) -> impl Iterator<Item = TaskId> {
        (self.start..self.end).map(move |index| TaskId::new(self.stage, index))
    }
}

impl fmt::Debug for TaskRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}.{}..{}", self.stage, self.start, self.end)
    }
}

/// A list of tasks in which neighbours are kept as ranges.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskList {
    ranges: Vec<TaskRange>,
}

impl TaskList {
    pub fn push(&mut self, task: TaskId) {
        match self.ranges.last_mut() {
            Some(last) if last.stage == task.stage && last.end == task.index => last.end += 1,
            _ => self.ranges.push(TaskRange::one(task)),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub fn len(&self) -> usize {
        self.ranges.iter().map(TaskRange::len).sum()
    }

    pub fn ranges(&self) -> &[TaskRange] {
        &self.ranges
    }

    pub fn iter(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.ranges.iter().flat_map(|range| range.tasks())
    }

    pub fn clear(&mut self) {
        self.ranges.clear();
    }
}

impl FromIterator<TaskId> for TaskList {
    fn from_iter<I: IntoIterator<Item = TaskId>>(tasks: I) -> Self {
        let mut list = TaskList::default();
        tasks.into_iter().for_each(|task| list.push(task));
        list
    }
}

impl fmt::Debug for TaskList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.ranges).finish()
    }
}

/// A worker's name. Never used again after the worker has gone, so a late message betrays itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WorkerId(pub u32);

impl fmt::Debug for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}", self.0)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {}", self.0)
    }
}

/// A graph wired by hand. No two graphs of a process have the same name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GraphId(pub u64);

/// One submission of one program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Debug)]
pub struct RunId(pub u64);

/// A memory that workers share: that of one process. Its bytes are counted together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Debug)]
pub struct MemoryId(pub u32);
