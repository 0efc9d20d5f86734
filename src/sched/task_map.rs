//! Maps by task or stage that cost a few nanoseconds: their keys are small numbers that we give ourselves.

use crate::ids::{StageId, TaskId, TaskList};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

pub(super) type TaskMap<T> = HashMap<TaskId, T, BuildHasherDefault<TaskHasher>>;
pub(super) type StageMap<T> = HashMap<StageId, T, BuildHasherDefault<TaskHasher>>;
pub(super) type TaskSet = HashSet<TaskId, BuildHasherDefault<TaskHasher>>;

/// An odd number whose bits are in disorder: 2⁶⁴ divided by the golden ratio (Knuth, vol. 3, 6.4).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Default)]
pub(super) struct TaskHasher(u64);

impl Hasher for TaskHasher {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0.rotate_left(29) ^ u64::from(number)).wrapping_mul(GOLDEN);
    }
}

/// A set of very many tasks: one bit for each task of a stage of which some are in it.
#[derive(Default)]
pub(super) struct TaskBits {
    of_stage: Vec<Vec<u64>>,
}

impl TaskBits {
    pub fn insert(&mut self, task: TaskId) {
        let (word, bit) = (task.index as usize / 64, task.index % 64);
        if self.of_stage.len() <= task.stage.at() {
            self.of_stage.resize(task.stage.at() + 1, Vec::new());
        }
        let words = &mut self.of_stage[task.stage.at()];
        if words.len() <= word {
            words.resize(word + 1, 0);
        }
        words[word] |= 1 << bit;
    }

    /// In order.
    pub fn list(&self) -> TaskList {
        let mut list = TaskList::default();
        for (stage, words) in (0..).map(StageId).zip(&self.of_stage) {
            for (number, word) in (0..).zip(words) {
                let set = (0..64_u32).filter(|bit| word >> bit & 1 == 1);
                set.for_each(|bit| list.push(TaskId::new(stage, number * 64 + bit)));
            }
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_listed_in_order() {
        let task = |stage, index| TaskId::new(StageId(stage), index);
        let tasks = [task(0, 0), task(0, 63), task(0, 64), task(0, 130), task(2, 65)];
        let mut bits = TaskBits::default();
        tasks.iter().rev().for_each(|task| bits.insert(*task));
        assert_eq!(bits.list().iter().collect::<Vec<_>>(), tasks);
    }
}
