//! How many tasks are where.

use crate::graph::Program;
use crate::ids::StageId;

/// Numbers of tasks by state. Whoever changes a state tells it here.
pub(super) struct Counts {
    unfinished: usize,
    /// The same by stage.
    left: Vec<usize>,
    /// Of these, those that the walk has come to.
    admitted: usize,
    /// Of these, those that are in a worker's hands.
    assigned: usize,
    recomputed: u64,
    taken_up: u64,
}

impl Counts {
    pub fn new(program: &Program) -> Self {
        let left = program.stages().iter().map(|stage| stage.space.tasks() as usize).collect();
        Counts { unfinished: program.tasks(), left, admitted: 0, assigned: 0, recomputed: 0, taken_up: 0 }
    }

    pub fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Tasks of a stage that are not done.
    pub fn left(&self, stage: StageId) -> usize {
        self.left[stage.at()]
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

    /// Tasks that had been done before this run of the core.
    pub fn taken_up(&self) -> u64 {
        self.taken_up
    }

    /// A task of this stage need not be done: it was, before.
    pub fn take_up(&mut self, stage: StageId) {
        self.unfinished -= 1;
        self.left[stage.at()] -= 1;
        self.taken_up += 1;
    }

    pub fn admit(&mut self) {
        self.admitted += 1;
    }

    pub fn assign(&mut self) {
        self.assigned += 1;
    }

    /// An assigned task is done.
    pub fn finish(&mut self, stage: StageId) {
        self.unfinished -= 1;
        self.left[stage.at()] -= 1;
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

    /// A finished task of this stage is to be done again.
    pub fn redo(&mut self, stage: StageId) {
        self.unfinished += 1;
        self.left[stage.at()] += 1;
        self.recomputed += 1;
    }

    /// A task that was to be done again is not wanted.
    pub fn abandon(&mut self, stage: StageId) {
        self.unfinished -= 1;
        self.left[stage.at()] -= 1;
        self.recomputed -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ProgramBuilder;

    #[test]
    fn what_need_not_be_done_again_does_not_count_as_that() {
        let mut builder = ProgramBuilder::default();
        builder.null_wide(2);
        let (mut counts, stage) = (Counts::new(&builder.finish()), StageId(0));
        counts.take_up(stage);
        counts.redo(stage);
        assert_eq!((counts.recomputed(), counts.left(stage), counts.unfinished()), (1, 2, 2));
        counts.abandon(stage);
        assert_eq!((counts.recomputed(), counts.left(stage), counts.unfinished()), (0, 1, 1));
    }
}
