//! Graphs wired by hand: drawing the calls, and what comes of them.

use super::kinds::unpack;
use crate::failure::Failure;
use crate::graph::kinds::CallInput;
use crate::graph::{Delayed, Graph};
use crate::ids::GraphId;
use crate::protocol::{decode, encode};
use crate::store::Block;
use serde::{Serialize, de::DeserializeOwned};
use std::sync::atomic::{AtomicU64, Ordering};

/// What a call takes: an earlier call or a value.
pub enum Argument {
    Call(Delayed),
    Value(Vec<u8>),
}

impl From<Delayed> for Argument {
    fn from(call: Delayed) -> Self {
        Argument::Call(call)
    }
}

impl Default for Graph {
    fn default() -> Self {
        Graph::new()
    }
}

impl Graph {
    /// A graph without calls.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Graph::named(GraphId(NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    /// A constant argument.
    pub fn value<V: Serialize>(value: &V) -> Result<Argument, Failure> {
        encode(value).map(Argument::Value).map_err(Failure::of_run)
    }

    /// Calls the function that will be registered as `function` when the graph runs.
    pub fn call(&mut self, function: &str, arguments: impl IntoIterator<Item = Argument>) -> Delayed {
        let inputs: Vec<CallInput> = arguments
            .into_iter()
            .filter_map(|argument| match argument {
                Argument::Call(call) => self.earlier(call),
                Argument::Value(bytes) => Some(self.constant(bytes)),
            })
            .collect();
        self.push(function, inputs)
    }
}

/// The value in a result block.
pub fn value<V: DeserializeOwned>(block: &Block) -> Result<V, Failure> {
    decode(unpack(block)).map_err(Failure::of_run)
}
