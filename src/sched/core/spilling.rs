//! Blocks go out of memory and come back.

use super::Core;
use crate::ids::{BlockId, MemoryId, TaskId, WorkerId};
use crate::sched::events::Whereabouts;
use crate::sched::eviction::{Class, IdleBlock};
use crate::sched::table::{NOWHERE, TaskState};

impl Core {
    pub fn whereabouts(&self, block: BlockId) -> Whereabouts {
        match self.tasks.state(block) {
            TaskState::Done(worker) if worker != NOWHERE => Whereabouts::Memory(worker),
            TaskState::Spilled => {
                if let Some(worker) = self.transit.leaves_from(block) {
                    return Whereabouts::Leaving(worker);
                }
                self.transit.file(block).map_or(Whereabouts::Source, Whereabouts::Written)
            }
            _ => Whereabouts::Nowhere,
        }
    }

    /// Does `worker` write or read this block?
    pub(super) fn is_moving_at(&self, worker: WorkerId, block: BlockId) -> bool {
        self.transit.leaves_from(block) == Some(worker) || self.holders.expects(block, worker)
    }

    /// An idle block leaves memory: it is dropped where it is elsewhere too or can be made again, else written.
    pub(super) fn send_away(&mut self, IdleBlock { rank, block, worker }: IdleBlock) {
        if rank.class == Class::Copy {
            self.drop_copy(block, worker);
            return self.settle(block);
        }
        let Some(memory) = self.fleet.memory(worker) else { return };
        let elsewhere = |other: WorkerId| self.fleet.stays(other) && self.fleet.memory(other) != Some(memory);
        match self.holders.find(block, elsewhere) {
            Some(other) => {
                self.holders.promote(block, other);
                self.tasks.set(block, TaskState::Done(other));
                self.outboxes.drop(worker, block);
                self.has_gone(block, worker);
                self.drop_copies_in(block, memory);
            }
            None => self.leave_memory(block, worker, memory),
        }
        self.settle(block);
    }

    /// The only memory that holds the block for good lets it go.
    fn leave_memory(&mut self, block: BlockId, worker: WorkerId, memory: MemoryId) {
        let copies: Vec<WorkerId> =
            self.holders.take_all(block).into_iter().map(|copy| copy.worker).collect();
        copies.iter().for_each(|holder| self.outboxes.drop(*holder, block));
        self.tasks.set(block, TaskState::Spilled);
        // Whoever asks for a result finds it in memory or in a file.
        let can_be_made_again = self.tasks.is_source(block) && !self.tasks.program.keeps(block);
        if can_be_made_again || self.has_lasting_file(block) {
            self.outboxes.drop(worker, block);
            return self.vacate(block, copies.into_iter().chain([worker]));
        }
        let is_elsewhere = |holder: &WorkerId| self.fleet.memory(*holder) != Some(memory);
        let elsewhere: Vec<WorkerId> = copies.into_iter().filter(is_elsewhere).collect();
        self.vacate(block, elsewhere.into_iter());
        self.outboxes.spill(worker, block);
        self.fleet.charge_move(worker);
        self.transit.leave(block, worker);
        if let Some(ledger) = self.memories.ledger_mut(memory) {
            ledger.begin_leaving(self.tasks.size(block));
        }
    }

    /// Has the block been written where a worker stays that can read it?
    fn has_lasting_file(&self, block: BlockId) -> bool {
        let Some(memory) = self.transit.file(block) else { return false };
        self.memories.workers(memory).any(|worker| self.fleet.stays(worker))
    }

    /// Copies that share a memory with a block that leaves it.
    fn drop_copies_in(&mut self, block: BlockId, memory: MemoryId) {
        let there = |worker: &WorkerId| self.fleet.memory(*worker) == Some(memory);
        let copies: Vec<WorkerId> =
            self.holders.of(block).iter().map(|copy| copy.worker).filter(there).collect();
        copies.into_iter().for_each(|worker| self.drop_copy(block, worker));
    }

    /// `worker` is not to keep its copy.
    pub(super) fn drop_copy(&mut self, block: BlockId, worker: WorkerId) {
        self.outboxes.drop(worker, block);
        if self.holders.remove(block, worker) {
            self.has_gone(block, worker);
        }
    }

    /// A block that was out of memory has come to `worker` for a task there: it lies there from now on.
    pub(super) fn came_back(&mut self, block: BlockId, worker: WorkerId) {
        self.holders.promote(block, worker);
        self.tasks.set(block, TaskState::Done(worker));
    }

    /// What was written of a block that nobody will read again is removed, unless that is said to somebody who can do
    /// it anyway.
    pub(super) fn remove_file(&mut self, block: BlockId, told: &[WorkerId]) {
        let Some(memory) = self.transit.remove_file(block) else { return };
        if told.iter().any(|worker| self.fleet.memory(*worker) == Some(memory)) {
            return;
        }
        if let Some(anyone) = self.memories.workers(memory).next() {
            self.outboxes.free(anyone, block);
        }
    }

    pub(super) fn spilled(&mut self, worker: WorkerId, block: BlockId) {
        if !self.transit.has_left(block, worker) {
            return;
        }
        self.fleet.discharge_move(worker);
        let Some(memory) = self.fleet.memory(worker) else { return };
        if let Some(ledger) = self.memories.ledger_mut(memory) {
            ledger.has_left(self.tasks.size(block));
        }
        if self.tasks.state(block) != TaskState::Spilled {
            return self.outboxes.free(worker, block);
        }
        if self.transit.file(block).is_some_and(|earlier| earlier != memory) {
            // That one is with workers that leave.
            self.remove_file(block, &[]);
        }
        self.transit.add_file(block, memory);
    }

    /// What was written cannot be read back: the block has to be made again if it is nowhere else.
    pub(super) fn vanished(&mut self, worker: WorkerId, block: BlockId) {
        let file = self.transit.file(block);
        if file.is_none() || file != self.fleet.memory(worker) {
            return;
        }
        self.transit.remove_file(block);
        self.holders.let_down(block);
        if let Some(transfer) = self.holders.end_copy_from(block, worker)
            && self.holders.unexpect(block, transfer.to)
        {
            self.has_gone(block, transfer.to);
        }
        self.settle(block);
        if self.tasks.state(block) == TaskState::Spilled {
            self.make_again(|_, other, _| other == block);
        }
    }

    /// One admitted reader less of each input of `task`. Before the inputs are released.
    pub(super) fn has_read(&mut self, task: TaskId) {
        if !self.ahead.spills() {
            return;
        }
        for block in self.tasks.blocks_read(task) {
            self.ahead.take_reader(block, self.window_bytes(block));
            self.eviction.unpin(block);
        }
    }
}

#[cfg(test)]
#[path = "spilling_tests.rs"]
mod tests;
