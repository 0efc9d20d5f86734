//! The calls of a hand-wired graph, as a stage keeps them.

use serde::{Deserialize, Serialize};

/// A result's length in bytes stands before it.
pub(crate) const RESULT_HEADER: u64 = size_of::<u64>() as u64;

/// An argument of a call.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum CallInput {
    /// The result of an earlier call.
    Task(u32),
    /// Constant number so-and-so of the graph.
    Constant(u32),
}

/// The calls of a hand-wired graph in flat arrays. Constants are encoded values.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Calls {
    pub(in crate::graph) names: Vec<String>,
    pub(in crate::graph) functions: Vec<u32>,
    pub(in crate::graph) starts: Vec<u32>,
    pub(in crate::graph) inputs: Vec<CallInput>,
    pub(in crate::graph) constants: Vec<Vec<u8>>,
}

impl Calls {
    /// Name of the function and its arguments.
    pub fn call(&self, task: u32) -> (&str, &[CallInput]) {
        let at = task as usize;
        let inputs = &self.inputs[self.starts[at] as usize..self.starts[at + 1] as usize];
        (&self.names[self.functions[at] as usize], inputs)
    }

    pub fn constant(&self, at: u32) -> &[u8] {
        &self.constants[at as usize]
    }
}
