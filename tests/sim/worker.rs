//! A simulated worker: holds values instead of blocks, and keeps a real worker's side of the protocol.

use dolmen::graph::Program;
use dolmen::ids::{BlockId, MemoryId, TaskId, TaskList, WorkerId};
use std::collections::{BTreeMap, BTreeSet};

pub struct Held {
    pub value: u64,
    /// The core knows of this block, or will: made here, copied on request, or read by a task that has
    /// started. A copy of which it does not know must go with the task that it was fetched for.
    pub known: bool,
}

/// What a task reads.
pub struct Input {
    pub block: BlockId,
    /// Where to fetch it if it is not here.
    pub from: Option<WorkerId>,
}

pub struct Queued {
    pub task: TaskId,
    /// Those that leave blocks.
    pub inputs: Vec<Input>,
}

impl Queued {
    pub fn reads(&self, block: BlockId) -> bool {
        self.inputs.iter().any(|input| input.block == block)
    }
}

/// A block on its way to a worker.
#[derive(Default)]
pub struct Coming {
    /// Asked for by a copy.
    pub copy: bool,
    /// It has a buffer of its own in the worker's memory.
    pub buffer: bool,
    /// Nobody waits for it any more.
    pub stale: bool,
}

pub struct SimWorker {
    pub threads: usize,
    pub memory: MemoryId,
    pub store: BTreeMap<BlockId, Held>,
    pub queue: Vec<Queued>,
    pub running: BTreeMap<TaskId, u64>,
    pub fetching: BTreeMap<BlockId, Coming>,
    pub report: TaskList,
    pub seconds: Vec<(TaskId, f64)>,
    pub report_due: bool,
    pub turn_due: bool,
    pub ran: usize,
}

/// What a look at the queue leads to.
#[derive(Default)]
pub struct Turn {
    pub start: Vec<TaskId>,
    pub fetch: Vec<(BlockId, WorkerId)>,
    pub give_back: Vec<TaskId>,
}

impl SimWorker {
    pub fn new(threads: usize, memory: MemoryId) -> Self {
        SimWorker {
            threads,
            memory,
            store: BTreeMap::new(),
            queue: Vec::new(),
            running: BTreeMap::new(),
            fetching: BTreeMap::new(),
            report: TaskList::default(),
            seconds: Vec::new(),
            report_due: false,
            turn_due: false,
            ran: 0,
        }
    }

    /// Takes a task in. Each input must be here, or said to be somewhere.
    pub fn accept(&mut self, program: &Program, task: TaskId, fetch: &[(BlockId, WorkerId)]) {
        let mut inputs = Vec::new();
        program.inputs(task, &mut inputs);
        inputs.retain(|input| program.stage(input.stage).leaves_blocks());
        let place = |input: BlockId| {
            let from = fetch.iter().find(|(block, _)| *block == input).map(|(_, from)| *from);
            assert!(from.is_some() || self.store.contains_key(&input), "{task:?} lacks {input:?}");
            Input { block: input, from }
        };
        let inputs = inputs.into_iter().map(place).collect();
        self.queue.push(Queued { task, inputs });
    }

    /// What can be started, what has to be fetched, what cannot be done.
    pub fn turn(&mut self, program: &Program) -> Turn {
        let mut turn = Turn::default();
        let is_io = |task: &TaskId| program.stage(task.stage).kind.is_io();
        let mut free = self.threads.saturating_sub(self.running.keys().filter(|task| !is_io(task)).count());
        for queued in &self.queue {
            let missing: Vec<_> =
                queued.inputs.iter().filter(|input| !self.store.contains_key(&input.block)).collect();
            if missing.is_empty() {
                if is_io(&queued.task) || free > 0 {
                    free -= usize::from(!is_io(&queued.task));
                    turn.start.push(queued.task);
                }
                continue;
            }
            for Input { block, from } in missing {
                match from {
                    _ if self.fetching.contains_key(block) => {}
                    Some(from) => {
                        self.fetching.insert(*block, Coming::default());
                        turn.fetch.push((*block, *from));
                    }
                    None => turn.give_back.push(queued.task),
                }
            }
        }
        turn.give_back.dedup();
        turn
    }

    /// Is a block on its way that this task waits for?
    pub fn waits(&self, queued: &Queued) -> bool {
        queued.inputs.iter().any(|input| self.fetching.contains_key(&input.block))
    }

    /// Takes a task off the queue.
    pub fn take(&mut self, task: TaskId) -> Option<Queued> {
        let at = self.queue.iter().position(|queued| queued.task == task)?;
        Some(self.queue.remove(at))
    }

    /// Drops copies that were fetched for tasks that have been given back only.
    pub fn drop_unused(&mut self, given_back: &[Queued]) {
        let wanted: BTreeSet<BlockId> =
            self.queue.iter().flat_map(|queued| queued.inputs.iter().map(|input| input.block)).collect();
        for Input { block, .. } in given_back.iter().flat_map(|queued| &queued.inputs) {
            if !wanted.contains(block) && self.store.get(block).is_some_and(|held| !held.known) {
                self.store.remove(block);
            }
        }
    }
}
