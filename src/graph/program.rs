//! A program: stages, and for every task its inputs, its consumers and its share of the work.

use super::kinds::Share;
use super::pattern::Pattern;
use super::space::Space;
use super::stage::Stage;
use crate::array::footprint;
use crate::ids::{BlockId, StageId, TaskId, TaskRange};

/// A list of stages, each reading only earlier ones (or itself, along a chain or hand-wired edges).
#[derive(Clone, PartialEq, Debug)]
pub struct Program {
    stages: Vec<Stage>,
    /// For each stage the (reading stage, number of the read).
    users: Vec<Vec<(StageId, u32)>>,
    /// Position of each stage's first task in the numbering of all tasks.
    starts: Vec<usize>,
    /// Pool bytes of each stage's blocks, where all take as many. A scheduler asks often.
    sizes: Vec<Option<u64>>,
}

/// Does one of the reads before `number` of task `index` read `block` already?
fn reads_before(reader: &Stage, number: u32, index: u32, source: &Space, block: BlockId) -> bool {
    let mut found = false;
    for read in reader.reads[..number as usize].iter().filter(|r| r.source == block.stage) {
        read.pattern.inputs(&reader.space, index, source, |input| found |= input == block.index);
    }
    found
}

impl Program {
    /// A program of stages that were made here. Others are for [`try_new`](Self::try_new).
    ///
    /// # Panics
    /// If a stage reads one that is not before it.
    pub fn new(stages: Vec<Stage>) -> Self {
        let mut users = vec![Vec::new(); stages.len()];
        let mut starts = vec![0];
        for (at, stage) in stages.iter().enumerate() {
            for (number, read) in stage.reads.iter().enumerate() {
                let itself = matches!(read.pattern, Pattern::Previous | Pattern::Edges(_));
                assert_eq!(read.source.at() == at, itself, "stage {at} reads {:?}", read.source);
                assert!(read.source.at() <= at, "stage {at} reads the later {:?}", read.source);
                users[read.source.at()].push((StageId(at as u32), number as u32));
            }
            starts.push(starts[at] + stage.space.tasks() as usize);
        }
        let sizes = stages.iter().map(|stage| stage.even_bytes().map(footprint)).collect();
        Program { stages, users, starts, sizes }
    }

    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    pub fn stages_mut(&mut self) -> impl Iterator<Item = &mut Stage> {
        self.stages.iter_mut()
    }

    pub fn stage(&self, id: StageId) -> &Stage {
        &self.stages[id.at()]
    }

    pub fn stage_ids(&self) -> impl DoubleEndedIterator<Item = StageId> + use<> {
        (0..self.stages.len() as u32).map(StageId)
    }

    /// The number of tasks.
    pub fn tasks(&self) -> usize {
        self.starts[self.stages.len()]
    }

    /// Is there such a task? For names that come from elsewhere.
    pub fn has_task(&self, task: TaskId) -> bool {
        self.stages.get(task.stage.at()).is_some_and(|stage| task.index < stage.space.tasks())
    }

    /// Are there such tasks, all of them?
    pub fn has_range(&self, range: &TaskRange) -> bool {
        let stage = self.stages.get(range.stage.at());
        range.start <= range.end && stage.is_some_and(|stage| range.end <= stage.space.tasks())
    }

    /// A task's place in the numbering of all tasks.
    pub fn position(&self, task: TaskId) -> usize {
        self.starts[task.stage.at()] + task.index as usize
    }

    pub fn at_position(&self, position: usize) -> TaskId {
        let stage = self.starts.partition_point(|&start| start <= position) - 1;
        TaskId::new(StageId(stage as u32), (position - self.starts[stage]) as u32)
    }

    /// Does no other stage read this one?
    pub fn is_sink(&self, stage: StageId) -> bool {
        self.users[stage.at()].iter().all(|(user, _)| *user == stage)
    }

    pub fn users(&self, stage: StageId) -> impl Iterator<Item = StageId> + '_ {
        self.users[stage.at()].iter().map(|(user, _)| *user)
    }

    /// The blocks that `task` reads, each once, in a fixed order. Clears `out` first.
    pub fn inputs(&self, task: TaskId, out: &mut Vec<BlockId>) {
        out.clear();
        let stage = self.stage(task.stage);
        for (number, read) in stage.reads.iter().enumerate() {
            if let Pattern::Edges(edges) = &read.pattern {
                out.extend(edges.distinct(task.index).iter().map(|index| TaskId::new(read.source, *index)));
                continue;
            }
            let source = self.stage(read.source);
            let seen = out.len();
            let again = stage.reads[..number].iter().any(|r| r.source == read.source);
            read.pattern.inputs(&stage.space, task.index, &source.space, |index| {
                let block = TaskId::new(read.source, index);
                if !(again && out[..seen].contains(&block)) {
                    out.push(block);
                }
            });
        }
    }

    /// The blocks of one read of `task`, in order, repetitions included.
    pub fn operand(&self, task: TaskId, read: usize, mut visit: impl FnMut(BlockId)) {
        let stage = self.stage(task.stage);
        let read = &stage.reads[read];
        let source = self.stage(read.source);
        read.pattern
            .inputs(&stage.space, task.index, &source.space, |index| visit(TaskId::new(read.source, index)));
    }

    /// The tasks that read `block`, each once. Clears `out` first. The inverse of [`inputs`](Self::inputs).
    pub fn consumers(&self, block: BlockId, out: &mut Vec<TaskId>) {
        out.clear();
        let source = &self.stage(block.stage).space;
        let users = &self.users[block.stage.at()];
        for (at, (user, number)) in users.iter().enumerate() {
            let reader = self.stage(*user);
            let again = users[..at].iter().any(|(earlier, _)| earlier == user);
            reader.reads[*number as usize].pattern.consumers(&reader.space, source, block.index, |index| {
                // Asks the task's earlier reads: a search among the tasks found would be quadratic.
                if !(again && reads_before(reader, *number, index, source, block)) {
                    out.push(TaskId::new(*user, index));
                }
            });
        }
    }

    /// Is this block a result? Earlier steps of a chain are not, they become the result.
    pub fn keeps(&self, block: BlockId) -> bool {
        let stage = self.stage(block.stage);
        stage.keep && !stage.space.is_partial(block.index)
    }

    /// Does this task take over the block of the step before it?
    pub fn takes_over(&self, task: TaskId) -> bool {
        let space = &self.stage(task.stage).space;
        space.extents().k > 1 && space.coords(task.index).k > 0
    }

    /// Pool bytes of a block.
    pub fn size(&self, block: BlockId) -> u64 {
        self.sizes[block.stage.at()].unwrap_or_else(|| footprint(self.stage(block.stage).bytes(block.index)))
    }

    /// Pool bytes that must be free before `task` may start: none where a block is taken over.
    pub fn reserves(&self, task: TaskId) -> u64 {
        if self.takes_over(task) { 0 } else { self.size(task) }
    }

    /// Pool bytes that are free again when the block of `task` is released.
    pub fn releases(&self, task: TaskId) -> u64 {
        if self.stage(task.stage).space.is_partial(task.index) { 0 } else { self.size(task) }
    }

    /// Flops of all tasks.
    pub fn flops(&self) -> f64 {
        let of_stage = |id: StageId| {
            let tasks = self.stage(id).space.tasks();
            (0..tasks).map(|index| self.share(TaskId::new(id, index))).sum::<f64>()
                * self.stage(id).work.flops
        };
        self.stage_ids().filter(|id| self.stage(*id).work.flops > 0.0).map(of_stage).fold(0.0, |a, b| a + b)
    }

    /// The work of a ragged task as a share of a full one's.
    fn share(&self, task: TaskId) -> f64 {
        let stage = self.stage(task.stage);
        match stage.kind.share() {
            Share::Whole => 1.0,
            Share::Grid => {
                let grid = stage.grid().expect("a grid, of which the work is a share");
                let c = stage.space.coords(task.index);
                Portion::of(grid.shape(c.i, c.j), grid.block_shape()).area()
            }
            Share::Input => self.portion_of_input(task).area(),
            Share::Product { ta } => {
                let made = Portion::of(stage.shape(task.index), stage.largest_shape());
                let factor = self.portion_of_input(task);
                made.area() * if ta { factor.rows } else { factor.cols }
            }
        }
    }

    /// The first block that `task` reads.
    fn portion_of_input(&self, task: TaskId) -> Portion {
        let mut portion = None;
        self.operand(task, 0, |block| {
            let source = self.stage(block.stage);
            portion = Some(Portion::of(source.shape(block.index), source.largest_shape()));
        });
        portion.expect("a task whose work follows from its first input reads one")
    }
}

/// A block beside one of full size.
struct Portion {
    rows: f64,
    cols: f64,
}

impl Portion {
    fn of(block: (u64, u64), full: (u64, u64)) -> Portion {
        let ratio = |part: u64, whole: u64| if whole == 0 { 1.0 } else { part as f64 / whole as f64 };
        Portion { rows: ratio(block.0, full.0), cols: ratio(block.1, full.1) }
    }

    fn area(&self) -> f64 {
        self.rows * self.cols
    }
}
