//! The program of a run and what has become of each of its tasks.

use super::lane::Lane;
use super::table::{NOWHERE, Table, TaskState};
use super::walk::Ground;
use crate::graph::{Program, Stage};
use crate::ids::{BlockId, StageId, TaskId, WorkerId};
use std::sync::Arc;

/// Formulas beside states: what can be asked about a task of this run.
pub(super) struct Tasks {
    pub program: Arc<Program>,
    pub table: Table,
    /// Of each stage: asked for every task, more than once.
    lanes: Vec<Lane>,
    /// Of each stage: is it read?
    has_users: Vec<bool>,
}

impl Tasks {
    pub fn new(program: Arc<Program>) -> Self {
        let lane = |stage: &Stage| if stage.kind.is_io() { Lane::Io } else { Lane::Compute };
        let lanes = program.stages().iter().map(lane).collect();
        let has_users = program.stage_ids().map(|stage| program.users(stage).next().is_some()).collect();
        Tasks { table: Table::new(program.tasks()), lanes, has_users, program }
    }

    /// Only the client can do the tasks of this stage, which reads or writes.
    pub fn pin(&mut self, stage: StageId) {
        assert!(self.program.stage(stage).kind.is_io(), "the client computes nothing");
        self.lanes[stage.at()] = Lane::Pinned;
    }

    /// Is there anything that only the client can do?
    pub fn has_pinned(&self) -> bool {
        self.lanes.contains(&Lane::Pinned)
    }

    pub fn state(&self, task: TaskId) -> TaskState {
        self.table.state(self.program.position(task))
    }

    pub fn set(&mut self, task: TaskId, state: TaskState) {
        self.table.set(self.program.position(task), state);
    }

    pub fn lane(&self, task: TaskId) -> Lane {
        self.lane_of(task.stage)
    }

    pub fn lane_of(&self, stage: StageId) -> Lane {
        self.lanes[stage.at()]
    }

    pub fn leaves_blocks(&self, task: TaskId) -> bool {
        self.program.stage(task.stage).leaves_blocks()
    }

    /// Does any task read what tasks of this stage make?
    pub fn has_consumers(&self, task: TaskId) -> bool {
        self.has_users[task.stage.at()]
    }

    /// Is `input` the block of the step before `task`, with which that goes on?
    pub fn takes_over_block(&self, task: TaskId, input: BlockId) -> bool {
        input.stage == task.stage && input.index + 1 == task.index && self.program.takes_over(task)
    }

    /// Bytes that a block takes in memory.
    pub fn size(&self, block: BlockId) -> u64 {
        self.program.size(block)
    }

    /// The worker in whose memory a block lies. There may be others.
    pub fn location(&self, block: BlockId) -> Option<WorkerId> {
        match self.state(block) {
            TaskState::Done(worker) if worker != NOWHERE => Some(worker),
            _ => None,
        }
    }

    /// Is the task done, and its block somewhere if it leaves one: in memory, or out of it?
    pub fn is_there(&self, block: BlockId) -> bool {
        matches!(self.state(block), TaskState::Done(_) | TaskState::Spilled)
    }

    /// Can the block be read or made again wherever that is wanted?
    pub fn is_source(&self, block: BlockId) -> bool {
        self.lane(block) != Lane::Pinned && self.program.stage(block.stage).kind.is_source()
    }

    /// The inputs of `task` that take memory.
    pub fn blocks_read(&self, task: TaskId) -> Vec<BlockId> {
        let mut inputs = Vec::new();
        self.program.inputs(task, &mut inputs);
        inputs.retain(|input| self.leaves_blocks(*input));
        inputs
    }

    /// Is it made for its own sake: a result, or the end of a stage that nobody reads?
    pub fn is_root(&self, task: TaskId) -> bool {
        let stage = self.program.stage(task.stage);
        let end = self.program.is_sink(task.stage) && !stage.space.is_partial(task.index);
        end || self.program.keeps(task)
    }

    /// Does anybody still want this block? O(consumers): asked after a loss only.
    pub fn is_needed(&self, block: BlockId) -> bool {
        if self.state(block) == TaskState::Released {
            return false;
        }
        let mut consumers = Vec::new();
        self.program.consumers(block, &mut consumers);
        self.is_root(block) || consumers.iter().any(|consumer| !self.state(*consumer).is_finished())
    }
}

impl Ground for Tasks {
    fn state(&self, task: TaskId) -> TaskState {
        Tasks::state(self, task)
    }
}
