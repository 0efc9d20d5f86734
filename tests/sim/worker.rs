//! A simulated worker: a real worker's desk with values instead of blocks, and threads in virtual time.

use dolmen::graph::Program;
use dolmen::ids::{BlockId, MemoryId, TaskId, TaskList};
use dolmen::sched::{Desk, Prepared, Pull, Unbegun};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A block on its way to a worker.
#[derive(Default)]
pub struct Coming {
    /// Asked for by a copy.
    pub copy: bool,
    /// It has a buffer of its own in the worker's memory.
    pub buffer: bool,
    /// Nobody waits for it any more.
    pub stale: bool,
    /// When it was asked for.
    pub asked: u64,
}

pub struct SimWorker {
    pub threads: usize,
    pub memory: MemoryId,
    pub desk: Desk<u64>,
    /// Tasks that lack nothing but a thread.
    pub queue: Vec<Prepared<u64>>,
    pub running: BTreeMap<TaskId, u64>,
    pub fetching: BTreeMap<BlockId, Coming>,
    /// Tasks that it has ever given back.
    pub given_back: BTreeSet<TaskId>,
    pub report: TaskList,
    pub seconds: Vec<(TaskId, f64)>,
    /// What it has got from others since it told of that.
    pub pulls: Vec<Pull>,
    pub report_due: bool,
    pub turn_due: bool,
    pub ran: usize,
}

impl SimWorker {
    pub fn new(threads: usize, memory: MemoryId, program: Arc<Program>) -> Self {
        SimWorker {
            threads,
            memory,
            desk: Desk::new(program),
            queue: Vec::new(),
            running: BTreeMap::new(),
            fetching: BTreeMap::new(),
            given_back: BTreeSet::new(),
            report: TaskList::default(),
            seconds: Vec::new(),
            pulls: Vec::new(),
            report_due: false,
            turn_due: false,
            ran: 0,
        }
    }

    /// The tasks for which there are threads.
    pub fn startable(&self, program: &Program) -> Vec<TaskId> {
        let is_io = |task: &TaskId| program.stage(task.stage).kind.is_io();
        let mut free = self.threads.saturating_sub(self.running.keys().filter(|task| !is_io(task)).count());
        let mut start = Vec::new();
        for Prepared { task, .. } in &self.queue {
            if is_io(task) || free > 0 {
                free -= usize::from(!is_io(task));
                start.push(*task);
            }
        }
        start
    }

    /// Takes a task off the queue.
    pub fn take(&mut self, task: TaskId) -> Option<Prepared<u64>> {
        let at = self.queue.iter().position(|prepared| prepared.task == task)?;
        Some(self.queue.remove(at))
    }

    /// Takes back what is asked for and has not begun.
    pub fn take_back(&mut self, program: &Program, share: Unbegun) -> TaskList {
        let is_io = |task: TaskId| program.stage(task.stage).kind.is_io();
        let compute = self.queue.iter().rev().map(|prepared| prepared.task).filter(|task| !is_io(*task));
        let compute: Vec<TaskId> = compute.collect();
        let most = if share == Unbegun::Half { compute.len().div_ceil(2) } else { compute.len() };
        let may: Vec<TaskId> =
            compute.into_iter().filter(|task| self.desk.may_give_back(*task)).take(most).collect();
        let mut returned = TaskList::default();
        for prepared in may.into_iter().filter_map(|task| self.take(task)).collect::<Vec<_>>() {
            self.desk.unprepare(prepared, &mut returned);
        }
        if share == Unbegun::All {
            self.desk.give_back_held(&mut returned);
            self.desk.give_back_waiting(&mut returned);
        }
        returned
    }

    /// The blocks that it holds, those among them that a task is going to take over.
    pub fn holds(&self) -> BTreeSet<BlockId> {
        let prepared = self.queue.iter().chain(self.desk.held());
        let taken = prepared.filter(|prepared| prepared.taken.is_some());
        let taken = taken.map(|prepared| TaskId::new(prepared.task.stage, prepared.task.index - 1));
        self.desk.blocks().chain(taken).collect()
    }
}
