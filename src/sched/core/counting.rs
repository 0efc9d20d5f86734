//! Everything that is counted as the run goes on, from the table of tasks: after a loss, and to check the counts.

use super::Core;
use crate::ids::{BlockId, MemoryId, TaskId, WorkerId};
use crate::sched::table::{NOWHERE, TaskState};
use std::collections::{BTreeMap, BTreeSet};

/// What is reserved in one memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct ReservedBytes {
    /// All of it.
    pub all: u64,
    /// Of this, blocks that are being written.
    pub leaving: u64,
}

impl Core {
    /// Who reads what, what may go and what is reserved, after a loss. O(tasks).
    pub(super) fn count_anew(&mut self) {
        self.eviction.clear();
        self.ahead.clear();
        self.memories.clear();
        let Core { apart, astray, tasks, .. } = self;
        let is_assigned = |task: TaskId| matches!(tasks.state(task), TaskState::Assigned(_));
        apart.retain(|task| is_assigned(*task));
        astray.retain(|(task, _)| is_assigned(*task));
        self.count_readers();
        self.count_blocks();
        for (memory, bytes) in self.reserved_by_table() {
            if let Some(ledger) = self.memories.ledger_mut(memory) {
                ledger.reserve(bytes.all);
                ledger.begin_leaving(bytes.leaving);
            }
        }
    }

    fn count_readers(&mut self) {
        self.holders.forget_readers();
        let transfers: Vec<_> = self.holders.copies().collect();
        transfers.into_iter().for_each(|(block, transfer)| self.holders.add_reader(block, transfer.to));
        for at in 0..self.tasks.table.len() {
            let state = self.tasks.table.state(at);
            if !state.is_pending() {
                continue;
            }
            let task = self.tasks.program.at_position(at);
            for block in self.tasks.blocks_read(task) {
                self.ahead.add_reader(block, self.window_bytes(block));
                if let TaskState::Assigned(worker) = state {
                    self.count_assigned_reader(worker, task, block);
                }
            }
        }
        self.holders.forget_unread();
    }

    fn count_assigned_reader(&mut self, worker: WorkerId, task: TaskId, block: BlockId) {
        if self.ahead.spills() {
            self.eviction.pin(block);
        }
        if !self.astray.contains(&(task, block)) {
            self.holders.add_reader(block, worker);
        }
    }

    fn count_blocks(&mut self) {
        for at in 0..self.tasks.table.len() {
            let task = self.tasks.program.at_position(at);
            if self.tasks.table.state(at).is_pending() {
                self.ahead.add_output(self.admitted_output(task));
            } else if self.tasks.is_there(task) {
                self.ahead.add_block(self.tasks.size(task), self.must_stay(task));
            }
        }
        let holders: Vec<BlockId> = self.holders.further().map(|(block, _)| block).collect();
        holders.into_iter().for_each(|block| self.settle(block));
        if !self.ahead.spills() {
            return;
        }
        for at in 0..self.tasks.table.len() {
            if matches!(self.tasks.table.state(at), TaskState::Done(worker) if worker != NOWHERE) {
                self.settle(self.tasks.program.at_position(at));
            }
        }
    }

    /// Bytes of an existing block that count as soon as an admitted task is to read it. What stays is counted already.
    pub(super) fn window_bytes(&self, block: BlockId) -> u64 {
        let counts = self.tasks.is_there(block) && !self.must_stay(block);
        if counts { self.tasks.size(block) } else { 0 }
    }

    /// Bytes for which an admitted task counts: none if it goes on with a block that is counted.
    pub(super) fn admitted_output(&self, task: TaskId) -> u64 {
        if self.goes_on_with_a_counted_block(task) { 0 } else { self.tasks.size(task) }
    }

    /// Takes over a block that is counted already, unless that was lost meanwhile.
    fn goes_on_with_a_counted_block(&self, task: TaskId) -> bool {
        if !self.tasks.program.takes_over(task) {
            return false;
        }
        let previous = TaskId::new(task.stage, task.index - 1);
        let is_counted = self.tasks.is_there(previous) || self.tasks.state(previous).is_pending();
        // One that is going to be given back does not go on with anything.
        is_counted || self.astray.contains(&(task, previous))
    }

    /// What is reserved in each memory: blocks, copies, outputs of assigned tasks, and what is being written.
    pub(super) fn reserved_by_table(&self) -> BTreeMap<MemoryId, ReservedBytes> {
        let mut reserved: BTreeMap<MemoryId, ReservedBytes> = BTreeMap::new();
        let mut add = |worker: WorkerId, bytes: u64, leaving: u64| {
            let Some(memory) = self.fleet.memory(worker) else { return };
            let of_memory = reserved.entry(memory).or_default();
            of_memory.all += bytes;
            of_memory.leaving += leaving;
        };
        for at in 0..self.tasks.table.len() {
            let task = self.tasks.program.at_position(at);
            match self.tasks.table.state(at) {
                TaskState::Done(worker) if worker != NOWHERE => add(worker, self.tasks.size(task), 0),
                TaskState::Assigned(worker) => add(worker, self.reserved_output(task), 0),
                _ => {}
            }
        }
        for (block, copies) in self.holders.further() {
            let home = self.tasks.location(block).and_then(|holder| self.fleet.memory(holder));
            let mut seen: BTreeSet<Option<MemoryId>> = [home].into();
            for copy in copies.all() {
                if seen.insert(self.fleet.memory(copy.worker)) {
                    add(copy.worker, self.tasks.size(block), 0);
                }
            }
        }
        for (block, worker) in self.transit.leaving() {
            let bytes = self.tasks.size(block);
            add(worker, bytes, bytes);
        }
        reserved
    }
}

#[cfg(test)]
#[path = "counting_tests.rs"]
mod tests;
