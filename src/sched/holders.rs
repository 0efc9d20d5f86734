//! Who holds a block beside the worker that the table names, and who is to get a copy.

use crate::ids::{BlockId, WorkerId};
use std::collections::HashMap;

/// A block on its way from a leaving worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Transfer {
    pub from: WorkerId,
    pub to: WorkerId,
}

/// A copy that has come to nothing.
pub(super) struct FailedCopy {
    pub from: WorkerId,
    /// How often copies of this block have failed.
    pub times: u32,
}

/// Further holders of blocks, and copies under way. Both are few: a block has an entry only while it has more than one
/// holder or leaves with one.
#[derive(Default)]
pub(super) struct Holders {
    /// A block that was lost while a copy was in use has holders here before it is made again.
    further: HashMap<BlockId, Vec<WorkerId>>,
    /// Copies under way from leaving workers.
    copies: HashMap<BlockId, Transfer>,
    /// How many of these each worker gives.
    giving: HashMap<WorkerId, u32>,
    /// How often copies of a block have failed.
    failures: HashMap<BlockId, u32>,
}

impl Holders {
    pub fn add(&mut self, block: BlockId, worker: WorkerId) {
        let further = self.further.entry(block).or_default();
        if !further.contains(&worker) {
            further.push(worker);
        }
    }

    /// `worker` is not a further holder any more.
    pub fn remove(&mut self, block: BlockId, worker: WorkerId) {
        if self.further.is_empty() {
            return;
        }
        let Some(further) = self.further.get_mut(&block) else { return };
        further.retain(|other| *other != worker);
        if further.is_empty() {
            self.further.remove(&block);
        }
    }

    /// One of the further holders, which is none any more.
    pub fn take_one(&mut self, block: BlockId) -> Option<WorkerId> {
        let further = self.further.get_mut(&block)?;
        let one = further.pop();
        if further.is_empty() {
            self.further.remove(&block);
        }
        one
    }

    /// All of the further holders, which are none any more.
    pub fn take_all(&mut self, block: BlockId) -> Vec<WorkerId> {
        self.further.remove(&block).unwrap_or_default()
    }

    pub fn has(&self, block: BlockId, worker: WorkerId) -> bool {
        self.further.get(&block).is_some_and(|further| further.contains(&worker))
    }

    /// The first further holder for which `wanted` holds.
    pub fn find(&self, block: BlockId, wanted: impl Fn(WorkerId) -> bool) -> Option<WorkerId> {
        self.further.get(&block)?.iter().copied().find(|worker| wanted(*worker))
    }

    pub fn begin_copy(&mut self, block: BlockId, transfer: Transfer) {
        self.end_copy(block);
        self.copies.insert(block, transfer);
        *self.giving.entry(transfer.from).or_default() += 1;
    }

    pub fn end_copy(&mut self, block: BlockId) {
        if self.copies.is_empty() {
            return;
        }
        let Some(transfer) = self.copies.remove(&block) else { return };
        let giving = self.giving.get_mut(&transfer.from).expect("who gives a block is counted");
        *giving -= 1;
        if *giving == 0 {
            self.giving.remove(&transfer.from);
        }
    }

    /// `worker` has got the block, asked or not.
    pub fn copy_arrived(&mut self, block: BlockId, worker: WorkerId) {
        if self.copies.get(&block).is_some_and(|transfer| transfer.to == worker) {
            self.end_copy(block);
        }
        self.failures.remove(&block);
    }

    /// The copy to `worker` has come to nothing. None if no copy was under way there.
    pub fn copy_failed(&mut self, block: BlockId, worker: WorkerId) -> Option<FailedCopy> {
        let Transfer { from, .. } = self.copies.get(&block).copied().filter(|copy| copy.to == worker)?;
        self.end_copy(block);
        let times = self.failures.entry(block).or_default();
        *times += 1;
        Some(FailedCopy { from, times: *times })
    }

    /// How often copies of a block have failed.
    pub fn failures(&self, block: BlockId) -> u32 {
        self.failures.get(&block).copied().unwrap_or(0)
    }

    pub fn forget_failures(&mut self, block: BlockId) {
        self.failures.remove(&block);
    }

    pub fn is_copied(&self, block: BlockId) -> bool {
        self.copies.contains_key(&block)
    }

    /// Is any copy under way?
    pub fn is_copying(&self) -> bool {
        !self.copies.is_empty()
    }

    /// Copies under way that `worker` gives.
    pub fn giving(&self, worker: WorkerId) -> u32 {
        self.giving.get(&worker).copied().unwrap_or(0)
    }

    /// What is known of the copies of a worker is no longer true.
    pub fn forget_worker(&mut self, worker: WorkerId) {
        self.further.retain(|_, further| {
            further.retain(|other| *other != worker);
            !further.is_empty()
        });
        let concerned = |transfer: &Transfer| transfer.from == worker || transfer.to == worker;
        let ended: Vec<BlockId> =
            self.copies.iter().filter(|(_, transfer)| concerned(transfer)).map(|(block, _)| *block).collect();
        ended.into_iter().for_each(|block| self.end_copy(block));
    }

    pub fn further(&self) -> impl Iterator<Item = (BlockId, &[WorkerId])> {
        self.further.iter().map(|(block, further)| (*block, further.as_slice()))
    }

    pub fn copies(&self) -> impl Iterator<Item = (BlockId, Transfer)> {
        self.copies.iter().map(|(block, transfer)| (*block, *transfer))
    }
}
