//! Which task is admitted next: the walk, with one task in hand that did not fit yet.

use super::tasks::Tasks;
use super::walk::{Ground, Walk};
use crate::ids::TaskId;

/// Where the walk is.
#[derive(Default)]
pub(super) struct Admission {
    walk: Walk,
    /// The next task of the walk, if it did not fit yet. Nothing overtakes it.
    held: Option<TaskId>,
    /// The walk has come to its end.
    exhausted: bool,
    /// The walk has passed over tasks that are to be done again.
    stale: bool,
}

impl Admission {
    /// The walk goes at so many places of a tall matrix at once.
    pub fn of_width(width: u32) -> Self {
        Admission { walk: Walk::of_width(width), ..Admission::default() }
    }

    pub fn next(&mut self, tasks: &Tasks) -> Option<TaskId> {
        // What is held may have been abandoned meanwhile.
        let held = self.held.take().filter(|task| tasks.missing(*task));
        let next = held.or_else(|| self.walk.next(&tasks.program, tasks));
        self.exhausted |= next.is_none();
        next
    }

    /// `task` has to wait, and everything behind it.
    pub fn hold(&mut self, task: TaskId) {
        self.held = Some(task);
    }

    pub fn held(&self) -> Option<TaskId> {
        self.held
    }

    /// Has the walk admitted everything?
    pub fn is_through(&self) -> bool {
        self.exhausted && self.held.is_none()
    }

    pub fn make_stale(&mut self) {
        self.stale = true;
    }

    /// Must the walk begin anew?
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    pub fn begin_anew(&mut self) {
        self.walk.restart();
        self.held = None;
        self.exhausted = false;
        self.stale = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ProgramBuilder;
    use std::sync::Arc;

    #[test]
    fn nothing_overtakes_what_is_held() {
        let mut builder = ProgramBuilder::default();
        builder.null_wide(2);
        let tasks = Tasks::new(Arc::new(builder.finish()));
        let mut admission = Admission::default();
        let first = admission.next(&tasks).expect("a task");
        admission.hold(first);
        assert_eq!(admission.held(), Some(first));
        assert_eq!(admission.next(&tasks), Some(first));
        let last = admission.next(&tasks).expect("another task");
        assert!(!admission.is_through(), "nobody knows yet that it is the last one");
        assert_eq!(admission.next(&tasks), None);
        assert!(admission.is_through());
        admission.hold(last);
        assert!(!admission.is_through());
    }
}
