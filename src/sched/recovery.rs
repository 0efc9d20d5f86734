//! What a crash undoes: blocks that are gone are made again if they are still needed.
//!
//! After a loss nothing is patched: what was admitted and not handed out is forgotten, the cursor
//! starts again at the results. Asking `inputs` backwards from the blocks that are gone and still
//! needed to blocks that exist tells what has to be done again.

use super::core::{Core, Dropped};
use super::events::Action;
use super::table::{NOWHERE, State};
use crate::failure::Failure;
use crate::ids::{BlockId, TaskId, TaskList, WorkerId};

impl Core {
    pub(super) fn lose(&mut self, worker: WorkerId) {
        if self.fleet.remove(worker).is_none() {
            return;
        }
        self.forget_holder(worker);
        let half_written = self.spill.as_mut().map(|spill| spill.forget_worker(worker)).unwrap_or_default();
        let at_worker = |state: State| matches!(state, State::Assigned(w) | State::Done(w) if w == worker);
        self.make_again(|_, block, state| at_worker(state) || half_written.contains(&block));
    }

    /// What is known of a worker's copies is no longer true.
    pub(super) fn forget_holder(&mut self, worker: WorkerId) {
        self.replicas.retain(|_, others| {
            others.retain(|other| *other != worker);
            !others.is_empty()
        });
        let concerned = |t: &super::core::Transfer| t.from == worker || t.to == worker;
        let ended: Vec<BlockId> =
            self.copies.iter().filter(|(_, t)| concerned(t)).map(|(block, _)| *block).collect();
        ended.into_iter().for_each(|block| self.end_copy(block));
    }

    /// Forgets what is admitted and not handed out, and makes again what is `lost`. The walk begins anew.
    pub(super) fn make_again(&mut self, lost: impl Fn(&Core, TaskId, State) -> bool) {
        self.restart = false;
        self.dropped = Dropped::Nothing;
        self.start_again(lost);
    }

    /// Sets every task that is only admitted back to idle, and with it the tasks and blocks that are `lost`, unless
    /// another worker holds the block too.
    fn start_again(&mut self, lost: impl Fn(&Core, TaskId, State) -> bool) {
        let (mut idle, mut gone) = (Vec::new(), Vec::new());
        for at in 0..self.table.len() {
            let state = self.table.state(at);
            match state {
                State::Waiting | State::Ready => self.admitted -= 1,
                State::Assigned(_) if lost(self, self.program.at_position(at), state) => {
                    self.admitted -= 1;
                    self.assigned -= 1;
                }
                State::Done(_) | State::Spilled if state != State::Done(NOWHERE) => {
                    let block = self.program.at_position(at);
                    if !lost(self, block, state) || self.falls_back(block) {
                        continue;
                    }
                    gone.push(block);
                }
                _ => continue,
            }
            self.table.set(at, State::Idle);
            idle.push(self.program.at_position(at));
        }
        self.unfinished += gone.len();
        self.recomputed += gone.len() as u64;
        gone.iter().for_each(|task| self.unconsume(*task));
        self.clear_queues();
        idle.into_iter().for_each(|task| self.abandon(task));
        self.revive_lineage(gone);
        self.settle_all();
        self.reserved = self.reserved_by_table();
    }

    /// Another worker holds the block too, or it has been written: it lies there from now on.
    fn falls_back(&mut self, block: BlockId) -> bool {
        let other = self.replicas.get_mut(&block).and_then(Vec::pop);
        if self.replicas.get(&block).is_some_and(Vec::is_empty) {
            self.replicas.remove(&block);
        }
        let written = self.spill.as_ref().is_some_and(|spill| spill.on_disk.contains(&block));
        let Some(state) = other.map(State::Done).or(written.then_some(State::Spilled)) else { return false };
        self.end_copy(block);
        self.set(block, state);
        true
    }

    fn clear_queues(&mut self) {
        self.cursor.restart();
        self.exhausted = false;
        self.next = None;
        self.compute.clear();
        self.io.clear();
        let parked: Vec<WorkerId> = self.fleet.with_parked().collect();
        for worker in parked {
            self.fleet.take_parked(worker);
        }
    }

    /// Back from blocks that are gone to blocks that exist: what was released is wanted once more. All of
    /// it at once, so that a block that is made again waits for all who need it again.
    fn revive_lineage(&mut self, mut gone: Vec<TaskId>) {
        let mut inputs = Vec::new();
        while let Some(task) = gone.pop() {
            if self.state(task) != State::Idle {
                continue;
            }
            self.program.inputs(task, &mut inputs);
            for input in inputs.drain(..) {
                if self.state(input) == State::Released {
                    self.set(input, State::Idle);
                    self.unfinished += 1;
                    self.recomputed += 1;
                    self.unconsume(input);
                    gone.push(input);
                }
            }
        }
    }

    /// A finished task will be done again: each input that is still there gets a consumer back.
    pub(super) fn unconsume(&mut self, task: TaskId) {
        let mut inputs = std::mem::take(&mut self.inputs);
        self.program.inputs(task, &mut inputs);
        for input in &inputs {
            let at = self.program.position(*input);
            if matches!(self.table.state(at), State::Done(_) | State::Spilled) {
                self.table.add(at);
            }
        }
        self.inputs = inputs;
    }

    /// Does anybody still want this block? O(consumers): asked after a loss only.
    pub(super) fn is_needed(&self, block: BlockId) -> bool {
        if self.state(block) == State::Released {
            return false;
        }
        let mut consumers = Vec::new();
        self.program.consumers(block, &mut consumers);
        self.is_root(block) || consumers.iter().any(|c| !self.state(*c).is_finished())
    }

    /// Is it made for its own sake: a result, or the end of a stage that nobody reads?
    pub(super) fn is_root(&self, task: TaskId) -> bool {
        let end =
            self.program.is_sink(task.stage) && !self.program.stage(task.stage).space.is_partial(task.index);
        end || self.program.keeps(task)
    }

    /// A task whose block was lost need not be done again if its consumers have got on without it.
    fn abandon(&mut self, task: TaskId) {
        let mut tasks = vec![task];
        while let Some(task) = tasks.pop() {
            if self.state(task) != State::Idle || self.is_needed(task) {
                continue;
            }
            self.set(task, State::Released);
            self.unfinished -= 1;
            self.recomputed -= 1;
            for other in self.replicas.remove(&task).unwrap_or_default() {
                self.free(other, task);
            }
            let mut inputs = Vec::new();
            self.program.inputs(task, &mut inputs);
            for input in inputs {
                let at = self.program.position(input);
                match self.table.state(at) {
                    State::Done(_) | State::Spilled if self.table.take(at) == 0 => self.release(input),
                    State::Idle => tasks.push(input),
                    _ => {}
                }
            }
        }
    }

    /// `worker` has a copy of a block that is not there officially: lost after the copy was made.
    /// The copy counts when the block is made again, or goes if nobody wants it.
    pub(super) fn used_after_loss(&mut self, worker: WorkerId, block: BlockId) {
        if self.is_needed(block) {
            return self.add_replica(worker, block);
        }
        self.free(worker, block);
        self.abandon(block);
    }

    /// `worker` has made a block of which it had a copy from before a loss.
    pub(super) fn no_longer_replica(&mut self, worker: WorkerId, block: BlockId) {
        if self.replicas.is_empty() {
            return;
        }
        let Some(others) = self.replicas.get_mut(&block) else { return };
        others.retain(|other| *other != worker);
        if others.is_empty() {
            self.replicas.remove(&block);
        }
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
            // Takes over a block that is counted already, unless that was lost meanwhile.
            let counted = !matches!(state, State::Done(_)) && self.program.takes_over(task) && {
                let previous = TaskId::new(task.stage, task.index - 1);
                let state = self.state(previous);
                matches!(state, State::Done(_)) || state.is_pending() || self.is_coming(previous)
            };
            if !counted {
                sum += self.size(task);
            }
        }
        sum + self.moving_bytes()
    }

    pub(super) fn take_back(&mut self, worker: WorkerId, tasks: &TaskList) {
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
            self.make_ready(task);
            // The walk passes over what is admitted: to come to the inputs it has to begin anew.
            self.restart |= !complete;
        }
        if let Some(worker) = self.fleet.get_mut(worker) {
            worker.asked_back = false;
        }
    }

    /// Nothing runs, nothing can be admitted, and the run is not over: after a loss, blocks made out of
    /// order may fill the memory. They are dropped (the walk makes them again in order): first those
    /// that are on the way to a result, then results too. True if that changed something; if it did
    /// not, the run cannot go on.
    pub(super) fn unstick(&mut self, out: &mut Vec<Action>) -> bool {
        let stuck = self.assigned == 0 && self.next.is_some();
        let waits = !self.copies.is_empty() || self.is_moving() || self.fleet.staying() == 0;
        if !stuck || waits || !self.compute.is_empty() || !self.io.is_empty() {
            return false;
        }
        self.dropped = match self.dropped {
            Dropped::Nothing => Dropped::Intermediate,
            Dropped::Intermediate => Dropped::All,
            Dropped::All => {
                self.over = true;
                let message = "after the loss of a worker the run no longer fits its memory: allow more";
                out.push(Action::Failed(Failure::of_run(message)));
                return false;
            }
        };
        self.drops += 1;
        self.drop_blocks(self.dropped == Dropped::All);
        true
    }

    fn drop_blocks(&mut self, results_too: bool) {
        let goes = |core: &Core, block: BlockId, state: State| {
            matches!(state, State::Done(_)) && (results_too || !core.program.keeps(block))
        };
        let all: Vec<(BlockId, WorkerId)> = (0..self.table.len())
            .filter_map(|at| match self.table.state(at) {
                State::Done(holder) if holder != NOWHERE => Some((self.program.at_position(at), holder)),
                _ => None,
            })
            .filter(|(block, holder)| goes(self, *block, State::Done(*holder)))
            .collect();
        for (block, holder) in all {
            self.free(holder, block);
            for other in self.replicas.remove(&block).unwrap_or_default() {
                self.free(other, block);
            }
        }
        self.start_again(goes);
    }
}
