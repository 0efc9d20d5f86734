//! The scheduler core: events in, actions out. One struct, no I/O, no clock: replayable.
//!
//! A task is *admitted* in the order of the walk while its reservation fits the limit, *ready* when its inputs are
//! there, *assigned* to the worker that would finish it first, *done* when that worker says so. Its block is
//! *released* when the last consumer is done.
//!
//! This file is the way of a task from admission to release. The files below it are what else can happen:
//! `placement` (which worker), `leaving` (workers that come and go as planned), `recovery` (those that are lost),
//! `spilling` (blocks out of memory and back), `invariants` (what always holds).

mod invariants;
mod leaving;
mod placement;
mod recovery;
mod spilling;

use super::admission::Admission;
use super::counts::Counts;
use super::estimates::Estimates;
use super::events::{Action, Event, Explain};
use super::eviction::Eviction;
use super::fleet::Fleet;
use super::holders::Holders;
use super::lane::Lane;
use super::ledger::Ledger;
use super::outbox::Outboxes;
use super::plan::{Plan, serial_order};
use super::ready::ReadyTasks;
use super::sacrifice::Sacrifice;
use super::table::{NOWHERE, TaskState};
use super::tasks::Tasks;
use super::transit::Transit;
use crate::failure::{Blame, Failure};
use crate::graph::Program;
use crate::ids::{BlockId, TaskId, WorkerId};
use std::sync::Arc;

/// Admitted and unfinished tasks per thread, and at least; their queues are the scheduler's only other memory.
const ADMITTED_PER_THREAD: usize = 64;
const ADMITTED_AT_LEAST: usize = 8192;

/// How blocks leave memory and come back.
struct Spilling {
    eviction: Eviction,
    transit: Transit,
}

/// The scheduler of one program. Each part keeps its own state; the core is where they meet.
pub struct Core {
    tasks: Tasks,
    counts: Counts,
    admission: Admission,
    ready: ReadyTasks,
    estimates: Estimates,
    fleet: Fleet,
    ledger: Ledger,
    holders: Holders,
    /// In a run that may spill.
    spilling: Option<Box<Spilling>>,
    sacrifice: Sacrifice,
    outboxes: Outboxes,
    over: bool,
    /// Room for the inputs and the consumers of one task, kept from call to call.
    inputs: Vec<TaskId>,
    consumers: Vec<TaskId>,
}

impl Core {
    /// A core for one run of `program` that holds at most `limit` bytes of blocks.
    pub fn new(program: Arc<Program>, limit: u64) -> Self {
        let estimates = Estimates::new(&program);
        Core {
            counts: Counts::new(program.tasks()),
            admission: Admission::default(),
            ready: ReadyTasks::new(&program, &estimates),
            estimates,
            fleet: Fleet::default(),
            ledger: Ledger::new(limit),
            holders: Holders::default(),
            spilling: None,
            sacrifice: Sacrifice::default(),
            outboxes: Outboxes::default(),
            over: false,
            inputs: Vec::new(),
            consumers: Vec::new(),
            tasks: Tasks::new(program),
        }
    }

    /// Lets blocks leave memory. Admitted tasks hold at most `window` bytes. What is beyond keeps the blocks that are
    /// used again soonest. O(tasks), and four bytes more for each task.
    pub fn spilling(mut self, window: u64) -> Self {
        let program = &self.tasks.program;
        let eviction = Eviction::new(program, &serial_order(program), window);
        self.spilling = Some(Box::new(Spilling { eviction, transit: Transit::default() }));
        self
    }

    /// A core for one run of `program` as it was planned. O(tasks) if the run spills: never to be called on a thread
    /// that others wait for.
    pub fn planned(program: Arc<Program>, plan: &Plan) -> Self {
        let core = Core::new(program, plan.blocks_limit);
        match plan.spill {
            Some(window) => core.spilling(window),
            None => core,
        }
    }

    /// Takes a batch of events and appends what is to be done. Within the actions for one worker,
    /// frees come before assignments.
    pub fn handle(&mut self, events: impl IntoIterator<Item = Event>, out: &mut Vec<Action>) {
        for event in events {
            if !self.over && self.knows(&event) {
                self.take(event, out);
            }
        }
        if self.over {
            return;
        }
        if self.admission.is_stale() {
            self.make_again(|_, _, _| false);
        }
        loop {
            self.dispatch(out);
            // Frees go out before copies are asked for: a copy must not be undone by an older free.
            self.outboxes.flush(&self.fleet, out);
            // With a worker copies to it end, and what these held up can go on.
            if !self.balance(out) {
                break;
            }
        }
        self.conclude(out);
    }

    pub fn is_over(&self) -> bool {
        self.over
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
        let state = match self.tasks.state(task) {
            TaskState::Idle => {
                "not admitted: tasks before it come first, or its block does not fit yet".into()
            }
            TaskState::Waiting => "waits for inputs".into(),
            TaskState::Ready => "ready: waits for a worker with room".into(),
            TaskState::Assigned(worker) => format!("at {worker}"),
            TaskState::Done(NOWHERE) => "done".into(),
            TaskState::Done(worker) => format!("done, block at {worker}"),
            TaskState::Spilled => "done, block out of memory until it is wanted".into(),
            TaskState::Released => "done, block released".into(),
        };
        Explain { task, state, missing }
    }

    /// Does everything exist that an event names? One that names anything else changes nothing. O(ranges).
    fn knows(&self, event: &Event) -> bool {
        let program = &self.tasks.program;
        let is_block = |block: &BlockId| program.has_task(*block) && self.tasks.leaves_blocks(*block);
        let is_here = |worker: &WorkerId| self.fleet.get(*worker).is_some();
        match event {
            // A loss may overtake the join.
            Event::Join { .. } | Event::Lost { .. } => true,
            Event::Leave { worker } => is_here(worker),
            Event::Finished { worker, tasks, .. } | Event::Returned { worker, tasks } => {
                is_here(worker) && tasks.ranges().iter().all(|range| program.has_range(range))
            }
            Event::Failed { worker, task, .. } => is_here(worker) && program.has_task(*task),
            Event::Copied { worker, block }
            | Event::CopyFailed { worker, block }
            | Event::Spilled { worker, block }
            | Event::Loaded { worker, block }
            | Event::Vanished { worker, block }
            | Event::MoveFailed { worker, block, .. } => is_here(worker) && is_block(block),
        }
    }

    fn take(&mut self, event: Event, out: &mut Vec<Action>) {
        match event {
            Event::Join { worker, threads } => self.join(worker, threads),
            Event::Leave { worker } => self.drain(worker, out),
            Event::Lost { worker } => self.lose(worker),
            Event::Finished { worker, tasks, timings } => {
                self.estimates.measure(&timings);
                tasks.iter().for_each(|task| self.finish(worker, task));
            }
            Event::Returned { worker, tasks } => self.take_back(worker, &tasks),
            Event::Copied { worker, block } => self.copied(worker, block),
            Event::CopyFailed { worker, block } => self.copy_failed(worker, block),
            Event::Spilled { worker, block } => self.spilled(worker, block),
            Event::Loaded { worker, block } => self.loaded(worker, block),
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
        self.over = true;
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
        self.fleet.charge(worker, self.tasks.lane(task), -1, -self.estimates.of(task));
        self.fleet.rested(worker);
        self.counts.finish();
        if self.tasks.leaves_blocks(task) {
            self.tasks.table.set(at, TaskState::Done(worker));
            // It may have had a copy from before a loss.
            self.holders.remove(task, worker);
        } else {
            self.tasks.table.set(at, TaskState::Done(NOWHERE));
        }
        let remaining = self.announce(task);
        self.tasks.table.set_count(at, remaining);
        if remaining == 0 {
            self.release(task);
        }
        self.consume(worker, task);
        self.settle_after(task);
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

    /// One consumer less for each input of a finished task.
    fn consume(&mut self, worker: WorkerId, task: TaskId) {
        let mut inputs = std::mem::take(&mut self.inputs);
        self.tasks.program.inputs(task, &mut inputs);
        for &input in &inputs {
            let at = self.tasks.program.position(input);
            match self.tasks.table.state(at) {
                TaskState::Done(holder) if holder == worker || holder == NOWHERE => {}
                TaskState::Done(_) => self.holders.add(input, worker),
                TaskState::Spilled => self.drop_copy(worker, input),
                _ => {
                    self.used_after_loss(worker, input);
                    continue;
                }
            }
            if self.tasks.table.take(at) == 0 {
                self.release(input);
            }
        }
        self.inputs = inputs;
    }

    /// The last consumer is done: the block goes, unless it is a result.
    fn release(&mut self, block: BlockId) {
        if self.tasks.program.keeps(block) {
            return;
        }
        self.discard(block);
        let holder = match self.tasks.state(block) {
            TaskState::Done(holder) => holder,
            TaskState::Spilled => return self.tasks.set(block, TaskState::Released),
            _ => unreachable!("only blocks that exist are released"),
        };
        self.tasks.set(block, TaskState::Released);
        self.ledger.release(self.tasks.program.releases(block));
        if holder == NOWHERE {
            return;
        }
        self.holders.end_copy(block);
        self.holders.forget_failures(block);
        // Of a step that went on at its holder nothing may be left, or a copy that came while it went on.
        self.outboxes.free(holder, block);
        self.free_further(block);
    }

    /// The further holders of a block forget it.
    fn free_further(&mut self, block: BlockId) {
        for worker in self.holders.take_all(block) {
            self.outboxes.free(worker, block);
        }
    }

    /// Hands out what can be handed out, and admits what fits.
    fn dispatch(&mut self, out: &mut Vec<Action>) {
        loop {
            self.admit();
            let handed = self.place_all(Lane::Io) + self.place_all(Lane::Compute);
            if handed == 0 && !self.unstick(out) {
                break;
            }
        }
        self.relieve();
    }

    /// Admits tasks in the order of the walk while their reservations fit.
    fn admit(&mut self) {
        let most = ADMITTED_AT_LEAST.max(ADMITTED_PER_THREAD * self.fleet.threads());
        while self.counts.admitted() < most {
            let Some(task) = self.admission.next(&self.tasks) else { return };
            if !self.reserve(task) {
                return self.admission.hold(task);
            }
            self.enter(task);
        }
    }

    fn enter(&mut self, task: TaskId) {
        let Core { tasks, counts, ready, inputs, .. } = self;
        counts.admit();
        tasks.program.inputs(task, inputs);
        let missing = inputs.iter().filter(|input| !tasks.is_there(**input)).count();
        let at = tasks.program.position(task);
        tasks.table.set(at, TaskState::Waiting);
        tasks.table.set_count(at, missing as u32);
        if missing == 0 {
            ready.push(tasks, task);
        }
    }

    fn conclude(&mut self, out: &mut Vec<Action>) {
        if self.admission.is_through() && self.counts.admitted() == 0 {
            self.over = true;
            out.push(Action::Completed);
        }
    }
}
