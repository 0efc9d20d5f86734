//! Workers come and go as planned: idle ones take work off busy ones, leaving ones hand their blocks over.

use super::Core;
use crate::ids::{BlockId, WorkerId};
use crate::sched::events::Action;
use crate::sched::fleet::WorkerQueue;
use crate::sched::holders::Transfer;
use crate::sched::lane::Lane;
use crate::sched::table::TaskState;

/// So many workers are asked for parked tasks when one is idle, after each batch.
const ASKED: usize = 8;
/// So often a copy is tried, each time by another worker where there are others, before the block is made again: a
/// leave must end, and a connection may fail once or twice for no lasting reason.
const COPY_ATTEMPTS: u32 = 3;

impl Core {
    pub(super) fn join(&mut self, worker: WorkerId, threads: u32) {
        if self.fleet.join(worker, threads) {
            self.bring_waiting();
        }
    }

    /// Nothing new goes to `worker`; what it has not started comes back.
    pub(super) fn drain(&mut self, worker: WorkerId, out: &mut Vec<Action>) {
        self.ready.take_in(self.fleet.drain(worker));
        let Some(queue) = self.fleet.get_mut(worker) else { return };
        let tasks = queue.compute.assigned;
        if tasks > queue.threads {
            queue.asked_back = true;
            out.push(Action::TakeBack { worker, tasks });
        }
    }

    /// After each batch: idle workers take queued tasks off busy ones, leaving workers hand over. True if one was let
    /// go.
    pub(super) fn balance(&mut self, out: &mut Vec<Action>) -> bool {
        let let_go = self.fleet.is_draining() && self.hand_over(out);
        if self.ready.is_empty(Lane::Compute) && self.fleet.has_idle() {
            self.steal(out);
        }
        let_go
    }

    /// Tasks that were best left to wait for a busy worker may be done sooner by one that has become idle.
    pub(super) fn relieve(&mut self) {
        if !self.fleet.has_idle() {
            return;
        }
        let busy: Vec<WorkerId> = self.fleet.with_parked().take(ASKED).collect();
        busy.into_iter().for_each(|worker| self.relieve_one(worker));
    }

    /// Parked tasks of `busy` go to others, until one is best left where it is.
    fn relieve_one(&mut self, busy: WorkerId) {
        while let Some(urgent) = self.fleet.pop_parked(busy, &self.estimates) {
            if self.tasks.state(urgent.task) != TaskState::Ready {
                continue;
            }
            let seconds = self.estimates.of(urgent.task);
            let spare = self.fleet.least_loaded(Lane::Compute, seconds);
            let best = spare.map_or(busy, |spare| self.choose(urgent.task, spare));
            if best == busy || !self.fleet.has_room(best, Lane::Compute, seconds) {
                return self.fleet.park(busy, urgent, seconds);
            }
            self.assign(best, urgent.task);
        }
    }

    /// Asks the most loaded worker for half of what waits there.
    fn steal(&mut self, out: &mut Vec<Action>) {
        let Some(worker) = self.fleet.busiest() else { return };
        let Some(queue) = self.fleet.get_mut(worker) else { return };
        if queue.asked_back || queue.rest > 0 || queue.compute.assigned <= queue.threads {
            return;
        }
        queue.asked_back = true;
        queue.rest = queue.threads;
        let tasks = (queue.compute.assigned - queue.threads).div_ceil(2);
        out.push(Action::TakeBack { worker, tasks });
    }

    /// Copies the only copies off workers that leave, and lets those go that hold nothing needed. True if one went.
    fn hand_over(&mut self, out: &mut Vec<Action>) -> bool {
        let is_ready = |id: WorkerId, queue: &WorkerQueue| {
            queue.draining && queue.is_idle() && self.holders.giving(id) == 0
        };
        let leaving: Vec<WorkerId> =
            self.fleet.iter().filter(|(id, queue)| is_ready(*id, queue)).map(|(id, _)| id).collect();
        if leaving.is_empty() {
            return false;
        }
        let takers: Vec<WorkerId> =
            self.fleet.iter().filter(|(_, queue)| !queue.draining).map(|(id, _)| id).collect();
        let mut let_go = false;
        for from in leaving {
            let mut is_needed = false;
            for block in self.blocks_at(from) {
                is_needed |= !self.move_away(block, from, &takers, out);
            }
            if !is_needed {
                self.fleet.remove(from);
                self.holders.forget_worker(from);
                out.push(Action::Release { worker: from });
                let_go = true;
            }
        }
        let_go
    }

    /// O(tasks).
    fn blocks_at(&self, worker: WorkerId) -> Vec<BlockId> {
        let table = &self.tasks.table;
        let there = (0..table.len()).filter(|at| table.state(*at) == TaskState::Done(worker));
        there.map(|at| self.tasks.program.at_position(at)).collect()
    }

    /// True if `block` no longer needs the worker `from`; else a copy is under way, if anybody can take it.
    fn move_away(
        &mut self,
        block: BlockId,
        from: WorkerId,
        takers: &[WorkerId],
        out: &mut Vec<Action>,
    ) -> bool {
        if let Some(other) = self.holders.find(block, |other| self.fleet.stays(other)) {
            self.tasks.set(block, TaskState::Done(other));
            self.holders.remove(block, other);
            // Until it is let go it has the block, and wants to be told when that is not needed.
            self.holders.add(block, from);
            return true;
        }
        if takers.is_empty() {
            return false;
        }
        let turn = block.index as usize + self.holders.failures(block) as usize;
        let to = takers[turn % takers.len()];
        self.holders.begin_copy(block, Transfer { from, to });
        out.push(Action::Copy { from, to, block });
        false
    }

    pub(super) fn copied(&mut self, worker: WorkerId, block: BlockId) {
        self.holders.copy_arrived(block, worker);
        match self.tasks.state(block) {
            TaskState::Done(holder) if holder != worker => self.holders.add(block, worker),
            TaskState::Done(_) => {}
            TaskState::Spilled => self.drop_copy(worker, block),
            _ => self.used_after_loss(worker, block),
        }
    }

    /// A block could not be fetched off a leaving worker. Another one tries next; what nobody can fetch is lost.
    pub(super) fn copy_failed(&mut self, worker: WorkerId, block: BlockId) {
        let Some(failed) = self.holders.copy_failed(block, worker) else { return };
        if failed.times < COPY_ATTEMPTS {
            return;
        }
        self.holders.forget_failures(block);
        // It may be there all the same. What was written of it stays: the block may fall back to that.
        self.outboxes.drop(failed.from, block);
        self.make_again(|_, other, _| other == block);
    }
}
