//! Where the results of an operation may go.

use super::error::Error;
use super::operation::Operation;
use super::runtime::Session;
use crate::files::check_outputs;
use std::path::PathBuf;

impl Session {
    /// Refuses outputs that would destroy what the operation reads, or one another, under whatever names.
    pub fn check_outputs(&self, operation: &Operation, outputs: &[PathBuf]) -> Result<(), Error> {
        let inputs: Vec<PathBuf> =
            self.inputs(operation)?.values().flat_map(|source| source.files()).collect();
        Ok(check_outputs(&inputs, outputs)?)
    }
}
