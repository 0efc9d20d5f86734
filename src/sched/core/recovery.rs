//! What a crash undoes: blocks that are gone are made again if they are still needed.
//!
//! After a loss nothing is patched: what was admitted and not handed out is forgotten, the walk
//! starts again at the results. Asking `inputs` backwards from the blocks that are gone and still
//! needed to blocks that exist tells what has to be done again.

use super::{Core, Over, Successor};
use crate::failure::{Blame, Failure};
use crate::ids::{BlockId, MemoryId, TaskId, TaskList, WorkerId};
use crate::sched::events::Action;
use crate::sched::lane::Lane;
use crate::sched::sacrifice::Given;
use crate::sched::table::{NOWHERE, TaskState};

impl Core {
    pub(super) fn lose(&mut self, worker: WorkerId, out: &mut Vec<Action>) {
        let Some(gone) = self.fleet.remove(worker) else { return };
        let to_blame = self.suspect_all_at(worker, gone.draining);
        self.holders.forget_worker(worker);
        self.leads.forget(worker);
        self.links.forget(worker);
        let mut unreadable = self.transit.forget_worker(worker);
        if self.memories.leave(gone.memory, worker) {
            let files = self.transit.forget_files(gone.memory);
            // One that is being written elsewhere will be there.
            let is_leaving = |block: &BlockId| self.transit.leaves_from(*block).is_some();
            unreadable.extend(files.into_iter().filter(|block| !is_leaving(block)));
        }
        self.fit_window();
        let was_there = |state: TaskState| match state {
            TaskState::Assigned(at) | TaskState::Done(at) => at == worker,
            _ => false,
        };
        self.make_again(|_, block, state| {
            was_there(state) || (state == TaskState::Spilled && unreadable.contains(&block))
        });
        if let Some(task) = to_blame {
            let message = format!(
                "three workers were lost with this task, {task:?}, in hand: look at their logs and at the memory limit of their jobs"
            );
            self.fail(task, Failure::of_run(message), out);
        }
    }

    /// `worker` is lost. What it had in hand may be the reason, unless it was to leave. Says which task is to blame
    /// for three losses, if one is.
    fn suspect_all_at(&mut self, worker: WorkerId, was_to_leave: bool) -> Option<TaskId> {
        if was_to_leave {
            self.suspects.forget_worker(worker);
            return None;
        }
        let is_there = |at: &usize| self.tasks.table.state(*at) == TaskState::Assigned(worker);
        let in_hand = (0..self.tasks.table.len()).filter(is_there);
        let in_hand: Vec<TaskId> = in_hand.map(|at| self.tasks.program.at_position(at)).collect();
        self.suspects.lost(worker, &in_hand)
    }

    /// `worker` could begin `tasks`, and asks whether it may.
    pub(super) fn asked(&mut self, worker: WorkerId, tasks: &TaskList) {
        for task in tasks.iter().filter(|task| self.tasks.state(*task) == TaskState::Assigned(worker)) {
            self.suspects.ask(worker, task);
        }
        self.permit_next(worker);
    }

    /// `worker` has `task` in hand no more: it may begin another one.
    pub(super) fn put_down(&mut self, worker: WorkerId, task: TaskId) {
        if !self.suspects.is_empty() {
            self.suspects.put_down(worker, task);
            self.permit_next(worker);
        }
    }

    fn permit_next(&mut self, worker: WorkerId) {
        let Some(threads) = self.fleet.get(worker).map(|queue| queue.threads) else { return };
        while let Some(task) = self.suspects.permit(worker, threads) {
            self.outboxes.permit(worker, task);
        }
    }

    /// Forgets what is admitted and not handed out, and makes again what is `lost`. The walk begins anew.
    pub(super) fn make_again(&mut self, lost: impl Fn(&Core, TaskId, TaskState) -> bool) {
        self.sacrifice.begin_anew();
        self.start_again(lost);
    }

    /// Sets every task that is only admitted back to idle, and with it the tasks and blocks that are `lost`, unless
    /// another worker holds the block too.
    fn start_again(&mut self, lost: impl Fn(&Core, TaskId, TaskState) -> bool) {
        let mut idle = Vec::new();
        let mut gone = Vec::new();
        for at in 0..self.tasks.table.len() {
            let state = self.tasks.table.state(at);
            match state {
                TaskState::Waiting | TaskState::Ready => self.counts.forget_admitted(),
                TaskState::Assigned(_) if lost(self, self.tasks.program.at_position(at), state) => {
                    self.counts.forget_assigned();
                }
                TaskState::Done(_) | TaskState::Spilled if state != TaskState::Done(NOWHERE) => {
                    let block = self.tasks.program.at_position(at);
                    if !lost(self, block, state) || self.falls_back(block) {
                        continue;
                    }
                    gone.push(block);
                }
                _ => continue,
            }
            self.tasks.table.set(at, TaskState::Idle);
            idle.push(self.tasks.program.at_position(at));
        }
        gone.iter().for_each(|task| self.counts.redo(task.stage));
        gone.iter().for_each(|task| self.unconsume(*task));
        self.clear_queues();
        idle.into_iter().for_each(|task| self.abandon(task));
        self.revive_lineage(gone);
        self.count_anew();
    }

    /// Another worker holds the block too, or it has been written: it lies there from now on.
    fn falls_back(&mut self, block: BlockId) -> bool {
        let other = self.holders.find(block, |_| true);
        let is_written = self.transit.file(block).is_some();
        let state = other.map(TaskState::Done).or(is_written.then_some(TaskState::Spilled));
        let Some(state) = state else { return false };
        if let Some(other) = other {
            self.holders.promote(block, other);
        }
        self.tasks.set(block, state);
        true
    }

    fn clear_queues(&mut self) {
        self.admission.begin_anew();
        self.ready.clear();
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
            if self.tasks.state(task) != TaskState::Idle {
                continue;
            }
            self.tasks.program.inputs(task, &mut inputs);
            for input in inputs.drain(..) {
                if self.tasks.state(input) == TaskState::Released {
                    self.tasks.set(input, TaskState::Idle);
                    self.counts.redo(input.stage);
                    self.unconsume(input);
                    gone.push(input);
                }
            }
        }
    }

    /// A finished task will be done again: each input that is still there gets a consumer back.
    fn unconsume(&mut self, task: TaskId) {
        let Core { tasks, inputs, .. } = self;
        tasks.program.inputs(task, inputs);
        for input in inputs.iter() {
            let at = tasks.program.position(*input);
            if matches!(tasks.table.state(at), TaskState::Done(_) | TaskState::Spilled) {
                tasks.table.add(at);
            }
        }
    }

    /// A task whose block was lost need not be done again if its consumers have got on without it.
    fn abandon(&mut self, task: TaskId) {
        let mut open = vec![task];
        let mut inputs = Vec::new();
        while let Some(task) = open.pop() {
            if self.tasks.state(task) != TaskState::Idle || self.tasks.is_needed(task) {
                continue;
            }
            self.tasks.set(task, TaskState::Released);
            self.counts.abandon(task.stage);
            self.free_further(task);
            self.tasks.program.inputs(task, &mut inputs);
            for input in inputs.drain(..) {
                let at = self.tasks.program.position(input);
                match self.tasks.table.state(at) {
                    TaskState::Done(_) | TaskState::Spilled if self.tasks.table.take(at) == 0 => {
                        self.release(input, Successor::None);
                    }
                    TaskState::Idle => open.push(input),
                    _ => {}
                }
            }
        }
    }

    /// `worker` has a copy of a block that is not there officially: lost after the copy was made.
    /// The copy counts when the block is made again, or goes if nobody wants it.
    pub(super) fn used_after_loss(&mut self, worker: WorkerId, block: BlockId) {
        if self.tasks.is_needed(block) {
            return;
        }
        self.outboxes.free(worker, block);
        if self.holders.remove(block, worker) {
            self.has_gone(block, worker);
        }
        self.abandon(block);
    }

    /// Nothing runs, nothing can be placed, and the run is not over: after a loss, blocks made out of
    /// order may fill the memory. They are dropped (the walk makes them again in order): first those
    /// that are on the way to a result, then results too. True if that changed something; if it did
    /// not, the run cannot go on.
    pub(super) fn unstick(&mut self, out: &mut Vec<Action>) -> bool {
        let is_stuck = self.counts.assigned() == 0 && (self.admission.held().is_some() || self.has_ready());
        if !is_stuck {
            return false;
        }
        let waits = self.holders.is_copying() || self.transit.is_moving() || !self.can_go_on();
        if waits {
            return false;
        }
        let Some(given) = self.sacrifice.next() else {
            self.over = Over::Failed;
            let message = "after the loss of a worker the run no longer fits its memory: allow more";
            out.push(Action::Failed(Failure { blame: Blame::Run, message: message.into() }));
            return false;
        };
        self.give_up(given);
        true
    }

    /// Does a task wait for a worker?
    fn has_ready(&mut self) -> bool {
        let mut lanes = [Lane::Compute, Lane::Io, Lane::Pinned].into_iter();
        lanes.any(|lane| self.ready.first(&self.tasks, lane).is_some())
    }

    /// Does a worker stay whose memory the run fits, and the client if it has a part in the run? If not, the run waits.
    pub(super) fn can_go_on(&self) -> bool {
        if self.tasks.has_pinned() && !self.fleet.has_client() {
            return false;
        }
        let stays =
            |memory: MemoryId| self.memories.workers(memory).any(|worker| self.fleet.computes(worker));
        let mut large = self.memories.ledgers().filter(|(_, ledger)| ledger.limit() >= self.least_memory);
        large.any(|(memory, _)| stays(memory))
    }

    fn give_up(&mut self, given: Given) {
        let goes = |core: &Core, block: BlockId, state: TaskState| {
            matches!(state, TaskState::Done(_)) && (given == Given::All || !core.tasks.program.keeps(block))
        };
        for at in 0..self.tasks.table.len() {
            let state = self.tasks.table.state(at);
            let TaskState::Done(holder) = state else { continue };
            let block = self.tasks.program.at_position(at);
            if holder != NOWHERE && goes(self, block, state) {
                self.outboxes.free(holder, block);
                self.free_further(block);
            }
        }
        self.start_again(goes);
    }
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
