//! What is kept of each task: eight bytes. Zero means untouched, so a fresh table costs nothing.

use crate::ids::WorkerId;
use std::fmt;

/// The place of blocks that are not there because their stage leaves none: they cannot be lost.
pub const NOWHERE: WorkerId = WorkerId(u32::MAX >> 3);

/// What has become of a task.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// Not begun, or lost and not yet asked for again.
    Idle,
    /// Admitted; waits for inputs.
    Waiting,
    /// All inputs are there; waits for a worker.
    Ready,
    /// Handed to a worker.
    Assigned(WorkerId),
    /// Its block lies at this worker, or [`NOWHERE`].
    Done(WorkerId),
    /// Done, and its block is out of memory: it comes back when a task wants it.
    Spilled,
    /// Done, and its block was given up: every consumer is done.
    Released,
}

impl fmt::Debug for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskState::Idle => write!(f, "I"),
            TaskState::Waiting => write!(f, "W"),
            TaskState::Ready => write!(f, "R"),
            TaskState::Assigned(w) => write!(f, "A{}", w.0),
            TaskState::Done(w) => write!(f, "D{}", w.0),
            TaskState::Spilled => write!(f, "S"),
            TaskState::Released => write!(f, "F"),
        }
    }
}

impl TaskState {
    fn pack(self) -> u32 {
        let with = |tag: u32, w: WorkerId| tag | w.0 << 3;
        match self {
            TaskState::Idle => 0,
            TaskState::Waiting => 1,
            TaskState::Ready => 2,
            TaskState::Assigned(w) => with(3, w),
            TaskState::Done(w) => with(4, w),
            TaskState::Released => 5,
            TaskState::Spilled => 6,
        }
    }

    fn unpack(word: u32) -> TaskState {
        let worker = WorkerId(word >> 3);
        match word & 7 {
            0 => TaskState::Idle,
            1 => TaskState::Waiting,
            2 => TaskState::Ready,
            3 => TaskState::Assigned(worker),
            4 => TaskState::Done(worker),
            6 => TaskState::Spilled,
            _ => TaskState::Released,
        }
    }

    /// Is the task's work done and known?
    pub fn is_finished(self) -> bool {
        matches!(self, TaskState::Done(_) | TaskState::Spilled | TaskState::Released)
    }

    /// Admitted and not finished?
    pub fn is_pending(self) -> bool {
        matches!(self, TaskState::Waiting | TaskState::Ready | TaskState::Assigned(_))
    }
}

/// TaskState and one counter for each task: missing inputs while it waits, consumers to come when it is done.
pub struct Table {
    state: Vec<u32>,
    count: Vec<u32>,
}

impl Table {
    pub fn new(tasks: usize) -> Self {
        Table { state: vec![0; tasks], count: vec![0; tasks] }
    }

    pub fn len(&self) -> usize {
        self.state.len()
    }

    pub fn state(&self, at: usize) -> TaskState {
        TaskState::unpack(self.state[at])
    }

    pub fn set(&mut self, at: usize, state: TaskState) {
        self.state[at] = state.pack();
    }

    pub fn count(&self, at: usize) -> u32 {
        self.count[at]
    }

    pub fn set_count(&mut self, at: usize, count: u32) {
        // A page that holds only zeros is better left untouched: it takes no memory.
        if self.count[at] != count {
            self.count[at] = count;
        }
    }

    pub fn add(&mut self, at: usize) {
        self.count[at] += 1;
    }

    /// Takes one off and returns what is left.
    pub fn take(&mut self, at: usize) -> u32 {
        self.count[at] -= 1;
        self.count[at]
    }
}
