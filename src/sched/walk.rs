//! The order in which tasks are admitted: depth first from the results, inputs before consumers.
//!
//! One walk at a time would hold the fewest blocks; admitting a bounded stretch of it ahead is what
//! makes parallelism, and the memory bound with it. The walk is evaluated lazily from the program's
//! formulas: the stack is as deep as the program, not as long.
//!
//! Over the blocks of a tall matrix, and the trees above them, a walk may go at several places at once, that many
//! workers have something to do each in a part of its own.

use super::table::TaskState;
use super::tall::{OverTall, over_tall};
use crate::graph::{Pattern, Program, Read};
use crate::ids::{StageId, TaskId};

#[derive(Clone, Copy)]
enum Frame {
    /// Make this task's inputs, then the task, unless that has been seen to.
    Visit(TaskId),
    /// Its inputs have been seen to.
    Emit(TaskId),
    /// Steps `next ..= last` of a chain.
    Chain { stage: StageId, next: u32, last: u32 },
    /// Step `step` and those after it, of all chains of a stage together.
    Lockstep { stage: StageId, step: u32 },
}

/// What the walk asks the table of tasks.
pub trait Ground {
    fn state(&self, task: TaskId) -> TaskState;

    fn missing(&self, task: TaskId) -> bool {
        self.state(task) == TaskState::Idle
    }
}

/// A lazy depth-first walk over the tasks that are still to be made.
pub struct Walk {
    /// It goes at so many places of a tall matrix at once, about.
    width: u32,
    /// By stage, once one has been asked for.
    over_tall: Vec<Option<OverTall>>,
    stage: u32,
    turn: u64,
    stack: Vec<Frame>,
    inputs: Vec<TaskId>,
}

impl Default for Walk {
    fn default() -> Self {
        Walk::of_width(1)
    }
}

impl Walk {
    /// At so many places at once where there are that many strips of blocks.
    pub fn of_width(width: u32) -> Self {
        let (stack, inputs) = (Vec::new(), Vec::new());
        Walk { width, over_tall: Vec::new(), stage: 0, turn: 0, stack, inputs }
    }

    /// Starts again at the first result: finished tasks are passed over.
    pub fn restart(&mut self) {
        self.stage = 0;
        self.turn = 0;
        self.stack.clear();
    }

    /// The next task to admit, all of whose inputs are available or have been admitted before.
    pub fn next(&mut self, program: &Program, ground: &impl Ground) -> Option<TaskId> {
        loop {
            match self.stack.pop() {
                Some(Frame::Visit(task)) if ground.missing(task) => self.visit(program, task, ground),
                Some(Frame::Emit(task)) if ground.missing(task) => return Some(task),
                Some(Frame::Visit(_) | Frame::Emit(_)) => {}
                Some(Frame::Chain { stage, next, last }) => {
                    if next < last {
                        self.stack.push(Frame::Chain { stage, next: next + 1, last });
                    }
                    let task = TaskId::new(stage, next);
                    // A lost step whose successor has been handed out already is wanted only if that comes back.
                    let overtaken = program.stage(stage).space.is_partial(next)
                        && !ground.missing(TaskId::new(stage, next + 1));
                    if ground.missing(task) && !overtaken {
                        self.expand(program, task, ground);
                    }
                }
                Some(Frame::Lockstep { stage, step }) => self.lockstep(program, stage, step),
                None => {
                    let sink = self.next_sink(program)?;
                    if ground.missing(sink) {
                        self.stack.push(Frame::Visit(sink));
                    }
                }
            }
        }
    }

    /// Results and sinks in the order of stages and blocks; of a chain its last step.
    fn next_sink(&mut self, program: &Program) -> Option<TaskId> {
        while (self.stage as usize) < program.stages().len() {
            let stage = StageId(self.stage);
            let space = &program.stage(stage).space;
            let (tasks, steps) = (space.tasks(), space.extents().k);
            let turns = Turns { tasks, length: self.strip_length(program, stage).unwrap_or(tasks) };
            if !(program.is_sink(stage) || program.stage(stage).keep) || self.turn >= turns.all() {
                self.stage += 1;
                self.turn = 0;
                continue;
            }
            let first = turns.task(self.turn);
            self.turn += u64::from(steps);
            if first < tasks {
                return Some(TaskId::new(stage, first + steps - 1));
            }
        }
        None
    }

    fn visit(&mut self, program: &Program, task: TaskId, ground: &impl Ground) {
        let space = &program.stage(task.stage).space;
        if space.extents().k == 1 {
            let gathers = |read: &Read| matches!(read.pattern, Pattern::Gather { .. });
            if program.stage(task.stage).reads.iter().any(gathers)
                && let Some(length) = self.strip_length(program, task.stage)
            {
                return self.abreast(program, task, Turns { tasks: space.tasks(), length }, ground);
            }
            return self.expand(program, task, ground);
        }
        if program.stage(task.stage).lockstep {
            self.stack.push(Frame::Lockstep { stage: task.stage, step: 0 });
            return;
        }
        // The steps of a chain from the first one whose predecessor is there.
        let first = task.index - space.coords(task.index).k;
        let mut next = task.index;
        while next > first && ground.missing(TaskId::new(task.stage, next - 1)) {
            next -= 1;
        }
        self.stack.push(Frame::Chain { stage: task.stage, next, last: task.index });
    }

    /// The task, and what stands at the same place in the other strips, after the first input of each, the second of
    /// each, and so on: the walk goes on below all of them.
    fn abreast(&mut self, program: &Program, task: TaskId, turns: Turns, ground: &impl Ground) {
        let mut inputs = std::mem::take(&mut self.inputs);
        let mut row = Vec::new();
        let mut below: Vec<(usize, TaskId)> = Vec::new();
        let first = u64::from(task.index % turns.length) * turns.strips();
        for turn in first..first + turns.strips() {
            let task = TaskId::new(task.stage, turns.task(turn));
            if task.index < turns.tasks && ground.missing(task) {
                row.push(task);
                program.inputs(task, &mut inputs);
                below.extend(inputs.iter().copied().enumerate());
            }
        }
        self.inputs = inputs;
        below.sort_by_key(|(place, _)| *place);
        self.stack.extend(row.into_iter().rev().map(Frame::Emit));
        self.stack.extend(below.into_iter().rev().map(|(_, input)| Frame::Visit(input)));
    }

    /// Tasks of a strip of this stage, if it is over a tall matrix and the walk is at several places at once.
    fn strip_length(&mut self, program: &Program, stage: StageId) -> Option<u32> {
        if self.width == 1 {
            return None;
        }
        if self.over_tall.is_empty() {
            self.over_tall = over_tall(program);
        }
        let OverTall { blocks, per_task } = self.over_tall[stage.at()]?;
        let of_blocks = blocks.div_ceil(self.width).next_power_of_two();
        // Where strips are combined, each task stands for one or more of them.
        Some((of_blocks / per_task).max(1))
    }

    /// One step of each chain; what has been seen to is passed over when its turn comes.
    fn lockstep(&mut self, program: &Program, stage: StageId, step: u32) {
        let space = &program.stage(stage).space;
        let steps = space.extents().k;
        if step + 1 < steps {
            self.stack.push(Frame::Lockstep { stage, step: step + 1 });
        }
        for block in (0..space.tasks() / steps).rev() {
            let task = block * steps + step;
            self.stack.push(Frame::Chain { stage, next: task, last: task });
        }
    }

    /// The task after all its inputs.
    fn expand(&mut self, program: &Program, task: TaskId, ground: &impl Ground) {
        let stage = program.stage(task.stage);
        self.stack.push(Frame::Emit(task));
        if stage.reads.is_empty() {
            return;
        }
        let mut inputs = std::mem::take(&mut self.inputs);
        program.inputs(task, &mut inputs);
        let within = |input: &TaskId| {
            let previous = stage.reads.iter().any(|read| matches!(read.pattern, Pattern::Previous));
            !(previous && input.stage == task.stage)
        };
        for input in inputs.iter().rev().filter(|input| within(input) && ground.missing(**input)) {
            self.stack.push(Frame::Visit(*input));
        }
        self.inputs = inputs;
    }
}

/// The order in which tasks of strips have their turn: the first of each strip, then the second of each, and so on. Any
/// few that follow each other are spread over all strips.
#[derive(Clone, Copy)]
struct Turns {
    tasks: u32,
    /// Tasks of a strip.
    length: u32,
}

impl Turns {
    /// Strips, and some without tasks, so that their number is a power of two.
    fn strips(self) -> u64 {
        u64::from(self.tasks.div_ceil(self.length.max(1))).next_power_of_two()
    }

    fn all(self) -> u64 {
        self.strips() * u64::from(self.length)
    }

    /// Whose turn it is. No task of the stage, if there is none.
    fn task(self, turn: u64) -> u32 {
        let strips = self.strips();
        // The last bits of the number in reverse order: van der Corput's sequence, which is spread evenly.
        let strip = turn.reverse_bits().checked_shr(u64::BITS - strips.trailing_zeros()).unwrap_or(0);
        u32::try_from(strip * u64::from(self.length) + turn / strips).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::{Axis, BlockGrid, Element, Fill};
    use crate::graph::testing::{column, linked, nulls};
    use crate::graph::{ProgramBuilder, Stage};
    use crate::ids::WorkerId;
    use std::collections::HashSet;

    /// What has been made, or seen to.
    #[derive(Default)]
    struct Made(HashSet<TaskId>);

    impl Ground for Made {
        fn state(&self, task: TaskId) -> TaskState {
            if self.0.contains(&task) { TaskState::Done(WorkerId(0)) } else { TaskState::Idle }
        }
    }

    /// Tasks that read each other as told. All are results.
    fn program(inputs: &[&[u32]]) -> Program {
        Program::new(vec![Stage { keep: true, ..linked(inputs) }])
    }

    fn task(index: u32) -> TaskId {
        TaskId::new(StageId(0), index)
    }

    /// The next tasks, each made at once, until there are none or it is `last`.
    fn up_to(walk: &mut Walk, program: &Program, made: &mut Made, last: TaskId) -> Vec<TaskId> {
        let mut order = Vec::new();
        while let Some(task) = walk.next(program, made) {
            made.0.insert(task);
            order.push(task);
            if task == last {
                break;
            }
        }
        order
    }

    #[test]
    fn what_a_task_reads_comes_before_it() {
        let program = program(&[&[1, 2], &[], &[3], &[]]);
        let order = up_to(&mut Walk::default(), &program, &mut Made::default(), task(9));
        assert_eq!(order, [1, 3, 2, 0].map(task));
    }

    #[test]
    fn what_was_made_meanwhile_is_passed_over_with_all_that_it_reads() {
        let program = program(&[&[1, 2], &[], &[3], &[]]);
        let (mut walk, mut made) = (Walk::default(), Made::default());
        assert_eq!(up_to(&mut walk, &program, &mut made, task(1)), [task(1)]);
        // A block of it need not be there any more.
        made.0.insert(task(2));
        assert_eq!(walk.next(&program, &made), Some(task(0)));
        let (mut walk, mut made) = (Walk::default(), Made::default());
        up_to(&mut walk, &program, &mut made, task(2));
        made.0.insert(task(0));
        assert_eq!(walk.next(&program, &made), None);
    }

    /// The product of a row and a column of so many blocks; the steps of its only chain are the last stage.
    fn chain(steps: u64) -> (Program, StageId) {
        let mut builder = ProgramBuilder::default();
        let fill = |builder: &mut ProgramBuilder, rows: u64, cols: u64| {
            let grid = BlockGrid::new(Axis::new(100 * rows, 100), Axis::new(100 * cols, 100));
            builder.fill(Fill::Constant(1.0), 0, 0, grid, Element::F64)
        };
        let (a, b) = (fill(&mut builder, 1, steps), fill(&mut builder, steps, 1));
        let product = builder.gemm(a, b);
        builder.keep(product.stage);
        let program = builder.finish();
        let last = StageId(program.stages().len() as u32 - 1);
        (program, last)
    }

    #[test]
    fn a_chain_goes_on_behind_its_last_step_that_is_there() {
        let (program, chain) = chain(4);
        let step = |index| TaskId::new(chain, index);
        let mut made = Made(HashSet::from([step(2)]));
        let order = up_to(&mut Walk::default(), &program, &mut made, step(9));
        let steps: Vec<TaskId> = order.iter().copied().filter(|task| task.stage == chain).collect();
        assert_eq!((steps, order.len()), (vec![step(3)], 3), "it and the two blocks that it reads");
    }

    #[test]
    fn a_step_that_was_made_meanwhile_wants_nothing() {
        let (program, chain) = chain(2);
        let step = |index| TaskId::new(chain, index);
        let (mut walk, mut made) = (Walk::default(), Made::default());
        assert_eq!(up_to(&mut walk, &program, &mut made, step(0)).len(), 3);
        made.0.insert(step(1));
        assert_eq!(walk.next(&program, &made), None);
    }

    #[test]
    fn a_step_whose_successor_was_handed_out_is_not_made_again() {
        let (program, chain) = chain(3);
        let step = |index| TaskId::new(chain, index);
        let (mut walk, mut made) = (Walk::default(), Made::default());
        up_to(&mut walk, &program, &mut made, step(0));
        made.0.insert(step(2));
        assert_eq!(walk.next(&program, &made), None, "step 1 was lost, and step 2 does not want it any more");
    }

    /// So many blocks below each other, and a tree over them.
    fn tree(blocks: u32) -> Program {
        let mut stages = vec![nulls(column(blocks), Vec::new())];
        while let Some(below) = stages.last().filter(|stage| stage.space.tasks() > 1) {
            let source = StageId(stages.len() as u32 - 1);
            let tasks = below.space.tasks().div_ceil(2);
            stages.push(nulls(column(tasks), vec![Read { source, pattern: Pattern::Gather { fan: 2 } }]));
        }
        Program::new(stages)
    }

    fn all(program: &Program, width: u32) -> Vec<TaskId> {
        let nowhere = TaskId::new(StageId(u32::MAX), 0);
        up_to(&mut Walk::of_width(width), program, &mut Made::default(), nowhere)
    }

    #[test]
    fn a_wide_walk_goes_below_each_strip_in_turn() {
        let order = all(&tree(16), 4);
        let leaves: Vec<u32> =
            order.iter().filter(|task| task.stage == StageId(0)).map(|task| task.index).collect();
        assert_eq!(leaves, [0, 8, 4, 12, 1, 9, 5, 13, 2, 10, 6, 14, 3, 11, 7, 15]);
        let narrow = all(&tree(16), 1);
        assert_eq!(
            narrow.iter().position(|task| *task == TaskId::new(StageId(3), 0)),
            Some(14),
            "depth first"
        );
    }

    #[test]
    fn a_wide_walk_comes_to_all_tasks_once_and_after_what_they_read() {
        for (blocks, width) in (1..40).flat_map(|blocks| [2, 4, 16, 64].map(|width| (blocks, width))) {
            let program = tree(blocks);
            let order = all(&program, width);
            assert_eq!(order.len(), program.tasks(), "{blocks} blocks, {width} wide");
            let mut inputs = Vec::new();
            for (at, task) in order.iter().enumerate() {
                program.inputs(*task, &mut inputs);
                assert!(
                    inputs.iter().all(|input| order[..at].contains(input)),
                    "{blocks} blocks, {width} wide"
                );
            }
        }
    }

    #[test]
    fn as_many_places_as_blocks_are_all_gone_to_in_turn() {
        let order = all(&tree(8), 16);
        let leaves: Vec<u32> =
            order.iter().filter(|task| task.stage == StageId(0)).map(|task| task.index).collect();
        assert_eq!(leaves, [0, 4, 2, 6, 1, 5, 3, 7]);
    }

    #[test]
    fn what_was_made_of_a_row_wants_nothing_any_more() {
        let program = tree(8);
        let mut made = Made(HashSet::from([TaskId::new(StageId(1), 2)]));
        let order = up_to(&mut Walk::of_width(4), &program, &mut made, TaskId::new(StageId(9), 0));
        assert_eq!(order.len(), program.tasks() - 3, "it and the two blocks that it reads");
    }

    #[test]
    fn results_of_strips_are_wanted_in_turn() {
        let order = all(&Program::new(vec![nulls(column(10), Vec::new())]), 4);
        let blocks: Vec<u32> = order.iter().map(|task| task.index).collect();
        // Strips of four, four and two.
        assert_eq!(blocks, [0, 8, 4, 1, 9, 5, 2, 6, 3, 7]);
    }
}
