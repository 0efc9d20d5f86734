//! Graphs wired by hand: registered functions, called by name on values, matrices and earlier results.

use super::build::Builder;
use super::calls::{CallInput, Calls};
use super::pattern::{Edges, Pattern};
use super::program::Program;
use super::space::{Order, Space};
use super::stage::{Blocks, Kind, Read};
use crate::array::Element;
use std::collections::HashMap;
use std::sync::Arc;

/// A call in a [`Graph`], to be used as an argument of later calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delayed(pub(crate) u32);

impl Delayed {
    /// The number of the call: its task.
    pub fn index(self) -> u32 {
        self.0
    }
}

/// A graph wired by hand. Arguments are constants (already encoded) or earlier calls.
#[derive(Default)]
pub struct Graph {
    names: HashMap<String, u32>,
    calls: Calls,
    result_bytes: Option<u64>,
}

impl Graph {
    pub fn new() -> Self {
        Graph::default()
    }

    /// The largest encoded result of any call, in bytes; what the memory bound counts for each. Default 64 KiB.
    pub fn result_bytes(mut self, bytes: u64) -> Self {
        self.result_bytes = Some(bytes);
        self
    }

    pub fn function_names(&self) -> impl Iterator<Item = &str> {
        self.calls.names.iter().map(String::as_str)
    }

    pub(crate) fn constant(&mut self, encoded: Vec<u8>) -> CallInput {
        self.calls.constants.push(encoded);
        CallInput::Constant(self.calls.constants.len() as u32 - 1)
    }

    pub(crate) fn push(&mut self, function: &str, inputs: impl IntoIterator<Item = CallInput>) -> Delayed {
        let next = self.names.len() as u32;
        let id = *self.names.entry(function.to_string()).or_insert(next);
        if id == next {
            self.calls.names.push(function.to_string());
        }
        self.calls.starts.push(self.calls.inputs.len() as u32);
        self.calls.functions.push(id);
        self.calls.inputs.extend(inputs);
        Delayed(self.calls.functions.len() as u32 - 1)
    }

    /// One stage whose tasks are the calls; all results are kept.
    pub fn program(&self) -> Program {
        let mut calls = self.calls.clone();
        calls.starts.push(calls.inputs.len() as u32);
        let tasks = calls.functions.len() as u32;
        let inputs_of = |task: u32| {
            let earlier = |input: &CallInput| match input {
                CallInput::Task(t) => Some(*t),
                CallInput::Constant(_) => None,
            };
            calls.call(task).1.iter().filter_map(earlier).collect::<Vec<_>>()
        };
        let edges = Edges::new(&(0..tasks).map(inputs_of).collect::<Vec<_>>());
        let mut builder = Builder::default();
        let read = Read { source: builder.next_id(), pattern: Pattern::Edges(Arc::new(edges)) };
        let bytes = self.result_bytes.unwrap_or(64 << 10).div_ceil(Element::F64.bytes());
        let stage = builder.push(
            Kind::Delayed(Arc::new(calls)),
            Space::new(tasks, 1, 1, Order::Rows),
            Blocks::Each { rows: 1, cols: bytes },
            Element::F64,
            vec![read],
        );
        builder.keep(stage);
        builder.finish()
    }
}
