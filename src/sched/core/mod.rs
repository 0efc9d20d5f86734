//! The scheduler core: events in, actions out. One struct, no I/O, no clock: replayable.
//!
//! A task is *admitted* in the order of the walk while the run does not go too far ahead, *ready* when its inputs
//! exist, *assigned* to the worker that would finish it first and has room for it, *done* when that worker says so. Its
//! block is *released* when the last consumer is done. One that is not ready is assigned to the worker that makes what
//! it lacks.
//!
//! This file is the way of a task from admission to release. The files below it are what else can happen:
//! `placement` (which worker), `sources` (where it gets blocks), `following` (before its inputs exist), `room`
//! (what is reserved in its memory), `spilling` (blocks out of memory and back), `leaving` (workers that come and
//! go as planned), `recovery` (those that are lost), `taking_up` (what workers hold of a run whose scheduler was
//! lost), `counting` (all counts anew), `invariants` (what always holds), `looking` and `remaining` (what can be
//! seen of it).

mod counting;
mod following;
mod invariants;
mod leaving;
mod looking;
mod placement;
mod recovery;
mod remaining;
mod room;
#[cfg(test)]
mod scene;
mod sources;
mod spilling;
mod taking_up;

use super::admission::Admission;
use super::ahead::{Ahead, Stride};
use super::counts::Counts;
use super::estimates::Estimates;
use super::events::{Action, Event, Explain, Holding};
use super::eviction::Eviction;
use super::fleet::Fleet;
use super::fleet_plan::FleetPlan;
use super::holders::Holders;
use super::homes::Homes;
use super::lane::Lane;
use super::leads::Leads;
use super::links::Links;
use super::memories::Memories;
use super::outbox::Outboxes;
use super::plan::{Plan, ResultsWhenShort, SpillPlan, order_of};
use super::ready::ReadyTasks;
use super::sacrifice::Sacrifice;
use super::suspects::Suspects;
use super::table::{NOWHERE, TaskState};
use super::tasks::Tasks;
use super::transit::Transit;
use super::walk::Walk;
use crate::failure::{Blame, Failure};
use crate::graph::Program;
use crate::ids::{BlockId, StageId, TaskId, TaskList, WorkerId};
pub use looking::WorkerView;
pub use remaining::{Remaining, RemainingPhase};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Admitted and unfinished tasks per thread, and at least; their queues are the scheduler's only other memory.
const ADMITTED_PER_THREAD: usize = 64;
const ADMITTED_AT_LEAST: usize = 8192;

/// Who has the bytes of a block that is released.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Successor {
    /// The next step of its chain, which counts for them from now on.
    GoesOn,
    None,
}

/// Is the run over, and how?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Over {
    No,
    Completed,
    Failed,
}

/// The scheduler of one program. Each part keeps its own state; the core is where they meet.
pub struct Core {
    tasks: Tasks,
    counts: Counts,
    admission: Admission,
    ready: ReadyTasks,
    estimates: Estimates,
    fleet: Fleet,
    /// How far admission may go.
    ahead: Ahead,
    /// What is reserved where.
    memories: Memories,
    /// The run goes on as long as one memory holds so many bytes.
    least_memory: u64,
    holders: Holders,
    homes: Homes,
    links: Links,
    eviction: Eviction,
    transit: Transit,
    leads: Leads,
    /// Tasks handed out since an input was to be made at their worker, where it is not going to be made: the worker
    /// will give them back. With that input.
    astray: HashSet<(TaskId, BlockId)>,
    /// Assigned steps of chains that do not go on in the block of the step before.
    apart: HashSet<TaskId>,
    sacrifice: Sacrifice,
    suspects: Suspects,
    /// What workers hold of this run from before, until it is taken up.
    holdings: BTreeMap<WorkerId, Holding>,
    outboxes: Outboxes,
    over: Over,
    /// Room for the inputs and the consumers of one task, kept from call to call.
    inputs: Vec<TaskId>,
    consumers: Vec<TaskId>,
}

impl Core {
    /// A core for one run of `program` that holds at most `limit` bytes of blocks.
    pub fn new(program: Arc<Program>, limit: u64) -> Self {
        let estimates = Estimates::new(&program);
        Core {
            counts: Counts::new(&program),
            admission: Admission::default(),
            ready: ReadyTasks::new(&program, &estimates),
            estimates,
            fleet: Fleet::default(),
            ahead: Ahead::new(limit),
            memories: Memories::default(),
            least_memory: limit,
            holders: Holders::default(),
            homes: Homes::default(),
            links: Links::default(),
            eviction: Eviction::default(),
            transit: Transit::default(),
            leads: Leads::default(),
            astray: HashSet::new(),
            apart: HashSet::new(),
            sacrifice: Sacrifice::default(),
            suspects: Suspects::default(),
            holdings: BTreeMap::new(),
            outboxes: Outboxes::default(),
            over: Over::No,
            inputs: Vec::new(),
            consumers: Vec::new(),
            tasks: Tasks::new(program),
        }
    }

    /// Lets blocks leave memory. Admitted tasks hold no more than the window of `plan`. What is beyond keeps the blocks
    /// that are used again soonest. One memory has to hold what is the least, or the limit of the run if it has results
    /// that stay. O(tasks), and four bytes more for each task.
    pub fn spilling(mut self, plan: &SpillPlan) -> Self {
        let program = &self.tasks.program;
        self.eviction.set_order(program, &order_of(program, Walk::of_width(plan.width)));
        self.admission = Admission::of_width(plan.width);
        self.ahead.spilling(plan);
        if plan.results == ResultsWhenShort::MayLeave || !program.stages().iter().any(|stage| stage.keep) {
            self.least_memory = plan.least;
        }
        self
    }

    /// For a run whose blocks stay: admits no more than `least` bytes of them, without which it cannot go on, and more
    /// for each thread that is there, as far as the limit allows.
    pub fn striding(mut self, least: u64, per_thread: u64) -> Self {
        self.ahead.striding(Stride { least, per_thread, per_io_task: 0 });
        self
    }

    /// Only `client` can do the tasks of these stages, which read or write. It may be a worker without threads that
    /// compute. The run waits for it; if it is lost, it is for the caller to end the run.
    pub fn pinned(mut self, client: WorkerId, stages: &[StageId]) -> Self {
        self.fleet.set_client(client);
        stages.iter().for_each(|stage| self.tasks.pin(*stage));
        self
    }

    /// A core for one run of `program` as it was planned. O(tasks) if the run spills: never to be called on a thread
    /// that others wait for.
    pub fn planned(program: Arc<Program>, plan: &Plan) -> Self {
        if let Some(spill) = &plan.spill {
            return Core::new(program, plan.blocks_limit).spilling(spill);
        }
        let stride = plan.stride(&program);
        let mut core = Core::new(program, plan.blocks_limit);
        core.ahead.striding(stride);
        core
    }

    /// The same for a run of processes with a memory each. `client` is who does what is pinned.
    pub fn for_fleet(program: Arc<Program>, fleet: &FleetPlan, client: Option<WorkerId>) -> Self {
        let core = match &fleet.plan.spill {
            // No result stays, and the window grows with the fleet: nothing else limits how far the run goes ahead.
            Some(spill) => Core::new(program, u64::MAX).spilling(spill),
            None => Core::new(program, fleet.plan.blocks_limit),
        };
        match client {
            Some(client) => core.pinned(client, &fleet.pinned),
            None => core,
        }
    }

    /// Takes a batch of events and appends what is to be done. Within the actions for one worker,
    /// frees come before assignments.
    ///
    /// A completed run still hears of its workers: results that nobody has fetched yet may be lost with one. Then it
    /// goes on until the next [`Action::Completed`]. A failed run hears nothing.
    pub fn handle(&mut self, events: impl IntoIterator<Item = Event>, out: &mut Vec<Action>) {
        for event in events {
            if self.over != Over::Failed && self.knows(&event) {
                self.take(event, out);
            }
        }
        if !self.holdings.is_empty() {
            self.take_up();
        }
        if self.over == Over::Completed && self.counts.unfinished() > 0 {
            self.over = Over::No;
        }
        match self.over {
            Over::No => {}
            // A copy that comes late has to go.
            Over::Completed => return self.outboxes.flush(&self.fleet, out),
            Over::Failed => return,
        }
        if self.admission.is_stale() {
            self.make_again(|_, _, _| false);
        }
        loop {
            self.dispatch();
            // Frees go out before copies are asked for: a copy must not be undone by an older free.
            self.outboxes.flush(&self.fleet, out);
            let let_go = self.balance(out);
            self.outboxes.flush(&self.fleet, out);
            // With a worker copies to it end, and what these held up can go on.
            if !let_go && !self.unstick(out) {
                break;
            }
        }
        self.conclude(out);
    }

    pub fn is_over(&self) -> bool {
        self.over != Over::No
    }

    /// (tasks done, tasks in all).
    pub fn progress(&self) -> (usize, usize) {
        let all = self.tasks.table.len();
        (all - self.counts.unfinished(), all)
    }

    /// Tasks that were done more than once.
    pub fn recomputed(&self) -> u64 {
        self.counts.recomputed()
    }

    /// Tasks that count as done since workers held what they made, or what followed from it.
    pub fn taken_up(&self) -> u64 {
        self.counts.taken_up()
    }

    /// How often blocks that were there had to be given up to get on after a loss.
    pub fn drops(&self) -> u32 {
        self.sacrifice.times()
    }

    /// Where a block lies, if it is there.
    pub fn location(&self, block: BlockId) -> Option<WorkerId> {
        self.tasks.location(block)
    }

    /// Why is this task not running?
    pub fn explain(&self, task: TaskId) -> Explain {
        let mut missing = Vec::new();
        self.tasks.program.inputs(task, &mut missing);
        missing.retain(|input| !self.tasks.is_there(*input));
        let mut state = match self.tasks.state(task) {
            TaskState::Idle => {
                "not admitted: tasks before it come first, or its block does not fit yet".into()
            }
            TaskState::Waiting => "waits for inputs".into(),
            TaskState::Ready => "ready: waits for a worker with room".into(),
            TaskState::Assigned(worker) if missing.is_empty() => format!("at {worker}"),
            TaskState::Assigned(worker) => format!("at {worker}, to follow what it reads"),
            TaskState::Done(NOWHERE) => "done".into(),
            TaskState::Done(worker) => format!("done, block at {worker}"),
            TaskState::Spilled => "done, block out of memory until it is wanted".into(),
            TaskState::Released => "done, block released".into(),
        };
        let lost = self.suspects.marks(task);
        if lost > 0 {
            state = format!("{state}; lost workers that had it in hand: {lost}");
        }
        Explain { task, state, missing }
    }

    /// Does everything exist that an event names? One that names anything else changes nothing. O(ranges).
    fn knows(&self, event: &Event) -> bool {
        let program = &self.tasks.program;
        let is_block = |block: &BlockId| program.has_task(*block) && self.tasks.leaves_blocks(*block);
        let is_here = |worker: &WorkerId| self.fleet.get(*worker).is_some();
        match event {
            // A loss may overtake the join.
            Event::Join { .. } | Event::Lost { .. } | Event::MoreIo { .. } => true,
            // The client stays to the end.
            Event::Leave { worker } => is_here(worker) && !self.fleet.is_client(*worker),
            Event::Finished { worker, tasks, .. }
            | Event::Returned { worker, tasks }
            | Event::Asks { worker, tasks } => {
                is_here(worker) && tasks.ranges().iter().all(|range| program.has_range(range))
            }
            Event::Holds { worker, holding } => {
                let lists = [&holding.in_memory, &holding.written, &holding.done];
                let is_sound = |list: &&TaskList| {
                    list.len() <= program.tasks()
                        && list.ranges().iter().all(|range| program.has_range(range))
                };
                is_here(worker) && self.is_fresh() && lists.iter().all(is_sound)
            }
            Event::Pulled { worker, .. } => is_here(worker),
            Event::Failed { worker, task, .. } => is_here(worker) && program.has_task(*task),
            Event::Copied { worker, block }
            | Event::CopyFailed { worker, block }
            | Event::Spilled { worker, block }
            | Event::Vanished { worker, block }
            | Event::MoveFailed { worker, block, .. } => is_here(worker) && is_block(block),
        }
    }

    fn take(&mut self, event: Event, out: &mut Vec<Action>) {
        match event {
            Event::Join { worker, threads, memory, bytes } => self.join(worker, threads, memory, bytes),
            Event::Holds { worker, holding } => drop(self.holdings.insert(worker, holding)),
            Event::Leave { worker } => self.drain(worker, out),
            Event::MoreIo { tasks } => {
                self.ahead.set_more_io(tasks);
                self.fit_window();
            }
            Event::Lost { worker } => self.lose(worker, out),
            Event::Finished { worker, tasks, timings } => {
                self.estimates.measure(&timings);
                tasks.iter().for_each(|task| self.finish(worker, task));
            }
            Event::Pulled { worker, pulls } => self.pulled(worker, &pulls),
            Event::Returned { worker, tasks } => self.take_back(worker, &tasks),
            Event::Asks { worker, tasks } => self.asked(worker, &tasks),
            Event::Copied { worker, block } => self.copied(worker, block),
            Event::CopyFailed { worker, block } => self.copy_failed(worker, block),
            Event::Spilled { worker, block } => self.spilled(worker, block),
            Event::Vanished { worker, block } => self.vanished(worker, block),
            Event::MoveFailed { worker, block, failure } => {
                if self.is_moving_at(worker, block) {
                    self.fail(block, failure, out);
                }
            }
            Event::Failed { worker, task, failure } => {
                if self.tasks.state(task) == TaskState::Assigned(worker) {
                    self.fail(task, failure, out);
                }
            }
        }
    }

    /// The run cannot go on. The message names stage and block, unless the request was wrong and it says where.
    fn fail(&mut self, task: TaskId, failure: Failure, out: &mut Vec<Action>) {
        // What comes late cannot undo what is complete.
        if self.over == Over::Completed {
            return;
        }
        self.over = Over::Failed;
        if failure.blame == Blame::Request {
            return out.push(Action::Failed(failure));
        }
        let stage = self.tasks.program.stage(task.stage);
        let place = stage.space.coords(task.index);
        let message = format!(
            "stage {} ({}), block ({}, {}): {}",
            task.stage.0,
            stage.kind.name(),
            place.i,
            place.j,
            failure.message
        );
        out.push(Action::Failed(Failure { message, ..failure }));
    }

    /// A task is done at `worker`. A message that comes twice, or from a worker that the task was
    /// taken from, changes nothing.
    fn finish(&mut self, worker: WorkerId, task: TaskId) {
        let at = self.tasks.program.position(task);
        if self.tasks.table.state(at) != TaskState::Assigned(worker) {
            return;
        }
        self.fleet.finish(worker, self.tasks.lane(task), task.stage, self.estimates.of(task));
        self.fleet.rested(worker);
        if !self.suspects.is_empty() {
            self.put_down(worker, task);
            self.suspects.clear(task);
        }
        self.leads.touch(worker);
        self.counts.finish(task.stage);
        self.has_read(task);
        self.make_block(worker, task);
        let remaining = self.announce(task);
        self.tasks.table.set_count(at, remaining);
        if remaining == 0 {
            self.release(task, Successor::None);
        } else {
            self.settle(task);
        }
        self.consume(worker, task);
    }

    /// The output of a task becomes a block, if the task leaves one.
    fn make_block(&mut self, worker: WorkerId, task: TaskId) {
        let bytes = self.tasks.size(task);
        if self.ahead.spills() {
            let admitted = self.admitted_output(task);
            self.ahead.made(task, admitted, bytes, self.must_stay(task));
        }
        let reserved = self.take_output(task);
        let memory = self.fleet.memory(worker);
        let mut wanted = 0;
        if self.tasks.leaves_blocks(task) {
            // It may have had a copy from before a loss, which is reserved already.
            let has_copies = !self.holders.of(task).is_empty();
            let is_reserved = has_copies && memory.is_some_and(|memory| self.is_in(task, memory));
            self.holders.remove(task, worker);
            self.tasks.set(task, TaskState::Done(worker));
            wanted = if is_reserved { 0 } else { bytes };
        } else {
            self.tasks.set(task, TaskState::Done(NOWHERE));
        }
        if let Some(memory) = memory.filter(|_| wanted != reserved) {
            self.reserve_at(memory, wanted);
            self.release_at(memory, reserved);
        }
    }

    /// Tells the consumers of a block that it is there; returns how many of them are still to come.
    fn announce(&mut self, block: BlockId) -> u32 {
        let Core { tasks, ready, consumers, .. } = self;
        tasks.program.consumers(block, consumers);
        let mut remaining = 0;
        for &consumer in consumers.iter() {
            let at = tasks.program.position(consumer);
            let state = tasks.table.state(at);
            remaining += u32::from(!state.is_finished());
            if state == TaskState::Waiting && tasks.table.take(at) == 0 {
                ready.push(tasks, consumer);
            }
        }
        remaining
    }

    /// One consumer less for each input of a finished task. Those that had to come to `worker` are there now.
    fn consume(&mut self, worker: WorkerId, task: TaskId) {
        let mut inputs = std::mem::take(&mut self.inputs);
        self.tasks.program.inputs(task, &mut inputs);
        for &input in &inputs {
            self.find_again(worker, task, input);
            self.holders.used(input, worker);
            let at = self.tasks.program.position(input);
            match self.tasks.table.state(at) {
                TaskState::Done(_) => {}
                TaskState::Spilled => self.came_back(input, worker),
                _ => {
                    self.used_after_loss(worker, input);
                    self.settle(input);
                    continue;
                }
            }
            if self.tasks.table.take(at) == 0 {
                let goes_on = self.tasks.takes_over_block(task, input);
                self.release(input, if goes_on { Successor::GoesOn } else { Successor::None });
            } else {
                self.settle(input);
            }
        }
        self.inputs = inputs;
    }

    /// The last consumer is done: the block goes, unless it is a result.
    fn release(&mut self, block: BlockId, successor: Successor) {
        if self.tasks.program.keeps(block) {
            return self.settle(block);
        }
        let holder = self.tasks.location(block);
        self.tasks.set(block, TaskState::Released);
        if successor == Successor::None {
            self.ahead.released(self.tasks.size(block));
        }
        if !self.tasks.leaves_blocks(block) {
            return;
        }
        self.holders.end_copy(block);
        self.holders.forget_failures(block);
        self.eviction.remove(block);
        if let Some(holder) = holder.filter(|_| !self.ahead.spills() && self.holders.of(block).is_empty()) {
            self.outboxes.free(holder, block);
            return self.has_gone(block, holder);
        }
        let copies = self.holders.take_all(block).into_iter().map(|copy| copy.worker);
        let told: Vec<WorkerId> = holder.into_iter().chain(copies).collect();
        // Of a step that went on at its holder nothing may be left, or a copy that came while it went on.
        told.iter().for_each(|worker| self.outboxes.free(*worker, block));
        self.remove_file(block, &told);
        self.vacate(block, told.into_iter());
    }

    /// The further holders of a block forget it.
    fn free_further(&mut self, block: BlockId) {
        let told: Vec<WorkerId> = self.holders.take_all(block).into_iter().map(|copy| copy.worker).collect();
        told.iter().for_each(|worker| self.outboxes.free(*worker, block));
        self.vacate(block, told.into_iter());
        self.settle(block);
    }

    /// Hands out what can be handed out, and admits what fits.
    fn dispatch(&mut self) {
        loop {
            self.admit();
            let lanes = [Lane::Pinned, Lane::Io, Lane::Compute];
            if lanes.map(|lane| self.place_all(lane)) == [0; 3] {
                break;
            }
        }
        self.hand_out_followers();
        self.relieve();
    }

    /// Admits tasks in the order of the walk while their reservations fit.
    fn admit(&mut self) {
        let most = ADMITTED_AT_LEAST.max(ADMITTED_PER_THREAD * self.fleet.threads());
        while self.counts.admitted() < most {
            let Some(task) = self.admission.next(&self.tasks) else { return };
            let output = self.tasks.program.reserves(task);
            let reads = if self.ahead.spills() { self.tasks.blocks_read(task) } else { Vec::new() };
            if !self.may_enter(output, &reads) {
                return self.admission.hold(task);
            }
            self.ahead.add_output(output);
            for block in reads {
                self.ahead.add_reader(block, self.window_bytes(block));
            }
            self.enter(task);
        }
    }

    /// Does the run go no further ahead than it may with a task that makes so many bytes and reads these blocks?
    fn may_enter(&self, output: u64, reads: &[BlockId]) -> bool {
        let unread = reads.iter().filter(|block| self.ahead.readers(**block) == 0);
        let bytes = output + unread.map(|block| self.window_bytes(*block)).sum::<u64>();
        self.ahead.has_room(bytes, self.counts.admitted() == 0)
    }

    fn enter(&mut self, task: TaskId) {
        self.counts.admit();
        let mut inputs = std::mem::take(&mut self.inputs);
        self.tasks.program.inputs(task, &mut inputs);
        self.wait_or_be_ready(task, &inputs);
        self.inputs = inputs;
    }

    /// An admitted task that is not assigned waits for those of its `inputs` that are missing, or is ready.
    fn wait_or_be_ready(&mut self, task: TaskId, inputs: &[BlockId]) {
        let missing = inputs.iter().filter(|input| !self.tasks.is_there(**input)).count();
        if missing == 0 {
            return self.ready.push(&mut self.tasks, task);
        }
        let at = self.tasks.program.position(task);
        self.tasks.table.set(at, TaskState::Waiting);
        self.tasks.table.set_count(at, missing as u32);
        self.await_inputs(inputs);
    }

    fn conclude(&mut self, out: &mut Vec<Action>) {
        if self.admission.is_through() && self.counts.admitted() == 0 && !self.is_result_leaving() {
            self.over = Over::Completed;
            out.push(Action::Completed);
        }
    }

    /// Is a result being written? Nobody could ask for it yet.
    fn is_result_leaving(&self) -> bool {
        self.transit.leaving().any(|(block, _)| self.tasks.program.keeps(block))
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
