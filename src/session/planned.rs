//! An operation with a plan: made once, then shown or run or both.

use super::bound::{Inputs, SessionId};
use super::error::Error;
use super::operation::Operation;
use super::prepare::{PlanRequest, Ready};
use super::preview::Preview;
use super::recipe::Care;
use super::runtime::Session;
use crate::array::Element;
use crate::data::{Numbers, Region, Sink};
use crate::failure::Failure;
use crate::files::{FileError, Format, NpyOutput};
use std::path::PathBuf;
use std::sync::Arc;

/// Where results go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// To the caller, as matrices.
    Memory,
    /// To files, a path for each result: Zarr arrays in chunks of the run's blocks where the name ends in `.zarr`,
    /// files where it ends in `.npy`. None may be one of the operation's inputs.
    Files(Vec<PathBuf>),
}

impl Target {
    /// How each result is stored that goes to a file.
    pub(super) fn formats(&self) -> Result<Vec<Format>, FileError> {
        match self {
            Target::Memory => Ok(Vec::new()),
            Target::Files(paths) => paths.iter().map(|path| Format::of(path)).collect(),
        }
    }
}

/// An operation, where its results go, and the proof that it fits. [`Session::run_planned`] runs it.
pub struct Planned {
    pub(super) session: SessionId,
    pub(super) operation: Operation,
    pub(super) target: Target,
    pub(super) inputs: Inputs,
    pub(super) ready: Ready,
}

impl Planned {
    /// What it would do.
    pub fn preview(&self) -> Result<Preview, Error> {
        Preview::of(&self.operation, &self.ready)
    }
}

impl Session {
    /// Finds a way in which the operation fits the memory; nothing is run and no file is made.
    ///
    /// # Errors
    /// [`Error::Request`] if there is none, or the request is wrong.
    pub fn plan(&self, operation: &Operation, target: Target) -> Result<Planned, Error> {
        operation.check()?;
        if let Target::Files(paths) = &target {
            check_number(operation, paths)?;
            self.check_outputs(operation, paths)?;
        }
        let formats = target.formats()?;
        let inputs = self.inputs(operation)?;
        let ready = self.ready(operation, &inputs, &formats, Care::default())?;
        Ok(Planned { session: self.id(), operation: operation.clone(), target, inputs, ready })
    }

    /// What `operation` would do with its results in files of this format, or without one in memory, and whether it
    /// fits; nothing is run.
    pub fn preview(&self, operation: &Operation, format: Option<Format>) -> Result<Preview, Error> {
        operation.check()?;
        let results = operation.result_shapes()?.len();
        let formats = format.map_or_else(Vec::new, |format| vec![format; results]);
        let ready = self.ready(operation, &self.inputs(operation)?, &formats, Care::default())?;
        Preview::of(operation, &ready)
    }

    /// The program of an operation with its results in files of these formats, or in memory if there are none.
    pub(super) fn ready(
        &self,
        operation: &Operation,
        inputs: &Inputs,
        formats: &[Format],
        care: Care,
    ) -> Result<Ready, Error> {
        let file = |format: &Format| Arc::new(PlannedFile(*format)) as Arc<dyn Sink>;
        let bindings = self.bindings(inputs.clone(), formats.iter().map(file).collect());
        let to_files = !formats.is_empty();
        self.planner()?.prepare(&PlanRequest { operation, bindings: &bindings, to_files, care })
    }
}

/// Refuses too few and too many paths.
fn check_number(operation: &Operation, paths: &[PathBuf]) -> Result<(), Error> {
    let names: Vec<&str> = operation.result_shapes()?.iter().map(|(name, _)| *name).collect();
    if names.len() == paths.len() {
        return Ok(());
    }
    let (results, all, given) = (names.len(), names.join(", "), paths.len());
    Err(Error::Request(format!("{results} results need a path each ({all}), got {given}")))
}

/// A file that a plan counts with and nobody has made yet.
struct PlannedFile(Format);

impl Sink for PlannedFile {
    fn scratch(&self, rows: u64, cols: u64, element: Element) -> u64 {
        match self.0 {
            Format::Npy => NpyOutput::scratch_of(rows, cols, element),
            Format::Zarr => 0,
        }
    }

    fn write(&self, _: &Region, _: Numbers<'_>, _: &mut [u8]) -> Result<u64, Failure> {
        Err(Failure::of_run("a plan was run before its files were made"))
    }
}
