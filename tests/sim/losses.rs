//! Tasks that crash their workers, and tasks that just happen to be there.

use super::world::World;
use dolmen::ids::{TaskId, WorkerId};

impl World {
    /// Each worker at which this task begins crashes.
    pub fn with_killer(mut self, task: TaskId) -> Self {
        self.killer = Some(task);
        self
    }

    /// Another worker comes for it, with memory enough for the run.
    pub(super) fn killed_by_task(&mut self, id: WorkerId) {
        if self.workers.contains_key(&id) {
            self.crashed_by_killer.insert(id);
            self.crash(id);
            self.join(2);
        }
    }

    /// Might a crash of this worker be the third for a task that has nothing to do with it? The first one counts for
    /// all tasks that were there, the next ones for those about which the worker had asked.
    pub(super) fn would_blame_an_innocent(&self, id: WorkerId) -> bool {
        self.asked.get(&id).is_some_and(|asked| !asked.is_disjoint(&self.suspected))
    }
}
