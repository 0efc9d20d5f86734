//! Which worker gets a ready task: the one where it would finish first.

use super::Core;
use super::room::Fit;
use crate::ids::{BlockId, TaskId, TaskList, WorkerId};
use crate::sched::events::Pull;
use crate::sched::fleet::WorkerQueue;
use crate::sched::homes::{Home, Run};
use crate::sched::lane::Lane;
use crate::sched::links::Way;
use crate::sched::ready::Urgent;
use crate::sched::table::TaskState;

/// What moves from process to process costs more than the time of its link: both ends compute for it, encrypted as it
/// is, and others want the link too. Where a worker only waits a little longer for what it has, blocks stay.
const COST_OF_MOVING: f64 = 4.0;
/// Where blocks of a tall matrix are at home they stay as long as that costs no more than such a share of what the
/// worker has computed already, and the one that has nothing to do: workers are never quite as fast as each other. One
/// that has just come has computed nothing.
const PATIENCE: f64 = 0.5;
/// Holders of so many inputs are looked at when a task is placed: it keeps the decision constant-time.
const MOST_HOLDERS: usize = 8;

/// An input of a task that is to be placed.
struct PlacedInput {
    block: BlockId,
    holder: WorkerId,
    bytes: u64,
    /// In so many seconds whoever lacks it makes it, if it is not sent.
    made_in: Option<f64>,
}

impl Core {
    /// Hands out the ready tasks of one class as far as workers have room. Returns how many left the queues.
    pub(super) fn place_all(&mut self, lane: Lane) -> usize {
        match lane {
            Lane::Compute => self.place_parked() + self.place_queued(lane),
            Lane::Io | Lane::Pinned => self.place_queued(lane),
        }
    }

    /// Gives workers with room the tasks that were waiting for just them.
    fn place_parked(&mut self) -> usize {
        let mut handed = 0;
        for worker in self.fleet.take_freed() {
            while let Some(urgent) = self.fleet.unpark(worker, &self.estimates) {
                handed += 1;
                let is_ready = self.tasks.state(urgent.task) == TaskState::Ready;
                if is_ready && !self.try_assign(worker, urgent.task) {
                    self.ready.put_back(urgent);
                    break;
                }
            }
        }
        handed
    }

    /// Places ready tasks, the most urgent first, until no worker has room. Nothing overtakes a task for which there is
    /// none.
    fn place_queued(&mut self, lane: Lane) -> usize {
        let mut handed = 0;
        while let Some(urgent) = self.ready.first(&self.tasks, lane) {
            let Some(spare) = self.fleet.least_loaded(lane, self.estimates.of(urgent.task)) else { break };
            if !self.place(urgent, lane, spare) {
                break;
            }
            handed += 1;
        }
        handed
    }

    /// Assigns a task to the worker that finishes it first. If that one is busy a compute task waits for it; an I/O
    /// task goes to `spare`, which is not, and from its home only if `spare` has far less to do. If its memory has no
    /// room the next best gets the task. True if the task has left the queue.
    fn place(&mut self, urgent: Urgent, lane: Lane, spare: WorkerId) -> bool {
        let task = urgent.task;
        let seconds = self.estimates.of(task);
        let home = self.home(task).map(Home::worker);
        let best = home.unwrap_or_else(|| self.choose(task, spare));
        if lane == Lane::Compute && !self.fleet.has_room(best, lane, seconds) {
            self.ready.pop(lane);
            self.fleet.park(best, urgent, seconds);
            return true;
        }
        let is_busy = !self.fleet.has_room(best, lane, seconds);
        if is_busy && home.is_some() && !self.fleet.get(spare).is_some_and(WorkerQueue::has_little_io) {
            return false;
        }
        let first = if is_busy { spare } else { best };
        let Some(worker) = self.with_room(task, lane, first, spare) else { return false };
        self.ready.pop(lane);
        self.assign(worker, task);
        true
    }

    /// Where `task` is to be done if there is one such worker. Memories that are shared have no homes in them.
    pub(super) fn home(&mut self, task: TaskId) -> Option<Home> {
        let begins = self.tasks.lane(task) != Lane::Pinned && !self.tasks.program.takes_over(task);
        if !begins || self.memories.is_one() {
            return None;
        }
        match self.layout_home(task)? {
            // The fleet was another one when its inputs were made.
            Home::Best(home) => {
                let holder = self.holder_of_most(task);
                Some(Home::Best(holder.unwrap_or_else(|| self.reader_for(task, home))))
            }
            firm => Some(firm),
        }
    }

    /// Its home in the plan of the run, whatever has become of that.
    pub(super) fn layout_home(&mut self, task: TaskId) -> Option<Home> {
        self.homes.of(Run { program: &self.tasks.program, fleet: &self.fleet }, task)
    }

    /// Who is to do `task`, which is at home there. What is to be read is nowhere yet: if much work waits there and
    /// somebody has nothing to do at all, that one reads it, and has the work that follows.
    fn reader_for(&self, task: TaskId, home: WorkerId) -> WorkerId {
        let is_behind = self.fleet.get(home).is_some_and(WorkerQueue::is_far_behind);
        if !self.tasks.is_source(task) || !is_behind {
            return home;
        }
        let idle = self.fleet.least_loaded(Lane::Compute, 0.0);
        idle.filter(|idle| self.fleet.get(*idle).is_some_and(WorkerQueue::is_idle)).unwrap_or(home)
    }

    /// Who has more than half of the bytes that `task` reads, and computes.
    fn holder_of_most(&mut self, task: TaskId) -> Option<WorkerId> {
        let held = self.inputs_held(task);
        let all: u64 = held.iter().map(|input| input.bytes).sum();
        let bytes_at = |holder: WorkerId| -> u64 {
            held.iter().filter(|input| input.holder == holder).map(|input| input.bytes).sum()
        };
        let most = held.iter().map(|input| input.holder).find(|holder| bytes_at(*holder) > all / 2)?;
        self.fleet.computes(most).then_some(most)
    }

    /// `task` waits for its home. Would `spare` be done in less than half of the time, and is it worth the way? Blocks
    /// of a tall matrix stay where they are at home longer, and who reads will have something to do of its own.
    pub(super) fn is_late(&mut self, task: TaskId, home: WorkerId, spare: WorkerId) -> bool {
        let lane = self.tasks.lane(task);
        let Some(patience) = self.patience(task, home, spare) else { return false };
        let held = self.inputs_held(task);
        let seconds = self.estimates.of(task);
        let done_by = |worker| self.finish_at(lane, worker, &held) + seconds;
        let gain = done_by(home) - done_by(spare);
        self.cost_of_moving(spare, &held) < seconds && 2.0 * done_by(spare) < done_by(home) && gain > patience
    }

    /// So many seconds `task` may wait for its home although `spare` has nothing to do. None if it stays anyway.
    fn patience(&mut self, task: TaskId, home: WorkerId, spare: WorkerId) -> Option<f64> {
        if !matches!(self.home(task), Some(Home::Best(_))) {
            return Some(0.0);
        }
        let busy = self.fleet.get(home)?;
        let idle = self.fleet.get(spare).filter(|idle| idle.io.tasks() == 0)?;
        Some(PATIENCE * busy.computed().min(idle.computed()))
    }

    /// Whose memory has room for `task`: `first`, or the next best.
    fn with_room(&mut self, task: TaskId, lane: Lane, first: WorkerId, spare: WorkerId) -> Option<WorkerId> {
        match self.fit(first, task) {
            Fit::Now => Some(first),
            Fit::Soon => None,
            Fit::No => {
                let others = self.others(task, lane, first, spare);
                self.first_fit(others.into_iter(), |core, other| core.fit(other, task))
            }
        }
    }

    /// The first worker that fits. None also if one will soon: that is worth waiting for.
    pub(super) fn first_fit(
        &mut self,
        mut workers: impl Iterator<Item = WorkerId>,
        mut fit: impl FnMut(&mut Core, WorkerId) -> Fit,
    ) -> Option<WorkerId> {
        workers
            .find_map(|worker| match fit(self, worker) {
                Fit::Now => Some(Some(worker)),
                Fit::Soon => Some(None),
                Fit::No => None,
            })
            .flatten()
    }

    /// Who may get `task` if `first` has no room, the best first. All of them if no task is assigned: then one has
    /// room.
    fn others(&mut self, task: TaskId, lane: Lane, first: WorkerId, spare: WorkerId) -> Vec<WorkerId> {
        let held = self.inputs_held(task);
        let mut others: Vec<WorkerId> = match self.counts.assigned() {
            0 => self.fleet.iter().map(|(id, _)| id).collect(),
            _ => held.iter().map(|held| held.holder).chain([spare]).collect(),
        };
        others.sort_unstable();
        others.dedup();
        let seconds = self.estimates.of(task);
        others.retain(|other| *other != first && self.fleet.has_room(*other, lane, seconds));
        others.sort_by(|a, b| self.finish_at(lane, *a, &held).total_cmp(&self.finish_at(lane, *b, &held)));
        others
    }

    /// Assigns `task` if there is room for it.
    pub(super) fn try_assign(&mut self, worker: WorkerId, task: TaskId) -> bool {
        let fits = self.fit(worker, task) == Fit::Now;
        if fits {
            self.assign(worker, task);
        }
        fits
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
        let lane = self.tasks.lane(task);
        let mut best_finish = self.finish_at(lane, spare, &held);
        for &PlacedInput { holder, .. } in &held {
            let finish = self.finish_at(lane, holder, &held);
            if finish < best_finish {
                best = holder;
                best_finish = finish;
            }
        }
        best
    }

    /// The inputs of `task` that lie somewhere, the first few.
    fn inputs_held(&mut self, task: TaskId) -> Vec<PlacedInput> {
        let mut inputs = std::mem::take(&mut self.inputs);
        self.tasks.program.inputs(task, &mut inputs);
        let mut placed = Vec::new();
        for &block in inputs.iter().take(MOST_HOLDERS) {
            let Some(holder) = self.tasks.location(block) else { continue };
            let made_in = self.is_made_anywhere(block).then(|| self.estimates.of(block));
            placed.push(PlacedInput { block, holder, bytes: self.tasks.size(block), made_in });
        }
        self.inputs = inputs;
        placed
    }

    /// Seconds until `worker` could begin with everything it needs, and what moving that costs beside.
    fn finish_at(&self, lane: Lane, worker: WorkerId, held: &[PlacedInput]) -> f64 {
        let Some(queue) = self.fleet.get(worker).filter(|queue| !queue.draining) else {
            return f64::INFINITY;
        };
        queue.queue_of(lane) + self.cost_of_moving(worker, held)
    }

    /// What it costs to bring to `worker` what it lacks, in seconds.
    fn cost_of_moving(&self, worker: WorkerId, held: &[PlacedInput]) -> f64 {
        let is_missing =
            |held: &&PlacedInput| held.holder != worker && !self.holders.expects(held.block, worker);
        let cost = if self.memories.is_one() { 1.0 } else { COST_OF_MOVING };
        let seconds = |held: &PlacedInput| match held.made_in {
            Some(seconds) => seconds,
            None => cost * self.links.seconds(Way { from: held.holder, to: worker }, held.bytes),
        };
        held.iter().filter(is_missing).map(seconds).sum()
    }

    /// `worker` has got blocks from others.
    pub(super) fn pulled(&mut self, worker: WorkerId, pulls: &[Pull]) {
        for pull in pulls.iter().filter(|pull| pull.from != worker && self.fleet.get(pull.from).is_some()) {
            self.links.measure(Way { from: pull.from, to: worker }, pull);
            // The client may be far off, and says nothing of how near the workers are to each other.
            if ![pull.from, worker].iter().any(|end| self.fleet.is_client(*end)) {
                self.links.measure_typical(pull);
            }
        }
    }

    /// There is room for it.
    pub(super) fn assign(&mut self, worker: WorkerId, task: TaskId) {
        self.fleet.charge(worker, self.tasks.lane(task), task.stage, self.estimates.of(task));
        self.counts.assign();
        self.reserve_output(worker, task);
        self.tasks.set(task, TaskState::Assigned(worker));
        self.settle(task);
        let mut inputs = std::mem::take(&mut self.inputs);
        self.tasks.program.inputs(task, &mut inputs);
        let mut fetch = Vec::new();
        inputs.retain(|input| self.tasks.leaves_blocks(*input));
        for &input in &inputs {
            fetch.extend(self.promise(worker, input));
            if self.ahead.spills() {
                self.eviction.pin(input);
            }
            self.settle(input);
        }
        self.inputs = inputs;
        self.outboxes.assign(worker, task, fetch);
        if self.suspects.marks(task) > 0 {
            self.outboxes.suspect(worker, task);
        }
        if self.tasks.has_consumers(task) {
            self.leads.add(worker, task);
        }
    }

    /// `worker` is going to read `input`. Says where it gets the block if that is not there.
    fn promise(&mut self, worker: WorkerId, input: BlockId) -> Option<(BlockId, WorkerId)> {
        if self.tasks.location(input) == Some(worker) {
            return None;
        }
        // What is made there may lie there too, from before a loss.
        if self.holders.has(input, worker) || self.is_made_at(worker, input) {
            self.holders.add_reader(input, worker);
            return None;
        }
        let source = self.source_for(input, worker)?;
        self.expect_at(input, worker, source);
        Some((input, source))
    }

    /// These were assigned to `worker` and have not been begun.
    pub(super) fn take_back(&mut self, worker: WorkerId, returned: &TaskList) {
        let is_there = |task: &TaskId| self.tasks.state(*task) == TaskState::Assigned(worker);
        let back: Vec<TaskId> = returned.iter().filter(is_there).collect();
        back.iter().for_each(|task| self.take_one_back(worker, *task));
        back.iter().for_each(|task| self.leave_astray(worker, *task));
        self.leads.touch(worker);
        let Some(queue) = self.fleet.get_mut(worker) else { return };
        queue.asked_back = false;
        if back.is_empty() {
            // Nobody else could begin what it has.
            queue.rest = queue.compute.tasks();
        }
    }

    fn take_one_back(&mut self, worker: WorkerId, task: TaskId) {
        self.fleet.discharge(worker, self.tasks.lane(task), task.stage, self.estimates.of(task));
        self.counts.take_back();
        self.put_down(worker, task);
        self.release_output(worker, task);
        let mut inputs = std::mem::take(&mut self.inputs);
        self.tasks.program.inputs(task, &mut inputs);
        for &input in &inputs {
            if !self.tasks.leaves_blocks(input) {
                continue;
            }
            if self.ahead.spills() {
                self.eviction.unpin(input);
            }
            self.find_again(worker, task, input);
            // What was fetched for it alone the worker drops with it.
            if self.holders.unexpect(input, worker) {
                self.has_gone(input, worker);
            }
            self.settle(input);
        }
        // The walk passes over what is admitted: to come to inputs that were lost it has to begin anew.
        if inputs.iter().any(|input| self.tasks.state(*input) == TaskState::Idle) {
            self.admission.make_stale();
        }
        self.wait_or_be_ready(task, &inputs);
        self.inputs = inputs;
        self.settle(task);
    }
}

#[cfg(test)]
#[path = "placement_tests.rs"]
mod tests;
