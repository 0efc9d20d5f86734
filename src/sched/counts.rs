//! How many tasks are where.

/// Numbers of tasks by state. Whoever changes a state tells it here.
pub(super) struct Counts {
    unfinished: usize,
    /// Of these, those that the walk has come to.
    admitted: usize,
    /// Of these, those that are in a worker's hands.
    assigned: usize,
    recomputed: u64,
}

impl Counts {
    pub fn new(tasks: usize) -> Self {
        Counts { unfinished: tasks, admitted: 0, assigned: 0, recomputed: 0 }
    }

    pub fn unfinished(&self) -> usize {
        self.unfinished
    }

    pub fn admitted(&self) -> usize {
        self.admitted
    }

    pub fn assigned(&self) -> usize {
        self.assigned
    }

    /// Tasks that were done more than once, or will be.
    pub fn recomputed(&self) -> u64 {
        self.recomputed
    }

    pub fn admit(&mut self) {
        self.admitted += 1;
    }

    pub fn assign(&mut self) {
        self.assigned += 1;
    }

    /// An assigned task is done.
    pub fn finish(&mut self) {
        self.unfinished -= 1;
        self.forget_assigned();
    }

    /// An assigned task is admitted only.
    pub fn take_back(&mut self) {
        self.assigned -= 1;
    }

    /// A task that was admitted only is not any more.
    pub fn forget_admitted(&mut self) {
        self.admitted -= 1;
    }

    /// An assigned task is no longer admitted.
    pub fn forget_assigned(&mut self) {
        self.admitted -= 1;
        self.assigned -= 1;
    }

    /// So many finished tasks are to be done again.
    pub fn redo(&mut self, tasks: usize) {
        self.unfinished += tasks;
        self.recomputed += tasks as u64;
    }

    /// A task that was to be done again is not wanted.
    pub fn abandon(&mut self) {
        self.unfinished -= 1;
        self.recomputed -= 1;
    }
}
