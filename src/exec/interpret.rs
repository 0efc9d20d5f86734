//! The reference: a program run stage by stage, task by task, in one thread.

use super::bind::Bindings;
use super::task::run;
use crate::failure::Failure;
use crate::graph::Program;
use crate::ids::{BlockId, TaskId};
use crate::store::{Block, Pool};
use std::collections::HashMap;
use std::sync::Arc;

/// Runs `program`, which [`annotate`](super::annotate) has seen, and returns the blocks of its kept stages.
pub fn interpret(program: &Program, bindings: &Bindings) -> Result<HashMap<BlockId, Arc<Block>>, Failure> {
    let pool = Pool::new(u64::MAX);
    let largest = program.stages().iter().map(|s| s.work.workspace).max().unwrap_or(0);
    let mut work = pool.take(largest).map_err(Failure::of_run)?;
    let mut made: HashMap<BlockId, Arc<Block>> = HashMap::new();
    let mut ids = Vec::new();
    for stage in program.stage_ids() {
        for index in 0..program.stage(stage).space.tasks() {
            let task = TaskId::new(stage, index);
            program.inputs(task, &mut ids);
            let mut taken = None;
            if program.takes_over(task) {
                let previous = TaskId::new(stage, index - 1);
                ids.retain(|id| *id != previous);
                taken = made.remove(&previous).and_then(|block| Arc::try_unwrap(block).ok());
            }
            let blocks: Vec<Arc<Block>> = ids.iter().filter_map(|id| made.get(id).cloned()).collect();
            if let Some(block) = run(program, bindings, task, (&ids, &blocks), taken, &pool, &mut work)? {
                made.insert(task, Arc::new(block));
            }
        }
    }
    made.retain(|id, _| program.stage(id.stage).keep);
    Ok(made)
}
