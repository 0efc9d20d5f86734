//! Blocks on their way out of memory and back.

use crate::ids::{BlockId, WorkerId};
use std::collections::{BTreeMap, HashSet};

/// Ordered maps: what the core says must not depend on the order of a hash.
#[derive(Default)]
pub(super) struct Transit {
    /// Blocks being written, and where. They take memory until they are.
    leaving: BTreeMap<BlockId, WorkerId>,
    /// Blocks being read back, and where; nowhere yet if they have to leave first. Their memory is reserved.
    coming: BTreeMap<BlockId, Option<WorkerId>>,
    /// Blocks that are in the place for spilled blocks, be they in memory too.
    written: HashSet<BlockId>,
}

impl Transit {
    /// Is anything on its way?
    pub fn is_moving(&self) -> bool {
        !self.leaving.is_empty() || !self.coming.is_empty()
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

    /// A block comes back at `worker`, or as soon as one can take it.
    pub fn come(&mut self, block: BlockId, worker: Option<WorkerId>) {
        self.coming.insert(block, worker);
    }

    pub fn is_coming(&self, block: BlockId) -> bool {
        self.coming.contains_key(&block)
    }

    /// Is a block being read back at `worker`?
    pub fn comes_to(&self, block: BlockId, worker: WorkerId) -> bool {
        self.coming.get(&block) == Some(&Some(worker))
    }

    /// Is a block to come back that nobody reads yet?
    pub fn is_waiting(&self, block: BlockId) -> bool {
        self.coming.get(&block) == Some(&None)
    }

    /// The blocks that nobody reads yet although they have left.
    pub fn waiting(&self) -> Vec<BlockId> {
        let waiting = self
            .coming
            .iter()
            .filter(|(block, worker)| worker.is_none() && !self.leaving.contains_key(block));
        waiting.map(|(block, _)| *block).collect()
    }

    /// Takes a block off those that come; false if it was not expected from there.
    pub fn has_come(&mut self, block: BlockId, worker: WorkerId) -> bool {
        let expected = self.comes_to(block, worker);
        if expected {
            self.coming.remove(&block);
        }
        expected
    }

    /// Is a block on its way out or in?
    pub fn moves(&self, block: BlockId) -> bool {
        self.leaving.contains_key(&block) || self.coming.contains_key(&block)
    }

    pub fn is_written(&self, block: BlockId) -> bool {
        self.written.contains(&block)
    }

    pub fn add_file(&mut self, block: BlockId) {
        self.written.insert(block);
    }

    /// True if there was one.
    pub fn remove_file(&mut self, block: BlockId) -> bool {
        self.written.remove(&block)
    }

    pub fn leaving(&self) -> impl Iterator<Item = (BlockId, WorkerId)> {
        self.leaving.iter().map(|(block, worker)| (*block, *worker))
    }

    pub fn coming(&self) -> impl Iterator<Item = (BlockId, Option<WorkerId>)> {
        self.coming.iter().map(|(block, worker)| (*block, *worker))
    }

    /// For a walk that begins anew: it asks again for what nobody reads yet.
    pub fn forget_waiting(&mut self) {
        self.coming.retain(|_, worker| worker.is_some());
    }

    /// Drops what was on its way at a worker that is gone; returns the blocks that were leaving it.
    pub fn forget_worker(&mut self, worker: WorkerId) -> HashSet<BlockId> {
        self.coming.retain(|_, at| *at != Some(worker));
        self.leaving.extract_if(.., |_, at| *at == worker).map(|(block, _)| block).collect()
    }
}
