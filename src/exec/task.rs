//! From a task to its kernel.

use super::bind::Bindings;
use super::job::Job;
use super::kinds::as_execute;
use crate::array::Element;
use crate::failure::Failure;
use crate::graph::Program;
use crate::ids::{BlockId, TaskId};
use crate::store::{Block, Buffer, Pool};
use std::sync::Arc;

/// Runs `task`. `inputs` are the blocks of [`Program::inputs`] without the one that is taken over, which
/// is `taken`; `workspace` is as long as the program's largest. Tasks without a block return none.
pub fn run(
    program: &Program,
    bindings: &Bindings,
    task: TaskId,
    inputs: (&[BlockId], &[Arc<Block>]),
    taken: Option<Block>,
    pool: &Pool,
    workspace: &mut Buffer,
) -> Result<Option<Block>, Failure> {
    let mut job = Job { program, bindings, task, ids: inputs.0, blocks: inputs.1, taken, pool };
    let stage = program.stage(task.stage);
    match stage.element {
        Element::F32 => as_execute::<f32>(&stage.kind).run(&mut job, workspace),
        Element::F64 => as_execute::<f64>(&stage.kind).run(&mut job, workspace),
    }
}
