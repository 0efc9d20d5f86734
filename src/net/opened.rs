//! From the names of a run to what they stand for in this process.

use crate::array::Element;
use crate::data::{Numbers, Region, Sink};
use crate::exec::{self, Bindings, Functions};
use crate::failure::Failure;
use crate::files::{Depth, FileError, open_input, open_output};
use crate::graph::{Program, ProgramError};
use crate::protocol::{NotShared, RunSpec};
use crate::sched::{Workspace, workspace};
use crate::store::page_cache_room;
use std::sync::Arc;

/// Stages that come from elsewhere do not fit each other.
pub fn not_a_program(error: ProgramError) -> Failure {
    Failure::of_request(format!("this is no program: {error}"))
}

/// An output that only the client writes to.
struct OfClient;

impl Sink for OfClient {
    fn scratch(&self, _: u64, _: u64, _: Element) -> u64 {
        0
    }

    fn write(&self, _: &Region, _: Numbers<'_>, _: &mut [u8]) -> Result<u64, Failure> {
        Err(Failure::of_run("this output is the client's to write"))
    }
}

/// Why a run cannot begin here.
#[derive(Debug)]
pub struct CannotOpen {
    pub failure: Failure,
    /// What others, as the client, may be able to open.
    pub not_shared: NotShared,
}

impl From<Failure> for CannotOpen {
    fn from(failure: Failure) -> CannotOpen {
        CannotOpen { failure, not_shared: NotShared::default() }
    }
}

/// The program and what its names stand for, opened here. `budget` is the memory of this process in bytes.
///
/// # Errors
/// If inputs or outputs are not here or are other ones, or if its tasks would need more workspace here than was
/// planned.
pub fn opened(
    spec: RunSpec,
    planned: Workspace,
    budget: u64,
    depth: &Arc<Depth>,
    functions: &Functions,
) -> Result<(Arc<Program>, Arc<Bindings>), CannotOpen> {
    let mut bindings = Bindings { functions: functions.clone(), ..Bindings::default() };
    let mut missing: Option<CannotOpen> = None;
    for (id, input) in &spec.inputs {
        match open_input(input, page_cache_room(budget), depth.clone()) {
            Ok(source) => drop(bindings.inputs.insert(*id, source)),
            Err(error) => note(&mut missing, error, |not_shared| not_shared.inputs.push(*id))?,
        }
    }
    for (number, output) in (0..).zip(&spec.outputs) {
        let opened = output.as_ref().map(|output| open_output(output, depth.clone()));
        match opened.unwrap_or_else(|| Ok(Arc::new(OfClient))) {
            Ok(sink) => bindings.outputs.push(sink),
            Err(error) => note(&mut missing, error, |not_shared| not_shared.outputs.push(number))?,
        }
    }
    if let Some(missing) = missing {
        return Err(missing);
    }
    let mut program = Program::try_new(spec.stages).map_err(not_a_program)?;
    exec::annotate(&mut program, &bindings);
    let needed = workspace(&program);
    if needed.compute > planned.compute || needed.io > planned.io {
        let why = "its kernels need more workspace than was planned: is it the same build?";
        return Err(Failure::of_run(why).into());
    }
    Ok((Arc::new(program), Arc::new(bindings)))
}

/// Counts in one more that is not here. Another error is the end.
fn note(
    missing: &mut Option<CannotOpen>,
    error: FileError,
    add: impl FnOnce(&mut NotShared),
) -> Result<(), CannotOpen> {
    let may_be_elsewhere = matches!(error, FileError::NotHere { .. } | FileError::Another { .. });
    let failure = Failure::from(error);
    if !may_be_elsewhere {
        return Err(failure.into());
    }
    add(&mut missing.get_or_insert_with(|| failure.into()).not_shared);
    Ok(())
}
