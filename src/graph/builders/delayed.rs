//! Graphs wired by hand: registered functions, called by name on values, matrices and earlier results.

use crate::array::Element;
use crate::graph::build::ProgramBuilder;
use crate::graph::kinds::{CallInput, Calls, Kind, RESULT_HEADER};
use crate::graph::pattern::{Edges, Pattern};
use crate::graph::program::Program;
use crate::graph::space::{Order, Space};
use crate::graph::stage::{Blocks, Read};
use crate::ids::GraphId;
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of an encoded result unless the graph says otherwise.
const RESULT_BYTES: u64 = 64 << 10;
/// The most that can be asked for: sums of some are still numbers.
const LARGEST_RESULT: u64 = 1 << 40;

/// A call in a [`Graph`], to be used as an argument of later calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delayed {
    graph: GraphId,
    call: u32,
}

impl Delayed {
    /// The number of the call: its task.
    pub fn index(self) -> u32 {
        self.call
    }
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GraphError {
    #[error("a call of another graph cannot be used in this one: make the call here")]
    Foreign,
    #[error("results of {bytes} bytes are too large: allow at most {LARGEST_RESULT}")]
    Results { bytes: u64 },
}

/// A graph wired by hand. Arguments are constants (already encoded) or earlier calls. A wrong argument is kept and told
/// when the graph is run.
pub struct Graph {
    id: GraphId,
    names: HashMap<String, u32>,
    calls: Calls,
    result_bytes: u64,
    error: Option<GraphError>,
}

impl Graph {
    /// A graph without calls. `id` is its own.
    pub(crate) fn named(id: GraphId) -> Self {
        let (names, calls) = (HashMap::new(), Calls::default());
        Graph { id, names, calls, result_bytes: RESULT_BYTES, error: None }
    }

    /// The largest encoded result of any call, in bytes; what the memory bound counts for each. Default 64 KiB.
    pub fn result_bytes(mut self, bytes: u64) -> Self {
        self.result_bytes = bytes.min(LARGEST_RESULT);
        if bytes > LARGEST_RESULT {
            self.error = Some(GraphError::Results { bytes });
        }
        self
    }

    /// What is wrong with the graph, or with asking it for `result`.
    pub fn check(&self, result: Delayed) -> Result<(), GraphError> {
        match &self.error {
            Some(error) => Err(error.clone()),
            None if result.graph != self.id => Err(GraphError::Foreign),
            None => Ok(()),
        }
    }

    /// An earlier call as an argument. That of another graph is none.
    pub(crate) fn earlier(&mut self, call: Delayed) -> Option<CallInput> {
        if call.graph == self.id {
            return Some(CallInput::Task(call.call));
        }
        self.error = Some(GraphError::Foreign);
        None
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
        Delayed { graph: self.id, call: self.calls.functions.len() as u32 - 1 }
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
        let mut builder = ProgramBuilder::default();
        let read = Read { source: builder.next_id(), pattern: Pattern::Edges(Arc::new(edges)) };
        let length = (self.result_bytes + RESULT_HEADER).div_ceil(Element::F64.bytes());
        let stage = builder.push(
            Kind::Delayed(Arc::new(calls)),
            Space::new(tasks, 1, 1, Order::Rows),
            Blocks::Each { rows: 1, cols: length },
            Element::F64,
            vec![read],
        );
        builder.keep(stage);
        builder.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{StageId, TaskId};

    #[test]
    fn calls_know_their_functions_and_arguments() {
        let mut graph = Graph::named(GraphId(1)).result_bytes(100);
        let [one, two] = [1, 2].map(|number| graph.constant(vec![number]));
        let first = graph.push("f", [one]);
        let second = graph.push("g", [two.clone()]);
        let earlier = graph.earlier(first).expect("a call of this graph");
        let last = graph.push("f", [earlier, two]);
        assert_eq!([first, second, last].map(Delayed::index), [0, 1, 2]);
        assert_eq!(graph.function_names().collect::<Vec<_>>(), ["f", "g"]);
        assert_eq!(graph.check(last), Ok(()));
        let program = graph.program();
        let stage = program.stage(StageId(0));
        assert!(stage.keep);
        // The length of a result stands before it.
        assert_eq!(stage.blocks, Blocks::Each { rows: 1, cols: 14 });
        let Kind::Delayed(calls) = &stage.kind else { panic!("{:?}", stage.kind) };
        assert_eq!(calls.call(1), ("g", &[CallInput::Constant(1)][..]));
        assert_eq!(calls.call(2), ("f", &[CallInput::Task(0), CallInput::Constant(1)][..]));
        assert_eq!(calls.constant(1), [2]);
        let mut inputs = Vec::new();
        program.inputs(TaskId::new(StageId(0), 2), &mut inputs);
        assert_eq!(inputs, [TaskId::new(StageId(0), 0)]);
    }

    #[test]
    fn what_is_wrong_with_a_graph_is_told() {
        let foreign = Graph::named(GraphId(2)).push("f", []);
        let mut graph = Graph::named(GraphId(1)).result_bytes(LARGEST_RESULT);
        let own = graph.push("f", []);
        assert_eq!(graph.check(foreign), Err(GraphError::Foreign));
        assert_eq!(graph.check(own), Ok(()));
        assert_eq!(graph.earlier(foreign), None);
        assert_eq!(graph.check(own), Err(GraphError::Foreign));
        let bytes = LARGEST_RESULT + 1;
        let mut large = Graph::named(GraphId(1)).result_bytes(bytes);
        let own = large.push("f", []);
        assert_eq!(large.check(own), Err(GraphError::Results { bytes }));
    }
}
