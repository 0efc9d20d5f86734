//! Tasks handed out before their inputs exist, to the worker that makes these.
//!
//! A task may *follow* others to a worker when each of its inputs that is missing is to be made there, by tasks that
//! the worker was given before. All its memory is reserved when it is assigned, as that of every task. The worker
//! begins it when its inputs are there, and asks nobody. So a chain or a subtree travels in one message.

use super::Core;
use crate::ids::{BlockId, TaskId, WorkerId};
use crate::sched::fleet::AHEAD_SECONDS;
use crate::sched::lane::Lane;
use crate::sched::table::TaskState;

/// A worker that has so many tasks gets no followers: what is ready hides a round trip, and costs a worker less.
const MOST_LED: u32 = 256;
/// A task with more missing inputs is not looked at: each look is O(inputs), and there is one for each of them.
const MOST_MISSING: u32 = 8;
/// A lead whose consumers found no room is looked at again if it has no more of them: a look is O(consumers).
const MOST_RETRIED: usize = 8;

impl Core {
    /// Hands out what may follow assigned tasks. What is ready comes first.
    pub(super) fn hand_out_followers(&mut self) {
        if self.ready.first(&self.tasks, Lane::Compute).is_some() {
            return;
        }
        for worker in self.leads.take_touched() {
            self.lead(worker);
        }
    }

    /// Hands out what may follow the tasks at `worker`, and what follows that, until there is no room.
    fn lead(&mut self, worker: WorkerId) {
        let mut followers = Vec::new();
        while self.may_lead(worker) {
            let Some(task) = self.leads.first(worker) else { return };
            if self.tasks.state(task) == TaskState::Assigned(worker) {
                self.tasks.program.consumers(task, &mut followers);
                let found_room = followers.iter().all(|follower| self.follow(worker, *follower));
                if !found_room && followers.len() <= MOST_RETRIED {
                    return;
                }
            }
            self.leads.pop(worker);
        }
    }

    /// Not to one that leaves, nor to one that has enough to do; nor while it gives tasks back: it might get one whose
    /// inputs it has just given back.
    fn may_lead(&self, worker: WorkerId) -> bool {
        let Some(queue) = self.fleet.get(worker) else { return false };
        let has_enough = queue.compute.tasks() >= MOST_LED || queue.has_parked();
        !queue.draining && !queue.asked_back && !has_enough
    }

    /// Assigns `task` to `worker` if it may follow others there. False if just room is wanting.
    fn follow(&mut self, worker: WorkerId, task: TaskId) -> bool {
        let at = self.tasks.program.position(task);
        if self.tasks.table.state(at) != TaskState::Waiting || self.tasks.table.count(at) > MOST_MISSING {
            return true;
        }
        if !self.fleet.has_room(worker, self.tasks.lane(task), self.estimates.of(task)) {
            return false;
        }
        if self.is_sooner_elsewhere(worker, task) {
            return false;
        }
        if !self.is_best_made_at(worker, task) || self.home(task).is_some_and(|home| home.worker() != worker)
        {
            return true;
        }
        let has_room = self.fits_beside_all(worker, task);
        if has_room {
            self.assign(worker, task);
        }
        has_room
    }

    /// Would it wait for a thread there, and for longer than it takes to hand it to a worker that has nothing to do?
    fn is_sooner_elsewhere(&self, worker: WorkerId, task: TaskId) -> bool {
        let is_long = self.estimates.of(task) > AHEAD_SECONDS;
        let has_thread = self.fleet.get(worker).is_some_and(|queue| queue.compute.tasks() < queue.threads);
        is_long && !has_thread && self.fleet.has_idle()
    }

    /// Is all that `task` reads there or to be made at `worker`, and most of it at `worker`? A step of a chain goes
    /// where its block is, whatever else it reads.
    fn is_best_made_at(&self, worker: WorkerId, task: TaskId) -> bool {
        let mut inputs = Vec::new();
        self.tasks.program.inputs(task, &mut inputs);
        let (mut here, mut elsewhere) = (0, 0);
        let is_step = self.tasks.program.takes_over(task);
        let mut has_its_block = false;
        for input in inputs {
            let is_here = match self.tasks.state(input) {
                TaskState::Assigned(maker) if maker == worker => true,
                TaskState::Done(holder) if holder == worker => true,
                TaskState::Done(_) => self.holders.expects(input, worker),
                TaskState::Spilled if self.transit.leaves_from(input).is_none() => false,
                _ => return false,
            };
            *if is_here { &mut here } else { &mut elsewhere } += self.tasks.size(input);
            has_its_block |= is_here && self.tasks.takes_over_block(task, input);
        }
        if is_step { has_its_block } else { elsewhere <= here }
    }

    /// A task begins to wait for `inputs`. One that is being made now may lead it to its worker.
    pub(super) fn await_inputs(&mut self, inputs: &[BlockId]) {
        for input in inputs {
            if let TaskState::Assigned(worker) = self.tasks.state(*input) {
                return self.leads.add(worker, *input);
            }
        }
    }

    /// Is `input` to be made at `worker`?
    pub(super) fn is_made_at(&self, worker: WorkerId, input: BlockId) -> bool {
        self.tasks.state(input) == TaskState::Assigned(worker)
    }

    /// `task` is not going to be made at `worker`. What was handed out to follow it there will come back: the worker
    /// has been told to begin it, and finds that it cannot.
    pub(super) fn leave_astray(&mut self, worker: WorkerId, task: TaskId) {
        if !self.tasks.leaves_blocks(task) || self.holders.expects(task, worker) {
            return;
        }
        let mut followers = Vec::new();
        self.tasks.program.consumers(task, &mut followers);
        followers.retain(|follower| self.tasks.state(*follower) == TaskState::Assigned(worker));
        self.astray.extend(followers.into_iter().map(|follower| (follower, task)));
    }

    /// From now on `task`, assigned to `worker`, counts as reader of a copy of `input` there, if there is one.
    pub(super) fn find_again(&mut self, worker: WorkerId, task: TaskId, input: BlockId) {
        if !self.astray.is_empty() && self.astray.remove(&(task, input)) {
            self.holders.add_reader(input, worker);
        }
    }
}

#[cfg(test)]
#[path = "following_tests.rs"]
mod tests;
