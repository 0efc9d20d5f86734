//! Workers come and go as planned: idle ones take work off busy ones, leaving ones hand their blocks over.

use super::Core;
use crate::ids::{BlockId, MemoryId, TaskId, WorkerId};
use crate::sched::events::{Action, Unbegun};
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
    pub(super) fn join(&mut self, worker: WorkerId, threads: u32, memory: MemoryId, bytes: u64) {
        if !self.fleet.join(worker, threads, memory) {
            return;
        }
        self.memories.join(memory, worker, bytes);
        self.fit_window();
    }

    /// The run goes as far ahead as it may with the fleet as it is.
    pub(super) fn fit_window(&mut self) {
        self.ahead.fit_to(self.fleet.threads() as u64, self.memories.bytes());
        self.homes.forget();
    }

    /// Nothing new goes to `worker`; what it has not started comes back.
    pub(super) fn drain(&mut self, worker: WorkerId, out: &mut Vec<Action>) {
        self.ready.take_in(self.fleet.drain(worker));
        self.fit_window();
        let Some(queue) = self.fleet.get_mut(worker) else { return };
        // One alone has been begun, or will be at once.
        if queue.compute.tasks() > 1 {
            queue.asked_back = true;
            out.push(Action::TakeBack { worker, share: Unbegun::All });
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
            let best = spare.map_or(busy, |spare| self.relief(urgent.task, busy, spare));
            if best == busy || !self.fleet.has_room(best, Lane::Compute, seconds) {
                return self.fleet.park(busy, urgent, seconds);
            }
            if !self.try_assign(best, urgent.task) {
                return self.fleet.park(busy, urgent, seconds);
            }
        }
    }

    /// Who is to do a task that waits for `busy`: that one, `spare`, or a holder of its inputs. Where its home is, or
    /// the block in which it goes on, it waits no longer than is worth it. Products in lockstep are dealt out so that
    /// all have enough to do: who has nothing for the moment does not disturb that before the end.
    fn relief(&mut self, task: TaskId, busy: WorkerId, spare: WorkerId) -> WorkerId {
        let is_home = self.home(task).is_some_and(|home| home.worker() == busy);
        let best = if is_home { busy } else { self.choose(task, spare) };
        let is_dealt = self.tasks.program.stage(task.stage).lockstep && !self.admission.is_through();
        if best == busy && !is_dealt && self.is_late(task, busy, spare) { spare } else { best }
    }

    /// Asks the most loaded worker for half of what waits for a thread there.
    fn steal(&mut self, out: &mut Vec<Action>) {
        let Some(worker) = self.fleet.busiest() else { return };
        let Some(queue) = self.fleet.get_mut(worker) else { return };
        if queue.asked_back || queue.rest > 0 || queue.compute.tasks() <= queue.threads {
            return;
        }
        queue.asked_back = true;
        queue.rest = queue.threads;
        out.push(Action::TakeBack { worker, share: Unbegun::Half });
    }

    /// Copies the only copies off workers that leave, and lets those go that hold nothing needed. True if one went.
    fn hand_over(&mut self, out: &mut Vec<Action>) -> bool {
        let is_ready = |id: WorkerId, queue: &WorkerQueue| {
            let is_done = queue.draining && queue.is_idle();
            is_done && self.holders.giving(id) == 0 && !self.holders.gives_copies(id)
        };
        let leaving: Vec<WorkerId> =
            self.fleet.iter().filter(|(id, queue)| is_ready(*id, queue)).map(|(id, _)| id).collect();
        if leaving.is_empty() {
            return false;
        }
        let takers: Vec<WorkerId> =
            self.fleet.iter().map(|(id, _)| id).filter(|id| self.fleet.computes(*id)).collect();
        let mut let_go = false;
        for from in leaving {
            let mut is_needed = false;
            for block in self.blocks_at(from) {
                is_needed |= !self.move_away(block, from, &takers);
            }
            // What has just become a copy may be on its way to others.
            if !is_needed && !self.holders.gives_copies(from) {
                self.let_go(from, out);
                let_go = true;
            }
        }
        let_go
    }

    fn let_go(&mut self, worker: WorkerId, out: &mut Vec<Action>) {
        let Some(memory) = self.fleet.memory(worker) else { return };
        let had = self.holders.forget_worker(worker);
        had.into_iter().for_each(|block| {
            self.has_gone(block, worker);
            self.settle(block);
        });
        self.fleet.remove(worker);
        self.suspects.forget_worker(worker);
        self.leads.forget(worker);
        self.links.forget(worker);
        if self.memories.leave(memory, worker) {
            self.transit.forget_files(memory);
        }
        self.fit_window();
        out.push(Action::Release { worker });
    }

    /// The blocks that are there for all, and those that only the workers of its memory can read if it is the last of
    /// them that stays. O(tasks).
    fn blocks_at(&self, worker: WorkerId) -> Vec<BlockId> {
        let Some(memory) = self.fleet.memory(worker) else { return Vec::new() };
        let is_last = !self.memories.workers(memory).any(|other| self.fleet.stays(other));
        let is_there = |at: &usize| match self.tasks.table.state(*at) {
            TaskState::Done(holder) => holder == worker,
            TaskState::Spilled => {
                let block = self.tasks.program.at_position(*at);
                let is_leaving = self.transit.leaves_from(block).is_some();
                is_last && !is_leaving && self.transit.file(block) == Some(memory)
            }
            _ => false,
        };
        let positions = (0..self.tasks.table.len()).filter(is_there);
        positions.map(|at| self.tasks.program.at_position(at)).collect()
    }

    /// True if `block` no longer needs the worker `from`; else a copy is under way, if anybody can take it.
    fn move_away(&mut self, block: BlockId, from: WorkerId, takers: &[WorkerId]) -> bool {
        let is_out = self.tasks.state(block) == TaskState::Spilled;
        if let Some(other) = self.holders.find(block, |other| self.fleet.stays(other)) {
            self.tasks.set(block, TaskState::Done(other));
            self.holders.promote(block, other);
            if !is_out {
                // Until it is let go it has the block, and wants to be told when that is not needed.
                self.holders.add(block, from);
            }
            self.settle(block);
            return true;
        }
        if self.holders.is_copied(block) || self.is_being_taken_over(block) {
            return false;
        }
        let Some(to) = self.taker(block, from, takers) else { return false };
        self.expect_at(block, to, from);
        let transfer = Transfer { from, to };
        self.holders.begin_copy(block, transfer);
        self.settle(block);
        self.outboxes.copy(transfer, block);
        false
    }

    /// Does the next step of a chain go on in this block, or in a copy of it, at this moment? It is gone with that.
    fn is_being_taken_over(&self, block: BlockId) -> bool {
        let is_partial = self.tasks.program.stage(block.stage).space.is_partial(block.index);
        let next = BlockId::new(block.stage, block.index + 1);
        is_partial && matches!(self.tasks.state(next), TaskState::Assigned(_))
    }

    /// Who takes a block in: a worker with the same memory, or one whose memory has room for it.
    fn taker(&mut self, block: BlockId, from: WorkerId, takers: &[WorkerId]) -> Option<WorkerId> {
        let first = block.index as usize + self.holders.failures(block) as usize;
        let in_turn = (0..takers.len()).map(|at| takers[(first + at) % takers.len()]);
        let home = self.fleet.memory(from);
        if let Some(near) = in_turn.clone().find(|taker| self.fleet.memory(*taker) == home) {
            return Some(near);
        }
        let bytes = self.tasks.size(block);
        self.first_fit(in_turn.take(ASKED), |core, taker| core.make_room(taker, bytes, &[block]))
    }

    pub(super) fn copied(&mut self, worker: WorkerId, block: BlockId) {
        let is_asked = self.holders.copy_arrived(block, worker);
        if !is_asked {
            // Nobody waits for it. Where the block itself is made, that takes its place.
            let state = self.tasks.state(block);
            let is_its_own = state == TaskState::Done(worker) || state == TaskState::Assigned(worker);
            if !is_its_own && !self.holders.expects(block, worker) {
                self.outboxes.drop(worker, block);
            }
            return;
        }
        self.holders.used(block, worker);
        match self.tasks.state(block) {
            TaskState::Done(_) => {}
            TaskState::Spilled => self.came_back(block, worker),
            _ => self.used_after_loss(worker, block),
        }
        self.settle(block);
    }

    /// A block could not be fetched off a leaving worker. Another one tries next; what nobody can fetch is lost.
    pub(super) fn copy_failed(&mut self, worker: WorkerId, block: BlockId) {
        let Some(failed) = self.holders.copy_failed(block, worker) else { return };
        if self.holders.unexpect(block, worker) {
            self.has_gone(block, worker);
        }
        self.settle(block);
        let is_given = match self.tasks.state(block) {
            TaskState::Done(holder) => holder == failed.from,
            TaskState::Spilled => self.transit.file(block) == self.fleet.memory(failed.from),
            _ => false,
        };
        if !is_given || failed.times < COPY_ATTEMPTS {
            return;
        }
        self.holders.forget_failures(block);
        // It may be there all the same. What was written of it stays: the block may fall back to that.
        self.outboxes.drop(failed.from, block);
        if self.tasks.state(block) == TaskState::Spilled {
            self.transit.remove_file(block);
        }
        self.make_again(|_, other, _| other == block);
    }
}

#[cfg(test)]
#[path = "leaving_tests.rs"]
mod tests;
