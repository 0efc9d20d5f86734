//! Which worker gets a ready task: the one where it would finish first.

use super::Core;
use crate::ids::{TaskId, TaskList, WorkerId};
use crate::sched::lane::Lane;
use crate::sched::ready::Urgent;
use crate::sched::table::{NOWHERE, TaskState};

/// First guess of a link between two workers.
const LINK_BYTES_PER_SECOND: f64 = 1e9;
/// Holders of so many inputs are looked at when a task is placed: it keeps the decision constant-time.
const MOST_HOLDERS: usize = 8;

/// An input of a task that is to be placed.
struct Held {
    holder: WorkerId,
    bytes: u64,
}

impl Core {
    /// Hands out the ready tasks of one class as far as workers have room. Returns how many left the queues.
    pub(super) fn place_all(&mut self, lane: Lane) -> usize {
        match lane {
            Lane::Compute => self.place_parked() + self.place_queued(lane),
            Lane::Io => self.place_queued(lane),
        }
    }

    /// Gives workers with room the tasks that were waiting for just them.
    fn place_parked(&mut self) -> usize {
        let mut handed = 0;
        for worker in self.fleet.take_freed() {
            while let Some(urgent) = self.fleet.unpark(worker, &self.estimates) {
                handed += 1;
                if self.tasks.state(urgent.task) == TaskState::Ready {
                    self.assign(worker, urgent.task);
                }
            }
        }
        handed
    }

    /// Places ready tasks, the most urgent first, until no worker has room.
    fn place_queued(&mut self, lane: Lane) -> usize {
        let mut handed = 0;
        while let Some(urgent) = self.ready.first(&self.tasks, lane) {
            let Some(spare) = self.fleet.least_loaded(lane, self.estimates.of(urgent.task)) else { break };
            self.ready.pop(lane);
            self.place(urgent, lane, spare);
            handed += 1;
        }
        handed
    }

    /// Assigns a task to the worker that finishes it first. If that one is busy a compute task waits for it; an I/O
    /// task goes to `spare`, which has room.
    fn place(&mut self, urgent: Urgent, lane: Lane, spare: WorkerId) {
        let seconds = self.estimates.of(urgent.task);
        let best = self.choose(urgent.task, spare);
        if self.fleet.has_room(best, lane, seconds) {
            self.assign(best, urgent.task);
        } else if lane == Lane::Io {
            self.assign(spare, urgent.task);
        } else {
            self.fleet.park(best, urgent, seconds);
        }
    }

    /// The worker where the task would finish first: among the holders of its inputs and `spare`,
    /// the shortest queue plus transfer of what is missing. A step that goes on with the block of the
    /// step before stays with it: anywhere else it would need a second block that nobody has reserved.
    pub(super) fn choose(&mut self, task: TaskId, spare: WorkerId) -> WorkerId {
        if self.tasks.program.takes_over(task)
            && let Some(holder) = self.location(TaskId::new(task.stage, task.index - 1))
            && self.fleet.stays(holder)
        {
            return holder;
        }
        let held = self.inputs_held(task);
        let mut best = spare;
        let mut best_finish = self.finish_at(spare, &held);
        for &Held { holder, .. } in &held {
            let finish = self.finish_at(holder, &held);
            if finish < best_finish {
                best = holder;
                best_finish = finish;
            }
        }
        best
    }

    /// The inputs of `task` that lie somewhere, the first few.
    fn inputs_held(&mut self, task: TaskId) -> Vec<Held> {
        let Core { tasks, inputs, .. } = self;
        tasks.program.inputs(task, inputs);
        let held = |input: &TaskId| {
            let bytes = tasks.program.stage(input.stage).bytes(input.index);
            Some(Held { holder: tasks.location(*input)?, bytes })
        };
        inputs.iter().take(MOST_HOLDERS).filter_map(held).collect()
    }

    /// Seconds until `worker` could begin with everything it needs.
    fn finish_at(&self, worker: WorkerId, held: &[Held]) -> f64 {
        let Some(queue) = self.fleet.get(worker).filter(|queue| !queue.draining) else {
            return f64::INFINITY;
        };
        let missing: u64 = held.iter().filter(|held| held.holder != worker).map(|held| held.bytes).sum();
        queue.queue() + missing as f64 / LINK_BYTES_PER_SECOND
    }

    pub(super) fn assign(&mut self, worker: WorkerId, task: TaskId) {
        let Core { tasks, counts, fleet, holders, outboxes, estimates, inputs, .. } = self;
        fleet.charge(worker, tasks.lane(task), 1, estimates.of(task));
        counts.assign();
        tasks.set(task, TaskState::Assigned(worker));
        tasks.program.inputs(task, inputs);
        let elsewhere = inputs.iter().filter_map(|input| match tasks.state(*input) {
            TaskState::Done(NOWHERE) => None,
            TaskState::Done(holder) if holder == worker || holders.has(*input, worker) => None,
            TaskState::Done(holder) => Some((*input, holder)),
            _ => None,
        });
        outboxes.assign(worker, task, elsewhere);
    }

    /// These were assigned to `worker` and have not been begun.
    pub(super) fn take_back(&mut self, worker: WorkerId, returned: &TaskList) {
        for task in returned.iter() {
            if self.tasks.state(task) == TaskState::Assigned(worker) {
                self.take_one_back(worker, task);
            }
        }
        if let Some(queue) = self.fleet.get_mut(worker) {
            queue.asked_back = false;
        }
    }

    fn take_one_back(&mut self, worker: WorkerId, task: TaskId) {
        let Core { tasks, counts, fleet, ready, admission, estimates, inputs, .. } = self;
        fleet.charge(worker, tasks.lane(task), -1, -estimates.of(task));
        counts.take_back();
        tasks.program.inputs(task, inputs);
        // The walk passes over what is admitted: to come to the inputs it has to begin anew.
        if !inputs.iter().all(|input| tasks.is_there(*input)) {
            admission.make_stale();
        }
        ready.push(tasks, task);
    }
}
