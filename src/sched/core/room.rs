//! What is reserved in each memory: nothing is allocated at a worker, by whoever, that its ledger does not hold.
//!
//! A memory holds each block once: where it lies, where a copy lies or is on its way. It holds the outputs of the tasks
//! that are assigned there, and the blocks that are being written until they are.

use super::Core;
use crate::ids::{BlockId, MemoryId, TaskId, WorkerId};
use crate::sched::copies::HeldCopy;
use crate::sched::eviction::{Class, EvictionRank, IdleBlock};
use crate::sched::table::TaskState;
use std::collections::BTreeSet;

/// Do bytes fit into a memory?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fit {
    Now,
    /// When what is on its way out has left.
    Soon,
    /// Not before a task that is assigned has been done.
    No,
}

impl Core {
    /// Does the block lie in this memory, or is it on its way there?
    pub(super) fn is_in(&self, block: BlockId, memory: MemoryId) -> bool {
        let is_there = |worker: WorkerId| self.fleet.memory(worker) == Some(memory);
        self.tasks.location(block).is_some_and(is_there)
            || self.holders.of(block).iter().any(|copy| is_there(copy.worker))
    }

    pub(super) fn reserve_at(&mut self, memory: MemoryId, bytes: u64) {
        if let Some(ledger) = self.memories.ledger_mut(memory) {
            ledger.reserve(bytes);
        }
    }

    pub(super) fn release_at(&mut self, memory: MemoryId, bytes: u64) {
        if let Some(ledger) = self.memories.ledger_mut(memory) {
            ledger.release(bytes);
        }
    }

    /// `worker` holds the block no more: its memory has room again, unless another one holds it there.
    pub(super) fn has_gone(&mut self, block: BlockId, worker: WorkerId) {
        let Some(memory) = self.fleet.memory(worker) else { return };
        if !self.is_in(block, memory) {
            self.release_at(memory, self.tasks.size(block));
        }
    }

    /// None of these workers holds the block any more, and nobody else in their memories does.
    pub(super) fn vacate(&mut self, block: BlockId, holders: impl Iterator<Item = WorkerId>) {
        let memories: BTreeSet<MemoryId> = holders.filter_map(|holder| self.fleet.memory(holder)).collect();
        memories.into_iter().for_each(|memory| self.release_at(memory, self.tasks.size(block)));
    }

    /// `worker` is going to get the block from `source`, which may be itself.
    pub(super) fn expect_at(&mut self, block: BlockId, worker: WorkerId, source: WorkerId) {
        let Some(memory) = self.fleet.memory(worker) else { return };
        if !self.is_in(block, memory) {
            self.reserve_at(memory, self.tasks.size(block));
        }
        let from_outside = source == worker || self.fleet.memory(source) != Some(memory);
        self.holders.expect(block, worker, source, from_outside);
    }

    /// Does `task` at `worker` go on in the block of the step before? Not if another worker may hold that very block.
    fn goes_on_in_place(&self, worker: WorkerId, task: TaskId) -> bool {
        if !self.tasks.program.takes_over(task) {
            return false;
        }
        let previous = TaskId::new(task.stage, task.index - 1);
        let shares =
            |other: WorkerId| other != worker && self.fleet.memory(other) == self.fleet.memory(worker);
        !self.tasks.location(previous).is_some_and(shares)
            && !self.holders.of(previous).iter().any(|copy| shares(copy.worker))
    }

    /// Reserves room for the output of `task` at `worker`.
    pub(super) fn reserve_output(&mut self, worker: WorkerId, task: TaskId) {
        if self.tasks.program.takes_over(task) {
            if self.goes_on_in_place(worker, task) {
                return;
            }
            self.apart.insert(task);
        }
        if let Some(memory) = self.fleet.memory(worker) {
            self.reserve_at(memory, self.tasks.size(task));
        }
    }

    /// The output of `task`, assigned to `worker`, is not wanted there.
    pub(super) fn release_output(&mut self, worker: WorkerId, task: TaskId) {
        let bytes = self.take_output(task);
        if let Some(memory) = self.fleet.memory(worker) {
            self.release_at(memory, bytes);
        }
    }

    /// Bytes that were reserved for the output of a task that is assigned no more.
    pub(super) fn take_output(&mut self, task: TaskId) -> u64 {
        let bytes = self.reserved_output(task);
        if !self.apart.is_empty() {
            self.apart.remove(&task);
        }
        bytes
    }

    /// Bytes that are reserved for the output of an assigned task.
    pub(super) fn reserved_output(&self, task: TaskId) -> u64 {
        let in_place = self.tasks.program.takes_over(task) && !self.apart.contains(&task);
        if in_place { 0 } else { self.tasks.size(task) }
    }

    /// Bytes that `task` wants at `worker`: its output, and those inputs that are not there.
    fn wanted_at(&self, worker: WorkerId, task: TaskId, inputs: &[BlockId]) -> u64 {
        let Some(memory) = self.fleet.memory(worker) else { return u64::MAX };
        let output = if self.goes_on_in_place(worker, task) { 0 } else { self.tasks.size(task) };
        // What is made there has its room already.
        let is_there = |input: BlockId| self.is_in(input, memory) || self.is_made_at(worker, input);
        let missing = inputs.iter().filter(|input| !is_there(**input));
        missing.map(|input| self.tasks.size(*input)).sum::<u64>() + output
    }

    /// Is there room for `task` at `worker` in a memory that holds all inputs for sure?
    fn fits_the_only_memory(&self, worker: WorkerId, task: TaskId) -> bool {
        let is_one = !self.ahead.spills() && self.memories.is_one();
        let ledger = self.fleet.memory(worker).and_then(|memory| self.memories.ledger(memory));
        is_one && ledger.is_some_and(|ledger| ledger.fits(self.tasks.size(task)))
    }

    /// Is there room for `task` at `worker` without that anything goes?
    pub(super) fn fits_beside_all(&self, worker: WorkerId, task: TaskId) -> bool {
        if self.fits_the_only_memory(worker, task) {
            return true;
        }
        let wanted = self.wanted_at(worker, task, &self.tasks.blocks_read(task));
        let ledger = self.fleet.memory(worker).and_then(|memory| self.memories.ledger(memory));
        ledger.is_some_and(|ledger| ledger.fits(wanted))
    }

    /// Is there room for `task` at `worker`, and for those of its inputs that are not there? Idle blocks go if need be.
    pub(super) fn fit(&mut self, worker: WorkerId, task: TaskId) -> Fit {
        // In one memory whose blocks stay, all inputs are there.
        if self.fits_the_only_memory(worker, task) {
            return Fit::Now;
        }
        let inputs = self.tasks.blocks_read(task);
        let is_leaving = |input: &BlockId| self.transit.leaves_from(*input).is_some();
        if inputs.iter().any(is_leaving) {
            return Fit::Soon;
        }
        let wanted = self.wanted_at(worker, task, &inputs);
        self.make_room(worker, wanted, &inputs)
    }

    /// Sends idle blocks away, but for those that are `spared`, until `bytes` fit where `worker` works.
    pub(super) fn make_room(&mut self, worker: WorkerId, bytes: u64, spared: &[BlockId]) -> Fit {
        let Some(memory) = self.fleet.memory(worker) else { return Fit::No };
        let Some(ledger) = self.memories.ledger(memory) else { return Fit::No };
        let of_spared: u64 = spared.iter().map(|block| self.eviction.idle_bytes_of(memory, *block)).sum();
        let may_go = self.eviction.idle_bytes(memory) - of_spared;
        if ledger.staying().saturating_sub(may_go).saturating_add(bytes) > ledger.limit() {
            return Fit::No;
        }
        while self.memories.ledger(memory).is_some_and(|ledger| !ledger.will_fit(bytes)) {
            let Some(idle) = self.eviction.victim(memory, |block| spared.contains(&block)) else { break };
            self.send_away(idle);
        }
        match self.memories.ledger(memory) {
            Some(ledger) if ledger.fits(bytes) => Fit::Now,
            Some(ledger) if ledger.will_fit(bytes) => Fit::Soon,
            _ => Fit::No,
        }
    }

    /// Says anew where a block lies idle, after its readers or holders have changed.
    pub(super) fn settle(&mut self, block: BlockId) {
        if !self.ahead.spills() && self.holders.of(block).is_empty() && !self.eviction.has_idle(block) {
            return;
        }
        self.eviction.remove(block);
        let bytes = self.tasks.size(block);
        let holder = self.tasks.location(block);
        let home = holder.and_then(|holder| self.fleet.memory(holder));
        let mut places: Vec<(WorkerId, Class)> = Vec::new();
        if let Some(holder) = holder.filter(|_| self.may_leave(block)) {
            places.push((holder, Class::of_bytes(bytes)));
        }
        for copy in self.holders.of(block) {
            if self.may_drop(block, copy, home) {
                places.push((copy.worker, Class::Copy));
            }
        }
        if places.is_empty() {
            return;
        }
        let next_use = self.next_use(block);
        for (worker, class) in places {
            let Some(memory) = self.fleet.memory(worker) else { continue };
            let idle = IdleBlock { rank: EvictionRank { class, next_use }, block, worker };
            self.eviction.add(memory, idle, bytes);
        }
    }

    /// May a copy of a block go that lies in the memory `home`, if anywhere? Not one that others are to get theirs
    /// from. One that shares that memory takes none.
    /// Where a lost block is made again it takes the place of its copy.
    pub(super) fn may_drop(&self, block: BlockId, copy: &HeldCopy, home: Option<MemoryId>) -> bool {
        let is_idle = copy.known && copy.readers == 0 && copy.gives == 0;
        let is_made_there = self.tasks.state(block) == TaskState::Assigned(copy.worker);
        is_idle && !is_made_there && self.fleet.memory(copy.worker) != home
    }

    /// Is it a result that stays in memory whatever comes?
    pub(super) fn must_stay(&self, block: BlockId) -> bool {
        self.ahead.results_stay() && self.tasks.program.keeps(block)
    }

    /// May the block leave the memory of its holder? Not what is read or handed over.
    pub(super) fn may_leave(&self, block: BlockId) -> bool {
        self.ahead.spills()
            && self.eviction.pins(block) == 0
            && !self.must_stay(block)
            && !self.holders.is_copied(block)
    }

    /// The place in the walk of the first task that is still to read a block. O(consumers).
    fn next_use(&self, block: BlockId) -> u32 {
        let mut consumers = Vec::new();
        self.tasks.program.consumers(block, &mut consumers);
        let positions = consumers.into_iter().map(|consumer| self.tasks.program.position(consumer));
        let open = positions.filter(|at| !self.tasks.table.state(*at).is_finished());
        open.map(|at| self.eviction.rank(at)).min().unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
