//! Programs of tasks that do nothing.

use crate::array::Element;
use crate::graph::build::ProgramBuilder;
use crate::graph::kinds::Kind;
use crate::graph::pattern::{Edges, Pattern};
use crate::graph::space::{Order, Space};
use crate::graph::stage::{Blocks, Read};
use crate::ids::StageId;
use std::sync::Arc;

impl ProgramBuilder {
    /// `tasks` tasks that do nothing and know nothing of each other.
    pub fn null_wide(&mut self, tasks: u32) -> StageId {
        self.null(Space::new(tasks, 1, 1, Order::Rows), Vec::new())
    }

    /// A binary tree of empty tasks with about `tasks` nodes.
    pub fn null_tree(&mut self, tasks: u32) {
        let mut top = self.null_wide(tasks.div_ceil(2));
        while self.stage(top).space.tasks() > 1 {
            let nodes = self.stage(top).space.tasks().div_ceil(2);
            let read = Read { source: top, pattern: Pattern::Gather { fan: 2 } };
            top = self.null(Space::new(nodes, 1, 1, Order::Rows), vec![read]);
        }
    }

    /// `tasks` empty tasks, each waiting for the one before.
    ///
    /// # Panics
    /// If there are none.
    pub fn null_chain(&mut self, tasks: u32) {
        let read = Read { source: self.next_id(), pattern: Pattern::Previous };
        self.null(Space::new(1, 1, tasks, Order::Rows), vec![read]);
    }

    /// `side²` empty tasks, (i,j) waiting for (i−1,j) and (i,j−1): a wavefront.
    ///
    /// # Panics
    /// If these are 2³² or more.
    pub fn null_grid(&mut self, side: u32) {
        let tasks = side.checked_mul(side).expect("fewer than 2^32 tasks");
        let inputs = |at: u32| {
            let (i, j) = (at / side, at % side);
            let up = (i > 0).then(|| at - side);
            up.into_iter().chain((j > 0).then(|| at - 1)).collect::<Vec<_>>()
        };
        let edges = Edges::new(&(0..tasks).map(inputs).collect::<Vec<_>>());
        let read = Read { source: self.next_id(), pattern: Pattern::Edges(Arc::new(edges)) };
        self.null(Space::new(tasks, 1, 1, Order::Rows), vec![read]);
    }

    fn null(&mut self, space: Space, reads: Vec<Read>) -> StageId {
        self.push(Kind::Null, space, Blocks::Nothing, Element::F64, reads)
    }
}
