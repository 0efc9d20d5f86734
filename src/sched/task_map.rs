//! Maps by task that cost a few nanoseconds: their keys are small numbers that we give ourselves.

use crate::ids::TaskId;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

pub(super) type TaskMap<T> = HashMap<TaskId, T, BuildHasherDefault<TaskHasher>>;
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
