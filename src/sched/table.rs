//! What is kept of each task: eight bytes. Zero means untouched, so a fresh table costs nothing.

use crate::ids::WorkerId;
use std::fmt;

/// The place of blocks that are not there because their stage leaves none: they cannot be lost.
pub const NOWHERE: WorkerId = WorkerId(u32::MAX >> 3);

/// What has become of a task.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum State {
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

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Idle => write!(f, "I"),
            State::Waiting => write!(f, "W"),
            State::Ready => write!(f, "R"),
            State::Assigned(w) => write!(f, "A{}", w.0),
            State::Done(w) => write!(f, "D{}", w.0),
            State::Spilled => write!(f, "S"),
            State::Released => write!(f, "F"),
        }
    }
}

impl State {
    fn pack(self) -> u32 {
        let with = |tag: u32, w: WorkerId| tag | w.0 << 3;
        match self {
            State::Idle => 0,
            State::Waiting => 1,
            State::Ready => 2,
            State::Assigned(w) => with(3, w),
            State::Done(w) => with(4, w),
            State::Released => 5,
            State::Spilled => 6,
        }
    }

    fn unpack(word: u32) -> State {
        let worker = WorkerId(word >> 3);
        match word & 7 {
            0 => State::Idle,
            1 => State::Waiting,
            2 => State::Ready,
            3 => State::Assigned(worker),
            4 => State::Done(worker),
            6 => State::Spilled,
            _ => State::Released,
        }
    }

    /// Is the task's work done and known?
    pub fn is_finished(self) -> bool {
        matches!(self, State::Done(_) | State::Spilled | State::Released)
    }

    /// Admitted and not finished?
    pub fn is_pending(self) -> bool {
        matches!(self, State::Waiting | State::Ready | State::Assigned(_))
    }
}

/// State and one counter for each task: missing inputs while it waits, consumers to come when it is done.
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

    pub fn state(&self, at: usize) -> State {
        State::unpack(self.state[at])
    }

    pub fn set(&mut self, at: usize, state: State) {
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
