//! Graphs wired by hand: drawing the calls, and running one.

use super::job::Job;
use crate::failure::Failure;
use crate::graph::{CallInput, Calls, Delayed, Graph, RESULT_HEADER};
use crate::ids::{GraphId, TaskId};
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

/// Runs one call. The result block holds its length and its bytes.
pub(super) fn call(job: &Job, calls: &Calls) -> Result<Block, Failure> {
    let (name, inputs) = calls.call(job.task.index);
    let function = job.bindings.functions.get(name);
    let function = function.ok_or_else(|| Failure::of_run(format!("function {name:?} is not registered")))?;
    let arguments: Vec<&[u8]> = inputs
        .iter()
        .map(|input| match input {
            CallInput::Task(task) => unpack(job.block(TaskId::new(job.task.stage, *task))),
            CallInput::Constant(at) => calls.constant(*at),
        })
        .collect();
    let encoded = function(&arguments).map_err(|why| Failure::of_run(format!("function {name:?}: {why}")))?;
    pack(job, name, &encoded)
}

const LENGTH: usize = RESULT_HEADER as usize;

fn pack(job: &Job, name: &str, encoded: &[u8]) -> Result<Block, Failure> {
    let mut block = job.output()?;
    let room = block.bytes_mut();
    if encoded.len() + LENGTH > room.len() {
        return Err(Failure::of_run(format!(
            "function {name:?} returned {} bytes, more than the {} that this graph allows a result: see Graph::result_bytes",
            encoded.len(),
            room.len() - LENGTH
        )));
    }
    room[..LENGTH].copy_from_slice(&(encoded.len() as u64).to_le_bytes());
    room[LENGTH..LENGTH + encoded.len()].copy_from_slice(encoded);
    Ok(block)
}

fn unpack(block: &Block) -> &[u8] {
    let bytes = block.bytes();
    let (length, rest) = bytes.split_at(LENGTH);
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes")) as usize;
    &rest[..length]
}

/// The value in a result block.
pub fn value<V: DeserializeOwned>(block: &Block) -> Result<V, Failure> {
    decode(unpack(block)).map_err(Failure::of_run)
}
