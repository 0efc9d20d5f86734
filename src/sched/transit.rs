//! Blocks on their way out of memory, and those that have been written.

use crate::ids::{BlockId, MemoryId, WorkerId};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Ordered maps where the order shows: what the core says must not depend on the order of a hash.
#[derive(Default)]
pub(super) struct Transit {
    /// Blocks being written, and where. They take memory until they are.
    leaving: BTreeMap<BlockId, WorkerId>,
    /// Blocks that have been written, be they in memory too, and whose workers can read them.
    files: HashMap<BlockId, MemoryId>,
}

impl Transit {
    /// Is anything on its way?
    pub fn is_moving(&self) -> bool {
        !self.leaving.is_empty()
    }

    pub fn leave(&mut self, block: BlockId, worker: WorkerId) {
        self.leaving.insert(block, worker);
    }

    /// The worker that writes a block.
    pub fn leaves_from(&self, block: BlockId) -> Option<WorkerId> {
        self.leaving.get(&block).copied()
    }

    /// Takes a block off those that leave; false if it was not expected from there.
    pub fn has_left(&mut self, block: BlockId, worker: WorkerId) -> bool {
        let expected = self.leaves_from(block) == Some(worker);
        if expected {
            self.leaving.remove(&block);
        }
        expected
    }

    /// Where a block has been written, if it has.
    pub fn file(&self, block: BlockId) -> Option<MemoryId> {
        self.files.get(&block).copied()
    }

    pub fn add_file(&mut self, block: BlockId, memory: MemoryId) {
        self.files.insert(block, memory);
    }

    /// Where it was, if there was one.
    pub fn remove_file(&mut self, block: BlockId) -> Option<MemoryId> {
        self.files.remove(&block)
    }

    /// Blocks that have been written, in no order.
    pub fn written(&self) -> impl Iterator<Item = BlockId> {
        self.files.keys().copied()
    }

    pub fn leaving(&self) -> impl Iterator<Item = (BlockId, WorkerId)> {
        self.leaving.iter().map(|(block, worker)| (*block, *worker))
    }

    /// Drops what was on its way at a worker that is gone; returns the blocks that were leaving it.
    pub fn forget_worker(&mut self, worker: WorkerId) -> HashSet<BlockId> {
        self.leaving.extract_if(.., |_, at| *at == worker).map(|(block, _)| block).collect()
    }

    /// Nobody can read the files of a memory any more; returns their blocks.
    pub fn forget_files(&mut self, memory: MemoryId) -> HashSet<BlockId> {
        self.files.extract_if(|_, at| *at == memory).map(|(block, _)| block).collect()
    }
}
