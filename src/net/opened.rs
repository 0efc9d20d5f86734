//! From the names of a run to what they stand for in this process.

use crate::exec::{self, Bindings, Functions};
use crate::failure::Failure;
use crate::files::{Depth, open_input, open_output};
use crate::graph::Program;
use crate::protocol::RunSpec;
use crate::sched::{Workspace, workspace};
use crate::store::page_cache_room;
use std::sync::Arc;

/// The program and what its names stand for, opened here. `budget` is the memory of this process in bytes.
///
/// # Errors
/// If an input or output is not here or is another one, or if its tasks would need more workspace here than was
/// planned.
pub fn opened(
    spec: RunSpec,
    planned: Workspace,
    budget: u64,
    depth: &Arc<Depth>,
    functions: &Functions,
) -> Result<(Program, Bindings), Failure> {
    let mut bindings = Bindings { functions: functions.clone(), ..Bindings::default() };
    for (id, input) in &spec.inputs {
        bindings.inputs.insert(*id, open_input(input, page_cache_room(budget), depth.clone())?);
    }
    for output in &spec.outputs {
        bindings.outputs.push(open_output(output, depth.clone())?);
    }
    let mut program = Program::try_new(spec.stages).map_err(Failure::of_request)?;
    exec::annotate(&mut program, &bindings);
    let needed = workspace(&program);
    if needed.compute > planned.compute || needed.io > planned.io {
        return Err(Failure::of_run(
            "its kernels need more workspace than was planned: is it the same build?",
        ));
    }
    Ok((program, bindings))
}
