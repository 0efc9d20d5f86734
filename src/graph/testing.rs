//! Stages of tasks that do nothing, for tests. Each task leaves a block of one number, and none is a result.

use super::{Blocks, Edges, Kind, Order, Pattern, Read, Space, Stage, Work};
use crate::array::Element;
use crate::ids::StageId;
use std::sync::Arc;

/// Tasks of this space with these reads.
pub(crate) fn nulls(space: Space, reads: Vec<Read>) -> Stage {
    Stage {
        kind: Kind::Null,
        space,
        blocks: Blocks::Each { rows: 1, cols: 1 },
        element: Element::F64,
        reads,
        keep: false,
        lockstep: false,
        work: Work::default(),
    }
}

/// So many tasks below each other.
pub(crate) fn column(tasks: u32) -> Space {
    Space::new(tasks, 1, 1, Order::Rows)
}

/// The first stage of a program: tasks that read each other as told.
pub(crate) fn linked(inputs: &[&[u32]]) -> Stage {
    let inputs: Vec<Vec<u32>> = inputs.iter().map(|list| list.to_vec()).collect();
    let pattern = Pattern::Edges(Arc::new(Edges::new(&inputs)));
    nulls(column(inputs.len() as u32), vec![Read { source: StageId(0), pattern }])
}

/// The first stage of a program: so many chains of so many steps.
pub(crate) fn chains(number: u32, steps: u32) -> Stage {
    let previous = Read { source: StageId(0), pattern: Pattern::Previous };
    nulls(Space::new(number, 1, steps, Order::Rows), vec![previous])
}
