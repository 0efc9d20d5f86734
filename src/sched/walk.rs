//! The order in which tasks are admitted: depth first from the results, inputs before consumers.
//!
//! One walk at a time would hold the fewest blocks; admitting a bounded stretch of it ahead is what
//! makes parallelism, and the memory bound with it. The walk is evaluated lazily from the program's
//! formulas: the stack is as deep as the program, not as long.

use super::table::TaskState;
use crate::graph::{Pattern, Program};
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
#[derive(Default)]
pub struct Walk {
    stage: u32,
    index: u32,
    stack: Vec<Frame>,
    inputs: Vec<TaskId>,
}

impl Walk {
    /// Starts again at the first result: finished tasks are passed over.
    pub fn restart(&mut self) {
        self.stage = 0;
        self.index = 0;
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
            let steps = space.extents().k;
            if !(program.is_sink(stage) || program.stage(stage).keep) || self.index >= space.tasks() {
                self.stage += 1;
                self.index = 0;
                continue;
            }
            let last = self.index + steps - 1;
            self.index += steps;
            return Some(TaskId::new(stage, last));
        }
        None
    }

    fn visit(&mut self, program: &Program, task: TaskId, ground: &impl Ground) {
        let space = &program.stage(task.stage).space;
        if space.extents().k == 1 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::{Axis, BlockGrid, Element, Fill};
    use crate::graph::{Blocks, Edges, Kind, Order, ProgramBuilder, Read, Space, Stage, Work};
    use crate::ids::WorkerId;
    use std::collections::HashSet;
    use std::sync::Arc;

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
        let inputs: Vec<Vec<u32>> = inputs.iter().map(|list| list.to_vec()).collect();
        let stage = Stage {
            kind: Kind::Null,
            space: Space::new(inputs.len() as u32, 1, 1, Order::Rows),
            blocks: Blocks::Each { rows: 1, cols: 1 },
            element: Element::F64,
            reads: vec![Read { source: StageId(0), pattern: Pattern::Edges(Arc::new(Edges::new(&inputs))) }],
            keep: true,
            lockstep: false,
            work: Work::default(),
        };
        Program::new(vec![stage])
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
}
