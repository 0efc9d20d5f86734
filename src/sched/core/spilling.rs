//! Blocks go out of memory and come back.

use super::{Core, Spilling};
use crate::ids::{BlockId, TaskId, WorkerId};
use crate::sched::events::Whereabouts;
use crate::sched::eviction::{Eviction, EvictionRank};
use crate::sched::lane::Lane;
use crate::sched::table::{NOWHERE, TaskState};
use crate::sched::tasks::Tasks;

impl Core {
    pub fn whereabouts(&self, block: BlockId) -> Whereabouts {
        match self.tasks.state(block) {
            TaskState::Done(NOWHERE) => Whereabouts::Nowhere,
            TaskState::Done(worker) => Whereabouts::Memory(worker),
            TaskState::Spilled => {
                let leaving = self.spilling.as_ref().and_then(|spilling| spilling.transit.leaves_from(block));
                leaving.map_or(Whereabouts::Spilled, Whereabouts::Leaving)
            }
            _ => Whereabouts::Nowhere,
        }
    }

    /// Is any block on its way out of memory or back?
    pub(super) fn is_moving(&self) -> bool {
        self.spilling.as_ref().is_some_and(|spilling| spilling.transit.is_moving())
    }

    /// Does `worker` write or read this block?
    pub(super) fn is_moving_at(&self, worker: WorkerId, block: BlockId) -> bool {
        self.spilling.as_ref().is_some_and(|spilling| {
            let transit = &spilling.transit;
            transit.leaves_from(block) == Some(worker) || transit.comes_to(block, worker)
        })
    }

    /// Bytes of blocks on their way out.
    pub(super) fn leaving_bytes(&self) -> u64 {
        let Some(spilling) = &self.spilling else { return 0 };
        spilling.transit.leaving().map(|(block, _)| self.tasks.size(block)).sum()
    }

    /// Bytes of blocks on their way out or back.
    pub(super) fn moving_bytes(&self) -> u64 {
        let Some(spilling) = &self.spilling else { return 0 };
        let coming: u64 = spilling.transit.coming().map(|(block, _)| self.tasks.size(block)).sum();
        coming + self.leaving_bytes()
    }

    /// Room for the output of `task`, and in a run that spills for the inputs that have to come back; false if it
    /// has to wait.
    pub(super) fn reserve(&mut self, task: TaskId) -> bool {
        let output = self.tasks.program.reserves(task);
        if self.spilling.is_none() {
            return self.ledger.try_reserve(output);
        }
        let inputs = self.tasks.blocks_read(task);
        let back: Vec<BlockId> = inputs.iter().copied().filter(|block| self.must_come_back(*block)).collect();
        let needed = output + self.tasks.size_of_all(&back);
        let fits = self.claim(&inputs, needed) && self.evict(needed);
        if fits {
            self.ledger.reserve(needed);
            back.into_iter().for_each(|block| self.bring_back(block));
        }
        if let Some(spilling) = self.spilling.as_mut().filter(|_| fits) {
            spilling.eviction.end_claim();
        }
        fits
    }

    /// Is it out of memory, and has nobody asked for it?
    fn must_come_back(&self, block: BlockId) -> bool {
        let is_coming = self.spilling.as_ref().is_some_and(|spilling| spilling.transit.is_coming(block));
        self.tasks.state(block) == TaskState::Spilled && !is_coming
    }

    /// Pins the inputs of the next task, unless admitted tasks hold as much as they may.
    fn claim(&mut self, inputs: &[BlockId], needed: u64) -> bool {
        let Core { tasks, counts, fleet, ledger, spilling: Some(spilling), .. } = self else { return true };
        let eviction = &mut spilling.eviction;
        if eviction.has_claimed() {
            return true;
        }
        let idle = inputs.iter().filter(|block| eviction.is_idle(**block));
        let pinned_now: u64 = idle.map(|block| tasks.size(*block)).sum();
        let held = ledger.staying() - eviction.idle_bytes() + pinned_now + needed;
        if fleet.staying() == 0 || (held > eviction.window() && counts.admitted() > 0) {
            return false;
        }
        inputs.iter().for_each(|block| eviction.pin(*block, tasks.size(*block)));
        eviction.claim();
        true
    }

    /// Sends idle blocks away until `needed` bytes are free. False while they are still on their way.
    fn evict(&mut self, needed: u64) -> bool {
        while !self.ledger.will_fit(needed) {
            let Some(spilling) = &self.spilling else { break };
            let Some(block) = spilling.eviction.victim(|block| self.holders.is_copied(block)) else { break };
            self.send_away(block);
        }
        self.ledger.fits(needed)
    }

    /// An idle block leaves memory: it is written if it is nowhere else, and dropped otherwise.
    fn send_away(&mut self, block: BlockId) {
        let Core { tasks, fleet, ledger, holders, outboxes, spilling: Some(spilling), .. } = self else {
            return;
        };
        let Spilling { eviction, transit } = &mut **spilling;
        let Some(holder) = tasks.location(block) else { unreachable!("idle blocks are in memory") };
        let bytes = tasks.size(block);
        eviction.no_longer_idle(block, bytes);
        tasks.set(block, TaskState::Spilled);
        for other in holders.take_all(block) {
            outboxes.drop(other, block);
        }
        if tasks.program.stage(block.stage).kind.is_source() || transit.is_written(block) {
            outboxes.drop(holder, block);
            ledger.release(bytes);
        } else {
            outboxes.spill(holder, block);
            fleet.charge(holder, Lane::Io, 1, 0.0);
            transit.leave(block, holder);
            ledger.begin_leaving(bytes);
        }
    }

    /// Its memory is reserved.
    fn bring_back(&mut self, block: BlockId) {
        let Core { fleet, outboxes, spilling: Some(spilling), .. } = self else { return };
        let transit = &mut spilling.transit;
        let worker = fleet.least_io().filter(|_| transit.leaves_from(block).is_none());
        transit.come(block, worker);
        if let Some(worker) = worker {
            fleet.charge(worker, Lane::Io, 1, 0.0);
            outboxes.load(worker, block);
        }
    }

    /// Blocks that no worker was there to bring back.
    pub(super) fn bring_waiting(&mut self) {
        let Some(spilling) = &self.spilling else { return };
        spilling.transit.waiting().into_iter().for_each(|block| self.bring_back(block));
    }

    /// After a task: its inputs have a reader less, and its own block may have none admitted.
    pub(super) fn settle_after(&mut self, task: TaskId) {
        let Core { tasks, spilling: Some(spilling), .. } = self else { return };
        for block in tasks.blocks_read(task) {
            if spilling.eviction.unpin(block) {
                settle(tasks, &mut spilling.eviction, block);
            }
        }
        settle(tasks, &mut spilling.eviction, task);
    }

    /// `worker` has a copy of a block whose holder was lost, while what had been written of it was not: one too many,
    /// unless it is being read back there.
    pub(super) fn drop_copy(&mut self, worker: WorkerId, block: BlockId) {
        let spilling = self.spilling.as_ref();
        if !spilling.is_some_and(|spilling| spilling.transit.comes_to(block, worker)) {
            self.outboxes.drop(worker, block);
        }
    }

    /// Nobody will read the block again: it need not be anywhere.
    pub(super) fn discard(&mut self, block: BlockId) {
        let Core { tasks, fleet, outboxes, spilling: Some(spilling), .. } = self else { return };
        let Spilling { eviction, transit } = &mut **spilling;
        eviction.no_longer_idle(block, tasks.size(block));
        // What is on its way is freed when it has arrived, and what is in memory with that. Where no worker is left,
        // the file goes with the run.
        if transit.remove_file(block)
            && !transit.moves(block)
            && tasks.state(block) == TaskState::Spilled
            && let Some(anyone) = fleet.least_io()
        {
            outboxes.free(anyone, block);
        }
    }

    pub(super) fn spilled(&mut self, worker: WorkerId, block: BlockId) {
        let Core { tasks, fleet, ledger, outboxes, spilling: Some(spilling), .. } = self else { return };
        let transit = &mut spilling.transit;
        if !transit.has_left(block, worker) {
            return;
        }
        fleet.charge(worker, Lane::Io, -1, 0.0);
        ledger.has_left(tasks.size(block));
        if tasks.state(block) == TaskState::Spilled {
            transit.add_file(block);
        } else {
            outboxes.free(worker, block);
        }
        if transit.is_waiting(block) {
            self.bring_back(block);
        }
    }

    /// Takes a block off those that come; false if it was not expected from there.
    fn arrives(&mut self, worker: WorkerId, block: BlockId) -> bool {
        let Core { fleet, spilling: Some(spilling), .. } = self else { return false };
        let expected = spilling.transit.has_come(block, worker);
        if expected {
            fleet.charge(worker, Lane::Io, -1, 0.0);
        }
        expected
    }

    pub(super) fn loaded(&mut self, worker: WorkerId, block: BlockId) {
        if !self.arrives(worker, block) {
            return;
        }
        if self.tasks.state(block) != TaskState::Spilled {
            self.ledger.release(self.tasks.size(block));
            return self.outboxes.free(worker, block);
        }
        self.tasks.set(block, TaskState::Done(worker));
        self.announce(block);
        if let Core { tasks, spilling: Some(spilling), .. } = self {
            settle(tasks, &mut spilling.eviction, block);
        }
    }

    /// What was written cannot be read back: the block has to be made again.
    pub(super) fn vanished(&mut self, worker: WorkerId, block: BlockId) {
        if !self.arrives(worker, block) {
            return;
        }
        self.ledger.release(self.tasks.size(block));
        if let Some(spilling) = &mut self.spilling {
            spilling.transit.remove_file(block);
        }
        if self.tasks.state(block) == TaskState::Spilled {
            self.make_again(|_, other, _| other == block);
        }
    }

    /// Who reads what, and what may go, from the table. For a walk that begins anew.
    pub(super) fn settle_all(&mut self) {
        let Core { tasks, spilling: Some(spilling), .. } = self else { return };
        let Spilling { eviction, transit } = &mut **spilling;
        eviction.forget_readers();
        transit.forget_waiting();
        for at in 0..tasks.table.len() {
            if tasks.table.state(at).is_pending() {
                for block in tasks.blocks_read(tasks.program.at_position(at)) {
                    eviction.pin(block, 0);
                }
            }
        }
        for at in 0..tasks.table.len() {
            if matches!(tasks.table.state(at), TaskState::Done(_)) {
                settle(tasks, eviction, tasks.program.at_position(at));
            }
        }
    }
}

/// A block that no admitted task reads may go, if it is in memory.
fn settle(tasks: &Tasks, eviction: &mut Eviction, block: BlockId) {
    if eviction.pins(block) > 0 || tasks.location(block).is_none() {
        return;
    }
    let mut consumers = Vec::new();
    tasks.program.consumers(block, &mut consumers);
    let positions = consumers.into_iter().map(|consumer| tasks.program.position(consumer));
    let open = positions.filter(|at| !tasks.table.state(*at).is_finished());
    let next_use = open.map(|at| eviction.rank(at)).min().unwrap_or(u32::MAX);
    let bytes = tasks.size(block);
    let class = Eviction::class(bytes, tasks.program.keeps(block));
    eviction.settle(block, EvictionRank { class, next_use }, bytes);
}
