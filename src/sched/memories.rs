//! The memories of the fleet: who works in each, and what is reserved there.

use super::ledger::Ledger;
use crate::ids::{MemoryId, WorkerId};
use std::collections::{BTreeMap, BTreeSet};

/// One memory and those who work in it.
struct Memory {
    ledger: Ledger,
    workers: BTreeSet<WorkerId>,
}

/// All memories in which somebody works.
#[derive(Default)]
pub(super) struct Memories {
    of: BTreeMap<MemoryId, Memory>,
}

impl Memories {
    /// `worker` works in a memory that holds `bytes`. Whoever came first has said how many.
    pub fn join(&mut self, id: MemoryId, worker: WorkerId, bytes: u64) {
        let fresh = || Memory { ledger: Ledger::new(bytes), workers: BTreeSet::new() };
        self.of.entry(id).or_insert_with(fresh).workers.insert(worker);
    }

    /// `worker` works there no more. True if nobody does: the memory is gone.
    pub fn leave(&mut self, id: MemoryId, worker: WorkerId) -> bool {
        let Some(memory) = self.of.get_mut(&id) else { return false };
        memory.workers.remove(&worker);
        let is_empty = memory.workers.is_empty();
        if is_empty {
            self.of.remove(&id);
        }
        is_empty
    }

    /// Is there one memory only?
    pub fn is_one(&self) -> bool {
        self.of.len() <= 1
    }

    /// Bytes that all of them hold together.
    pub fn bytes(&self) -> u64 {
        self.of.values().map(|memory| memory.ledger.limit()).fold(0, u64::saturating_add)
    }

    pub fn ledger(&self, id: MemoryId) -> Option<&Ledger> {
        Some(&self.of.get(&id)?.ledger)
    }

    pub fn ledger_mut(&mut self, id: MemoryId) -> Option<&mut Ledger> {
        Some(&mut self.of.get_mut(&id)?.ledger)
    }

    /// Those who work there.
    pub fn workers(&self, id: MemoryId) -> impl Iterator<Item = WorkerId> + '_ {
        self.of.get(&id).into_iter().flat_map(|memory| memory.workers.iter().copied())
    }

    pub fn ledgers(&self) -> impl Iterator<Item = (MemoryId, &Ledger)> {
        self.of.iter().map(|(id, memory)| (*id, &memory.ledger))
    }

    /// What is reserved is counted anew.
    pub fn clear(&mut self) {
        self.of.values_mut().for_each(|memory| memory.ledger.clear());
    }
}
