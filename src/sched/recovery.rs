//! Workers that leave, are lost or give tasks back: what was theirs is found another place or made again.
//!
//! After a loss nothing is patched: what was admitted and not handed out is forgotten, the cursor
//! starts again at the results and, asking `inputs` backwards, comes to just the blocks that are gone
//! and still needed.

use super::core::{Action, Blame, Core, Failure};
use super::table::State;
use crate::array::footprint;
use crate::ids::{BlockId, TaskId, TaskList, WorkerId};
use std::collections::HashSet;

impl Core {
    pub(super) fn lose(&mut self, worker: WorkerId) {
        if self.fleet.remove(worker).is_none() {
            return;
        }
        for others in self.replicas.values_mut() {
            others.retain(|other| *other != worker);
        }
        self.copies.retain(|_, to| *to != worker);
        let lost = self.forget_unassigned(worker);
        let program = self.program.clone();
        let table = &self.table;
        self.copies.retain(|block, _| matches!(table.state(program.position(*block)), State::Done(_)));
        for task in lost {
            self.recomputed += 1;
            self.unconsume(task);
        }
        self.recount();
    }

    /// Sets every task that is only admitted back to idle, and what was at `lost` too. Returns the
    /// done tasks whose blocks are gone.
    fn forget_unassigned(&mut self, lost: WorkerId) -> Vec<TaskId> {
        let mut gone = Vec::new();
        for at in 0..self.table.len() {
            match self.table.state(at) {
                State::Waiting | State::Ready => {
                    self.table.set(at, State::Idle);
                    self.admitted -= 1;
                }
                State::Assigned(w) if w == lost => {
                    self.table.set(at, State::Idle);
                    self.admitted -= 1;
                    self.assigned -= 1;
                }
                State::Done(w) if w == lost => {
                    let block = self.program.at_position(at);
                    match self.replicas.get_mut(&block).and_then(Vec::pop) {
                        Some(other) => self.table.set(at, State::Done(other)),
                        None => {
                            self.table.set(at, State::Idle);
                            self.unfinished += 1;
                            gone.push(block);
                        }
                    }
                }
                _ => {}
            }
        }
        self.start_again();
        gone
    }

    /// The walk begins anew; queues of tasks that are no longer admitted are emptied.
    fn start_again(&mut self) {
        self.cursor.restart();
        self.next = None;
        self.compute.clear();
        self.io.clear();
        for worker in self.fleet.with_parked() {
            self.fleet.take_parked(worker);
        }
    }

    /// A finished task will be done again: each input that is still there gets a consumer back.
    pub(super) fn unconsume(&mut self, task: TaskId) {
        let mut inputs = std::mem::take(&mut self.inputs);
        self.program.inputs(task, &mut inputs);
        for input in &inputs {
            let at = self.program.position(*input);
            if matches!(self.table.state(at), State::Done(_)) {
                self.table.add(at);
            }
        }
        self.inputs = inputs;
    }

    /// Reserved bytes from the table: blocks that exist, and those that admitted tasks will make.
    pub(super) fn reserved_by_table(&self) -> u64 {
        let mut sum = 0;
        for at in 0..self.table.len() {
            let state = self.table.state(at);
            if !matches!(state, State::Done(_)) && !state.is_pending() {
                continue;
            }
            let task = self.program.at_position(at);
            let whole = footprint(self.program.stage(task.stage).bytes(task.index));
            sum += match state {
                State::Done(_) => whole,
                // Takes over a block that is counted already, unless that was lost meanwhile.
                _ if self.program.takes_over(task) => {
                    let previous = TaskId::new(task.stage, task.index - 1);
                    let counted =
                        matches!(self.state(previous), State::Done(_)) || self.state(previous).is_pending();
                    if counted { 0 } else { whole }
                }
                _ => whole,
            };
        }
        sum
    }

    fn recount(&mut self) {
        self.reserved = self.reserved_by_table();
    }

    pub(super) fn take_back(&mut self, worker: WorkerId, tasks: &TaskList) {
        let mut input_gone = false;
        for task in tasks.iter() {
            if self.state(task) != State::Assigned(worker) {
                continue;
            }
            let (lane, seconds) = (self.lane(task), self.seconds(task));
            self.fleet.charge(worker, lane, -1, -seconds);
            self.assigned -= 1;
            let mut inputs = std::mem::take(&mut self.inputs);
            self.program.inputs(task, &mut inputs);
            let complete = inputs.iter().all(|i| matches!(self.state(*i), State::Done(_)));
            self.inputs = inputs;
            if complete {
                self.make_ready(task);
            } else {
                self.set(task, State::Idle);
                self.admitted -= 1;
                input_gone = true;
            }
        }
        if let Some(worker) = self.fleet.get_mut(worker) {
            worker.asked_back = false;
        }
        if input_gone {
            self.forget_unassigned(WorkerId(u32::MAX >> 3));
            self.recount();
        }
    }

    pub(super) fn drain(&mut self, worker: WorkerId) {
        let parked = self.fleet.drain(worker);
        self.compute.extend(parked);
    }

    /// After each batch: idle workers take queued tasks off busy ones, leaving workers hand over.
    pub(super) fn balance(&mut self, out: &mut Vec<Action>) {
        if self.fleet.is_draining() {
            self.hand_over(out);
        }
        if self.compute.is_empty() && self.fleet.has_idle() {
            self.steal(out);
        }
    }

    /// Takes half of the queue of the most loaded worker back, first what is only parked for it.
    fn steal(&mut self, out: &mut Vec<Action>) {
        let busiest = self.fleet.iter().max_by(|(_, a), (_, b)| a.queue().total_cmp(&b.queue()));
        let Some((busiest, _)) = busiest else { return };
        let parked = self.fleet.take_parked(busiest);
        if !parked.is_empty() {
            self.compute.extend(parked);
            return;
        }
        let Some(worker) = self.fleet.get_mut(busiest) else { return };
        if worker.asked_back || worker.compute.assigned <= worker.threads {
            return;
        }
        worker.asked_back = true;
        let tasks = (worker.compute.assigned - worker.threads).div_ceil(2);
        out.push(Action::TakeBack { worker: busiest, tasks });
    }

    /// Copies the only copies off workers that leave, and lets those go that hold nothing needed.
    fn hand_over(&mut self, out: &mut Vec<Action>) {
        let leaving: Vec<WorkerId> =
            self.fleet.iter().filter(|(_, w)| w.draining && w.is_idle()).map(|(id, _)| id).collect();
        for from in leaving {
            let stays = |id: &WorkerId| self.fleet.get(*id).is_some_and(|w| !w.draining);
            let takers: Vec<WorkerId> = self.fleet.iter().map(|(id, _)| id).filter(stays).collect();
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
                out.push(Action::Release { worker: from });
            }
        }
    }

    /// True if `block` no longer needs the worker `from`; else a copy is under way.
    fn move_away(
        &mut self,
        block: BlockId,
        from: WorkerId,
        takers: &[WorkerId],
        out: &mut Vec<Action>,
    ) -> bool {
        let stays = |id: &WorkerId| takers.contains(id);
        if let Some(other) = self.replicas.get(&block).and_then(|others| others.iter().copied().find(stays)) {
            self.set(block, State::Done(other));
            self.replicas.entry(block).or_default().retain(|id| *id != other);
            return true;
        }
        if self.program.releases(block) == 0 && !self.program.stage(block.stage).space.is_partial(block.index)
        {
            // Nothing to carry: any worker will do as its place.
            return takers.first().is_some_and(|to| {
                self.set(block, State::Done(*to));
                true
            });
        }
        if self.copies.contains_key(&block) || takers.is_empty() {
            return false;
        }
        let to = takers[block.index as usize % takers.len()];
        self.copies.insert(block, to);
        out.push(Action::Copy { from, to, block });
        false
    }

    pub(super) fn copied(&mut self, worker: WorkerId, block: BlockId) {
        self.copies.remove(&block);
        if self.fleet.get(worker).is_none() {
            return;
        }
        match self.state(block) {
            State::Done(holder) if holder != worker => {
                let others = self.replicas.entry(block).or_default();
                if !others.contains(&worker) {
                    others.push(worker);
                }
            }
            State::Done(_) => {}
            // Released meanwhile: the copy is of no use.
            _ => self.free(worker, block),
        }
    }

    /// Nothing runs, nothing can be admitted, and the run is not over: after a loss, blocks made out of
    /// order may fill the memory. They are dropped (the walk makes them again in order). True if that
    /// changed something; if it did not, the run cannot go on.
    pub(super) fn unstick(&mut self, out: &mut Vec<Action>) -> bool {
        let stuck = self.assigned == 0 && self.unfinished > 0 && self.next.is_some();
        let waits = self.copies.is_empty() && self.fleet.iter().any(|(_, w)| !w.draining);
        if !stuck || !waits || !self.compute.is_empty() || !self.io.is_empty() {
            return false;
        }
        if self.dropped_all {
            self.over = true;
            let message = "after the loss of a worker the run no longer fits its memory: allow more".into();
            out.push(Action::Failed(Failure { blame: Blame::Run, message }));
            return false;
        }
        self.dropped_all = true;
        self.drop_intermediate();
        true
    }

    fn drop_intermediate(&mut self) {
        let mut dropped = HashSet::new();
        for at in 0..self.table.len() {
            let State::Done(holder) = self.table.state(at) else { continue };
            let block = self.program.at_position(at);
            if self.program.keeps(block) {
                continue;
            }
            self.free(holder, block);
            for other in self.replicas.remove(&block).unwrap_or_default() {
                self.free(other, block);
            }
            self.table.set(at, State::Idle);
            self.unfinished += 1;
            self.recomputed += 1;
            dropped.insert(block);
        }
        self.forget_unassigned(WorkerId(u32::MAX >> 3));
        for block in dropped {
            self.unconsume(block);
        }
        self.recount();
    }
}
