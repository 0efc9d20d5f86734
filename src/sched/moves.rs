//! Workers come and go as planned: idle ones take work off busy ones, leaving ones hand their blocks over.

use super::core::{Core, Transfer};
use super::events::Action;
use super::fleet::Lane;
use super::table::State;
use crate::ids::{BlockId, WorkerId};

/// So many workers are asked for parked tasks when one is idle, after each batch.
const ASKED: usize = 8;
/// So often a copy is tried, each time by another worker where there are others, before the block is made again: a
/// leave must end, and a connection may fail once or twice for no lasting reason.
const COPY_ATTEMPTS: u32 = 3;

impl Core {
    /// Nothing new goes to `worker`; what it has not started comes back.
    pub(super) fn drain(&mut self, worker: WorkerId, out: &mut Vec<Action>) {
        let parked = self.fleet.drain(worker);
        self.compute.extend(parked);
        let Some(w) = self.fleet.get_mut(worker) else { return };
        if w.compute.assigned > w.threads {
            w.asked_back = true;
            let tasks = w.compute.assigned;
            out.push(Action::TakeBack { worker, tasks });
        }
    }

    /// After each batch: idle workers take queued tasks off busy ones, leaving workers hand over. True if one was let go.
    pub(super) fn balance(&mut self, out: &mut Vec<Action>) -> bool {
        let let_go = self.fleet.is_draining() && self.hand_over(out);
        if self.compute.is_empty() && self.fleet.has_idle() {
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
        for id in busy {
            while let Some(urgent) = self.fleet.pop_parked(id, &self.seconds) {
                let seconds = self.seconds(urgent.task);
                if self.state(urgent.task) != State::Ready {
                    continue;
                }
                let spare = self.fleet.least_loaded(Lane::Compute, seconds);
                let best = spare.map_or(id, |spare| self.choose(urgent.task, spare));
                if best == id || !self.fleet.get(best).is_some_and(|w| w.has_room(Lane::Compute, seconds)) {
                    self.fleet.park(id, urgent, seconds);
                    break;
                }
                self.assign(best, urgent.task);
            }
        }
    }

    /// Asks the most loaded worker for half of what waits there.
    fn steal(&mut self, out: &mut Vec<Action>) {
        let Some(busiest) = self.fleet.busiest() else { return };
        let Some(worker) = self.fleet.get_mut(busiest) else { return };
        if worker.asked_back || worker.rest > 0 || worker.compute.assigned <= worker.threads {
            return;
        }
        worker.asked_back = true;
        worker.rest = worker.threads;
        let tasks = (worker.compute.assigned - worker.threads).div_ceil(2);
        out.push(Action::TakeBack { worker: busiest, tasks });
    }

    /// Copies the only copies off workers that leave, and lets those go that hold nothing needed. True if one went.
    fn hand_over(&mut self, out: &mut Vec<Action>) -> bool {
        let ready = |w: &super::fleet::Worker| w.draining && w.is_idle() && w.handing_over == 0;
        let leaving: Vec<WorkerId> = self.fleet.iter().filter(|(_, w)| ready(w)).map(|(id, _)| id).collect();
        let mut let_go = false;
        if leaving.is_empty() {
            return let_go;
        }
        let takers: Vec<WorkerId> =
            self.fleet.iter().filter(|(_, w)| !w.draining).map(|(id, _)| id).collect();
        for from in leaving {
            let held: Vec<BlockId> = (0..self.table.len())
                .filter(|at| self.table.state(*at) == State::Done(from))
                .map(|at| self.program.at_position(at))
                .collect();
            let mut needed = false;
            for block in held {
                needed |= !self.move_away(block, from, &takers, out);
            }
            if !needed {
                self.fleet.remove(from);
                self.forget_holder(from);
                out.push(Action::Release { worker: from });
                let_go = true;
            }
        }
        let_go
    }

    /// True if `block` no longer needs the worker `from`; else a copy is under way, if anybody can take it.
    fn move_away(
        &mut self,
        block: BlockId,
        from: WorkerId,
        takers: &[WorkerId],
        out: &mut Vec<Action>,
    ) -> bool {
        let stays = |id: &WorkerId| self.fleet.get(*id).is_some_and(|w| !w.draining);
        if let Some(other) = self.replicas.get(&block).and_then(|others| others.iter().copied().find(stays)) {
            self.set(block, State::Done(other));
            self.no_longer_replica(other, block);
            // Until it is let go it has the block, and wants to be told when that is not needed.
            self.add_replica(from, block);
            return true;
        }
        if takers.is_empty() {
            return false;
        }
        let failed = self.failed_copies.get(&block).copied().unwrap_or(0);
        let to = takers[(block.index as usize + failed as usize) % takers.len()];
        self.begin_copy(block, Transfer { from, to });
        out.push(Action::Copy { from, to, block });
        false
    }

    fn begin_copy(&mut self, block: BlockId, transfer: Transfer) {
        self.end_copy(block);
        self.copies.insert(block, transfer);
        if let Some(worker) = self.fleet.get_mut(transfer.from) {
            worker.handing_over += 1;
        }
    }

    pub(super) fn end_copy(&mut self, block: BlockId) {
        if self.copies.is_empty() {
            return;
        }
        let Some(transfer) = self.copies.remove(&block) else { return };
        if let Some(worker) = self.fleet.get_mut(transfer.from) {
            worker.handing_over -= 1;
        }
    }

    pub(super) fn copied(&mut self, worker: WorkerId, block: BlockId) {
        if self.copies.get(&block).is_some_and(|t| t.to == worker) {
            self.end_copy(block);
        }
        self.failed_copies.remove(&block);
        match self.state(block) {
            State::Done(holder) if holder != worker => self.add_replica(worker, block),
            State::Done(_) => {}
            State::Spilled => self.drop_copy(worker, block),
            _ => self.used_after_loss(worker, block),
        }
    }
    /// A block could not be fetched off a leaving worker. Another one tries next; what nobody can fetch is lost.
    pub(super) fn copy_failed(&mut self, worker: WorkerId, block: BlockId) {
        let Some(transfer) = self.copies.get(&block).copied().filter(|transfer| transfer.to == worker) else {
            return;
        };
        self.end_copy(block);
        let failed = self.failed_copies.entry(block).or_default();
        *failed += 1;
        if *failed < COPY_ATTEMPTS {
            return;
        }
        self.failed_copies.remove(&block);
        // It may be there all the same. What was written of it stays: the block may fall back to that.
        self.outbox.entry(transfer.from).or_default().drop.push(block);
        self.make_again(|_, other, _| other == block);
    }
}
