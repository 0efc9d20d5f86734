//! The scheduler core: events in, actions out. One struct, no I/O, no clock: replayable.
//!
//! A task is *admitted* in the cursor's order while its reservation fits the limit, *ready* when its
//! inputs are there, *assigned* to the worker that would finish it first, *done* when that worker
//! says so, and its block *released* when the last consumer is done.

use super::cursor::{Cursor, Ground};
use super::events::{Action, Event, Explain, Timing};
use super::fleet::{Fleet, Lane};
use super::plan::Plan;
use super::ready::{Heap, Paths};
use super::spill::Spill;
use super::table::{NOWHERE, State, Table};
use crate::failure::{Blame, Failure};
use crate::graph::Program;
use crate::ids::{BlockId, StageId, TaskId, TaskList, WorkerId};
use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// First guess of what one core does, until it has been measured.
const FLOPS_PER_SECOND: f64 = 2e10;
const BYTES_PER_SECOND: f64 = 4e9;
const TASK_SECONDS: f64 = 1e-6;
/// Weight of the newest measurement in a moving average.
const NEWEST: f64 = 0.2;
/// Seconds that one task may take. What is told beyond is an error of somebody's clock.
const BELIEVED: RangeInclusive<f64> = 0.0..=1e9;
/// Admitted and unfinished tasks per thread, and at least; their queues are the scheduler's only other memory.
const ADMITTED_PER_THREAD: usize = 64;
const ADMITTED_AT_LEAST: usize = 8192;

/// A block on its way from a leaving worker.
#[derive(Clone, Copy)]
pub(super) struct Transfer {
    pub from: WorkerId,
    pub to: WorkerId,
}

/// How far the core has gone to make room after a loss.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
pub(super) enum Dropped {
    Nothing,
    Intermediate,
    /// Results too.
    All,
}

/// What a batch of events gathers for each worker.
#[derive(Default)]
pub(super) struct Outbox {
    pub assign: TaskList,
    pub fetch: Vec<(BlockId, WorkerId)>,
    pub free: TaskList,
    pub drop: TaskList,
    pub spill: TaskList,
    pub load: TaskList,
}

/// The scheduler of one program.
pub struct Core {
    pub(super) program: Arc<Program>,
    pub(super) table: Table,
    pub(super) fleet: Fleet,
    pub(super) cursor: Cursor,
    /// The next task in the cursor's order, if it did not fit yet.
    pub(super) next: Option<TaskId>,
    pub(super) compute: Heap,
    pub(super) io: Heap,
    /// Further holders of blocks, beside the one in the table. A block that was lost while a copy was
    /// in use has holders here before it is made again.
    pub(super) replicas: HashMap<BlockId, Vec<WorkerId>>,
    /// Copies under way from leaving workers.
    pub(super) copies: HashMap<BlockId, Transfer>,
    /// How often copies of a block have failed.
    pub(super) failed_copies: HashMap<BlockId, u32>,
    /// How blocks leave memory, in a run that may need it.
    pub(super) spill: Option<Box<Spill>>,
    pub(super) limit: u64,
    pub(super) reserved: u64,
    pub(super) unfinished: usize,
    pub(super) admitted: usize,
    pub(super) assigned: usize,
    pub(super) turn: u64,
    pub(super) recomputed: u64,
    /// The walk has come to its end.
    pub(super) exhausted: bool,
    /// Tasks came back whose inputs are lost: the walk must begin anew.
    pub(super) restart: bool,
    /// What has been dropped since the last loss to get on.
    pub(super) dropped: Dropped,
    pub(super) drops: u32,
    pub(super) over: bool,
    paths: Paths,
    pub(super) seconds: Vec<f64>,
    pub(super) outbox: BTreeMap<WorkerId, Outbox>,
    pub(super) inputs: Vec<TaskId>,
    pub(super) consumers: Vec<TaskId>,
}

impl Core {
    /// A core for one run of `program` that holds at most `limit` bytes of blocks.
    pub fn new(program: Arc<Program>, limit: u64) -> Self {
        let seconds: Vec<f64> = program.stage_ids().map(|id| first_guess(&program, id)).collect();
        Core {
            table: Table::new(program.tasks()),
            fleet: Fleet::default(),
            cursor: Cursor::default(),
            next: None,
            compute: Heap::new(),
            io: Heap::new(),
            replicas: HashMap::new(),
            copies: HashMap::new(),
            failed_copies: HashMap::new(),
            spill: None,
            limit,
            reserved: 0,
            unfinished: program.tasks(),
            admitted: 0,
            assigned: 0,
            turn: 0,
            recomputed: 0,
            exhausted: false,
            restart: false,
            dropped: Dropped::Nothing,
            drops: 0,
            over: false,
            paths: Paths::new(&program, |at| seconds[at]),
            seconds,
            outbox: BTreeMap::new(),
            inputs: Vec::new(),
            consumers: Vec::new(),
            program,
        }
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
            if !self.over {
                self.take(event, out);
            }
        }
        if !self.over {
            if self.restart {
                self.make_again(|_, _, _| false);
            }
            loop {
                self.dispatch(out);
                // Frees go out before copies are asked for: a copy must not be undone by an older free.
                self.flush(out);
                // With a worker copies to it end, and what these held up can go on.
                if !self.balance(out) {
                    break;
                }
            }
            self.conclude(out);
        }
    }

    pub fn is_over(&self) -> bool {
        self.over
    }

    /// (tasks done, tasks in all).
    pub fn progress(&self) -> (usize, usize) {
        (self.table.len() - self.unfinished, self.table.len())
    }

    /// Tasks that were done more than once.
    pub fn recomputed(&self) -> u64 {
        self.recomputed
    }

    /// How often blocks that were there had to be given up to get on after a loss.
    pub fn drops(&self) -> u32 {
        self.drops
    }

    /// Where a block lies, if it is there.
    pub fn location(&self, block: BlockId) -> Option<WorkerId> {
        match self.state(block) {
            State::Done(worker) if worker != NOWHERE => Some(worker),
            _ => None,
        }
    }

    /// Why is this task not running?
    pub fn explain(&self, task: TaskId) -> Explain {
        let mut inputs = Vec::new();
        self.program.inputs(task, &mut inputs);
        let missing = inputs.into_iter().filter(|i| !matches!(self.state(*i), State::Done(_))).collect();
        let state = match self.state(task) {
            State::Idle => "not admitted: tasks before it come first, or its block does not fit yet".into(),
            State::Waiting => "waits for inputs".into(),
            State::Ready => "ready: waits for a worker with room".into(),
            State::Assigned(w) => format!("at {w}"),
            State::Done(NOWHERE) => "done".into(),
            State::Done(w) => format!("done, block at {w}"),
            State::Spilled => "done, block out of memory until it is wanted".into(),
            State::Released => "done, block released".into(),
        };
        Explain { task, state, missing }
    }

    pub(super) fn state(&self, task: TaskId) -> State {
        self.table.state(self.program.position(task))
    }

    pub(super) fn set(&mut self, task: TaskId, state: State) {
        self.table.set(self.program.position(task), state);
    }

    fn leaves_blocks(&self, task: TaskId) -> bool {
        self.program.stage(task.stage).leaves_blocks()
    }

    pub(super) fn lane(&self, task: TaskId) -> Lane {
        if self.program.stage(task.stage).kind.is_io() { Lane::Io } else { Lane::Compute }
    }

    pub(super) fn seconds(&self, task: TaskId) -> f64 {
        self.seconds[task.stage.at()]
    }

    fn take(&mut self, event: Event, out: &mut Vec<Action>) {
        if !self.knows(&event) {
            return;
        }
        match event {
            Event::Join { worker, threads } => {
                if self.fleet.join(worker, threads) {
                    self.bring_waiting();
                }
            }
            Event::Leave { worker } => self.drain(worker, out),
            Event::Lost { worker } => self.lose(worker),
            Event::Finished { worker, tasks, timings } => {
                self.measure(&timings);
                tasks.iter().for_each(|task| self.finish(worker, task));
            }
            Event::Returned { worker, tasks } => self.take_back(worker, &tasks),
            Event::Copied { worker, block } => self.copied(worker, block),
            Event::CopyFailed { worker, block } => self.copy_failed(worker, block),
            Event::Spilled { worker, block } => self.spilled(worker, block),
            Event::Loaded { worker, block } => self.loaded(worker, block),
            Event::Vanished { worker, block } => self.vanished(worker, block),
            Event::MoveFailed { worker, block, failure } => self.move_failed(worker, block, failure, out),
            Event::Failed { worker, task, failure } => {
                if self.state(task) != State::Assigned(worker) {
                    return;
                }
                self.over = true;
                out.push(Action::Failed(self.place_failure(task, failure)));
            }
        }
    }

    /// Does everything exist that an event names? One that names anything else changes nothing. O(ranges).
    fn knows(&self, event: &Event) -> bool {
        let there = |worker: &WorkerId| self.fleet.get(*worker).is_some();
        let block = |block: &BlockId| self.program.has_task(*block) && self.leaves_blocks(*block);
        match event {
            // A loss may overtake the join.
            Event::Join { .. } | Event::Lost { .. } => true,
            Event::Leave { worker } => there(worker),
            Event::Finished { worker, tasks, .. } | Event::Returned { worker, tasks } => {
                there(worker) && tasks.ranges().iter().all(|range| self.program.has_range(range))
            }
            Event::Failed { worker, task, .. } => there(worker) && self.program.has_task(*task),
            Event::Copied { worker, block: id }
            | Event::CopyFailed { worker, block: id }
            | Event::Spilled { worker, block: id }
            | Event::Loaded { worker, block: id }
            | Event::Vanished { worker, block: id }
            | Event::MoveFailed { worker, block: id, .. } => there(worker) && block(id),
        }
    }

    /// Names stage and block, unless the request was wrong and the message says where.
    pub(super) fn place_failure(&self, task: TaskId, failure: Failure) -> Failure {
        if failure.blame == Blame::Request {
            return failure;
        }
        let stage = self.program.stage(task.stage);
        let c = stage.space.coords(task.index);
        let place = format!("stage {} ({}), block ({}, {})", task.stage.0, stage.kind.name(), c.i, c.j);
        Failure { message: format!("{place}: {}", failure.message), ..failure }
    }

    fn measure(&mut self, timings: &[Timing]) {
        for timing in timings.iter().filter(|timing| timing.tasks > 0) {
            let each = timing.seconds / f64::from(timing.tasks);
            let Some(average) = self.seconds.get_mut(timing.stage.at()) else { continue };
            if BELIEVED.contains(&each) {
                *average += NEWEST * (each - *average);
            }
        }
    }

    /// A task is done at `worker`. A message that comes twice, or from a worker that the task was
    /// taken from, changes nothing.
    fn finish(&mut self, worker: WorkerId, task: TaskId) {
        let at = self.program.position(task);
        if self.table.state(at) != State::Assigned(worker) {
            return;
        }
        let (lane, seconds) = (self.lane(task), self.seconds(task));
        self.fleet.charge(worker, lane, -1, -seconds);
        self.fleet.rested(worker);
        self.unfinished -= 1;
        self.admitted -= 1;
        self.assigned -= 1;
        if self.program.stage(task.stage).leaves_blocks() {
            self.table.set(at, State::Done(worker));
            self.no_longer_replica(worker, task);
        } else {
            self.table.set(at, State::Done(NOWHERE));
        }
        let remaining = self.announce(task);
        self.table.set_count(at, remaining);
        if remaining == 0 {
            self.release(task);
        }
        self.consume(worker, task);
        self.settle_after(task);
    }

    /// Tells the consumers of a block that it is there; returns how many of them are still to come.
    pub(super) fn announce(&mut self, block: BlockId) -> u32 {
        let mut consumers = std::mem::take(&mut self.consumers);
        self.program.consumers(block, &mut consumers);
        let mut remaining = 0;
        for &consumer in &consumers {
            let at = self.program.position(consumer);
            let state = self.table.state(at);
            remaining += u32::from(!state.is_finished());
            if state == State::Waiting && self.table.take(at) == 0 {
                self.make_ready(consumer);
            }
        }
        self.consumers = consumers;
        remaining
    }

    /// One consumer less for each input of a finished task.
    fn consume(&mut self, worker: WorkerId, task: TaskId) {
        let mut inputs = std::mem::take(&mut self.inputs);
        self.program.inputs(task, &mut inputs);
        for &input in &inputs {
            let at = self.program.position(input);
            match self.table.state(at) {
                State::Done(holder) if holder == worker || holder == NOWHERE => {}
                State::Done(_) => self.add_replica(worker, input),
                State::Spilled => self.drop_copy(worker, input),
                _ => {
                    self.used_after_loss(worker, input);
                    continue;
                }
            }
            if self.table.take(at) == 0 {
                self.release(input);
            }
        }
        self.inputs = inputs;
    }

    pub(super) fn add_replica(&mut self, worker: WorkerId, block: BlockId) {
        let others = self.replicas.entry(block).or_default();
        if !others.contains(&worker) {
            others.push(worker);
        }
    }

    /// The last consumer is done: the block goes, unless it is a result.
    pub(super) fn release(&mut self, block: BlockId) {
        if self.program.keeps(block) {
            return;
        }
        self.discard(block);
        let holder = match self.state(block) {
            State::Done(holder) => holder,
            State::Spilled => return self.set(block, State::Released),
            _ => unreachable!("only blocks that exist are released"),
        };
        self.set(block, State::Released);
        let bytes = self.program.releases(block);
        self.reserved -= bytes;
        if holder == NOWHERE {
            return;
        }
        self.end_copy(block);
        self.failed_copies.remove(&block);
        let others = self.replicas.remove(&block).unwrap_or_default();
        // Of a step that went on at its holder nothing may be left, or a copy that came while it went on.
        self.outbox.entry(holder).or_default().free.push(block);
        for worker in others {
            self.outbox.entry(worker).or_default().free.push(block);
        }
    }

    pub(super) fn free(&mut self, worker: WorkerId, block: BlockId) {
        self.outbox.entry(worker).or_default().free.push(block);
    }

    pub(super) fn make_ready(&mut self, task: TaskId) {
        self.set(task, State::Ready);
        let urgent = self.paths.urgent(&self.program, task, self.turn);
        self.turn += 1;
        match self.lane(task) {
            Lane::Compute => self.compute.push(urgent),
            Lane::Io => self.io.push(urgent),
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

    /// Admits tasks in the cursor's order while their reservations fit.
    fn admit(&mut self) {
        let most = ADMITTED_AT_LEAST.max(ADMITTED_PER_THREAD * self.fleet.threads());
        while self.admitted < most {
            let Some(task) = self.next.take().or_else(|| self.walk()) else {
                self.exhausted = true;
                return;
            };
            if !self.reserve(task) {
                self.next = Some(task);
                return;
            }
            self.enter(task);
        }
    }

    fn walk(&mut self) -> Option<TaskId> {
        let (program, mut cursor) = (self.program.clone(), std::mem::take(&mut self.cursor));
        let task = cursor.next(&program, &*self);
        self.cursor = cursor;
        task
    }

    fn enter(&mut self, task: TaskId) {
        self.admitted += 1;
        let at = self.program.position(task);
        let mut inputs = std::mem::take(&mut self.inputs);
        self.program.inputs(task, &mut inputs);
        let missing = inputs.iter().filter(|i| !matches!(self.state(**i), State::Done(_))).count();
        self.inputs = inputs;
        self.table.set(at, State::Waiting);
        self.table.set_count(at, missing as u32);
        if missing == 0 {
            self.make_ready(task);
        }
    }

    fn flush(&mut self, out: &mut Vec<Action>) {
        for (worker, mut outbox) in std::mem::take(&mut self.outbox) {
            if self.fleet.get(worker).is_none() {
                continue;
            }
            outbox.fetch.sort_unstable();
            outbox.fetch.dedup();
            if !outbox.free.is_empty() {
                out.push(Action::Free { worker, blocks: outbox.free });
            }
            if !outbox.drop.is_empty() {
                out.push(Action::Drop { worker, blocks: outbox.drop });
            }
            if !outbox.spill.is_empty() {
                out.push(Action::Spill { worker, blocks: outbox.spill });
            }
            if !outbox.load.is_empty() {
                out.push(Action::Load { worker, blocks: outbox.load });
            }
            if !outbox.assign.is_empty() {
                out.push(Action::Assign { worker, tasks: outbox.assign, fetch: outbox.fetch });
            }
        }
    }

    fn conclude(&mut self, out: &mut Vec<Action>) {
        if self.exhausted && self.next.is_none() && self.admitted == 0 {
            self.over = true;
            out.push(Action::Completed);
        }
    }
}

impl Ground for Core {
    fn state(&self, task: TaskId) -> State {
        Core::state(self, task)
    }
}

fn first_guess(program: &Program, id: StageId) -> f64 {
    let stage = program.stage(id);
    let (rows, cols) = stage.largest_shape();
    let bytes = (rows * cols * stage.element.bytes()) as f64;
    TASK_SECONDS + stage.work.flops / FLOPS_PER_SECOND + bytes / BYTES_PER_SECOND
}
