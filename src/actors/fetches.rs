//! Tasks that wait for blocks from other workers, and the blocks that are on their way.

use crate::ids::{BlockId, TaskId};
use std::collections::HashMap;

#[derive(Default)]
pub struct Fetches {
    /// The blocks that each task waits for.
    missing: HashMap<TaskId, Vec<BlockId>>,
    /// The tasks that wait for each block that has been asked for. There may be none left.
    coming: HashMap<BlockId, Vec<TaskId>>,
}

impl Fetches {
    /// `task` waits for these blocks. Returns those that nobody has asked for yet.
    pub fn wait(&mut self, task: TaskId, missing: Vec<BlockId>) -> Vec<BlockId> {
        let ask = missing.iter().copied().filter(|block| !self.coming.contains_key(block)).collect();
        for block in &missing {
            self.coming.entry(*block).or_default().push(task);
        }
        self.missing.insert(task, missing);
        ask
    }

    /// A block has come. Returns the tasks that wait for nothing more.
    pub fn arrived(&mut self, block: BlockId) -> Vec<TaskId> {
        let mut tasks = self.coming.remove(&block).unwrap_or_default();
        tasks.retain(|task| {
            let Some(missing) = self.missing.get_mut(task) else { return false };
            missing.retain(|other| *other != block);
            missing.is_empty()
        });
        tasks.iter().for_each(|task| drop(self.missing.remove(task)));
        tasks
    }

    /// A block cannot be had. Returns the tasks that waited for it; they wait no more, for other blocks neither.
    pub fn failed(&mut self, block: BlockId) -> Vec<TaskId> {
        let tasks = self.coming.remove(&block).unwrap_or_default();
        for task in &tasks {
            for other in self.missing.remove(task).unwrap_or_default() {
                if let Some(waiting) = self.coming.get_mut(&other) {
                    waiting.retain(|known| known != task);
                }
            }
        }
        tasks
    }

    /// Has this block been asked for?
    pub fn is_coming(&self, block: BlockId) -> bool {
        self.coming.contains_key(&block)
    }

    pub fn clear(&mut self) {
        self.missing.clear();
        self.coming.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StageId;

    fn id(stage: u32, index: u32) -> TaskId {
        TaskId::new(StageId(stage), index)
    }

    const A: BlockId = BlockId { stage: StageId(0), index: 0 };
    const B: BlockId = BlockId { stage: StageId(0), index: 1 };

    #[test]
    fn a_block_is_asked_for_once_and_a_task_begins_with_its_last_block() {
        let mut fetches = Fetches::default();
        assert_eq!(fetches.wait(id(1, 0), vec![A, B]), [A, B]);
        assert_eq!(fetches.wait(id(1, 1), vec![B]), []);
        assert_eq!(fetches.arrived(B), [id(1, 1)]);
        assert_eq!(fetches.arrived(A), [id(1, 0)]);
        assert_eq!(fetches.wait(id(1, 2), vec![A]), [A]);
    }

    /// It used to be counted twice for the block that was still on its way, and began without the other one.
    #[test]
    fn a_task_that_comes_again_waits_for_each_block_once() {
        let mut fetches = Fetches::default();
        fetches.wait(id(1, 0), vec![A, B]);
        assert_eq!(fetches.failed(A), [id(1, 0)]);
        assert_eq!(fetches.wait(id(1, 0), vec![A, B]), [A], "B is still on its way");
        assert_eq!(fetches.arrived(B), []);
        assert_eq!(fetches.arrived(A), [id(1, 0)]);
    }

    #[test]
    fn what_was_given_back_is_not_begun_when_a_block_comes_late() {
        let mut fetches = Fetches::default();
        fetches.wait(id(1, 0), vec![A, B]);
        fetches.failed(A);
        assert_eq!(fetches.arrived(B), []);
        assert_eq!(fetches.failed(B), []);
    }
}
