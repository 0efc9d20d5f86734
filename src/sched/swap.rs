//! Blocks go out of memory and come back: the core's side of [`Spill`].

use super::core::Core;
use super::events::Action;
use super::fleet::Lane;
use super::plan::serial_order;
use super::spill::Spill;
use super::table::{NOWHERE, State};
use crate::array::footprint;
use crate::failure::Failure;
use crate::ids::{BlockId, TaskId, WorkerId};

/// Where a block is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whereabouts {
    Memory(WorkerId),
    /// On its way out of this worker's memory.
    Leaving(WorkerId),
    /// In the place for spilled blocks, or where it came from.
    Spilled,
    Nowhere,
}

impl Core {
    /// Lets blocks leave memory. Admitted tasks hold at most `window` bytes; what is beyond keeps the blocks that are
    /// used again soonest. Takes four bytes more for each task.
    pub fn spilling(mut self, window: u64) -> Self {
        self.spill = Some(Box::new(Spill::new(&self.program, &serial_order(&self.program), window)));
        self
    }

    pub fn whereabouts(&self, block: BlockId) -> Whereabouts {
        match self.state(block) {
            State::Done(NOWHERE) => Whereabouts::Nowhere,
            State::Done(worker) => Whereabouts::Memory(worker),
            State::Spilled => {
                let leaving = self.spill.as_ref().and_then(|spill| spill.leaving.get(&block));
                leaving.map_or(Whereabouts::Spilled, |worker| Whereabouts::Leaving(*worker))
            }
            _ => Whereabouts::Nowhere,
        }
    }

    /// Bytes that a block takes in memory.
    pub(super) fn size(&self, block: BlockId) -> u64 {
        footprint(self.program.stage(block.stage).bytes(block.index))
    }

    pub(super) fn is_moving(&self) -> bool {
        self.spill.as_ref().is_some_and(|spill| spill.is_moving())
    }

    pub(super) fn is_coming(&self, block: BlockId) -> bool {
        self.spill.as_ref().is_some_and(|spill| spill.coming.contains_key(&block))
    }

    /// The inputs of `task` that take memory.
    fn blocks_read(&self, task: TaskId) -> Vec<BlockId> {
        let mut inputs = Vec::new();
        self.program.inputs(task, &mut inputs);
        inputs.retain(|input| self.program.stage(input.stage).leaves_blocks());
        inputs
    }

    /// Room for the output of `task`, and in a run that spills for the inputs that have to come back; false if it
    /// has to wait.
    pub(super) fn reserve(&mut self, task: TaskId) -> bool {
        let output = self.program.reserves(task);
        let Some(mut spill) = self.spill.take() else {
            let fits = self.reserved + output <= self.limit;
            self.reserved += if fits { output } else { 0 };
            return fits;
        };
        let inputs = self.blocks_read(task);
        let away = |spill: &Spill, block: &BlockId| {
            self.state(*block) == State::Spilled && !spill.coming.contains_key(block)
        };
        let back: Vec<BlockId> = inputs.iter().copied().filter(|block| away(&spill, block)).collect();
        let needed = output + back.iter().map(|block| self.size(*block)).sum::<u64>();
        let fits = self.claim(&mut spill, &inputs, needed) && self.evict(&mut spill, needed);
        if fits {
            self.reserved += needed;
            spill.claimed = false;
            back.into_iter().for_each(|block| self.bring_back(&mut spill, block));
        }
        self.spill = Some(spill);
        fits
    }

    /// Pins the inputs of the next task, unless admitted tasks hold as much as they may.
    fn claim(&mut self, spill: &mut Spill, inputs: &[BlockId], needed: u64) -> bool {
        if spill.claimed {
            return true;
        }
        let pinned_now: u64 =
            inputs.iter().filter(|block| spill.is_idle(**block)).map(|block| self.size(*block)).sum();
        let held = self.reserved - spill.idle_bytes - spill.leaving_bytes + pinned_now + needed;
        if self.fleet.staying() == 0 || (held > spill.window && self.admitted > 0) {
            return false;
        }
        inputs.iter().for_each(|block| spill.pin(*block, self.size(*block)));
        spill.claimed = true;
        true
    }

    /// Sends idle blocks away until `needed` bytes are free. False while they are still on their way.
    fn evict(&mut self, spill: &mut Spill, needed: u64) -> bool {
        while self.reserved - spill.leaving_bytes + needed > self.limit {
            let Some(block) = spill.victim(|block| self.copies.contains_key(&block)) else { break };
            let State::Done(holder) = self.state(block) else { unreachable!("idle blocks are in memory") };
            let bytes = self.size(block);
            spill.no_longer_idle(block, bytes);
            self.set(block, State::Spilled);
            for other in self.replicas.remove(&block).unwrap_or_default() {
                self.outbox.entry(other).or_default().drop.push(block);
            }
            if self.program.stage(block.stage).kind.is_source() || spill.on_disk.contains(&block) {
                self.outbox.entry(holder).or_default().drop.push(block);
                self.reserved -= bytes;
            } else {
                self.outbox.entry(holder).or_default().spill.push(block);
                self.fleet.charge(holder, Lane::Io, 1, 0.0);
                spill.leaving.insert(block, holder);
                spill.leaving_bytes += bytes;
            }
        }
        self.reserved + needed <= self.limit
    }

    /// Its memory is reserved.
    fn bring_back(&mut self, spill: &mut Spill, block: BlockId) {
        let Some(worker) = self.fleet.least_io().filter(|_| !spill.leaving.contains_key(&block)) else {
            spill.coming.insert(block, None);
            return;
        };
        spill.coming.insert(block, Some(worker));
        self.fleet.charge(worker, Lane::Io, 1, 0.0);
        self.outbox.entry(worker).or_default().load.push(block);
    }

    /// After a task: its inputs have a reader less, and its own block may have none admitted.
    pub(super) fn settle_after(&mut self, task: TaskId) {
        let Some(mut spill) = self.spill.take() else { return };
        for block in self.blocks_read(task) {
            if spill.unpin(block) {
                self.settle(&mut spill, block);
            }
        }
        if spill.pins(task) == 0 {
            self.settle(&mut spill, task);
        }
        self.spill = Some(spill);
    }

    /// A block that no admitted task reads may go, if it is in memory.
    fn settle(&self, spill: &mut Spill, block: BlockId) {
        if !matches!(self.state(block), State::Done(worker) if worker != NOWHERE) {
            return;
        }
        let mut consumers = Vec::new();
        self.program.consumers(block, &mut consumers);
        let positions = consumers.into_iter().map(|consumer| self.program.position(consumer));
        let open = positions.filter(|at| !self.table.state(*at).is_finished());
        let next_use = open.map(|at| spill.rank(at)).min().unwrap_or(u32::MAX);
        let bytes = self.size(block);
        spill.settle(block, (Spill::class(bytes, self.program.keeps(block)), next_use), bytes);
    }

    /// `worker` has a copy of a block whose holder was lost, while what had been written of it was not: one too many,
    /// unless it is being read back there.
    pub(super) fn drop_copy(&mut self, worker: WorkerId, block: BlockId) {
        let coming = self.spill.as_ref().and_then(|spill| spill.coming.get(&block));
        if coming != Some(&Some(worker)) {
            self.outbox.entry(worker).or_default().drop.push(block);
        }
    }

    /// Nobody will read the block again: it need not be anywhere.
    pub(super) fn discard(&mut self, block: BlockId) {
        let Some(mut spill) = self.spill.take() else { return };
        spill.no_longer_idle(block, self.size(block));
        let moving = spill.leaving.contains_key(&block) || spill.coming.contains_key(&block);
        // What is on its way is freed when it has arrived, and what is in memory with that. Where no worker is left,
        // the file goes with the run.
        if spill.on_disk.remove(&block)
            && !moving
            && self.state(block) == State::Spilled
            && let Some(anyone) = self.fleet.least_io()
        {
            self.free(anyone, block);
        }
        self.spill = Some(spill);
    }

    /// Blocks that no worker was there to bring back.
    pub(super) fn bring_waiting(&mut self) {
        let Some(mut spill) = self.spill.take() else { return };
        let waiting =
            spill.coming.iter().filter(|(block, at)| at.is_none() && !spill.leaving.contains_key(block));
        let mut waiting: Vec<BlockId> = waiting.map(|(block, _)| *block).collect();
        // The order of a hash map differs from run to run, what the core says must not.
        waiting.sort_unstable();
        waiting.into_iter().for_each(|block| self.bring_back(&mut spill, block));
        self.spill = Some(spill);
    }

    pub(super) fn spilled(&mut self, worker: WorkerId, block: BlockId) {
        let (bytes, wanted) = (self.size(block), self.state(block) == State::Spilled);
        let Some(mut spill) = self.spill.take() else { return };
        if spill.leaving.get(&block) == Some(&worker) {
            self.fleet.charge(worker, Lane::Io, -1, 0.0);
            spill.leaving.remove(&block);
            spill.leaving_bytes -= bytes;
            self.reserved -= bytes;
            if wanted {
                spill.on_disk.insert(block);
            } else {
                self.free(worker, block);
            }
            if spill.coming.get(&block) == Some(&None) {
                self.bring_back(&mut spill, block);
            }
        }
        self.spill = Some(spill);
    }

    /// Takes a block off those that come; false if it was not expected from there.
    fn arrives(&mut self, worker: WorkerId, block: BlockId) -> bool {
        let Some(spill) = &mut self.spill else { return false };
        if spill.coming.get(&block) != Some(&Some(worker)) {
            return false;
        }
        spill.coming.remove(&block);
        self.fleet.charge(worker, Lane::Io, -1, 0.0);
        true
    }

    pub(super) fn loaded(&mut self, worker: WorkerId, block: BlockId) {
        if !self.arrives(worker, block) {
            return;
        }
        if self.state(block) != State::Spilled {
            self.reserved -= self.size(block);
            return self.free(worker, block);
        }
        self.set(block, State::Done(worker));
        self.announce(block);
        if let Some(mut spill) = self.spill.take() {
            if spill.pins(block) == 0 {
                self.settle(&mut spill, block);
            }
            self.spill = Some(spill);
        }
    }

    /// What was written cannot be read back: the block has to be made again.
    pub(super) fn vanished(&mut self, worker: WorkerId, block: BlockId) {
        if !self.arrives(worker, block) {
            return;
        }
        self.reserved -= self.size(block);
        if let Some(spill) = &mut self.spill {
            spill.on_disk.remove(&block);
        }
        if self.state(block) == State::Spilled {
            self.make_again(|_, other, _| other == block);
        }
    }

    /// A block could not be moved, and that cannot be mended.
    pub(super) fn move_failed(
        &mut self,
        worker: WorkerId,
        block: BlockId,
        failure: Failure,
        out: &mut Vec<Action>,
    ) {
        let Some(spill) = &self.spill else { return };
        if spill.leaving.get(&block) != Some(&worker) && spill.coming.get(&block) != Some(&Some(worker)) {
            return;
        }
        self.over = true;
        out.push(Action::Failed(self.place_failure(block, failure)));
    }

    /// Bytes of blocks on their way.
    pub(super) fn moving_bytes(&self) -> u64 {
        let Some(spill) = &self.spill else { return 0 };
        spill.coming.keys().map(|block| self.size(*block)).sum::<u64>() + spill.leaving_bytes
    }

    /// Who reads what, and what may go, from the table.
    pub(super) fn settle_all(&mut self) {
        let Some(mut spill) = self.spill.take() else { return };
        spill.forget_readers();
        spill.leaving_bytes = spill.leaving.keys().map(|block| self.size(*block)).sum();
        let all = (0..self.table.len()).map(|at| (at, self.table.state(at)));
        let (pending, there): (Vec<_>, Vec<_>) = all
            .filter(|(_, state)| state.is_pending() || matches!(state, State::Done(_)))
            .partition(|(_, state)| state.is_pending());
        for (at, _) in pending {
            for block in self.blocks_read(self.program.at_position(at)) {
                spill.pin(block, 0);
            }
        }
        for (at, _) in there {
            let block = self.program.at_position(at);
            if spill.pins(block) == 0 {
                self.settle(&mut spill, block);
            }
        }
        self.spill = Some(spill);
    }
}
