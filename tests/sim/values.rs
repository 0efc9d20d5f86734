//! The values of blocks: what tasks make of their inputs.

use super::rng::mix;
use dolmen::graph::Program;
use dolmen::ids::TaskId;
use std::collections::HashMap;

/// What a task makes of nothing.
pub fn begin(task: TaskId) -> u64 {
    mix(u64::from(task.stage.0) << 32 | u64::from(task.index))
}

/// What it makes of one input more.
pub fn fold(value: u64, input: u64) -> u64 {
    mix(value.rotate_left(5) ^ input)
}

/// All values, made one after the other.
pub fn reference(program: &Program) -> HashMap<TaskId, u64> {
    let mut values = HashMap::new();
    let mut inputs = Vec::new();
    // Stages read earlier ones, and themselves at lower numbers.
    for at in 0..program.tasks() {
        let task = program.at_position(at);
        program.inputs(task, &mut inputs);
        let known = inputs
            .iter()
            .filter(|input| program.stage(input.stage).leaves_blocks())
            .map(|input| values[input]);
        let value = known.fold(begin(task), fold);
        values.insert(task, value);
    }
    values
}
